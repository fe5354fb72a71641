"""Distances between two sets of features: Fréchet, without a matrix square root, and KID."""

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError

Features = NDArray[np.floating]
SUBSETS, LARGEST = 100, 1000  # KID's, as published


def distance(x: Features, y: Features) -> float:
    """Fréchet distance of the Gaussians fitted to features (n, d) and (m, d), as FID has it (Heusel et al., 2017).

    |mean x - mean y|^2 + tr(Cx) + tr(Cy) - 2 tr((Cx Cy)^(1/2)), with unbiased covariances. With A and B the centred features over
    sqrt(n - 1), the last trace is the nuclear norm of A B^T: exact also where a covariance is singular. More samples than features
    are first replaced by the triangle of their QR decomposition, which has the same covariance, so that no matrix is larger than d
    and none is squared. Raises InputError for fewer than two samples or unequal widths.
    """
    x, y = _checked(x, y)
    shift = x.mean(axis=0) - y.mean(axis=0)
    a, b = (_triangle((z - z.mean(axis=0)) / np.sqrt(len(z) - 1)) for z in (x, y))
    nuclear = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    return float(shift @ shift + (a * a).sum() + (b * b).sum() - 2 * nuclear)


def kernel_distance(x: Features, y: Features) -> tuple[float, float]:
    """KID: the squared maximum mean discrepancy of the kernel (x y / d + 1)^3, unbiased; its mean and deviation over subsets.

    Binkowski et al., Demystifying MMD GANs, 2018: 100 subsets of 1000; of fewer samples, of half of them. Fixed seeds. Raises
    InputError for fewer than four samples or unequal widths.
    """
    x, y = _checked(x, y)
    size = min(LARGEST, len(x) // 2, len(y) // 2)
    if size < 2:
        raise InputError(f"KID: expected four samples or more on each side, found {len(x)} and {len(y)}")
    rng = np.random.Generator(np.random.Philox(0))
    values = []
    for _ in range(SUBSETS):
        a, b = (z[rng.choice(len(z), size, replace=False)] for z in (x, y))
        aa, bb, ab = ((p @ q.T / p.shape[1] + 1) ** 3 for p, q in ((a, a), (b, b), (a, b)))
        within = sum((k.sum() - np.trace(k)) / (size * (size - 1)) for k in (aa, bb))
        values.append(within - 2 * ab.mean())
    return float(np.mean(values)), float(np.std(values))


def interval(x: Features, y: Features, resamples: int = 20) -> tuple[float, float]:
    """2.5 and 97.5 % of the Fréchet distances of random halves of both sets, from fixed seeds.

    Halves have a larger bias than the whole, so the interval's place is not the whole's; its width tells how much the choice of
    samples moves it.
    """
    rng = np.random.Generator(np.random.Philox(1))
    halves = [[z[rng.choice(len(z), max(2, len(z) // 2), replace=False)] for z in (x, y)] for _ in range(resamples)]
    low, high = np.quantile([distance(*half) for half in halves], [0.025, 0.975])
    return float(low), float(high)


def _checked(x: Features, y: Features) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if min(len(x), len(y)) < 2 or x.shape[1:] != y.shape[1:]:
        raise InputError(f"Fréchet distance: expected two samples or more of one width on each side, found {x.shape} and {y.shape}")
    return x.astype(np.float64), y.astype(np.float64)


def _triangle(a: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.linalg.qr(a, mode="r")) if len(a) > a.shape[1] else a
