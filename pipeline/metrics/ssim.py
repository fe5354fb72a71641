"""Structural similarity: Wang et al., Image Quality Assessment: From Error Visibility to Structural Similarity, 2004."""

import torch
from torch.nn.functional import conv2d

WINDOW, SIGMA, K1, K2 = 11, 1.5, 0.01, 0.03  # the paper's values


def score(sr: torch.Tensor, hr: torch.Tensor, border: int) -> torch.Tensor:
    """Mean SSIM over channels and positions: (N, C, H, W) in [0, 1] twice -> float64 (N,).

    Gaussian window 11x11, sigma 1.5, only where the whole window lies inside the picture; data range 1. `border` pixels are left
    out at each side first. Raises ValueError when less than a window is left.
    """
    count, channels, height, width = sr.shape
    if min(height, width) - 2 * border < WINDOW:
        raise ValueError(f"SSIM needs {WINDOW}x{WINDOW} pixels inside a border of {border}, found {height}x{width}")
    inner = (..., slice(border, height - border), slice(border, width - border))
    x, y = (image[inner].double().flatten(0, 1).unsqueeze(1) for image in (sr, hr))
    mean_x, mean_y, xx, yy, xy = (_blur(image) for image in (x, y, x * x, y * y, x * y))
    variances = xx - mean_x**2 + yy - mean_y**2
    covariance = xy - mean_x * mean_y
    c1, c2 = K1**2, K2**2
    index = (2 * mean_x * mean_y + c1) * (2 * covariance + c2) / ((mean_x**2 + mean_y**2 + c1) * (variances + c2))
    return index.view(count, channels, -1).mean(dim=(1, 2))


def _blur(image: torch.Tensor) -> torch.Tensor:
    offset = torch.arange(WINDOW, dtype=image.dtype, device=image.device) - WINDOW // 2
    kernel = torch.exp(-(offset**2) / (2 * SIGMA**2))
    kernel = kernel / kernel.sum()
    return conv2d(conv2d(image, kernel.view(1, 1, -1, 1)), kernel.view(1, 1, 1, -1))
