"""A folder of pictures of every kind: each becomes 8-bit sRGB by the stated rule, pairs by name, and bad input gets one message."""

import io
import os
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageCms

from pipeline import pictures, resize, shards
from pipeline.errors import InputError
from pipeline.preparation import prepare
from pipeline.sources import folder
from tests.repository import Repository

Array = NDArray[np.uint8]
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")


@pytest.fixture
def crop(photo: Callable[[str], Array]) -> Array:
    return photo("chelsea")[100:164, 150:230]


def convert(image: Image.Image, path: Path, **options: Any) -> Array:
    image.save(path, **options)
    folder.convert(path, path.parent / "out" / "one.png")
    return pictures.read(path.parent / "out" / "one.png")


@pytest.mark.parametrize("ending", FORMATS)
def test_formats(crop: Array, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"picture.{ending.lower()}"
    found = convert(Image.fromarray(crop), path, **({"quality": 95} if ending in ("JPEG", "WEBP") else {}))
    assert found.shape == crop.shape
    assert np.array_equal(found, pictures.read(path))
    assert np.abs(found.astype(int) - crop).mean() < (6 if ending in ("JPEG", "WEBP") else 1e-9)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(crop: Array, tmp_path: Path, orientation: int) -> None:
    """The eight orientations of EXIF, spelt out: what each stored picture looks like when it is put right."""
    right = {
        1: crop, 2: crop[:, ::-1], 3: crop[::-1, ::-1], 4: crop[::-1], 5: crop.transpose(1, 0, 2),
        6: np.rot90(crop, -1), 7: crop[::-1, ::-1].transpose(1, 0, 2), 8: np.rot90(crop),
    }  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(convert(Image.fromarray(crop), tmp_path / "turned.png", exif=exif), right[orientation])


def test_grey_palette_and_alpha(tmp_path: Path) -> None:
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8)
    assert np.array_equal(convert(Image.fromarray(grey), tmp_path / "grey.png"), np.repeat(grey[..., None], 3, axis=2))
    palette = Image.fromarray(grey % 2).convert("P")
    palette.putpalette([10, 20, 30, 200, 100, 50])
    assert convert(palette, tmp_path / "palette.png")[0, :2].tolist() == [[10, 20, 30], [200, 100, 50]]
    alpha = np.full((8, 8, 4), 100, np.uint8)
    alpha[..., 3] = [0, 255, 51, 0, 0, 0, 0, 0]
    assert convert(Image.fromarray(alpha), tmp_path / "alpha.png")[0, :3, 0].tolist() == [255, 100, 224]
    palette.info["transparency"] = 0
    assert convert(palette, tmp_path / "clear.png", transparency=0)[0, :2].tolist() == [[255, 255, 255], [200, 100, 50]]


def test_sixteen_bits_keep_the_high_byte(tmp_path: Path) -> None:
    deep = np.array([[0, 255, 256, 0x1234], [0x7FFF, 0x8000, 0xFF00, 0xFFFF]], np.uint16)
    found = convert(Image.fromarray(deep), tmp_path / "deep.png")
    assert found[..., 0].tolist() == [[0, 0, 1, 0x12], [0x7F, 0x80, 0xFF, 0xFF]]


def test_cmyk(crop: Array, tmp_path: Path) -> None:
    image = Image.fromarray(crop).convert("CMYK")
    found = convert(image, tmp_path / "cmyk.tiff")
    assert np.abs(found.astype(int) - crop).max() <= 1


