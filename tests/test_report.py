"""Tables and page of a tiny study: the numbers are those of the results, every picture is there, and planted results read right."""

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image

from pipeline import comparison, config, figures, pictures, shards, tables
from pipeline.errors import InputError
from tests.repository import Repository


class Page(HTMLParser):
    """The sources of all pictures and the text of all table cells."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.cells: list[str] = []
        self.in_cell = self.in_study = False
        self.study: dict[str, Any] = {}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img" and "src" in dict(attrs):  # the two of the slider are filled by its script
            self.sources.append(dict(attrs)["src"] or "")
            assert dict(attrs)["alt"]
        self.in_cell = tag in ("td", "th")
        self.in_study = dict(attrs).get("id") == "study"

    def handle_endtag(self, tag: str) -> None:
        self.in_cell = False

    def handle_data(self, data: str) -> None:
        if self.in_cell:
            self.cells.append(data)
        if self.in_study:
            self.study = json.loads(data)
            self.sources += [source for picture in self.study["pictures"] for source in picture["layers"].values()]
            self.in_study = False


def study(built: Repository) -> comparison.Study:
    root = built.root
    return comparison.load(config.load(root / "params.yaml"), root / "metrics/train", root / "metrics/evaluate", root / "results")


def test_page_is_complete(built: Repository) -> None:
    report = built.root / "report"
    page = Page(report / "index.html")
    assert len(page.sources) == len(set(page.sources))
    for source in page.sources:
        assert Image.open(report / source).convert("RGB").size > (0, 0)
    on_disk = {str(path.relative_to(report)) for path in report.rglob("*.png")}
    card = Page(report / "data.html")
    assert on_disk == set(page.sources) | set(card.sources)
    for variant in ("srresnet", "edsr", "edsr_mse"):
        for kind in ("best", "worst"):
            assert f"pictures/{variant}_{kind}_SR_zoom.png" in page.sources
    for name in (
        "valid_l1",
        "valid_mse",
        "valid_psnr",
        "psnr_benchmark_y",
        "ssim_benchmark_y",
        "psnr_study",
        "frechet",
    ):
        assert f"figures/{name}.png" in page.sources
    text = (report / "index.html").read_text(encoding="utf-8")
    assert "a border of scale pixels left out" in text
    assert "4 fixed crops of 64x64" in text


def test_page_and_table_show_the_summary(built: Repository) -> None:
    summary = json.loads((built.root / "metrics/summary.json").read_text(encoding="utf-8"))
    markdown = (built.root / "metrics/results.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in markdown.splitlines() if line.startswith("|")]
    assert [row[0] for row in rows[:6]] == ["variant", "---", "bicubic", "srresnet", "edsr", "edsr_mse"]
    page = Page(built.root / "report/index.html")
    assert [cell for row in rows if row[0] != "---" for cell in row] == page.cells
    for picture in page.study["pictures"]:
        for variant, scores in picture["scores"].items():
            table = pd.read_csv(built.root / "results" / variant / "images.csv").set_index("image")
            assert scores == pytest.approx(table.loc[picture["name"], list(scores)].to_dict())
    for row in rows[2:6]:
        values = summary[row[0]]
        assert row[1] == f"{values['psnr_benchmark_y']:.2f}"
        assert row[2] == f"{values['ssim_benchmark_y']:.4f}"
        assert row[-1] == str(values.get("best_epoch", "-"))
    assert "valid chelsea 300x448 of 300x451" in markdown


def test_scores_are_those_of_the_saved_pictures(built: Repository) -> None:
    """PSNR on Y worked out here, from the PNG files, with numpy alone."""
    for variant in ("bicubic", "edsr"):
        table = pd.read_csv(built.root / "results" / variant / "images.csv")
        for row in table.itertuples():
            hr = next(one for one in shards.load(built.root / "data/shards").valid if one.name == row.image).hr
            sr = pictures.read(built.root / "results" / variant / f"{row.image}.png")
            y_sr, y_hr = (one @ [65.481, 128.553, 24.966] / 255 for one in (sr, hr))
            error = np.mean((y_sr - y_hr)[4:-4, 4:-4] ** 2)
            assert row.psnr_benchmark_y == pytest.approx(10 * np.log10(255**2 / error), abs=1e-4)
        summary = json.loads((built.root / "metrics/summary.json").read_text(encoding="utf-8"))
        assert summary[variant]["psnr_benchmark_y"] == pytest.approx(table["psnr_benchmark_y"].mean(), abs=1e-6)


def test_verdict_orders_planted_results(built: Repository) -> None:
    real = study(built)
    evaluation = real.evaluation.copy()
    planted = {"bicubic": 30.0, "srresnet": 29.5, "edsr": 31.25, "edsr_mse": 30.5}
    evaluation["psnr_benchmark_y"] = evaluation["variant"].map(planted)
    sentence = tables.verdict(real._replace(evaluation=evaluation))
    assert sentence.endswith("edsr (+1.25) > edsr_mse (+0.50) > bicubic > srresnet (-0.50).")


def test_charts_have_each_column_once(built: Repository) -> None:
    for table in comparison.curves(study(built)).values():
        assert table.columns.is_unique
        assert table["epoch"].is_monotonic_increasing or table["variant"].nunique() > 1
    assert "frechet" in comparison.curves(study(built))["evaluation"]


def test_final_row_is_the_best_checkpoint(built: Repository) -> None:
    real = study(built)
    rows = real.evaluation[real.evaluation["variant"] == "edsr"]
    assert rows["checkpoint"].tolist() == ["epoch_001", "epoch_002", "best"]
    final = comparison.summary(real)["edsr"]
    assert final["best_epoch"] == rows["epoch"].iloc[-1]
    same = rows[rows["epoch"] == final["best_epoch"]]
    assert (same["psnr_benchmark_y"] == final["psnr_benchmark_y"]).all()


def test_missing_results_name_file_and_stage(built: Repository, tmp_path: Path) -> None:
    root = built.root
    message = re.escape("srresnet.csv: expected the results of srresnet, found none; run: dvc repro train@srresnet")
    with pytest.raises(InputError, match=message):
        comparison.load(config.load(root / "params.yaml"), tmp_path, root / "metrics/evaluate", root / "results")


def test_busiest_window_and_zoom(photo: Callable[[str], NDArray[np.uint8]]) -> None:
    picture = np.full((60, 80, 3), 128, np.uint8)
    picture[30:50, 40:60] = photo("chelsea")[100:120, 150:170]
    top, left = figures.busiest(picture, 22)
    assert 28 <= top <= 30
    assert 38 <= left <= 40
    zoomed = figures.zoom(picture, (30, 40), 20, 3)
    assert zoomed.shape == (60, 60, 3)
    assert np.array_equal(zoomed[::3, ::3], picture[30:50, 40:60])
    framed = figures.mark(picture, (30, 40), 20)
    assert (framed[30, 40:60] == (255, 210, 0)).all()
    assert np.array_equal(framed[31:49, 41:59], picture[31:49, 41:59])
