"""Score a trained variant: each of its checkpoints, and the best one on the test sets, and as an ensemble, too."""

from functools import partial
from pathlib import Path
from typing import Any

import torch

from pipeline import checkpoint, cost, evaluation, inference, structure

BEST, ENSEMBLE = "best", "best+"


def evaluate(
    folder: Path, sets: evaluation.Sets, how: evaluation.How, device: torch.device
) -> tuple[list[dict[str, Any]], dict[str, evaluation.Result], list[structure.Level]]:
    """A row of means per checkpoint, the best one's last, and its results (as ENSEMBLE, where asked for, and as BEST),
    and what the model is made of.

    Other checkpoints are scored on the validation pictures alone; the SR pictures that `how` keeps are the best one's.
    """
    model, about = checkpoint.load(folder / "best.safetensors")
    costs = cost.of(about["arch"], about["config"], about["scale"])

    def score(model: torch.nn.Module, over: evaluation.Sets, by: evaluation.How, ensemble: bool = False) -> evaluation.Result:
        run = inference.tiled(model.to(device), about["scale"], cost.radius(costs), how.settings.tile)
        enlarge = partial(inference.enlarge, inference.self_ensemble(run) if ensemble else run, device=device)
        return evaluation.evaluate(enlarge, over, about["scale"], by)

    blind, valid = how._replace(keep=evaluation.nowhere), {evaluation.VALID: sets[evaluation.VALID]}
    best, rows, found = score(model, sets, how), [], {}
    for path in sorted(folder.glob("epoch_*.safetensors"), key=lambda path: int(path.stem.split("_")[1])):
        other, its = checkpoint.load(path)
        means = best.means if its["epoch"] == about["epoch"] else score(other, valid, blind).means
        rows.append({"checkpoint": path.stem, "epoch": its["epoch"], **means})
    if how.settings.self_ensemble:
        found[ENSEMBLE] = score(model, sets, blind, ensemble=True)
        rows.append({"checkpoint": ENSEMBLE, "epoch": about["epoch"], **found[ENSEMBLE].means})
    rows.append({"checkpoint": BEST, "epoch": about["epoch"], **best.means, **costs})
    return rows, {**found, BEST: best}, structure.of(about["arch"], about["config"], about["scale"])
