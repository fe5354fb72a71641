"""Stage evaluate: every saved checkpoint of a variant scored; pictures and test sets are those of the best one."""

from functools import partial
from pathlib import Path

from pipeline import config, evaluation, features, perceptual, reference, shards, sharing, testsets, trained
from pipeline.files import write_json
from stages import command, machine


def main(
    data: Path,
    crops: Path,
    sets: Path,
    checkpoints: Path,
    scores: Path,
    curve: Path,
    results: Path,
    params: Path = Path("params.yaml"),
    accelerator: machine.Accelerator = "auto",
    devices: machine.Devices = 1,
    nodes: machine.Nodes = 1,
) -> None:
    settings = config.load(params).evaluate
    fabric = machine.launch(accelerator, devices, nodes)
    network, lpips = features.load(settings.frechet), perceptual.load(settings.lpips)
    keep = partial(evaluation.keep, results)
    how = evaluation.How(settings, reference.load(crops), network, lpips, sharing.among(fabric), keep)
    every = {evaluation.VALID: shards.load(data).valid, **testsets.load(sets, settings.sets)}
    rows, found, levels = trained.evaluate(checkpoints, every, how, fabric.device)
    if fabric.is_global_zero:
        evaluation.write(rows, found, scores, curve, results)
        write_json(results / "structure.json", levels)


if __name__ == "__main__":
    command.run(main)
