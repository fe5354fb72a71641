"""Stage evaluate: score every saved checkpoint of a variant; the best one gives the pictures and the final row."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from pipeline import checkpoint, config, evaluation, features, inference, shards
from pipeline.reference import load as load_reference
from stages import command


def main(
    data: Path,
    reference: Path,
    checkpoints: Path,
    scores: Path,
    curve: Path,
    results: Path,
    params: Path = Path("params.yaml"),
    accelerator: Annotated[str, typer.Option(envvar="SR_ACCELERATOR")] = "auto",
) -> None:
    settings = config.load(params).evaluate
    tiles, crops, network = shards.load(data), load_reference(reference), features.load(settings.frechet)
    done: dict[int, evaluation.Result] = {}
    rows = []
    for path in [*sorted(checkpoints.glob("epoch_*.safetensors")), checkpoints / "best.safetensors"]:
        model, about = checkpoint.load(path)
        epoch = about["epoch"]
        if epoch not in done:
            enlarge = partial(inference.enlarge, inference.place(model, accelerator))
            done[epoch] = evaluation.evaluate(enlarge, tiles, crops, settings.metrics, network)
        rows.append({"checkpoint": path.stem, "epoch": epoch, **done[epoch].means})
    evaluation.write(rows, done[epoch], scores, curve, results)


if __name__ == "__main__":
    command.run(main)
