"""A training that is stopped, killed, starved or fed with nonsense: what it says, what it leaves, and how it ends."""

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from lightning_fabric import Fabric
from safetensors.torch import load_file

from pipeline import shards, state, training
from pipeline.errors import InputError, Stopped
from pipeline.files import sha256
from pipeline.run import Job
from tests.repository import ROOT, Repository
from tests.test_training import digests, fit, settings, variant

TRAIN = (sys.executable, "-m", "stages.train", "edsr", "data/shards", "checkpoints/edsr", "metrics/train/edsr.csv")


def longer(repository: Repository, **train: Any) -> None:
    values = repository.params()
    values["train"] |= {"epochs": 6, "patches_per_epoch": 64, "checkpoint_every": 2} | train
    repository.write_params(values)
    shutil.rmtree(repository.root / "checkpoints" / "edsr")


def results(root: Path) -> dict[str, str]:
    return digests(root / "checkpoints" / "edsr") | {"csv": sha256(root / "metrics/train/edsr.csv")}


def start(repository: Repository, *command: str, **environment: str) -> subprocess.Popen[str]:
    """In a process group of its own, its output kept for later."""
    options: dict[str, Any] = {"cwd": repository.root, "text": True, "start_new_session": True}
    whole = repository.environment | environment
    return subprocess.Popen(command, env=whole, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)


