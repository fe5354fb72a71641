"""Find an architecture, a loss, a metric or a data source by its file name: the file is the registration."""

from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pipeline.errors import InputError

if TYPE_CHECKING:
    from torch import nn


def names(kind: str) -> list[str]:
    """The valid names of a kind: the file names in pipeline/<kind>/."""
    return sorted(path.stem for path in (Path(__file__).parent / kind).glob("[!_]*.py"))


@cache
def load(kind: str, name: str) -> ModuleType:
    """Import pipeline/<kind>/<name>.py. Raises InputError that lists the valid names."""
    if name not in names(kind):
        raise InputError(f"{name!r} is no file in pipeline/{kind}/; allowed: {', '.join(names(kind))}")
    return import_module(f"pipeline.{kind}.{name}")


def build(arch: str, config: dict[str, Any], scale: int) -> "nn.Module":
    """The model of pipeline/models/<arch>.py: forward(lr) -> sr, (N, 3, h, w) -> (N, 3, h*scale, w*scale).

    Input and output are in [0, 1] terms, the output not clamped. `config` holds the keys of the file's Config.
    """
    import torch  # here, so that who only fetches or checks names starts without its 400 MB

    module = load("models", arch)
    model: nn.Module = module.Model(module.Config(**config), scale)
    return model.to(memory_format=torch.channels_last)
