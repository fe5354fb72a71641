"""The results of all variants side by side: summary, table, verdict, protocol."""

from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from pipeline.config import Params
from pipeline.errors import InputError

BICUBIC = "bicubic"
LR = {"bicubic": "by the benchmarks' bicubic (MATLAB's imresize)", "official": "as published with the data set"}
LABELS = {"psnr": "PSNR (dB)", "ssim": "SSIM", "fid": "FID", "y": "Y", "rgb": "RGB", "crops": "crops"}


class Study(NamedTuple):
    """All results. `training` and `evaluation` are long tables (variant, epoch, ...); `images` has a row a variant and picture."""

    params: Params
    training: pd.DataFrame
    evaluation: pd.DataFrame
    images: pd.DataFrame
    results: Path

    @property
    def variants(self) -> list[str]:
        return [BICUBIC, *self.params.models]


def load(params: Params, training: Path, evaluation: Path, results: Path) -> Study:
    """Read the results of the variants that stand in params, and of no other. Raises InputError for a missing file."""
    every = [BICUBIC, *params.models]
    return Study(
        params,
        pd.concat([_read(training / f"{name}.csv", name, "train") for name in params.models] or [pd.DataFrame()]),
        pd.concat([_read(evaluation / f"{name}.csv", name, "evaluate") for name in every]),
        pd.concat([_read(results / name / "images.csv", name, "evaluate") for name in every]),
        results,
    )


def _read(path: Path, variant: str, stage: str) -> pd.DataFrame:
    try:
        table = pd.read_csv(path)
    except (FileNotFoundError, pd.errors.EmptyDataError):
        raise InputError(f"{path}: expected the results of {variant}, found none; run: dvc repro {stage}@{variant}") from None
    table.insert(0, "variant", variant)
    return table


def prune(study: Study, training: Path, evaluation: Path, scores: Path) -> None:
    """Delete the results of variants that are no longer in params."""
    for path in [*training.glob("*.csv"), *evaluation.glob("*.csv")]:
        if path.stem not in study.variants:
            path.unlink()
            (scores / f"{path.stem}.json").unlink(missing_ok=True)
    for folder in study.results.iterdir():
        if folder.is_dir() and folder.name not in study.variants:
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()


def summary(study: Study) -> dict[str, dict[str, float]]:
    """Variant -> metric -> value of its best checkpoint, and best_epoch (absent for bicubic)."""
    rows = {}
    for variant in study.variants:
        last = study.evaluation[study.evaluation["variant"] == variant].iloc[-1].drop(["variant", "checkpoint"])
        values = {str(name): float(value) for name, value in last.items() if pd.notna(value)}
        epoch = values.pop("epoch", None)
        rows[variant] = values | ({} if epoch is None else {"best_epoch": int(epoch)})
    return rows


def curves(study: Study) -> dict[str, pd.DataFrame]:
    """What `dvc plots` draws: a row a variant and epoch, of training and of the saved checkpoints.

    The Fréchet distance is called frechet here, whatever its features are, so that its chart need not know them.
    """
    saved = study.evaluation[study.evaluation["checkpoint"].str.startswith("epoch_")].astype({"epoch": int})
    named = {name: "frechet" for name in saved.columns if name == "fid" or name.startswith("fd_")}
    return {"training": study.training, "evaluation": saved.drop(columns="checkpoint").rename(columns=named)}


def label(metric: str) -> str:
    """psnr_y -> "PSNR (dB) Y"."""
    return " ".join(LABELS.get(part, part) for part in metric.split("_")) if not metric.startswith("fd_") else metric


def protocol(study: Study) -> str:
    """How the numbers were made, in one paragraph."""
    settings, scale, dataset = study.params.evaluate, study.params.scale, study.params.dataset
    pictures = study.images["image"].nunique()
    return (
        f"x{scale}, data set {dataset.source}, {pictures} validation pictures; LR {LR[study.params.prepare.lr]}; "
        f"SR rounded to 8 bits. Y (BT.601, not rounded) and RGB: whole pictures, a border of {scale} pixels left out, mean over "
        f"pictures. Crops: {settings.crops_per_image * pictures} fixed {settings.crop}x{settings.crop} crops, RGB, no border. "
        f"Fréchet distance: over the same crops, n = {settings.crops_per_image * pictures}, "
        f"features of {settings.frechet.features}; few samples, so only compare within this table. "
        "Each variant's row is its best checkpoint by validation PSNR and loss together."
    )


def table(study: Study) -> list[list[str]]:
    """The final table as text: a header row, then a row a variant, bicubic first."""
    rows = summary(study)
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    header = ["variant", *(label(name) for name in columns)]
    return [header, *([variant, *(number(name, row.get(name)) for name in columns)] for variant, row in rows.items())]


def number(metric: str, value: float | None) -> str:
    """A value as tables show it: PSNR with 2 digits, SSIM with 4."""
    if value is None:
        return "-"
    digits = next((digits for prefix, digits in (("psnr", 2), ("ssim", 4), ("best", 0)) if metric.startswith(prefix)), 1)
    return f"{value:.{digits}f}"


def verdict(study: Study) -> str:
    """One computed sentence: the order of the variants by PSNR on Y, or by the first metric, against bicubic."""
    rows = summary(study)
    metric = next(iter(rows[BICUBIC]))
    order = sorted(rows, key=lambda name: rows[name][metric], reverse=True)
    parts = []
    for name in order:
        gain = rows[name][metric] - rows[BICUBIC][metric]
        parts.append(name if name == BICUBIC else f"{name} ({gain:+.2f})")
    return f"By {label(metric)}, difference to bicubic in brackets: {' > '.join(parts)}."


def markdown(study: Study, card: dict[str, Any]) -> str:
    """metrics/results.md: verdict, table, protocol, and what was used of each picture."""
    header, *rows = table(study)
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    used = [
        f"{side} {row['name']} {row['used'][0]}x{row['used'][1]}"
        + ("" if row["used"] == row["found"] else f" of {row['found'][0]}x{row['found'][1]}")
        for side in ("train", "valid")
        for row in card[side]["pictures"]
    ]
    counts = [f"{len(card[side]['pictures'])} {side}, {card[side]['pixels'] / 1e6:.1f} Mpixel" for side in ("train", "valid")]
    shown = "; ".join(used if len(used) <= 20 else counts)
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"{verdict(study)}\n\n{text}\n\n{protocol(study)}\n\nPictures used (height x width, cropped to the scale): {shown}.\n"
