"""Stage reference: the fixed validation crops and the features of their HR side, once for all variants."""

from pathlib import Path

from pipeline import config, reference, shards
from stages import command


def main(data: Path, out: Path, params: Path = Path("params.yaml")) -> None:
    settings = config.load(params)
    reference.save(out, reference.make(shards.load(data, settings.scale), settings.evaluate, settings.seed))


if __name__ == "__main__":
    command.run(main)
