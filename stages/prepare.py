"""Stage prepare: HR/LR shards from the fetched pictures, and the data card."""

from pathlib import Path

from pipeline import config, preparation
from pipeline.files import write_json
from stages import command


def main(raw: Path, out: Path, card: Path, params: Path = Path("params.yaml")) -> None:
    settings = config.load(params)
    how, dataset = settings.prepare, settings.dataset.model_dump(mode="json")
    write_json(card, preparation.prepare(raw, out, settings.scale, how.tile, how.lr, dataset, small=how.small))


if __name__ == "__main__":
    command.run(main)
