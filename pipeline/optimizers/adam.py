"""Adam: Kingma and Ba, Adam: A Method for Stochastic Optimization, ICLR 2015."""

import torch
from torch import nn

from pipeline.config import Train


def make(model: nn.Module, lr: float, train: Train) -> list[torch.optim.Optimizer]:
    fused = train.precision != "16-mixed"  # its gradients are scaled, and a fused step hides that from clipping
    return [torch.optim.Adam(model.parameters(), lr, train.adam_betas, train.adam_eps, fused=fused)]
