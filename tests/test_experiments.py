"""DVC's own commands on the real pipeline: experiments, the queue, differences, charts."""

import json
from typing import Any

from tests.repository import Repository, stages_run

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


def test_queue_of_two_values(repository: Repository) -> None:
    """Both run from their own snapshots: the workspace's code, broken after they were queued, is never imported."""
    repository.run("dvc", "exp", "run", "--queue", "-S", "models.edsr.lr=1e-3,5e-4")
    repository.append("pipeline/training.py", "\nraise RuntimeError('the workspace was imported')\n")
    repository.run("dvc", "queue", "start")
    status = repository.wait_for_queue()
    assert status.count("Success") == 2, status
    done = rows(repository)
    rates = {float(data["params"]["params.yaml"]["data"]["models"]["edsr"]["lr"]) for data in done.values()}
    assert rates == {1e-3, 5e-4}
    assert len({metric(data, "edsr", "psnr_benchmark_y") for data in done.values()}) == 2
    assert len({metric(data, "srresnet", "psnr_benchmark_y") for data in done.values()}) == 1


def test_temporary_run_leaves_the_workspace_alone(repository: Repository) -> None:
    output = repository.run("dvc", "exp", "run", "--temp", "-n", "aside", "-S", "models.edsr_mse.lr=1e-3")
    assert stages_run(output) == {"train@edsr_mse", "evaluate@edsr_mse", "compare"}
    data = rows(repository)["aside"]
    assert float(data["params"]["params.yaml"]["data"]["models"]["edsr_mse"]["lr"]) == 1e-3
    before = json.loads((repository.root / "metrics/summary.json").read_text(encoding="utf-8"))
    assert metric(data, "edsr_mse", "psnr_benchmark_y") != before["edsr_mse"]["psnr_benchmark_y"]
    assert metric(data, "edsr", "psnr_benchmark_y") == before["edsr"]["psnr_benchmark_y"]
    assert repository.output("git", "status", "--porcelain") == ""
