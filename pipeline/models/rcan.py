"""RCAN: Zhang et al., Image Super-Resolution Using Very Deep Residual Channel Attention Networks, ECCV 2018."""

from typing import Self

import torch
from pydantic import model_validator
from torch import nn

from pipeline.layers import Normalize, Residual, conv, nearest_start, upsampler
from pipeline.sections import Count, Positive, Section, Width, reject


class Config(Section):
    groups: Count
    blocks: Count
    width: Width
    reduction: Count  # of the channels inside attention: width / reduction
    mean: tuple[float, float, float]
    std: tuple[Positive, Positive, Positive]

    @model_validator(mode="after")
    def some_channels_left(self) -> Self:
        if self.reduction > self.width:
            raise reject(f"reduction: {self.reduction} leaves none of the width's {self.width} channels; choose a smaller one")
        return self


class Attention(nn.Module):
    """Weighs each channel by what its mean over the picture says."""

    def __init__(self, width: int, reduction: int) -> None:
        super().__init__()
        narrow = width // reduction
        self.weigh = nn.Sequential(conv(width, narrow, 1), nn.ReLU(), conv(narrow, width, 1), nn.Sigmoid())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = x * self.weigh(x.mean(dim=(2, 3), keepdim=True))
        return out


def block(width: int, reduction: int) -> Residual:
    return Residual(conv(width, width, 3), nn.ReLU(), conv(width, width, 3), Attention(width, reduction))


def group(blocks: int, width: int, reduction: int) -> Residual:
    return Residual(*[block(width, reduction) for _ in range(blocks)], conv(width, width, 3))


class Model(nn.Module):
    """Residuals in residuals: groups of blocks with channel attention, each level with its own skip."""

    def __init__(self, config: Config, scale: int) -> None:
        super().__init__()
        width = config.width
        self.normalize = Normalize(config.mean, config.std)
        self.head = conv(3, width, 3)
        self.groups = nn.Sequential(*[group(config.blocks, width, config.reduction) for _ in range(config.groups)])
        self.body_end = conv(width, width, 3)
        self.upsampler = upsampler(width, scale)
        self.tail = conv(width, 3, 3)
        self.restore = Normalize(config.mean, config.std, inverse=True)

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        head = self.head(self.normalize(lr))
        sr: torch.Tensor = self.restore(self.tail(self.upsampler(head + self.body_end(self.groups(head)))))
        return sr

    def start_as_interpolation(self) -> None:
        nearest_start(self.head, self.body_end, self.upsampler, self.tail)
