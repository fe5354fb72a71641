"""Fréchet distance between two sets of features, without a matrix square root."""

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError


def distance(x: NDArray[np.floating], y: NDArray[np.floating]) -> float:
    """Fréchet distance of the Gaussians fitted to features (n, d) and (m, d), as FID has it (Heusel et al., 2017).

    |mean x - mean y|^2 + tr(Cx) + tr(Cy) - 2 tr((Cx Cy)^(1/2)), with unbiased covariances. With A and B the centred features over
    sqrt(n - 1), the last trace is the nuclear norm of A B^T: exact also where a covariance is singular, and the matrix has
    the size of the samples, not of the features. Raises InputError for fewer than two samples or unequal widths.
    """
    if min(len(x), len(y)) < 2 or x.shape[1:] != y.shape[1:]:
        raise InputError(f"Fréchet distance: expected two samples or more of one width on each side, found {x.shape} and {y.shape}")
    x, y = x.astype(np.float64), y.astype(np.float64)
    shift = x.mean(axis=0) - y.mean(axis=0)
    a, b = ((z - z.mean(axis=0)) / np.sqrt(len(z) - 1) for z in (x, y))
    nuclear = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    return float(shift @ shift + (a * a).sum() + (b * b).sum() - 2 * nuclear)
