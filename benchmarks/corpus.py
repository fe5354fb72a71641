"""Real pictures to measure on: the photographs of scikit-image, as often as it takes."""

import os
from pathlib import Path

from pipeline.sources import photos

TRAIN = ["astronaut", "hubble_deep_field", "ihc", "motorcycle_left", "retina"]
VALID = ["chelsea", "coffee", "rocket"]
MPIXEL = 3.74  # of the five training photographs together


def lay(raw: Path, mpixel: float) -> float:
    """Write raw/train_hr and raw/valid_hr with about `mpixel` million training pixels; how many it became."""
    photos.fetch(photos.Config(path=Path(), train=TRAIN, valid=VALID), raw, 4, lambda *_: None)
    copies = max(1, round(mpixel / MPIXEL))
    for path in sorted((raw / "train_hr").iterdir()):
        for copy in range(1, copies):
            os.link(path, path.with_stem(f"{path.stem}_{copy}"))
    return copies * MPIXEL
