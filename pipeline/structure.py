"""What a model is made of, read from the model itself by torch.fx: nodes and edges, level by level, for a diagram."""

from typing import Any

import torch
from torch import fx, nn

from pipeline import registry
from pipeline.layers import Normalize

Level = dict[str, Any]  # title, nodes
Node = dict[str, Any]  # label, inputs (numbers of nodes that stand before it)
SIGNS = {"add": "+", "sub": "-", "mul": "*", "truediv": "÷"}
FUNCTIONS = {**SIGNS, "iadd": "+", "cat": "concat", "interpolate": "enlarge"}


def of(arch: str, config: dict[str, Any], scale: int) -> list[Level]:
    """The whole model and, level by level, each kind of block in it ("rcan > Residual > Attention"). No weights are made.

    Layers of torch.nn and Normalize are single nodes, and so are blocks; equal blocks in a row are one node, 16 times.
    """
    with torch.device("meta"):
        model = registry.build(arch, config, scale)
    waiting: list[tuple[str, nn.Module]] = [(arch, model)]
    levels: list[Level] = []
    seen: set[str] = set()
    while waiting:
        title, module = waiting.pop(0)
        nodes, blocks = _level(module)
        levels.append({"title": title, "nodes": nodes})
        for block in blocks:
            if repr(block) not in seen:
                seen.add(repr(block))
                waiting.append((f"{title} > {_name(block)}", block))
    return levels


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return not isinstance(m, nn.Sequential)


def _level(module: nn.Module) -> tuple[list[Node], list[nn.Module]]:
    """The nodes of one level, and the blocks among them that have an inside."""
    try:
        graph = _Tracer().trace(module)
    except Exception:  # whatever a forward does that cannot be traced: a diagram is not worth a variant's scores
        return [_node("input", []), _node(f"{_name(module)}, not to be traced", [0]), _node("output", [1])], []
    children = dict(module.named_modules())
    nodes: list[Node] = []
    kinds: list[str] = []  # what a node repeats, "" where nothing
    number: dict[fx.Node, int] = {}
    blocks: list[nn.Module] = []
    for node in graph.nodes:
        inputs = sorted({number[one] for one in node.all_input_nodes})
        layer = children[node.target] if node.op == "call_module" else None
        block = layer if layer is not None and not _single(layer) else None
        if (
            block is not None
            and inputs == [len(nodes) - 1]
            and repr(block) == kinds[-1]
            and len(node.all_input_nodes[0].users) == 1
        ):
            nodes[-1]["times"] += 1
        else:
            nodes.append(_node(_layer(layer) if layer is not None else _step(node), inputs, block is not None))
            kinds.append("" if block is None else repr(block))
            blocks += [] if block is None else [block]
        number[node] = len(nodes) - 1
    return nodes, blocks


def _node(label: str, inputs: list[int], block: bool = False) -> Node:
    return {"label": label, "inputs": inputs, "times": 1, "block": block}


def _single(layer: nn.Module) -> bool:
    return isinstance(layer, Normalize) or type(layer).__module__.startswith("torch.nn")


def _step(node: fx.Node) -> str:
    """A node that is no layer: input, output, a function or a tensor's method."""
    if node.op in ("placeholder", "output", "get_attr"):
        return {"placeholder": "input", "output": "output"}.get(node.op, str(node.target))
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
    constants = [argument for argument in node.args if not isinstance(argument, fx.Node)]
    if name in SIGNS and len(constants) == 1 and len(node.args) == 2:  # one tensor and a constant: 2 * x, x - 1
        return f"{constants[0]} {SIGNS[name]}" if node.args[0] is constants[0] else f"{SIGNS[name]} {constants[0]}"
    alpha = node.kwargs.get("alpha", 1.0)
    mode = f" x{node.kwargs['scale_factor']}, {node.kwargs['mode']}" if name == "interpolate" else ""
    return FUNCTIONS.get(name, name) + mode + (f" {alpha} *" if alpha != 1.0 else "")


def _layer(layer: nn.Module) -> str:
    match layer:
        case nn.Conv2d():
            side = f"{layer.kernel_size[0]}x{layer.kernel_size[1]}"
            return f"conv {side}, {layer.in_channels} → {layer.out_channels}"
        case nn.PixelShuffle():
            return f"PixelShuffle x{layer.upscale_factor}"
        case Normalize():
            return "* std, + mean" if layer.inverse else "- mean, ÷ std"
        case nn.LeakyReLU():
            return f"LeakyReLU {layer.negative_slope}"
    return _name(layer)


def _name(layer: nn.Module) -> str:
    return type(layer).__name__.removesuffix("2d")
