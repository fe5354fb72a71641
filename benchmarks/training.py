"""Our loop over the bare step (one fixed batch; forward, backward, Adam), and over the same model fed by a DataLoader of PNG crops.

python -m benchmarks.training [--quick]
"""

import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import typer
from lightning_fabric import Fabric
from torch.utils.data import DataLoader

from benchmarks import corpus
from benchmarks.batches import Pngs, sub_images
from pipeline import batches, config, images, registry, run, shards, training
from pipeline.preparation import prepare

PATCH, SCALE = 96, 4
EDSR = {"arch": "edsr", "loss": "l1", "optimizer": "adam", "lr": 1e-4, "init": "torch", "residual_scale": 0.1}
EDSR |= {"mean": [0.4488, 0.4371, 0.4040], "std": [1.0, 1.0, 1.0]}


def job_of(data: shards.Shards, size: int, steps: int, **model: int) -> run.Job:
    """Two epochs of so many steps, as in params.yaml but for these."""
    train = config.load(Path("params.yaml")).train.model_dump()
    train |= {"epochs": 2, "patches_per_epoch": steps * size, "batch_size": size, "patch": PATCH}
    return run.Job(config.Variant(**EDSR, **model), config.Train(**train), 0, data)


def fabric() -> Fabric:
    return Fabric(accelerator="auto", devices=1)


def wait(device: torch.device) -> float:
    """Now, when the device has done all that it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def fixed(hr: torch.Tensor, lr: torch.Tensor) -> Iterator[batches.Pair]:
    while True:
        yield hr, lr


def bare(job: run.Job, pairs: Iterator[batches.Pair], steps: int) -> list[float]:
    """Seconds of each bare step on what `pairs` gives."""
    machine = fabric()
    trained = run.begin(job, machine, compiled=False)
    loss_of, times = registry.load("losses", "l1").loss, []
    for _ in range(steps):
        began = wait(machine.device)
        hr, lr = next(pairs)
        loss = loss_of(trained.forward(lr), hr)
        trained.model.zero_grad(set_to_none=True)
        machine.backward(loss)
        trained.optimizers[0].step()
        times.append(wait(machine.device) - began)
    return times


def ours(job: run.Job) -> tuple[list[float], float]:
    """Seconds of each step of our loop but the first of an epoch, and of a mean step when validation and saving count too."""
    machine, stamps = fabric(), []
    with tempfile.TemporaryDirectory() as name:
        watch = training.Watch(show=lambda now: stamps.append((now.step, wait(machine.device))))
        training.fit(job, machine, Path(name), watch)
        end = wait(machine.device)
    pairs = itertools.pairwise(stamps)
    inside = [later - sooner for (_, sooner), (step, later) in pairs if (step - 1) % job.epoch_steps]
    return inside, (end - stamps[0][1]) / (len(stamps) - 1)


def overhead(data: shards.Shards, size: int, rounds: int, steps: int, **model: int) -> dict[str, float]:
    job = job_of(data, size, steps, **model)
    hr, lr = (images.to_tensor(half).to(fabric().device) for half in batches.batch(data, 0, 0, size, PATCH, augment=False))
    one: list[float] = []
    loop: list[float] = []
    whole: list[float] = []
    for _ in range(rounds):  # by turns, so that a noisy neighbour meets both
        one += bare(job, fixed(hr, lr), steps)[1:]
        inside, included = ours(job)
        loop += inside
        whole.append(included)
    step = statistics.median(one)
    print(f"{model}: bare {step * 1000:.1f} ms, loop {statistics.median(loop) * 1000:.1f} ms, {size / step:.0f} patches/s")
    return {"excluded": statistics.median(loop) / step, "included": statistics.median(whole) / step, "step": step}


def png_pairs(folder: Path, size: int, workers: int) -> Iterator[batches.Pair]:
    for hr, lr in DataLoader(Pngs(folder), batch_size=size, num_workers=workers):
        yield images.to_float(hr), images.to_float(lr)


def main(quick: bool = False) -> None:
    rounds = 3 if quick else 10
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        raw, out, png = (Path(name) / part for part in ("raw", "out", "png"))
        corpus.lay(raw, corpus.MPIXEL)
        prepare(raw, out, SCALE, 192, "bicubic", {"source": "photos"})
        data = shards.load(out)
        for label, size, steps, model in (("16x64", 2, 8, (16, 64)), ("4x32", 8, 14, (4, 32))):
            figures = overhead(data, size, rounds, steps, blocks=model[0], width=model[1])
            result |= {f"overhead_{label}": figures["excluded"], f"overhead_{label}_with_saving": figures["included"]}
        sub_images(raw, png)
        job = job_of(data, 8, 14, blocks=4, width=32)
        loader = min(statistics.mean(bare(job, png_pairs(png, 8, workers), 10)[2:]) for workers in (0, 2))
        result["png_loader_speedup"] = loader / (figures["excluded"] * figures["step"])
    print(json.dumps({key: round(value, 3) for key, value in result.items()}))


if __name__ == "__main__":
    typer.run(main)
