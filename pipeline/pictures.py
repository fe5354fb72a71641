"""Pictures on disk, uint8 HWC RGB: reading, writing, and how data/raw holds what was fetched.

data/raw: train_hr, train_lr, valid_hr, valid_lr, each a folder or a zip; LR is optional.
"""

import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.errors import InputError
from pipeline.files import whole

PARTS = ("train_hr", "train_lr", "valid_hr", "valid_lr")
LARGEST = 1 << 28  # bytes of one picture in an archive: more is a zip bomb, for the largest of DIV2K has 8 MB
Image.MAX_IMAGE_PIXELS = LARGEST
# What Pillow and zipfile raise for damaged bytes; RuntimeError is zipfile's, for a header that claims a password.
DAMAGED = (
    OSError, SyntaxError, ValueError, EOFError, RuntimeError, struct.error, zlib.error,
    zipfile.BadZipFile, Image.DecompressionBombError,
)  # fmt: skip


class Picture(NamedTuple):
    """A picture that lies in a folder, or in a zip archive as `member`."""

    path: Path
    member: str | None

    @property
    def name(self) -> str:
        return PurePosixPath(self.member or self.path.name).stem

    @property
    def where(self) -> str:
        return f"{self.path}:{self.member}" if self.member else str(self.path)


def listing(raw: Path, part: str) -> dict[str, Picture]:
    """Name (without folder and ending) -> picture, in natural order, for one of PARTS; {} where it is absent.

    Raises InputError for two pictures of one name, and for an archive that is damaged, encrypted, a bomb, or that holds links or
    paths that lead out of it.
    """
    folder, archive = raw / part, raw / f"{part}.zip"
    if archive.exists():
        found = [Picture(archive, member) for member in _members(archive)]
    else:
        found = [Picture(path, None) for path in folder.rglob("*.png")] if folder.is_dir() else []
    named: dict[str, Picture] = {}
    for picture in sorted(found, key=lambda one: natural(one.name)):
        if picture.name in named:
            raise InputError(f"{picture.where}: expected each name once, found it at {named[picture.name].where} too; rename one")
        named[picture.name] = picture
    return named


def natural(name: str) -> list[tuple[bool, int, str]]:
    """A key that sorts 2 before 10, and numbers before words."""
    return [(not digits, int(digits or 0), text) for digits, text in re.findall(r"(\d+)|(\D+)", name)]


def read(picture: Picture | Path) -> NDArray[np.uint8]:
    """uint8 (H, W, 3) RGB; grey is repeated over the channels.

    Raises InputError for what is missing or cannot be decoded, and for a picture of other than 8 bits a channel.
    """
    picture = Picture(picture, None) if isinstance(picture, Path) else picture
    with _opened(picture) as image:
        if image.mode not in ("RGB", "L"):
            raise InputError(f"{picture.where}: expected 8-bit RGB or grey, found mode {image.mode}; see dataset.source: folder")
        return np.array(image.convert("RGB"))


def write(path: Path, image: NDArray[np.uint8]) -> None:
    """Write uint8 (H, W, 3) RGB as PNG, whole or not at all."""
    with whole(path) as temporary:
        Image.fromarray(image).save(temporary, format="PNG")


def size(picture: Picture) -> tuple[int, int]:
    """(height, width), from the header alone."""
    with _opened(picture) as image:
        return image.height, image.width


@contextmanager
def _opened(picture: Picture) -> Iterator[Image.Image]:
    with ExitStack() as stack:
        try:
            if picture.member is None:
                yield stack.enter_context(Image.open(picture.path))
            else:
                archive = stack.enter_context(zipfile.ZipFile(picture.path))
                yield stack.enter_context(Image.open(stack.enter_context(archive.open(picture.member))))
        except FileNotFoundError:
            raise InputError(f"{picture.where}: expected a picture, found no file") from None
        except DAMAGED as error:
            raise InputError(f"{picture.where}: expected a picture that Pillow can decode: {error}; fetch it again") from None


def _members(archive: Path) -> list[str]:
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = [entry for entry in opened.infolist() if not entry.is_dir()]
    except DAMAGED as error:
        raise InputError(f"{archive}: expected a whole zip archive: {error}; fetch it again") from None
    for entry in entries:
        where = f"{archive}:{entry.filename}"
        if entry.flag_bits & 1:
            raise InputError(f"{where}: expected a readable picture, found it encrypted; use an archive without a password")
        if stat.S_ISLNK(entry.external_attr >> 16) or ".." in PurePosixPath(entry.filename).parts or entry.filename.startswith("/"):
            raise InputError(f"{where}: expected a plain file inside the archive, found a link or a path that leads out of it")
        if entry.file_size > LARGEST:
            raise InputError(f"{where}: expected at most {LARGEST} bytes, found {entry.file_size}; this is no picture")
    return [entry.filename for entry in entries if entry.filename.lower().endswith(".png")]
