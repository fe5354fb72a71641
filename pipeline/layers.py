"""Layers that several architectures share, and how to start them as plain interpolation."""

from collections.abc import Sequence

import torch
from torch import nn


def conv(inputs: int, outputs: int, kernel: int) -> nn.Conv2d:
    """A convolution that keeps the size: zero padding of kernel // 2."""
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)


class Residual(nn.Module):
    """x + scale * body(x)."""

    def __init__(self, *body: nn.Module, scale: float = 1.0) -> None:
        super().__init__()
        self.body = nn.Sequential(*body)
        self.scale = scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.add(x, self.body(x), alpha=self.scale)


class Normalize(nn.Module):
    """Fixed per-channel (x - mean) / std, or its inverse: the 1x1 layers of EDSR. Has no trainable parameter."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float], inverse: bool = False) -> None:
        super().__init__()
        self.inverse = inverse
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.std + self.mean if self.inverse else (x - self.mean) / self.std


def steps_of(scale: int) -> list[int]:
    """The factors of the PixelShuffles that make up a scale: 2 -> [2], 3 -> [3], 4 -> [2, 2], 8 -> [2, 2, 2]."""
    if scale in (2, 4, 8):
        return [2] * (scale.bit_length() - 1)
    return [scale]


def upsampler(width: int, scale: int) -> nn.Sequential:
    """EDSR's: a convolution and a PixelShuffle for each factor, without activations."""
    layers = [(conv(width, width * r * r, 3), nn.PixelShuffle(r)) for r in steps_of(scale)]
    return nn.Sequential(*[layer for pair in layers for layer in pair])


@torch.no_grad()
def nearest_start(head: nn.Conv2d, body_end: nn.Conv2d, upsampler: nn.Sequential, tail: nn.Conv2d) -> None:
    """Channels 0 to 2 carry the colours from head to tail: the untrained network is nearest-neighbour upsampling.

    For networks of the form tail(upsampler(head + body_end(body(head)))). All other weights keep torch's start; the body reaches
    the output through what the last layers learn.
    """
    carry(head, 3)
    for layer in upsampler:
        if isinstance(layer, nn.Conv2d):
            carry(layer, 3, repeat=layer.out_channels // layer.in_channels)
    for weights in (body_end.weight[:3], body_end.bias[:3], tail.weight):  # type: ignore[index]
        weights.zero_()
    carry(tail, 3)


@torch.no_grad()
def carry(layer: nn.Conv2d, channels: int, repeat: int = 1) -> None:
    """Make `layer` pass its first `channels` inputs through unchanged, each to `repeat` outputs in a row.

    With repeat = r * r and a PixelShuffle(r) behind it that is nearest-neighbour upsampling of these channels.
    The weights of all other outputs are left alone.
    """
    centre = layer.kernel_size[0] // 2
    rows = channels * repeat
    layer.weight[:rows] = 0
    for row in range(rows):
        layer.weight[row, row // repeat, centre, centre] = 1
    if layer.bias is not None:
        layer.bias[:rows] = 0
