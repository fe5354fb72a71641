"""The machine that a stage runs on: SR_ACCELERATOR, SR_DEVICES and SR_NODES, opened by Lightning Fabric."""

import sys
from typing import Annotated

import torch
import typer
from lightning_fabric import Fabric

from pipeline.config import Precision

Accelerator = Annotated[str, typer.Option(envvar="SR_ACCELERATOR")]
Devices = Annotated[int, typer.Option(envvar="SR_DEVICES", min=1)]
Nodes = Annotated[int, typer.Option(envvar="SR_NODES", min=1)]


def launch(accelerator: str, devices: int, nodes: int, precision: Precision = "32-true") -> Fabric:
    """Start as many processes as there are devices; the code behind this call runs in each of them."""
    strategy = "ddp" if devices * nodes > 1 else "auto"
    fabric = Fabric(accelerator=accelerator, devices=devices, num_nodes=nodes, strategy=strategy, precision=precision)
    fabric.launch()
    fast = any(there for what, there in torch.cpu.get_capabilities().items() if "bf16" in what)
    if precision == "bf16-mixed" and fabric.device.type == "cpu" and not fast and fabric.is_global_zero:
        print("this CPU cannot multiply bfloat16: precision 32-true is about ten times as fast here", file=sys.stderr)
    return fabric
