"""Exact sums of several columns: orthogonal pursuit, for many targets at once.

The column that explains most of what is left is taken again and again (orthogonal least squares: Chen, Billings and Luo, 1989).
Among thousands of columns that follow each other the first ones taken are often wrong. But where the target is a sum exactly,
nothing is left as soon as the right ones are among those taken, and the wrong ones then get the coefficient zero.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nssr.explore.regression import least_squares

Floats = npt.NDArray[np.float64]

_NOTHING = 1e-9  # of the target's length
_INSIDE = 1e-7  # of a column's squared length: less of it is outside what was taken already
_UNUSED = 1e-7  # of the target's length


def pursued(targets: Floats, library: Floats, basis: Floats, most: int) -> list[tuple[int, list[int]]]:
    """For each target that at most ``most`` steps explain to rounding, its place and the columns that it needs.

    ``targets`` (n, rows), ``library`` (columns, rows), ``basis`` (rows, k): what every sum may hold beside. All finite.
    """
    q = np.linalg.qr(basis / np.abs(basis).max(axis=0))[0]
    columns = library - (library @ q) @ q.T
    length, whole = np.linalg.norm(columns, axis=1), np.linalg.norm(library, axis=1)
    usable = length > np.sqrt(_INSIDE) * whole
    columns = columns / np.where(usable, length, 1.0)[:, None]
    rest = targets - (targets @ q) @ q.T
    size = np.linalg.norm(rest, axis=1)
    open_ = np.flatnonzero(size > _NOTHING * np.linalg.norm(targets, axis=1))
    taken = np.empty((len(targets), most), dtype=np.int64)
    directions = np.zeros((len(targets), most, targets.shape[1]))
    inside = np.where(usable, 0.0, 1.0)[None].repeat(len(targets), axis=0)  # squared, of every column
    found = []
    for step in range(most):
        left = 1.0 - inside[open_]
        with np.errstate(all="ignore"):
            gain = np.where(left > _INSIDE, (rest[open_] @ columns.T) ** 2 / left, 0.0)
        best = gain.argmax(axis=1)
        new = columns[best].copy()
        for _ in range(2):  # the second time for what rounding left
            new -= np.einsum("tk,tkr->tr", np.einsum("tkr,tr->tk", directions[open_, :step], new), directions[open_, :step])
        new /= np.linalg.norm(new, axis=1, keepdims=True)
        taken[open_, step], directions[open_, step] = best, new
        inside[open_] += (new @ columns.T) ** 2
        rest[open_] -= np.einsum("tr,tr->t", rest[open_], new)[:, None] * new
        nothing = np.linalg.norm(rest[open_], axis=1) < _NOTHING * size[open_]
        found += [(int(t), taken[t, : step + 1].tolist()) for t in open_[nothing]]
        open_ = open_[~nothing]
        if not len(open_):
            break
    return [(t, needed) for t, chosen in found if (needed := _needed(targets[t], library, basis, chosen))]


def _needed(target: Floats, library: Floats, basis: Floats, chosen: list[int]) -> list[int]:
    coefficients = least_squares(np.column_stack([library[chosen].T, basis]), target)
    if coefficients is None:
        return []
    parts = np.abs(coefficients[: len(chosen)]) * np.abs(library[chosen]).max(axis=1)
    return [c for c, part in zip(chosen, parts.tolist(), strict=True) if part > _UNUSED * float(np.abs(target).max())]