def test_icc_profile_is_converted_to_srgb(crop: Array, tmp_path: Path) -> None:
    """An sRGB profile changes nothing; a profile of other primaries does, and as LittleCMS says."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    same = convert(Image.fromarray(crop), tmp_path / "srgb.png", icc_profile=srgb)
    assert np.abs(same.astype(int) - crop).max() <= 1
    swapped = bytearray(srgb)
    red, green = (swapped.index(tag, 128) for tag in (b"rXYZ", b"gXYZ"))
    swapped[red : red + 4], swapped[green : green + 4] = swapped[green : green + 4], swapped[red : red + 4]
    other = convert(Image.fromarray(crop), tmp_path / "swapped.png", icc_profile=bytes(swapped))
    assert np.abs(other[..., [1, 0, 2]].astype(int) - crop).mean() < 4
    assert np.abs(other.astype(int) - crop).mean() > 10


def test_names_nest_and_sort_naturally(crop: Array, tmp_path: Path) -> None:
    for name in ("10", "2", "a/1", "b/c/1"):
        pictures.write(tmp_path / f"{name}.png", crop)
    (tmp_path / "notes.txt").write_text("no picture", encoding="utf-8")
    assert sorted(folder.find(tmp_path), key=pictures.natural) == ["2", "10", "a__1", "b__c__1"]


def source(root: Path, **sides: Any) -> folder.Config:
    return folder.Config(path=root, train=folder.Side(hr="train", **sides), valid=folder.Side(hr="valid"))


def test_pairs_by_name_never_by_position(photo: Callable[[str], Array], tmp_path: Path) -> None:
    """Ten pictures with LR whose files sort otherwise: every tile's LR is its own HR's."""
    picture = photo("coffee")
    for number in range(10):
        hr = picture[number * 16 : number * 16 + 128, number * 30 : number * 30 + 128]
        pictures.write(tmp_path / "train" / f"{number + 1}.png", hr)
        pictures.write(tmp_path / "low" / f"{number + 1}x4.png", resize.downscale(hr, 4))
    pictures.write(tmp_path / "valid" / "v.png", photo("chelsea"))
    folder.fetch(source(tmp_path, lr="low"), tmp_path / "raw", 4, lambda *_: None)
    card = prepare(tmp_path / "raw", tmp_path / "out", 4, 64, "bicubic", {"source": "folder"}, workers=1)
    assert [row["name"] for row in card["train"]["pictures"]] == [str(number) for number in range(1, 11)]
    assert all(row["lr_equal"] == 1 for row in card["train"]["pictures"])
    assert len(shards.load(tmp_path / "out").train_hr) == 40


def jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


def floats() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((4, 4), np.float32)).save(buffer, "TIFF")
    return buffer.getvalue()


@pytest.mark.parametrize(
    "files, message",
    [
        ({}, r"train: expected pictures \(.bmp, .jpeg, .jpg, .png, .tif, .tiff, .webp\), found none"),
        ({"a.txt": b"text"}, "train: expected pictures"),
        ({"a.png": b"no picture"}, r"a\.png: expected a picture that Pillow can decode"),
        ({"a.png": b""}, r"a\.png: expected a picture that Pillow can decode"),
        (
            {"a.jpg": jpeg()[:600]},
            r"a\.jpg: expected a picture that Pillow can decode: Truncated File Read; repair it",
        ),
        ({"a.jpg": jpeg(), "a.jpeg": jpeg()}, r"a\.jpg: expected each name once, found a\.jpeg beside it; remove one"),
        ({"a.tiff": floats()}, r"a\.tiff: .*mode F has no fixed range of values"),
        ({os.fsdecode(b"\xff\xfe.png"): jpeg()}, "expected a file name in UTF-8, found other bytes; rename it"),
    ],
)
def test_bad_folders(tmp_path: Path, files: dict[str, bytes], message: str) -> None:
    pictures.write(tmp_path / "valid" / "v.png", np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "train").mkdir()
    for name, content in files.items():
        (tmp_path / "train" / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        folder.fetch(source(tmp_path), tmp_path / "raw", 4, lambda *_: None)
    assert not list((tmp_path / "raw").glob("train_hr/*"))


def test_wrong_path(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"train: expected a folder of pictures, found none; correct dataset\.path"):
        folder.fetch(source(tmp_path), tmp_path / "raw", 4, lambda *_: None)


@pytest.mark.parametrize("train, valid", [("train", "train"), (".", "valid"), ("all/train", "all")])
def test_one_folder_for_both_sides(train: str, valid: str, tmp_path: Path) -> None:
    message = f"valid.hr: {valid} and train.hr: {train} hold the same pictures; name another"
    with pytest.raises(ValueError, match=re.escape(message)):
        folder.Config(path=tmp_path, train=folder.Side(hr=train), valid=folder.Side(hr=valid))


@settings(max_examples=500, deadline=None)
@given(data=st.data(), kind=st.sampled_from(["PNG", "JPEG", "zip"]))
def test_damaged_bytes_never_end_in_a_traceback(data: st.DataObject, kind: str) -> None:
    """Random damage to PNG, JPEG and zip: the picture is read, or one InputError names the file; nothing half-written stays."""
    content = bytearray(whole(kind))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content)))]
    with TemporaryDirectory() as name:
        root = Path(name)
        path = root / ("train_hr.zip" if kind == "zip" else f"one.{kind.lower()}")
        path.write_bytes(content)
        try:
            if kind == "zip":
                for picture in pictures.listing(root, "train_hr").values():
                    assert pictures.size(picture) == pictures.read(picture).shape[:2]
            else:
                folder.convert(path, root / "out" / "one.png")
                assert pictures.read(root / "out" / "one.png").ndim == 3
        except InputError as error:
            assert str(path) in str(error)
            assert not list(root.glob("out/*"))


def whole(kind: str) -> bytes:
    buffer = io.BytesIO()
    picture = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    Image.fromarray(picture).save(buffer, "PNG" if kind == "zip" else kind)
    if kind != "zip":
        return buffer.getvalue()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as opened:
        opened.writestr("x/0001.png", buffer.getvalue())
    return packed.getvalue()


def test_tracked_folder_reruns_what_it_must(repository: Repository, photo: Callable[[str], Array]) -> None:
    """`dvc add` a folder, train on it; one picture changed reruns everything that sees it, and nothing changed reruns nothing."""
    pics = repository.root / "pics"
    for side, names in (("train", ("ihc", "astronaut")), ("valid", ("chelsea", "rocket"))):
        for name in names:
            pictures.write(pics / side / f"{name}.png", photo(name)[:256, :256])
    repository.run("dvc", "add", "pics")
    values = repository.params()
    values["dataset"] = {"source": "folder", "path": "pics", "train": {"hr": "train"}, "valid": {"hr": "valid"}}
    values["models"] = {"edsr": values["models"]["edsr"]}
    repository.write_params(values)
    chain = {"fetch", "prepare", "reference", "train@edsr", "evaluate@edsr", "bicubic", "compare"}
    assert repository.repro() >= chain
    assert repository.repro() == set()
    pictures.write(pics / "valid" / "rocket.png", photo("rocket")[100:356, :256])
    ran = repository.repro()
    assert chain <= ran
