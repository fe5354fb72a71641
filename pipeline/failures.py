"""What is said when a training cannot go on."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn

from pipeline import batches, schedule
from pipeline.errors import InputError, out_of_memory
from pipeline.files import whole
from pipeline.run import Job


def not_finite(job: Job, step: int, work: Path, what: str) -> FloatingPointError:
    """The error for a loss or gradient that is NaN or infinite at a step (from 0): which batch it was, and where it lies."""
    train, number = job.train, step + 1
    places = batches.draw(job.data, step, job.seed, train.batch_size, train.patch, train.augment)
    hr, lr = batches.cut(job.data, places, train.patch)
    kept = work / f"bad_step_{number:06d}.npz"
    with whole(kept) as temporary, temporary.open("wb") as file:
        np.savez(file, hr=hr, lr=lr, tile=places.tile, top=places.top, left=places.left)
    pictures = sorted({job.data.index["tiles"][tile][0] for tile in places.tile})
    return FloatingPointError(
        f"{what} is no finite number at step {number} (epoch {step // job.epoch_steps + 1}), "
        f"lr {schedule.rate(train, job.variant.lr, step):g}, tiles {', '.join(map(str, places.tile))} of {', '.join(pictures)}; "
        f"the batch is kept as {kept}; try a lower lr, train.clip_norm, train.skip_spikes, or precision 32-true"
    )


@contextmanager
def memory(model: nn.Module, lr: torch.Tensor, size: int, fabric: Fabric) -> Iterator[None]:
    """Turn an allocation that failed into an InputError that says which batch size fits (of one process: DDP cannot be tried)."""
    try:
        yield
        return
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        reason = str(error).splitlines()[0]
        traceback.clear_frames(error.__traceback__)  # they hold what the failed step had allocated
    advice = "a smaller one may" if fabric.world_size > 1 else _advice(model, lr, fabric)
    raise InputError(f"train.batch_size: {size} does not fit into the memory of {lr.device}; {advice} ({reason})")


def _advice(model: nn.Module, lr: torch.Tensor, fabric: Fabric) -> str:
    """Names the largest half of a half ... of the batch whose forward and backward pass fit."""
    size = len(lr) // 2
    while size:
        model.zero_grad(set_to_none=True)
        if lr.device.type == "cuda":
            torch.cuda.empty_cache()
        try:
            with fabric.autocast():
                loss = model(lr[:size]).float().sum()
            loss.backward()
            return f"train.batch_size: {size} does"
        except RuntimeError:
            size //= 2
    return "not one patch does: a smaller model or patch"
