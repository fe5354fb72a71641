"""Tables and page of a tiny study: the numbers are those of the results, every picture is there, and planted results read right."""

import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image

from pipeline import comparison, config, figures, gallery, pictures, report, shards, tables
from pipeline.errors import InputError
from pipeline.reference import load
from tests.repository import Repository


class Page(HTMLParser):
    """The sources of all pictures, the text of all table cells by table, headings and captions, and the data of the slider."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.texts: dict[str, list[str]] = {}
        self.study: dict[str, Any] = {}
        self.title = self.tag = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "img" and "src" in values:  # the two of the slider are filled by its script
            self.sources.append(values["src"] or "")
            assert values["alt"]
        if values.get("role") == "region":
            self.title = values["aria-label"] or ""
            self.tables[self.title] = []
        if tag == "tr":
            self.tables[self.title].append([])
        self.tag = "study" if values.get("id") == "study" else tag

    def handle_endtag(self, tag: str) -> None:
        self.tag = ""

    def handle_data(self, data: str) -> None:
        if self.tag in ("td", "th"):
            self.tables[self.title][-1].append(data)
        elif self.tag == "study":
            self.study = json.loads(data)
            self.sources += [source for picture in self.study["pictures"] for source in picture["layers"].values()]
        elif data.strip():
            self.texts.setdefault(self.tag, []).append(data.strip())


def study(built: Repository) -> comparison.Study:
    root = built.root
    return comparison.load(config.load(root / "params.yaml"), root / "metrics/train", root / "metrics/evaluate", root / "results")


VARIANTS = ("srresnet", "edsr", "edsr_mse")


def pages(built: Repository, out: Path, change: Callable[[comparison.Study], comparison.Study], pictures_: int = 2) -> Page:
    """The page of a changed study."""
    found = shards.load(built.root / "data/shards")
    data = shards.Shards(found.index, found.train_hr, found.train_lr, found.valid[:pictures_])
    sources = gallery.Sources(change(study(built)), data, load(built.root / "data/reference"), out)
    report.write_page(sources, json.loads((built.root / "metrics/dataset.json").read_text(encoding="utf-8")))
    text = (out / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"\bnan\b", text, flags=re.IGNORECASE)
    page = Page(out / "index.html")
    on_disk = {quote(str(path.relative_to(out))) for path in out.rglob("*.*")} - {"index.html"}
    assert on_disk == set(page.sources)
    return page


def test_page_is_complete(built: Repository, tmp_path: Path) -> None:
    """Every figure of every section, for every variant and pair; and no file that the page does not show."""
    page = pages(built, tmp_path, lambda real: real)
    for source in page.sources:
        assert source.endswith(".svg") or Image.open(tmp_path / source).convert("RGB").size > (0, 0)
    parts = ("LR", "SR", "HR", "error")
    wanted = {f"data/{name}" for name in ("channels.svg", "sizes.svg", "tiles.png", "pairs.png")}
    wanted |= {f"figures/{name}.svg" for name in ("valid_l1", "valid_mse", "valid_psnr", "lr", "frechet")}
    wanted |= {f"figures/{metric}_{name}.svg" for metric in ("psnr", "ssim") for name in ("benchmark_y", "ntire_rgb", "study")}
    wanted |= {f"figures/{name}_level_{level}.svg" for name in ("srresnet", "edsr") for level in (0, 1)}  # edsr_mse is built alike
    kinds = ("best", "worst", "best_crop", "worst_crop")
    wanted |= {f"parts/{name}_{kind}_{part}.png" for name in VARIANTS for kind in kinds for part in parts}
    wanted |= {f"figures/{a}-{b}_scatter.svg" for a, b in combinations(VARIANTS, 2)}
    wanted |= {f"parts/{image}_part_{layer}.png" for image in ("chelsea", "rocket") for layer in ("LR", "bicubic", *VARIANTS, "HR")}
    assert wanted <= set(page.sources), wanted - set(page.sources)
    kinds_of_a_pair = [text for text in page.texts["h4"] if text.startswith(("both do", "only "))]
    assert len(kinds_of_a_pair) == 3 * 4
    levels = json.loads((built.root / "results/edsr/structure.json").read_text(encoding="utf-8"))
    assert [level["title"] for level in levels] == ["edsr", "edsr > Residual"]
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "a border of scale pixels left out" in text
    assert "4 fixed crops of 64x64" in text


def test_page_and_table_show_the_summary(built: Repository) -> None:
    summary = json.loads((built.root / "metrics/summary.json").read_text(encoding="utf-8"))
    markdown = (built.root / "metrics/results.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in markdown.splitlines() if line.startswith("|")]
    assert [row[0] for row in rows[:6]] == ["variant", "---", "bicubic", "srresnet", "edsr", "edsr_mse"]
    page = Page(built.root / "report/index.html")
    differences = next(name for name in page.tables if name.startswith("Differences on the 2 validation pictures"))
    shown = [row for name in ("The result", "Cost", differences) for row in page.tables[name]]
    assert [row for row in rows if row[0] != "---"] == shown
    for row in rows[2:6]:
        values = summary[row[0]]
        assert row[1] == f"{values['psnr_benchmark_y']:.2f}"
        assert row[2] == f"{values['ssim_benchmark_y']:.4f}"
        assert row[-1] == str(values.get("best_epoch", "-"))
    assert "valid chelsea 300x448 of 300x451" in markdown


def test_numbers_of_the_page_are_those_of_the_results(built: Repository) -> None:
    """What each table, title and caption says, worked out again from the files of metrics/ and results/."""
    root, page = built.root, Page(built.root / "report/index.html")
    scores = {name: pd.read_csv(root / "results" / name / "images.csv").set_index("image") for name in ("bicubic", *VARIANTS)}
    for picture in page.study["pictures"]:
        for variant, values in picture["scores"].items():
            assert values == pytest.approx(scores[variant].loc[picture["name"], list(values)].to_dict())
    saved = [(name, row) for name in VARIANTS for row in pd.read_csv(root / f"metrics/evaluate/{name}.csv").itertuples()]
    wanted = [
        [name, str(row.epoch), f"{row.psnr_benchmark_y:.2f}", f"{row.ssim_benchmark_y:.4f}", f"{row.fd_efficientnet_lite0:.1f}"]
        for name, row in saved
        if str(row.checkpoint).startswith("epoch")
    ]
    assert [[*row[:4], row[-1]] for row in page.tables["Every saved checkpoint"][1:]] == wanted
    history = {name: pd.read_csv(root / f"metrics/train/{name}.csv")["valid_psnr"] for name in VARIANTS}
    level = min(values.max() for values in history.values())
    first = {name: int((values >= level).to_numpy().argmax()) + 1 for name, values in history.items()}
    assert page.tables["Convergence"][0][1] == f"epochs to {level:.2f} dB"
    assert [row[:3] for row in page.tables["Convergence"][1:]] == [
        [name, str(first[name]), f"{first[name] * 4}"] for name in VARIANTS
    ]
    gain = scores["edsr"]["psnr_benchmark_y"] - scores["edsr_mse"]["psnr_benchmark_y"]
    assert page.tables["Ablation"][1][:4] == ["loss", "l1 (edsr)", "mse (edsr_mse)", f"{gain.mean():+.3f}"]
    titles = page.texts["h3"] + page.texts["h4"]
    for name in VARIANTS:
        order = scores[name].sort_values("ssim_benchmark_y")
        for kind, at in (("best", -1), ("worst", 0)):
            value = f"SSIM, benchmark_y {order['ssim_benchmark_y'].iloc[at]:.4f}"
            assert f"{name}, {kind} picture: {order.index[at]}, {value}" in titles
        crops = pd.read_csv(root / "results" / name / "crops.csv").sort_values("ssim_study")
        assert f"{name}, worst crop: of {crops.iloc[0]['image']}, SSIM, study {crops.iloc[0]['ssim_study']:.4f}" in titles
    for image in ("chelsea", "rocket"):
        row = scores["edsr"].loc[image]
        caption = f"edsr: PSNR (dB), benchmark_y {row['psnr_benchmark_y']:.2f}, SSIM, benchmark_y {row['ssim_benchmark_y']:.4f}"
        assert caption in page.texts["figcaption"]
    gains = {name: scores[name]["psnr_benchmark_y"] - scores["bicubic"]["psnr_benchmark_y"] for name in ("srresnet", "edsr")}
    for title in [one for one in titles if "srresnet " in one and "edsr " in one and "edsr_mse" not in one]:
        image, ours, theirs = re.search(r"(chelsea|rocket)(?:: | \()srresnet (\S+), edsr (\S+?)(?: on|\))", title).groups()  # type: ignore[union-attr]
        assert (ours, theirs) == (f"{gains['srresnet'][image]:+.3f}", f"{gains['edsr'][image]:+.3f}")


def changed(real: comparison.Study, change: Callable[[pd.DataFrame], pd.DataFrame]) -> comparison.Study:
    """The same study with other tables."""
    training, evaluation, images, crops = map(change, (real.training, real.evaluation, real.images, real.crops))
    return real._replace(training=training, evaluation=evaluation, images=images, crops=crops)


def only(real: comparison.Study, *names: str) -> comparison.Study:
    """The same study with these variants alone."""
    params = real.params.model_copy(update={"models": {name: real.params.models[name] for name in names}})
    return changed(real, lambda table: table[table["variant"].isin(["bicubic", *names])])._replace(params=params)


def test_one_variant_alone(built: Repository, tmp_path: Path) -> None:
    page = pages(built, tmp_path, lambda real: only(real, "edsr"))
    assert "There are no two variants to compare." in page.texts["p"]
    assert "None: no two variants differ in exactly one parameter." in page.texts["p"]
    assert [row[0] for row in page.tables["The result"]] == ["variant", "bicubic", "edsr"]


def test_no_variant_at_all(built: Repository, tmp_path: Path) -> None:
    root, params = built.root, config.load(built.root / "params.yaml").model_copy(update={"models": {}})
    found = comparison.load(params, root / "metrics/train", root / "metrics/evaluate", root / "results")
    page = pages(built, tmp_path, lambda _: found)
    assert [row[0] for row in page.tables["The result"]] == ["variant", "bicubic"]
    assert comparison.curves(found)["evaluation"].empty


def test_crops_alone(built: Repository, tmp_path: Path) -> None:
    """Without a score that is made picture by picture, nothing can be paired, and the page says so."""
    params = config.load(built.root / "params.yaml")
    params = params.model_copy(update={"evaluate": params.evaluate.model_copy(update={"protocols": ["study"]})})

    def change(real: comparison.Study) -> comparison.Study:
        less = changed(real, lambda table: table.drop(columns=[name for name in table if str(name).endswith(("_y", "_rgb"))]))
        return less._replace(params=params)

    page = pages(built, tmp_path, change)
    assert sum(text.startswith("No score is made picture by picture") for text in page.texts["p"]) == 2
    assert any(text.startswith("edsr, worst crop: of") for text in page.texts["h3"])


def test_one_validation_picture(built: Repository, tmp_path: Path) -> None:
    def first(table: pd.DataFrame) -> pd.DataFrame:
        return table[table["image"] == "chelsea"] if "image" in table else table

    page = pages(built, tmp_path, lambda real: changed(real, first), pictures_=1)
    assert any(name.startswith("Differences on the 1 validation picture (so few") for name in page.tables)
    assert all(
        "-inf to inf, 1 picture" in row[0] for name in page.tables if name.startswith("Diff") for row in page.tables[name][1:]
    )


def test_equal_variants_differ_in_nothing(built: Repository, tmp_path: Path) -> None:
    def twice(table: pd.DataFrame) -> pd.DataFrame:
        others = table[table["variant"] != "edsr_mse"]
        return pd.concat([others, others[others["variant"] == "edsr"].assign(variant="edsr_mse")])

    page = pages(built, tmp_path, lambda real: changed(real, twice))
    assert page.tables["Ablation"][1][3:5] == ["+0.000", "+0.000 to +0.000"]
    found = [text for text in page.texts["h4"] if text.startswith(("only edsr does", "only edsr_mse does"))]
    assert sum(": none (well: at least" in text for text in found[-2:]) == 2


DAMAGE = {
    "images.csv": ("a column less", r"results/edsr/images\.csv: expected the columns .*, found no ssim_benchmark_y; {}"),
    "crops.csv": ("no table", r"results/edsr/crops\.csv: expected the results of edsr, found .*; {}"),
    "crops.npy": ("cut", r"results/edsr/crops\.npy: expected the crops of edsr: .*; {}"),
    "chelsea.png": ("cut", r"results/edsr/chelsea\.png: expected a picture of edsr: .*; {}"),
    "rocket.png": ("gone", r"results/edsr/rocket\.png: expected a picture of edsr: No such file or directory; {}"),
    "structure.json": ("cut", r"results/edsr/structure\.json: expected what edsr is made of: .*; {}"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_results_name_the_file_and_the_stage(built: Repository, tmp_path: Path, name: str) -> None:
    kind, message = DAMAGE[name]
    shutil.copytree(built.root, tmp_path / "copy", ignore=shutil.ignore_patterns(".dvc", ".git", "checkpoints"))
    copy = Repository(tmp_path / "copy")
    path = copy.root / "results" / "edsr" / name
    data = path.read_bytes()
    path.unlink()
    if kind == "a column less":
        pd.read_csv(copy.root / "results/bicubic/images.csv").drop(columns="ssim_benchmark_y").to_csv(path, index=False)
    elif kind != "gone":
        path.write_bytes(b"" if kind == "no table" else data[: len(data) // 2])
    again = "run: dvc repro --force --single-item evaluate@edsr, then: dvc repro"
    with pytest.raises(InputError, match=message.format(re.escape(again))):
        pages(copy, tmp_path / "out", lambda real: real)


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
        assert "epoch" not in table or table["epoch"].is_monotonic_increasing or table["variant"].nunique() > 1
    assert "frechet" in comparison.curves(study(built))["evaluation"]
    pictures_ = comparison.curves(study(built))["pictures"]
    assert len(pictures_) == len(VARIANTS) * 2
    assert (pictures_[pictures_["image"] == "rocket"]["bicubic"].nunique()) == 1


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
    message = re.escape(
        "srresnet.csv: expected the results of srresnet, found none; run: dvc repro --force --single-item train@srresnet"
    )
    with pytest.raises(InputError, match=message):
        comparison.load(config.load(root / "params.yaml"), tmp_path, root / "metrics/evaluate", root / "results")


def test_names_of_digits_stay_names(tmp_path: Path) -> None:
    """DIV2K's pictures are called 0801, and somebody's NA."""
    (tmp_path / "images.csv").write_text("set,image,psnr_study\nvalid,0801,30.5\nvalid,NA,inf\n", encoding="utf-8")
    table = comparison._read(tmp_path / "images.csv", "edsr", "evaluate", ["image"])
    assert table["image"].tolist() == ["0801", "NA"]
    assert table["psnr_study"].tolist() == [30.5, float("inf")]


def test_busiest_window(photo: Callable[[str], NDArray[np.uint8]]) -> None:
    picture = np.full((60, 80, 3), 128, np.uint8)
    picture[30:50, 40:60] = photo("chelsea")[100:120, 150:170]
    top, left = figures.busiest(picture, 22)
    assert 28 <= top <= 30
    assert 38 <= left <= 40
    part = figures.window(picture, (30, 40), 20)
    assert np.array_equal(part, picture[30:50, 40:60])
    assert figures.window(picture, (50, 70), 20).shape == (10, 10, 3)
