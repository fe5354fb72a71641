"""The README's commands work as they stand, its table is the committed one, and its names exist."""

import re
from pathlib import Path

import pytest

from tests.repository import ROOT, Repository

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line.split("   #")[0].strip()
    for block in re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)
    for line in block.splitlines()
    if line.strip()
]


def test_readme_shows_the_committed_table() -> None:
    shown = README.split("<!-- results -->\n")[1].split("<!-- /results -->")[0]
    assert shown == (ROOT / "metrics/results.md").read_text(encoding="utf-8"), "run: make readme"


def test_files_that_the_readme_names_exist() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert (ROOT / target).exists(), target


def test_tree_of_the_readme_names_every_module() -> None:
    tree = README.split("## The tree")[1]
    for path in (ROOT / "pipeline").iterdir():
        if not path.name.startswith("_"):
            assert re.search(rf"\b{path.stem}\b", tree), path.name


def test_commands_of_the_readme(repository: Repository) -> None:
    """All of them, in their order, at tiny widths; `make test` is this suite."""
    (repository.root / ".venv").symlink_to(ROOT / ".venv")
    assert COMMANDS[:2] == ["make repro", "make test"]
    assert len(COMMANDS) >= 9
    outputs = {}
    for command in COMMANDS:
        if command != "make test":
            outputs[command] = repository.run("bash", "-c", command)
        if command == "dvc queue start":
            repository.wait_for_queue()
    assert f"Report: {repository.root}/report/index.html" in outputs["make repro"]
    assert "| bicubic |" in outputs["make repro"]
    assert "edsr.psnr_benchmark_y" in outputs["dvc metrics diff"]
    assert "models.edsr.lr" in outputs["dvc params diff"]
    assert "dvc_plots" in outputs["dvc plots diff"]
    assert "0.0005" in outputs["dvc exp show --only-changed --md"]
    assert "| small |" in (repository.root / "metrics/results.md").read_text(encoding="utf-8")


def test_help_names_every_target(repository: Repository) -> None:
    output = repository.run("make", "help")
    for target in ("env", "repro", "test", "test-slow", "check", "lock", "readme"):
        assert re.search(rf"^{target}\s+\S", output, flags=re.MULTILINE), target


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_make_repro_in_a_fresh_clone(tmp_path: Path) -> None:
    """The whole default study, from `git clone`, environment included: every stage runs, and none twice."""
    clone = Repository(tmp_path / "clone")
    Repository(ROOT).run("git", "clone", "-q", str(ROOT), str(clone.root))
    command = ("env", "-u", "OMP_NUM_THREADS", "make", "repro")  # with as many threads as a user has
    first = clone.run(*command)
    assert first.count("Running stage '") == len(clone.output("dvc", "stage", "list", "--name-only").splitlines())
    assert "Running stage '" not in clone.run(*command)
    scores = clone.output("dvc", "metrics", "show", "--md")
    assert "edsr" in scores
    assert clone.output("dvc", "status", "--json").strip() == "{}"
