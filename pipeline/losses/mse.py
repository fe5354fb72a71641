"""Mean squared error."""

import torch


def loss(sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
    """Scalar mean of (sr - hr)^2 over all values, in [0, 1] units."""
    return (sr - hr).square().mean()
