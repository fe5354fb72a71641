"""EDSR: Lim et al., Enhanced Deep Residual Networks for Single Image Super-Resolution, CVPR Workshops 2017."""

import torch
from torch import nn

from pipeline.config import Section
from pipeline.layers import Normalize, carry, conv, steps_of


class Config(Section):
    blocks: int
    width: int
    residual_scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class Block(nn.Module):
    def __init__(self, width: int, residual_scale: float) -> None:
        super().__init__()
        self.body = nn.Sequential(conv(width, width, 3), nn.ReLU(), conv(width, width, 3))
        self.residual_scale = residual_scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = x + self.residual_scale * self.body(x)
        return out


class Model(nn.Module):
    """No BatchNorm, residual scaling, and the data set's mean taken off before and put back after by fixed 1x1 layers."""

    def __init__(self, config: Config, scale: int) -> None:
        super().__init__()
        width = config.width
        self.normalize = Normalize(config.mean, config.std)
        self.head = conv(3, width, 3)
        self.blocks = nn.Sequential(*[Block(width, config.residual_scale) for _ in range(config.blocks)])
        self.body_end = conv(width, width, 3)
        self.upsampler = nn.Sequential()
        for r in steps_of(scale):
            self.upsampler.extend([conv(width, width * r * r, 3), nn.PixelShuffle(r)])
        self.tail = conv(width, 3, 3)
        self.restore = Normalize(config.mean, config.std, inverse=True)

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        head = self.head(self.normalize(lr))
        features = head + self.body_end(self.blocks(head))
        sr: torch.Tensor = self.restore(self.tail(self.upsampler(features)))
        return sr

    @torch.no_grad()
    def start_as_interpolation(self) -> None:
        """Channels 0 to 2 carry the colours from head to tail: the untrained network is nearest-neighbour upsampling.

        All other weights keep torch's start; the body reaches the output through what the last layers learn.
        """
        carry(self.head, 3)
        for layer in self.upsampler:
            if isinstance(layer, nn.Conv2d):
                ratio = layer.out_channels // layer.in_channels
                carry(layer, 3, repeat=ratio)
        self.body_end.weight[:3] = 0
        self.body_end.bias[:3] = 0  # type: ignore[index]
        self.tail.weight.zero_()
        carry(self.tail, 3)
