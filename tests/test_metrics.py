"""PSNR and SSIM by value: against scikit-image, and where the answer is known."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from pipeline import images, resize
from pipeline.metrics import psnr, ssim
from pipeline.protocols import PROTOCOLS

Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def noisy(hr: NDArray[np.uint8], deviation: float, seed: int = 0) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).normal(0, deviation, hr.shape)
    return np.asarray((hr + noise).round().clip(0, 255), np.uint8)


@pytest.fixture(scope="module", params=["chelsea", "coffee"])
def pair(request: pytest.FixtureRequest, photo: Callable[[str], NDArray[np.uint8]]) -> Pair:
    hr = photo(str(request.param))
    return noisy(hr, 12), hr


def tensors(pair: Pair) -> tuple[torch.Tensor, torch.Tensor]:
    return images.to_tensor(pair[0][None]), images.to_tensor(pair[1][None])


def by_scikit_image(sr: NDArray[np.float64], hr: NDArray[np.float64], border: int) -> tuple[float, float]:
    inner = np.s_[border : sr.shape[0] - border, border : sr.shape[1] - border]
    sr, hr = sr[inner], hr[inner]
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1, "channel_axis": 2}
    return peak_signal_noise_ratio(hr, sr, data_range=1), structural_similarity(sr, hr, **options)


@settings(max_examples=100, deadline=None)
@given(
    height=st.integers(20, 70), width=st.integers(20, 70), border=st.integers(0, 4), deviation=st.floats(0.5, 60),
    whole=st.booleans(), seed=st.integers(0, 10**6),
)  # fmt: skip
def test_noise_equals_scikit_image(height: int, width: int, border: int, deviation: float, whole: bool, seed: int) -> None:
    """Floats, and whole grey levels through the protocol, to 1e-6."""
    hr8 = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    sr8 = noisy(hr8, deviation, seed)
    if np.array_equal(sr8, hr8):
        return
    sr, hr = sr8 / 255, hr8 / 255
    if whole:
        sides = [PROTOCOLS["ntire_rgb"].channels(one[None]) for one in (sr8, hr8)]
    else:
        sr = sr + np.random.default_rng(seed).normal(0, 0.01, sr.shape)
        sides = [torch.from_numpy(one).permute(2, 0, 1)[None] for one in (sr, hr)]
    found = (metric.score(sides[0], sides[1], border).item() for metric in (psnr, ssim))
    assert tuple(found) == pytest.approx(by_scikit_image(sr, hr, border), abs=1e-6)


@pytest.mark.parametrize("number", range(100))
def test_photographs_equal_scikit_image(number: int, photo: Callable[[str], NDArray[np.uint8]]) -> None:
    """Parts of any size of real photographs, enlarged from a fourth."""
    rng = np.random.default_rng(number)
    picture = photo(("chelsea", "coffee", "rocket", "astronaut")[number % 4])
    height, width = (4 * int(side) for side in rng.integers(8, 60, 2))
    top, left = rng.integers(picture.shape[0] - height), rng.integers(picture.shape[1] - width)
    hr = picture[top : top + height, left : left + width]
    sr = resize.upscale(resize.downscale(hr, 4), 4)
    sides = [PROTOCOLS["ntire_rgb"].channels(one[None]) for one in (sr, hr)]
    found = (metric.score(sides[0], sides[1], 4).item() for metric in (psnr, ssim))
    assert tuple(found) == pytest.approx(by_scikit_image(sr / 255, hr / 255, 4), abs=1e-6)


def test_luma_equals_scikit_image(pair: Pair) -> None:
    expected = rgb2ycbcr(pair[1])[..., 0]
    assert np.allclose(images.luma(tensors(pair)[1])[0, 0].numpy() * 255, expected, atol=1e-3)


def test_psnr_of_a_known_error() -> None:
    """An error of 0.1 everywhere is 20 dB; of 25.5 grey levels in one channel of three, 20 + 10 log10 3."""
    hr = torch.full((2, 3, 8, 8), 0.5)
    sr = hr.clone()
    sr[0] += 0.1
    sr[1, 0] += 0.1
    assert psnr.score(sr, hr, 0).tolist() == pytest.approx([20, 20 + 10 * math.log10(3)], abs=1e-5)


def test_psnr_leaves_the_border_out() -> None:
    hr = torch.zeros(1, 3, 12, 12)
    sr = hr.clone()
    sr[..., :2, :] = 1
    sr[..., 5, 5] = 0.5
    assert psnr.score(sr, hr, 2).item() == pytest.approx(10 * math.log10(64 / 0.25))


def test_equal_pictures() -> None:
    picture = torch.rand(2, 3, 16, 16)
    assert psnr.score(picture, picture, 0).tolist() == [math.inf, math.inf]
    assert ssim.score(picture, picture, 0).tolist() == pytest.approx([1, 1])


def test_ssim_refuses_less_than_a_window() -> None:
    with pytest.raises(ValueError, match="11x11 pixels inside a border of 4, found 18x40"):
        ssim.score(torch.zeros(1, 3, 18, 40), torch.zeros(1, 3, 18, 40), 4)


@given(low=st.floats(1, 20), more=st.floats(5, 40), seed=st.integers(0, 99))
def test_more_noise_scores_less(low: float, more: float, seed: int) -> None:
    hr = np.random.default_rng(seed).integers(60, 196, (32, 32, 3), np.uint8)
    less, worse = (tensors((noisy(hr, deviation, seed), hr)) for deviation in (low, low + more))
    assert psnr.score(*less, 0) > psnr.score(*worse, 0)
    assert ssim.score(*less, 0) > ssim.score(*worse, 0)


@given(seed=st.integers(0, 99))
def test_a_batch_is_scored_one_by_one(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    sr, hr = torch.rand(2, 3, 3, 20, 24, generator=generator)
    for metric in (psnr, ssim):
        single = torch.cat([metric.score(sr[i : i + 1], hr[i : i + 1], 2) for i in range(3)])
        assert torch.allclose(metric.score(sr, hr, 2), single, rtol=1e-9)
