"""Seconds per megapixel of output and peak memory of whole pictures and of tiles, at published sizes, each in a process of its own.

python -m benchmarks.inference [--quick]

EDSR and a picture of 1020x680; without --quick two more architectures, and a picture of 4080x2720. Tiles are 128 LR pixels a side;
what their overlap costs is the ratio of their time to the whole's.
"""

import json
import multiprocessing
import time

import torch
import typer

from benchmarks.memory import peak_mib
from benchmarks.training import EDSR
from pipeline import cost, inference, registry

MEAN = {key: EDSR[key] for key in ("mean", "std")}
MODELS: dict[str, dict[str, object]] = {
    "srresnet": {"blocks": 16, "width": 64, "batch_norm": True},
    "edsr": {"blocks": 16, "width": 64, "residual_scale": 1.0, **MEAN},
    "direct": {"blocks": 16, "width": 48},
}
TILE = 128


def measure(arch: str, height: int, width: int, radius: int | None, tile: int | None) -> tuple[float, float]:
    """Seconds for a megapixel of output at scale 4, and the process's peak memory in MiB."""
    model = registry.build(arch, MODELS[arch], 4).eval()
    run = inference.tiled(model, 4, radius, tile)
    lr = torch.rand(1, 3, height // 4, width // 4)
    with torch.inference_mode():
        model(lr[..., :32, :32])
        began = time.perf_counter()
        run(lr)
    seconds = time.perf_counter() - began
    return seconds * 1e6 / (height * width), peak_mib()


def main(quick: bool = False) -> None:
    result: dict[str, float] = {}
    for height, width in [(680, 1020), *([] if quick else [(2720, 4080)])]:
        for arch in ["edsr"] if quick else MODELS:
            found, radius = {}, cost.radius(cost.of(arch, MODELS[arch], 4))
            for tile in (None, TILE):
                with multiprocessing.get_context("spawn").Pool(1) as pool:
                    found[tile] = pool.apply(measure, (arch, height, width, radius, tile))
                seconds, memory = found[tile]
                print(
                    f"{arch} {width}x{height} {f'tiles of {tile}' if tile else 'whole'}: {seconds:.2f} s/Mpixel, {memory:.0f} MiB"
                )
            name = arch if height == 680 else f"{arch}_{width}x{height}"
            result |= {f"{name}_seconds_per_mpixel": found[None][0], f"{name}_peak_mib": found[None][1]}
            result |= {f"{name}_tiled_ratio": found[TILE][0] / found[None][0], f"{name}_tiled_peak_mib": found[TILE][1]}
    print(json.dumps({key: round(value, 3) for key, value in result.items()}))


if __name__ == "__main__":
    typer.run(main)
