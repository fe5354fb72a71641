"""The report: one page with the table, the curves, and the pictures side by side."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline import comparison, figures, page, pictures, shards, tables
from pipeline.files import finite

Image = NDArray[np.uint8]
Panel = dict[str, str]
ZOOM, FACTOR = 80, 4  # side of a zoomed part in HR pixels, and how much it is enlarged


def write_page(study: comparison.Study, data: shards.Shards, out: Path) -> None:
    """Write report/index.html with its figures and pictures."""
    page.write(
        out / "index.html",
        "report.html",
        verdict=tables.verdict(study),
        protocol=tables.protocol(study),
        table=tables.table(study),
        more=tables.more_tables(study),
        curves=list(_curves(study, out)),
        triplets=list(_triplets(study, data, out)),
        extremes=list(_extremes(study, data, out)),
        look=look(study, data, out),
        zoom=ZOOM,
        factor=FACTOR,
    )


def look(study: comparison.Study, data: shards.Shards, out: Path) -> dict[str, Any]:
    """What the page's slider needs: for each validation picture its layers, as files, and their scores; all written to `out`."""
    scores, valid = comparison.whole_scores(study), study.images[study.images["set"] == "valid"]
    shown = []
    for picture in data.valid:
        layers = {variant: _sr(study, variant, picture.name) for variant in study.variants} | {"HR": np.asarray(picture.hr)}
        files = {name: _panel(out, f"{picture.name}_{name}", image, name)["src"] for name, image in layers.items()}
        own = valid[valid["image"] == picture.name].set_index("variant")
        values = {variant: finite(own.loc[variant, scores].to_dict()) for variant in study.variants}
        shown.append({"name": picture.name, "layers": files, "scores": values})
    return {"layers": [*study.variants, "HR"], "metrics": scores, "pictures": shown}


def _curves(study: comparison.Study, out: Path) -> Iterator[dict[str, str]]:
    wanted = [
        (study.training, ["train_l1", "valid_l1"], "L1 loss, training and validation crops", "mean |SR - HR|, values in [0, 1]"),
        (
            study.training,
            ["train_mse", "valid_mse"],
            "MSE loss, training and validation crops",
            "mean (SR - HR)², values in [0, 1]",
        ),
        (study.training, ["valid_psnr"], "PSNR at each epoch, validation crops of training", "dB, RGB, no border"),
    ]
    scores = comparison.curves(study)["evaluation"]
    bicubic = comparison.summary(study)[comparison.BICUBIC]
    bicubic["frechet"] = bicubic[comparison.distance(study)]
    for metric in [*study.scores, "frechet"]:
        wanted.append((scores, [metric], f"{tables.label(metric)} of the saved checkpoints", tables.label(metric)))
    for table, columns, title, unit in wanted:
        rows = table[table["variant"] != comparison.BICUBIC]
        if rows.empty:
            continue
        name = f"figures/{columns[-1]}.png"
        figures.save(figures.by_epoch(rows, columns, title, unit, bicubic.get(columns[0])), out / name)
        yield {"src": name, "title": title}


def example(study: comparison.Study, data: shards.Shards) -> Figure:
    """The first validation picture's most detailed part, from bicubic to HR, in one row."""
    picture = data.valid[0]
    place = figures.busiest(picture.hr, min(ZOOM, *picture.hr.shape[:2]))
    panels = [(variant, _sr(study, variant, picture.name)) for variant in study.variants] + [("HR", picture.hr)]
    return figures.strip([(name, figures.zoom(image, place, ZOOM, 1)) for name, image in panels])


def _triplets(study: comparison.Study, data: shards.Shards, out: Path) -> Iterator[dict[str, object]]:
    """For each validation picture the part with the most detail: LR, bicubic, the variants, HR."""
    for picture in data.valid:
        place = figures.busiest(picture.hr, min(ZOOM, *picture.hr.shape[:2]))
        panels = [("LR", _enlarged(picture.lr, data.scale), "nearest neighbour")]
        for variant in study.variants:
            panels.append((variant, _sr(study, variant, picture.name), _scores(study, variant, picture.name)))
        panels.append(("HR", picture.hr, "original"))
        rows = [
            _panel(out, f"{picture.name}_{name}_zoom", figures.zoom(image, place, ZOOM, FACTOR), f"{name}: {text}")
            for name, image, text in panels
        ]
        yield {
            "title": picture.name,
            "whole": _panel(out, f"{picture.name}_framed", figures.mark(picture.hr, place, ZOOM), "HR"),
            "panels": rows,
        }


def _extremes(study: comparison.Study, data: shards.Shards, out: Path) -> Iterator[dict[str, object]]:
    """For each variant its best and worst validation picture by SSIM: whole, and the part where it errs most."""
    pictures = {picture.name: picture for picture in data.valid}
    if not (names := comparison.whole_scores(study)):
        return
    metric = next((name for name in names if name.startswith("ssim")), names[0])
    for variant in study.params.models:
        own = study.images[(study.images["variant"] == variant) & (study.images["set"] == "valid")]
        table = own.sort_values(metric)
        for kind, row in (("best", table.iloc[-1]), ("worst", table.iloc[0])):
            picture = pictures[row["image"]]
            sr = _sr(study, variant, picture.name)
            error = np.abs(sr.astype(np.int16) - picture.hr).astype(np.uint8)
            place = figures.busiest(error, min(ZOOM, *error.shape[:2]))
            name = f"{variant}_{kind}"
            shown = {"LR": _enlarged(picture.lr, data.scale), "SR": sr, "HR": picture.hr}
            panels = [_panel(out, f"{name}_{label}", figures.mark(image, place, ZOOM), label) for label, image in shown.items()]
            for label, image in shown.items():
                part = figures.zoom(image, place, ZOOM, FACTOR)
                panels.append(_panel(out, f"{name}_{label}_zoom", part, f"{label}, framed part"))
            title = f"{variant}, {kind}: {picture.name}, {tables.label(metric)} {tables.number(metric, row[metric])}"
            yield {"title": title, "panels": panels}


def _sr(study: comparison.Study, variant: str, name: str) -> Image:
    return pictures.read(study.results / variant / f"{name}.png")


def _scores(study: comparison.Study, variant: str, name: str) -> str:
    """The metrics by the first protocol: "PSNR (dB), benchmark_y 31.47, SSIM, benchmark_y 0.8063"."""
    row = study.images[(study.images["variant"] == variant) & (study.images["image"] == name)].iloc[0]
    metrics = comparison.whole_scores(study)[: len(study.params.evaluate.metrics)]
    return ", ".join(f"{tables.label(metric)} {tables.number(metric, row[metric])}" for metric in metrics)


def _enlarged(lr: Image, scale: int) -> Image:
    return lr.repeat(scale, axis=0).repeat(scale, axis=1)


def _panel(out: Path, name: str, picture: Image, caption: str) -> Panel:
    pictures.write(out / "pictures" / f"{name}.png", picture)
    return {"src": f"pictures/{name}.png", "caption": caption}
