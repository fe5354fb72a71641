"""The tree keeps the rules, and the check sees each way of breaking them."""

import shutil
from pathlib import Path

import pytest
import yaml

from pipeline.run import TRAINER
from tests.architecture import FLOORS, problems
from tests.repository import ROOT


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for folder in ("pipeline", "stages"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    return tmp_path


def test_tree_keeps_the_rules() -> None:
    assert problems(ROOT) == []


def test_every_listed_module_exists() -> None:
    found = {path.stem for path in (ROOT / "pipeline").glob("*") if not path.name.startswith("_")}
    assert set().union(*FLOORS) <= found


def test_every_dependency_in_dvc_yaml_is_needed(tree: Path) -> None:
    """No line of code can be taken out of dvc.yaml without a complaint: so nothing superfluous stands there."""
    text = (tree / "dvc.yaml").read_text(encoding="utf-8")
    lines = text.splitlines(keepends=True)
    for number, line in enumerate(lines):
        if line.strip().startswith(("- pipeline/", "- stages/", "- requirements")) and not line.strip().endswith((".html", ".js")):
            (tree / "dvc.yaml").write_text("".join(lines[:number] + lines[number + 1 :]), encoding="utf-8")
            assert problems(tree), f"dvc.yaml:{number + 1} {line.strip()} could be left out"


def test_state_is_found_again_by_the_code_that_train_depends_on() -> None:
    """The digest of a training's state covers the modules of dvc.yaml's train stage: no more, no less."""
    deps = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]["train"]["do"]["deps"]
    fixed = {dep for dep in deps if dep.startswith("pipeline/") and "$" not in dep}
    assert fixed == {f"pipeline/{name.replace('.', '/')}.py" for name in TRAINER}


def test_import_that_points_up(tree: Path) -> None:
    with (tree / "pipeline/images.py").open("a", encoding="utf-8") as file:
        file.write("\nfrom pipeline import report\n")
    assert "pipeline/images.py imports pipeline/report.py: imports point down" in problems(tree)


def test_import_inside_a_function_counts(tree: Path) -> None:
    with (tree / "pipeline/shards.py").open("a", encoding="utf-8") as file:
        file.write("\n\ndef late() -> None:\n    import pipeline.training\n")
    assert "pipeline/shards.py imports pipeline/training.py: imports point down" in problems(tree)


def test_leaves_that_import_each_other(tree: Path) -> None:
    for one, other in (("l1", "mse"), ("mse", "l1")):
        with (tree / f"pipeline/losses/{one}.py").open("a", encoding="utf-8") as file:
            file.write(f"\nfrom pipeline.losses import {other}\n")
    found = problems(tree)
    assert "pipeline/losses/l1.py imports pipeline/losses/mse.py: a leaf imports no leaf" in found
    assert "pipeline/losses/l1.py: imports itself through others" in found


def test_forgotten_module_of_a_leaf(tree: Path) -> None:
    """A leaf that begins to import a library module makes every stage that loads it depend on that module."""
    with (tree / "pipeline/losses/l1.py").open("a", encoding="utf-8") as file:
        file.write("\nfrom pipeline import frechet\n")
    assert "dvc.yaml: train imports pipeline/frechet.py, its deps lack it" in problems(tree)


def test_library_that_knows_a_stage(tree: Path) -> None:
    with (tree / "pipeline/report.py").open("a", encoding="utf-8") as file:
        file.write("\nfrom stages import command\n")
    assert "pipeline/report.py imports stages/command.py: the library knows no stage" in problems(tree)


def test_module_without_a_floor(tree: Path) -> None:
    (tree / "pipeline/utils.py").touch()
    assert any(line.startswith("pipeline/utils.py: stands on no floor") for line in problems(tree))


def test_function_that_is_too_long(tree: Path) -> None:
    with (tree / "pipeline/resize.py").open("a", encoding="utf-8") as file:
        file.write("\n\ndef long() -> None:\n" + "    pass\n" * 41)
    assert "pipeline/resize.py: long has 42 lines, at most 40" in problems(tree)
