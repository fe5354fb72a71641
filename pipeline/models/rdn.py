"""RDN: Zhang et al., Residual Dense Network for Image Super-Resolution, CVPR 2018. The paper's x4 model: 16 blocks of 8 layers."""

import torch
from torch import nn

from pipeline.layers import conv, nearest_start, upsampler
from pipeline.sections import Count, Section, Width


class Config(Section):
    blocks: Count
    layers: Count
    growth: Count
    width: Width


class Block(nn.Module):
    """Each layer sees all that came before it in the block; a 1x1 convolution makes one of them all."""

    def __init__(self, layers: int, growth: int, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([conv(width + number * growth, growth, 3) for number in range(layers)])
        self.fusion = conv(width + layers * growth, width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen = x
        for layer in self.layers:
            seen = torch.cat([seen, layer(seen).relu()], dim=1)
        out: torch.Tensor = x + self.fusion(seen)
        return out


class Model(nn.Module):
    """Dense blocks whose outputs are all fused before the long skip."""

    def __init__(self, config: Config, scale: int) -> None:
        super().__init__()
        width = config.width
        self.head = conv(3, width, 3)
        self.body_start = conv(width, width, 3)
        self.blocks = nn.ModuleList([Block(config.layers, config.growth, width) for _ in range(config.blocks)])
        self.fusion = conv(config.blocks * width, width, 1)
        self.body_end = conv(width, width, 3)
        self.upsampler = upsampler(width, scale)
        self.tail = conv(width, 3, 3)

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        head = self.head(lr)
        x, outputs = self.body_start(head), []
        for block in self.blocks:
            x = block(x)
            outputs.append(x)
        features = head + self.body_end(self.fusion(torch.cat(outputs, dim=1)))
        sr: torch.Tensor = self.tail(self.upsampler(features))
        return sr

    def start_as_interpolation(self) -> None:
        nearest_start(self.head, self.body_end, self.upsampler, self.tail)
