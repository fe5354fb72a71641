"""Stage bicubic: plain interpolation, scored as the variants are."""

from functools import partial
from pathlib import Path

from pipeline import config, evaluation, features, perceptual, reference, resize, shards, testsets
from stages import command


def main(data: Path, crops: Path, sets: Path, scores: Path, curve: Path, results: Path, params: Path = Path("params.yaml")) -> None:
    settings = config.load(params).evaluate
    tiles, network, lpips = shards.load(data), features.load(settings.frechet), perceptual.load(settings.lpips)
    how = evaluation.How(settings, reference.load(crops), network, lpips, keep=partial(evaluation.keep, results))
    every = {evaluation.VALID: tiles.valid, **testsets.load(sets, settings.sets)}
    result = evaluation.evaluate(partial(resize.upscale, scale=tiles.scale), every, tiles.scale, how)
    evaluation.write([{"checkpoint": "bicubic", **result.means}], {"bicubic": result}, scores, curve, results)


if __name__ == "__main__":
    command.run(main)
