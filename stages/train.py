"""Stage train: one variant, from its own entry in params.yaml. A killed run goes on after its last whole epoch."""

import shutil
from pathlib import Path
from typing import Annotated

import pandas as pd
import torch
import typer
from filelock import FileLock, Timeout
from lightning_fabric import Fabric

from pipeline import config, shards, training
from pipeline.errors import InputError
from pipeline.files import write_csv
from stages import command, progress


def main(
    name: str,
    data: Path,
    out: Path,
    history: Path,
    params: Path = Path("params.yaml"),
    state: Annotated[Path, typer.Option(envvar="SR_STATE")] = Path("~/.cache/sr-study/state"),
    accelerator: Annotated[str, typer.Option(envvar="SR_ACCELERATOR")] = "auto",
) -> None:
    settings = config.load(params)
    variant = settings.models[name]
    train = config.Train(**{**settings.train.model_dump(), **variant.train})
    seed = settings.seed if variant.seed is None else variant.seed
    tiles = shards.load(data, settings.scale)
    torch.use_deterministic_algorithms(True, warn_only=True)
    fabric = Fabric(accelerator=accelerator, devices=1, precision=train.precision)
    work = state.expanduser() / training.fingerprint(variant, train, seed, tiles)
    work.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(work / "lock", timeout=0):
            rows = training.fit(variant, train, seed, tiles, fabric, work, progress.display(name, train))
            for checkpoint in sorted(work.glob("*.safetensors")):
                out.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(checkpoint, out / checkpoint.name)
            write_csv(history, pd.DataFrame(rows).astype({"best": int}))
    except Timeout:
        raise InputError(f"{name}: another process is training exactly this; wait for it or stop it ({work / 'lock'})") from None
    shutil.rmtree(work)


if __name__ == "__main__":
    command.run(main)
