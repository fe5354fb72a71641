"""Stage reference: the fixed validation crops and the features of their HR side, once for all variants."""

from pathlib import Path

from pipeline import config, evaluation, shards
from stages import command


def main(data: Path, out: Path, params: Path = Path("params.yaml")) -> None:
    settings = config.load(params)
    reference = evaluation.reference(shards.load(data), settings.evaluate, settings.seed)
    evaluation.save_reference(out, reference)


if __name__ == "__main__":
    command.run(main)
