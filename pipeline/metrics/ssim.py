"""Structural similarity: Wang et al., Image Quality Assessment: From Error Visibility to Structural Similarity, 2004."""

from functools import lru_cache

import torch
from torch.nn.functional import pad

WINDOW, SIGMA, K1, K2 = 11, 1.5, 0.01, 0.03  # the paper's values
TILE, ROWS = 32, 48  # columns and rows of positions at a time


def score(sr: torch.Tensor, hr: torch.Tensor, border: int) -> torch.Tensor:
    """Mean SSIM over channels and positions: (N, C, H, W) in [0, 1] twice -> float64 (N,).

    Gaussian window 11x11, sigma 1.5, only where the whole window lies inside the picture; data range 1. `border` pixels are left
    out at each side first. Raises ValueError when less than a window is left.

    Worked out by tiles, blurring by products with a banded matrix. Variances do not change when a tile's mean is taken off, and
    float32 holds them to 1e-7 then; sums are float64.
    """
    count, channels, height, width = sr.shape
    if min(height, width) - 2 * border < WINDOW:
        raise ValueError(f"SSIM needs {WINDOW}x{WINDOW} pixels inside a border of {border}, found {height}x{width}")
    inner = (..., slice(border, height - border), slice(border, width - border))
    x, y = (image[inner].flatten(0, 1) for image in (sr, hr))
    rows, columns = (side - WINDOW + 1 for side in x.shape[1:])
    total = torch.zeros(count * channels, dtype=torch.float64, device=sr.device)
    for top in range(0, rows, ROWS):
        stripe = slice(top, min(top + ROWS, rows) + WINDOW - 1)
        total += _similarity(x[:, stripe].float(), y[:, stripe].float())[..., :columns].sum(dim=(1, 2), dtype=torch.float64)
    return total.view(count, channels).mean(dim=1) / (rows * columns)


def _similarity(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """SSIM at each position of a stripe, float32 (N, rows + 10, columns + 10) twice -> (N, rows, columns or some more)."""
    pair = pad(torch.stack([x, y]), (0, -(x.shape[2] - WINDOW + 1) % TILE))
    tiles = pair.unfold(3, TILE + WINDOW - 1, TILE)  # (2, N, rows + 10, tiles, TILE + 10)
    centre = tiles.mean(dim=(2, 4), keepdim=True)
    maps = torch.empty(4, *tiles.shape[1:], device=x.device)
    torch.sub(tiles, centre, out=maps[:2])
    torch.mul(maps[0], maps[1], out=maps[3])
    torch.mul(maps[0], maps[0], out=maps[2]).addcmul_(maps[1], maps[1])
    across, down = (_blurring(size, x.device) for size in (TILE, x.shape[1] - WINDOW + 1))
    blurred = down @ (maps @ across.T).flatten(3)
    shift_x, shift_y, squares, product = blurred.view(*blurred.shape[:3], -1, TILE)
    mean_x, mean_y = shift_x + centre[0], shift_y + centre[1]
    c1, c2 = K1**2, K2**2
    lower = (squares - shift_x.square() - shift_y.square() + c2) * (mean_x.square() + mean_y.square() + c1)
    upper = (product - shift_x * shift_y).mul_(2).add_(c2) * (mean_x * mean_y).mul_(2).add_(c1)
    similarity: torch.Tensor = upper / lower
    return similarity.flatten(2)


@lru_cache(maxsize=256)
def _blurring(size: int, device: torch.device) -> torch.Tensor:
    """The matrix (size, size + 10) that blurs: the window's weights along its diagonals."""
    offset = torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2
    kernel = torch.exp(-(offset**2) / (2 * SIGMA**2))
    matrix = torch.zeros(size, size + WINDOW - 1, dtype=torch.float64)
    for row in range(size):
        matrix[row, row : row + WINDOW] = kernel / kernel.sum()
    return matrix.float().to(device)
