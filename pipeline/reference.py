"""What SR crops are scored against: fixed validation crops, and the features of their HR side."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline import shards
from pipeline.config import Evaluate
from pipeline.errors import InputError

Images = NDArray[np.uint8]


class Reference(NamedTuple):
    """What the SR crops are compared with: HR and LR crops, uint8 (N, ...), and the features (N, d) of the HR ones."""

    hr: Images
    lr: Images
    features: NDArray[np.float32]


def make(data: shards.Shards, settings: Evaluate, seed: int) -> Reference:
    """The fixed validation crops and their features, computed once for all variants."""
    from pipeline import features  # who only reads them needs no network

    hr, lr = shards.crops(data, settings.crop, settings.crops_per_image, seed)
    return Reference(hr, lr, features.extract(features.load(settings.frechet), hr))


def save(folder: Path, reference: Reference) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in reference._asdict().items():
        np.save(folder / f"{name}.npy", array)


def load(folder: Path) -> Reference:
    """Raises InputError when a file is missing."""
    try:
        return Reference(*(np.load(folder / f"{name}.npy") for name in Reference._fields))
    except FileNotFoundError as error:
        raise InputError(
            f"{folder}: expected the reference features, found no {error.filename}; run: dvc repro reference"
        ) from None
