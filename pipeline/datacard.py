"""The report's section on the data: what the models learn from and are scored on."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline import figures, pictures, shards

Image = NDArray[np.uint8]
TILES, PAIRS = 24, 6
CHANNELS = ("red", "green", "blue")


def channels(card: dict[str, Any]) -> pd.DataFrame:
    """Mean and deviation of each channel in [0, 1], training and validation: the study's figure."""
    rows = [
        {"channel": f"{side} {channel}", "mean": mean, "deviation": deviation}
        for side in ("train", "valid")
        for channel, mean, deviation in zip(CHANNELS, card[side]["mean"], card[side]["deviation"], strict=True)
    ]
    return pd.DataFrame(rows)


def facts(card: dict[str, Any]) -> list[tuple[str, str]]:
    """Counts, sizes, and what might spoil a study, as (what, text)."""
    rows = []
    for side in ("train", "valid"):
        found = card[side]["pictures"]
        heights, widths = zip(*(row["used"] for row in found), strict=True)
        cropped = sum(row["used"] != row["found"] for row in found)
        rows.append((f"{side} pictures", f"{len(found)}, {card[side]['pixels'] / 1e6:.1f} Mpixel, {cropped} cropped to the scale"))
        rows.append((f"{side} sizes", f"{min(heights)} to {max(heights)} high, {min(widths)} to {max(widths)} wide"))
        compared = [row for row in found if "lr_equal" in row]
        if compared:
            equal, largest = np.mean([row["lr_equal"] for row in compared]), max(row["lr_largest"] for row in compared)
            rows.append(
                (f"{side} official LR", f"{equal:.4%} of the values equal the benchmarks' bicubic; largest difference {largest}")
            )
    flat = sum(row["flat_tiles"] for row in card["train"]["pictures"])
    rows.append(("tiles", f"{card['tiles']} of {card['tile']}x{card['tile']}, {flat / card['tiles']:.1%} flat"))
    if card["skipped"]:
        rows.append(("left out", f"{len(card['skipped'])} smaller than a tile: {', '.join(card['skipped'])}"))
    rows.append(("LR used", {"bicubic": "made from HR by the benchmarks' bicubic", "official": "as published"}[card["lr"]]))
    twins = ", ".join(" and ".join(pair) for pair in card["twins"]) or "none"
    rows.append(("alike in training and validation", f"{twins} (perceptual hash)"))
    mib = {name: size / 2**20 for name, size in card["bytes"].items()}
    rows.append(("on disk", f"pictures {mib['raw']:.0f} MiB, shards {mib['shards']:.0f} MiB, each once where links can be made"))
    return rows


def panels(card: dict[str, Any], data: shards.Shards, out: Path) -> list[dict[str, str]]:
    """Write the channels' means, a histogram of sizes, a grid of tiles and LR/HR pairs below `out`; their files and captions."""
    count = len(data.train_hr)
    chosen = np.unique(np.linspace(0, count - 1, min(TILES, count)).astype(int))
    pictures.write(out / "data" / "tiles.png", figures.grid([np.asarray(data.train_hr[one]) for one in chosen], 8))
    pairs = np.random.Generator(np.random.Philox(key=[0, count])).permutation(count)[:PAIRS]
    lr = [figures.enlarged(data.train_lr[one], data.scale) for one in pairs]
    pictures.write(out / "data" / "pairs.png", figures.grid([*lr, *(np.asarray(data.train_hr[one]) for one in pairs)], len(pairs)))
    figures.save(figures.bars(channels(card)), out / "data" / "channels.svg")
    used = [[tuple(row["used"]) for row in card[side]["pictures"]] for side in ("train", "valid")]
    figures.save(figures.sizes(*used), out / "data" / "sizes.svg")
    captions = {
        "channels.svg": "mean and deviation of red, green and blue, in training and validation",
        "sizes.svg": "how many pictures have which height and width",
        "tiles.png": f"{len(chosen)} of the training tiles",
        "pairs.png": f"LR tiles, each pixel {data.scale} times as wide, above their HR tiles",
    }
    return [{"src": f"data/{name}", "caption": caption} for name, caption in captions.items()]
