"""Stage sets: test sets beside the validation pictures; adding one never retrains."""

from pathlib import Path

from pipeline import config, testsets
from stages import command


def main(out: Path, params: Path = Path("params.yaml")) -> None:
    settings = config.load(params)
    testsets.collect(settings.evaluate.sets_path, settings.evaluate.sets, settings.scale, out)


if __name__ == "__main__":
    command.run(main)
