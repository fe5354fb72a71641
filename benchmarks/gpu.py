"""EDSR 32x256 with the study's parameters on a GPU: patches/s of our loop, with and without each of what makes it fast.

python -m benchmarks.gpu [--quick] [--data FOLDER]

FOLDER holds div2k_mini/DIV2K_train_HR.zip and DIV2K_valid_HR.zip; without it, the photographs that come with scikit-image.
`loop_share` is our loop's speed over that of bare steps: the same model on one batch that lies on the device, forward, backward,
update. Neither is waited for between its steps. Without a GPU: {"device": null}.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import typer
from lightning_fabric import Fabric
from torch import nn

from benchmarks import corpus
from benchmarks.training import job_of
from pipeline import batches, images, registry, run, shards, training
from pipeline.preparation import prepare

ROOT = Path(__file__).parent.parent
PARTS = ("bf16", "channels_last", "compile", "resident")
WARM, SIZE = 32, 32  # steps before the clock starts (torch.compile works in the first), patches in a batch: the study's


@contextmanager
def machine(parts: tuple[str, ...]) -> Iterator[Fabric]:
    """Fabric on the GPU with some of PARTS; the others are taken out."""

    def plain(arch: str, rest: dict[str, Any], scale: int) -> nn.Module:
        model = built(arch, rest, scale).to(memory_format=torch.contiguous_format)
        model.register_forward_pre_hook(lambda _, inputs: tuple(one.contiguous() for one in inputs))
        return model

    built = registry.build
    share = batches.RESIDENT if "resident" in parts else 0.0
    build = built if "channels_last" in parts else plain
    with mock.patch.object(batches, "RESIDENT", share), mock.patch.object(registry, "build", build):
        yield Fabric(accelerator="cuda", devices=1, precision="bf16-mixed" if "bf16" in parts else "32-true")


def loop(job: run.Job, parts: tuple[str, ...]) -> float:
    """Patches/s of our loop within its epoch."""
    marks: dict[int, float] = {}

    def show(now: training.Progress) -> None:
        if now.step in (WARM, job.epoch_steps):
            torch.cuda.synchronize()
            marks[now.step] = time.perf_counter()

    with machine(parts) as fabric, tempfile.TemporaryDirectory() as name:
        training.fit(job, fabric, Path(name), training.Watch(show), compiled="compile" in parts)
    return SIZE * (job.epoch_steps - WARM) / (marks[job.epoch_steps] - marks[WARM])


def bare(job: run.Job, parts: tuple[str, ...]) -> float:
    """Patches/s of bare steps."""
    began = 0.0
    with machine(parts) as fabric:
        trained = run.begin(job, fabric, compiled="compile" in parts)
        loss_of = registry.load("losses", "l1").loss
        pair = batches.batch(job.data, 0, 0, SIZE, job.train.patch, augment=True)
        hr, lr = (images.to_tensor(half).to(fabric.device) for half in pair)
        for step in range(job.epoch_steps):
            if step == WARM:
                torch.cuda.synchronize()
                began = time.perf_counter()
            loss = loss_of(trained.forward(lr), hr)
            trained.model.zero_grad(set_to_none=True)
            fabric.backward(loss)
            trained.optimizers[0].step()
        torch.cuda.synchronize()
    return SIZE * (job.epoch_steps - WARM) / (time.perf_counter() - began)


def measure(data: shards.Shards, steps: int, rounds: int) -> dict[str, Any]:
    job = job_of(data, SIZE, WARM + steps, blocks=32, width=256)
    job = job._replace(train=job.train.model_copy(update={"epochs": 1, "valid_crops": 1}))
    torch.use_deterministic_algorithms(True, warn_only=True)  # as the stage does
    speeds = {"all": [loop(job, PARTS)], "none": [loop(job, ())]}
    for part in PARTS:
        speeds[f"without_{part}"] = [loop(job, tuple(other for other in PARTS if other != part))]
    eager = tuple(part for part in PARTS if part != "compile")
    shares: dict[str, list[float]] = {"loop_share": [], "loop_share_eager": []}
    for _ in range(rounds):  # by turns, so that a clock that falls meets both
        for share, parts, row in zip(shares.values(), (PARTS, eager), ("all", "without_compile"), strict=True):
            alone = bare(job, parts)
            speeds[row].append(loop(job, parts))
            share.append(speeds[row][-1] / alone)
    found = {name: round(statistics.median(values), 1) for name, values in speeds.items()}
    for name, speed in found.items():
        print(f"{name:>22}: {speed:8.1f} patches/s")
    return {
        "patches_per_second": found,
        **{name: round(statistics.median(values), 4) for name, values in shares.items()},
        "peak_gib": round(torch.cuda.max_memory_allocated() / 2**30, 2),
    }


def main(quick: bool = False, data: Path = ROOT.parent / "shared" / "data") -> None:
    if not torch.cuda.is_available():
        print("no GPU here: nothing to measure")
        print(json.dumps({"device": None}))
        return
    with tempfile.TemporaryDirectory() as name:
        raw, out, mini = Path(name) / "raw", Path(name) / "out", data / "div2k_mini"
        raw.mkdir()
        if mini.is_dir():
            for side in ("train", "valid"):
                (raw / f"{side}_hr.zip").symlink_to((mini / f"DIV2K_{side}_HR.zip").resolve())
        else:
            corpus.lay(raw, corpus.MPIXEL)
        prepare(raw, out, 4, 192, "bicubic", {"source": "div2k" if mini.is_dir() else "photos"})
        result = measure(shards.load(out), 64 if quick else 256, 1 if quick else 3)
    print(json.dumps({"device": torch.cuda.get_device_name(), "data": "div2k_mini" if mini.is_dir() else "photos", **result}))


if __name__ == "__main__":
    typer.run(main)
