"""LPIPS, against its authors' own code."""

import warnings
from collections.abc import Callable
from pathlib import Path

import lpips
import numpy as np
import pytest
import torch
import torchvision
from numpy.typing import NDArray

from pipeline import images, perceptual, resize
from pipeline.config import Weights
from pipeline.errors import InputError
from pipeline.files import sha256
from tests.test_evaluation import members, scored

Picture = NDArray[np.uint8]


@pytest.fixture(scope="module")
def alexnet_weights(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    """Random ones, in torchvision's format: its trained weights are a download."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "alexnet.pth"
    torch.save(torchvision.models.alexnet().state_dict(), path)
    return Weights(path=path, sha256=sha256(path))


def test_lpips_equals_its_authors(alexnet_weights: Weights, photo: Callable[[str], Picture]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torchvision, about how lpips asks for AlexNet
        theirs = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    slices = [layer for part in theirs.net.children() for layer in part.children()]
    own = torchvision.models.alexnet()
    own.load_state_dict(torch.load(alexnet_weights.path, weights_only=True))
    for layer, trained in zip(slices, own.features, strict=False):
        layer.load_state_dict(trained.state_dict())
    score = perceptual.load(alexnet_weights)
    assert score is not None
    hr = np.stack([photo(name)[:100, :130] for name in ("chelsea", "coffee", "rocket")])
    sr = resize.upscale(np.stack([resize.downscale(one[:, :128], 4) for one in hr]), 4)
    expected = theirs(*(images.to_tensor(one) for one in (sr, hr[:, :, :128])), normalize=True)
    assert score(sr, hr[:, :, :128]) == pytest.approx(expected.flatten().detach().numpy(), rel=1e-5)
    assert (score(hr, hr) == 0).all()
    assert scored({"valid": members(photo, "rocket")}, lambda lr: resize.upscale(lr, 4), lpips=score).table["lpips_alex"][0] > 0


def test_lpips_of_what_cannot_be_scored(alexnet_weights: Weights, tmp_path: Path) -> None:
    assert perceptual.load(None) is None
    score = perceptual.load(alexnet_weights)
    assert score is not None
    with pytest.raises(ValueError, match="LPIPS needs 31x31 pixels, found 30x40"):
        score(np.zeros((1, 30, 40, 3), np.uint8), np.zeros((1, 30, 40, 3), np.uint8))
    assert (score(np.zeros((1, 31, 31, 3), np.uint8), np.ones((1, 31, 31, 3), np.uint8)) > 0).all()
    with pytest.raises(InputError, match=r"evaluate\.lpips\.sha256: .*alexnet\.pth has [0-9a-f]+, expected 0+: correct one"):
        perceptual.load(alexnet_weights.model_copy(update={"sha256": "0" * 64}))
    with pytest.raises(InputError, match=r"evaluate\.lpips\.path: expected torchvision's AlexNet weights, found no file"):
        perceptual.load(alexnet_weights.model_copy(update={"path": tmp_path / "none.pth"}))
