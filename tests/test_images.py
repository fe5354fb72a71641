"""The two conversions, reading and writing."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from pipeline import images, pictures, resize
from pipeline.errors import InputError
from pipeline.files import whole, write_json


def test_tensor_and_back(photo: Callable[[str], NDArray[np.uint8]]) -> None:
    picture = photo("chelsea")[None]
    tensor = images.to_tensor(picture)
    assert tensor.shape == (1, 3, 300, 451)
    assert tensor.dtype == torch.float32
    assert 0 <= float(tensor.min()) < float(tensor.max()) <= 1
    assert np.array_equal(images.to_uint8(tensor), picture)


def test_to_uint8_clamps_and_rounds() -> None:
    values = torch.tensor([-0.5, 0.0, 0.4 / 255, 0.6 / 255, 1.0, 7.0]).expand(1, 3, 1, 6)
    assert images.to_uint8(values)[0, 0, :, 0].tolist() == [0, 0, 0, 1, 255, 255]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_to_uint8_refuses_what_is_no_number(bad: float) -> None:
    with pytest.raises(FloatingPointError, match="found NaN or infinity"):
        images.to_uint8(torch.full((1, 3, 2, 2), bad))


def test_png_keeps_every_pixel(photo: Callable[[str], NDArray[np.uint8]], tmp_path: Path) -> None:
    pictures.write(tmp_path / "deep" / "one.png", photo("rocket"))
    assert np.array_equal(pictures.read(tmp_path / "deep" / "one.png"), photo("rocket"))
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["one.png"]


def test_grey_becomes_rgb(tmp_path: Path) -> None:
    Image.fromarray(np.arange(16, dtype=np.uint8).reshape(4, 4)).save(tmp_path / "grey.png")
    assert pictures.read(tmp_path / "grey.png")[3, 3].tolist() == [15, 15, 15]


def test_bad_pictures(tmp_path: Path, photo: Callable[[str], NDArray[np.uint8]]) -> None:
    with pytest.raises(InputError, match=r"none\.png: expected a picture, found no file"):
        pictures.read(tmp_path / "none.png")
    (tmp_path / "text.png").write_text("no picture", encoding="utf-8")
    with pytest.raises(InputError, match=r"text\.png: expected a picture that Pillow can decode"):
        pictures.read(tmp_path / "text.png")
    pictures.write(tmp_path / "cut.png", photo("chelsea"))
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:5000])
    with pytest.raises(InputError, match=r"cut\.png: expected a picture that Pillow can decode"):
        pictures.read(tmp_path / "cut.png")


def test_crop_to_multiple_keeps_top_left() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (9, 11, 3), np.uint8)
    assert np.array_equal(resize.crop_to_multiple(picture, 4), picture[:8, :8])


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    write_json(path, {"a": 1})

    def fail() -> None:
        with whole(path) as temporary:
            temporary.write_text("half", encoding="utf-8")
            raise OSError("disk full")

    with pytest.raises(InputError, match="expected to write it: disk full; free some disk"):
        fail()
    assert path.read_text(encoding="utf-8") == '{\n  "a": 1\n}\n'
    assert [path.name for path in tmp_path.iterdir()] == ["value.json"]
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, float("nan"))
