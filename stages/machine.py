"""The machine that a stage runs on: SR_ACCELERATOR, SR_DEVICES and SR_NODES, opened by Lightning Fabric."""

import sys
from typing import Annotated

import torch
import typer
from lightning_fabric import Fabric
from lightning_fabric.utilities.exceptions import MisconfigurationException

from pipeline.config import Precision
from pipeline.errors import InputError

Accelerator = Annotated[str, typer.Option(envvar="SR_ACCELERATOR")]
Devices = Annotated[int, typer.Option(envvar="SR_DEVICES", min=1)]
Nodes = Annotated[int, typer.Option(envvar="SR_NODES", min=1)]


def launch(accelerator: str, devices: int, nodes: int, precision: Precision = "32-true") -> Fabric:
    """Start as many processes as there are devices; the code behind this call runs in each of them.

    Raises InputError where the machine has no such accelerator or fewer devices.
    """
    strategy = "ddp" if devices * nodes > 1 else "auto"
    try:
        fabric = Fabric(accelerator=accelerator, devices=devices, num_nodes=nodes, strategy=strategy, precision=precision)
    except (ValueError, RuntimeError, MisconfigurationException) as error:
        asked = f"SR_ACCELERATOR={accelerator}, SR_DEVICES={devices}, SR_NODES={nodes}"
        raise InputError(f"{asked}: expected what this machine has: {error}; unset what it has not") from None
    fabric.launch()
    on_cpu = fabric.device.type == "cpu" and fabric.is_global_zero
    if precision == "bf16-mixed" and on_cpu and not any(v for what, v in torch.cpu.get_capabilities().items() if "bf16" in what):
        print("this CPU cannot multiply bfloat16: precision 32-true is about ten times as fast here", file=sys.stderr)
    return fabric
