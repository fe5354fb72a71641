"""Our batches against a memcpy of the same bytes, torch's DataLoader over the same tiles, and PNG sub-images decoded per sample.

python -m benchmarks.batches [--quick]
"""

import json
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from benchmarks import corpus
from pipeline import images, pictures, resize, shards
from pipeline.batches import batch
from pipeline.preparation import prepare

SIZE, PATCH, SCALE = 32, 96, 4
Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]


class Tiles(Dataset[Pair]):
    """What one would write: a random crop of a random tile of the same memory map, without augmentation."""

    def __init__(self, data: shards.Shards) -> None:
        self.data = data

    def __len__(self) -> int:
        return 10**9

    def __getitem__(self, _: int) -> Pair:
        tile = int(torch.randint(len(self.data.train_hr), ()))
        y, x = torch.randint((self.data.tile - PATCH) // SCALE + 1, (2,)).tolist()
        side = PATCH // SCALE
        hr = self.data.train_hr[tile, y * SCALE : y * SCALE + PATCH, x * SCALE : x * SCALE + PATCH]
        return np.array(hr), np.array(self.data.train_lr[tile, y : y + side, x : x + side])


class Pngs(Dataset[Pair]):
    """PNG sub-images, 480x480 unless told, decoded for each sample, as BasicSR trains from."""

    def __init__(self, folder: Path) -> None:
        self.pairs = [(path, path.parent.parent / "lr" / path.name) for path in sorted((folder / "hr").iterdir())]

    def __len__(self) -> int:
        return 10**9

    def __getitem__(self, _: int) -> Pair:
        hr, lr = (pictures.read(path) for path in self.pairs[int(torch.randint(len(self.pairs), ()))])
        side = PATCH // SCALE
        y, x = (int(torch.randint(length - side + 1, ())) for length in lr.shape[:2])
        return hr[y * SCALE :, x * SCALE :][:PATCH, :PATCH].copy(), lr[y : y + side, x : x + side].copy()


def sub_images(raw: Path, out: Path, side: int = 480) -> None:
    for path in sorted((raw / "train_hr").iterdir()):
        picture = pictures.read(path)
        for top in range(0, picture.shape[0] - side + 1, side):
            for left in range(0, picture.shape[1] - side + 1, side):
                hr = picture[top : top + side, left : left + side]
                pictures.write(out / "hr" / f"{path.stem}_{top}_{left}.png", hr)
                pictures.write(out / "lr" / f"{path.stem}_{top}_{left}.png", resize.downscale(hr, SCALE))


def rate(work: Callable[[int], Any], budget: float) -> float:
    """Patches a second over `budget` seconds, after a warm-up."""
    for step in range(3):
        work(step)
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < budget:
        work(count)
        count += 1
    return count * SIZE / (time.perf_counter() - began)


def loader_rate(dataset: Dataset[Pair], workers: int, budget: float) -> float:
    batches = iter(DataLoader(dataset, batch_size=SIZE, num_workers=workers))
    return rate(lambda _: next(batches), budget)


def main(quick: bool = False) -> None:
    budget = 2.0 if quick else 10.0
    with tempfile.TemporaryDirectory() as name:
        raw, out = Path(name) / "raw", Path(name) / "out"
        corpus.lay(raw, corpus.MPIXEL)
        prepare(raw, out, SCALE, 192, "bicubic", {"source": "photos"})
        data = shards.load(out)
        source = [batch(data, step, 0, SIZE, PATCH, augment=False) for step in range(200)]  # far more than a cache holds
        rates = {"memcpy": rate(lambda step: [half.copy() for half in source[step % 200]], budget)}
        for augment, key in ((False, "ours"), (True, "ours_augmented")):
            rates[key] = rate(partial(batch, data, seed=0, size=SIZE, patch=PATCH, augment=augment), budget)
        rates["to_float"] = rate(lambda step: [images.to_tensor(half) for half in source[step % 200]], budget)
        for workers in (0, 2):
            rates[f"dataloader_{workers}"] = loader_rate(Tiles(data), workers, budget)
        sub_images(raw, Path(name) / "png")
        for workers in (0, 2):
            rates[f"png_{workers}"] = loader_rate(Pngs(Path(name) / "png"), workers, budget)
    for key, value in rates.items():
        print(f"{key:>16}: {value:>9.0f} patches/s")
    loader, png = (max(rates[f"{kind}_{workers}"] for workers in (0, 2)) for kind in ("dataloader", "png"))
    result = {
        "memcpy_share": rates["ours"] / rates["memcpy"],
        "dataloader_speedup": rates["ours"] / loader,
        "png_speedup": rates["ours"] / png,
        "memcpy_share_augmented": rates["ours_augmented"] / rates["memcpy"],
        "dataloader_speedup_augmented": rates["ours_augmented"] / loader,
    }
    print(json.dumps({key: round(value, 3) for key, value in result.items()}))


if __name__ == "__main__":
    typer.run(main)