def wait_for(happened: Callable[[], object], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not happened():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def trainers(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The training processes below dvc."""
    try:
        below = psutil.Process(process.pid).children(recursive=True)
        return [one for one in below if "stages.train" in one.cmdline() and "python" in one.name()]
    except psutil.NoSuchProcess:
        return []


def newest(states: Path) -> int:
    """When a state was last written, in nanoseconds; 0 where there is none."""
    try:
        return max((path.stat().st_mtime_ns for path in states.glob("*/state.pt")), default=0)
    except FileNotFoundError:  # listed a moment before the next one took its place
        return 0


def kill_and_resume(repository: Repository, kills: int, seed: int, **environment: str) -> str:
    """Kill `dvc repro` so many times at random moments, by turns dvc alone, the trainer, and the whole group.

    Most come after the run has saved a state of its own, so that each finds the training further on; every fifth may hit its start.
    """
    dice = random.Random(seed)
    states = Path(repository.environment["SR_STATE"])
    for number in range(kills):
        before = 0 if number % 5 == 4 else newest(states)
        process = start(repository, "dvc", "repro", "train@edsr", **environment)
        wait_for(lambda process=process, before=before: trainers(process) and newest(states) > before, process)  # type: ignore[misc]
        time.sleep(dice.uniform(0, 0.6))
        running = trainers(process)
        if number % 3 == 0:
            process.kill()
        elif number % 3 == 1:
            running[0].kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()  # type: ignore[union-attr]
        psutil.wait_procs(running, timeout=60)
        assert not [one for one in running if one.is_running()], "an orphan goes on"
    process = start(repository, "dvc", "repro", "train@edsr", **environment)
    output: str = process.communicate()[0]
    assert process.returncode == 0, output
    return output


def uninterrupted(repository: Repository, root: Path, **environment: str) -> dict[str, str]:
    """What a run of the same parameters that nothing stops gives, in a fork at `root`."""
    other = repository.fork(root)
    process = start(other, "dvc", "repro", "train@edsr", **environment)
    output = process.communicate()[0]
    assert process.returncode == 0, output
    return results(other.root)


@pytest.fixture
def straight(repository: Repository, tmp_path: Path) -> dict[str, str]:
    longer(repository)
    return uninterrupted(repository, tmp_path / "straight" / "repo")


def test_three_kills(repository: Repository, straight: dict[str, str]) -> None:
    """Saved at every step, so that some kills hit a state that is being written."""
    output = kill_and_resume(repository, 3, seed=1, SR_SAVE_EVERY="0")
    assert results(repository.root) == straight
    assert not [path for path in Path(repository.environment["SR_STATE"]).iterdir() if path.is_dir()]
    assert "Running stage 'train@edsr'" in output


def test_dvc_killed_while_the_trainer_starts(repository: Repository) -> None:
    """Before it has imported torch: it is an orphan from its first step."""
    longer(repository, epochs=1000)
    process = start(repository, "bash", "-c", f"{' '.join(TRAIN)}; true", DVC_ROOT=str(repository.root))
    wait_for(lambda: trainers(process), process)
    running = trainers(process)
    time.sleep(0.7)
    process.kill()
    output = process.communicate()[0]
    assert not psutil.wait_procs(running, timeout=60)[1], "an orphan goes on"
    assert "stopped after step " in output


def test_a_variant_has_its_own_settings_and_seed(repository: Repository) -> None:
    weights = repository.root / "checkpoints" / "edsr" / "epoch_001.safetensors"
    before, values = sha256(weights), repository.params()
    for change, same in ({"train": {"epochs": 1}}, True), ({"seed": 1}, False):
        values["models"]["edsr"] |= change
        repository.write_params(values)
        repository.run(*TRAIN)
        assert len((repository.root / "metrics/train/edsr.csv").read_text(encoding="utf-8").splitlines()) == 2
        assert (sha256(weights) == before) == same


@pytest.mark.slow
@pytest.mark.parametrize("kills, processes", [(20, "1"), (5, "2")])
def test_many_kills(repository: Repository, tmp_path: Path, kills: int, processes: str) -> None:
    """Of one process and of two that train together."""
    longer(repository, epochs=30)
    expected = uninterrupted(repository, tmp_path / "straight" / "repo", SR_DEVICES=processes)
    kill_and_resume(repository, kills, seed=2, SR_SAVE_EVERY="0", SR_DEVICES=processes)
    assert results(repository.root) == expected


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_stop(repository: Repository, straight: dict[str, str], number: signal.Signals) -> None:
    """It saves, leaves at once, and says how to go on."""
    process = start(repository, *TRAIN, SR_SAVE_EVERY="1000")
    wait_for(lambda: list(Path(repository.environment["SR_STATE"]).glob("*/state.pt")), process)
    process.send_signal(number)
    asked = time.monotonic()
    output = process.communicate()[0]
    assert time.monotonic() - asked < 10
    assert process.returncode == 130
    assert output.splitlines()[-1].startswith("stopped after step ")
    assert output.splitlines()[-1].endswith(" of 192; its state is kept, and the same command goes on from there")
    step = int(output.split("stopped after step ")[1].split()[0])
    again = repository.run(*TRAIN)
    assert step < 192
    assert "edsr: epoch 6/6" in again
    assert results(repository.root) == straight


def test_disk_that_fills_up_while_saving(repository: Repository, straight: dict[str, str]) -> None:
    """A real write that fails: no file may grow beyond 5,000 bytes."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, 5_000))

    done = repository.attempt(*TRAIN, preexec_fn=limit)
    assert done.returncode == 1
    last = done.stdout.splitlines()[-1]
    assert last.startswith("error: ")
    assert "File too large" in last
    assert "free some disk" in last
    repository.run(*TRAIN)
    assert results(repository.root) == straight


def test_where_no_checkpoint_can_be_written(repository: Repository) -> None:
    before = results(repository.root)
    shutil.rmtree(repository.root / "checkpoints")
    (repository.root / "checkpoints").write_text("in the way", encoding="utf-8")
    done = repository.attempt(*TRAIN)
    assert done.returncode == 1
    assert "checkpoints/edsr/best.safetensors: expected to write it: " in done.stdout.splitlines()[-1]
    (repository.root / "checkpoints").unlink()
    (repository.root / "metrics/train/edsr.csv").unlink()
    repository.run(*TRAIN)  # it ended before: what it made is handed over, the history too
    assert results(repository.root) == before


def test_what_an_earlier_training_left_is_removed(repository: Repository) -> None:
    stale = repository.root / "checkpoints/edsr/epoch_077.safetensors"
    stale.write_bytes(b"of another training")
    before = results(repository.root)
    repository.run(*TRAIN)
    assert not stale.exists()
    assert results(repository.root) == {name: digest for name, digest in before.items() if name != stale.name}


def stopped_after(steps: int, work: Path, data: shards.Shards) -> Job:
    """A job that was stopped after so many steps, and saved at each."""
    job, count = Job(variant("edsr"), settings(), 0, data), [0]

    def show(_: training.Progress) -> None:
        count[0] += 1

    work.mkdir()
    watch = training.Watch(show=show, stop=lambda: count[0] == steps - 1)
    with pytest.raises(Stopped):
        training.fit(job, Fabric(accelerator="cpu", devices=1), work, watch, save_every=0)
    return job


@pytest.mark.parametrize(
    "damage, reason",
    [
        (lambda content: content[: len(content) // 2], "File is not a zip file"),
        (lambda content: content[:900] + bytes(64) + content[964:], "damaged|Bad CRC|magic"),
        (lambda content: b"", "File is not a zip file"),
    ],
)
def test_a_damaged_state_is_told_and_the_one_before_it_used(
    tmp_path: Path, data: shards.Shards, damage: Callable[[bytes], bytes], reason: str
) -> None:
    whole = fit(tmp_path / "whole", data, settings())
    job = stopped_after(5, tmp_path / "cut", data)
    path = tmp_path / "cut" / "state.pt"
    path.write_bytes(damage(path.read_bytes()))
    said: list[str] = []
    steps: list[int] = []
    watch = training.Watch(show=lambda now: steps.append(now.step), tell=said.append)
    assert training.fit(job, Fabric(accelerator="cpu", devices=1), tmp_path / "cut", watch) == whole
    assert steps == [5, 6, 7, 8]
    assert len(said) == 1
    assert said[0].startswith(f"{path} cannot be resumed from (")
    assert np.any([part in said[0] for part in reason.split("|")]), said
    assert digests(tmp_path / "whole") == digests(tmp_path / "cut")


def test_a_state_of_another_format_is_refused(tmp_path: Path, data: shards.Shards) -> None:
    job = stopped_after(3, tmp_path / "cut", data)
    for name in state.NAMES:
        torch.save(torch.load(tmp_path / "cut" / name) | {"format": 1}, tmp_path / "cut" / name)
    said: list[str] = []
    steps: list[int] = []
    watch = training.Watch(show=lambda now: steps.append(now.step), tell=said.append)
    training.fit(job, Fabric(accelerator="cpu", devices=1), tmp_path / "cut", watch)
    assert steps[0] == 1
    assert len(said) == 2
    assert f"(expected format {state.FORMAT}, found 1)" in said[0]


def test_states_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [tmp_path / f"{number:064x}" for number in range(12)]
    for number, folder in enumerate([*folders, tmp_path / "mine"]):
        folder.mkdir()
        (folder / "state.pt").write_bytes(bytes(1000))
        os.utime(folder, (number % 12, number % 12))

    def left() -> list[int]:
        assert (tmp_path / "mine").exists()  # no state, though it is old
        return [number for number, folder in enumerate(folders) if folder.exists()]

    with state.lock(folders[2], timeout=0):
        state.prune(tmp_path)
    assert left() == [2, 4, 5, 6, 7, 8, 9, 10, 11]
    monkeypatch.setattr(state, "BYTES", 2500)
    state.prune(tmp_path)
    assert left() == [10, 11]


def test_a_state_that_another_run_removes_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the list of states and the look at one of them."""
    one, two = (tmp_path / f"{number:064x}" for number in (1, 2))
    one.mkdir()
    two.mkdir()
    listed = sorted(tmp_path.iterdir())
    shutil.rmtree(one)
    monkeypatch.setattr(Path, "is_dir", lambda path: True)
    monkeypatch.setattr(Path, "iterdir", lambda path: iter(listed))
    state.prune(tmp_path)
    assert two.exists()


@pytest.mark.parametrize(
    "environment, message",
    [
        ({"SR_ACCELERATOR": "gpuu"}, "SR_ACCELERATOR=gpuu, SR_DEVICES=1, SR_NODES=1: expected what this machine has"),
        ({"SR_STATE": "params.yaml/states"}, "expected a folder for states of training"),
        ({"SR_DEBUG": "0", "SR_DEVICES": "3"}, "error: train.batch_size: expected a multiple of SR_DEVICES x SR_NODES, 3"),
    ],
)
def test_machine_settings_that_cannot_be(repository: Repository, environment: dict[str, str], message: str) -> None:
    done = repository.attempt("env", *(f"{name}={value}" for name, value in environment.items()), *TRAIN)
    assert done.returncode == 1
    assert message in done.stdout
    assert "Traceback" not in done.stdout


def test_shards_that_changed_are_refused(repository: Repository) -> None:
    path = repository.root / "data/shards/train_lr.npy"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.chmod(0o644)
    path.unlink()
    path.write_bytes(content)
    done = repository.attempt(*TRAIN)
    assert done.returncode == 1
    expected = "error: shards: expected the bytes that prepare wrote, found others for ihc; run: dvc repro --force prepare"
    assert done.stdout.splitlines()[-1] == expected


PLANTED = '''
"""L1, and nonsense at one step."""

import torch

calls = 0


def loss(sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
    global calls
    calls += torch.is_grad_enabled()
    return (sr - hr).abs().mean() * (float("nan") if calls == 7 else 1)
'''


def test_a_loss_that_is_no_number(repository: Repository) -> None:
    """Planted at step 7: it stops there and names step, rate and batch, which it keeps."""
    (repository.root / "pipeline/losses/planted.py").write_text(PLANTED, encoding="utf-8")
    values = repository.params()
    values["models"]["edsr"]["loss"] = "planted"
    repository.write_params(values)
    longer(repository, batch_size=4)
    done = repository.attempt(*TRAIN)
    assert done.returncode == 1
    last = done.stdout.splitlines()[-1]
    assert last.startswith("error: loss is no finite number at step 7 (epoch 1), lr 0.002, tiles ")
    assert last.endswith("try a lower lr, train.clip_norm, train.skip_spikes, or precision 32-true")
    kept = np.load(last.split("the batch is kept as ")[1].split(";")[0])
    assert kept["hr"].shape == (4, 32, 32, 3)
    data = shards.load(repository.root / "data/shards")
    top, left = int(kept["top"][0]) * 4, int(kept["left"][0]) * 4
    tile = data.train_hr[int(kept["tile"][0])][top : top + 32, left : left + 32]
    assert np.array_equal(np.sort(kept["hr"][0].reshape(-1)), np.sort(tile.reshape(-1)))


@pytest.mark.slow
def test_a_batch_that_does_not_fit(repository: Repository) -> None:
    """The process may take 3 GB of address space beyond what it has at its start; the message names a batch size that does fit."""
    values = repository.params()
    values["train"] |= {"batch_size": 4096, "patches_per_epoch": 4096, "patch": 64}
    values["models"]["edsr"] |= {"width": 64}
    repository.write_params(values)
    code = "import resource, runpy, sys, psutil, torch, stages.train; sys.argv = ['train', *sys.argv[1:]]; "
    code += "most = psutil.Process().memory_info().vms + 3 * 2**30; resource.setrlimit(resource.RLIMIT_AS, (most, most)); "
    code += "stages.train.command.run(stages.train.main)"
    done = repository.attempt(sys.executable, "-c", code, *TRAIN[3:])
    assert done.returncode == 1, done.stdout
    last = done.stdout.splitlines()[-1]
    assert last.startswith("error: train.batch_size: 4096 does not fit into the memory of cpu; train.batch_size: ")
    fits = int(last.split("; train.batch_size: ")[1].split()[0])
    assert 2 <= fits <= 2048


def test_a_batch_that_cannot_be_shared(repository: Repository) -> None:
    process = start(repository, *TRAIN, SR_DEVICES="3")
    output = process.communicate()[0]
    expected = "error: train.batch_size: expected a multiple of SR_DEVICES x SR_NODES, 3, found 2; choose another"
    assert process.returncode == 1
    assert output.splitlines()[-1] == expected


def processes(folder: Path, out: Path, number: int, precision: str) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    command = [sys.executable, "-W", "ignore", "-m", "tests.processes", str(folder), str(out), str(number), precision]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    import json

    return load_file(out / "last.safetensors"), json.loads((out / "history.json").read_text(encoding="utf-8"))[-1]


@pytest.mark.parametrize("precision", ["64-true", "32-true"])
def test_two_processes_are_one(raw: Path, tmp_path: Path, precision: str) -> None:
    """DDP over gloo, 20 steps of the same global batches: the same weights and losses but for the order of a sum."""
    from pipeline.preparation import prepare

    prepare(raw, tmp_path / "shards", 4, 128, "bicubic", {"source": "photos"}, workers=1)
    one, two = (processes(tmp_path / "shards", tmp_path / str(number), number, precision) for number in (1, 2))
    if precision == "64-true":
        assert max(float((one[0][name] - two[0][name]).abs().max()) for name in one[0]) < 1e-9
    for name in ("train_loss", "train_mse", "valid_loss", "valid_psnr"):
        assert two[1][name] == pytest.approx(one[1][name], rel=1e-4)


def test_nothing_is_lost_when_the_writer_fails(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    writer = state.Writer(tmp_path / "file")
    writer.save({"step": 1})
    with pytest.raises(InputError, match=r"expected to save the training's state: .*set SR_STATE to another one"):
        writer.wait()
