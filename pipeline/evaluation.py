"""Score a way of enlarging pictures, by the protocols that are asked for, and the distances of features."""

from collections.abc import Callable, Sequence
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline import features, frechet, perceptual, pictures, registry, shards
from pipeline.config import Evaluate
from pipeline.errors import InputError
from pipeline.files import whole, write_csv, write_json
from pipeline.protocols import LPIPS, PROTOCOLS, Protocol
from pipeline.reference import Reference
from pipeline.sharing import Share, in_turn

P = ParamSpec("P")
T = TypeVar("T")
Images = NDArray[np.uint8]
Enlarge = Callable[[Images], Images]
Sets = dict[str, list[shards.Picture]]  # name -> pictures; VALID is the first
VALID = "valid"
BATCH = 32  # crops at a time


class Result(NamedTuple):
    """Means over the validation pictures, the table (a row a set and picture), and the fixed crops: their scores and SR."""

    means: dict[str, float]
    table: pd.DataFrame
    crop_table: pd.DataFrame
    crops: Images


def nowhere(name: str, sr: Images) -> None:
    """Keep no picture."""


class How(NamedTuple):
    """By what pictures are scored (lpips where asked for), who shares the work, and where the SR validation pictures go."""

    settings: Evaluate
    reference: Reference
    network: features.Features
    lpips: perceptual.Score | None = None
    share: Share = in_turn
    keep: Callable[[str, Images], None] = nowhere


def evaluate(enlarge: Enlarge, sets: Sets, scale: int, how: How) -> Result:
    """Score `enlarge`, uint8 (N, h, w, 3) -> (N, h*scale, w*scale, 3); every score is named <metric>_<protocol>.

    The distances of the features of the SR crops from the HR crops' (fd_<network> or fid, with the interval of random halves; KID
    and its deviation) bear the network's name. Raises InputError for pictures that a metric cannot score.
    """
    metrics, reference = how.settings.metrics, how.reference
    pictured, cropped = ([name for name in how.settings.protocols if PROTOCOLS[name].crops == crops] for crops in (False, True))

    def row(member: tuple[str, shards.Picture]) -> dict[str, Any]:
        set_name, picture = member
        sr = enlarge(picture.lr[None])
        if set_name == VALID:
            how.keep(picture.name, sr[0])
        scores = _scores(metrics, pictured, sr, picture.hr[None], scale, picture.name)
        if how.lpips:
            scores[LPIPS] = explained(picture.name, how.lpips, sr, picture.hr[None])
        return {"set": set_name, "image": picture.name, **{name: values[0] for name, values in scores.items()}}

    ordered = [(name, picture) for name, members in sets.items() for picture in sorted(members, key=attrgetter("name"))]
    table = pd.DataFrame(how.share(row, ordered))
    means = {str(name): float(value) for name, value in table[table["set"] == VALID].drop(columns=["set", "image"]).mean().items()}
    crops = np.concatenate(how.share(enlarge, _batches(reference.lr)))
    scores = _scores(metrics, cropped, crops, reference.hr, scale, "the crops")
    means |= {name: float(values.mean()) for name, values in scores.items()}
    each = len(crops) // len(sets[VALID])
    crop_table = pd.DataFrame({"image": [picture.name for picture in sets[VALID] for _ in range(each)], **scores})
    found = np.concatenate(how.share(partial(features.extract, how.network), _batches(crops)))
    return Result(means | distances(found, reference.features, how.network.name), table, crop_table, crops)


def _batches(pictures: Images) -> list[Images]:
    return [pictures[start : start + BATCH] for start in range(0, len(pictures), BATCH)]


def _scores(
    metrics: Sequence[str], protocols: Sequence[str], sr: Images, hr: Images, scale: int, what: str
) -> dict[str, NDArray[np.float64]]:
    return {
        f"{metric}_{name}": explained(what, score, metric, PROTOCOLS[name], sr, hr, scale)
        for name in protocols
        for metric in metrics
    }


def explained(what: str, score: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The score; its ValueError as an InputError that names the picture."""
    try:
        return score(*args, **kwargs)
    except ValueError as error:
        raise InputError(f"{what}: {error}; leave the picture out, or the metric") from None


def score(metric: str, protocol: Protocol, sr: Images, hr: Images, scale: int) -> NDArray[np.float64]:
    """One metric by one protocol, of uint8 pictures (N, H, W, 3): float64 (N,)."""
    sides = (protocol.channels(side) for side in (sr, hr))
    return np.asarray(registry.load("metrics", metric).score(*sides, protocol.border(scale)))


def distances(sr: NDArray[np.floating], hr: NDArray[np.floating], name: str) -> dict[str, float]:
    """Fréchet distance with its interval, and KID with its deviation, of two sets of features."""
    kid = name.replace("fd_", "kid_") if name.startswith("fd_") else "kid"
    low, high = frechet.interval(sr, hr)
    mean, deviation = frechet.kernel_distance(sr, hr)
    return {name: frechet.distance(sr, hr), f"{name}_low": low, f"{name}_high": high, kid: mean, f"{kid}_deviation": deviation}


def write(rows: list[dict[str, Any]], found: dict[str, Result], scores: Path, curve: Path, results: Path) -> None:
    """Write what compare reads: `curve` (a row per checkpoint), `scores` (the final one's as JSON), and in `results`, beside the SR
    validation pictures, images.csv (a row a checkpoint of `found`, set and picture) and, of the last one in `found`, crops.csv (a
    row a crop) and crops.npy, uint8 (N, crop, crop, 3).
    """
    write_csv(curve, pd.DataFrame(rows))
    write_json(scores, {name: value for name, value in rows[-1].items() if name != "checkpoint"})
    write_csv(results / "images.csv", pd.concat([one.table.assign(checkpoint=name) for name, one in found.items()]))
    final = list(found.values())[-1]
    write_csv(results / "crops.csv", final.crop_table)
    with whole(results / "crops.npy") as temporary, temporary.open("wb") as file:
        np.save(file, final.crops)


def keep(results: Path, name: str, sr: Images) -> None:
    """Write one SR picture where compare looks for it."""
    pictures.write(results / f"{name}.png", sr)
