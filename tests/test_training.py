"""Training: it learns, it is the same whenever it is run or resumed, and it stops at what cannot be right."""

import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from lightning_fabric import Fabric
from safetensors.torch import load_file

from pipeline import checkpoint, images, inference, pictures, registry, schedule, shards, training
from pipeline.config import Train, Variant
from pipeline.errors import InputError, Stopped
from pipeline.files import sha256
from pipeline.metrics import psnr
from pipeline.preparation import prepare
from pipeline.run import Job, begin, fingerprint
from tests.repository import ROOT, Repository, tiny_params
from tests.test_models import SMALL

EDSR = tiny_params()["models"]["edsr"] | {"blocks": 2, "width": 12}


def settings(**changes: Any) -> Train:
    base = tiny_params()["train"] | {"epochs": 4, "patches_per_epoch": 8, "batch_size": 4, "checkpoint_every": 2}
    return Train(**(base | changes))


def fit(work: Path, data: shards.Shards, train: Train, **variant: Any) -> list[dict[str, Any]]:
    work.mkdir(parents=True, exist_ok=True)
    fabric = Fabric(accelerator="cpu", devices=1, precision=train.precision)
    return training.fit(Job(Variant(**(EDSR | variant)), train, 0, data), fabric, work)


def digests(work: Path) -> dict[str, str]:
    return {path.name: sha256(path) for path in sorted(work.glob("*.safetensors"))}


def variant(arch: str, **changes: Any) -> Variant:
    """A small variant of any architecture."""
    return Variant(
        **({"arch": arch, "loss": "l1", "optimizer": "adam", "lr": 2e-3, "init": "interpolation"} | SMALL[arch] | changes)
    )


@pytest.mark.parametrize("arch, optimizer", [*((arch, "adam") for arch in registry.names("models")), ("direct", "muon")])
def test_overfits_four_patches(arch: str, optimizer: str, tmp_path: Path, raw: Path) -> None:
    """40 dB on four patches that are all the data: loss, gradients, batches and schedule pull the same way."""
    picture = pictures.read(raw / "train_hr" / "astronaut.png")
    for side in ("train", "valid"):
        pictures.write(tmp_path / f"{side}_hr" / "corner.png", picture[64:96, 192:224])
    prepare(tmp_path, tmp_path / "shards", scale=4, tile=16, lr="bicubic", dataset={"source": "photos"}, workers=1)
    data = shards.load(tmp_path / "shards")
    assert len(data.train_hr) == 4
    train = settings(epochs=60, patches_per_epoch=64, batch_size=8, patch=16, augment=False, lr_step=20, checkpoint_every=60)
    loss = "l1" if arch == "edsr" else "mse"
    lr = 2e-3 if arch in ("rcan", "rdn") or optimizer == "muon" else 4e-3
    job = Job(variant(arch, width=32, lr=lr, loss=loss, optimizer=optimizer), train, 0, data)
    training.fit(job, Fabric(accelerator="cpu", devices=1), tmp_path)
    # Four patches in batches of eight: BatchNorm has seen little else than noise in its running means, so it scores as it trained.
    model = checkpoint.load(tmp_path / "last.safetensors").model.train(arch == "srresnet")
    sr = model(images.to_tensor(np.array(data.train_lr)))
    score = psnr.score(sr.clamp(0, 1), images.to_tensor(np.array(data.train_hr)), 0).mean().item()
    assert score > 40, score


@pytest.mark.parametrize("optimizer", ["adam", "muon"])
def test_each_step_has_its_rate(data: shards.Shards, optimizer: str) -> None:
    job = Job(variant("edsr", optimizer=optimizer), settings(epochs=4, lr_step=1), 0, data)
    fabric = Fabric(accelerator="cpu", devices=1)
    run = begin(job, fabric, compiled=False)
    hr, lr = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 8, 8)
    rates: list[float] = []
    for step in range(6):
        training.take_step(run, job, fabric, hr, lr, stop=False)
        found = {group["lr"] for one in run.optimizers for group in one.param_groups}
        assert found == {schedule.rate(job.train, job.variant.lr, step)}
        rates += found
    assert rates == pytest.approx([2e-3, 2e-3, 1e-3, 1e-3, 5e-4, 5e-4])


def test_validated_as_it_is_saved(tmp_path: Path, data: shards.Shards) -> None:
    """BatchNorm takes its running means, and learns nothing from the validation pictures."""
    job, fabric = Job(variant("srresnet"), settings(), 0, data), Fabric(accelerator="cpu", devices=1)
    row = training.fit(job, fabric, tmp_path)[-1]
    crops = [images.to_tensor(half) for half in shards.crops(data, job.train.patch, job.train.valid_crops, 0)]
    model = checkpoint.load(tmp_path / "last.safetensors").model.eval()
    with torch.no_grad():
        score = psnr.score(model(crops[1]).clamp(0, 1), crops[0], 0).double().mean().item()
    assert row["valid_psnr"] == pytest.approx(score, abs=1e-4)


