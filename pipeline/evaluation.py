"""Score a way of enlarging pictures: PSNR and SSIM on whole pictures and fixed crops, and the Fréchet distance."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from pipeline import features, frechet, images, pictures, registry, shards
from pipeline.files import write_csv, write_json
from pipeline.reference import Reference

Images = NDArray[np.uint8]
Enlarge = Callable[[Images], Images]
SPACES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {"y": images.luma, "rgb": lambda x: x}


class Result(NamedTuple):
    """Means of every metric, the per-image table, and the SR pictures, uint8 (H, W, 3), in the order of the table."""

    means: dict[str, float]
    table: pd.DataFrame
    pictures: list[Images]


def evaluate(enlarge: Enlarge, data: shards.Shards, reference: Reference, metrics: list[str], network: features.Features) -> Result:
    """Score `enlarge`, uint8 (N, h, w, 3) -> (N, h*scale, w*scale, 3).

    <metric>_y and <metric>_rgb: whole validation pictures, a border of `scale` pixels left out, mean over pictures.
    <metric>_crops: the fixed crops, RGB, no border, mean over crops (the study's protocol). fd_<network> or fid: the Fréchet
    distance between the features of the SR and the HR crops.
    """
    pictures = [enlarge(picture.lr[None])[0] for picture in data.valid]
    rows: list[dict[str, Any]] = []
    for picture, sr in zip(data.valid, pictures, strict=True):
        scores = {
            f"{metric}_{space}": score(metric, sr[None], picture.hr[None], data.scale, space)[0]
            for space in SPACES
            for metric in metrics
        }
        rows.append({"image": picture.name, **scores})
    table = pd.DataFrame(rows)
    means = {str(name): float(value) for name, value in table.drop(columns="image").mean().items()}
    crops = enlarge(reference.lr)
    means |= {f"{metric}_crops": float(np.mean(score(metric, crops, reference.hr, 0, "rgb"))) for metric in metrics}
    means[network.name] = frechet.distance(features.extract(network, crops), reference.features)
    return Result(means, table, pictures)


def score(metric: str, sr: Images, hr: Images, border: int, space: str) -> NDArray[np.float64]:
    """One metric of uint8 pictures (N, H, W, 3), on Y of BT.601 (not rounded) or on RGB: float64 (N,)."""
    of = SPACES[space]
    values = registry.load("metrics", metric).score(of(images.to_tensor(sr)), of(images.to_tensor(hr)), border)
    return np.asarray(values)


def write(rows: list[dict[str, Any]], final: Result, scores: Path, curve: Path, results: Path) -> None:
    """Write what compare reads: `curve` (a row per checkpoint), `scores` (the last row as JSON), and in `results` the per-image
    table images.csv and <image>.png.
    """
    write_csv(curve, pd.DataFrame(rows))
    write_json(scores, {name: value for name, value in rows[-1].items() if name != "checkpoint"})
    write_csv(results / "images.csv", final.table)
    for name, picture in zip(final.table["image"], final.pictures, strict=True):
        pictures.write(results / f"{name}.png", picture)
