"""What reruns, with a real dvc: each change reruns exactly the stages that it must."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.repository import Repository

VARIANTS = ("srresnet", "edsr", "edsr_mse")
TRAIN = {f"train@{name}" for name in VARIANTS}
EVALUATE = {f"evaluate@{name}" for name in VARIANTS}
RESULTS = {"images.csv", "crops.csv", "crops.npy", "structure.json", "chelsea.png", "rocket.png"}
ALL = {"fetch", "prepare", "reference", "sets", "bicubic", "compare"} | TRAIN | EVALUATE


def summary(repository: Repository) -> dict[str, dict[str, float]]:
    values: dict[str, dict[str, float]] = json.loads((repository.root / "metrics/summary.json").read_text(encoding="utf-8"))
    return values


def test_a_built_project_is_clean_and_complete(built: Repository) -> None:
    assert set(built.output("dvc", "stage", "list", "--name-only").split()) == ALL
    assert built.output("dvc", "status", "--json").strip() == "{}"
    assert built.output("git", "status", "--porcelain") == ""
    assert list(summary(built)) == ["bicubic", "edsr", "edsr_mse", "srresnet"]
    keys = {
        "psnr_benchmark_y",
        "ssim_benchmark_y",
        "psnr_ntire_rgb",
        "ssim_ntire_rgb",
        "psnr_study",
        "ssim_study",
        "fd_efficientnet_lite0",
    }
    keys |= {f"fd_efficientnet_lite0_{end}" for end in ("low", "high")} | {
        f"kid_efficientnet_lite0{end}" for end in ("", "_deviation")
    }
    assert set(summary(built)["bicubic"]) == keys
    assert set(summary(built)["edsr"]) == keys | {"best_epoch", "parameters", "multiply_adds", "receptive_field"}
    for variant in VARIANTS:
        names = {path.name for path in (built.root / "checkpoints" / variant).iterdir()}
        assert names == {f"{name}.safetensors" for name in ("best", "last", "epoch_001", "epoch_002")}
        assert {path.name for path in (built.root / "results" / variant).iterdir()} == RESULTS


def test_nothing_changed(repository: Repository) -> None:
    repository.append("README.md", "\nMore prose.\n")
    repository.append("tests/test_pipeline.py", "\n# a remark\n")
    assert repository.repro() == set()


def test_same_bytes_again(repository: Repository) -> None:
    """Every stage run anew, without the run cache: the same CPU and thread count give the same bytes."""
    before = (repository.root / "dvc.lock").read_bytes()
    (repository.root / "dvc.lock").unlink()
    shutil.rmtree(repository.root / ".dvc" / "cache")
    for name in ("data", "checkpoints", "results", "report", "metrics"):
        shutil.rmtree(repository.root / name)
    assert repository.repro() == ALL
    assert (repository.root / "dvc.lock").read_bytes() == before
    assert repository.output("git", "status", "--porcelain") == ""


def test_learning_rate_of_one_variant(repository: Repository) -> None:
    values = repository.params()
    values["models"]["edsr"]["lr"] = 1e-3
    repository.write_params(values)
    assert repository.repro() == {"train@edsr", "evaluate@edsr", "compare"}


def test_variant_added(repository: Repository) -> None:
    entry = "{arch: srresnet, loss: mse, optimizer: adam, lr: 1e-3, init: interpolation, blocks: 1, width: 6, batch_norm: true}"
    output = repository.run("dvc", "exp", "run", "-S", f"+models.small={entry}")
    ran = {line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage '")}
    assert ran == {"train@small", "evaluate@small", "compare"}
    assert "psnr_benchmark_y" in summary(repository)["small"]
    assert (repository.root / "report" / "parts" / "small_best_SR.png").exists()


def test_variant_removed(repository: Repository, tmp_path: Path) -> None:
    values = repository.params()
    del values["models"]["edsr_mse"]
    repository.write_params(values)
    assert repository.repro() == {"compare"}
    assert list(summary(repository)) == ["bicubic", "edsr", "srresnet"]
    assert not (repository.root / "results" / "edsr_mse").exists()
    repository.commit("removed")
    clone = Repository(tmp_path / "clone")
    repository.run("git", "clone", "-q", ".", str(clone.root))
    clone.run("dvc", "cache", "dir", "--local", str(repository.root / ".dvc" / "cache"))
    clone.run("dvc", "checkout", "--allow-missing")
    assert clone.output("dvc", "status", "--json").strip() == "{}"
    assert clone.repro() == set()
    assert clone.output("git", "status", "--porcelain") == ""


def test_evaluation_changed(repository: Repository) -> None:
    values = repository.params()
    values["evaluate"]["metrics"] = ["psnr"]
    repository.write_params(values)
    assert repository.repro() == EVALUATE | {"bicubic", "compare"}
    values["evaluate"]["crops_per_image"] = 3
    repository.write_params(values)
    assert repository.repro() == EVALUATE | {"reference", "bicubic", "compare"}


def test_sets_tiles_and_ensemble(repository: Repository) -> None:
    """A test set of two pictures, models by tiles, and the ensemble's own row: nothing trains again."""
    for name in ("chelsea", "rocket"):
        (repository.root / "sets" / "Own" / "HR").mkdir(parents=True, exist_ok=True)
        shutil.copy(repository.root / "results" / "bicubic" / f"{name}.png", repository.root / "sets" / "Own" / "HR")
    values = repository.params()
    values["evaluate"] |= {"sets": ["Own"], "sets_path": "sets", "self_ensemble": True, "tile": 32}
    repository.write_params(values)
    before = summary(repository)
    assert repository.repro() == EVALUATE | {"sets", "bicubic", "compare"}
    after = summary(repository)
    assert set(after) == {"bicubic", *VARIANTS, *(f"{variant}+" for variant in VARIANTS)}
    for variant, row in after.items():
        assert row["Own"].keys() == {f"{metric}_{name}" for metric in ("psnr", "ssim") for name in ("benchmark_y", "ntire_rgb")}  # type: ignore[attr-defined]
        if not variant.endswith("+"):
            assert row["psnr_benchmark_y"] == pytest.approx(before[variant]["psnr_benchmark_y"], abs=0.01)
    assert after["edsr+"]["psnr_benchmark_y"] != after["edsr"]["psnr_benchmark_y"]
    markdown = (repository.root / "metrics/results.md").read_text(encoding="utf-8")
    assert "Own, 2 pictures:" in markdown
    assert "| edsr+ |" in markdown


