"""metrics/dataset.json: what the pictures are, from what each of them was found to be."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[np.uint8]
FLAT = 4.0  # deviation of an LR tile's values, in grey levels, below which it holds next to nothing to learn from
NEAR = 4  # of the 64 bits of a hash


def difference_hash(picture: Array) -> str:
    """A perceptual hash of 64 bits, in hexadecimal: whether each of 8x8 means of grey is darker than its right neighbour."""
    grey = np.asarray(Image.fromarray(picture).convert("L").resize((9, 8), Image.Resampling.BOX), np.int16)
    return np.packbits(grey[:, :-1] < grey[:, 1:]).tobytes().hex()


def _twins(train: list[dict[str, Any]], valid: list[dict[str, Any]]) -> list[list[str]]:
    """Pairs of a training and a validation picture that look alike: at most NEAR of 64 bits of their hashes differ."""
    ones, others = (np.array([int(row["hash"], 16) for row in rows], np.uint64) for rows in (train, valid))
    near = np.argwhere(np.bitwise_count(ones[:, None] ^ others) <= NEAR)
    return [[train[one]["name"], valid[other]["name"]] for one, other in near]


def moments(hr: Array) -> tuple[list[int], list[int]]:
    """Sums and sums of squares of each channel, exact for pictures of up to 66,000 rows; 16 rows at a time stay in the cache."""
    once, twice = (np.zeros(hr.shape[1] * 3, np.uint32) for _ in range(2))
    for top in range(0, len(hr), 16):
        rows = hr[top : top + 16].reshape(-1, len(once))
        once += rows.sum(axis=0, dtype=np.uint16)
        twice += np.square(rows, dtype=np.uint16).sum(axis=0, dtype=np.uint32)
    once, twice = (sums.reshape(-1, 3).sum(axis=0, dtype=np.int64) for sums in (once, twice))
    return once.tolist(), twice.tolist()


def flat(tiles: Array) -> int:
    """How many of the LR tiles (N, h, w, 3) are all but of one colour."""
    return int((tiles.std(axis=(1, 2, 3), dtype=np.float32) < FLAT).sum())


def make(entries: list[dict[str, Any]], card: dict[str, Any]) -> dict[str, Any]:
    """metrics/dataset.json: what was used of each picture, channel means and deviations, how official LR differs from ours, how
    many tiles are flat, and which pictures of the two sides look alike.
    """
    for side in ("train", "valid"):
        rows = [{key: value for key, value in entry.items() if key != "side"} for entry in entries if entry["side"] == side]
        pixels = sum(row["used"][0] * row["used"][1] for row in rows)
        total = np.array([row.pop("sum") for row in rows], np.int64).sum(axis=0)
        square = np.array([row.pop("square") for row in rows], np.int64).sum(axis=0)
        mean = total / pixels / 255
        deviation = np.sqrt(np.maximum(square / pixels / 255**2 - mean**2, 0))
        card[side] = {"mean": mean.round(6).tolist(), "deviation": deviation.round(6).tolist(), "pixels": pixels, "pictures": rows}
    card["twins"] = _twins(card["train"]["pictures"], card["valid"]["pictures"])
    return card
