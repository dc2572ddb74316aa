"""Look-up of linear relations: which column w makes t a combination of w and of a few known columns S?

t = a w + sum of b_j s_j holds exactly when the parts of t and w that are orthogonal to every s_j are parallel. Four random
directions orthogonal to S turn a column into four numbers, and those into two angles that neither a scale nor anything in
the span of S changes. Equal angles are found by bisection in a sorted table: one question for all columns at once, where
fitting each of them would be a least-squares problem each.

With S = {1} it finds affine relations; on logarithms with S = {1, log|x_j|} monomials times a power of a column. With t itself
added to S, two columns with equal angles are a pair whose combination is t: all pairs of a bank in one sort.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

TOLERANCE = 1e-9  # of an angle; a bank of 10**5 columns has about one chance pair so close, and the second angle rules it out
_RELATED = 1e-6  # of angles without the target: columns so near each other explain each other
_IN_SPAN = 1e-10  # a column whose orthogonal part is smaller than this share of it lies in the span of S


class Projection:
    """Four directions orthogonal to the columns of ``basis``, float64 (rows, k)."""

    def __init__(self, basis: Floats, seed: int) -> None:
        rows, k = basis.shape
        scaled = basis / np.maximum(np.abs(basis).max(axis=0), 1e-300)
        left, singular, _ = np.linalg.svd(scaled, full_matrices=False)
        self.q = left[:, singular > 1e-11 * singular[0]] if k else np.empty((rows, 0))
        z = np.random.default_rng(seed).normal(size=(rows, 4))
        for _ in range(2):  # twice: once leaves a part of the rounding error in the span
            z = z - self.q @ (self.q.T @ z)
        self.u = z / np.linalg.norm(z, axis=0)
        self.room = rows - self.q.shape[1]

    def angles(self, columns: Floats) -> tuple[Floats, Floats, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Two angles (n,) of columns (n, rows); which are good; which lie in the span of S."""
        return angles(columns @ self.u, norms(columns))


def norms(columns: Floats) -> Floats:
    """(n,) of columns (n, rows)."""
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", columns, columns)))


def angles(p: Floats, norm: Floats) -> tuple[Floats, Floats, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Two angles (n,) of columns whose products with four directions are ``p`` (n, 4); which are good; which lie in the span."""
    first, second = np.hypot(p[:, 0], p[:, 1]), np.hypot(p[:, 2], p[:, 3])
    finite = np.isfinite(norm)
    clear = np.minimum(first, second) > _IN_SPAN * norm
    a = np.arctan(p[:, 0] / p[:, 1])
    b = np.arctan(p[:, 2] / p[:, 3])
    good = finite & clear & np.isfinite(a) & np.isfinite(b)
    return a, b, good, finite & ~clear & (norm > 0)


class Table:
    """The angles of columns, sorted. ``ids`` in order of preference: of equivalent columns the first stays."""

    def __init__(self, projection: Projection, columns: Floats, ids: Indices) -> None:
        with np.errstate(all="ignore"):
            self.norms = norms(columns)  # of all, by place
            a, b, good, _ = angles(columns @ projection.u, self.norms)
        places = np.flatnonzero(good)
        order = places[np.argsort(a[places], kind="stable")]
        self.a, self.b, self.place = a[order], b[order], order
        # Equivalent columns lie side by side; of each run the one that came first is kept.
        if len(order):
            same = (np.diff(self.a) < 1e-11) & (np.abs(np.diff(self.b)) < 1e-11)
            group = np.concatenate([[0], np.cumsum(~same)])
            first = np.full(int(group[-1]) + 1, len(ids), dtype=np.int64)
            np.minimum.at(first, group, order)
            keep = first[group] == order
            self.a, self.b, self.place = self.a[keep], self.b[keep], order[keep]
        self.ids = ids[self.place]

    @cached_property
    def preferred(self) -> tuple[Indices, Floats]:
        """The places (n,) in order of preference, and the angles (n, 2) there."""
        order = np.argsort(self.place)
        return self.place[order], np.column_stack([self.a, self.b])[order]

    def __len__(self) -> int:
        return len(self.ids)

    def probe(self, a: Floats, b: Floats, good: npt.NDArray[np.bool_], width: int = 2) -> tuple[Indices, Indices]:
        """Which of the given angles are in the table: (index of the question, id of the column) each."""
        if not len(self.ids):
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
        asked = np.flatnonzero(good)
        at = np.searchsorted(self.a, a[asked] - TOLERANCE)
        questions, found = [], []
        for step in range(width):
            place = at + step
            inside = place < len(self.a)
            place = np.where(inside, place, 0)
            hit = inside & (np.abs(self.a[place] - a[asked]) <= TOLERANCE) & (np.abs(self.b[place] - b[asked]) <= TOLERANCE)
            questions.append(asked[hit])
            found.append(self.ids[place[hit]])
        return np.concatenate(questions), np.concatenate(found)


def matched_pairs(p: Floats, norm: Floats, own: Floats, ids: Indices, limit: int) -> list[tuple[int, int]]:
    """Pairs of ids with equal angles, the ones that come first in ``ids`` first. ``p`` and ``norm`` as in `angles`.

    ``own`` (n, 2): the columns' angles without the target. Where these are near each other too, the columns are related among
    themselves (tanh(exp(x)), which is hardly less than 1, and its square) and say nothing of the target.
    """
    with np.errstate(all="ignore"):
        a, b, good, _ = angles(p, norm)
    order = np.flatnonzero(good)
    order = order[np.argsort(a[order], kind="stable")]
    pairs: list[tuple[int, int]] = []
    for step in (1, 2, 3):
        if len(order) <= step:
            break
        close = (a[order[step:]] - a[order[:-step]] <= TOLERANCE) & (np.abs(b[order[step:]] - b[order[:-step]]) <= TOLERANCE)
        close &= (np.abs(own[order[step:]] - own[order[:-step]]) > _RELATED).any(axis=1)
        for k in np.flatnonzero(close)[: 50 * limit]:
            i, j = sorted((int(order[k]), int(order[k + step])))
            pairs.append((i, j))
    pairs.sort(key=lambda p: p[0] + p[1])
    return [(int(ids[i]), int(ids[j])) for i, j in pairs[:limit]]
