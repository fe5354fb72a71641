"""Stage bicubic: plain interpolation, scored as the variants are."""

from functools import partial
from pathlib import Path

from pipeline import config, evaluation, features, resize, shards, testsets
from pipeline.reference import load as load_reference
from stages import command


def main(
    data: Path, reference: Path, sets: Path, scores: Path, curve: Path, results: Path, params: Path = Path("params.yaml")
) -> None:
    settings = config.load(params).evaluate
    tiles, crops, network = shards.load(data), load_reference(reference), features.load(settings.frechet)
    every = {evaluation.VALID: tiles.valid, **testsets.load(sets, settings.sets)}
    result = evaluation.evaluate(partial(resize.upscale, scale=tiles.scale), every, tiles.scale, crops, settings, network)
    rows = [{"checkpoint": "bicubic", **result.means}]
    evaluation.write(rows, {"bicubic": result.table}, result, scores, curve, results)


if __name__ == "__main__":
    command.run(main)
