"""Training batches: batch t depends on (seed, t) alone, so a resumed run needs only the step number."""

import numpy as np
from numpy.typing import NDArray

from pipeline.shards import Shards

Array = NDArray[np.uint8]


def batch(shards: Shards, step: int, seed: int, size: int, patch: int, augment: bool) -> tuple[Array, Array]:
    """The aligned batch of a step: uint8 hr (size, patch, patch, 3), lr (size, patch/scale, patch/scale, 3).

    Each sample is a tile drawn uniformly and a place in it drawn uniformly on the LR grid; with `augment` one of the eight
    flips and transposes, drawn uniformly, the same for HR and LR.
    """
    rng = np.random.Generator(np.random.Philox(key=[seed, step]))
    scale, side = shards.scale, patch // shards.scale
    tile = rng.integers(len(shards.train_hr), size=size)
    places = rng.integers(shards.tile // scale - side + 1, size=(2, size))
    turns = rng.integers(2, size=(3, size), dtype=np.int64) if augment else np.zeros((3, size), np.int64)
    hr = _gather(shards.train_hr, tile, places * scale, patch, turns)
    lr = _gather(shards.train_lr, tile, places, side, turns)
    return hr, lr


def _gather(tiles: Array, tile: NDArray[np.int64], places: NDArray[np.int64], side: int, turns: NDArray[np.int64]) -> Array:
    """Cut (side, side) patches; flips and transposes are done by the order in which pixels are gathered."""
    along = np.arange(side)
    flip_y, flip_x, transpose = turns.astype(bool)
    rows = places[0][:, None] + np.where(flip_y[:, None], along[::-1], along)
    cols = places[1][:, None] + np.where(flip_x[:, None], along[::-1], along)
    out = np.empty((len(tile), side, side, 3), np.uint8)
    for turned in (False, True):
        chosen = transpose == turned
        y, x = rows[chosen][:, :, None], cols[chosen][:, None, :]
        if turned:
            y, x = y.transpose(0, 2, 1), x.transpose(0, 2, 1)
        out[chosen] = tiles[tile[chosen][:, None, None], y, x]
    return out
