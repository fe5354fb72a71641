"""Training: it learns, it is the same whenever it is run or resumed, and it stops at what cannot be right."""

import fcntl
import json
import os
import pty
import signal
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

from pipeline import checkpoint, images, inference, pictures, registry, shards, training
from pipeline.config import Train, Variant
from pipeline.errors import InputError
from pipeline.files import sha256
from pipeline.metrics import psnr
from pipeline.preparation import prepare
from tests.repository import ROOT, Repository, tiny_params

EDSR = tiny_params()["models"]["edsr"] | {"blocks": 2, "width": 12}


def settings(**changes: Any) -> Train:
    base = tiny_params()["train"] | {"epochs": 4, "patches_per_epoch": 8, "batch_size": 4, "checkpoint_every": 2}
    return Train(**(base | changes))


def fit(work: Path, data: shards.Shards, train: Train, **variant: Any) -> list[dict[str, Any]]:
    work.mkdir(parents=True, exist_ok=True)
    fabric = Fabric(accelerator="cpu", devices=1, precision=train.precision)
    return training.fit(Variant(**(EDSR | variant)), train, 0, data, fabric, work, lambda _: None)


def digests(work: Path) -> dict[str, str]:
    return {path.name: sha256(path) for path in sorted(work.glob("*.safetensors"))}


@pytest.mark.parametrize("arch", registry.names("models"))
def test_overfits_four_patches(arch: str, tmp_path: Path, raw: Path) -> None:
    """40 dB on four patches that are all the data: loss, gradients, batches and schedule pull the same way."""
    picture = pictures.read(raw / "train_hr" / "astronaut.png")
    for side in ("train", "valid"):
        pictures.write(tmp_path / f"{side}_hr" / "corner.png", picture[64:96, 192:224])
    prepare(tmp_path, tmp_path / "shards", scale=4, tile=16, lr="bicubic", dataset={"source": "photos"}, workers=1)
    data = shards.load(tmp_path / "shards")
    assert len(data.train_hr) == 4
    options = {"arch": arch, "width": 32} | ({} if arch == "edsr" else {"loss": "mse"})
    variant = {
        key: value
        for key, value in (EDSR | options).items()
        if arch == "edsr" or key in ("arch", "loss", "init", "blocks", "width")
    }
    train = settings(epochs=60, patches_per_epoch=64, batch_size=8, patch=16, augment=False, lr_step=20, checkpoint_every=60)
    fabric = Fabric(accelerator="cpu", devices=1, precision=train.precision)
    training.fit(Variant(**(variant | {"lr": 4e-3})), train, 0, data, fabric, tmp_path, lambda _: None)
    # Four patches in batches of eight: BatchNorm has seen little else than noise in its running means, so it scores as it trained.
    model = checkpoint.load(tmp_path / "last.safetensors").model.train(arch == "srresnet")
    sr = model(images.to_tensor(np.array(data.train_lr)))
    score = psnr.score(sr.clamp(0, 1), images.to_tensor(np.array(data.train_hr)), 0).mean().item()
    assert score > 40, score


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


@pytest.mark.parametrize("arch", registry.names("models"))
def test_resumed_equals_uninterrupted(arch: str, tmp_path: Path, data: shards.Shards) -> None:
    """A run that dies inside epoch 3 and is started again ends with the same history and the same bytes."""
    keys = ("arch", "loss", "lr", "init", "blocks", "width")
    variant = Variant(**{key: value for key, value in (EDSR | {"arch": arch}).items() if arch == "edsr" or key in keys})
    fabric = Fabric(accelerator="cpu", devices=1)

    def die(now: training.Progress) -> None:
        if now.step == 5:
            raise KeyboardInterrupt

    runs = []
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
    runs.append(training.fit(variant, settings(), 0, data, fabric, tmp_path / "whole", lambda _: None))
    with pytest.raises(KeyboardInterrupt):
        training.fit(variant, settings(), 0, data, fabric, tmp_path / "cut", die)
    assert not (tmp_path / "cut" / "last.safetensors").exists()
    steps: list[int] = []
    runs.append(training.fit(variant, settings(), 0, data, fabric, tmp_path / "cut", lambda now: steps.append(now.step)))
    assert steps == [5, 6, 7, 8]
    assert runs[0] == runs[1]
    assert digests(tmp_path / "whole") == digests(tmp_path / "cut")


