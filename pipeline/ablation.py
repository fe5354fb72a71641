"""Which variants differ in one parameter, and what that one does."""

from collections.abc import Iterator
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from scipy import special

from pipeline import comparison, pairs
from pipeline.config import Train

SAME = ("group", "seed")  # what tells variants of one arm apart


class Arm(NamedTuple):
    """Variants that differ in their seed alone, under the name of their group."""

    name: str
    members: list[str]
    settings: dict[str, Any]


class Ablation(NamedTuple):
    """Two arms that differ in one parameter: a - b paired over pictures and, with several seeds a side, over seeds."""

    parameter: str
    a: Arm
    b: Arm
    paired: pairs.Paired
    pictures: int
    seeds: tuple[float, float] | None

    @property
    def shown(self) -> bool:
        """Whether zero lies outside the interval over seeds, where there is one, and over pictures, where these are not too few.

        With few pictures and several seeds it is shown for these pictures alone; with few and one seed nothing is.
        """
        over = [(self.paired.low, self.paired.high)] if self.pictures >= pairs.FEW else []
        over += [self.seeds] if self.seeds else []
        return bool(over) and (min(low for low, _ in over) > 0 or max(high for _, high in over) < 0)


def arms(study: comparison.Study) -> list[Arm]:
    """One arm a group whose members' settings are equal but for the seed; every other variant is an arm of its own."""
    found: list[Arm] = []
    for name, variant in study.params.models.items():
        train = Train(**{**study.params.train.model_dump(), **variant.train}).model_dump()
        own = variant.model_dump(exclude={*SAME, "train"}) | {f"train.{key}": value for key, value in train.items()}
        settings = {key: tuple(value) if isinstance(value, list) else value for key, value in own.items()}
        label = variant.group or name
        alike = (arm for arm in found if variant.group and (arm.name, arm.settings) == (label, settings))
        if arm := next(alike, None):
            arm.members.append(name)
        else:
            found.append(Arm(label, [name], settings))
    return found


def ablations(study: comparison.Study, score: str) -> Iterator[Ablation]:
    """Every two arms that differ in exactly one parameter, by a score made picture by picture; an arm's is its members' mean."""
    values = comparison.by_picture(study.valid, score)
    for a, b in combinations(arms(study), 2):
        keys = [key for key in a.settings | b.settings if a.settings.get(key) != b.settings.get(key)]
        if len(keys) == 1:
            sides = [values[arm.members].to_numpy() for arm in (a, b)]
            paired = pairs.compare(*(side.mean(axis=1) for side in sides))
            yield Ablation(keys[0], a, b, paired, len(values), _over_seeds(*(side.mean(axis=0) for side in sides)))


def _over_seeds(a: Any, b: Any) -> tuple[float, float] | None:
    """Welch's 95 % interval of the difference of two means (Welch, Biometrika 1947); None below two a side, or where all agree."""
    if min(len(a), len(b)) < 2 or not np.isfinite([*a, *b]).all():
        return None
    difference, (u, v) = float(np.mean(a) - np.mean(b)), (float(np.var(side, ddof=1) / len(side)) for side in (a, b))
    if u + v == 0:
        return None
    freedom = (u + v) ** 2 / (u**2 / (len(a) - 1) + v**2 / (len(b) - 1))
    half = float(special.stdtrit(freedom, (1 + pairs.CONFIDENCE) / 2)) * (u + v) ** 0.5
    return difference - half, difference + half
