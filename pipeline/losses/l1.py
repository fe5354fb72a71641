"""Mean absolute error."""

import torch


def loss(sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
    """Scalar mean of |sr - hr| over all values, in [0, 1] units."""
    return (sr - hr).abs().mean()
