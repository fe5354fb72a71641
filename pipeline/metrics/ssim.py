"""Structural similarity: Wang et al., Image Quality Assessment: From Error Visibility to Structural Similarity, 2004."""

from functools import lru_cache

import torch

WINDOW, SIGMA, K1, K2 = 11, 1.5, 0.01, 0.03  # the paper's values
HALO = WINDOW - 1
STRIPE = 96  # rows of positions worked on at a time
ROWS, COLUMNS = 8, 16  # how many of them one product with a matrix blurs


def score(sr: torch.Tensor, hr: torch.Tensor, border: int) -> torch.Tensor:
    """Mean SSIM over channels and positions: (N, C, H, W) in [0, 1] twice -> float64 (N,).

    Gaussian window 11x11, sigma 1.5, only where the whole window lies inside the picture; data range 1. `border` pixels are left
    out at each side first. Raises ValueError when less than a window is left.
    """
    count, channels, height, width = sr.shape
    if min(height, width) - 2 * border < WINDOW:
        raise ValueError(f"SSIM needs {WINDOW}x{WINDOW} pixels inside a border of {border}, found {height}x{width}")
    inner = (..., slice(border, height - border), slice(border, width - border))
    x, y = (image[inner].flatten(0, 1).transpose(0, 1).float() for image in (sr, hr))  # (height, N * C, width)
    rows, columns = x.shape[0] - HALO, x.shape[2] - HALO
    total = torch.zeros(count * channels, dtype=torch.float64, device=sr.device)
    sides = x.new_zeros(min(STRIPE, rows + -rows % ROWS) + HALO, 2, count * channels, columns + -columns % COLUMNS + HALO)
    for top in range(0, rows, STRIPE):
        held = min(STRIPE, rows - top)
        stripe, inside = slice(top, top + held + HALO), sides[: held + HALO, ..., : columns + HALO]
        torch.add(x[stripe], y[stripe], out=inside[:, 0])
        torch.sub(x[stripe], y[stripe], out=inside[:, 1])
        found = _similarity(sides[: held + -held % ROWS + HALO])[:held, :, :columns]
        total += found.sum(dim=2).sum(dim=0, dtype=torch.float64)
    return total.view(count, channels).mean(dim=1) / (rows * columns)


def _similarity(sides: torch.Tensor) -> torch.Tensor:
    """SSIM at each position, from the pictures' sum and difference, float32 (rows + 10, 2, N, columns + 10) -> (rows, N, columns).

    With u = x + y and v = x - y, 4 cov(x, y) = var u - var v and 2 (var x + var y) = var u + var v; their means likewise. Variances
    do not change when a pixel's value is taken off all of a tile, and float32 holds them to 1e-7 then.
    """
    tiles = sides.unfold(3, COLUMNS + HALO, COLUMNS)  # (rows + 10, 2, N, tiles, COLUMNS + 10)
    centre = tiles[len(tiles) // 2, ..., COLUMNS // 2, None]
    maps = sides.new_empty(len(tiles), 2, *tiles.shape[1:])
    torch.sub(tiles, centre, out=maps[:, 0])
    c1, c2 = (sides.new_tensor([2 * k**2, 0]).view(2, 1, 1, 1) for k in (K1, K2))  # added to u's side alone, so to both sums
    torch.addcmul(c2, maps[:, 0], maps[:, 0], out=maps[:, 1])
    shift, square = _blur(maps).unbind(dim=1)
    variance = square.addcmul_(shift, shift, value=-1)
    mean = shift.add_(centre)
    energy = torch.addcmul(c1, mean, mean)
    luminance, structure = ((one[:, 0] - one[:, 1]).div_(one[:, 0] + one[:, 1]) for one in (energy, variance))
    return luminance.mul_(structure).flatten(2)


def _blur(maps: torch.Tensor) -> torch.Tensor:
    """(rows + 10, ..., COLUMNS + 10) -> (rows, ..., COLUMNS): a product with a banded matrix across, and one down for ROWS rows."""
    across, down = (_banded(size, maps.device) for size in (COLUMNS, ROWS))
    blurred = maps @ across.T
    groups = blurred.flatten(1).unfold(0, ROWS + HALO, ROWS).mT  # (groups, ROWS + 10, all else), nothing copied
    return torch.bmm(down.expand(len(groups), -1, -1), groups).view(-1, *blurred.shape[1:])


@lru_cache
def _banded(size: int, device: torch.device) -> torch.Tensor:
    """The matrix (size, size + 10) that blurs: the window's weights along its diagonals."""
    offset = torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2
    kernel = torch.exp(-(offset**2) / (2 * SIGMA**2))
    matrix = torch.zeros(size, size + HALO, dtype=torch.float64)
    for row in range(size):
        matrix[row, row : row + WINDOW] = kernel / kernel.sum()
    return matrix.float().to(device)
