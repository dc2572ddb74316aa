"""Sums of few columns with noise: a beam of supports, grown by what explains most of what is left.

Greedy pursuit over thousands of correlated columns is trapped by its first choice, so several supports grow side by side, over a
few hundred simple columns.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

BEAM, MOST_TERMS = 10, 5


def supports(target: Floats, weights: Floats, dictionary: Floats) -> list[tuple[int, ...]]:
    """The best sets of columns of each size from 2 to `MOST_TERMS`: target and weights (rows,), dictionary (columns, rows)."""
    root = np.sqrt(weights)
    a = dictionary * root
    size = np.sqrt((a * a).sum(axis=1, keepdims=True))
    usable = np.isfinite(size[:, 0]) & (size[:, 0] > 0)
    a = np.where(usable[:, None], a / np.where(usable[:, None], size, 1.0), 0.0)
    t = root * target

    def extended(several: Sequence[tuple[int, ...]], count: int) -> list[list[tuple[float, tuple[int, ...]]]]:
        """For each of the supports, all of one size, the ``count`` best with one more column, and the squares that they leave.

        One product of matrices for all: the columns are read once.
        """
        n, k = len(several), len(several[0])
        q = np.concatenate([np.linalg.qr(a[list(chosen)].T)[0] for chosen in several], axis=1) if k else np.empty((len(t), 0))
        rests = [t - part @ (part.T @ t) for part in np.split(q, n, axis=1)]
        products = a @ np.column_stack([q, *rests])
        own = 1.0 - np.square(products[:, : n * k]).reshape(len(a), n, k).sum(axis=2)
        with np.errstate(all="ignore"):
            gain = np.where((own > 1e-8) & usable[:, None], products[:, n * k :] ** 2 / own, 0.0)
        found = []
        for chosen, rest, gains in zip(several, rests, gain.T, strict=True):
            best = np.argpartition(-gains, count - 1)[:count] if count < len(gains) else np.arange(len(gains))
            best = best[np.argsort(-gains[best], kind="stable")]
            left = float(rest @ rest)
            found.append([(left - float(gains[c]), tuple(sorted((*chosen, c)))) for c in best.tolist() if c not in chosen])
        return found

    def exchanged(left: float, chosen: tuple[int, ...]) -> tuple[float, tuple[int, ...]]:
        """The support after exchanging one column at a time for a better one, until none is."""
        for _ in range(4):
            without = [tuple(c for c in chosen if c != gone) for gone in chosen]
            better = min((one for found in extended(without, 1) for one in found), default=(left, chosen))
            if better[0] >= left * (1 - 1e-9):
                break
            left, chosen = better
        return left, chosen

    beam: list[tuple[int, ...]] = [()]
    best: list[tuple[int, ...]] = []
    for terms in range(1, MOST_TERMS + 1):
        children = {chosen: left for found in extended(beam, BEAM) for left, chosen in found}
        ranked = sorted(children, key=lambda c: (children[c], c))[:BEAM]
        if terms >= 2:
            better = list(dict.fromkeys(chosen for _, chosen in sorted(exchanged(children[c], c) for c in ranked[:3])))
            best += better
            ranked = list(dict.fromkeys([*better, *ranked]))
        beam = ranked[:BEAM]
    return best
