"""Stage bicubic: the benchmark's own interpolation, scored like a variant; the row that every table starts with."""

from functools import partial
from pathlib import Path

from pipeline import config, evaluation, features, resize, shards
from pipeline.reference import load as load_reference
from stages import command


def main(data: Path, reference: Path, scores: Path, curve: Path, results: Path, params: Path = Path("params.yaml")) -> None:
    settings = config.load(params).evaluate
    tiles, crops, network = shards.load(data), load_reference(reference), features.load(settings.frechet)
    enlarge = partial(resize.upscale, scale=tiles.scale)
    result = evaluation.evaluate(enlarge, tiles, crops, settings.metrics, network)
    evaluation.write([{"checkpoint": "bicubic", **result.means}], result, scores, curve, results)


if __name__ == "__main__":
    command.run(main)
