"""The colour photographs that come inside scikit-image's wheel: no download, free licences."""

from importlib.resources import files
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from pipeline import pictures
from pipeline.download import Show
from pipeline.sections import Section, reject

# Picture and file; motorcycle_right is left out, a near duplicate of motorcycle_left.
FILES = {
    "astronaut": "astronaut.png",
    "chelsea": "chelsea.png",
    "coffee": "coffee.png",
    "hubble_deep_field": "hubble_deep_field.jpg",
    "ihc": "ihc.png",
    "motorcycle_left": "motorcycle_left.png",
    "retina": "retina.jpg",
    "rocket": "rocket.jpg",
}


class Config(Section):
    """Which pictures train and which validate. The split is fixed: a picture stands on one side only. `path` is not read."""

    path: Path
    train: Annotated[list[str], Field(min_length=1)]
    valid: Annotated[list[str], Field(min_length=1)]

    @model_validator(mode="after")
    def known_and_apart(self) -> Self:
        for side in ("train", "valid"):
            for name in getattr(self, side):
                if name not in FILES:
                    raise reject(f"{side}: found {name!r}; allowed: {', '.join(FILES)}")
        every = [*self.train, *self.valid]
        if twice := sorted({name for name in every if every.count(name) > 1}):
            raise reject(f"train: {', '.join(twice)} named more than once in train and valid; a picture stands on one side only")
        return self


def fetch(config: Config, out: Path, scale: int, show: Show) -> None:
    """Write the pictures as out/train_hr/<name>.png and out/valid_hr/<name>.png."""
    folder = Path(str(files("skimage.data")))
    for side, names in (("train", config.train), ("valid", config.valid)):
        for name in names:
            pictures.write(out / f"{side}_hr" / f"{name}.png", pictures.read(folder / FILES[name]))
