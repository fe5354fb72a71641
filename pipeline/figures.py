"""The report's figures: each a function from tables or pictures to one picture."""

from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline.files import whole

Image = NDArray[np.uint8]
matplotlib.rcParams |= {
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "sr-study",
}


def save(figure: Figure, path: Path) -> None:
    """Write PNG or SVG, as the name ends; the same figure gives the same bytes."""
    kind = path.suffix[1:]
    with whole(path) as temporary:
        figure.savefig(temporary, format=kind, dpi=110, metadata={"Software": None} if kind == "png" else {"Date": None})


def by_epoch(table: pd.DataFrame, columns: list[str], title: str, unit: str, baseline: float | None = None) -> Figure:
    """One line a variant and column against the epoch; `table` is long: variant, epoch, and the columns.

    The second column, if any, is dashed; `baseline` is bicubic's level.
    """
    figure = Figure(figsize=(6.4, 3.8))
    axes = figure.add_axes((0.14, 0.13, 0.84, 0.78))  # fixed: to fit a layout to its texts takes as long as to draw it
    for number, (variant, rows) in enumerate(table.groupby("variant", sort=False)):
        for column, style in zip(columns, ("-", "--"), strict=False):
            label = f"{variant}, {column.split('_')[0]}" if len(columns) > 1 else str(variant)
            marker = "o" if len(rows) <= 12 else ""
            axes.plot(rows["epoch"], rows[column], style, color=f"C{number}", label=label, marker=marker, markersize=4)
    if baseline is not None:
        axes.axhline(baseline, color="0.4", linestyle=":", label="bicubic")
    if "loss" in title.lower():
        axes.set_yscale("log")
    axes.set(title=title, xlabel="epoch", ylabel=unit)
    axes.legend(fontsize=8)
    return figure


def busiest(hr: Image, side: int) -> tuple[int, int]:
    """Top and left of the window of an HR picture, uint8 (H, W, 3), with the most detail: the largest sum of gradients."""
    grey, side = hr.mean(axis=2), min(side, *(length - 1 for length in hr.shape[:2]))
    detail = np.abs(np.diff(grey, axis=0))[:, :-1] + np.abs(np.diff(grey, axis=1))[:-1]
    total = np.pad(detail.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    sums = total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]
    top, left = np.unravel_index(int(sums.argmax()), sums.shape)
    return int(top), int(left)


def enlarged(lr: Image, scale: int) -> Image:
    """LR with each pixel `scale` times as wide and high."""
    return lr.repeat(scale, axis=0).repeat(scale, axis=1)


def window(image: Image, place: tuple[int, int], side: int) -> Image:
    """A part of a picture, (side, side) or less where the picture ends."""
    top, left = place
    return image[top : top + side, left : left + side]


def strip(panels: list[tuple[str, Image]]) -> Figure:
    """Pictures of one size in a row, each with its label above it."""
    figure = Figure(figsize=(2.4 * len(panels), 2.8))
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.02, top=0.88, wspace=0.04)
    for number, (label, image) in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), number + 1)
        axes.imshow(image, interpolation="nearest")
        axes.set_title(label, fontsize=10)
        axes.set_axis_off()
    return figure


def bars(table: pd.DataFrame) -> Figure:
    """Mean of each channel as a bar with its deviation as a line; columns channel, mean, deviation in [0, 1]."""
    figure = Figure(figsize=(6.4, 3.2))
    axes = figure.add_axes((0.1, 0.12, 0.88, 0.78))
    colors = [channel.split()[-1] for channel in table["channel"]]
    axes.bar(table["channel"], table["mean"], yerr=table["deviation"], color=colors, alpha=0.6, capsize=4)
    axes.set(title="Mean and deviation of each channel", ylabel="value in [0, 1]")
    axes.tick_params(axis="x", labelsize=8)
    return figure


def sizes(train: list[tuple[int, int]], valid: list[tuple[int, int]]) -> Figure:
    """Histograms of the heights and of the widths of the pictures of both sides."""
    figure = Figure(figsize=(6.4, 3.2))
    figure.subplots_adjust(left=0.08, right=0.98, bottom=0.16, top=0.88, wspace=0.25)
    for number, what in enumerate(("height", "width")):
        axes = figure.add_subplot(1, 2, number + 1)
        axes.hist([[size[number] for size in side] for side in (train, valid)], bins=12, label=["train", "valid"], stacked=True)
        axes.set(title=f"Pictures by {what}", xlabel="pixels", ylabel="pictures")
        axes.legend(fontsize=8)
    return figure


def scatter(x: pd.Series, y: pd.Series, label: str) -> Figure:
    """A point a picture: two variants' scores against each other; above the diagonal the second is better (less, for LPIPS)."""
    figure = Figure(figsize=(4.2, 4.2))
    axes = figure.add_axes((0.17, 0.12, 0.79, 0.79))
    axes.plot(x, y, "o", markersize=5, alpha=0.7)
    ends = [values[np.isfinite(values)] for values in (x, y)]
    low, high = (float(pick(pick(end, default=0.0) for end in ends)) for pick in (min, max))
    axes.plot([low, high], [low, high], ":", color="0.4")
    axes.set(title=f"{label}, a point a picture", xlabel=str(x.name), ylabel=str(y.name), aspect="equal")
    return figure


def grid(pictures: list[Image], columns: int) -> Image:
    """Pictures of one size in rows of `columns`, white where one is wanting."""
    height, width, _ = pictures[0].shape
    rows = -(-len(pictures) // columns)
    sheet = np.full((rows * height, columns * width, 3), 255, np.uint8)
    for number, picture in enumerate(pictures):
        top, left = number // columns * height, number % columns * width
        sheet[top : top + height, left : left + width] = picture
    return sheet
