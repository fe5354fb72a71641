"""DVC's own commands on the real pipeline: experiments, the queue, differences, charts."""

import json
import shutil
from typing import Any

import pytest
import vl_convert
import yaml
from playwright.sync_api import sync_playwright

from tests.repository import Repository, stages_run

CHROMIUM = shutil.which("chromium")
LOSSES = ("Training loss, L1", "Validation loss, L1", "Validation loss, MSE")


def rows(repository: Repository) -> dict[str, dict[str, Any]]:
    """`dvc exp show --json`: name -> data of each finished experiment."""
    shown = json.loads(repository.output("dvc", "exp", "show", "--json"))
    found = {}
    for revision in shown:
        for experiment in revision.get("experiments") or []:
            for one in experiment["revs"]:
                found[one["name"]] = one["data"]
    return found


def metric(data: dict[str, Any], variant: str, name: str) -> float:
    return float(data["metrics"]["metrics/summary.json"]["data"][variant][name])


def test_run_show_and_differences(repository: Repository) -> None:
    before = json.loads((repository.root / "metrics/summary.json").read_text(encoding="utf-8"))
    output = repository.run("dvc", "exp", "run", "-n", "slow", "-S", "models.edsr.lr=0.00001")
    assert stages_run(output) == {"train@edsr", "evaluate@edsr", "compare"}
    after = json.loads((repository.root / "metrics/summary.json").read_text(encoding="utf-8"))

    shown = rows(repository)["slow"]
    assert float(shown["params"]["params.yaml"]["data"]["models"]["edsr"]["lr"]) == 1e-5
    assert metric(shown, "edsr", "psnr_benchmark_y") == after["edsr"]["psnr_benchmark_y"] != before["edsr"]["psnr_benchmark_y"]

    changed = json.loads(repository.output("dvc", "metrics", "diff", "--json"))["metrics/summary.json"]
    assert {key.split(".")[0] for key in changed} == {"edsr"}
    assert changed["edsr.psnr_benchmark_y"]["old"] == before["edsr"]["psnr_benchmark_y"]
    assert changed["edsr.psnr_benchmark_y"]["new"] == after["edsr"]["psnr_benchmark_y"]

    parameters = json.loads(repository.output("dvc", "params", "diff", "--json"))["params.yaml"]
    assert set(parameters) == {"models.edsr.lr"}

    charts = json.loads(repository.output("dvc", "plots", "diff", "HEAD", "--json"))
    assert "errors" not in charts
    assert set(charts["data"]) > {*LOSSES, "Learning rate", "PSNR, benchmark_y", "SSIM, benchmark_y", "Fréchet distance"}
    points = charts["data"]["Learning rate"][0]["content"]["data"]["values"]
    lr = {(point["rev"], point["variant"]): float(point["lr"]) for point in points if point["epoch"] in (1, "1")}
    assert lr["workspace", "edsr"] == 1e-5
    assert lr["HEAD", "edsr"] == 2e-3
    assert lr["workspace", "srresnet"] == lr["HEAD", "srresnet"]


def test_plots_show(repository: Repository) -> None:
    charts = json.loads(repository.output("dvc", "plots", "show", "--json"))
    assert "errors" not in charts
    points = charts["data"]["PSNR, benchmark_y"][0]["content"]["data"]["values"]
    assert {(point["variant"], int(point["epoch"])) for point in points} == {
        (variant, epoch) for variant in ("srresnet", "edsr", "edsr_mse") for epoch in (1, 2)
    }


@pytest.fixture(scope="module")
def queued(built: Repository, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """Two queued experiments, run while the workspace's code, broken after they were queued, must never be imported."""
    repository = built.fork(tmp_path_factory.mktemp("queued") / "repo")
    repository.run("dvc", "exp", "run", "--queue", "-S", "models.edsr.lr=1e-3,5e-4")
    repository.append("pipeline/training.py", "\nraise RuntimeError('the workspace was imported')\n")
    repository.run("dvc", "queue", "start")
    status = repository.wait_for_queue()
    assert status.count("Success") == 2, status
    return repository


def test_queue_of_two_values(queued: Repository) -> None:
    done = rows(queued)
    rates = {float(data["params"]["params.yaml"]["data"]["models"]["edsr"]["lr"]) for data in done.values()}
    assert rates == {1e-3, 5e-4}
    assert len({metric(data, "edsr", "psnr_benchmark_y") for data in done.values()}) == 2
    assert len({metric(data, "srresnet", "psnr_benchmark_y") for data in done.values()}) == 1


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: apt-get install chromium")
def test_plots_of_two_experiments_in_a_browser(queued: Repository) -> None:
    """DVC's page draws every chart and shows every picture of both; its three scripts, of a CDN, come from a wheel here."""
    queued.run("dvc", "plots", "diff", *rows(queued), "-o", "drawn")
    vega = vl_convert.javascript_bundle()  # type: ignore[call-arg]
    said: list[str] = []
    with sync_playwright() as playwright:
        page = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"]).new_page()
        page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        scripts = "https://cdn.jsdelivr.net/npm/"
        page.route(
            f"{scripts}**",
            lambda route: route.fulfill(content_type="text/javascript", body=vega if "embed" in route.request.url else ""),
        )
        page.goto(f"file://{queued.root}/drawn/index.html")
        charts = (
            len(yaml.safe_load((queued.root / "dvc.yaml").read_text(encoding="utf-8"))["plots"]) - 1
        )  # one is a folder of pictures
        page.wait_for_function(f"document.querySelectorAll('.vega-embed svg.marks').length === {charts}")
        marks = ":is(.mark-line, .mark-symbol, .mark-rect) path"
        empty = f"[...document.querySelectorAll('svg.marks')].filter(chart => !chart.querySelector('{marks}')).length"
        assert page.evaluate(empty) == 0
        assert page.evaluate("[...document.images].filter(image => !image.naturalWidth).length") == 0
        assert page.locator("img").count() == 2 * len(list((queued.root / "metrics" / "figures").glob("*.png")))
    assert said == []


def test_temporary_run_leaves_the_workspace_alone(repository: Repository) -> None:
    output = repository.run("dvc", "exp", "run", "--temp", "-n", "aside", "-S", "models.edsr_mse.lr=1e-3")
    assert stages_run(output) == {"train@edsr_mse", "evaluate@edsr_mse", "compare"}
    data = rows(repository)["aside"]
    assert float(data["params"]["params.yaml"]["data"]["models"]["edsr_mse"]["lr"]) == 1e-3
    before = json.loads((repository.root / "metrics/summary.json").read_text(encoding="utf-8"))
    assert metric(data, "edsr_mse", "psnr_benchmark_y") != before["edsr_mse"]["psnr_benchmark_y"]
    assert metric(data, "edsr", "psnr_benchmark_y") == before["edsr"]["psnr_benchmark_y"]
    assert repository.output("git", "status", "--porcelain") == ""
