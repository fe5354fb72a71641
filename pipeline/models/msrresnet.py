"""MSRResNet: SRResNet without BatchNorm, as Wang et al., ESRGAN, ECCV Workshops 2018, and BasicSR train it."""

import torch
from torch import nn
from torch.nn.functional import interpolate

from pipeline.layers import Residual, conv, steps_of
from pipeline.sections import Count, Section, Width

SLOPE = 0.1  # BasicSR's LeakyReLU


class Config(Section):
    blocks: Count
    width: Width


def block(width: int) -> Residual:
    return Residual(conv(width, width, 3), nn.ReLU(), conv(width, width, 3))


class Model(nn.Module):
    """Residual blocks without BatchNorm; what they make is added to the bilinearly enlarged input."""

    def __init__(self, config: Config, scale: int) -> None:
        super().__init__()
        width, self.scale = config.width, scale
        self.head = nn.Sequential(conv(3, width, 3), nn.LeakyReLU(SLOPE))
        self.blocks = nn.Sequential(*[block(width) for _ in range(config.blocks)])
        self.upsampler = nn.Sequential()
        for r in steps_of(scale):
            self.upsampler.extend([conv(width, width * r * r, 3), nn.PixelShuffle(r), nn.LeakyReLU(SLOPE)])
        self.tail = nn.Sequential(conv(width, width, 3), nn.LeakyReLU(SLOPE), conv(width, 3, 3))

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        enlarged = interpolate(lr, scale_factor=self.scale, mode="bilinear", align_corners=False)
        sr: torch.Tensor = enlarged + self.tail(self.upsampler(self.blocks(self.head(lr))))
        return sr

    @torch.no_grad()
    def start_as_interpolation(self) -> None:
        """The last layer starts at zero: the untrained network is bilinear upsampling. The others keep torch's start."""
        self.tail[-1].weight.zero_()  # type: ignore[operator]
        self.tail[-1].bias.zero_()  # type: ignore[operator]
