"""The report: one page that argues with evidence, section by section as the study is."""

import json
import shutil
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pipeline import comparison, datacard, diagrams, figures, findings, gallery, page, pictures, published, tables
from pipeline.errors import InputError
from pipeline.files import finite, whole
from pipeline.gallery import Panel, Sources

EXAMPLES = 6  # pictures that dvc plots shows


def write_page(sources: Sources, card: dict[str, Any]) -> None:
    """Write report/index.html with its figures and pictures."""
    study, data, out = sources.study, sources.data, sources.out
    table, _ = findings.convergence(study)
    page.write(
        out / "index.html",
        "report.html",
        verdict=tables.verdict(study),
        protocol=tables.protocol(study),
        table=tables.table(study),
        facts=datacard.facts(card),
        data=datacard.panels(card, data, out),
        models=list(_models(study, out)),
        cost=tables.cost_table(study),
        training=list(_training(study, out)),
        convergence=table,
        checkpoints=findings.checkpoints(study),
        curves=list(_curves(study, out)),
        sets=tables.set_tables(study),
        triplets=list(_triplets(sources)),
        seen=list(gallery.seen(sources)),
        differences=tables.difference_table(study),
        pairs=list(_pairs(sources)),
        ablation=findings.ablation_table(study),
        findings=findings.findings(study),
        published=published,
        look=look(sources),
        side=gallery.SIDE,
        scored=bool(comparison.whole_scores(study)),
    )


def look(sources: Sources) -> dict[str, Any]:
    """What the page's slider needs: for each validation picture its layers, as files, and their scores; all put below `out`."""
    study, folder = sources.study, sources.out / "pictures"
    scores, valid, shown = comparison.whole_scores(study), study.valid, []
    for picture in sources.data.valid:
        files = {name: quote(f"pictures/{name}/{picture.name}.png") for name in (*study.variants, "HR")}
        for variant in study.variants:
            with whole(folder / variant / f"{picture.name}.png") as temporary:
                shutil.copyfile(study.results / variant / f"{picture.name}.png", temporary)
        pictures.write(folder / "HR" / f"{picture.name}.png", np.asarray(picture.hr))
        own = valid[valid["image"] == picture.name].set_index("variant")
        values = {variant: finite(own.loc[variant, scores].to_dict()) for variant in study.variants}
        shown.append({"name": picture.name, "layers": files, "scores": values})
    return {"layers": [*study.variants, "HR"], "metrics": scores, "pictures": shown}


def _figure(out: Path, name: str, figure: Figure, caption: str) -> Panel:
    figures.save(figure, out / "figures" / f"{name}.svg")
    return {"src": f"figures/{name}.svg", "caption": caption}


def _models(study: comparison.Study, out: Path) -> Iterator[dict[str, Any]]:
    """The diagrams of each model, the whole and each block in it; variants that are built alike share them."""
    alike: dict[str, list[str]] = {}
    for variant in study.params.models:
        path = study.results / variant / "structure.json"
        try:
            levels = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: expected what {variant} is made of: {error}; {comparison.rerun(variant)}") from None
        alike.setdefault(json.dumps(levels), []).append(variant)
    for text, variants in alike.items():
        levels = enumerate(json.loads(text))
        panels = [_figure(out, f"{variants[0]}_level_{number}", diagrams.draw(level), level["title"]) for number, level in levels]
        yield {"name": ", ".join(variants), "levels": panels}


def _training(study: comparison.Study, out: Path) -> Iterator[Panel]:
    wanted = [
        (["train_l1", "valid_l1"], "L1 loss, training and validation crops", "mean |SR - HR|, values in [0, 1]"),
        (["train_mse", "valid_mse"], "MSE loss, training and validation crops", "mean (SR - HR)², values in [0, 1]"),
        (["valid_psnr"], "PSNR at each epoch, validation crops of training", "dB, RGB, no border"),
        (["lr"], "Learning rate", "rate of the optimizer"),
    ]
    for columns, title, unit in wanted if len(study.training) else []:
        yield _figure(out, columns[-1], figures.by_epoch(study.training, columns, title, unit), f"{title}, a line a variant")


