"""Stage prepare: HR/LR shards from the fetched pictures, and the data card."""

from pathlib import Path

from pipeline import config, shards
from pipeline.files import write_json
from stages import command


def main(raw: Path, out: Path, card: Path, params: Path = Path("params.yaml")) -> None:
    settings = config.load(params)
    write_json(card, shards.prepare(raw, out, settings.scale, settings.prepare.tile, settings.dataset.model_dump()))


if __name__ == "__main__":
    command.run(main)
