"""Make the shards: every picture decoded once, on all cores, into its own place of the memory-mapped files."""

import math
import shutil
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import joblib
import numpy as np
from numpy.typing import NDArray

from pipeline import card, pictures, resize, shards
from pipeline.errors import InputError, attempt, together
from pipeline.files import write_json

Array = NDArray[np.uint8]
Places = list[tuple[int, int]]
Side = Literal["train", "valid"]
Lr = Literal["bicubic", "official"]
SIDES: tuple[Side, Side] = ("train", "valid")


class Job(NamedTuple):
    """One picture: where it lies, and where its tiles (or, for validation, its bytes) go."""

    side: Side
    name: str
    hr: pictures.Picture
    lr: pictures.Picture | None
    shape: tuple[int, int]
    places: Places
    start: tuple[int, int]


def prepare(
    raw: Path,
    out: Path,
    scale: int,
    tile: int,
    lr: Lr,
    dataset: dict[str, Any],
    workers: int = -1,
    small: Literal["refuse", "skip"] = "refuse",
) -> dict[str, Any]:
    """Cut raw/train_hr into aligned tiles and lay raw/valid_hr down whole; write the shards to `out` and return the data card.

    Sides that are no multiple of `scale` are cropped at the bottom and right. LR is made from the whole picture by
    `resize.downscale` ("bicubic") or read from raw/train_lr and raw/valid_lr ("official"). Tiles cover each training picture, the
    last ones pushed back to its edge; a training picture smaller than a tile is refused or skipped, as `small` says. joblib maps
    the pictures, on `workers` processes (-1: one a core) or on whatever backend is registered with it; no order and no number of
    workers changes a byte. Raises InputError, with every problem at once, for pictures that do not pair, decode or fit, and for a
    disk that is too small.
    """
    plans = together(attempt(_plan, raw, side, scale, tile, lr, small) for side in SIDES)
    jobs, skipped = [job for plan in plans for job in plan[0]], [name for plan in plans for name in plan[1]]
    tiles = [[job.name, top, left] for job in jobs if job.side == "train" for top, left in job.places]
    valid = [job for job in jobs if job.side == "valid"]
    shapes = _shapes(len(tiles), valid[-1], tile, scale)
    _lay_out(out, shapes)
    entries = together(joblib.Parallel(n_jobs=workers)(joblib.delayed(attempt)(_work, job, out, scale, tile, lr) for job in jobs))
    index = {
        "format": shards.FORMAT, "scale": scale, "tile": tile, "dataset": dataset["source"], "shapes": shapes, "tiles": tiles,
        "valid": [[job.name, *job.shape] for job in valid], "crc32": [entry.pop("crc32") for entry in entries],
    }  # fmt: skip
    write_json(out / "index.json", index)
    sizes = {"raw": _bytes(raw), "shards": _bytes(out)}
    about = {"dataset": dataset, "scale": scale, "tile": tile, "tiles": len(tiles), "lr": lr, "skipped": skipped}
    return card.make(entries, {**about, "bytes": sizes})


