"""The benchmark's bicubic, bit for bit."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline import images, pictures, resize
from pipeline.errors import InputError
from pipeline.resize import downscale, upscale
from tests import make_vectors

SIDE = st.integers(1, 24)


def test_equals_the_benchmark_in_every_pixel(benchmark: Path) -> None:
    paths = sorted((benchmark / "HR").glob("*.png"))
    assert len(paths) in (5, 14)
    for path in paths:
        hr = resize.crop_to_multiple(pictures.read(path), 4)
        lr = pictures.read(benchmark / "LR_bicubic_X4" / f"{path.stem}x4.png")
        assert np.array_equal(downscale(hr, 4), lr), path.name


@pytest.mark.parametrize("scale", range(2, 9))
def test_equals_exact_fractions(scale: int) -> None:
    """Every pixel of noise. Sums that are ties are rare: at scale 6 this noise holds some, which floats alone round down."""
    rng = np.random.default_rng(13)
    hr, lr = (rng.integers(0, 256, shape, np.uint8) for shape in ((5 * scale, 4 * scale), (20, 8)))
    exact = np.array(make_vectors.resize(hr.tolist(), Fraction(1, scale)), np.uint8)
    assert np.array_equal(downscale(hr[..., None], scale)[..., 0], exact)
    exact = np.array(make_vectors.resize(lr.tolist(), Fraction(scale)), np.uint8)
    assert np.array_equal(upscale(lr[..., None], scale)[..., 0], exact)


def test_stored_vectors() -> None:
    """Worked out with fractions by the definition (tests/make_vectors.py): a step, and a seeded 16x16 of noise."""
    from tests.vectors import DOWN, NOISE, STEP_UP, UP

    noise = np.array(NOISE, np.uint8).reshape(16, 16, 1)
    assert np.array_equal(downscale(noise, 4)[..., 0], DOWN)
    assert np.array_equal(upscale(noise[:2, :3], 4)[..., 0], UP)
    step = np.repeat(np.array([[0, 0, 255, 255]], np.uint8), 4, axis=0)[..., None]
    assert upscale(step, 2)[0, :, 0].tolist() == STEP_UP


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
@given(height=SIDE, width=SIDE, level=st.integers(0, 255))
def test_flat_stays_flat(scale: int, height: int, width: int, level: int) -> None:
    flat = np.full((height * scale, width * scale, 3), level, np.uint8)
    small = downscale(flat, scale)
    assert small.shape == (height, width, 3)
    assert (small == level).all()
    assert (upscale(small, scale) == level).all()


@pytest.mark.parametrize("scale", [2, 3, 4])
@given(height=SIDE, width=SIDE, seed=st.integers(0, 99))
def test_flips_commute(scale: int, height: int, width: int, seed: int) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (height * scale, width * scale, 3), np.uint8)
    assert np.array_equal(downscale(noise[::-1, ::-1], scale), downscale(noise, scale)[::-1, ::-1])


def test_batches_are_resized_one_by_one() -> None:
    batch = np.random.default_rng(0).integers(0, 256, (3, 16, 24, 3), np.uint8)
    assert np.array_equal(downscale(batch, 4), np.stack([downscale(one, 4) for one in batch]))


def test_bicubic_scores_as_measured(photo: Callable[[str], NDArray[np.uint8]]) -> None:
    """31.47, 27.29 and 29.99 dB on Y: what an independent implementation gave for these pictures."""
    from pipeline.metrics import psnr

    for name, expected in (("chelsea", 31.47), ("coffee", 27.29), ("rocket", 29.99)):
        hr = resize.crop_to_multiple(photo(name), 4)
        sr = upscale(downscale(hr, 4), 4)
        y_sr, y_hr = (images.luma(images.to_tensor(one[None])) for one in (sr, hr))
        assert psnr.score(y_sr, y_hr, 4).item() == pytest.approx(expected, abs=0.005)


def test_sides_that_do_not_divide_are_refused() -> None:
    with pytest.raises(InputError, match="multiples of 4, found 9x8"):
        downscale(np.zeros((9, 8, 3), np.uint8), 4)


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
@given(height=SIDE, width=SIDE, seed=st.integers(0, 99))
def test_symmetric_border_is_a_mirror(scale: int, height: int, width: int, seed: int) -> None:
    """The same as mirroring far enough by hand, resizing, and cutting the mirrored part off again."""
    noise = np.random.default_rng(seed).integers(0, 256, (height * scale, width * scale, 3), np.uint8)
    padded = np.pad(noise, ((4 * scale, 4 * scale), (4 * scale, 4 * scale), (0, 0)), mode="symmetric")
    assert np.array_equal(downscale(noise, scale, "symmetric"), downscale(padded, scale)[4:-4, 4:-4])
    small = noise[:height, :width]
    padded = np.pad(small, ((4, 4), (4, 4), (0, 0)), mode="symmetric")
    assert np.array_equal(
        upscale(small, scale, "symmetric"), upscale(padded, scale)[4 * scale : -4 * scale, 4 * scale : -4 * scale]
    )
