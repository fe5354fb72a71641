"""Make the shards: every picture decoded once, on all cores, into its own place of the memory-mapped files."""

import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import joblib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline import images, pictures, resize, shards
from pipeline.errors import InputError
from pipeline.files import write_json

Array = NDArray[np.uint8]
FLAT = 4.0  # deviation of an LR tile's values, in grey levels, below which it holds next to nothing to learn from
NEAR = 4
Places = list[tuple[int, int]]


class Job(NamedTuple):
    """One picture: where it lies, and where its tiles (or, for validation, its bytes) go."""

    side: Literal["train", "valid"]
    name: str
    hr: pictures.Picture
    lr: pictures.Picture | None
    shape: tuple[int, int]
    places: Places
    start: tuple[int, int]


def prepare(
    raw: Path, out: Path, scale: int, tile: int, lr: Literal["bicubic", "official"], dataset: dict[str, Any], workers: int = -1
) -> dict[str, Any]:
    """Cut raw/train_hr into aligned tiles and lay raw/valid_hr down whole; write the shards to `out` and return the data card.

    Sides that are no multiple of `scale` are cropped at the bottom and right. LR is made from the whole picture by
    `resize.downscale` ("bicubic") or read from raw/train_lr and raw/valid_lr ("official"). Tiles cover each training picture, the
    last ones pushed back to its edge. joblib maps the pictures, on `workers` processes (-1: one a core) or on whatever backend is
    registered with it; no order and no number of workers changes a byte. Raises InputError for pictures that do not pair, decode
    or fit.
    """
    jobs = [*_plan(raw, "train", scale, tile, lr), *_plan(raw, "valid", scale, tile, lr)]
    tiles = [[job.name, top, left] for job in jobs if job.side == "train" for top, left in job.places]
    valid = [job for job in jobs if job.side == "valid"]
    total = valid[-1].start[0] + valid[-1].shape[0] * valid[-1].shape[1] * 3
    small = tile // scale
    shapes = {
        "train_hr": [len(tiles), tile, tile, 3],
        "train_lr": [len(tiles), small, small, 3],
        "valid_hr": [total],
        "valid_lr": [total // scale**2],
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "index.json").unlink(missing_ok=True)  # no reader may take what follows for whole
    for name, shape in shapes.items():
        np.lib.format.open_memmap(out / f"{name}.npy", mode="w+", dtype=np.uint8, shape=tuple(shape)).flush()
    entries = joblib.Parallel(n_jobs=workers)(joblib.delayed(_work)(job, out, scale, tile, lr) for job in jobs)
    index = {
        "format": shards.FORMAT, "scale": scale, "tile": tile, "dataset": dataset["source"], "shapes": shapes, "tiles": tiles,
        "valid": [[job.name, *job.shape] for job in valid], "crc32": [entry.pop("crc32") for entry in entries],
    }  # fmt: skip
    write_json(out / "index.json", index)
    sizes = {"raw": _bytes(raw), "shards": _bytes(out)}
    return _card(entries, {"dataset": dataset, "scale": scale, "tile": tile, "tiles": len(tiles), "lr": lr, "bytes": sizes})


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _plan(raw: Path, side: Literal["train", "valid"], scale: int, tile: int, lr: str) -> Iterator[Job]:
    """Pair HR and LR by name and give each picture its places, from the headers alone."""
    hr = pictures.listing(raw, f"{side}_hr")
    if not hr:
        raise InputError(f"{raw / side}_hr: expected PNG pictures, found none; run: dvc repro fetch")
    small = _named_after_hr(pictures.listing(raw, f"{side}_lr"), scale)
    if (small or lr == "official") and (odd := sorted(hr.keys() ^ small.keys())):
        where = "HR has no LR of this name" if odd[0] in hr else "LR has no HR of this name"
        raise InputError(f"{raw / side}_lr: expected a pair for every picture, found {len(odd)} without, as {odd[0]}: {where}")
    start = (0, 0)
    for name, picture in hr.items():
        height, width = pictures.size(picture)
        shape = height - height % scale, width - width % scale
        if min(shape) < (tile if side == "train" else scale):
            least, key = (tile, "prepare.tile") if side == "train" else (scale, "scale")
            raise InputError(f"{picture.where}: expected at least {least}x{least} ({key}), found {height}x{width}; leave it out")
        places = _places(shape, tile) if side == "train" else []
        yield Job(side, name, picture, small.get(name), shape, places, start)
        bytes_ = shape[0] * shape[1] * 3
        start = (start[0] + len(places), 0) if side == "train" else (start[0] + bytes_, start[1] + bytes_ // scale**2)


def _named_after_hr(small: Mapping[str, pictures.Picture], scale: int) -> dict[str, pictures.Picture]:
    """0001x4 -> 0001: the benchmarks' names of LR pictures."""
    return {name.removesuffix(f"x{scale}"): picture for name, picture in small.items()}


def _places(shape: tuple[int, int], tile: int) -> Places:
    tops, lefts = ([*range(0, side - tile, tile), side - tile] for side in shape)
    return [(top, left) for top in tops for left in lefts]


def _work(job: Job, out: Path, scale: int, tile: int, lr: str) -> dict[str, Any]:
    """Decode one picture, write its part of the shards, and return its entry of the card."""
    found = pictures.read(job.hr)
    hr = np.ascontiguousarray(images.crop_to_multiple(found, scale))
    small = resize.downscale(hr, scale)
    entry: dict[str, Any] = {"side": job.side, "name": job.name, "found": found.shape[:2], "used": hr.shape[:2]}
    if job.lr is not None:
        official = pictures.read(job.lr)[: small.shape[0], : small.shape[1]]
        if official.shape != small.shape:
            raise InputError(f"{job.lr.where}: expected {small.shape[:2]}, HR / {scale}, found {official.shape[:2]}")
        difference = np.abs(official.astype(np.int16) - small)
        entry["lr_equal"], entry["lr_largest"] = float((difference == 0).mean()), int(difference.max())
        small = official if lr == "official" else small
    entry["hash"] = _difference_hash(small)
    entry["crc32"] = [zlib.crc32(picture.tobytes()) for picture in (hr, small)]
    entry["sum"], entry["square"] = _moments(hr)
    for kind, picture, factor in (("hr", hr, 1), ("lr", small, scale)):
        array = np.lib.format.open_memmap(out / f"{job.side}_{kind}.npy", mode="r+")
        if job.side == "valid":
            start = job.start[0 if kind == "hr" else 1]
            array[start : start + picture.size] = picture.reshape(-1)
        side = tile // factor
        for number, (top, left) in enumerate(job.places):
            array[job.start[0] + number] = picture[top // factor :, left // factor :][:side, :side]
    side = tile // scale
    tiles = [small[top // scale :, left // scale :][:side, :side] for top, left in job.places]
    entry["flat_tiles"] = sum(bool(one.std() < FLAT) for one in tiles)
    return entry


def _difference_hash(picture: Array) -> str:
    """A perceptual hash of 64 bits, in hexadecimal: whether each of 8x8 means of grey is darker than its right neighbour."""
    grey = np.asarray(Image.fromarray(picture).convert("L").resize((9, 8), Image.Resampling.BOX), np.int16)
    return np.packbits(grey[:, :-1] < grey[:, 1:]).tobytes().hex()


def _twins(train: list[dict[str, Any]], valid: list[dict[str, Any]]) -> list[list[str]]:
    """Pairs of a training and a validation picture that look alike: at most NEAR of 64 bits of their hashes differ."""
    ones, others = (np.array([int(row["hash"], 16) for row in rows], np.uint64) for rows in (train, valid))
    near = np.argwhere(np.bitwise_count(ones[:, None] ^ others) <= NEAR)
    return [[train[one]["name"], valid[other]["name"]] for one, other in near]


def _moments(hr: Array) -> tuple[list[int], list[int]]:
    """Sums and sums of squares of each channel, for pictures of up to 66,000 rows."""
    rows = hr.reshape(len(hr), -1)
    once = rows.sum(axis=0, dtype=np.uint32).reshape(-1, 3).sum(axis=0, dtype=np.int64)
    twice = np.square(rows, dtype=np.uint16).sum(axis=0, dtype=np.uint32).reshape(-1, 3).sum(axis=0, dtype=np.int64)
    return once.tolist(), twice.tolist()


def _card(entries: list[dict[str, Any]], card: dict[str, Any]) -> dict[str, Any]:
    """metrics/dataset.json: what was used of each picture, channel means and deviations, how official LR differs from ours, how
    many tiles are flat, and which pictures of the two sides look alike.
    """
    for side in ("train", "valid"):
        rows = [{key: value for key, value in entry.items() if key != "side"} for entry in entries if entry["side"] == side]
        pixels = sum(row["used"][0] * row["used"][1] for row in rows)
        total = np.array([row.pop("sum") for row in rows], np.int64).sum(axis=0)
        square = np.array([row.pop("square") for row in rows], np.int64).sum(axis=0)
        mean = total / pixels / 255
        deviation = np.sqrt(square / pixels / 255**2 - mean**2)
        card[side] = {"mean": mean.round(6).tolist(), "deviation": deviation.round(6).tolist(), "pixels": pixels, "pictures": rows}
    card["twins"] = _twins(card["train"]["pictures"], card["valid"]["pictures"])
    return card
