"""PSNR and SSIM by value: against scikit-image, and where the answer is known."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from pipeline import images
from pipeline.metrics import psnr, ssim

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


@pytest.mark.parametrize("border", [0, 4, 17])
def test_psnr_equals_scikit_image(pair: Pair, border: int) -> None:
    inner = np.s_[border : pair[0].shape[0] - border, border : pair[0].shape[1] - border]
    expected = peak_signal_noise_ratio(pair[1][inner], pair[0][inner], data_range=255)
    assert psnr.score(*tensors(pair), border).item() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("border", [0, 4])
def test_ssim_equals_scikit_image(pair: Pair, border: int) -> None:
    sr, hr = (one[border : one.shape[0] - border, border : one.shape[1] - border] / 255 for one in pair)
    expected = structural_similarity(
        sr, hr, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1, channel_axis=2
    )
    assert ssim.score(*tensors(pair), border).item() == pytest.approx(expected, abs=1e-4)


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
