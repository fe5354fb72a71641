"""Diagrams follow the models."""

from typing import Any

import pytest

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


def test_batch_norm_is_seen() -> None:
    with_it, without = (structure.of("srresnet", SMALL["srresnet"] | {"batch_norm": value}, 4)[1] for value in (True, False))
    assert labels(with_it).count("BatchNorm") == 2
    assert [one for one in labels(with_it) if one != "BatchNorm"] == labels(without)