def _shapes(tiles: int, last: Job, tile: int, scale: int) -> dict[str, list[int]]:
    """The shape of each array; `last` is the last of the validation pictures, which lie end to end."""
    total, side = last.start[0] + last.shape[0] * last.shape[1] * 3, tile // scale
    train = {"train_hr": [tiles, tile, tile, 3], "train_lr": [tiles, side, side, 3]}
    return {**train, "valid_hr": [total], "valid_lr": [total // scale**2]}


def _lay_out(out: Path, shapes: dict[str, list[int]]) -> None:
    """The arrays as empty files, for each picture to be written to its own place; the index, which makes them whole, is last."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "index.json").unlink(missing_ok=True)  # no reader may take what follows for whole
    for name in shapes:
        (out / f"{name}.npy").unlink(missing_ok=True)
    needed, free = sum(math.prod(shape) for shape in shapes.values()), shutil.disk_usage(out).free
    if needed > free:
        raise InputError(f"{out}: expected room for {needed} bytes of shards, found {free}; free some, or leave pictures out")
    for name, shape in shapes.items():
        with _room(out / f"{name}.npy", math.prod(shape)):
            np.lib.format.open_memmap(out / f"{name}.npy", mode="w+", dtype=np.uint8, shape=tuple(shape)).flush()


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _plan(raw: Path, side: Side, scale: int, tile: int, lr: Lr, rule: str) -> tuple[list[Job], list[str]]:
    """Pair HR and LR by name and give each picture its places, from the headers alone; and the names of those left out as small."""
    hr = pictures.listing(raw, f"{side}_hr")
    if not hr:
        raise InputError(f"{raw / side}_hr: expected PNG pictures, found none; run: dvc repro fetch")
    small = _named_after_hr(pictures.listing(raw, f"{side}_lr"), scale)
    if (small or lr == "official") and (odd := sorted(hr.keys() ^ small.keys())):
        named = ", ".join(f"{name} ({'no LR' if name in hr else 'no HR'} of this name)" for name in odd[:20])
        raise InputError(f"{raw / side}_lr: expected a pair for every picture, found {len(odd)} without: {named}")
    least, key = (tile, "prepare.tile") if side == "train" else (scale, "scale")
    sizes = dict(zip(hr, together(attempt(pictures.size, picture) for picture in hr.values()), strict=True))
    less = [name for name, size in sizes.items() if min(size) < least]
    if less and (rule == "refuse" or len(less) == len(hr)):
        expected = f"expected at least {least}x{least} ({key}), found"
        advice = "leave it out or set prepare.small: skip"
        together(InputError(f"{hr[name].where}: {expected} {sizes[name][0]}x{sizes[name][1]}; {advice}") for name in less)
    jobs, start = [], (0, 0)
    for name in (name for name in hr if name not in less):
        height, width = sizes[name]
        shape = height - height % scale, width - width % scale
        places = _places(shape, tile) if side == "train" else []
        jobs.append(Job(side, name, hr[name], small.get(name), shape, places, start))
        bytes_ = shape[0] * shape[1] * 3
        start = (start[0] + len(places), 0) if side == "train" else (start[0] + bytes_, start[1] + bytes_ // scale**2)
    return jobs, less


def _named_after_hr(small: Mapping[str, pictures.Picture], scale: int) -> dict[str, pictures.Picture]:
    """0001x4 -> 0001: the benchmarks' names of LR pictures."""
    return {name.removesuffix(f"x{scale}"): picture for name, picture in small.items()}


def _places(shape: tuple[int, int], tile: int) -> Places:
    tops, lefts = ([*range(0, side - tile, tile), side - tile] for side in shape)
    return [(top, left) for top in tops for left in lefts]


def _work(job: Job, out: Path, scale: int, tile: int, lr: Lr) -> dict[str, Any]:
    """Decode one picture, write its part of the shards, and return its entry of the card."""
    found = pictures.read(job.hr)
    hr = np.ascontiguousarray(resize.crop_to_multiple(found, scale))
    small = resize.downscale(hr, scale)
    entry: dict[str, Any] = {"side": job.side, "name": job.name, "found": found.shape[:2], "used": hr.shape[:2]}
    if job.lr is not None:
        official = pictures.read(job.lr)[: small.shape[0], : small.shape[1]]
        if official.shape != small.shape:
            raise InputError(f"{job.lr.where}: expected {small.shape[:2]}, HR / {scale}, found {official.shape[:2]}")
        difference = np.abs(official.astype(np.int16) - small)
        entry["lr_equal"], entry["lr_largest"] = float((difference == 0).mean()), int(difference.max())
        small = np.ascontiguousarray(official) if lr == "official" else small
    entry["hash"] = card.difference_hash(small)
    entry["sum"], entry["square"] = card.moments(hr)
    written = hr, small
    if job.side == "train":
        written = _tiles(hr, job.places, tile, 1), _tiles(small, job.places, tile, scale)
        entry["flat_tiles"] = card.flat(written[1])
    for kind, half, first in zip(("hr", "lr"), written, (job.start[0], job.start[job.side == "valid"]), strict=True):
        _write(out / f"{job.side}_{kind}.npy", half, first)
    entry["crc32"] = [zlib.crc32(half.data) for half in written]
    return entry


def _tiles(picture: Array, places: Places, tile: int, factor: int) -> Array:
    """The tiles of a picture, uint8 (tiles, tile / factor, tile / factor, 3)."""
    side = tile // factor
    tiles = np.empty((len(places), side, side, 3), np.uint8)
    for one, (top, left) in zip(tiles, places, strict=True):
        one[:] = picture[top // factor :, left // factor :][:side, :side]
    return tiles


def _write(path: Path, values: Array, first: int) -> None:
    """Put values into an array's file from its item `first` on. Written, not mapped: a full disk is then an error, not a signal."""
    array = np.load(path, mmap_mode="r")
    with _room(path, array.nbytes), path.open("r+b") as file:
        file.seek(array.offset + first * array.strides[0])
        file.write(values.data)


@contextmanager
def _room(path: Path, size: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: expected room for {size} bytes: {error.strerror}; free some and run again") from None
