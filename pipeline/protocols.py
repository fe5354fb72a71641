"""The protocols by which super-resolution is scored, as data: a number carries the name of the one that made it."""

from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline import images


class Protocol(NamedTuple):
    """Which channels of which pixels are compared. SR is always clamped and rounded to 8 bits first."""

    space: Literal["y", "rgb"]
    rounded: bool  # Y rounded to 8 bits, as MATLAB's rgb2ycbcr does for uint8
    crops: bool  # the fixed crops without a border, or whole pictures without a border of `scale` pixels
    text: str

    def border(self, scale: int) -> int:
        return 0 if self.crops else scale

    def channels(self, pictures: NDArray[np.uint8]) -> torch.Tensor:
        """uint8 (N, H, W, 3) -> what is compared, float64 (N, C, H, W) in [0, 1]."""
        rgb = images.to_tensor(pictures).mul_(255).round_().double() / 255  # float32 holds a 255th less exactly
        if self.space == "rgb":
            return rgb
        y = images.luma(rgb)
        return y.mul(255).add(0.5).floor().div(255) if self.rounded else y


LPIPS = "lpips_alex"  # the score that has no protocol: always of RGB, whole pictures, no border
PROTOCOLS = {
    "benchmark_y": Protocol("y", False, False, "Y (BT.601, not rounded), whole pictures, a border of scale pixels left out"),
    "matlab_y": Protocol("y", True, False, "Y (BT.601, rounded to 8 bits), whole pictures, a border of scale pixels left out"),
    "ntire_rgb": Protocol("rgb", False, False, "RGB, whole pictures, a border of scale pixels left out"),
    "study": Protocol("rgb", False, True, "RGB, fixed crops, no border"),
}
