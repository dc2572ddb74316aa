"""Columns that are but factors: y = x0^2 / x1 g(x2, x3, ...), as estimates of exponents tell.

log|y| is regressed on the columns' logarithms, their squares and products. A column that is a factor, and only that, has an
exponent near a half of an integer and nothing to do with squares and products, while log g keeps what the rest explains of it.
The estimates are only estimates: what they promise is searched for and proved by whoever asks.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from nssr.explore.rows import Rows

_CERTAIN = 0.3  # standard error of an exponent: beyond it any half is near
_HALVES = 0.06  # the same: beyond it only whole exponents can be told apart
_ERRORS = 3.0  # standard errors that an estimate may be off
_CURVED = 4.0  # standard errors that squares and products may be from zero


def factors(rows: Rows) -> Iterator[dict[int, Fraction]]:
    """Exponents by column: all that may be factors, then without one of them, the most doubtful first, then without more."""
    places = rows.nonzero
    with np.errstate(all="ignore"):
        target = np.log(np.abs(rows.y))
    logs = rows.logs - rows.logs.mean(axis=0)
    i, j = np.triu_indices(len(places))
    design = np.column_stack([np.ones(rows.n), logs, logs[:, i] * logs[:, j]])
    spare = rows.n - design.shape[1]
    if not places or spare < rows.n // 3 or not np.isfinite(target).all():
        return
    q, r = np.linalg.qr(design)
    if np.abs(np.diag(r)).min() < 1e-9 * np.abs(np.diag(r)).max():
        return  # columns that follow each other
    inverse = np.linalg.inv(r)
    estimates = inverse @ (q.T @ target)
    variance = float(((target - design @ estimates) ** 2).sum()) / spare
    errors = np.sqrt(variance * (inverse**2).sum(axis=1)) + 1e-9
    found: list[tuple[float, int, Fraction]] = []
    for k, place in enumerate(places):
        steps = 2 if errors[1 + k] < _HALVES else 1
        exponent = Fraction(round(steps * float(estimates[1 + k])), steps)
        off = abs(float(estimates[1 + k]) - float(exponent)) / errors[1 + k]
        curved = np.abs(estimates / errors)[len(places) + 1 :][(i == k) | (j == k)].max()
        if exponent and errors[1 + k] < _CERTAIN and off < _ERRORS and curved < _CURVED:
            found.append((float(off / _ERRORS + curved / _CURVED), place, exponent))
    found.sort()
    certain = [(place, exponent) for _, place, exponent in found]
    n = len(certain)
    without_one = [certain[:k] + certain[k + 1 :] for k in range(n - 1, -1, -1)]
    without_more = [certain[:most] for most in range(n - 2, 0, -1)]
    yield from (dict(some) for some in (certain, *without_one, *without_more) if some)
