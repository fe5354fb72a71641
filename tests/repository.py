"""A real copy of the project in a temporary git repository, at tiny widths, with a real dvc."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
TINY_TRAIN = {"epochs": 2, "patches_per_epoch": 4, "batch_size": 2, "patch": 32, "valid_crops": 1, "checkpoint_every": 1}


def tiny_params() -> dict[str, Any]:
    """params.yaml with everything that costs time made small."""
    params: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["dataset"] |= {"train": ["ihc"], "valid": ["chelsea", "rocket"]}
    params["prepare"]["tile"] = 64
    params["train"] |= TINY_TRAIN
    for variant in params["models"].values():
        variant |= {"blocks": 1, "width": 6}
    params["evaluate"] |= {"crop": 64, "crops_per_image": 2}
    return params


class Repository:
    """Commands in a copy of the project; each raises with the whole output when it fails."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def copy(cls, root: Path) -> "Repository":
        """Copy what git tracks or would track, set tiny parameters, commit."""
        listed = subprocess.run(
            ["git", "ls-files", "-coz", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True, text=True
        ).stdout
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file() and name != "dvc.lock" and not name.startswith("metrics/"):
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, root / name)
        repository = cls(root)
        repository.write_params(tiny_params())
        repository.run("git", "init", "-q", "-b", "main")
        repository.commit("tiny")
        return repository

    def fork(self, root: Path) -> "Repository":
        """A full copy with its cache and outputs, as if it had been run there."""
        shutil.copytree(self.root, root, symlinks=True)
        return Repository(root)

    @property
    def environment(self) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "DVC_", "PYTEST_"))}
        clean |= {f"GIT_{who}_{what}": "test@localhost" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        clean["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        clean |= {"SR_ACCELERATOR": "cpu", "SR_STATE": str(self.root.parent / "state"), "SR_CACHE": str(self.root.parent / "cache")}
        return clean | {"OMP_NUM_THREADS": "1", "COLUMNS": "400"}

    def attempt(self, *command: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=self.root, env=self.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options
        )

    def run(self, *command: str) -> str:
        done = self.attempt(*command)
        if done.returncode:
            raise AssertionError(f"{' '.join(command)} exited {done.returncode}:\n{done.stdout}")
        return done.stdout

    def output(self, *command: str) -> str:
        """Standard output alone: JSON, say."""
        return subprocess.run(command, cwd=self.root, env=self.environment, text=True, check=True, capture_output=True).stdout

    def commit(self, message: str) -> None:
        self.run("git", "add", "-A")
        self.run("git", "commit", "-q", "--allow-empty", "-m", message)

    def repro(self) -> set[str]:
        """`dvc repro`; the set of stages that ran."""
        return stages_run(self.run("dvc", "repro"))

    def wait_for_queue(self) -> str:
        """Wait until nothing is queued or running; the last `dvc queue status`."""
        deadline = time.monotonic() + 300
        while True:
            status = self.output("dvc", "queue", "status")
            if "Queued" not in status and "Running" not in status:
                return status
            assert time.monotonic() < deadline, status
            time.sleep(1)

    def params(self) -> dict[str, Any]:
        values: dict[str, Any] = yaml.safe_load((self.root / "params.yaml").read_text(encoding="utf-8"))
        return values

    def write_params(self, values: dict[str, Any]) -> None:
        (self.root / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")

    def append(self, path: str, text: str) -> None:
        with (self.root / path).open("a", encoding="utf-8") as file:
            file.write(text)


def stages_run(output: str) -> set[str]:
    """The stages that dvc says it is running."""
    lines = [line for line in output.splitlines() if line.startswith("Running stage '")]
    return {line.split("'")[1] for line in lines}
