"""A training as a value: what decides it, what changes while it runs, how it begins, and how it is saved and restored."""

import copy
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning_fabric import Fabric
from torch import nn

from pipeline import checkpoint, registry, shards
from pipeline.config import Train, Variant
from pipeline.errors import InputError


class Job(NamedTuple):
    """What decides a training's result, apart from code and versions."""

    variant: Variant
    train: Train
    seed: int
    data: shards.Shards

    @property
    def epoch_steps(self) -> int:
        return self.train.patches_per_epoch // self.train.batch_size


@dataclass
class Run:
    """All that changes while a training runs."""

    model: nn.Module  # the weights that learn
    forward: nn.Module  # the same, as Fabric and torch.compile wrap it
    optimizers: list[torch.optim.Optimizer]
    ema: nn.Module | None  # the moving average of its weights
    step: int = 0
    losses: list[torch.Tensor] = field(default_factory=list)  # of this epoch, a row a step
    history: list[dict[str, Any]] = field(default_factory=list)  # a row an epoch

    @property
    def scored(self) -> nn.Module:
        """What is validated and saved: the moving average of the weights where there is one."""
        return self.model if self.ema is None else self.ema


def begin(job: Job, fabric: Fabric, compiled: bool) -> Run:
    """The untrained model, from the seed, and its optimisers."""
    variant, train = job.variant, job.train
    torch.manual_seed(job.seed)
    model = registry.build(variant.arch, variant.rest, job.data.scale)
    if variant.init == "interpolation":
        model.start_as_interpolation()  # type: ignore[operator]
    if variant.warm_start:
        checkpoint.warm_start(model, variant.warm_start.path, variant.warm_start.sha256)
    optimizers = registry.load("optimizers", variant.optimizer).make(model, variant.lr, train)
    module: nn.Module = torch.compile(model) if compiled else model  # type: ignore[assignment]
    forward, *optimizers = fabric.setup(module, *optimizers)
    model.train()
    ema = copy.deepcopy(model).requires_grad_(False) if train.ema else None
    return Run(model, forward, optimizers, ema)


@torch.no_grad()
def average(run: Run, decay: float) -> None:
    """Move the average towards the weights; its decay rises as (1 + step) / (10 + step), so that the start is soon forgotten.

    torch's AveragedModel counts its updates on the device and so makes the host wait for it at each step.
    """
    assert run.ema is not None
    weight = 1 - min(decay, (1 + run.step) / (10 + run.step))
    torch._foreach_lerp_(list(run.ema.parameters()), list(run.model.parameters()), weight)
    for own, current in zip(run.ema.buffers(), run.model.buffers(), strict=True):
        own.copy_(current)


def values(run: Run, fabric: Fabric) -> dict[str, Any]:
    """All of a run, for `restore`."""
    return {
        "model": run.model.state_dict(),
        "optimizers": [one.state_dict() for one in run.optimizers],
        "ema": run.ema.state_dict() if run.ema else None,
        "precision": fabric.strategy.precision.state_dict(),
        "generator": torch.get_rng_state(),
        "step": run.step,
        "losses": list(run.losses),
        "history": list(run.history),
    }


def restore(run: Run, fabric: Fabric, saved: dict[str, Any] | None) -> None:
    """Make a run what it was when it was saved. Raises InputError when the processes of one run found different states."""
    if saved is not None:
        run.model.load_state_dict(saved["model"])
        for one, state in zip(run.optimizers, saved["optimizers"], strict=True):
            one.load_state_dict(state)
        if run.ema:
            run.ema.load_state_dict(saved["ema"])
        fabric.strategy.precision.load_state_dict(saved["precision"])
        torch.set_rng_state(saved["generator"])
        run.step, run.history = saved["step"], saved["history"]
        run.losses = [row.to(fabric.device) for row in saved["losses"]]
    if fabric.world_size > 1 and fabric.broadcast(run.step) != run.step:
        raise InputError(
            "expected one state for all processes, found different ones; set SR_STATE to a folder that every node sees"
        )


TRAINER = (
    "batches", "checkpoint", "errors", "failures", "files", "images", "layers", "metrics.psnr", "registry", "run", "schedule",
    "shards", "state", "training",
)  # fmt: skip


def fingerprint(job: Job) -> str:
    """SHA-256 of all that affects the result: parameters, data, the trainer's and the variant's own code, torch's version."""
    variant = job.variant
    own = [f"models.{variant.arch}", f"losses.{variant.loss}", f"optimizers.{variant.optimizer}"]
    paths = [Path(__file__).parent / f"{name.replace('.', '/')}.py" for name in (*TRAINER, *own)]
    code = [path.read_text(encoding="utf-8") for path in paths]
    parts = [variant.model_dump(mode="json"), job.train.model_dump(), job.seed, job.data.index, torch.__version__, code]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
