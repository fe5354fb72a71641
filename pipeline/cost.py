"""What a model costs, from the model itself."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from pipeline import receptive, registry

OUTPUT = 720, 1280  # height and width of the picture that the field counts multiply-adds for


def of(arch: str, config: dict[str, object], scale: int) -> dict[str, float]:
    """Trainable parameters, multiply-adds in units of 10^9 for a 1280x720 output, and the side of the receptive field in LR pixels.

    The last is left out where a model looks at everything. Nothing is computed for the multiply-adds: torch's meta device.
    """
    with torch.device("meta"):
        model = registry.build(arch, config, scale).eval()
        lr = torch.empty(1, 3, *(side // scale for side in OUTPUT))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(lr)
    found = {"parameters": float(sum(one.numel() for one in model.parameters() if one.requires_grad))}
    found["multiply_adds"] = counter.get_total_flops() / 2 / 1e9
    reach = receptive.radius(arch, config, scale)
    return found if reach is None else found | {"receptive_field": 2.0 * reach + 1}


def radius(costs: dict[str, float]) -> int | None:
    """What `receptive.radius` found."""
    return int(costs["receptive_field"]) // 2 if "receptive_field" in costs else None
