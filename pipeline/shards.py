"""HR/LR pairs as a few large memory-mapped files: training tiles, and whole validation pictures.

train_hr.npy  uint8 (tiles, tile, tile, 3)           train_lr.npy  the same places at tile / scale
valid_hr.npy  uint8 (bytes,), pictures end to end    valid_lr.npy  likewise
index.json    format, scale, tile, data set, place of each tile and picture, SHA-256 of the four files; written last
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import images, resize
from pipeline.errors import InputError
from pipeline.files import sha256, whole, write_json

FORMAT = 1
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


def prepare(raw: Path, out: Path, scale: int, tile: int, dataset: dict[str, Any]) -> dict[str, Any]:
    """Cut raw/train/*.png into aligned tiles and raw/valid/*.png into whole pairs; write the shards to `out`.

    Sides that are no multiple of `scale` are cropped at the bottom and right. LR is made by `resize.downscale` from the whole
    picture, before tiles are cut. Tiles cover each training picture, the last ones pushed back to its edge. Returns the data
    card: for each picture its name, found and used (height, width). Raises InputError for a picture that is smaller than a tile.
    """
    train, valid = _pictures(raw / "train"), _pictures(raw / "valid")
    card: dict[str, Any] = {"dataset": dataset, "scale": scale, "tile": tile}
    index: dict[str, Any] = {"format": FORMAT, "scale": scale, "tile": tile, "dataset": dataset, "tiles": [], "valid": []}
    tiles: dict[str, list[Array]] = {"hr": [], "lr": []}
    whole_pictures: dict[str, list[Array]] = {"hr": [], "lr": []}
    card["train"] = []
    for path in train:
        hr, lr, entry = _pair(path, scale)
        card["train"].append(entry)
        for top, left in _places(path, hr.shape[:2], tile, scale):
            index["tiles"].append([path.stem, top, left])
            tiles["hr"].append(hr[top : top + tile, left : left + tile])
            tiles["lr"].append(lr[top // scale :, left // scale :][: tile // scale, : tile // scale])
    card["valid"] = []
    for path in valid:
        hr, lr, entry = _pair(path, scale)
        card["valid"].append(entry)
        index["valid"].append([path.stem, *hr.shape[:2]])
        whole_pictures["hr"].append(hr.reshape(-1))
        whole_pictures["lr"].append(lr.reshape(-1))
    card["tiles"] = len(index["tiles"])
    for kind in ("hr", "lr"):
        _save(out / f"train_{kind}.npy", np.stack(tiles[kind]))
        _save(out / f"valid_{kind}.npy", np.concatenate(whole_pictures[kind]))
    index["sha256"] = {name: sha256(out / f"{name}.npy") for name in ARRAYS}
    write_json(out / "index.json", index)
    return card


def load(folder: Path) -> Shards:
    """Open the shards for reading. Raises InputError when they are missing, half-written or of another format."""
    try:
        index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{folder}: expected shards, found no index.json; run: dvc repro prepare") from None
    if index["format"] != FORMAT:
        raise InputError(f"{folder}: expected shards of format {FORMAT}, found {index['format']}; run: dvc repro prepare")
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in ARRAYS}
    valid = list(_split(index, arrays["valid_hr"], arrays["valid_lr"]))
    return Shards(index, arrays["train_hr"], arrays["train_lr"], valid)


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


def _pictures(folder: Path) -> list[Path]:
    found = sorted(folder.glob("*.png"))
    if not found:
        raise InputError(f"{folder}: expected PNG pictures, found none; run: dvc repro fetch")
    return found


def _pair(path: Path, scale: int) -> tuple[Array, Array, dict[str, Any]]:
    found = images.read(path)
    hr = np.ascontiguousarray(images.crop_to_multiple(found, scale))
    if hr.size == 0:
        raise InputError(f"{path}: expected at least {scale}x{scale} pixels, found {found.shape[:2]}")
    return hr, resize.downscale(hr, scale), {"name": path.stem, "found": found.shape[:2], "used": hr.shape[:2]}


def _places(path: Path, shape: tuple[int, ...], tile: int, scale: int) -> Iterator[tuple[int, int]]:
    if min(shape) < tile:
        raise InputError(
            f"{path}: expected a training picture of at least {tile}x{tile} (prepare.tile), found {shape[0]}x{shape[1]}; "
            "make prepare.tile smaller or leave the picture out"
        )
    tops, lefts = ([*range(0, side - tile, tile), side - tile] for side in shape)
    return ((top, left) for top in tops for left in lefts)


def _split(index: dict[str, Any], hr: Array, lr: Array) -> Iterable[Picture]:
    start = start_lr = 0
    for name, height, width in index["valid"]:
        h, w = height // index["scale"], width // index["scale"]
        stop, stop_lr = start + height * width * 3, start_lr + h * w * 3
        yield Picture(name, hr[start:stop].reshape(height, width, 3), lr[start_lr:stop_lr].reshape(h, w, 3))
        start, start_lr = stop, stop_lr


def _save(path: Path, array: Array) -> None:
    with whole(path) as temporary, temporary.open("wb") as file:
        np.save(file, array)
