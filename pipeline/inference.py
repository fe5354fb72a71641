"""Enlarge pictures with a trained model: whole or by tiles, as they are or averaged over the eight turns."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline import images
from pipeline.errors import InputError, out_of_memory

Image = NDArray[np.uint8]
Network = Callable[[torch.Tensor], torch.Tensor]


def enlarge(model: Network, lr: Image, device: torch.device, batch: int = 16) -> Image:
    """uint8 (N, h, w, 3) -> uint8 (N, h*scale, w*scale, 3), clamped and rounded; the model must be in evaluation mode.

    Raises InputError when a picture does not fit into the device's memory.
    """
    try:
        with torch.inference_mode():
            parts = [model(images.to_tensor(lr[start : start + batch]).to(device)) for start in range(0, len(lr), batch)]
            return np.concatenate([images.to_uint8(part) for part in parts])
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        size = f"{min(batch, len(lr))} of {lr.shape[2]}x{lr.shape[1]} LR pixels"
        raise InputError(f"evaluate.tile: {size} do not fit into the memory of {device} ({error}); try 256 or less") from None


def tiled(model: Network, scale: int, radius: int | None, side: int | None) -> Network:
    """The same network, which works on tiles of side x side LR pixels at a time: memory is bounded whatever the picture's size.

    Each tile sees `radius` pixels more on each side, its receptive field, so that tiles equal the whole but for rounding. A picture
    that fits into one tile, a model that looks at everything (radius None), and no `side`: whole.
    """
    if side is None or radius is None:
        return model

    def run(lr: torch.Tensor) -> torch.Tensor:
        count, _, height, width = lr.shape
        if max(height, width) <= side:
            return model(lr)
        sr = torch.empty(count, 3, height * scale, width * scale, device=lr.device)
        for top, bottom, upper, lower in _cuts(height, side, radius):
            for left, right, start, end in _cuts(width, side, radius):
                part = model(lr[:, :, upper:lower, start:end])
                inner = part[
                    :, :, (top - upper) * scale : (bottom - upper) * scale, (left - start) * scale : (right - start) * scale
                ]
                sr[:, :, top * scale : bottom * scale, left * scale : right * scale] = inner
        return sr

    return run


def _cuts(length: int, side: int, radius: int) -> Iterator[tuple[int, int, int, int]]:
    """First and end of each tile along one axis, and the same with what it sees around it."""
    for first in range(0, length, side):
        end = min(first + side, length)
        yield first, end, max(first - radius, 0), min(end + radius, length)


def self_ensemble(model: Network) -> Network:
    """The mean over the eight flips and transposes, each turned back ("+": Timofte et al., Seven Ways to Improve, CVPR 2016)."""

    def run(lr: torch.Tensor) -> torch.Tensor:
        total = torch.zeros(())
        for flips in ((), (2,), (3,), (2, 3)):
            for transpose in (False, True):
                turned = lr.flip(flips).transpose(2, 3) if transpose else lr.flip(flips)
                sr = model(turned)
                total = total.to(sr.device) + (sr.transpose(2, 3) if transpose else sr).flip(flips)
        return total / 8

    return run
