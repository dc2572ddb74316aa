"""Constant fitting and R2 over whole batches of predictions (candidates x examples), compiled by Numba, cached on disk.

Least squares through the normal equations of one or two unknowns. Sums run in row order, so a result does not depend on
how the batch was cut. Rows that are not finite make a candidate's fit impossible: R2 is -inf.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

OFFSET_TOLERANCE = 1e-6
"""An additive constant counts only if every difference lies within this of the mean difference."""

_FITS = {"none": 0, "scale": 1, "offset": 2, "affine": 3}


@njit(cache=True, nogil=True)
def _r2_of(p: npt.NDArray[np.float64], y: npt.NDArray[np.float64], k: float, k2: float, mean: float, total: float) -> float:
    residual = 0.0
    for i in range(y.shape[0]):
        d = y[i] - (k * p[i] + k2)
        residual += d * d
    if not math.isfinite(residual):
        return -np.inf
    if total == 0.0:
        return 1.0 if residual == 0.0 else -np.inf
    return 1.0 - residual / total


@njit(cache=True, nogil=True)
def _scale_of(p: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> float:
    """k of the least-squares fit y = k p; NaN where p is (nearly) zero throughout."""
    top = 0.0
    bottom = 0.0
    for i in range(y.shape[0]):
        top += p[i] * y[i]
        bottom += p[i] * p[i]
    if not (bottom > 1e-12) or not math.isfinite(bottom) or not math.isfinite(top):
        return np.nan
    return top / bottom


@njit(cache=True, nogil=True)
def _offset_of(p: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> float:
    """k of y = p + k; NaN unless every difference is the mean one (a shift, not noise)."""
    total = 0.0
    for i in range(y.shape[0]):
        total += y[i] - p[i]
    k = total / y.shape[0]
    if not math.isfinite(k):
        return np.nan
    for i in range(y.shape[0]):
        if abs((y[i] - p[i]) - k) > OFFSET_TOLERANCE:
            return np.nan
    return k


@njit(cache=True, nogil=True)
def _affine_of(p: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> tuple[float, float]:
    """(k, k2) of the least-squares fit y = k p + k2; NaN where p is constant. Centred, so that large means cost nothing."""
    n = y.shape[0]
    mean_p = 0.0
    mean_y = 0.0
    for i in range(n):
        mean_p += p[i]
        mean_y += y[i]
    mean_p /= n
    mean_y /= n
    top = 0.0
    bottom = 0.0
    for i in range(n):
        top += (p[i] - mean_p) * (y[i] - mean_y)
        bottom += (p[i] - mean_p) * (p[i] - mean_p)
    if not (bottom > 1e-24 * (mean_p * mean_p * n + 1e-300)) or not math.isfinite(bottom) or not math.isfinite(top):
        return np.nan, np.nan
    k = top / bottom
    return k, mean_y - k * mean_p


@njit(cache=True, nogil=True)
def _fit_rows(
    values: npt.NDArray[np.float64],
    y: npt.NDArray[np.float64],
    fit: int,
    r2: npt.NDArray[np.float64],
    k: npt.NDArray[np.float64],
    k2: npt.NDArray[np.float64],
) -> None:
    n = y.shape[0]
    mean = 0.0
    for i in range(n):
        mean += y[i]
    mean /= n
    total = 0.0
    for i in range(n):
        total += (y[i] - mean) * (y[i] - mean)
    for c in range(values.shape[0]):
        p = values[c]
        a, b = 1.0, 0.0
        if fit == 1:
            a = _scale_of(p, y)
        elif fit == 2:
            b = _offset_of(p, y)
        elif fit == 3:
            a, b = _affine_of(p, y)
        k[c] = a
        k2[c] = b
        r2[c] = _r2_of(p, y, a, b, mean, total) if math.isfinite(a) and math.isfinite(b) else -np.inf


def fit_rows(
    values: npt.NDArray[np.float64], y: npt.NDArray[np.float64], fit: str, r2: Any = None, k: Any = None, k2: Any = None
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """(R2, k, k2), each float64 (candidates,), of ``k * values + k2`` against ``y``.

    ``values`` float64 (candidates, examples), ``y`` float64 (examples,), both C-contiguous. ``fit`` is none, scale, offset or
    affine. An impossible fit has R2 -inf and NaN constants. Results go into the arrays given, if any.
    """
    if fit not in _FITS:
        raise ValueError(f"fit must be one of {', '.join(_FITS)}, not {fit!r}")
    n = values.shape[0]
    r2 = np.empty(n) if r2 is None else r2
    k = np.empty(n) if k is None else k
    k2 = np.empty(n) if k2 is None else k2
    _fit_rows(values, y, _FITS[fit], r2, k, k2)
    return r2, k, k2


def fit_scale(produced: npt.NDArray[np.float64], expected: npt.NDArray[np.float64]) -> float:
    """Least-squares scale of one candidate, NaN where there is none."""
    return float(_scale_of(produced, expected))


def fit_offset(produced: npt.NDArray[np.float64], expected: npt.NDArray[np.float64]) -> float:
    """Constant offset of one candidate, NaN where the difference is not constant."""
    return float(_offset_of(produced, expected))


def r2(actual: npt.NDArray[np.float64], predicted: npt.NDArray[np.float64]) -> float:
    """Coefficient of determination; 1.0 if both sums of squares vanish, -inf if only that of the target does."""
    mean = float(actual.mean())
    total = float(np.sum((actual - mean) ** 2))
    return float(_r2_of(predicted, actual, 1.0, 0.0, mean, total))
