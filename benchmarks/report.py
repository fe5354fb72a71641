"""What compare takes: seconds and memory for made results, and the weight of its page.

python -m benchmarks.report [--quick]

--quick: three pictures of 640x424 and three variants, as the default run has. Without it also 100 pictures of 2040x1356 and eight
variants. The SR pictures are the HR ones with noise, the scores random: none of it is a result.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import typer
import yaml
from numpy.typing import NDArray

from benchmarks import corpus
from pipeline import comparison, evaluation, files, pictures, preparation, reference, resize, structure

ROOT = Path(__file__).parent.parent
CROPS, CROP = 32, 96
MEASURED = """
import atexit, runpy
from benchmarks.memory import peak_mib
atexit.register(lambda: print(peak_mib()))
runpy.run_module("stages.compare", run_name="__main__")
"""  # the stage in a process of its own, which prints its peak at last


def params(variants: int) -> dict[str, Any]:
    """params.yaml with as many copies of its EDSR."""
    found: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    edsr = found["models"]["edsr"]
    return {**found, "models": {f"edsr_{number}": {**edsr, "width": 8 + number} for number in range(variants)}}


def lay(folder: Path, count: int, size: tuple[int, int], variants: int) -> None:
    """All that compare reads, below `folder`."""
    settings = params(variants)
    (folder / "params.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    corpus.lay(folder / "raw", corpus.MPIXEL)
    hr = np.tile(pictures.read(folder / "raw" / "train_hr" / "retina.png"), (2, 2, 1))[: size[0], : size[1]]
    for path in (folder / "raw" / "valid_hr").iterdir():
        path.unlink()
    names = [f"{number:04d}" for number in range(count)]
    same(hr, folder / "raw" / "valid_hr", names)
    card = preparation.prepare(folder / "raw", folder / "shards", 4, 192, "bicubic", {"source": "photos"})
    files.write_json(folder / "dataset.json", card)
    crops = np.stack([hr[:CROP, :CROP]] * (count * CROPS))
    reference.save(folder / "reference", reference.Reference(crops, crops[:, ::4, ::4], np.zeros((1, 1), np.float32)))
    rng = np.random.default_rng(0)
    sr = np.clip(resize.crop_to_multiple(hr, 4) + rng.normal(0, 6, hr.shape), 0, 255).astype(np.uint8)
    for name in ["bicubic", *settings["models"]]:
        same(sr, folder / "results" / name, names)
        lay_scores(folder, name, names, crops, rng)


def same(image: NDArray[np.uint8], folder: Path, names: list[str]) -> None:
    """One picture under many names."""
    pictures.write(folder / f"{names[0]}.png", image)
    for name in names[1:]:
        os.link(folder / f"{names[0]}.png", folder / f"{name}.png")


def lay_scores(folder: Path, variant: str, names: list[str], crops: NDArray[np.uint8], rng: np.random.Generator) -> None:
    """Random scores of a variant, and for all but bicubic a history and what it is made of."""
    scores = [f"{metric}_{protocol}" for protocol in ("benchmark_y", "ntire_rgb") for metric in ("psnr", "ssim")]
    images = pd.DataFrame({score: rng.normal(30, 1, len(names)) for score in scores}).assign(set="valid", image=names)
    cropped = pd.DataFrame({f"{metric}_study": rng.normal(30, 1, len(crops)) for metric in ("psnr", "ssim")})
    means = {**images[scores].mean(), **cropped.mean(), "fd_made": 9.0, "fd_made_low": 8.0, "fd_made_high": 10.0, "kid_made": 0.5}
    rows = [{"checkpoint": "bicubic", **means}]
    if variant != "bicubic":
        rows = [{"checkpoint": one, "epoch": epoch, **means} for one, epoch in (("epoch_010", 10), ("epoch_050", 50), ("best", 50))]
        history = pd.DataFrame({key: rng.uniform(0.01, 0.02, 50) for key in comparison.HISTORY}).assign(epoch=range(1, 51))
        files.write_csv(folder / "training" / f"{variant}.csv", history)
        config = {"blocks": 16, "width": 16, "residual_scale": 0.1, "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
        files.write_json(folder / "results" / variant / "structure.json", structure.of("edsr", config, 4))
    found = {str(rows[-1]["checkpoint"]): evaluation.Result({}, images, cropped.assign(image=np.repeat(names, CROPS)), crops)}
    results = folder / "results" / variant
    evaluation.write(rows, found, folder / f"{variant}.json", folder / "evaluation" / f"{variant}.csv", results)


def compare(folder: Path) -> dict[str, float]:
    inputs = [str(folder / name) for name in ("shards", "dataset.json", "reference", "results", "training", "evaluation")]
    outputs = [
        str(folder / "out" / name) for name in ("summary.json", "results.md", "differences.csv", "curves", "figures", "report")
    ]
    command = [sys.executable, "-c", MEASURED, *inputs, *outputs, "--params", str(folder / "params.yaml")]
    began = time.perf_counter()
    done = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True)
    seconds, memory = time.perf_counter() - began, float(done.stdout.split()[-1])
    page = sum(path.stat().st_size for path in (folder / "out" / "report").rglob("*") if path.is_file())
    print(f"compare: {seconds:.1f} s, at most {memory:.0f} MiB, page {page / 2**20:.1f} MiB")
    return {"seconds": seconds, "peak_mib": memory, "page_mib": page / 2**20}


def main(quick: bool = False) -> None:
    with tempfile.TemporaryDirectory() as name:
        lay(Path(name), 3, (424, 640), 3)
        result = compare(Path(name))
    if not quick:
        with tempfile.TemporaryDirectory() as name:
            lay(Path(name), 100, (1356, 2040), 8)
            result |= {f"{key}_100x8": value for key, value in compare(Path(name)).items()}
    print(json.dumps({key: round(value, 2) for key, value in result.items()}))


if __name__ == "__main__":
    typer.run(main)
