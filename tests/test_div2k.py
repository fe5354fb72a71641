"""DIV2K from a loopback server: names, layout and checksums as published, pictures from scikit-image; and the real mini DIV2K."""

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from PIL import Image

from pipeline import pictures, resize, shards
from pipeline.errors import InputError
from pipeline.files import sha256
from pipeline.preparation import prepare
from pipeline.sources import div2k
from tests.repository import ROOT, Repository
from tests.server import Server, serve

MINI = ROOT.parent / "shared" / "data" / "div2k_mini"
Array = NDArray[np.uint8]


def archive(path: Path, members: dict[str, Array]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as opened:
        for name, picture in members.items():
            buffer = io.BytesIO()
            Image.fromarray(picture).save(buffer, format="PNG")
            opened.writestr(name, buffer.getvalue())


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, photo: Callable[[str], Array]) -> Path:
    folder = tmp_path_factory.mktemp("div2k")
    for side, first, names in (("train", 1, ["astronaut", "ihc", "motorcycle_left"]), ("valid", 801, ["chelsea", "rocket"])):
        hr = {f"{first + number:04d}": resize.crop_to_multiple(photo(name), 12) for number, name in enumerate(names)}
        archive(folder / f"DIV2K_{side}_HR.zip", {f"DIV2K_{side}_HR/{name}.png": one for name, one in hr.items()})
        for scale in (2, 4):
            members = {
                f"DIV2K_{side}_LR_bicubic/X{scale}/{name}x{scale}.png": resize.downscale(one, scale) for name, one in hr.items()
            }
            archive(folder / f"DIV2K_{side}_LR_bicubic_X{scale}.zip", members)
    return folder


@pytest.fixture
def server(served: Path) -> Iterator[Server]:
    with serve(served) as running:
        yield running


def files(folder: Path) -> dict[str, dict[str, Any]]:
    """`dataset.files`: sizes and checksums of the archives in a folder."""
    return {path.name: {"bytes": path.stat().st_size, "sha256": sha256(path)} for path in folder.glob("*.zip")}


def fetch(folder: Path, url: str, out: Path, scale: int = 4) -> None:
    div2k.fetch(div2k.Config.model_validate({"path": ".", "mirrors": [url], "files": files(folder)}), out, scale, lambda *_: None)


@pytest.mark.parametrize("scale", [2, 4])
def test_fetch_and_prepare(
    server: Server, served: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scale: int, photo: Callable[[str], Array]
) -> None:
    monkeypatch.setenv("SR_CACHE", str(tmp_path / "cache"))
    fetch(served, server.url, tmp_path / "raw", scale)
    assert sorted(path.name for path in (tmp_path / "raw").iterdir()) == [f"{part}.zip" for part in sorted(pictures.PARTS)]
    official = prepare(tmp_path / "raw", tmp_path / "official", scale, 96, "official", {"source": "div2k"}, workers=1)
    made = prepare(tmp_path / "raw", tmp_path / "made", scale, 96, "bicubic", {"source": "div2k"}, workers=2)
    for side in ("train", "valid"):
        assert all(row["lr_equal"] == 1 and row["lr_largest"] == 0 for row in official[side]["pictures"])
    for name in shards.ARRAYS:
        assert (tmp_path / "official" / f"{name}.npy").read_bytes() == (tmp_path / "made" / f"{name}.npy").read_bytes()
    assert [picture.name for picture in shards.load(tmp_path / "made").valid] == ["0801", "0802"]
    stack = np.concatenate([resize.crop_to_multiple(photo(name), 12).reshape(-1, 3) for name in ("chelsea", "rocket")]) / 255
    assert made["valid"]["mean"] == pytest.approx(stack.mean(axis=0), abs=1e-6)
    assert made["valid"]["deviation"] == pytest.approx(stack.std(axis=0), abs=1e-6)


