"""Functions with a constant inside: f(c m) for simple m and a grid of c, a first guess for Levenberg-Marquardt.

Planck's 1/(exp(c x) - 1), damped and shifted oscillations, saturations: the constant cannot be read off by least squares, but
its loss has a wide valley for most of them, so a geometric grid, two points an octave, falls into it.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import numpy.typing as npt

from nssr.explore.bank import Bank
from nssr.explore.tree import not_whole

GRID = tuple(float(c) for c in 1.07 * 2.0 ** np.arange(-3, 3.6, 0.5))
"""Scales of the argument's median: the valleys of exp and tanh are octaves wide. None is an integer, since
those are not fitted."""
_COLUMNS = 10  # for each argument and scale, at most


def parametric(
    bank: Bank, arguments: npt.NDArray[np.int64], operations: Collection[str], limit: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Adds sin, cos, tanh and exp of c m, exp(c m) + 1, exp(c m) - 1, 1 + c m, 1 - c m, log(1 + c m); ``limit`` columns at most.

    Returns the new columns and for each the number of its group: those that differ in c alone.
    """
    if "MUL" not in operations:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    size = np.median(np.abs(bank.values[arguments]), axis=1)
    usable = (size > 1e-6) & (size < 1e6)
    arguments, size = (part[usable][: max(1, limit // (len(GRID) * _COLUMNS))] for part in (arguments, size))
    one = bank.constant(1.0)
    octave = 2.0 ** -np.round(np.log2(size))  # few different numbers, so that the bank holds few columns for them
    found: list[npt.NDArray[np.int64]] = []
    groups: list[npt.NDArray[np.int64]] = []
    places = np.arange(len(arguments))
    nothing = np.full(len(arguments), -1, dtype=np.int64)

    def apply(op: str, kind: int, left: npt.NDArray[np.int64], right: npt.NDArray[np.int64] | None) -> npt.NDArray[np.int64]:
        result = nothing.copy()
        usable = left >= 0 if right is None else (left >= 0) & (right >= 0)
        if op in operations and usable.any():
            result[usable] = bank.extend(op, left[usable], None if right is None else right[usable])
            if kind >= 0:
                found.append(result)
                groups.append(places * _COLUMNS + kind)
        return result

    ones = np.full(len(arguments), one)
    for c in GRID:
        factors = np.array(
            [bank.constant(not_whole(float(f"{k:.6g}"))) for k in (c * octave).tolist()],
            dtype=np.int64,
        )
        scaled = apply("MUL", -1, factors, arguments)
        shifted = apply("ADD", 0, scaled, ones)
        apply("SUB", 1, ones, scaled)
        apply("LOG", 2, shifted, None)
        apply("TANH", 3, scaled, None)
        apply("SIN", 5, scaled, None)
        apply("COS", 6, scaled, None)
        values = apply("EXP", 7, scaled, None)
        apply("ADD", 8, values, ones)
        apply("SUB", 9, values, ones)
    if not found:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    ids, group = np.concatenate(found), np.concatenate(groups)
    known = ids >= 0
    ids, first = np.unique(ids[known], return_index=True)
    return ids, group[known][first]
