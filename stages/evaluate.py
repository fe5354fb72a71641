"""Stage evaluate: every saved checkpoint of a variant scored; pictures and test sets are those of the best one."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline import config, evaluation, features, shards, testsets, trained
from pipeline.reference import load as load_reference
from stages import command


def main(
    data: Path,
    reference: Path,
    sets: Path,
    checkpoints: Path,
    scores: Path,
    curve: Path,
    results: Path,
    params: Path = Path("params.yaml"),
    accelerator: Annotated[str, typer.Option(envvar="SR_ACCELERATOR")] = "auto",
) -> None:
    settings = config.load(params).evaluate
    crops, network = load_reference(reference), features.load(settings.frechet)
    every = {evaluation.VALID: shards.load(data).valid, **testsets.load(sets, settings.sets)}
    rows, tables, final = trained.evaluate(checkpoints, every, crops, settings, network, accelerator)
    evaluation.write(rows, tables, final, scores, curve, results)


if __name__ == "__main__":
    command.run(main)
