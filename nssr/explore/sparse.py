"""Sums of few columns with noise: a beam of supports, grown by what explains most of what is left.

Greedy pursuit over thousands of correlated columns is trapped by its first choice, so several supports grow side by side, over a
few hundred simple columns.
"""

from __future__ import annotations

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

    def extended(chosen: tuple[int, ...], count: int) -> list[tuple[float, tuple[int, ...]]]:
        """The ``count`` best supports with one more column, and the squares that they leave."""
        q = np.linalg.qr(a[list(chosen)].T)[0] if chosen else np.empty((len(t), 0))
        rest = t - q @ (q.T @ t)
        inside = a @ q
        own = 1.0 - (inside * inside).sum(axis=1)
        with np.errstate(all="ignore"):
            gain = np.where((own > 1e-8) & usable, (a @ rest) ** 2 / own, 0.0)
        left = float(rest @ rest)
        best = np.argsort(-gain, kind="stable")[:count].tolist()
        return [(left - float(gain[k]), tuple(sorted((*chosen, k)))) for k in best if k not in chosen]

    def exchanged(left: float, chosen: tuple[int, ...]) -> tuple[float, tuple[int, ...]]:
        """The support after exchanging one column at a time for a better one, until none is."""
        for _ in range(4):
            better = min((one for k in chosen for one in extended(tuple(c for c in chosen if c != k), 1)), default=(left, chosen))
            if better[0] >= left * (1 - 1e-9):
                break
            left, chosen = better
        return left, chosen

    beam: list[tuple[int, ...]] = [()]
    best: list[tuple[int, ...]] = []
    for terms in range(1, MOST_TERMS + 1):
        children = {chosen: left for one in beam for left, chosen in extended(one, BEAM)}
        ranked = sorted(children, key=lambda c: (children[c], c))[:BEAM]
        if terms >= 2:
            better = sorted({exchanged(children[c], c) for c in ranked[:3]})
            best += [chosen for _, chosen in better]
            ranked = list(dict.fromkeys([*(chosen for _, chosen in better), *ranked]))
        beam = ranked[:BEAM]
    return best