def _curves(study: comparison.Study, out: Path) -> Iterator[Panel]:
    for metric, title, figure in _by_epoch(study) if study.params.models else []:
        yield _figure(out, metric, figure, f"{title}, a line a variant")


def _by_epoch(study: comparison.Study) -> Iterator[tuple[str, str, Figure]]:
    """Each score of the saved checkpoints, with bicubic's level: its name, title and figure."""
    rows: pd.DataFrame = comparison.curves(study)["evaluation"]
    bicubic, distance = comparison.summary(study)[comparison.BICUBIC], comparison.distance(study)
    for metric, column in [*((score, score) for score in study.scores), (distance, "frechet")]:
        label = tables.label(metric)
        title = f"{label} of the saved checkpoints"
        yield column, title, figures.by_epoch(rows, [column], title, label, bicubic.get(metric))


def write_examples(sources: Sources, out: Path) -> None:
    """What the README and `dvc plots` show: the most detailed part of the first pictures, and the first score by epoch."""
    for number, picture in enumerate(sources.data.valid[:EXAMPLES]):
        layers, place = _layers(sources, number)
        parts = [(name, figures.window(image, place, gallery.SIDE)) for name, image in layers.items() if name != "LR"]
        figures.save(figures.strip(parts), out / f"{picture.name}.png")
    _, _, figure = next(_by_epoch(sources.study))
    figures.save(figure, out / "curve.png")


def _layers(sources: Sources, number: int) -> tuple[dict[str, gallery.Image], tuple[int, int]]:
    """LR, bicubic, the variants and HR of a validation picture, and where it has the most detail."""
    picture, study = sources.data.valid[number], sources.study
    layers = {"LR": figures.enlarged(picture.lr, sources.data.scale)}
    layers |= {variant: gallery.sr_of(study, variant, picture.name) for variant in study.variants} | {"HR": picture.hr}
    return layers, figures.busiest(picture.hr, gallery.SIDE)


def _triplets(sources: Sources) -> Iterator[gallery.Row]:
    """For each validation picture the part with the most detail: LR, bicubic, the variants, HR."""
    for number, picture in enumerate(sources.data.valid):
        layers, place = _layers(sources, number)
        panels = sources.zooms(f"{picture.name}_part", layers, place)
        scores = {variant: f"{variant}: {_scores(sources.study, variant, picture.name)}" for variant in sources.study.variants}
        yield {
            "title": picture.name,
            "panels": [{**panel, "caption": scores.get(panel["caption"], panel["caption"])} for panel in panels],
        }


def _scores(study: comparison.Study, variant: str, name: str) -> str:
    """The metrics by the first protocol: "PSNR (dB), benchmark_y 31.47, SSIM, benchmark_y 0.8063"."""
    row = study.images[(study.images["variant"] == variant) & (study.images["image"] == name)].iloc[0]
    metrics = comparison.whole_scores(study)[: len(study.params.evaluate.metrics)]
    return ", ".join(f"{tables.label(metric)} {tables.number(metric, row[metric])}" for metric in metrics)


def _pairs(sources: Sources) -> Iterator[dict[str, Any]]:
    """Every two variants: the scatter of their scores, and the four pictures."""
    study, scores = sources.study, comparison.whole_scores(sources.study)
    for a, b in combinations(study.faces, 2) if scores else []:
        values = study.valid.pivot(index="image", columns="variant", values=scores[0])
        label = tables.label(scores[0])
        chart = _figure(sources.out, f"{a}-{b}_scatter", figures.scatter(values[a], values[b], label), f"{label} of {a} and {b}")
        yield {"title": f"{a} and {b}", "scatter": chart, "rows": list(gallery.compared(sources, a, b))}
