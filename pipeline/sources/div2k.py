"""DIV2K: Agustsson and Timofte, NTIRE 2017 Challenge on Single Image Super-Resolution: Dataset and Study, CVPR Workshops 2017.

800 training and 100 validation pictures of 2K with their bicubic LR. The licence is research use only.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from shutil import copyfile
from typing import Annotated

from pydantic import Field

from pipeline.download import Remote, Show
from pipeline.download import fetch as fetch_file
from pipeline.errors import attempt, together
from pipeline.pictures import PARTS, listing
from pipeline.sections import Section

# Sizes and SHA-256 as TensorFlow Datasets publishes them (tensorflow_datasets/url_checksums/div2k.txt).
FILES = {
    "DIV2K_train_HR.zip": (3530603713, "9d0b9c463f6e35b6c62cc6a930ee2224f670b34c1df841a57670f9acf0f6c335"),
    "DIV2K_valid_HR.zip": (448993893, "20dd31fd84d777bc1cf5d6b7654a3f569c0aec74458ae094122ad1d0489900fc"),
    "DIV2K_train_LR_bicubic_X2.zip": (925390592, "a53a424317575838dadce4bcd97cf7b744d6855f43740ed5f0245af3cf4bd850"),
    "DIV2K_train_LR_bicubic_X3.zip": (427847282, "ad5c8e5507e2765823d3c2c5bd0934842efcd487c5370604c224090898b3163a"),
    "DIV2K_train_LR_bicubic_X4.zip": (246914039, "f006b837f4eb52b82909aa01478e6d6d199eefce932179491d0c9dbb706dde3a"),
    "DIV2K_valid_LR_bicubic_X2.zip": (117763600, "60eed9875c697df51204aa579e2a699e1d5215095788a097ff54dd17e2664d57"),
    "DIV2K_valid_LR_bicubic_X3.zip": (54513392, "04b9a2ed3b4a0715d3924d3ae8514830c3328fac8d30512ce716d6f419e052a3"),
    "DIV2K_valid_LR_bicubic_X4.zip": (31505881, "a50a5d1c4b88de4e8d300d8fb2b904c52fe93b2b298a4899697760d7cbb6d553"),
}  # fmt: skip


class File(Section):
    bytes: Annotated[int, Field(gt=0)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Config(Section):
    """`mirrors`: base URLs and folders that hold the archives, tried in order; `files`: sizes and checksums that differ;
    `path` is not read."""

    path: Path
    mirrors: Annotated[list[str], Field(min_length=1)]
    files: dict[str, File] = Field(default_factory=dict)


def fetch(config: Config, out: Path, scale: int, show: Show) -> None:
    """Lay the archives down as out/<part>.zip, by hard links from the download cache where the disk can, four at once.

    LR is fetched for the scales that DIV2K publishes (2, 3, 4). The cache is $SR_CACHE, or ~/.cache/sr-study/downloads.
    """
    cache = Path(os.environ.get("SR_CACHE", "~/.cache/sr-study/downloads")).expanduser()
    wanted = dict(_names(scale))
    with ThreadPoolExecutor(len(wanted)) as pool:
        found = pool.map(lambda name: attempt(fetch_file, _remote(config, name), config.mirrors, cache, show), wanted.values())
        paths = dict(zip(wanted, together(found), strict=True))
    out.mkdir(parents=True, exist_ok=True)
    for part, path in paths.items():
        try:
            (out / f"{part}.zip").hardlink_to(path)
        except OSError:  # another disk
            copyfile(path, out / f"{part}.zip")
        listing(out, part)


def _names(scale: int) -> Iterator[tuple[str, str]]:
    for part in PARTS:
        side, kind = part.split("_")
        if kind == "hr":
            yield part, f"DIV2K_{side}_HR.zip"
        elif scale <= 4:
            yield part, f"DIV2K_{side}_LR_bicubic_X{scale}.zip"


def _remote(config: Config, name: str) -> Remote:
    if name in config.files:
        return Remote(name, config.files[name].bytes, config.files[name].sha256)
    return Remote(name, *FILES[name])