def test_loss_that_is_no_number(tmp_path: Path, data: shards.Shards) -> None:
    with pytest.raises(FloatingPointError, match=r"no finite number in epoch \d, step \d+; try a lower lr"):
        fit(tmp_path, data, settings(epochs=8), lr=0.999, loss="mse", init="torch", residual_scale=1e20)


def test_fingerprint_follows_all_that_matters(data: shards.Shards) -> None:
    variant, train = Variant(**EDSR), settings()
    base = training.fingerprint(variant, train, 0, data)
    assert base == training.fingerprint(Variant(**EDSR), settings(), 0, data)
    others = [
        training.fingerprint(Variant(**(EDSR | {"lr": 1e-3})), train, 0, data),
        training.fingerprint(Variant(**(EDSR | {"width": 16})), train, 0, data),
        training.fingerprint(variant, settings(epochs=5), 0, data),
        training.fingerprint(variant, train, 1, data),
        training.fingerprint(
            variant, train, 0, shards.Shards({**data.index, "crc32": []}, data.train_hr, data.train_lr, data.valid)
        ),
    ]
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
    sr = inference.enlarge(model, data.valid[0].lr[None])
    assert sr.shape == (1, *data.valid[0].hr.shape)
    assert sr.dtype == np.uint8
    assert np.abs(sr[0].astype(int) - data.valid[0].hr).mean() < 12


def test_files_that_are_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.safetensors: expected a checkpoint of this project"):
        checkpoint.load(tmp_path / "none.safetensors")
    (tmp_path / "text.safetensors").write_text("no weights here", encoding="utf-8")
    with pytest.raises(InputError, match=r"text\.safetensors: expected a checkpoint of this project"):
        checkpoint.load(tmp_path / "text.safetensors")


def test_killed_dvc_repro_goes_on(repository: Repository, tmp_path: Path) -> None:
    """SIGKILL of dvc and its child in the middle of a training; the next `dvc repro` resumes it and ends with the same bytes."""
    values = repository.params()
    values["train"] |= {"epochs": 30, "patches_per_epoch": 64, "checkpoint_every": 10}
    repository.write_params(values)
    straight = repository.fork(tmp_path / "straight" / "repo")
    straight.run("dvc", "repro", "train@edsr")
    expected = digests(straight.root / "checkpoints" / "edsr") | {"csv": sha256(straight.root / "metrics/train/edsr.csv")}

    process = subprocess.Popen(
        ["dvc", "repro", "train@edsr"], cwd=repository.root, env=repository.environment, start_new_session=True
    )
    state = Path(repository.environment["SR_STATE"])
    deadline = time.monotonic() + 120
    while not list(state.glob("*/epoch_010.safetensors")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (repository.root / "checkpoints" / "edsr" / "last.safetensors").exists()

    output = repository.run("dvc", "repro", "train@edsr")
    resumed = int(output.split("edsr: epoch ")[1].split("/")[0])
    assert resumed > 10
    assert (
        digests(repository.root / "checkpoints" / "edsr") | {"csv": sha256(repository.root / "metrics/train/edsr.csv")} == expected
    )
    assert list(state.iterdir()) == []


def test_two_trainers_of_one_thing(repository: Repository) -> None:
    """A trainer that was left behind holds a lock; a second one says so and leaves."""
    command = [sys.executable, "-m", "stages.train", "edsr", "data/shards", "out", "history.csv"]
    values = repository.params()
    values["train"] |= {"epochs": 1000, "patches_per_epoch": 64}
    repository.write_params(values)
    first = subprocess.Popen(command, cwd=repository.root, env=repository.environment)
    state = Path(repository.environment["SR_STATE"])
    while not list(state.glob("*/state.pt")):
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
        "valid_loss",
        "valid_l1",
        "valid_mse",
        "valid_psnr",
        "best",
    ]
    assert table["epoch"].tolist() == [1, 2]
    scores = json.loads((built.root / "metrics/edsr_mse.json").read_text(encoding="utf-8"))
    assert table[table["best"] == 1]["epoch"].iloc[-1] == scores["epoch"]
    assert ROOT not in built.root.parents
