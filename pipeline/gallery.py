"""The report's pictures: where each variant does best and worst, and where two of them differ."""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline import comparison, figures, pictures, shards, tables
from pipeline.comparison import BICUBIC, Study
from pipeline.errors import InputError
from pipeline.reference import Reference

Image = NDArray[np.uint8]
Panel = dict[str, str]
Row = dict[str, Any]  # title, and panels or, where there is nothing to show, none
BEYOND = 1e3  # what an infinite gain counts as
SIDE = 80  # of a zoomed part, HR pixels
CAPTIONS = {"error": "|SR - HR|, 4 times as bright"}


class Sources(NamedTuple):
    """What the pictures are made of, and where they go."""

    study: Study
    data: shards.Shards
    reference: Reference
    out: Path

    def picture(self, name: str) -> shards.Picture:
        return next(one for one in self.data.valid if one.name == name)

    def panel(self, name: str, image: Image, caption: str) -> Panel:
        pictures.write(self.out / "parts" / f"{name}.png", image)
        return {"src": quote(f"parts/{name}.png"), "caption": caption}

    def zooms(self, name: str, layers: dict[str, Image], place: tuple[int, int]) -> list[Panel]:
        """The same part of several pictures of one size."""
        return self.panels(name, {label: figures.window(image, place, SIDE) for label, image in layers.items()})

    def panels(self, name: str, layers: dict[str, Image]) -> list[Panel]:
        return [self.panel(f"{name}_{label}", image, CAPTIONS.get(label, label)) for label, image in layers.items()]


