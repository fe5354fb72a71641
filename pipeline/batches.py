"""Training batches: batch t depends on (seed, t) alone, so a resumed run needs only the step number."""

import numpy as np
from numpy.typing import NDArray

from pipeline.shards import Shards

Array = NDArray[np.uint8]
Index = NDArray[np.int64]


def batch(shards: Shards, step: int, seed: int, size: int, patch: int, augment: bool) -> tuple[Array, Array]:
    """The aligned batch of a step: uint8 hr (size, patch, patch, 3), lr (size, patch/scale, patch/scale, 3).

    Each sample is a tile drawn uniformly and a place in it drawn uniformly on the LR grid; with `augment` one of the eight
    flips and transposes, drawn uniformly, the same for HR and LR.
    """
    rng = np.random.Generator(np.random.Philox(key=[seed, step]))
    scale, side = shards.scale, patch // shards.scale
    tile = rng.integers(len(shards.train_hr), size=size)
    top, left = rng.integers(shards.tile // scale - side + 1, size=(2, size))
    hr = _gather(shards.train_hr, tile, top, left, patch, scale)
    lr = _gather(shards.train_lr, tile, top, left, side, 1)
    if augment:
        turns = rng.integers(2, size=(3, size), dtype=np.int64).T.tolist()
        _turn(hr, turns)
        _turn(lr, turns)
    return hr, lr


def _gather(tiles: Array, tile: Index, top: Index, left: Index, side: int, step: int) -> Array:
    """Cut (side, side) windows at multiples of `step`: each row of a window is one item, so that numpy copies whole rows."""
    length = tiles.shape[1]
    places = (length - side) // step + 1
    strides = (length * length * 3, step * length * 3, step * 3, length * 3)
    windows = np.ndarray((len(tiles), places, places, side), f"V{side * 3}", tiles, strides=strides, offset=0)
    return windows[tile, top, left].view(np.uint8).reshape(-1, side, side, 3)


def _turn(patches: Array, turns: list[list[int]]) -> None:
    """Flip rows, flip columns, transpose each patch where its three bits say so; a pixel moves as one item of 3 bytes."""
    pixels = patches.view("V3")[..., 0]
    for patch, (flip_rows, flip_columns, transpose) in zip(pixels, turns, strict=True):
        turned = patch[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1]
        if flip_rows or flip_columns or transpose:
            patch[:] = (turned.T if transpose else turned).copy()
