"""Muon: Jordan et al., Muon: An optimizer for hidden layers in neural networks, 2024 (kellerjordan.github.io/posts/muon).

The momentum of each convolution's weight, as a matrix (outputs, inputs * kernel), is replaced by the nearest orthogonal one, so
that all directions of a layer learn at one pace. The first and the last convolution and all biases, as its authors advise: Adam.
The momentum is the first of `adam_betas`: 0.9 served better here than the authors' 0.95. `weight_decay` is apart from the
gradient and shrinks these kernels alone (Loshchilov and Hutter, Decoupled Weight Decay Regularization, ICLR 2019).
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from pipeline.config import Train
from pipeline.errors import InputError

QUINTIC = (3.4445, -4.7750, 2.0315)  # the authors' coefficients: five rounds bring singular values near 1
ROUNDS = 5
RMS = 0.2  # the size of Adam's usual update, so that Adam's rates serve (Liu et al., Muon is Scalable for LLM Training, 2025)


def make(model: nn.Module, lr: float, train: Train) -> list[torch.optim.Optimizer]:
    if train.precision == "16-mixed":
        raise InputError("optimizer: muon works with precision 32-true and bf16-mixed, found 16-mixed; choose one of them")
    kernels = [parameter for parameter in model.parameters() if parameter.ndim == 4]
    inner = kernels[1:-1]
    chosen = set(map(id, inner))
    others = [parameter for parameter in model.parameters() if id(parameter) not in chosen]
    adam = torch.optim.Adam(others, lr, train.adam_betas, train.adam_eps)
    return [Muon(inner, lr, train.adam_betas[0], train.weight_decay), adam]


class Muon(torch.optim.Optimizer):
    """w <- (1 - lr * weight_decay) w - lr * update: momentum (Nesterov's), orthogonalised for all layers of a shape at once."""

    def __init__(self, kernels: Iterable[nn.Parameter], lr: float, momentum: float, weight_decay: float) -> None:
        super().__init__(kernels, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        loss = None if closure is None else closure()
        for group in self.param_groups:
            of_a_shape = defaultdict(list)
            for kernel in group["params"]:
                state = self.state[kernel]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(kernel)
                momentum = state["momentum"]
                momentum.mul_(group["momentum"]).add_(kernel.grad)
                of_a_shape[kernel.shape].append((kernel, kernel.grad + group["momentum"] * momentum))
            for shape, pairs in of_a_shape.items():
                updates = orthogonal(torch.stack([update.flatten(1) for _, update in pairs]))
                rate = group["lr"] * RMS * math.sqrt(max(updates.shape[1:]))
                for (kernel, _), update in zip(pairs, updates, strict=True):
                    kernel.mul_(1 - group["lr"] * group["weight_decay"]).sub_(update.view(shape), alpha=rate)
        return loss


def orthogonal(matrices: torch.Tensor) -> torch.Tensor:
    """U V^T of each U S V^T (N, rows, columns), nearly: Newton and Schulz's iteration leaves most singular values near 1.

    Those that are small beside the largest stay below it: of a random 64x64 matrix they end at 0.5 to 1.1.

    x <- p(x x^T) x, by the small square matrices alone: all factors p are polynomials of one matrix, so they commute, and x itself
    is multiplied once at the end. Half the time where rows are a ninth of the columns.
    """
    a, b, c = QUINTIC
    wide = matrices.shape[1] <= matrices.shape[2]
    x: torch.Tensor = matrices if wide else matrices.mT
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    square, eye = x @ x.mT, torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    factors = eye
    for _ in range(ROUNDS):
        factor = a * eye + b * square + c * square @ square
        factors, square = factor @ factors, factor @ square @ factor
    x = factors @ x
    return x if wide else x.mT
