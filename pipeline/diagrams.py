"""A model's diagram, drawn from what pipeline/structure.py found in it."""

from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

Level = dict[str, Any]
Place = tuple[int, int]  # row and column
HALF, HIGH, COLUMN, LANE = 0.95, 0.3, 2.2, 0.22  # half a box's width, its height, between columns and between lanes
COLOURS = {"conv": "#bcd7f5", "PixelShuffle": "#d5c8f0", "input": "#eeeeee", "output": "#eeeeee"}
LAYER, BLOCK, MERGE = "#cfe8cf", "#f5c6c6", "#ffe0a8"


def draw(level: Level) -> Figure:
    """The nodes from top to bottom, each below all that it needs; what skips a row runs past the boxes, the shorter the closer."""
    nodes = level["nodes"]
    places = _places(nodes)
    edges = [(source, target) for target, node in enumerate(nodes) for source in node["inputs"]]
    skips = sorted((edge for edge in edges if not _next(edge, places)), key=lambda edge: places[edge[1]][0] - places[edge[0]][0])
    right = max(column for _, column in places) * COLUMN + HALF
    width, rows = right + HALF + LANE * (len(skips) + 1), max(row for row, _ in places) + 1
    figure = Figure(figsize=(1.15 * width, 0.5 * rows))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-HALF - 0.1, -HALF + width), ylim=(-rows + 0.5, 0.5))
    axes.set_axis_off()
    arrow = {"arrowstyle": "-|>", "color": "0.3", "shrinkA": 0, "shrinkB": 0, "lw": 0.9}
    for source, target in edges:
        if _next((source, target), places):
            (row, column), (below, other) = places[source], places[target]
            ends = (other * COLUMN, -below + HIGH), (column * COLUMN, -row - HIGH)
            axes.annotate("", xy=ends[0], xytext=ends[1], arrowprops=arrow)
    for number, (source, target) in enumerate(skips):
        lane = right + LANE * (number + 1)
        start, end = ((places[node][1] * COLUMN + HALF, -places[node][0]) for node in (source, target))
        axes.plot([start[0], lane, lane], [start[1], start[1], end[1]], color="0.3", lw=0.9, solid_joinstyle="round")
        axes.annotate("", xy=end, xytext=(lane, end[1]), arrowprops=arrow)
    for node, (row, column) in zip(nodes, places, strict=True):
        _box(axes, node, column * COLUMN, -row)
    return figure


def _box(axes: Any, node: dict[str, Any], x: float, y: float) -> None:
    merges = len(node["inputs"]) > 1
    colour = BLOCK if node["block"] else MERGE if merges else COLOURS.get(node["label"].split()[0], LAYER)
    shape = "round,pad=0,rounding_size=0.1"
    axes.add_patch(FancyBboxPatch((x - HALF, y - HIGH), 2 * HALF, 2 * HIGH, boxstyle=shape, fc=colour, ec="0.4", lw=0.7))
    text = f"{node['times']} x {node['label']}" if node["times"] > 1 else node["label"]
    axes.text(x, y, text, ha="center", va="center", fontsize=8, color="black")


def _places(nodes: list[dict[str, Any]]) -> list[Place]:
    """Rows by the longest way from the input; where two share a row, side by side."""
    places: list[Place] = []
    for node in nodes:
        row = max((places[one][0] + 1 for one in node["inputs"]), default=0)
        places.append((row, sum(other == row for other, _ in places)))
    return places


def _next(edge: tuple[int, int], places: list[Place]) -> bool:
    source, target = edge
    return places[target][0] - places[source][0] == 1
