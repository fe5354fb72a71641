"""Score a trained variant: each of its checkpoints, and the best one on the test sets, and as an ensemble, too."""

from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline import checkpoint, cost, evaluation, features, inference
from pipeline.config import Evaluate
from pipeline.reference import Reference

BEST, ENSEMBLE = "best", "best+"


def evaluate(
    folder: Path, sets: evaluation.Sets, crops: Reference, settings: Evaluate, network: features.Features, accelerator: str
) -> tuple[list[dict[str, Any]], dict[str, pd.DataFrame], evaluation.Result]:
    """A row of means per checkpoint, the tables of the best one (ENSEMBLE, where asked for, and BEST), and its result.

    Checkpoints before the best are scored on the validation pictures alone.
    """
    about = checkpoint.load(folder / "best.safetensors").about
    costs = cost.of(about["arch"], about["config"], about["scale"])

    def score(path: Path, over: evaluation.Sets, ensemble: bool = False) -> tuple[dict[str, Any], evaluation.Result]:
        model, about = checkpoint.load(path)
        placed, device = inference.place(model, accelerator)
        run = inference.tiled(placed, about["scale"], cost.radius(costs), settings.tile)
        enlarge = partial(inference.enlarge, inference.self_ensemble(run) if ensemble else run, device=device)
        result = evaluation.evaluate(enlarge, over, about["scale"], crops, settings, network)
        return {"checkpoint": path.stem, "epoch": about["epoch"], **result.means}, result

    valid = {evaluation.VALID: sets[evaluation.VALID]}
    rows = [score(path, valid)[0] for path in sorted(folder.glob("epoch_*.safetensors"))]
    tables = {}
    if settings.self_ensemble:
        row, result = score(folder / "best.safetensors", sets, ensemble=True)
        rows.append({**row, "checkpoint": ENSEMBLE})
        tables[ENSEMBLE] = result.table
    row, final = score(folder / "best.safetensors", sets)
    return [*rows, {**row, **costs}], {**tables, BEST: final.table}, final
