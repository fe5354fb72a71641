"""HR/LR pairs as a few large memory-mapped files, for reading.

train_hr.npy  uint8 (tiles, tile, tile, 3)           train_lr.npy  the same places at tile / scale
valid_hr.npy  uint8 (bytes,), pictures end to end    valid_lr.npy  likewise
index.json    format, scale, tile, data set, place of each tile and picture, checksums; written last
"""

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError

FORMAT = 3
Array = NDArray[np.uint8]
ARRAYS = ("train_hr", "train_lr", "valid_hr", "valid_lr")


@dataclass(frozen=True)
class Picture:
    """One whole validation picture: hr uint8 (H, W, 3), lr uint8 (H/scale, W/scale, 3)."""

    name: str
    hr: Array
    lr: Array


@dataclass(frozen=True)
class Shards:
    """The opened shards; the arrays are memory maps."""

    index: dict[str, Any]
    train_hr: Array
    train_lr: Array
    valid: list[Picture]

    @property
    def scale(self) -> int:
        return int(self.index["scale"])

    @property
    def tile(self) -> int:
        return int(self.index["tile"])


def load(folder: Path, scale: int | None = None) -> Shards:
    """Open the shards for reading.

    Raises InputError when they are missing, half-written, of another format, or not of the scale that is asked for.
    """
    try:
        index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{folder}: expected shards, found no index.json; run: dvc repro prepare") from None
    except ValueError as error:
        raise InputError(f"{folder}/index.json: expected JSON: {error}; run: dvc repro --force prepare") from None
    if index["format"] != FORMAT:
        raise InputError(f"{folder}: expected shards of format {FORMAT}, found {index['format']}; run: dvc repro prepare")
    if scale is not None and index["scale"] != scale:
        raise InputError(f"{folder}: expected shards of scale {scale}, found {index['scale']}; run: dvc repro prepare")
    try:
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in ARRAYS}
        wanted = index["shapes"]
        found = {name: list(array.shape) for name, array in arrays.items()}
        if found != wanted:
            raise ValueError(f"arrays of {wanted}, found {found}")
    except (OSError, ValueError) as error:
        raise InputError(f"{folder}: expected whole shards: {error}; run: dvc repro --force prepare") from None
    valid = list(_split(index, arrays["valid_hr"], arrays["valid_lr"]))
    return Shards(index, arrays["train_hr"], arrays["train_lr"], valid)


def verify(shards: Shards) -> None:
    """Compare the bytes of every picture with the checksum of when they were written. Raises InputError that names the others."""
    per_picture = [(name, len(list(tiles))) for name, tiles in groupby(shards.index["tiles"], itemgetter(0))]
    ends = np.cumsum([count for _, count in per_picture])
    halves = [
        (name, shards.train_hr[end - n : end], shards.train_lr[end - n : end])
        for (name, n), end in zip(per_picture, ends, strict=True)
    ]
    halves += [(picture.name, picture.hr, picture.lr) for picture in shards.valid]
    found = [[zlib.crc32(half.data) for half in (hr, lr)] for _, hr, lr in halves]
    if wrong := [name for (name, *_), one, two in zip(halves, found, shards.index["crc32"], strict=True) if one != two]:
        raise InputError(
            f"shards: expected the bytes that prepare wrote, found others for {', '.join(wrong)}; run: dvc repro --force prepare"
        )


def crops(shards: Shards, size: int, per_image: int, seed: int) -> tuple[Array, Array]:
    """Fixed crops of the validation pictures: uint8 hr (N, size, size, 3), lr (N, size/scale, size/scale, 3).

    `per_image` crops of each picture in turn, at places that depend on (seed, picture's number) alone.
    """
    scale, hrs, lrs = shards.scale, [], []
    for number, picture in enumerate(shards.valid):
        height, width = picture.lr.shape[:2]
        side = size // scale
        if min(height, width) < side:
            raise InputError(f"{picture.name}: expected at least {size}x{size} for a crop, found {picture.hr.shape[:2]}")
        rng = np.random.Generator(np.random.Philox(key=[seed, number]))
        for _ in range(per_image):
            top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
            lrs.append(picture.lr[top : top + side, left : left + side])
            hrs.append(picture.hr[top * scale :, left * scale :][:size, :size])
    return np.stack(hrs), np.stack(lrs)


def _split(index: dict[str, Any], hr: Array, lr: Array) -> Iterator[Picture]:
    start = start_lr = 0
    for name, height, width in index["valid"]:
        h, w = height // index["scale"], width // index["scale"]
        stop, stop_lr = start + height * width * 3, start_lr + h * w * 3
        yield Picture(name, hr[start:stop].reshape(height, width, 3), lr[start_lr:stop_lr].reshape(h, w, 3))
        start, start_lr = stop, stop_lr
