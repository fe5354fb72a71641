"""How far a model looks: the radius of its receptive field, found from the model itself."""

import torch
from torch import nn

from pipeline import registry

LONGEST = 1024  # LR pixels: a model that still reaches the ends of such a line looks at everything


def radius(arch: str, config: dict[str, object], scale: int) -> int | None:
    """LR pixels that an output pixel depends on at each side of the one that it lies in; None: unknown, or all, as by a
    global pooling.

    The gradient of one output with respect to a line of LR pixels, in a copy whose weights are all positive, so that nothing
    cancels, small, so that no activation saturates, and drawn, so that a normalisation over channels finds them different; in
    float64, where even the product of hundreds of such weights is no zero. A line is enough, since kernels are square; both
    directions are looked at.
    """
    model = registry.build(arch, config, scale).double().eval()
    drawn = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, nn.Conv2d):
                layer.weight.uniform_(0.5, 1.5, generator=drawn).mul_(0.3 / layer.weight[0].numel())
                if layer.bias is not None:
                    layer.bias.zero_()
    length = 32
    while length <= LONGEST:
        try:
            with torch.enable_grad():
                reaches = [_reach(model, scale, length, across) for across in (False, True)]
        except (RuntimeError, IndexError, ValueError):  # a line is too thin for it, as for padding by reflection and for windows
            return None
        if max(reaches) < length // 2 - 1:
            return max(reaches)
        length *= 2
    return None


def _reach(model: nn.Module, scale: int, length: int, across: bool) -> int:
    """The farthest LR pixel, from the middle one, that any output pixel of the middle one depends on."""
    middle = length // 2
    lr = torch.ones(1, 3, *((length, 1) if across else (1, length)), dtype=torch.float64, requires_grad=True)
    sr = model(lr).sum(dim=1).squeeze(0)
    line = sr.sum(dim=1) if across else sr.sum(dim=0)
    gradient, *_ = torch.autograd.grad(line[middle * scale : (middle + 1) * scale].sum(), lr)
    seen = torch.nonzero(gradient.abs().sum(dim=1).flatten()).flatten()
    return int(max(middle - seen.min(), seen.max() - middle))
