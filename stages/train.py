"""Stage train: one variant, from its own entry in params.yaml. A killed run goes on where it was."""

import shutil
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import torch
import typer
from filelock import FileLock, Timeout
from lightning_fabric import Fabric

from pipeline import config, run, shards, state, training
from pipeline.errors import InputError
from pipeline.files import whole, write_csv
from stages import command, progress, stopping


def main(
    name: str,
    data: Path,
    out: Path,
    history: Path,
    params: Path = Path("params.yaml"),
    states: Annotated[Path, typer.Option(envvar="SR_STATE")] = Path("~/.cache/sr-study/state"),
    save_every: Annotated[float, typer.Option(envvar="SR_SAVE_EVERY")] = 60.0,
    accelerator: Annotated[str, typer.Option(envvar="SR_ACCELERATOR")] = "auto",
    devices: Annotated[int, typer.Option(envvar="SR_DEVICES")] = 1,
    nodes: Annotated[int, typer.Option(envvar="SR_NODES")] = 1,
    compiled: Annotated[bool, typer.Option(envvar="SR_COMPILE")] = False,
) -> None:
    settings = config.load(params)
    variant = settings.models[name]
    train = config.Train(**{**settings.train.model_dump(), **variant.train})
    seed = settings.seed if variant.seed is None else variant.seed
    job = run.Job(variant, train, seed, shards.load(data, settings.scale))
    shards.verify(job.data)
    torch.use_deterministic_algorithms(True, warn_only=True)
    strategy = "ddp" if devices * nodes > 1 else "auto"
    fabric = Fabric(accelerator=accelerator, devices=devices, num_nodes=nodes, strategy=strategy, precision=train.precision)
    watch = training.Watch(progress.display(name, train), partial(record, history), progress.tell(name), stopping.asked())
    work = states.expanduser() / run.fingerprint(job)
    fabric.launch()
    if not fabric.is_global_zero:
        training.fit(job, fabric, work, training.Watch(stop=watch.stop), save_every, compiled)
        return
    work.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(work / "lock", timeout=10):
            training.fit(job, fabric, work, watch, save_every, compiled)
            for checkpoint in sorted(work.glob("*.safetensors")):
                with whole(out / checkpoint.name) as temporary:
                    shutil.copyfile(checkpoint, temporary)
    except Timeout:
        raise InputError(f"{name}: another process is training exactly this; wait for it or stop it ({work / 'lock'})") from None
    state.prune(work.parent, work)
    shutil.rmtree(work)


def record(path: Path, rows: list[dict[str, Any]]) -> None:
    write_csv(path, pd.DataFrame(rows).astype({"best": int}))


if __name__ == "__main__":
    command.run(main)
