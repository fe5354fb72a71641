"""Training batches: batch t depends on (seed, t) alone, so a resumed run needs only the step number."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline import images
from pipeline.shards import Shards

Array = NDArray[np.uint8]
Index = NDArray[np.int64]
Pair = tuple[torch.Tensor, torch.Tensor]
RESIDENT = 0.5  # the share of a GPU's free memory that the tiles may take


class Places(NamedTuple):
    """What a batch is cut from: tile, top and left in LR pixels, each (size,); turn, (3, size), where patches are turned.

    A turn flips the rows, flips the columns, then transposes, as its three bits say: the eight flips and transposes.
    """

    tile: Index
    top: Index
    left: Index
    turn: Index | None

    def part(self, rank: int, world: int) -> "Places":
        """The share of one of several processes: every world-th patch."""
        mine = slice(rank, None, world)
        return Places(self.tile[mine], self.top[mine], self.left[mine], None if self.turn is None else self.turn[:, mine])


def draw(shards: Shards, step: int, seed: int, size: int, patch: int, augment: bool) -> Places:
    """The places of a step's batch: a tile drawn uniformly, a place in it on the LR grid, and with `augment` a turn, alike."""
    rng = np.random.Generator(np.random.Philox(key=[seed, step]))
    tile = rng.integers(len(shards.train_hr), size=size)
    top, left = rng.integers((shards.tile - patch) // shards.scale + 1, size=(2, size))
    return Places(tile, top, left, rng.integers(2, size=(3, size)) if augment else None)


def cut(shards: Shards, places: Places, patch: int) -> tuple[Array, Array]:
    """The aligned patches: uint8 hr (size, patch, patch, 3), lr (size, patch/scale, patch/scale, 3), turned alike."""
    tile, top, left, turn = places
    hr = _gather(shards.train_hr, tile, top, left, patch, shards.scale)
    lr = _gather(shards.train_lr, tile, top, left, patch // shards.scale, 1)
    if turn is not None:
        _turn(hr, turn.T.tolist())
        _turn(lr, turn.T.tolist())
    return hr, lr


def batch(shards: Shards, step: int, seed: int, size: int, patch: int, augment: bool) -> tuple[Array, Array]:
    """The batch of a step, drawn and cut."""
    return cut(shards, draw(shards, step, seed, size, patch, augment), patch)


def stream(
    shards: Shards, places: Iterator[Places], patch: int, device: torch.device, resident: bool | None = None
) -> Iterator[Pair]:
    """The batches as float32 (hr, lr) on `device`, (N, 3, H, W) in [0, 1].

    From tiles that lie in the device's memory where they fit (`resident`; by default on a GPU with room), else cut by a thread
    while the step before runs, and copied from pinned memory.
    """
    if _fits(shards, device) if resident is None else resident:
        tiles = [torch.from_numpy(np.array(one)).to(device) for one in (shards.train_hr, shards.train_lr)]
        for one in places:
            yield _pick(tiles[0], one, patch, shards.scale), _pick(tiles[1], one, patch // shards.scale, 1)
        return
    pinned = device.type == "cuda"
    with ThreadPoolExecutor(1) as thread:
        loads = (thread.submit(_load, shards, one, patch, pinned) for one in places)
        waiting = next(loads, None)
        while waiting:
            ready, waiting = waiting.result(), next(loads, None)
            hr, lr = (images.to_float(half.to(device, non_blocking=True)) for half in ready)
            yield hr, lr


def _load(shards: Shards, places: Places, patch: int, pinned: bool) -> list[torch.Tensor]:
    halves = [torch.from_numpy(half) for half in cut(shards, places, patch)]
    return [half.pin_memory() for half in halves] if pinned else halves


def _fits(shards: Shards, device: torch.device) -> bool:
    needed = shards.train_hr.nbytes + shards.train_lr.nbytes
    return device.type == "cuda" and needed < RESIDENT * torch.cuda.mem_get_info(device)[0]


def _pick(tiles: torch.Tensor, places: Places, side: int, step: int) -> torch.Tensor:
    """Cut and turn on the tiles' device: the turns are arithmetic on the indices of rows and columns."""
    moved = [torch.from_numpy(one).to(tiles.device, non_blocking=True) for one in (places.tile, places.top, places.left)]
    tile, top, left = (one[:, None, None] for one in moved)
    rows = torch.arange(side, device=tiles.device)[None, :, None]
    columns = rows.transpose(1, 2)
    if places.turn is not None:
        flip_rows, flip_columns, transpose = torch.from_numpy(places.turn).to(tiles.device)[:, :, None, None].bool()
        rows, columns = torch.where(transpose, columns, rows), torch.where(transpose, rows, columns)
        rows = torch.where(flip_rows, side - 1 - rows, rows)
        columns = torch.where(flip_columns, side - 1 - columns, columns)
    return images.to_float(tiles[tile, top * step + rows, left * step + columns])


def _gather(tiles: Array, tile: Index, top: Index, left: Index, side: int, step: int) -> Array:
    """Cut (side, side) windows at multiples of `step`: each row of a window is one item, so that numpy copies whole rows."""
    length = tiles.shape[1]
    places = (length - side) // step + 1
    strides = (length * length * 3, step * length * 3, step * 3, length * 3)
    windows = np.ndarray((len(tiles), places, places, side), f"V{side * 3}", tiles, strides=strides, offset=0)
    return windows[tile, top, left].view(np.uint8).reshape(-1, side, side, 3)


def _turn(patches: Array, turns: list[list[int]]) -> None:
    """Turn each patch in place; a pixel moves as one item of 3 bytes."""
    pixels = patches.view("V3")[..., 0]
    for patch, (flip_rows, flip_columns, transpose) in zip(pixels, turns, strict=True):
        turned = patch[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1]
        if flip_rows or flip_columns or transpose:
            patch[:] = (turned.T if transpose else turned).copy()
