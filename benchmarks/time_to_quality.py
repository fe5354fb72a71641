"""PSNR on Set5 (Y, border 4) against seconds of training: profiles/fast.yaml beside a tutorial's recipe, on the same pictures.

python -m benchmarks.time_to_quality [--quick] [--data FOLDER] [--write]

FOLDER holds div2k_mini/DIV2K_train_HR.zip, div2k_mini/DIV2K_valid_HR.zip (watched and not chosen by: the last checkpoint is
scored) and benchmarks/Set5 with HR/ and LR_bicubic_X4/. The tutorial: EDSR 16x64, torch's start, Adam 1e-4, batches of 16 by a
DataLoader of PNG crops. --write keeps the result in benchmarks/time_to_quality.json.
"""

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import typer
from lightning_fabric import Fabric
from torch import nn

from benchmarks.batches import sub_images
from benchmarks.training import job_of, png_pairs
from pipeline import checkpoint, config, images, inference, pictures, resize, run, shards, training
from pipeline.files import write_json
from pipeline.metrics import psnr
from pipeline.preparation import prepare

ROOT = Path(__file__).parent.parent
PROFILE = ROOT / "profiles" / "fast.yaml"
Curve = list[tuple[float, float]]  # seconds, dB


def set5_of(folder: Path) -> list[tuple[shards.Array, shards.Array]]:
    hr = {path.stem: resize.crop_to_multiple(pictures.read(path), 4) for path in sorted((folder / "HR").glob("*.png"))}
    return [(one, pictures.read(folder / "LR_bicubic_X4" / f"{name}x4.png")) for name, one in hr.items()]


def score(model: nn.Module, pairs: list[tuple[shards.Array, shards.Array]]) -> float:
    """Mean PSNR on Y of BT.601, not rounded, whole pictures, border 4; SR rounded to 8 bits."""
    total = 0.0
    for hr, lr in pairs:
        sr = inference.enlarge(model.eval(), lr[None], torch.device("cpu"))
        y_sr, y_hr = (images.luma(images.to_tensor(one)) for one in (sr, hr[None]))
        total += float(psnr.score(y_sr, y_hr, 4))
    return round(total / len(pairs), 3)


def ours(data: shards.Shards, pairs: list[tuple[shards.Array, shards.Array]], share: float) -> Curve:
    """Wall-clock seconds since the first step, validation and saving included, and the score of each epoch's checkpoint."""
    settings = config.load(PROFILE)
    train = settings.train.model_dump()
    steps = max(1, round(train["patches_per_epoch"] / train["batch_size"] * share))
    train |= {"patches_per_epoch": steps * train["batch_size"], "checkpoint_every": 1}
    job = run.Job(settings.models["direct"], config.Train(**train), settings.seed, data)
    seconds: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        began = time.perf_counter()
        watch = training.Watch(record=lambda _: seconds.append(time.perf_counter() - began))
        training.fit(job, Fabric(accelerator="cpu", devices=1, precision=train["precision"]), Path(name), watch)
        found = [checkpoint.load(path).model for path in sorted(Path(name).glob("epoch_*.safetensors"))]
    return [(round(second, 1), score(model, pairs)) for second, model in zip(seconds, found, strict=True)]


def tutorial(data: shards.Shards, png: Path, pairs: list[tuple[shards.Array, shards.Array]], seconds: float) -> Curve:
    trained = run.begin(job_of(data, 16, 1, blocks=16, width=64), Fabric(accelerator="cpu", devices=1), compiled=False)
    curve: Curve = []
    spent, marks = 0.0, [seconds * part / 4 for part in (1, 2, 3, 4)]
    began = time.perf_counter()
    for hr, lr in png_pairs(png, 16, 2):
        loss = (trained.forward(lr) - hr).abs().mean()
        trained.model.zero_grad(set_to_none=True)
        loss.backward()
        trained.optimizers[0].step()
        spent += time.perf_counter() - began
        if spent >= marks[len(curve)]:
            curve.append((round(spent, 1), score(trained.model, pairs)))
            trained.model.train()
        if len(curve) == len(marks):
            return curve
        began = time.perf_counter()
    raise AssertionError("the loader has no end")


def main(quick: bool = False, data: Path = ROOT.parent / "shared" / "data", write: bool = False) -> None:
    pairs = set5_of(data / "benchmarks" / "Set5")
    with tempfile.TemporaryDirectory() as name:
        raw, out, png = (Path(name) / part for part in ("raw", "out", "png"))
        raw.mkdir()
        for side in ("train", "valid"):
            (raw / f"{side}_hr.zip").symlink_to((data / "div2k_mini" / f"DIV2K_{side}_HR.zip").resolve())
        prepare(raw, out, 4, config.load(PROFILE).prepare.tile, "bicubic", {"source": "div2k"})
        opened = shards.load(out)
        mine = ours(opened, pairs, 0.02 if quick else 1.0)
        folder_of(raw, Path(name) / "plain")
        sub_images(Path(name) / "plain", png, 336)
        plain = tutorial(opened, png, pairs, mine[-1][0])
    for label, curve in (("fast.yaml", mine), ("tutorial", plain)):
        print(f"{label:>10}: " + ", ".join(f"{value:.2f} dB at {second:.0f} s" for second, value in curve))
    result: dict[str, Any] = {"set5_psnr_y": mine[-1][1], "seconds": mine[-1][0], "tutorial_psnr_y": plain[-1][1]}
    if write:
        recipe = config.load(PROFILE).model_dump(mode="json")
        about: dict[str, Any] = {"curve": mine, "tutorial_curve": plain, "command": "python -m benchmarks.time_to_quality --write"}
        about |= {"cores": torch.get_num_threads(), "recipe": {key: recipe[key] for key in ("train", "models")}}
        write_json(ROOT / "benchmarks" / "time_to_quality.json", result | about)
    print(json.dumps(result))


def folder_of(raw: Path, plain: Path) -> None:
    """The training pictures as PNG files."""
    for name, picture in pictures.listing(raw, "train_hr").items():
        pictures.write(plain / "train_hr" / f"{name}.png", pictures.read(picture))


if __name__ == "__main__":
    typer.run(main)
