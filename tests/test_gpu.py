"""What only a GPU can show: resumed to the bit, nothing waited for in a step, the same batches and pictures as on a CPU."""

import os
import signal
import subprocess
import sys
import time
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from lightning_fabric import Fabric

from pipeline import batches, images, inference, registry, shards, training
from pipeline.files import sha256
from pipeline.run import Job
from tests.repository import ROOT, tiny_params
from tests.test_training import RICH, digests, settings, variant

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here"),
    pytest.mark.filterwarnings("default"),  # of torch.compile and of operations without a deterministic kernel
]
LONG = {"epochs": 3, "patches_per_epoch": 1600, "batch_size": 8, "patch": 96, "checkpoint_every": 1}


def train(root: Path, shards_at: Path, **environment: str) -> subprocess.Popen[str]:
    """The stage itself, in a process of its own."""
    command = [sys.executable, "-m", "stages.train", "edsr", str(shards_at), "out", "history.csv", "--params", "params.yaml"]
    whole = os.environ | {"PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}", "SR_ACCELERATOR": "cuda"} | environment
    options: dict[str, Any] = {"cwd": root, "env": whole, "text": True, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(command, **options)


@pytest.mark.parametrize("compiled", ["0", "1"], ids=["eager", "compiled"])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
def test_killed_and_resumed_ends_the_same(precision: str, compiled: str, data_at: Path, tmp_path: Path) -> None:
    """SIGKILL after the second state of a run; the run after it ends with the same checkpoints and the same history."""
    params = tiny_params()
    params["prepare"]["tile"] = 128
    params["train"] |= LONG | {"precision": precision}
    params["models"]["edsr"] |= {"blocks": 4, "width": 32}
    found = {}
    for name in ("whole", "cut"):
        root, state = tmp_path / name, tmp_path / f"state_{name}"
        root.mkdir()
        (root / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
        options = {"SR_STATE": str(state), "SR_COMPILE": compiled, "SR_SAVE_EVERY": "0.2"}
        if name == "cut":
            process = train(root, data_at, **options)
            while process.poll() is None and not list(state.glob("*/previous.pt")):
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
            output = process.communicate()[0]
            assert process.returncode == -signal.SIGKILL, output
        process = train(root, data_at, **options)
        output = process.communicate()[0]
        assert process.returncode == 0, output
        found[name] = digests(root / "out") | {"csv": sha256(root / "history.csv")}
    assert len(found["whole"]) == 6
    assert found["whole"] == found["cut"]


@pytest.mark.parametrize("recipe", [{}, RICH], ids=["plain", "rich"])
@pytest.mark.parametrize("arch, optimizer", [("edsr", "adam"), ("direct", "muon")])
def test_no_step_waits_for_the_gpu(
    arch: str, optimizer: str, recipe: dict[str, Any], data: shards.Shards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch warns at each wait: between two looks at the losses there is none."""
    steps = 3 * training.READ_EVERY
    options = settings(epochs=1, patches_per_epoch=steps * 8, batch_size=8, patch=96, checkpoint_every=1, **recipe)
    fabric = Fabric(accelerator="cuda", devices=1, precision=options.precision)
    at = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        watch = training.Watch(show=lambda now: at.append(sum("synchroniz" in str(one.message) for one in caught)))
        torch.cuda.set_sync_debug_mode("warn")
        try:
            training.fit(Job(variant(arch, optimizer=optimizer), options, 0, data), fabric, tmp_path, watch)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    waits = [later - sooner for sooner, later in pairwise(at)]
    assert at[-1] > 0  # it does warn
    assert [step for step, count in enumerate(waits, start=2) if count and step % training.READ_EVERY != 1] == []


@pytest.mark.parametrize("augment", [False, True])
@pytest.mark.parametrize("resident", [False, True])
def test_the_same_batches_as_on_a_cpu(data: shards.Shards, augment: bool, resident: bool) -> None:
    places = [batches.draw(data, number, 3, 8, 96, augment) for number in range(12)]
    found = list(batches.stream(data, iter(places), 96, torch.device("cuda", 0), resident))
    for one, pair in zip(places, found, strict=True):
        for half, expected in zip(pair, batches.cut(data, one, 96), strict=True):
            assert np.array_equal(images.to_uint8(half), expected)
            assert (half.cpu() - images.to_tensor(expected)).abs().max() <= 2**-24  # a GPU multiplies by 1/255


@pytest.mark.parametrize("arch", registry.names("models"))
def test_the_same_pictures_as_on_a_cpu(arch: str, data: shards.Shards) -> None:
    torch.manual_seed(0)
    one = variant(arch)
    model = registry.build(one.arch, one.rest, 4).eval()
    on_cpu = inference.enlarge(model, data.valid[0].lr[None], torch.device("cpu")).astype(int)
    on_gpu = inference.enlarge(model.to("cuda"), data.valid[0].lr[None], torch.device("cuda")).astype(int)
    assert np.abs(on_cpu - on_gpu).max() <= 1


def test_memory_exhausted_names_a_size_that_fits(data: shards.Shards, tmp_path: Path) -> None:
    """The advice, followed, trains."""
    torch.cuda.set_per_process_memory_fraction(1e9 / torch.cuda.get_device_properties(0).total_memory)
    try:
        train = settings(epochs=1, patches_per_epoch=512, batch_size=512, patch=96)
        fabric = Fabric(accelerator="cuda", devices=1)
        with pytest.raises(Exception, match=r"train\.batch_size: 512 does not fit .* train\.batch_size: \d+ does") as told:
            training.fit(Job(variant("edsr", blocks=4, width=64), train, 0, data), fabric, tmp_path)
        size = int(str(told.value).split("train.batch_size: ")[2].split()[0])
        smaller = settings(epochs=1, patches_per_epoch=size, batch_size=size, patch=96)
        assert training.fit(Job(variant("edsr", blocks=4, width=64), smaller, 0, data), fabric, tmp_path)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()