def test_evaluation_on_two_processes(repository: Repository, tmp_path: Path) -> None:
    def stage(out: Path, processes: int, reference: str = "data/reference") -> subprocess.CompletedProcess[str]:
        inputs = ["data/shards", reference, "data/sets", "checkpoints/edsr"]
        outputs = [str(out / name) for name in ("scores.json", "curve.csv", "results")]
        command = ["env", f"SR_DEVICES={processes}", sys.executable, "-m", "stages.evaluate", *inputs, *outputs]
        return repository.attempt(*command, timeout=120)

    for processes in (1, 2):
        assert not (done := stage(tmp_path / str(processes), processes)).returncode, done.stdout
    one, two = ({path.relative_to(out): path.read_bytes() for path in out.rglob("*.*")} for out in (tmp_path / "1", tmp_path / "2"))
    assert {path.name for path in one} == {"scores.json", "curve.csv", *RESULTS}
    assert one == two
    assert one[Path("scores.json")] == (repository.root / "metrics" / "edsr.json").read_bytes()
    failed = stage(tmp_path / "no", 2, reference="data/none")
    assert failed.returncode == 1
    assert "expected the reference features, found no" in failed.stdout


def test_metric_added(repository: Repository) -> None:
    (repository.root / "pipeline/metrics/mae.py").write_text(
        '"""Mean absolute error."""\n\nimport torch\n\n\n'
        "def score(sr: torch.Tensor, hr: torch.Tensor, border: int) -> torch.Tensor:\n"
        "    return (sr - hr).abs().mean(dim=(1, 2, 3)).double()\n",
        encoding="utf-8",
    )
    values = repository.params()
    values["evaluate"]["metrics"] = ["psnr", "ssim", "mae"]
    repository.write_params(values)
    assert repository.repro() == EVALUATE | {"bicubic", "compare"}
    assert 0 < summary(repository)["bicubic"]["mae_benchmark_y"] < 0.1
    assert "mae_study" in summary(repository)["edsr"]


def test_leaves_added(repository: Repository) -> None:
    for kind, name in (("models", "edsr"), ("losses", "l1"), ("sources", "photos")):
        folder = repository.root / "pipeline" / kind
        shutil.copy(folder / f"{name}.py", folder / "another.py")
    assert repository.repro() == set()


def test_architecture_edited(repository: Repository) -> None:
    repository.append("pipeline/models/srresnet.py", "\n# a remark\n")
    assert repository.repro() >= {"train@srresnet"}
    # The weights came out the same, so nothing downstream had to follow but what reads the file itself.
    repository.append("pipeline/models/edsr.py", "\n# a remark\n")
    ran = repository.repro()
    assert ran == {"train@edsr", "train@edsr_mse", "evaluate@edsr", "evaluate@edsr_mse"}


def test_report_figure_edited(repository: Repository) -> None:
    repository.append("pipeline/figures.py", "\n# a remark\n")
    assert repository.repro() == {"compare"}


def test_epochs_changed(repository: Repository) -> None:
    values = repository.params()
    values["train"]["epochs"] = 1
    repository.write_params(values)
    assert repository.repro() == TRAIN | EVALUATE | {"compare"}


def test_data_set_changed(repository: Repository) -> None:
    values = repository.params()
    values["dataset"]["train"] = ["astronaut"]
    values["dataset"]["valid"] = ["chelsea", "coffee"]
    repository.write_params(values)
    assert repository.repro() == ALL - {"sets"}


@pytest.mark.parametrize(
    "key, value, message",
    [
        ("train.epoch", 3, "train.epoch: unknown key; did you mean epochs?"),
        ("models.edsr.lr", 7, "models.edsr.lr: found 7: Input should be less than 1"),
        ("evaluate.metrics", "[psnrr]", "allowed: psnr, ssim"),
    ],
)
def test_wrong_parameter_stops_before_any_work(repository: Repository, key: str, value: object, message: str) -> None:
    done = repository.attempt("dvc", "exp", "run", "-S", f"{'+' if key == 'train.epoch' else ''}{key}={value}")
    assert done.returncode != 0
    assert message in done.stdout
    assert "Traceback" not in done.stdout
    assert done.stdout.count("Running stage '") == 1


def test_unknown_architecture_is_explained_by_check(repository: Repository) -> None:
    """DVC itself stops at the missing file; `make repro` asks stages.check first, which names what is allowed."""
    values = repository.params()
    values["models"]["edsr"]["arch"] = "edsrr"
    repository.write_params(values)
    assert "pipeline/models/edsrr.py" in repository.attempt("dvc", "repro").stdout
    done = repository.attempt("python", "-m", "stages.check")
    assert done.returncode == 1
    allowed = "direct, edsr, msrresnet, rcan, rdn, srresnet"
    wrong = f"models.edsr.arch: found 'edsrr': no file pipeline/models/edsrr.py; allowed: {allowed}"
    assert done.stdout == f"error: params.yaml:\n  {wrong}\n"
