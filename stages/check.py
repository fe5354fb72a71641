"""No stage: read all of params.yaml and say what is wrong with it, before any work."""

from pathlib import Path

from pipeline import config
from stages import command


def main(params: Path = Path("params.yaml")) -> None:
    config.load(params)


if __name__ == "__main__":
    command.run(main)
