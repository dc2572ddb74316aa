"""What a smooth surrogate says about a law: two columns that matter only by their difference, or only by their sum.

Where f(a, b, ...) = g(a - b, ...), df/da + df/db = 0 everywhere; AI-Feynman looks for this symmetry with a neural network
(S. Udrescu and M. Tegmark, Science Advances 6, 2020). Here a Gaussian process with one length scale for each column stands in for
f (C. Rasmussen and C. Williams, Gaussian Processes for Machine Learning, 2006, chapter 5): 200 rows take some 0.2 s, and its
gradient is a matrix product. What it says is a hint to look there first; the search verifies on every row.
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


class Pair(NamedTuple):
    """``left``: the share of the two columns' slopes that would be zero if only ``a + sign b`` mattered."""

    left: float
    a: int
    b: int
    sign: int


def slopes(X: Floats, y: Floats) -> Floats | None:
    """The gradient (rows, columns) of a Gaussian process through ``X`` (rows, columns) and ``y`` (rows,), at `MOST_ROWS` rows at
    most; None where there are too few rows, or too many columns, or one is constant."""
    # Not every search comes here, and these take 0.05 s.
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
    return np.asarray(inner / lengths**2 / deviation * y.std())


def pairs(X: Floats, y: Floats) -> list[Pair]:
    """Every two columns, as a difference and as a sum, the most evident first.

    The surrogate is of sqrt(|y|) with y's sign, which has the same pairs: products and peaks are flatter in it.
    """
    gradient = slopes(X, np.sign(y) * np.sqrt(np.abs(y)))
    if gradient is None:
        return []
    size = (gradient**2).mean(axis=0)
    found = []
    for a, b in itertools.combinations(range(X.shape[1]), 2):
        both = float(size[a] + size[b])
        if both > 0:
            for sign in (-1, 1):
                left = float(((gradient[:, a] - sign * gradient[:, b]) ** 2).mean()) / both
                found.append(Pair(left, a, b, sign))
    return sorted(found)


def likely(X: Floats, y: Floats) -> list[tuple[Pair, ...]]:
    """Which pairs to put in the place of their columns, the best first: several that are evident at once, then one alone."""
    found = pairs(X, y)
    hints = [pair for pair in found if pair.left < _HINT]
    if not hints and len(found) > 1 and found[0].left < min(_BEST, found[1].left / _AHEAD):
        hints = found[:1]
    together: list[Pair] = []
    for pair in hints:
        if pair.left < _EVIDENT and not any({pair.a, pair.b} & {p.a, p.b} for p in together):
            together.append(pair)
    choices = [tuple(together)] if len(together) > 1 else []
    return [*choices, *((pair,) for pair in hints[:_ALONE])]
