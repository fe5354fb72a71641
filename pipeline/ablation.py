"""Which variants differ in one parameter, and what that one does."""

from collections.abc import Iterator
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from pipeline import comparison, pairs

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
    found: dict[tuple[str, str], Arm] = {}
    for name, variant in study.params.models.items():
        own = variant.model_dump(exclude={*SAME, "train"}) | {f"train.{key}": value for key, value in variant.train.items()}
        shared = {f"train.{key}": value for key, value in study.params.train.model_dump().items()}
        settings = shared | own
        label = variant.group or name
        arm = found.setdefault((label, repr(sorted(settings.items()))), Arm(label, [], settings))
        arm.members.append(name)
    return list(found.values())


def ablations(study: comparison.Study, score: str) -> Iterator[Ablation]:
    """Every two arms that differ in exactly one parameter, by a score made picture by picture; an arm's is its members' mean."""
    valid = study.images[study.images["set"] == "valid"]
    values = valid.pivot(index="image", columns="variant", values=score) * (-1 if score == comparison.LPIPS else 1)
    for a, b in combinations(arms(study), 2):
        keys = [key for key in a.settings | b.settings if a.settings.get(key) != b.settings.get(key)]
        if len(keys) == 1:
            sides = [values[arm.members].to_numpy() for arm in (a, b)]
            paired = pairs.compare(*(side.mean(axis=1) for side in sides))
            yield Ablation(keys[0], a, b, paired, len(values), _over_seeds(*(side.mean(axis=0) for side in sides)))


def _over_seeds(a: Any, b: Any) -> tuple[float, float] | None:
    """Welch's 95 % interval of the difference of two means (Welch, Biometrika 1947); None below two seeds a side."""
    if min(len(a), len(b)) < 2 or not np.isfinite([*a, *b]).all():
        return None
    if np.ptp(a) == np.ptp(b) == 0:
        return float(a[0] - b[0]), float(a[0] - b[0])
    interval = stats.ttest_ind(a, b, equal_var=False).confidence_interval(pairs.CONFIDENCE)
    return float(interval.low), float(interval.high)
