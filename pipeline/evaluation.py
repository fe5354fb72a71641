"""Score a way of enlarging pictures, by the protocols that are asked for, and the distances of features."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline import features, frechet, pictures, registry, shards
from pipeline.config import Evaluate
from pipeline.errors import InputError
from pipeline.files import write_csv, write_json
from pipeline.protocols import PROTOCOLS, Protocol
from pipeline.reference import Reference

Images = NDArray[np.uint8]
Enlarge = Callable[[Images], Images]
Sets = dict[str, list[shards.Picture]]  # name -> pictures; VALID is the first
VALID = "valid"


class Result(NamedTuple):
    """Means over the validation pictures, the table (a row a set and picture), and the SR validation pictures in its order."""

    means: dict[str, float]
    table: pd.DataFrame
    pictures: list[Images]


def evaluate(
    enlarge: Enlarge, sets: Sets, scale: int, reference: Reference, settings: Evaluate, network: features.Features
) -> Result:
    """Score `enlarge`, uint8 (N, h, w, 3) -> (N, h*scale, w*scale, 3); every score is named <metric>_<protocol>.

    The distances of the features of the SR crops from the HR crops' (fd_<network> or fid, with the interval of random halves; KID
    and its deviation) bear the network's name. Raises InputError for a picture that a metric cannot score.
    """
    whole = [name for name in settings.protocols if not PROTOCOLS[name].crops]
    rows, shown = [], []
    for set_name, members in sets.items():
        for picture in members:
            sr = enlarge(picture.lr[None])
            scores = _scores(settings.metrics, whole, sr, picture.hr[None], scale, picture.name)
            rows.append({"set": set_name, "image": picture.name, **{name: values[0] for name, values in scores.items()}})
            if set_name == VALID:
                shown.append(sr[0])
    table = pd.DataFrame(rows)
    means = {str(name): float(value) for name, value in table[table["set"] == VALID].drop(columns=["set", "image"]).mean().items()}
    crops = enlarge(reference.lr)
    cropped = [name for name in settings.protocols if PROTOCOLS[name].crops]
    scores = _scores(settings.metrics, cropped, crops, reference.hr, scale, "the crops")
    means |= {name: float(values.mean()) for name, values in scores.items()}
    return Result(means | distances(features.extract(network, crops), reference.features, network.name), table, shown)


def _scores(
    metrics: Sequence[str], protocols: Sequence[str], sr: Images, hr: Images, scale: int, what: str
) -> dict[str, NDArray[np.float64]]:
    try:
        return {f"{metric}_{name}": score(metric, PROTOCOLS[name], sr, hr, scale) for name in protocols for metric in metrics}
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


def write(
    rows: list[dict[str, Any]], tables: dict[str, pd.DataFrame], final: Result, scores: Path, curve: Path, results: Path
) -> None:
    """Write what compare reads: `curve` (a row per checkpoint), `scores` (the final one's as JSON), and in `results` the table of
    all pictures, images.csv (a row a checkpoint of `tables`, set and picture), and the SR validation pictures.
    """
    write_csv(curve, pd.DataFrame(rows))
    write_json(scores, {name: value for name, value in rows[-1].items() if name != "checkpoint"})
    write_csv(results / "images.csv", pd.concat([table.assign(checkpoint=name) for name, table in tables.items()]))
    for name, picture in zip(final.table["image"], final.pictures, strict=False):
        pictures.write(results / f"{name}.png", picture)
