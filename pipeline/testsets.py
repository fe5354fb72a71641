"""Test sets beside the validation pictures, as Set5 and Set14 are published: HR, and LR where it is."""

from pathlib import Path

from pipeline import pictures, resize, shards
from pipeline.errors import InputError, attempt, together
from pipeline.files import write_json


def collect(folder: Path, names: list[str], scale: int, out: Path) -> None:
    """Lay out/<name>/hr and out/<name>/lr down from folder/<name>/HR and folder/<name>/LR_bicubic_X<scale>.

    HR is cropped to multiples of `scale`; without an LR folder, LR is made by the benchmarks' bicubic. Raises InputError, with all
    problems at once, for a set that is missing or empty, pictures without a partner, and LR that is not HR / scale.
    """
    write_json(out / "index.json", names)
    pairs = together(attempt(_pairs, folder / name, scale) for name in names)
    together(attempt(_lay, *pair, scale, out / name) for name, found in zip(names, pairs, strict=True) for pair in found)


def _pairs(folder: Path, scale: int) -> list[tuple[str, pictures.Picture, pictures.Picture | None]]:
    hr = pictures.listing(folder, "HR")
    if not hr:
        raise InputError(f"{folder / 'HR'}: expected the PNG pictures of a test set, found none; correct evaluate.sets")
    part = f"LR_bicubic_X{scale}"
    lr = {name.removesuffix(f"x{scale}"): picture for name, picture in pictures.listing(folder, part).items()}
    if lr and (odd := sorted(hr.keys() ^ lr.keys())):
        raise InputError(f"{folder / part}: expected a pair for every picture, found {len(odd)} without: {', '.join(odd[:20])}")
    return [(name, picture, lr.get(name)) for name, picture in hr.items()]


def _lay(name: str, hr: pictures.Picture, lr: pictures.Picture | None, scale: int, out: Path) -> None:
    large = resize.crop_to_multiple(pictures.read(hr), scale)
    wanted = large.shape[0] // scale, large.shape[1] // scale
    small = resize.downscale(large, scale) if lr is None else pictures.read(lr)
    if small.shape[:2] != wanted or min(wanted) < 1:
        where = hr.where if lr is None else lr.where
        raise InputError(f"{where}: expected LR of HR / {scale}, {wanted[0]}x{wanted[1]}, found {small.shape[0]}x{small.shape[1]}")
    pictures.write(out / "hr" / f"{name}.png", large)
    pictures.write(out / "lr" / f"{name}.png", small)


def load(out: Path, names: list[str]) -> dict[str, list[shards.Picture]]:
    """The sets as they were laid down. Raises InputError for one that is not there."""
    sets = {}
    for name in names:
        hr, lr = (pictures.listing(out / name, side) for side in ("hr", "lr"))
        if not hr:
            raise InputError(f"{out / name}: expected a test set, found none; run: dvc repro sets")
        sets[name] = [shards.Picture(one, pictures.read(picture), pictures.read(lr[one])) for one, picture in hr.items()]
    return sets
