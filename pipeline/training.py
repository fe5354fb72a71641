"""The train loop."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning_fabric import Fabric
from torch import nn

from pipeline import batches, checkpoint, failures, registry, schedule, shards, state
from pipeline.errors import Stopped
from pipeline.images import to_tensor
from pipeline.metrics import psnr
from pipeline.run import Job, Run, average, begin, restore, values

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
COLUMNS = ("train_loss", "train_l1", "train_mse", "skipped", "stop", "gradient")
READ_EVERY = 16  # steps of a GPU between two looks at its losses, for each look waits for it; a CPU's are read at every step


class Progress(NamedTuple):
    """What a display is told after each step; `loss` is a tensor, so that only who shows it waits for it."""

    epoch: int
    step: int
    steps: int
    loss: torch.Tensor
    psnr: float | None


class Watch(NamedTuple):
    """Who is told what happens, and who may stop it: after each step, after each epoch, in words, and between two steps."""

    show: Callable[[Progress], None] = lambda progress: None
    record: Callable[[list[dict[str, Any]]], None] = lambda history: None
    tell: Callable[[str], None] = lambda text: None
    stop: Callable[[], bool] = lambda: False


QUIET = Watch()


def fit(
    job: Job, fabric: Fabric, work: Path, watch: Watch = QUIET, save_every: float = 60.0, compiled: bool = False
) -> list[dict[str, Any]]:
    """Train a variant; leave its checkpoints in `work` and return the history, a row per epoch.

    `work` also holds the state, saved in the background every `save_every` seconds and at each epoch; a killed run goes on from it
    to the same bytes. Checkpoints: epoch_NNN.safetensors every `checkpoint_every` epochs, last, and best. An epoch is the new best
    when its validation PSNR is higher than the best's *and* its validation loss (the variant's own) is lower: PSNR is a mean of
    logarithms and loss a mean of errors, so one alone may rise by what a single crop does.

    Raises FloatingPointError for a loss, gradient or validation that is not finite, Stopped when `watch.stop` says so, InputError.
    """
    train, total, saved = job.train, job.train.epochs * job.epoch_steps, time.monotonic()
    run, saver = begin(job, fabric, compiled), state.Writer(work)
    restore(run, fabric, state.load(work, watch.tell))
    if run.history:
        watch.record(run.history)
    valid = [to_tensor(crops).to(fabric.device) for crops in shards.crops(job.data, train.patch, train.valid_crops, job.seed)]
    drawn = (batches.draw(job.data, t, job.seed, train.batch_size, train.patch, train.augment) for t in range(run.step, total))
    places = (every.part(fabric.global_rank, fabric.world_size) for every in drawn)
    for hr, lr in batches.stream(job.data, places, train.patch, fabric.device):
        with failures.memory(run.model, lr, train.batch_size, fabric):
            take_step(run, job, fabric, hr, lr, watch.stop())
        watch.show(progress(run, job))
        ended, stopped = run.step % job.epoch_steps == 0, read(run, job, work)
        if ended:
            end_epoch(run, job, valid, work if fabric.is_global_zero else None)
            watch.record(run.history)
        if fabric.is_global_zero and (ended or stopped or time.monotonic() - saved > save_every):
            saver.save(values(run, fabric))
            saved = time.monotonic()
        if stopped and run.step < total:
            saver.wait()
            raise Stopped(f"stopped after step {run.step} of {total}; its state is kept, and the same command goes on from there")
    saver.wait()
    return run.history


def take_step(run: Run, job: Job, fabric: Fabric, hr: torch.Tensor, lr: torch.Tensor, stop: bool) -> None:
    """Forward, backward, update. A step whose loss exceeds `skip_spikes` times the last epoch's mean is counted and not made."""
    for group in (group for one in run.optimizers for group in one.param_groups):
        group["lr"] = schedule.rate(job.train, job.variant.lr, run.step)
    limit = job.train.skip_spikes * run.history[-1]["train_loss"] if job.train.skip_spikes and run.history else None
    buffers = [buffer.clone() for buffer in run.model.buffers()] if limit else []  # BatchNorm's means move in the forward pass
    sr = run.forward(lr)
    loss: torch.Tensor = registry.load("losses", job.variant.loss).loss(sr, hr)
    row = torch.stack([loss.detach(), *errors(sr.detach(), hr), loss.new_full((), 0.0), loss.new_full((), float(stop))])
    if fabric.world_size > 1:
        row = fabric.all_reduce(row, reduce_op="mean")  # type: ignore[assignment]
    norm = row.new_zeros(1)
    if limit and row[0].isfinite() and row[0] > limit:
        row = torch.stack([*loss.new_tensor([run.history[-1][name] for name in COLUMNS[:3]]), loss.new_tensor(1.0), row[4]])
        for buffer, old in zip(run.model.buffers(), buffers, strict=True):
            buffer.copy_(old)
    else:
        run.model.zero_grad(set_to_none=True)
        fabric.backward(loss)
        if job.train.precision != "16-mixed":  # whose scaler leaves out a step with such gradients, and goes on
            norm = nn.utils.get_total_norm([weight.grad for weight in run.model.parameters() if weight.grad is not None]).view(1)
        if job.train.clip_norm and job.train.precision == "16-mixed":  # unscales the gradients first; there is one optimiser then
            fabric.clip_gradients(run.forward, run.optimizers[0], max_norm=job.train.clip_norm, error_if_nonfinite=False)
        elif job.train.clip_norm:
            nn.utils.clip_grad_norm_(run.model.parameters(), job.train.clip_norm)
        for one in run.optimizers:
            one.step()
        if run.ema:
            average(run, job.train.ema)
    run.losses.append(torch.cat([row, norm.to(row.dtype)]))
    run.step += 1