def test_other_workspaces_fetch_nothing(server: Server, served: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SR_CACHE", str(tmp_path / "cache"))
    fetch(served, server.url, tmp_path / "one" / "raw")
    requests = len(server.requests)
    fetch(served, server.url, tmp_path / "two" / "raw")
    assert requests == len(server.requests) == 4
    assert (tmp_path / "one/raw/train_hr.zip").samefile(tmp_path / "two/raw/train_hr.zip")


def test_official_lr_that_differs_is_told(served: Path, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    for part, name in div2k._names(4):
        (raw / f"{part}.zip").write_bytes((served / name).read_bytes())
    with zipfile.ZipFile(served / "DIV2K_valid_LR_bicubic_X4.zip") as opened:
        members = {name: np.array(Image.open(opened.open(name))) for name in opened.namelist()}
    changed = next(iter(members.values()))
    changed[0, :10] ^= 1
    archive(raw / "valid_lr.zip", members)
    rows = prepare(raw, tmp_path / "out", 4, 96, "official", {"source": "test"}, workers=1)["valid"]["pictures"]
    assert rows[0]["lr_equal"] == pytest.approx(1 - 10 * 3 / changed.size)
    assert rows[0]["lr_largest"] == 1
    assert rows[1]["lr_equal"] == 1


@pytest.mark.parametrize(
    "change, message",
    [
        ("missing", "expected a pair for every picture, found 1 without: 0802 \\(no LR of this name\\)"),
        ("extra", "expected a pair for every picture, found 1 without: 0900 \\(no HR of this name\\)"),
        ("size", r"0801x4.png: expected \(75, 111\), HR / 4, found \(72, 110\)"),
        ("twice", "0801x4.png: expected each name once"),
        ("outside", "found a link or a path that leads out of it"),
        ("link", "found a link or a path that leads out of it"),
        ("encrypted", "found it encrypted; use an archive without a password"),
        ("bomb", "expected at most 268435456 bytes, found 300000000; this is no picture"),
        ("truncated", "expected a whole zip archive: File is not a zip file; fetch it again"),
        ("no picture", "0801x4.png: expected a picture that Pillow can decode"),
        ("flipped bytes", "0801x4.png: expected a picture that Pillow can decode"),
        ("16 bits", "0801x4.png: expected 8-bit RGB or grey, found mode I;16"),
    ],
)
def test_archives_that_are_wrong(served: Path, tmp_path: Path, change: str, message: str) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    for part, name in div2k._names(4):
        (raw / f"{part}.zip").write_bytes((served / name).read_bytes())
    damage(raw / "valid_lr.zip", change)
    with pytest.raises(InputError, match=message):
        prepare(raw, tmp_path / "out", 4, 96, "official", {"source": "test"}, workers=1)
    assert not (tmp_path / "out" / "index.json").exists()


def damage(path: Path, change: str) -> None:
    with zipfile.ZipFile(path) as opened:
        members = {name: opened.read(name) for name in opened.namelist()}
    folder = "DIV2K_valid_LR_bicubic/X4"
    one, two = f"{folder}/0801x4.png", f"{folder}/0802x4.png"
    buffer = io.BytesIO()
    if change == "missing":
        del members[two]
    elif change == "extra":
        members[f"{folder}/0900x4.png"] = members[two]
    elif change == "size":
        Image.open(io.BytesIO(members[one])).crop((0, 0, 110, 72)).save(buffer, "PNG")
    elif change == "16 bits":
        Image.fromarray(np.zeros((72, 111), np.uint16)).save(buffer, "PNG")
    elif change == "twice":
        members[f"{folder}/again/0801x4.png"] = members[one]
    elif change == "outside":
        members["../0803x4.png"] = members[one]
    elif change == "no picture":
        members[one] = b"no picture"
    if buffer.getvalue():
        members[one] = buffer.getvalue()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if change == "bomb" else zipfile.ZIP_STORED) as opened:
        for name, content in members.items():
            entry = zipfile.ZipInfo(name)
            if change == "link" and name == one:
                entry.external_attr = 0o120777 << 16
            opened.writestr(entry, content)
        if change == "bomb":
            opened.writestr(f"{folder}/0803x4.png", b"\0" * 300_000_000, compress_type=zipfile.ZIP_DEFLATED)
    whole = bytearray(path.read_bytes())
    if change == "truncated":
        whole = whole[: len(whole) // 2]
    elif change == "encrypted":
        whole[whole.rindex(b"PK\1\2") + 8] |= 1
    elif change == "flipped bytes":
        at = whole.index(members[one]) + 2000
        whole[at : at + 20] = bytes(byte ^ 255 for byte in whole[at : at + 20])
    path.write_bytes(whole)


@pytest.mark.skipif(not MINI.is_dir(), reason=f"the mini DIV2K is not at {MINI}: its licence allows no copy in the repository")
def test_mini_div2k_through_dvc(repository: Repository) -> None:
    """profiles/div2k.yaml, its mirror pointed at a loopback server, up to prepare: made LR equals official LR in every pixel."""
    values = yaml.safe_load((ROOT / "profiles/div2k.yaml").read_text(encoding="utf-8"))
    with serve(MINI) as server:
        values["dataset"] |= {"mirrors": [server.url], "files": files(MINI)}
        repository.write_params(values)
        output = repository.run("dvc", "repro", "prepare")
    assert "DIV2K_train_HR.zip" in output
    card = json.loads((repository.root / "metrics/dataset.json").read_text(encoding="utf-8"))
    for side in ("train", "valid"):
        assert len(card[side]["pictures"]) == 100
        assert {row["lr_equal"] for row in card[side]["pictures"]} == {1.0}
