"""Stage fetch: the pictures of the data source, as data/raw/{train,valid}/<name>.png."""

from pathlib import Path

from pipeline import config, registry
from stages import command, progress


def main(out: Path, params: Path = Path("params.yaml")) -> None:
    settings = config.load(params)
    source = registry.load("sources", settings.dataset.source)
    source.fetch(source.Config(**settings.dataset.rest), out, settings.scale, progress.downloads())


if __name__ == "__main__":
    command.run(main)