def test_history_and_checkpoints(tmp_path: Path, data: shards.Shards) -> None:
    rows = fit(tmp_path, data, settings(epochs=5, lr_step=2))
    table = pd.DataFrame(rows)
    assert table["epoch"].tolist() == [1, 2, 3, 4, 5]
    assert table["lr"].tolist() == pytest.approx([2e-3, 2e-3, 1e-3, 1e-3, 5e-4])
    best = rows[0]
    for row in rows[1:]:
        better = row["valid_psnr"] > best["valid_psnr"] and row["valid_loss"] < best["valid_loss"]
        assert row["best"] == better
        best = row if better else best
    assert set(digests(tmp_path)) == {f"{name}.safetensors" for name in ("best", "epoch_002", "epoch_004", "last")}
    epochs = {name: checkpoint.load(tmp_path / f"{name}.safetensors").about["epoch"] for name in ("best", "epoch_002", "last")}
    assert epochs == {"best": best["epoch"], "epoch_002": 2, "last": 5}
    assert (table["train_loss"] == table["train_l1"]).all()


def test_best_needs_psnr_and_loss_together() -> None:
    history = [{"best": True, "valid_psnr": 30.0, "valid_loss": 0.1}, {"best": False, "valid_psnr": 31.0, "valid_loss": 0.2}]
    assert training.is_best({"valid_psnr": 30.5, "valid_loss": 0.09}, history)
    assert not training.is_best({"valid_psnr": 30.5, "valid_loss": 0.11}, history)
    assert not training.is_best({"valid_psnr": 29.5, "valid_loss": 0.09}, history)
    assert training.is_best({"valid_psnr": 10.0, "valid_loss": 9.0}, [])


def test_losses_are_recorded_in_one_unit(tmp_path: Path, data: shards.Shards) -> None:
    """The validation columns are what one computes by hand from the checkpoint, for a variant that trains on MSE too."""
    rows = fit(tmp_path, data, settings(), loss="mse")
    model = checkpoint.load(tmp_path / "last.safetensors").model
    hr, lr = (images.to_tensor(crops) for crops in shards.crops(data, 32, 1, 0))
    with torch.no_grad():
        error = model(lr) - hr
    assert rows[-1]["valid_l1"] == pytest.approx(error.abs().mean().item(), rel=1e-5)
    assert rows[-1]["valid_mse"] == rows[-1]["valid_loss"] == pytest.approx(error.square().mean().item(), rel=1e-5)
    assert rows[-1]["train_mse"] == rows[-1]["train_loss"]


RICH = {"schedule": "cosine", "warmup_steps": 3, "ema": 0.9, "clip_norm": 0.5, "precision": "bf16-mixed"}


@pytest.mark.parametrize(
    "arch, recipe", [*((arch, {}) for arch in registry.names("models")), ("edsr", RICH), ("srresnet", RICH)], ids=str
)
def test_resumed_equals_uninterrupted(arch: str, recipe: dict[str, Any], tmp_path: Path, data: shards.Shards) -> None:
    """Stopped inside epoch 3, started again: the same history, the same bytes."""
    train = settings(**recipe)
    fabric = Fabric(accelerator="cpu", devices=1, precision=train.precision)
    job = Job(variant(arch), train, 0, data)
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
    whole = training.fit(job, fabric, tmp_path / "whole")
    seen: list[int] = []
    watch = training.Watch(show=lambda now: seen.append(now.step), stop=lambda: len(seen) == 4)
    with pytest.raises(Stopped, match="stopped after step 5 of 8; its state is kept, and the same command goes on from there"):
        training.fit(job, fabric, tmp_path / "cut", watch)
    assert not (tmp_path / "cut" / "last.safetensors").exists()
    assert training.fit(job, fabric, tmp_path / "cut", training.Watch(show=lambda now: seen.append(now.step))) == whole
    assert seen == [1, 2, 3, 4, 5, 6, 7, 8]
    assert digests(tmp_path / "whole") == digests(tmp_path / "cut")


def test_fingerprint_follows_all_that_matters(data: shards.Shards) -> None:
    def of(train: Train, seed: int, data: shards.Shards, **changes: Any) -> str:
        return fingerprint(Job(Variant(**(EDSR | changes)), train, seed, data))

    base = of(settings(), 0, data)
    assert base == of(settings(), 0, data)
    other_data = shards.Shards({**data.index, "crc32": []}, data.train_hr, data.train_lr, data.valid)
    others = [of(settings(), 0, data, lr=1e-3), of(settings(), 0, data, width=16), of(settings(epochs=5), 0, data)]
    others += [of(settings(), 1, data), of(settings(), 0, other_data)]
    assert len({base, *others}) == 6


