"""Peak signal-to-noise ratio."""

import torch


def score(sr: torch.Tensor, hr: torch.Tensor, border: int) -> torch.Tensor:
    """PSNR in dB for a peak of 1, over all channels: (N, C, H, W) in [0, 1] twice -> float64 (N,).

    `border` pixels are left out at each side. Equal pictures score infinity. Raises ValueError when nothing is left.
    """
    height, width = sr.shape[-2:]
    if min(height, width) <= 2 * border:
        raise ValueError(f"PSNR needs pixels inside a border of {border}, found {height}x{width}")
    error = (sr.double() - hr.double())[..., border : height - border, border : width - border]
    return -10 * error.square().mean(dim=(1, 2, 3)).log10()
