"""Shards and batches: what is in them, that HR and LR lie over each other, and that a batch is a pure function."""

import hashlib
import itertools
import json
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline import datacard, pictures, resize, shards
from pipeline.batches import batch
from pipeline.errors import InputError
from pipeline.preparation import prepare
from tests.repository import ROOT

Array = NDArray[np.uint8]


def misfit(hr: Array, lr: Array) -> float:
    """Mean distance between the upscaled LR and HR in grey levels, away from the edges, where LR was made with more around it."""
    inner = np.s_[:, 8:-8, 8:-8]
    return float(np.abs(resize.upscale(lr, 4)[inner].astype(int) - hr[inner]).mean())


def test_every_tile_is_its_place_in_its_picture(data: shards.Shards, photo: Callable[[str], Array]) -> None:
    assert len(data.index["tiles"]) == len(data.train_hr) == len(data.train_lr) == 2 * 4 * 4
    for (name, top, left), hr, lr in zip(data.index["tiles"], data.train_hr, data.train_lr, strict=True):
        picture = resize.crop_to_multiple(photo(name), 4)
        assert np.array_equal(hr, picture[top : top + 128, left : left + 128])
        assert np.array_equal(lr, resize.downscale(picture, 4)[top // 4 :, left // 4 :][:32, :32])


def test_tiles_cover_every_pixel(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    pictures.write(raw / "train_hr" / "odd.png", np.zeros((131, 90, 3), np.uint8))
    pictures.write(raw / "valid_hr" / "small.png", np.zeros((9, 10, 3), np.uint8))
    card = prepare(raw, tmp_path / "out", scale=4, tile=64, lr="bicubic", dataset={"source": "test"}, workers=1)
    covered = np.zeros((128, 88), bool)
    for _, top, left in shards.load(tmp_path / "out").index["tiles"]:
        assert top % 4 == left % 4 == 0
        covered[top : top + 64, left : left + 64] = True
    assert covered.all()
    rows = [row for side in ("train", "valid") for row in card[side]["pictures"]]
    sizes = [(row["name"], row["found"], row["used"], row.get("flat_tiles")) for row in rows]
    assert sizes == [("odd", (131, 90), (128, 88), 4), ("small", (9, 10), (8, 8), None)]
    assert card["twins"] == [["odd", "small"]]


def test_validation_pictures_are_whole(data: shards.Shards, photo: Callable[[str], Array]) -> None:
    assert [picture.name for picture in data.valid] == ["chelsea", "rocket"]
    for picture in data.valid:
        assert np.array_equal(picture.hr, resize.crop_to_multiple(photo(picture.name), 4))
        assert np.array_equal(picture.lr, resize.downscale(picture.hr, 4))


@pytest.mark.parametrize("augment", [False, True])
def test_batches_are_aligned(data: shards.Shards, augment: bool) -> None:
    """Upscaled LR lies close to HR, and clearly less so when it is shifted by one HR pixel either way."""
    for step in range(20):
        hr, lr = batch(data, step, 0, 8, 96, augment)
        assert hr.shape == (8, 96, 96, 3)
        assert lr.shape == (8, 24, 24, 3)
        fit = misfit(hr, lr)
        for shift in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            assert misfit(np.roll(hr, shift, axis=(1, 2)), lr) > 1.02 * fit, (step, shift)


def test_alignment_test_sees_a_shift_of_one_lr_pixel(data: shards.Shards) -> None:
    hr, lr = batch(data, 0, 0, 8, 96, augment=True)
    assert misfit(hr, np.roll(lr, 1, axis=1)) > 1.3 * misfit(hr, lr)


@given(step=st.integers(0, 10**6), seed=st.integers(0, 2**32 - 1))
def test_a_batch_depends_on_seed_and_step_alone(data: shards.Shards, step: int, seed: int) -> None:
    first = batch(data, step, seed, 4, 32, augment=True)
    batch(data, step + 1, seed, 4, 32, augment=True)
    again = batch(data, step, seed, 4, 32, augment=True)
    other = batch(data, step + 1, seed, 4, 32, augment=True)
    assert all(np.array_equal(one, two) for one, two in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


def digests(folder: Path, first: int, last: int) -> list[str]:
    data = shards.load(folder)
    pairs = (batch(data, step, 7, 4, 48, augment=True) for step in range(first, last))
    return [hashlib.sha256(hr.tobytes() + lr.tobytes()).hexdigest() for hr, lr in pairs]


def test_a_thousand_batches_whatever_the_start_and_the_processes(raw: Path, tmp_path: Path) -> None:
    prepare(raw, tmp_path, 4, 128, "bicubic", {"source": "photos"}, workers=1)
    whole = digests(tmp_path, 0, 1000)
    assert len(set(whole)) == 1000
    assert digests(tmp_path, 617, 640) == whole[617:640]
    for processes in (2, 3):
        cuts = [1000 * part // processes for part in range(processes + 1)]
        with multiprocessing.get_context("spawn").Pool(processes) as pool:
            parts = pool.starmap(digests, [(tmp_path, first, last) for first, last in itertools.pairwise(cuts)])
        assert [digest for part in parts for digest in part] == whole


@pytest.mark.parametrize("augment", [False, True])
def test_every_position_is_reached_as_often_as_it_should(data: shards.Shards, augment: bool) -> None:
    """Chi-square over all tiles and places, at a level of one in a thousand; the seeds are fixed. Each tile's pixels tell where."""
    number, y, x = np.mgrid[:3, :16, :16]
    hr = np.stack([number, y, x], axis=-1).astype(np.uint8)
    marked = shards.Shards({"scale": 4, "tile": 16}, hr, np.ascontiguousarray(hr[:, ::4, ::4]), [])
    found = np.zeros((3, 3, 3), int)
    for step in range(1000):
        patches, _ = batch(marked, step, 11, 8, 8, augment)
        tile, top, left = patches.min(axis=(1, 2)).T
        np.add.at(found, (tile, top // 4, left // 4), 1)
    assert found.sum() == 8000
    expected = 8000 / found.size
    assert ((found - expected) ** 2 / expected).sum() < scipy.stats.chi2.ppf(0.999, found.size - 1)


def test_all_eight_turns_appear_alike_in_hr_and_lr(data: shards.Shards) -> None:
    """One tile whose LR is its HR, every fourth pixel: each turn of a patch is seen, and LR is always HR's own."""
    hr = np.arange(128 * 128 * 3, dtype=np.uint32).reshape(1, 128, 128, 3).astype(np.uint8)
    hr[..., 0], hr[..., 1] = np.arange(128)[:, None], np.arange(128)[None, :]
    marked = shards.Shards(data.index, hr, np.ascontiguousarray(hr[:, ::4, ::4]), [])
    turns = set()
    for step in range(30):
        for patch, small in zip(*batch(marked, step, 1, 8, 16, augment=True), strict=True):
            rows = patch[..., 0].astype(int)
            turned = bool(rows[0, 0] == rows[1, 0])
            y, x = (int(patch[1, 1, channel]) - int(patch[0, 0, channel]) for channel in (0, 1))
            turns.add((turned, y, x))
            firsts = patch[(0 if (x if turned else y) > 0 else 3) :: 4, (0 if (y if turned else x) > 0 else 3) :: 4]
            assert np.array_equal(firsts[..., :2], small[..., :2])
    assert len(turns) == 8


def test_no_augmentation_keeps_patches_as_they_are(data: shards.Shards) -> None:
    hr, _ = batch(data, 0, 0, 4, 128, augment=False)
    assert all(any(np.array_equal(patch, tile) for tile in data.train_hr) for patch in hr)


def test_crops_are_fixed(data: shards.Shards) -> None:
    hr, lr = shards.crops(data, 64, 5, seed=0)
    assert hr.shape == (10, 64, 64, 3)
    assert lr.shape == (10, 16, 16, 3)
    assert np.array_equal(hr, shards.crops(data, 64, 5, seed=0)[0])
    assert not np.array_equal(hr, shards.crops(data, 64, 5, seed=1)[0])
    assert misfit(hr, lr) * 1.3 < misfit(hr, np.roll(lr, 1, axis=2))


def test_same_pictures_same_bytes(raw: Path, data: shards.Shards, tmp_path: Path) -> None:
    prepare(raw, tmp_path, scale=4, tile=128, lr="bicubic", dataset={"source": "photos"}, workers=2)
    assert json.loads((tmp_path / "index.json").read_text(encoding="utf-8")) == data.index


def some_small(folder: Path) -> Path:
    for name, side in (("tiny", 100), ("big", 256), ("less", 90)):
        pictures.write(folder / "train_hr" / f"{name}.png", np.full((256, side, 3), 90, np.uint8))
    pictures.write(folder / "valid_hr" / "fine.png", np.zeros((200, 200, 3), np.uint8))
    return folder


def test_pictures_smaller_than_a_tile_are_refused_together(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        prepare(some_small(tmp_path), tmp_path / "out", 4, 128, "bicubic", {"source": "test"}, workers=1)
    expected, advice = "expected at least 128x128 (prepare.tile), found 256x", "leave it out or set prepare.small: skip"
    found = [f"- {tmp_path}/train_hr/{name}.png: {expected}{side}; {advice}" for name, side in (("less", 90), ("tiny", 100))]
    assert str(caught.value).splitlines() == ["2 problems:", *found]
    assert not (tmp_path / "out").exists()


def test_pictures_smaller_than_a_tile_are_skipped_and_counted(tmp_path: Path) -> None:
    card = prepare(some_small(tmp_path), tmp_path / "out", 4, 128, "bicubic", {"source": "test"}, workers=1, small="skip")
    assert card["skipped"] == ["less", "tiny"]
    assert ("left out", "2 smaller than a tile: less, tiny") in datacard.facts(card)
    assert [tile[0] for tile in shards.load(tmp_path / "out").index["tiles"]] == ["big"] * 4
    with pytest.raises(InputError, match="3 problems"):
        prepare(tmp_path, tmp_path / "out2", 4, 256 + 4, "bicubic", {"source": "test"}, workers=1, small="skip")


def test_all_damaged_pictures_are_told_at_once(raw: Path, tmp_path: Path) -> None:
    shutil.copytree(raw, tmp_path / "raw")
    for name in ("train_hr/astronaut", "valid_hr/rocket"):
        path = tmp_path / "raw" / f"{name}.png"
        path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(InputError, match=r"(?s)2 problems:.*astronaut\.png: expected a picture.*rocket\.png: expected a picture"):
        prepare(tmp_path / "raw", tmp_path / "out", 4, 128, "bicubic", {"source": "photos"}, workers=2)
    with pytest.raises(InputError, match=r"found no index\.json"):
        shards.load(tmp_path / "out")


PREPARE = """
import sys
from pathlib import Path
from pipeline.preparation import prepare
from tests.repository import ROOT
prepare(Path(sys.argv[1]), Path(sys.argv[2]), 4, 128, "bicubic", {"source": "photos"}, 2)
"""


WRITE = """
import sys
import numpy as np
from pathlib import Path
from pipeline.preparation import _write
_write(Path(sys.argv[1]), np.ones(1_500_000, np.uint8), 0)
"""


def test_disk_that_fills_up(raw: Path, data: shards.Shards, tmp_path: Path) -> None:
    """A real write that fails: no file may grow beyond 1.2 MB, and the HR tiles are larger."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_200_000, 1_200_000))

    command = [sys.executable, "-c", PREPARE, str(raw), str(tmp_path / "out")]
    done = subprocess.run(command, cwd=ROOT, preexec_fn=limit, capture_output=True, text=True)
    assert "train_hr.npy: expected room for 1572864 bytes" in done.stderr
    assert "free some and run again" in done.stderr
    np.lib.format.open_memmap(tmp_path / "laid_out.npy", mode="w+", dtype=np.uint8, shape=(2_000_000,)).flush()
    late = [sys.executable, "-c", WRITE, str(tmp_path / "laid_out.npy")]
    done = subprocess.run(late, cwd=ROOT, preexec_fn=limit, capture_output=True, text=True)
    assert "laid_out.npy: expected room for 2000000 bytes: File too large; free some and run again" in done.stderr
    with pytest.raises(InputError, match=r"found no index\.json"):
        shards.load(tmp_path / "out")
    subprocess.run(command, cwd=ROOT, check=True)
    assert shards.load(tmp_path / "out").index == data.index


def test_disk_too_small(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 7, 3))
    with pytest.raises(InputError, match=r"out: expected room for \d+ bytes of shards, found 3; free some, or leave pictures out"):
        prepare(raw, tmp_path / "out", 4, 128, "bicubic", {"source": "photos"}, workers=1)


def test_killed_prepare_leaves_nothing_that_reads_as_whole(raw: Path, data: shards.Shards, tmp_path: Path) -> None:
    command = [sys.executable, "-c", PREPARE, str(raw), str(tmp_path / "out")]
    for number in range(6):
        process = subprocess.Popen(command, cwd=ROOT, start_new_session=True, stderr=subprocess.DEVNULL)
        while not (tmp_path / "out" / "valid_lr.npy").exists() and process.poll() is None:
            time.sleep(0.001)
        time.sleep(0.04 * number)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if (tmp_path / "out" / "index.json").exists():
            assert shards.load(tmp_path / "out").index == data.index
        else:
            with pytest.raises(InputError, match=r"found no index\.json"):
                shards.load(tmp_path / "out")
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
    subprocess.run(command, cwd=ROOT, check=True)
    assert shards.load(tmp_path / "out").index == data.index


def test_verify_names_the_pictures_whose_bytes_changed(raw: Path, tmp_path: Path) -> None:
    prepare(raw, tmp_path, 4, 128, "bicubic", {"source": "photos"}, workers=1)
    shards.verify(shards.load(tmp_path))
    for name, at in (("train_hr", -1), ("valid_lr", 200)):
        array = np.lib.format.open_memmap(tmp_path / f"{name}.npy", mode="r+")
        array.reshape(-1)[at] ^= 1
        array.flush()
    with pytest.raises(
        InputError, match="expected the bytes that prepare wrote, found others for ihc, chelsea; run: dvc repro --force"
    ):
        shards.verify(shards.load(tmp_path))


def test_reader_names_both_scales(data: shards.Shards, tmp_path: Path) -> None:
    (tmp_path / "index.json").write_text(json.dumps(data.index), encoding="utf-8")
    with pytest.raises(InputError, match="expected shards of scale 2, found 4"):
        shards.load(tmp_path, scale=2)


def test_crop_larger_than_a_validation_picture(data: shards.Shards) -> None:
    with pytest.raises(InputError, match="chelsea: expected at least 400x400 for a crop"):
        shards.crops(data, 400, 1, seed=0)


def test_missing_or_half_written_shards(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"found no index\.json; run: dvc repro prepare"):
        shards.load(tmp_path)
    (tmp_path / "index.json").write_text('{"format": 0}', encoding="utf-8")
    with pytest.raises(InputError, match="expected shards of format 3, found 0"):
        shards.load(tmp_path)


def test_no_pictures(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected PNG pictures, found none"):
        prepare(tmp_path, tmp_path / "out", scale=4, tile=128, lr="bicubic", dataset={"source": "test"}, workers=1)
