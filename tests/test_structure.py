"""Diagrams follow the models."""

from typing import Any

import pytest
import torch
from torch import nn

from pipeline import diagrams, registry, structure
from tests.test_models import SMALL


def labels(level: dict[str, Any]) -> list[str]:
    return [f"{node['times']} x {node['label']}" if node["times"] > 1 else node["label"] for node in level["nodes"]]


@pytest.mark.parametrize("arch", registry.names("models"))
def test_every_architecture_can_be_drawn(arch: str) -> None:
    """Each node but the input needs an earlier one, one path leads to the output, and drawing shows each label once a node."""
    for level in structure.of(arch, SMALL[arch], 4):
        nodes = level["nodes"]
        assert nodes[0]["label"] == "input"
        assert nodes[-1]["label"] == "output"
        assert all(node["inputs"] and max(node["inputs"]) < number for number, node in enumerate(nodes) if number)
        used = {one for node in nodes for one in node["inputs"]}
        assert used == set(range(len(nodes) - 1))
        assert [text.get_text() for text in diagrams.draw(level).axes[0].texts if text.get_text()] == labels(level)


def test_edsr_as_its_paper_draws_it() -> None:
    whole, block = structure.of("edsr", SMALL["edsr"] | {"blocks": 32, "width": 256}, 4)
    assert labels(whole) == [
        "input", "- mean, ÷ std", "conv 3x3, 3 → 256", "32 x Residual", "conv 3x3, 256 → 256", "+", "conv 3x3, 256 → 1024",
        "PixelShuffle x2", "conv 3x3, 256 → 1024", "PixelShuffle x2", "conv 3x3, 256 → 3", "* std, + mean", "output",
    ]  # fmt: skip
    assert whole["nodes"][5]["inputs"] == [2, 4]  # the long skip
    assert labels(block) == ["input", "conv 3x3, 256 → 256", "ReLU", "conv 3x3, 256 → 256", "+ 0.1 *", "output"]
    assert block["nodes"][4]["inputs"] == [0, 3]


def test_blocks_in_blocks() -> None:
    titles = [level["title"] for level in structure.of("rcan", SMALL["rcan"], 4)]
    assert titles == ["rcan", "rcan > Residual", "rcan > Residual > Residual", "rcan > Residual > Residual > Attention"]


def test_dense_blocks_are_not_merged() -> None:
    whole = structure.of("rdn", SMALL["rdn"] | {"blocks": 3}, 4)[0]
    assert labels(whole).count("Block") == 3
    assert next(len(node["inputs"]) for node in whole["nodes"] if node["label"] == "concat") == 3


class Odd(nn.Module):
    """What the architectures here do not do, and others do."""

    def __init__(self, asks: bool) -> None:
        super().__init__()
        self.gain, self.asks = nn.Parameter(torch.ones(1)), asks

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.asks and x.shape[2] % 2:
            x = nn.functional.pad(x, (0, 0, 0, 1))
        return (1 - x) * self.gain + x * x


def test_what_can_be_traced_and_what_cannot() -> None:
    nodes, _ = structure._level(Odd(asks=False))
    assert labels({"nodes": nodes}) == ["input", "1 -", "gain", "*", "*", "+", "output"]
    nodes, _ = structure._level(Odd(asks=True))
    assert labels({"nodes": nodes}) == ["input", "Odd, not to be traced", "output"]


def test_batch_norm_is_seen() -> None:
    with_it, without = (structure.of("srresnet", SMALL["srresnet"] | {"batch_norm": value}, 4)[1] for value in (True, False))
    assert labels(with_it).count("BatchNorm") == 2
    assert [one for one in labels(with_it) if one != "BatchNorm"] == labels(without)
