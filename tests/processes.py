"""Train the small EDSR with N processes, save weights and history: python -m tests.processes shards out N precision."""

import json
import sys
from pathlib import Path

import torch
from lightning_fabric import Fabric

from pipeline import shards, training
from pipeline.config import Variant
from pipeline.run import Job
from tests.test_training import EDSR, settings

if __name__ == "__main__":
    data, out, processes, precision = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    torch.set_num_threads(1)
    fabric = Fabric(
        accelerator="cpu",
        devices=processes,
        strategy="ddp" if processes > 1 else "auto",
        precision=precision,  # type: ignore[arg-type]
    )
    fabric.launch()
    out.mkdir(parents=True, exist_ok=True)
    train = settings(epochs=1, patches_per_epoch=160, batch_size=8, checkpoint_every=1)
    history = training.fit(Job(Variant(**(EDSR | {"lr": 1e-4})), train, 0, shards.load(data)), fabric, out)
    if fabric.is_global_zero:
        (out / "history.json").write_text(json.dumps(history), encoding="utf-8")