def test_checkpoint_alone_enlarges_a_photo(tmp_path: Path, data: shards.Shards) -> None:
    fit(tmp_path, data, settings(epochs=1))
    model, about = checkpoint.load(tmp_path / "last.safetensors")
    assert about == {
        "arch": "edsr",
        "config": Variant(**EDSR).rest | {"mean": [0.4488, 0.4371, 0.404], "std": [1.0, 1.0, 1.0]},
        "dataset": "photos",
        "epoch": 1,
        "scale": 4,
    }
    sr = inference.enlarge(model, data.valid[0].lr[None], torch.device("cpu"))
    assert sr.shape == (1, *data.valid[0].hr.shape)
    assert sr.dtype == np.uint8
    assert np.abs(sr[0].astype(int) - data.valid[0].hr).mean() < 12


def test_a_parameter_used_twice_is_saved(tmp_path: Path) -> None:
    model = torch.nn.Sequential(torch.nn.PReLU(), torch.nn.Conv2d(3, 3, 1))
    model.append(model[0])
    about = {"arch": "edsr", "config": {}, "scale": 4, "epoch": 1, "dataset": "photos"}
    checkpoint.save(tmp_path / "shared.safetensors", model, about)
    assert set(load_file(tmp_path / "shared.safetensors")) == {"0.weight", "1.weight", "1.bias", "2.weight"}


def test_files_that_are_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.safetensors: expected a checkpoint of this project"):
        checkpoint.load(tmp_path / "none.safetensors")
    (tmp_path / "text.safetensors").write_text("no weights here", encoding="utf-8")
    with pytest.raises(InputError, match=r"text\.safetensors: expected a checkpoint of this project"):
        checkpoint.load(tmp_path / "text.safetensors")


def test_two_trainers_of_one_thing(repository: Repository) -> None:
    """A trainer that was left behind holds a lock; a second one says so and leaves."""
    command = [sys.executable, "-m", "stages.train", "edsr", "data/shards", "out", "history.csv"]
    values = repository.params()
    values["train"] |= {"epochs": 1000, "patches_per_epoch": 64}
    repository.write_params(values)
    first = subprocess.Popen(command, cwd=repository.root, env=repository.environment)
    state = Path(repository.environment["SR_STATE"])
    while not list(state.glob("*.lock")):
        assert first.poll() is None
        time.sleep(0.05)
    second = repository.attempt(*command)
    first.kill()
    first.wait()
    assert second.returncode == 1
    assert second.stdout.startswith("error: edsr: another process is training exactly this; wait for it or stop it")


def test_plain_lines_without_a_terminal(repository: Repository) -> None:
    output = repository.run(sys.executable, "-m", "stages.train", "edsr", "data/shards", "out", "history.csv")
    last = output.splitlines()[-1]
    assert last.startswith("edsr: epoch 2/2 loss 0.")
    assert " psnr " in last
    assert last.endswith(" patches/s 0 s left")


def test_progress_bar_on_a_terminal(repository: Repository) -> None:
    """A pseudo-terminal gets a bar with loss, PSNR, speed and time left."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 140, 0, 0))
    command = [sys.executable, "-m", "stages.train", "edsr", "data/shards", "out", "history.csv"]
    process = subprocess.Popen(command, cwd=repository.root, env=repository.environment, stderr=slave, stdout=slave)
    os.close(slave)
    shown = b""
    try:
        while chunk := os.read(master, 4096):
            shown += chunk
    except OSError:  # the other end is closed
        pass
    assert process.wait() == 0
    text = shown.decode()
    assert "edsr: 100%" in text
    assert "patch/s" in text
    assert "epoch 2/2 loss" in text
    assert "psnr" in text


def test_history_is_written_as_csv(built: Repository) -> None:
    table = pd.read_csv(built.root / "metrics/train/edsr_mse.csv")
    assert list(table) == [
        "epoch",
        "lr",
        "train_loss",
        "train_l1",
        "train_mse",
        "skipped",
        "valid_loss",
        "valid_l1",
        "valid_mse",
        "valid_psnr",
        "best",
    ]
    assert table["epoch"].tolist() == [1, 2]
    assert table["skipped"].tolist() == [0, 0]
    scores = json.loads((built.root / "metrics/edsr_mse.json").read_text(encoding="utf-8"))
    assert table[table["best"] == 1]["epoch"].iloc[-1] == scores["epoch"]
    assert ROOT not in built.root.parents
