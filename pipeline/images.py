"""Pictures in memory: float32 NCHW RGB in [0, 1]; on disk uint8 HWC RGB. The two conversions, and luma."""

import numpy as np
import torch
from numpy.typing import NDArray


def to_tensor(images: NDArray[np.uint8]) -> torch.Tensor:
    """uint8 (N, H, W, 3) -> float32 (N, 3, H, W) in [0, 1], in channels_last memory as it comes."""
    return to_float(torch.from_numpy(np.require(images, requirements=["C", "W"])))


def to_float(images: torch.Tensor) -> torch.Tensor:
    """The same of a uint8 tensor, on its device."""
    return images.permute(0, 3, 1, 2).float().div_(255)


def to_uint8(images: torch.Tensor) -> NDArray[np.uint8]:
    """float (N, 3, H, W) -> uint8 (N, H, W, 3): clamped to [0, 1] and rounded, as a saved PNG is.

    Raises FloatingPointError when a value is NaN or infinite.
    """
    if not torch.isfinite(images).all():
        raise FloatingPointError("expected finite pixel values, found NaN or infinity")
    rounded = images.clamp(0, 1).mul(255).round().to(torch.uint8)
    return rounded.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def luma(images: torch.Tensor) -> torch.Tensor:
    """Y of ITU-R BT.601, not rounded: (N, 3, H, W) RGB in [0, 1] -> (N, 1, H, W) in [16/255, 235/255].

    The constants are those of MATLAB's rgb2ycbcr, by which the benchmarks are scored.
    """
    red, green, blue = images.unbind(1)
    return (65.481 / 255 * red + 128.553 / 255 * green + 24.966 / 255 * blue + 16 / 255).unsqueeze(1)
