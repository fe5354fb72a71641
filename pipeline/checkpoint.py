"""Checkpoints: safetensors that alone are enough to enlarge a photo."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from pipeline import layers, registry
from pipeline.errors import InputError
from pipeline.files import sha256, whole

KEY = "sr-study"  # the only metadata key: safetensors writes several in a random order
FIELDS = ("arch", "config", "scale", "epoch", "dataset")


class Checkpoint(NamedTuple):
    """A model in evaluation mode and what it is: arch, config, scale, epoch, dataset."""

    model: nn.Module
    about: dict[str, Any]


def save(path: Path, model: nn.Module, about: dict[str, Any]) -> None:
    """Write the weights with `about` (keys: FIELDS) as one JSON value; the same weights give the same bytes."""
    assert set(about) == set(FIELDS), sorted(about)
    weights = {name: value.detach().cpu().contiguous().clone() for name, value in model.state_dict().items()}
    with whole(path) as temporary:
        try:
            save_file(weights, temporary, metadata={KEY: json.dumps(about, sort_keys=True)})
        except SafetensorError as error:
            raise OSError(str(error)) from None


def load(path: Path) -> Checkpoint:
    """Rebuild the model of a checkpoint on the CPU. Raises InputError when the file is missing or is none of ours."""
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {})[KEY])
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        model = registry.build(about["arch"], about["config"], about["scale"])
        model.load_state_dict(weights)
    except (FileNotFoundError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{path}: expected a checkpoint of this project: {type(error).__name__}: {error}") from None
    return Checkpoint(model.eval(), about)


def warm_start(model: nn.Module, path: Path, digest: str) -> None:
    """Load the weights of a checkpoint whose name and shape the model has too; the others keep their start (EDSR: x4 from x2).

    So do the fixed mean and std of the channels, which a variant's parameters say.

    Raises InputError when the file is missing, is another one than `digest` says, or shares no weight with the model.
    """
    if not path.is_file():
        raise InputError(f"{path}: expected the checkpoint of warm_start, found no file; give its path, absolute or from the root")
    if (found := sha256(path)) != digest:
        raise InputError(f"{path}: expected SHA-256 {digest}, found {found}; correct warm_start")
    try:
        own, others = model.state_dict(), load_file(path)
    except SafetensorError as error:
        raise InputError(f"{path}: expected a safetensors checkpoint: {error}; correct warm_start") from None
    fixed = {f"{at}.{name}" for at, part in model.named_modules() if isinstance(part, layers.Normalize) for name in ("mean", "std")}
    names = (own.keys() & others.keys()) - fixed  # mean and std are the variant's own
    shared = {name: others[name] for name in names if own[name].shape == others[name].shape}
    if not shared:
        raise InputError(f"{path}: expected weights of a kindred model, found none of equal name and shape; correct warm_start")
    model.load_state_dict(own | shared)
