"""EDSR: Lim et al., Enhanced Deep Residual Networks for Single Image Super-Resolution, CVPR Workshops 2017."""

import torch
from torch import nn

from pipeline.layers import Normalize, Residual, conv, nearest_start, upsampler
from pipeline.sections import Count, Positive, Section, Width


class Config(Section):
    blocks: Count
    width: Width
    residual_scale: float
    mean: tuple[float, float, float]
    std: tuple[Positive, Positive, Positive]


def block(width: int, residual_scale: float) -> Residual:
    return Residual(conv(width, width, 3), nn.ReLU(), conv(width, width, 3), scale=residual_scale)


class Model(nn.Module):
    """No BatchNorm, residual scaling, and the data set's mean taken off before and put back after by fixed 1x1 layers."""

    def __init__(self, config: Config, scale: int) -> None:
        super().__init__()
        width = config.width
        self.normalize = Normalize(config.mean, config.std)
        self.head = conv(3, width, 3)
        self.blocks = nn.Sequential(*[block(width, config.residual_scale) for _ in range(config.blocks)])
        self.body_end = conv(width, width, 3)
        self.upsampler = upsampler(width, scale)
        self.tail = conv(width, 3, 3)
        self.restore = Normalize(config.mean, config.std, inverse=True)

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        head = self.head(self.normalize(lr))
        features = head + self.body_end(self.blocks(head))
        sr: torch.Tensor = self.restore(self.tail(self.upsampler(features)))
        return sr

    def start_as_interpolation(self) -> None:
        nearest_start(self.head, self.body_end, self.upsampler, self.tail)
