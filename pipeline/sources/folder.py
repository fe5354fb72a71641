"""Any folder of pictures: PNG, JPEG, WebP, BMP, TIFF, nested as they like.

The rules by which a picture becomes 8-bit sRGB: the EXIF orientation is applied; an embedded ICC profile is converted to sRGB
(perceptual intent); grey is repeated over the channels; alpha and transparent colours are laid over white; CMYK without a
profile is converted as Pillow does; of 16 bits the high byte is kept. A PNG that is plain 8-bit RGB already is copied as it is.
"""

import io
from pathlib import Path
from shutil import copyfile
from typing import Self

import joblib
import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageOps
from pydantic import model_validator

from pipeline.download import Show
from pipeline.errors import InputError, attempt, together
from pipeline.files import whole
from pipeline.pictures import DAMAGED, write
from pipeline.sections import Section, reject

ENDINGS = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}


class Side(Section):
    """Folders below `path`: HR alone, or HR and LR with LR named as HR or as <name>x<scale>."""

    hr: str
    lr: str | None = None


class Config(Section):
    path: Path
    train: Side
    valid: Side

    @model_validator(mode="after")
    def apart(self) -> Self:
        train, valid = ((self.path / side.hr).resolve() for side in (self.train, self.valid))
        if train.is_relative_to(valid) or valid.is_relative_to(train):
            raise reject(f"valid.hr: {self.valid.hr} and train.hr: {self.train.hr} hold the same pictures; name another")
        return self


def fetch(config: Config, out: Path, scale: int, show: Show) -> None:
    """Lay the pictures down as out/<part>/<name>.png, in 8-bit sRGB, on all cores.

    Names are the files' paths below their folder without the ending, "/" written as "__". Raises InputError for a folder that is
    missing or empty, a name that stands twice or is not UTF-8, and a picture that cannot be read.
    """
    parts = {"train_hr": config.train.hr, "train_lr": config.train.lr, "valid_hr": config.valid.hr, "valid_lr": config.valid.lr}
    folders = {part: config.path / folder for part, folder in parts.items() if folder is not None}
    found = dict(zip(folders, together(attempt(find, folder) for folder in folders.values()), strict=True))
    work = [(path, out / part / f"{name}.png") for part, named in found.items() for name, path in named.items()]
    together(joblib.Parallel(n_jobs=-1)(joblib.delayed(attempt)(convert, path, target) for path, target in work))


def find(folder: Path) -> dict[str, Path]:
    """Name -> picture, for every picture below a folder."""
    if not folder.is_dir():
        raise InputError(f"{folder}: expected a folder of pictures, found none; correct dataset.path")
    named: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.suffix.lower() not in ENDINGS or path.name.startswith("."):
            continue
        name = "__".join(path.relative_to(folder).with_suffix("").parts)
        try:
            name.encode()
        except UnicodeEncodeError:
            raise InputError(f"{str(path)!a}: expected a file name in UTF-8, found other bytes; rename it") from None
        if name in named:
            raise InputError(f"{path}: expected each name once, found {named[name].name} beside it; remove one")
        named[name] = path
    if not named:
        raise InputError(f"{folder}: expected pictures ({', '.join(sorted(ENDINGS))}), found none")
    return named


def convert(path: Path, target: Path) -> None:
    """Copy a plain PNG, or write a picture as one."""
    try:
        with Image.open(path) as image:
            image.load()
            if is_plain(image):
                with whole(target) as temporary:
                    copyfile(path, temporary)
            else:
                write(target, np.asarray(to_srgb(image)))
    except (*DAMAGED, ImageCms.PyCMSError) as error:
        raise InputError(f"{path}: expected a picture that Pillow can decode: {error}; repair it or leave it out") from None


def is_plain(image: Image.Image) -> bool:
    turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
    return image.format == "PNG" and image.mode == "RGB" and not turned and not {"icc_profile", "transparency"} & image.info.keys()


def to_srgb(image: Image.Image) -> Image.Image:
    """8-bit sRGB by the rules above."""
    profile = image.info.get("icc_profile")
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise ValueError(f"mode {image.mode} has no fixed range of values")
    if image.mode in ("P", "PA", "LA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    if profile and image.mode in ("RGB", "CMYK", "L"):
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = {"RGB ": "RGB", "CMYK": "CMYK", "GRAY": "L"}.get(source.profile.xcolor_space)
        if space == image.mode:
            converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
            return converted or image.convert("RGB")
    return image.convert("RGB")
