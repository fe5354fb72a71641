"""Stage train: one variant, from its own entry in params.yaml. A killed run goes on where it was."""

import shutil
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import torch
import typer
from filelock import Timeout

from pipeline import config, run, shards, state, training
from pipeline.errors import InputError, Stopped
from pipeline.files import whole, write_csv
from stages import command, machine, progress, stopping


def main(
    name: str,
    data: Path,
    out: Path,
    history: Path,
    params: Path = Path("params.yaml"),
    states: Annotated[Path, typer.Option(envvar="SR_STATE")] = Path("~/.cache/sr-study/state"),
    save_every: Annotated[float, typer.Option(envvar="SR_SAVE_EVERY")] = 60.0,
    accelerator: machine.Accelerator = "auto",
    devices: machine.Devices = 1,
    nodes: machine.Nodes = 1,
    compiled: Annotated[bool, typer.Option(envvar="SR_COMPILE")] = False,
) -> None:
    settings = config.load(params)
    if name not in settings.models:
        raise InputError(f"expected a variant of {params}, one of {', '.join(settings.models)}; found {name}")
    variant = settings.models[name]
    train = config.Train(**{**settings.train.model_dump(), **variant.train})
    job = run.Job(variant, train, settings.seed if variant.seed is None else variant.seed, shards.load(data, settings.scale))
    shards.verify(job.data)
    torch.use_deterministic_algorithms(True, warn_only=True)
    if train.batch_size % (devices * nodes):
        expected = f"expected a multiple of SR_DEVICES x SR_NODES, {devices * nodes}"
        raise InputError(f"train.batch_size: {expected}, found {train.batch_size}; choose another")
    fabric = machine.launch(accelerator, devices, nodes, train.precision)
    watch = training.Watch(progress.display(name, train), partial(record, history), progress.tell(name), stopping.asked())
    work = states.expanduser() / run.fingerprint(job)
    if not fabric.is_global_zero:
        with suppress(Stopped):  # to be told by the first process alone; Fabric kills it when another one fails
            training.fit(job, fabric, work, training.Watch(stop=watch.stop), save_every, compiled)
        return
    try:
        with state.lock(work, timeout=10):
            work.mkdir(parents=True, exist_ok=True)
            state.prune(work.parent)
            training.fit(job, fabric, work, watch, save_every, compiled)
            publish(work, out)
            state.remove(work)
    except Timeout:
        raise InputError(f"{name}: another process is training exactly this; wait for it or stop it ({work}.lock)") from None


def publish(work: Path, out: Path) -> None:
    """Copy the checkpoints to `out`, and remove what else stands there."""
    made = {path.name: path for path in work.glob("*.safetensors")}
    for path in out.glob("*.safetensors"):
        if path.name not in made:
            path.unlink()
    for name, path in sorted(made.items()):
        with whole(out / name) as temporary:
            shutil.copyfile(path, temporary)


def record(path: Path, rows: list[dict[str, Any]]) -> None:
    write_csv(path, pd.DataFrame(rows).astype({"best": int}))


if __name__ == "__main__":
    command.run(main)
