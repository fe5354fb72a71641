"""Pictures, shards and a tiny trained pipeline that tests share."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock
from numpy.typing import NDArray

from pipeline import pictures, shards
from pipeline.preparation import prepare
from pipeline.sources import photos
from tests.repository import ROOT, Repository

torch.set_num_threads(1)
BENCHMARKS = ROOT.parent / "shared" / "data" / "benchmarks"


LONGEST = ("pipeline", "experiments", "readme", "stopping", "folder")  # first, so that no worker ends long after the other


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.stem.removeprefix("test_") not in LONGEST)


@pytest.fixture(scope="session")
def photo() -> Callable[[str], NDArray[np.uint8]]:
    """A photograph by name, uint8 (H, W, 3)."""
    from importlib.resources import files

    return lambda name: pictures.read(Path(str(files("skimage.data"))) / photos.FILES[name])


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("raw")
    photos.fetch(photos.Config(path=Path(), train=["ihc", "astronaut"], valid=["chelsea", "rocket"]), out, 4, lambda *_: None)
    return out


@pytest.fixture(scope="session")
def data_at(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of shards x4 of two training and two validation photographs."""
    out = tmp_path_factory.mktemp("shards")
    prepare(raw, out, scale=4, tile=128, lr="bicubic", dataset={"source": "photos"}, workers=1)
    return out


@pytest.fixture(scope="session")
def data(data_at: Path) -> shards.Shards:
    """Those shards, opened."""
    return shards.load(data_at)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Repository:
    """The project at tiny widths, run by `dvc repro` once for all workers of the suite; fork it, never change it."""
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent
    root = shared / "built" / "repo"
    with FileLock(shared / "built.lock"):
        if not (root / "report").exists():
            root.mkdir(parents=True, exist_ok=True)
            repository = Repository.copy(root)
            repository.run("dvc", "repro")
            repository.commit("results")
    return Repository(root)


@pytest.fixture
def repository(built: Repository, tmp_path: Path) -> Repository:
    """A fork of the built project, to be changed at will."""
    return built.fork(tmp_path / "repo")


@pytest.fixture(scope="session", params=["Set5", "Set14"])
def benchmark(request: pytest.FixtureRequest) -> Path:
    """A benchmark's folder with HR/ and LR_bicubic_X4/; the test is skipped where it is absent."""
    folder = BENCHMARKS / str(request.param)
    if not folder.is_dir():
        pytest.skip(f"{request.param} is not at {folder}: its licence allows no copy in the repository")
    return folder
