"""Two variants on the same pictures: by how much they differ, how sure that is, and who wins how often."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special  # scipy.stats takes a second to import

CONFIDENCE, RESAMPLES, SEED = 0.95, 10_000, 0
FEW = 6  # pictures, below which the bootstrap is too sure of itself, and a sign test shows nothing at 5 %


class Paired(NamedTuple):
    """a - b over pictures: the mean, its bootstrap interval, how many pictures each wins, and the sign test's p-value."""

    difference: float
    low: float
    high: float
    wins: int
    losses: int
    p_value: float

    @property
    def shown(self) -> bool:
        """Whether the interval leaves zero out."""
        return self.low > 0 or self.high < 0


def compare(a: NDArray[np.float64], b: NDArray[np.float64]) -> Paired:
    """Scores (n,) of two variants on the same n pictures.

    The interval is the percentile bootstrap of the mean difference over pictures (Efron, 1979), from fixed seeds; for one picture
    it is unbounded. The sign test is exact and two-sided; ties are left out. Pictures that both score infinite differ by 0,
    and the mean of infinities of both signs is 0, too, with no bounds.
    """
    with np.errstate(invalid="ignore"):
        difference = np.where(a == b, 0.0, a - b)
    wins, losses = int((difference > 0).sum()), int((difference < 0).sum())
    p_value = min(1.0, 2 * float(special.bdtr(min(wins, losses), wins + losses, 0.5)))
    low, high = -np.inf, np.inf
    if len(difference) > 1 and np.isfinite(difference).all():
        rng = np.random.Generator(np.random.Philox(SEED))
        means = rng.choice(difference, (RESAMPLES, len(difference))).mean(axis=1)
        low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    mean = 0.0 if {np.inf, -np.inf} <= set(difference) else float(difference.mean())
    return Paired(mean, float(low), float(high), wins, losses, p_value)
