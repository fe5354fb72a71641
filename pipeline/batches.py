"""Training batches: batch t depends on (seed, t) alone, so a resumed run needs only the step number."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline import images
from pipeline.shards import Shards

Array = NDArray[np.uint8]
Index = NDArray[np.int64]
Pair = tuple[torch.Tensor, torch.Tensor]
RESIDENT = 0.5  # the share of a GPU's free memory that the tiles may take
BITS = (1, 2, 4)  # of a turn: flips the rows, flips the columns, transposes


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

    A thread draws and cuts the next one while the step before runs: from tiles that lie in the device's memory where they fit
    (`resident`; by default on a GPU with room), else from the memory maps, through pinned memory.
    """
    on_gpu = device.type == "cuda"
    picks = []
    if _fits(shards, device) if resident is None else resident:
        sides = (shards.train_hr, patch, shards.scale), (shards.train_lr, patch // shards.scale, 1)
        picks = [_resident(tiles, side, step, device) for tiles, side, step in sides]

    def ahead() -> list[torch.Tensor] | None:
        if on_gpu:
            torch.cuda.set_device(device)  # a thread begins with the first one
        one = next(places, None)
        if one is None:
            return None
        if picks:
            return [pick(one) for pick in picks]
        halves = [torch.from_numpy(half) for half in cut(shards, one, patch)]
        return [half.pin_memory() for half in halves] if on_gpu else halves

    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(ahead)
        while ready := waiting.result():
            waiting = thread.submit(ahead)
            hr, lr = (images.to_float(half.to(device, non_blocking=True)) for half in ready)
            yield hr, lr


def _fits(shards: Shards, device: torch.device) -> bool:
    needed = shards.train_hr.nbytes + shards.train_lr.nbytes
    return device.type == "cuda" and needed < RESIDENT * torch.cuda.mem_get_info(device)[0]


def _resident(tiles: Array, side: int, step: int, device: torch.device) -> Callable[[Places], torch.Tensor]:
    """Copy the tiles to the device; the function returned cuts and turns a batch there: uint8 (N, side, side, 3).

    A patch's pixels lie at its corner plus offsets that depend on its turn alone.
    """
    length = tiles.shape[1]
    pixels = torch.from_numpy(np.array(tiles)).to(device).view(-1, 3)
    grid = np.arange(side)[:, None] * length + np.arange(side)
    turned = [_turned(grid, *(bool(turn & bit) for bit in BITS)) for turn in range(8)]
    offsets = torch.from_numpy(np.stack(turned)).to(device)

    def pick(places: Places) -> torch.Tensor:
        corner = (places.tile * length + places.top * step) * length + places.left * step
        turn = np.zeros_like(corner) if places.turn is None else np.array(BITS) @ places.turn
        corners, turns = torch.from_numpy(np.stack([corner, turn])).to(device, non_blocking=True)
        return pixels[offsets[turns] + corners[:, None, None]]

    return pick


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
    for patch, turn in zip(pixels, turns, strict=True):
        if any(turn):
            patch[:] = _turned(patch, *map(bool, turn)).copy()


def _turned(patch: NDArray[Any], flip_rows: bool, flip_columns: bool, transpose: bool) -> NDArray[Any]:
    turned = patch[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1]
    return turned.T if transpose else turned
