"""LPIPS 0.1: Zhang et al., The Unreasonable Effectiveness of Deep Features as a Perceptual Metric, CVPR 2018."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline import images
from pipeline.config import Weights
from pipeline.errors import InputError
from pipeline.files import sha256

Images = NDArray[np.uint8]
Score = Callable[[Images, Images], NDArray[np.float64]]
SHIFT, SPREAD = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # the authors' normalisation, of values in [-1, 1]
LAYERS = (1, 4, 7, 9, 11)  # AlexNet's five ReLUs, in torchvision's numbering
LEAST = 31  # pixels a side, below which nothing is left of AlexNet's last layers


def load(weights: Weights | None) -> Score | None:
    """None without weights, or LPIPS of AlexNet: `weights` names a copy of torchvision's alexnet-owt-7be5be79.pth.

    The layers' weights come in the wheel of lpips. The function takes SR and HR, uint8 (N, H, W, 3), and returns the distances
    (N,): 0 for equal pictures, less is better, whole pictures without a border. Raises InputError when the file is missing or is
    another one, ValueError for pictures too small.
    """
    if weights is None:
        return None
    from torchvision.models import alexnet  # costs 1.7 s: only who asks for LPIPS pays

    if not weights.path.is_file():
        raise InputError(f"evaluate.lpips.path: expected torchvision's AlexNet weights, found no file {weights.path}")
    if (found := sha256(weights.path)) != weights.sha256:
        raise InputError(f"evaluate.lpips.sha256: {weights.path} has {found}, expected {weights.sha256}: correct one of them")
    network = alexnet()
    network.load_state_dict(torch.load(weights.path, weights_only=True))
    layers, heads = network.features[: LAYERS[-1] + 1].eval(), _heads()

    @torch.inference_mode()
    def score(sr: Images, hr: Images) -> NDArray[np.float64]:
        if min(hr.shape[1:3]) < LEAST:
            raise ValueError(f"LPIPS needs {LEAST}x{LEAST} pixels, found {hr.shape[1]}x{hr.shape[2]}")
        sides = (_features(layers, images.to_tensor(one)) for one in (sr, hr))
        parts = [(head * (x - y).square()).sum(dim=1).mean(dim=(1, 2)) for head, x, y in zip(heads, *sides, strict=True)]
        return torch.stack(parts).sum(dim=0).double().numpy()

    return score


def _heads() -> list[torch.Tensor]:
    """The weight of each channel of each layer, as the authors fitted them to what people see."""
    package = find_spec("lpips")  # its code is not imported: a file of it is read
    assert package is not None
    assert package.origin is not None
    found = torch.load(Path(package.origin).parent / "weights" / "v0.1" / "alex.pth", map_location="cpu", weights_only=True)
    return [found[f"lin{number}.model.1.weight"] for number in range(len(LAYERS))]


def _features(layers: torch.nn.Module, pictures: torch.Tensor) -> list[torch.Tensor]:
    """What each layer sees, of unit length at each position."""
    shift, spread = (torch.tensor(values).view(1, 3, 1, 1) for values in (SHIFT, SPREAD))
    x, found = (2 * pictures - 1 - shift) / spread, []
    for number, layer in enumerate(layers.children()):
        x = layer(x)
        if number in LAYERS:
            found.append(x / (x.square().sum(dim=1, keepdim=True).sqrt() + 1e-10))
    return found