def read(run: Run, job: Job, work: Path) -> bool:
    """Look at the losses every so often: is one or its gradient no finite number, and does a process want to stop?"""
    since = 1 if run.losses[-1].device.type == "cpu" else READ_EVERY
    if run.step % since and run.step % job.epoch_steps:
        return False
    rows = torch.stack(run.losses[-since:])
    if len(bad := torch.nonzero(~rows.isfinite().all(dim=1))):
        what = "gradient" if rows[int(bad[0]), :-1].isfinite().all() else "loss"
        raise failures.not_finite(job, run.step - len(rows) + int(bad[0]), work, what)
    return bool(rows[:, 4].any())


def end_epoch(run: Run, job: Job, valid: list[torch.Tensor], work: Path | None) -> None:
    """Add the epoch's row to the history, and save the checkpoints that it makes in `work`."""
    epoch, train = run.step // job.epoch_steps, job.train
    table = torch.stack(run.losses).double()
    if table[:, 3].all():
        raise FloatingPointError(f"every step of epoch {epoch} was skipped: the loss stays above train.skip_spikes; try a lower lr")
    row: dict[str, Any] = {"epoch": epoch, "lr": schedule.rate(train, job.variant.lr, run.step - 1)}
    row |= dict(zip(COLUMNS[:3], table.mean(dim=0).tolist(), strict=False)) | {"skipped": int(table[:, 3].sum())}
    row |= validate(run.scored, valid, registry.load("losses", job.variant.loss).loss, train.batch_size)
    if not all(map(math.isfinite, row.values())):
        raise FloatingPointError(f"validation after epoch {epoch} gives no finite number: {row}; try a lower lr or train.clip_norm")
    row["best"] = is_best(row, run.history)
    run.history.append(row)
    run.losses = []
    names = (
        [f"epoch_{epoch:03d}"] * (epoch % train.checkpoint_every == 0) + ["best"] * row["best"] + ["last"] * (epoch == train.epochs)
    )
    about = {"arch": job.variant.arch, "config": job.variant.rest, "scale": job.data.scale, "dataset": job.data.index["dataset"]}
    for name in names if work else []:
        checkpoint.save(work / f"{name}.safetensors", run.scored, {**about, "epoch": epoch})  # type: ignore[operator]


@torch.no_grad()
def validate(model: nn.Module, valid: list[torch.Tensor], loss_of: Loss, batch: int) -> dict[str, float]:
    """Loss, L1, MSE and PSNR (RGB, no border, not rounded) as means over the fixed validation crops, in [0, 1] units."""
    model.eval()
    dtype, rows = next(model.parameters()).dtype, []
    for hr, lr in zip(*(torch.split(half, batch) for half in valid), strict=True):
        sr = model(lr.to(dtype)).float()
        means = torch.stack([loss_of(sr, hr), *errors(sr, hr)]).double() * len(hr)
        rows.append(torch.cat([means, psnr.score(sr.clamp(0, 1), hr, 0).sum().view(1)]))
    model.train()
    total = torch.stack(rows).sum(dim=0) / len(valid[0])
    return dict(zip(("valid_loss", "valid_l1", "valid_mse", "valid_psnr"), total.tolist(), strict=True))


def errors(sr: torch.Tensor, hr: torch.Tensor) -> batches.Pair:
    """L1 and MSE, recorded for every variant: whatever it trains on, its curves can be compared."""
    difference = sr - hr
    return difference.abs().mean(), difference.square().mean()


def is_best(row: dict[str, Any], history: list[dict[str, Any]]) -> bool:
    before = [old for old in history if old["best"]][-1:]
    return all(row["valid_psnr"] > old["valid_psnr"] and row["valid_loss"] < old["valid_loss"] for old in before)


def progress(run: Run, job: Job) -> Progress:
    psnr_before = run.history[-1]["valid_psnr"] if run.history else None
    epoch = (run.step - 1) // job.epoch_steps + 1
    return Progress(epoch, run.step, job.train.epochs * job.epoch_steps, run.losses[-1][0], psnr_before)
