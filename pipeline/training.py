"""The train loop."""

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning_fabric import Fabric
from torch import nn

from pipeline import batches, checkpoint, images, registry, shards
from pipeline.config import Train, Variant
from pipeline.files import whole
from pipeline.metrics import psnr

Pair = tuple[torch.Tensor, torch.Tensor]
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class Progress(NamedTuple):
    """What a display is told after each step; `loss` is a tensor, so that only who shows it waits for it."""

    epoch: int
    step: int
    steps: int
    loss: torch.Tensor
    psnr: float | None


def fit(
    variant: Variant,
    train: Train,
    seed: int,
    data: shards.Shards,
    fabric: Fabric,
    work: Path,
    show: Callable[[Progress], None],
) -> list[dict[str, Any]]:
    """Train a variant; leave its checkpoints in `work` and return the history, a row per epoch.

    `work` also holds state.pt, from which a killed run goes on after its last whole epoch, to the same bytes. Checkpoints:
    epoch_NNN.safetensors every `checkpoint_every` epochs, last.safetensors, and best.safetensors. An epoch is the new best when
    its validation PSNR is higher than the best's *and* its validation loss (the variant's own) is lower: PSNR is a mean of
    logarithms and loss a mean of errors, so one alone may rise by what a single crop does.

    Raises FloatingPointError, with epoch and step, when the loss is no finite number.
    """
    loss_of: Loss = registry.load("losses", variant.loss).loss
    torch.manual_seed(seed)
    model, optimizer = fabric.setup(*start(variant, train, data.scale))
    valid = to_pair(fabric, *shards.crops(data, train.patch, train.valid_crops, seed))
    about = {"arch": variant.arch, "config": variant.rest, "scale": data.scale, "dataset": data.index["dataset"]}
    history = resume(work / "state.pt", model, optimizer)
    for epoch in range(len(history) + 1, train.epochs + 1):
        row: dict[str, Any] = {"epoch": epoch, "lr": set_lr(optimizer, variant.lr, train, epoch)}
        row |= train_epoch(model, optimizer, loss_of, data, train, seed, fabric, history, show)
        row |= validate(model, valid, loss_of, train.batch_size)
        row["best"] = is_best(row, history)
        history.append(row)
        names = [f"epoch_{epoch:03d}"] * (epoch % train.checkpoint_every == 0)
        names += ["best"] * row["best"] + ["last"] * (epoch == train.epochs)
        for name in names:
            checkpoint.save(work / f"{name}.safetensors", model.module, {**about, "epoch": epoch})
        save_state(work / "state.pt", model, optimizer, history)
    return history


def train_epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss_of: Loss,
    data: shards.Shards,
    train: Train,
    seed: int,
    fabric: Fabric,
    history: list[dict[str, Any]],
    show: Callable[[Progress], None],
) -> dict[str, float]:
    """One epoch of steps; mean losses over its patches. Batch and step number follow from the epochs in `history`."""
    steps = train.patches_per_epoch // train.batch_size
    first = len(history) * steps
    losses = []
    model.train()
    for step in range(first, first + steps):
        hr, lr = to_pair(fabric, *batches.batch(data, step, seed, train.batch_size, train.patch, train.augment))
        sr = model(lr)
        loss = loss_of(sr, hr)
        optimizer.zero_grad(set_to_none=True)
        fabric.backward(loss)
        optimizer.step()
        losses.append(torch.stack([loss.detach(), *errors(sr.detach(), hr)]))
        show(
            Progress(
                len(history) + 1, step + 1, train.epochs * steps, losses[-1][0], history[-1]["valid_psnr"] if history else None
            )
        )
    table = torch.stack(losses).double().cpu()
    if len(bad := torch.nonzero(~table.isfinite().all(dim=1))):
        raise FloatingPointError(
            f"loss is no finite number in epoch {len(history) + 1}, step {first + int(bad[0]) + 1}; try a lower lr"
        )
    return dict(zip(("train_loss", "train_l1", "train_mse"), table.mean(dim=0).tolist(), strict=True))


@torch.no_grad()
def validate(model: nn.Module, valid: Pair, loss_of: Loss, batch: int) -> dict[str, float]:
    """Loss, L1, MSE and PSNR (RGB, no border, not rounded) as means over the fixed validation crops, in [0, 1] units."""
    model.eval()
    rows = []
    for hr, lr in zip(*(torch.split(half, batch) for half in valid), strict=True):
        sr = model(lr).float()
        means = torch.stack([loss_of(sr, hr), *errors(sr, hr)]).double() * len(hr)
        rows.append(torch.cat([means, psnr.score(sr.clamp(0, 1), hr, 0).sum().view(1)]))
    total = torch.stack(rows).sum(dim=0) / len(valid[0])
    return dict(zip(("valid_loss", "valid_l1", "valid_mse", "valid_psnr"), total.tolist(), strict=True))


def errors(sr: torch.Tensor, hr: torch.Tensor) -> Pair:
    """L1 and MSE, recorded for every variant: whatever it trains on, its curves can be compared."""
    difference = sr - hr
    return difference.abs().mean(), difference.square().mean()


def start(variant: Variant, train: Train, scale: int) -> tuple[nn.Module, torch.optim.Optimizer]:
    """The untrained model, from torch's generator as it stands, and its optimiser (Adam: Kingma and Ba, 2015)."""
    model = registry.build(variant.arch, variant.rest, scale)
    if variant.init == "interpolation":
        model.start_as_interpolation()  # type: ignore[operator]
    return model, torch.optim.Adam(model.parameters(), lr=variant.lr, betas=train.adam_betas, eps=train.adam_eps)


def set_lr(optimizer: torch.optim.Optimizer, lr: float, train: Train, epoch: int) -> float:
    """The step schedule: lr * lr_gamma^((epoch - 1) // lr_step), a pure function of the epoch."""
    now: float = lr * train.lr_gamma ** ((epoch - 1) // train.lr_step)
    for group in optimizer.param_groups:
        group["lr"] = now
    return now


def is_best(row: dict[str, Any], history: list[dict[str, Any]]) -> bool:
    before = [old for old in history if old["best"]][-1:]
    return all(row["valid_psnr"] > old["valid_psnr"] and row["valid_loss"] < old["valid_loss"] for old in before)


def to_pair(fabric: Fabric, hr: shards.Array, lr: shards.Array) -> Pair:
    pair: Pair = fabric.to_device((images.to_tensor(hr), images.to_tensor(lr)))
    return pair


def save_state(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, history: list[dict[str, Any]]) -> None:
    with whole(path) as temporary:
        torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "history": history}, temporary)


def resume(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
    """Load the state of a killed run, if there is one, and return its history."""
    if not path.exists():
        return []
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    history: list[dict[str, Any]] = state["history"]
    return history


def fingerprint(variant: Variant, train: Train, seed: int, data: shards.Shards) -> str:
    """SHA-256 of all that affects the result: parameters, data, the code that is loaded, torch's version."""
    registry.load("models", variant.arch), registry.load("losses", variant.loss)
    loaded = [module for name, module in sorted(sys.modules.items()) if name.startswith("pipeline.")]
    code = [Path(module.__file__).read_text(encoding="utf-8") for module in loaded if module.__file__]
    parts = [variant.model_dump(), train.model_dump(), seed, data.index, torch.__version__, code]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
