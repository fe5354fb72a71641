"""The benchmark's own bicubic: MATLAB's imresize for uint8 pictures and integer factors, bit for bit.

Cubic kernel with a = -0.5 (Keys, 1981), stretched by the scale when shrinking; the height pass first, rounded half up and
clipped to uint8, then the width pass likewise. Indices beyond the border are clamped to the edge ("edge"), which reproduces the
published LR files of Set5, Set14, BSD100 and Urban100 in every pixel; newer MATLAB mirrors them ("symmetric").

A pass is a product with a small matrix, block by block of rows. For scales 2, 4 and 8 every weight is a multiple of a power of
two, and no sum needs more bits than the arithmetic has, so that no rounding happens whatever the order: float32 where 24 bits
are enough, else float64. The other scales are float64: a sum is off by some 1e-13, and one that is no tie lies at least 1e-6 from
it, so that a half plus HALF's excess rounds as exact fractions do (tests/test_resize.py, scales 2 to 8).
"""

from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError

Border = Literal["edge", "symmetric"]
Image = NDArray[np.uint8]
STRIPE, ROWS = 768, 192  # columns and rows at a time: the work stays in the cache, and BLAS starts no threads
HALF = 0.5 + 1e-9  # in float32, where nothing is rounded, 0.5
BLOCK = 8  # output rows of a block when shrinking, input rows when enlarging


def downscale(hr: Image, scale: int, border: Border = "edge") -> Image:
    """Shrink uint8 (..., H, W, C) by an integer factor to (..., H/scale, W/scale, C).

    Raises InputError when a side is no multiple of `scale`.
    """
    height, width = hr.shape[-3:-1]
    if height % scale or width % scale:
        raise InputError(f"downscale: expected sides that are multiples of {scale}, found {height}x{width}: crop it first")
    return _both(hr, scale, True, border)


def upscale(lr: Image, scale: int, border: Border = "edge") -> Image:
    """Enlarge uint8 (..., h, w, C) by an integer factor to (..., h*scale, w*scale, C)."""
    return _both(lr, scale, False, border)


def crop_to_multiple(image: Image, scale: int) -> Image:
    """Crop (..., H, W, C) at the bottom and right until both sides are multiples of `scale`."""
    height, width = image.shape[-3:-1]
    return image[..., : height - height % scale, : width - width % scale, :]


def cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' cubic convolution kernel with a = -0.5, zero beyond |x| = 2."""
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))


def _both(image: Image, scale: int, shrink: bool, border: Border) -> Image:
    if image.ndim > 3:
        return np.stack([_both(one, scale, shrink, border) for one in image])
    height, width, channels = image.shape
    tall = _height(np.ascontiguousarray(image).reshape(height, width * channels), scale, shrink, border)
    return _width(tall.reshape(-1, width, channels), scale, shrink, border)


@lru_cache(maxsize=64)
def _matrix(scale: int, shrink: bool) -> tuple[NDArray[np.floating], int, int]:
    """The block's matrix (rows out, rows in), the rows that it advances by in the input, and how far it reaches before them."""
    stretch, ratio = (scale, 1 / scale) if shrink else (1, scale)
    out = BLOCK if shrink else BLOCK * scale
    centre = (np.arange(out) + 0.5) / ratio - 0.5
    before = int(-np.floor(centre[0] - 2 * stretch) - 1)
    rows = np.arange(-before, int(np.ceil(centre[-1] + 2 * stretch)))
    weight = cubic((centre[:, None] - rows) / stretch)
    weight /= weight.sum(axis=1, keepdims=True)
    exact = np.array_equal(weight * 2**14, np.rint(weight * 2**14))  # 8 bits of a pixel, 1 of the overshoot, 14 of the weight: 23
    return weight.astype(np.float32 if exact else np.float64), round(out / ratio), before


def _height(x: Image, scale: int, shrink: bool, border: Border) -> Image:
    """Resize the rows of uint8 (n, m)."""
    matrix, step, before = _matrix(scale, shrink)
    rows, columns = x.shape
    total = rows // scale if shrink else rows * scale
    out = np.empty((total, columns), np.uint8)
    source = np.empty((matrix.shape[1], STRIPE), matrix.dtype)
    for start in range(0, total, len(matrix)):
        index = _inputs(start // len(matrix) * step - before, matrix.shape[1], rows, border)
        wanted = out[start : start + len(matrix)]
        for left in range(0, columns, STRIPE):
            stripe = x[index, left : left + STRIPE]
            width = stripe.shape[1]
            source[:, :width] = stripe
            wanted[:, left : left + width] = _rounded(matrix @ source[:, :width])[: len(wanted)]
    return out


def _width(x: Image, scale: int, shrink: bool, border: Border) -> Image:
    """Resize the columns of uint8 (n, m, channels): the same matrix, spread over the channels."""
    matrix, step, before = _matrix(scale, shrink)
    rows, columns, channels = x.shape
    total = columns // scale if shrink else columns * scale
    out = np.empty((rows, total, channels), np.uint8)
    spread = np.kron(matrix, np.eye(channels, dtype=matrix.dtype)).T.copy()
    for start in range(0, total, len(matrix)):
        index = _inputs(start // len(matrix) * step - before, matrix.shape[1], columns, border)
        wanted = out[:, start : start + len(matrix)]
        source = x[:, index].reshape(rows, -1).astype(matrix.dtype)
        for top in range(0, rows, ROWS):
            values = _rounded(source[top : top + ROWS] @ spread)
            wanted[top : top + ROWS] = values.reshape(-1, len(matrix), channels)[:, : wanted.shape[1]]
    return out


def _inputs(first: int, count: int, length: int, border: Border) -> slice | NDArray[np.intp]:
    """Which of `length` rows or columns a block reads."""
    if first >= 0 and first + count <= length:
        return slice(first, first + count)
    index = np.arange(first, first + count)
    return _reflect(index, length) if border == "symmetric" else index.clip(0, length - 1)


def _rounded(values: NDArray[Any]) -> NDArray[Any]:
    """Values whose truncation to uint8 is their rounding, half up, with clipping; in place."""
    values += HALF
    return np.clip(values, 0, 255, out=values)


def _reflect(index: NDArray[np.intp], length: int) -> NDArray[np.intp]:
    """Indices mirrored at the border, the border's pixel repeated, as often as needed."""
    index = index % (2 * length)
    return np.minimum(index, 2 * length - 1 - index)