def sr_of(study: Study, variant: str, name: str) -> Image:
    """The SR picture that evaluate left. Raises InputError when it is missing or damaged."""
    path = study.results / variant / f"{name}.png"
    try:
        return _decoded(path, path.stat().st_mtime_ns)
    except (OSError, InputError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{path}: expected a picture of {variant}: {reason}; {comparison.rerun(variant)}") from None


@lru_cache(maxsize=12)  # pictures: those of one validation picture are asked for together
def _decoded(path: Path, changed: int) -> Image:
    return pictures.read(path)


def error_map(sr: Image, hr: Image) -> Image:
    """|SR - HR| as grey levels, four times as bright, the mean over the channels."""
    difference = np.abs(sr.astype(np.int16) - hr).mean(axis=2, keepdims=True)
    grey: Image = np.minimum(difference * 4, 255).astype(np.uint8)
    return grey.repeat(3, axis=2)


def seen(sources: Sources) -> Iterator[Row]:
    """For each variant its best and worst picture and crop, by SSIM or, without it, by the first metric."""
    study = sources.study
    for variant in study.params.models:
        for kind, last in (("best", -1), ("worst", 0)):
            if (score := _preferred(comparison.whole_scores(study))) is not None:
                row = _from_worst_to_best(_of(study.valid, variant), score).iloc[last]
                yield _picture(sources, variant, kind, row, score)
        for kind, last in (("best", -1), ("worst", 0)):
            if (score := _preferred(comparison.score_names(study.params.evaluate, crops=True))) is not None:
                row = _from_worst_to_best(_of(study.crops, variant).reset_index(drop=True), score).iloc[last]
                yield _crop(sources, variant, kind, row, score)


def _from_worst_to_best(table: pd.DataFrame, score: str) -> pd.DataFrame:
    return table.sort_values(score, ascending=comparison.sign(score) > 0, kind="stable")


def _of(table: pd.DataFrame, variant: str) -> pd.DataFrame:
    return table[table["variant"] == variant]


def _preferred(scores: list[str]) -> str | None:
    return next((name for name in scores if name.startswith("ssim")), next(iter(scores), None))


def _picture(sources: Sources, variant: str, kind: str, row: Any, score: str) -> Row:
    """The whole, with the part framed where the error changes most, and that part of LR, SR, HR and the error."""
    picture = sources.picture(row["image"])
    sr = sr_of(sources.study, variant, picture.name)
    error = error_map(sr, picture.hr)
    place = figures.busiest(error, SIDE)
    layers = {"LR": figures.enlarged(picture.lr, sources.data.scale), "SR": sr, "HR": picture.hr, "error": error}
    height, width = picture.hr.shape[:2]
    frame = {
        "top": place[0] / height,
        "left": place[1] / width,
        "height": min(SIDE, height) / height,
        "width": min(SIDE, width) / width,
    }
    whole = {
        "src": quote(f"pictures/{variant}/{picture.name}.png"),
        "caption": f"{variant}, whole; the frame is what follows",
        "frame": frame,
    }
    title = f"{variant}, {kind} picture: {picture.name}, {tables.label(score)} {tables.number(score, row[score])}"
    return {"title": title, "panels": [whole, *sources.zooms(f"{variant}_{kind}", layers, place)]}


def _crop(sources: Sources, variant: str, kind: str, row: Any, score: str) -> Row:
    path = sources.study.results / variant / "crops.npy"
    try:
        crops = np.load(path, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: expected the crops of {variant}: {error}; {comparison.rerun(variant)}") from None
    number = int(row.name)
    sr, hr, lr = np.asarray(crops[number]), sources.reference.hr[number], sources.reference.lr[number]
    layers = {"LR": figures.enlarged(lr, sources.data.scale), "SR": sr, "HR": hr, "error": error_map(sr, hr)}
    panels = sources.panels(f"{variant}_{kind}_crop", layers)
    title = f"{variant}, {kind} crop: of {row['image']}, {tables.label(score)} {tables.number(score, row[score])}"
    return {"title": title, "panels": panels}


def compared(sources: Sources, a: str, b: str) -> Iterator[Row]:
    """Two variants: a picture where both do well, both poorly, only a, only b; for what there is none, the nearest to it.

    By the gain on bicubic in the first score made picture by picture. Well: at least the median of both variants' gains.
    """
    study, score = sources.study, comparison.whole_scores(sources.study)[0]
    table = comparison.by_picture(study.valid, score)
    with np.errstate(invalid="ignore"):
        gains = table[[a, b]].sub(table[BICUBIC], axis=0).fillna(0.0).clip(-BEYOND, BEYOND)
    well = float(np.median(gains))
    over = gains - well
    margins = {
        "both do well": over.min(axis=1),
        "both do poorly": -over.max(axis=1),
        f"only {a} does well": pd.concat([over[a], -over[b]], axis=1).min(axis=1),
        f"only {b} does well": pd.concat([over[b], -over[a]], axis=1).min(axis=1),
    }
    limit = f"well: at least {tables.signed(score, well)} above bicubic in {tables.label(score)}, the median of both"
    for number, (kind, margin) in enumerate(margins.items()):
        at = int(margin.to_numpy().argmax())
        name, found = str(margin.index[at]), margin.iloc[at]
        numbers = ", ".join(f"{one} {tables.signed(score, gains[one].iloc[at])}" for one in (a, b))
        if found > 0 or (number == 0 and found == 0):
            panels = _parts(sources, a, b, name, f"{a}-{b}_{number}")
            yield {"title": f"{kind}: {name} ({numbers} on bicubic; {limit})", "panels": panels}
        else:
            yield {"title": f"{kind}: none ({limit}; nearest to it is {name}: {numbers})", "panels": []}


def _parts(sources: Sources, a: str, b: str, name: str, file: str) -> list[Panel]:
    """LR, a, b and HR where a and b differ most."""
    picture = sources.picture(name)
    sides = {variant: sr_of(sources.study, variant, name) for variant in (a, b)}
    place = figures.busiest(error_map(sides[a], sides[b]), SIDE)
    return sources.zooms(file, {"LR": figures.enlarged(picture.lr, sources.data.scale), **sides, "HR": picture.hr}, place)
