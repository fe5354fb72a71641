"""A residual body at low resolution and one sub-pixel convolution straight to the full scale: much quality for little time.

The body is EDSR's (Lim et al., 2017); the single PixelShuffle is ESPCN's (Shi et al., CVPR 2016). EDSR's own upsampler is over half
of a small model's cost; here nearly all of it goes into the body.
"""

import torch
from torch import nn
from torch.nn.functional import interpolate

from pipeline.layers import Residual, conv
from pipeline.sections import Count, Section, Width


class Config(Section):
    blocks: Count
    width: Width


def block(width: int) -> Residual:
    return Residual(conv(width, width, 3), nn.ReLU(), conv(width, width, 3))


class Model(nn.Module):
    """What the body makes is added to the input, enlarged by repeating its pixels."""

    def __init__(self, config: Config, scale: int) -> None:
        super().__init__()
        width, self.scale = config.width, scale
        self.head = conv(3, width, 3)
        self.blocks = nn.Sequential(*[block(width) for _ in range(config.blocks)])
        self.body_end = conv(width, width, 3)
        self.tail = nn.Sequential(conv(width, 3 * scale * scale, 3), nn.PixelShuffle(scale))

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        head = self.head(lr - 0.5)
        features = head + self.body_end(self.blocks(head))
        sr: torch.Tensor = interpolate(lr, scale_factor=self.scale, mode="nearest") + self.tail(features)
        return sr

    @torch.no_grad()
    def start_as_interpolation(self) -> None:
        """Close to nearest-neighbour upsampling: the tail starts at a twentieth of torch's start, each block at a tenth."""
        for block in self.blocks:
            block.body[-1].weight.mul_(0.1)  # type: ignore[union-attr, index]
            block.body[-1].bias.zero_()  # type: ignore[union-attr, index]
        self.tail[0].weight.mul_(0.05)  # type: ignore[operator]
        self.tail[0].bias.zero_()  # type: ignore[operator]
