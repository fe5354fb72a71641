"""Stage fetch: the pictures of the data source, as data/raw/{train,valid}/<name>.png."""

from pathlib import Path

from pipeline import config, registry
from stages import command


def main(out: Path, params: Path = Path("params.yaml")) -> None:
    dataset = config.load(params).dataset
    source = registry.load("sources", dataset.source)
    source.fetch(source.Config(**dataset.rest), out)


if __name__ == "__main__":
    command.run(main)
