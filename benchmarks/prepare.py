"""Time of prepare over the time of merely decoding the same PNGs with the same number of processes; peak memory; equal bytes.

python -m benchmarks.prepare [--quick]
"""

import json
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import joblib
import psutil
import typer

from benchmarks import corpus
from pipeline import pictures, resize
from pipeline.files import sha256
from pipeline.preparation import prepare
from pipeline.shards import ARRAYS

WORKERS = 2


def decode(raw: Path, workers: int) -> None:
    found = [picture for part in ("train_hr", "valid_hr") for picture in pictures.listing(raw, part).values()]
    joblib.Parallel(n_jobs=workers)(joblib.delayed(_forget)(picture) for picture in found)


def _forget(picture: pictures.Picture) -> None:
    pictures.read(picture)


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def peak_mib(work: Callable[[], object]) -> float:
    """Memory of this process and its children while `work` runs, each page once (PSS, proportional set size)."""
    peak, done = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.02):
            family = [psutil.Process(), *psutil.Process().children(recursive=True)]
            with suppress(psutil.NoSuchProcess):
                peak = max(peak, sum(process.memory_full_info().pss for process in family))

    watcher = threading.Thread(target=watch)
    watcher.start()
    work()
    done.set()
    watcher.join()
    return peak / 2**20


def resize_ratio() -> float:
    """Pillow's bicubic over ours: a 2040x1356 picture shrunk by 4; above 1 ours is faster."""
    import numpy as np
    from PIL import Image

    picture = np.random.default_rng(0).integers(0, 256, (1356, 2040, 3), np.uint8)
    image = Image.fromarray(picture)
    ours = statistics.median(seconds(lambda: resize.downscale(picture, 4)) for _ in range(15))
    theirs = statistics.median(seconds(lambda: image.resize((510, 339), Image.Resampling.BICUBIC)) for _ in range(15))
    return theirs / ours


def main(quick: bool = False) -> None:
    with tempfile.TemporaryDirectory() as name:
        raw, out = Path(name) / "raw", Path(name) / "out"
        mpixel = corpus.lay(raw, 62)

        def run(workers: int) -> dict[str, str]:
            prepare(raw, out, 4, 192, "bicubic", {"source": "photos"}, workers)
            return {array: sha256(out / f"{array}.npy") for array in ARRAYS}

        digests = [run(workers) for workers in (1, 2, 5)]
        peak = peak_mib(lambda: run(WORKERS))
        decode(raw, WORKERS)  # starts the processes that both then use
        times: list[tuple[float, float]] = []
        for _ in range(5 if quick else 15):
            bare = seconds(lambda: decode(raw, WORKERS))
            full = seconds(lambda: prepare(raw, out, 4, 192, "bicubic", {"source": "photos"}, WORKERS))
            times.append((bare, full))
            print(f"decode {bare:.2f} s, prepare {full:.2f} s: {full / bare:.3f}")
        decode_s, prepare_s = (statistics.median(column) for column in zip(*times, strict=True))
        result = {
            "ratio": round(prepare_s / decode_s, 3),
            "peak_mib": round(peak),
            "equal_bytes": all(digest == digests[0] for digest in digests),
            "mpixel": round(mpixel, 1),
            "mpixel_per_second": round(mpixel / prepare_s, 1),
            "resize_speedup_over_pillow": round(resize_ratio(), 2),
        }
    print(json.dumps(result))


if __name__ == "__main__":
    typer.run(main)
