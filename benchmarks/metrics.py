"""SSIM against scikit-image's, the Fréchet distance against pytorch-fid's, and what evaluation costs beside the model itself.

python -m benchmarks.metrics [--quick]
"""

import json
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import typer
from pytorch_fid.fid_score import calculate_frechet_distance
from skimage.metrics import structural_similarity

from benchmarks import corpus
from benchmarks.training import EDSR
from pipeline import config, evaluation, features, frechet, images, inference, pictures, registry, resize, shards
from pipeline.metrics import ssim
from pipeline.protocols import PROTOCOLS

WIDTH = 2048


def seconds(work: Callable[[], object], times: int) -> float:
    found = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        found.append(time.perf_counter() - began)
    return statistics.median(found)


def ssim_speedup(times: int) -> dict[str, float]:
    """Over 1020x678 pictures, RGB and Y."""
    rng = np.random.default_rng(0)
    hr = rng.integers(0, 256, (678, 1020, 3), np.uint8)
    sr = np.clip(hr.astype(int) + rng.integers(-20, 21, hr.shape), 0, 255).astype(np.uint8)
    options: dict[str, Any] = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1}
    result = {}
    for space in ("ntire_rgb", "benchmark_y"):
        sr_side, hr_side = sides = [PROTOCOLS[space].channels(one[None]) for one in (sr, hr)]
        arrays = [side[0].permute(1, 2, 0).double().numpy() for side in sides]
        ours = seconds(partial(ssim.score, sr_side, hr_side, 0), times)
        theirs = seconds(partial(structural_similarity, *arrays, channel_axis=2, **options), max(2, times // 3))
        print(f"SSIM {space}: ours {ours * 1000:.0f} ms, scikit-image {theirs * 1000:.0f} ms")
        result[space] = theirs / ours
    return result


def frechet_speedup(count: int) -> float:
    """At Inception's width, statistics included on both sides."""
    x, y = np.random.default_rng(0).normal(size=(2, count, WIDTH))
    ours = seconds(lambda: frechet.distance(x, y), 5 if count < 1000 else 1)
    began = time.perf_counter()
    statistics_ = [value for z in (x, y) for value in (z.mean(axis=0), np.cov(z, rowvar=False))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        calculate_frechet_distance(*statistics_)
    theirs = time.perf_counter() - began
    print(f"Fréchet, n = {count}: ours {ours * 1000:.1f} ms, pytorch-fid {theirs:.1f} s")
    return theirs / ours


def evaluate_ratio(folder: Path) -> dict[str, float]:
    """EDSR 16x64 over the validation pictures by PSNR and SSIM, over the model's own time; PNGs and features beside it."""
    corpus.lay(folder, corpus.MPIXEL)
    hr = {path.stem: resize.crop_to_multiple(pictures.read(path), 4) for path in sorted((folder / "valid_hr").iterdir())}
    valid = [shards.Picture(name, one, resize.downscale(one, 4)) for name, one in hr.items()]
    options = {key: EDSR[key] for key in ("residual_scale", "mean", "std")}
    model = registry.build("edsr", {"blocks": 16, "width": 64, **options}, 4).eval()
    enlarge = partial(inference.enlarge, model, device=torch.device("cpu"))
    bare = scored = 0.0
    for picture in valid * 2:  # by turns
        began = time.perf_counter()
        with torch.inference_mode():
            model(images.to_tensor(picture.lr[None]))
        bare += time.perf_counter() - began
        began = time.perf_counter()
        sr = enlarge(picture.lr[None])
        for metric in ("psnr", "ssim"):
            for name in ("benchmark_y", "ntire_rgb"):
                evaluation.score(metric, PROTOCOLS[name], sr, picture.hr[None], 4)
        scored += time.perf_counter() - began
    writing = sum(seconds(partial(pictures.write, folder / "out.png", picture.hr), 3) for picture in valid)
    crops = np.stack([one[:96, :96] for one in hr.values()] * 11)
    network = features.load(config.Frechet(features="efficientnet_lite0"))
    extracting = seconds(lambda: features.extract(network, crops), 2)
    print(
        f"evaluate: model {bare / 2:.2f} s, with PSNR and SSIM {scored / 2:.2f} s; PNGs {writing:.2f} s, crops {extracting:.2f} s"
    )
    return {"evaluate_ratio": scored / bare, "png_seconds": writing, "features_per_second": len(crops) / extracting}


def main(quick: bool = False) -> None:
    found = ssim_speedup(5 if quick else 20)
    result = {"ssim_speedup": min(found.values()), "ssim_speedup_rgb": found["ntire_rgb"], "ssim_speedup_y": found["benchmark_y"]}
    result["frechet_speedup"] = frechet_speedup(100)
    if not quick:
        result["frechet_speedup_10000"] = frechet_speedup(10_000)
    with tempfile.TemporaryDirectory() as name:
        result |= evaluate_ratio(Path(name))
    print(json.dumps({key: round(value, 3) for key, value in result.items()}))


if __name__ == "__main__":
    typer.run(main)
