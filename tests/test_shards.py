"""Shards and batches: what is in them, that HR and LR lie over each other, and that a batch is a pure function."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline import images, resize, shards
from pipeline.batches import batch
from pipeline.errors import InputError
from pipeline.preparation import prepare

Array = NDArray[np.uint8]


def misfit(hr: Array, lr: Array) -> float:
    """Mean distance between the upscaled LR and HR in grey levels, away from the edges, where LR was made with more around it."""
    inner = np.s_[:, 8:-8, 8:-8]
    return float(np.abs(resize.upscale(lr, 4)[inner].astype(int) - hr[inner]).mean())


def test_every_tile_is_its_place_in_its_picture(data: shards.Shards, photo: Callable[[str], Array]) -> None:
    assert len(data.index["tiles"]) == len(data.train_hr) == len(data.train_lr) == 2 * 4 * 4
    for (name, top, left), hr, lr in zip(data.index["tiles"], data.train_hr, data.train_lr, strict=True):
        picture = images.crop_to_multiple(photo(name), 4)
        assert np.array_equal(hr, picture[top : top + 128, left : left + 128])
        assert np.array_equal(lr, resize.downscale(picture, 4)[top // 4 :, left // 4 :][:32, :32])


def test_tiles_cover_every_pixel(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    images.write(raw / "train_hr" / "odd.png", np.zeros((131, 90, 3), np.uint8))
    images.write(raw / "valid_hr" / "small.png", np.zeros((9, 10, 3), np.uint8))
    card = prepare(raw, tmp_path / "out", scale=4, tile=64, lr="bicubic", dataset={"source": "test"}, workers=1)
    covered = np.zeros((128, 88), bool)
    for _, top, left in shards.load(tmp_path / "out").index["tiles"]:
        assert top % 4 == left % 4 == 0
        covered[top : top + 64, left : left + 64] = True
    assert covered.all()
    rows = [row for side in ("train", "valid") for row in card[side]["pictures"]]
    sizes = [(row["name"], row["found"], row["used"], row["flat_tiles"]) for row in rows]
    assert sizes == [("odd", (131, 90), (128, 88), 4), ("small", (9, 10), (8, 8), 0)]
    assert card["twins"] == [["odd", "small"]]


def test_validation_pictures_are_whole(data: shards.Shards, photo: Callable[[str], Array]) -> None:
    assert [picture.name for picture in data.valid] == ["chelsea", "rocket"]
    for picture in data.valid:
        assert np.array_equal(picture.hr, images.crop_to_multiple(photo(picture.name), 4))
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


def test_picture_smaller_than_a_tile(tmp_path: Path) -> None:
    images.write(tmp_path / "train_hr" / "tiny.png", np.zeros((200, 100, 3), np.uint8))
    images.write(tmp_path / "valid_hr" / "fine.png", np.zeros((200, 200, 3), np.uint8))
    with pytest.raises(InputError, match=r"tiny\.png: expected at least 128x128 \(prepare\.tile\), found 200x100; leave it out"):
        prepare(tmp_path, tmp_path / "out", scale=4, tile=128, lr="bicubic", dataset={"source": "test"}, workers=1)
    assert not (tmp_path / "out").exists()


def test_crop_larger_than_a_validation_picture(data: shards.Shards) -> None:
    with pytest.raises(InputError, match="chelsea: expected at least 400x400 for a crop"):
        shards.crops(data, 400, 1, seed=0)


def test_missing_or_half_written_shards(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"found no index\.json; run: dvc repro prepare"):
        shards.load(tmp_path)
    (tmp_path / "index.json").write_text('{"format": 0}', encoding="utf-8")
    with pytest.raises(InputError, match="expected shards of format 2, found 0"):
        shards.load(tmp_path)


def test_no_pictures(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected PNG pictures, found none"):
        prepare(tmp_path, tmp_path / "out", scale=4, tile=128, lr="bicubic", dataset={"source": "test"}, workers=1)
