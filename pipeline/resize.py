"""The benchmark's own bicubic: MATLAB's imresize for uint8 pictures and integer factors, bit for bit.

Cubic kernel with a = -0.5 (Keys, 1981), stretched by the scale when shrinking; the height pass first, rounded half up and
clipped to uint8, then the width pass likewise; indices beyond the border are clamped to the edge. This reproduces the published
LR files of Set5, Set14, BSD100 and Urban100 in every pixel.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError


def downscale(hr: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """Shrink uint8 (..., H, W, C) by an integer factor to (..., H/scale, W/scale, C).

    Raises InputError when a side is no multiple of `scale`.
    """
    height, width = hr.shape[-3:-1]
    if height % scale or width % scale:
        raise InputError(f"downscale: expected sides that are multiples of {scale}, found {height}x{width}: crop it first")
    return _along(_along(hr, -3, scale, shrink=True), -2, scale, shrink=True)


def upscale(lr: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """Enlarge uint8 (..., h, w, C) by an integer factor to (..., h*scale, w*scale, C)."""
    return _along(_along(lr, -3, scale, shrink=False), -2, scale, shrink=False)


def cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' cubic convolution kernel with a = -0.5, zero beyond |x| = 2."""
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))


@lru_cache(maxsize=256)
def _taps(length: int, scale: int, shrink: bool) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Source indices and normalised weights, (taps, output length) each."""
    ratio = 1 / scale if shrink else scale
    stretch = scale if shrink else 1
    centre = (np.arange(round(length * ratio)) + 0.5) / ratio - 0.5
    first = np.floor(centre - 2 * stretch).astype(np.intp) + 1
    index = first + np.arange(4 * stretch)[:, None]
    weight = cubic((centre - index) / stretch)
    return index.clip(0, length - 1), weight / weight.sum(axis=0)


def _along(x: NDArray[np.uint8], axis: int, scale: int, shrink: bool) -> NDArray[np.uint8]:
    x = np.moveaxis(x, axis, 0)
    index, weight = _taps(len(x), scale, shrink)
    column = (slice(None),) + (None,) * (x.ndim - 1)
    # For scales 2, 4 and 8 every weight is a multiple of 2**-16, and integer arithmetic is exact.
    fixed = np.rint(weight * 2**16).astype(np.int32)
    if np.array_equal(fixed, weight * 2**16):
        total = np.full((index.shape[1], *x.shape[1:]), 2**15, np.int32)
        for source, factor in zip(index, fixed, strict=True):
            total += x[source] * factor[column]
        total >>= 16
    else:
        total = sum(x[source] * factor[column] for source, factor in zip(index, weight, strict=True))
        total = np.floor(total + 0.5)
    return np.moveaxis(total.clip(0, 255).astype(np.uint8), 0, axis)
