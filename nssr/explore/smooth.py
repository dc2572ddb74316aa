"""What a smooth surrogate says about a law: columns that matter only by their difference, their sum, or as a distance.

Where f(a, b, ...) = g(a - b, ...), df/da + df/db = 0 everywhere; AI-Feynman looks for this symmetry with a neural network
(S. Udrescu and M. Tegmark, Science Advances 6, 2020). Where f(a, b, ...) = g(a^2 + b^2, ...), f is the same after a rotation of
(a, b): b df/da = a df/db. Here a Gaussian process with one length scale for each column stands in for
f (C. Rasmussen and C. Williams, Gaussian Processes for Machine Learning, 2006, chapter 5): 200 rows take some 0.2 s, and its
gradient is a matrix product. What it says is a hint to look there first; the search verifies on every row. Not every search comes
here, so libraries that take a while to load are imported where they are used.
"""

from __future__ import annotations

import itertools
import warnings
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

MOST_ROWS, MOST_COLUMNS = 200, 12
LEAST_ROWS = 30
_LENGTHS = (0.2, 100.0)  # in deviations of a column
_NOISE = (1e-8, 1.0)
_EVIDENT, _HINT = 0.05, 0.1
"""Of `Pair.left`. A product of two columns that vary by a factor of five is a sum but for 0.12."""
_BEST, _AHEAD = 0.25, 3.0
"""Where no pair leaves so little, the best one is a hint if the next one leaves three times as much."""
_ALONE = 2
_ROUND = 0.1
"""Of `distances`. Of 206 problems of the suites 13 have two columns that leave less; 10 of these hold a sum of squares."""


class Pair(NamedTuple):
    """``left``: the share of the two columns' slopes that would be zero if only ``a + sign b`` mattered."""

    left: float
    a: int
    b: int
    sign: int


class Slopes(NamedTuple):
    """``gradient`` (rows, columns) of what goes through the table, at the rows ``X`` (rows, columns)."""

    X: Floats
    gradient: Floats


def slopes(X: Floats, y: Floats) -> Slopes | None:
    """The gradient of a Gaussian process through ``X`` (rows, columns) and ``y`` (rows,), at `MOST_ROWS` rows at most; None where
    there are too few rows, or too many columns, or one is constant."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    rows = np.linspace(0, len(y) - 1, min(MOST_ROWS, len(y))).astype(int)
    X, y = X[rows], y[rows]
    deviation = X.std(axis=0)
    if len(y) < LEAST_ROWS or not 2 <= X.shape[1] <= MOST_COLUMNS or not (deviation > 0).all() or not y.std() > 0:
        return None
    Z, t = (X - X.mean(axis=0)) / deviation, (y - y.mean()) / y.std()
    kernel = ConstantKernel(1.0) * RBF(np.ones(X.shape[1]), _LENGTHS) + WhiteKernel(1e-4, _NOISE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a length at its bound says that the column does not matter
        process = GaussianProcessRegressor(kernel).fit(Z, t)
    smooth = process.kernel_.k1
    lengths = smooth.k2.length_scale
    weighted = smooth(Z) * process.alpha_
    # d/dz_j of sum_i alpha_i k(z, z_i) is sum_i alpha_i k(z, z_i) (z_ij - z_j) / l_j^2
    inner = weighted @ Z - weighted.sum(axis=1)[:, None] * Z
    return Slopes(X, np.asarray(inner / lengths**2 / deviation * y.std()))


def flatter(y: Floats) -> Floats:
    """sqrt(|y|) with y's sign, which has the same symmetries: products and peaks are easier for a surrogate."""
    return np.asarray(np.sign(y) * np.sqrt(np.abs(y)))


def pairs(law: Slopes) -> list[Pair]:
    """Every two columns, as a difference and as a sum, the most evident first."""
    gradient = law.gradient
    size = (gradient**2).mean(axis=0)
    found = []
    for a, b in itertools.combinations(range(gradient.shape[1]), 2):
        both = float(size[a] + size[b])
        if both > 0:
            for sign in (-1, 1):
                left = float(((gradient[:, a] - sign * gradient[:, b]) ** 2).mean()) / both
                found.append(Pair(left, a, b, sign))
    return sorted(found)


def likely(law: Slopes) -> list[tuple[Pair, ...]]:
    """Which pairs to put in the place of their columns, the best first: several that are evident at once, then one alone."""
    found = pairs(law)
    hints = [pair for pair in found if pair.left < _HINT]
    if not hints and len(found) > 1 and found[0].left < min(_BEST, found[1].left / _AHEAD):
        hints = found[:1]
    together: list[Pair] = []
    for pair in hints:
        if pair.left < _EVIDENT and not any({pair.a, pair.b} & {p.a, p.b} for p in together):
            together.append(pair)
    choices = [tuple(together)] if len(together) > 1 else []
    return [*choices, *((pair,) for pair in hints[:_ALONE])]


def distances(law: Slopes) -> list[tuple[int, ...]]:
    """Columns, two or more, that matter only by the root of the sum of their squares: sets that have none in common."""
    from scipy.sparse.csgraph import connected_components

    X, gradient = law
    n = X.shape[1]
    alike = np.zeros((n, n), dtype=bool)
    for a, b in itertools.combinations(range(n), 2):
        along, across = X[:, b] * gradient[:, a], X[:, a] * gradient[:, b]
        alike[a, b] = ((along - across) ** 2).sum() < _ROUND * ((along**2).sum() + (across**2).sum())
    count, label = connected_components(alike, directed=False)
    return [tuple(np.flatnonzero(label == k).tolist()) for k in range(count) if (label == k).sum() > 1]
