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
_RETURNED = 6  # of every size: what is a little longer may be the law


def supports(target: Floats, weights: Floats, dictionary: Floats, bits: Floats) -> list[tuple[int, ...]]:
    """The best sets of columns of each size from 2 to `MOST_TERMS`, but no more than rows or columns: target and weights (rows,),
    dictionary (columns, rows).

    Best in bits: those of the squares that are left, and ``bits`` (columns,) to write each. x tanh(x) follows noise a little
    better than x.
    """
    root = np.sqrt(weights)
    a = dictionary * root
    size = np.sqrt((a * a).sum(axis=1, keepdims=True))
    usable = np.isfinite(size[:, 0]) & (size[:, 0] > 0)
    a = np.where(usable[:, None], a / np.where(usable[:, None], size, 1.0), 0.0)
    t = root * target
    # As a factor of the squares that are left, n / 2 log2 of which are bits.
    price = 2.0 ** (2.0 * bits / len(t))

    def extended(several: Sequence[tuple[int, ...]], count: int) -> list[list[tuple[float, tuple[int, ...]]]]:
        """For each of the supports, all of one size, the ``count`` best with one more column, and their priced squares.

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
            left = np.maximum(float(rest @ rest) - gains, 0.0) * price
            left[list(chosen)] = np.inf
            best = np.argpartition(left, count - 1)[:count] if count < len(left) else np.arange(len(left))
            best = best[np.argsort(left[best], kind="stable")]
            paid = float(np.prod(price[list(chosen)]))
            found.append([(paid * float(left[c]), tuple(sorted((*chosen, c)))) for c in best.tolist() if c not in chosen])
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
    for terms in range(1, min(MOST_TERMS, *a.shape) + 1):
        children = {chosen: left for found in extended(beam, BEAM) for left, chosen in found}
        ranked = sorted(children, key=lambda c: (children[c], c))[:BEAM]
        if terms >= 2:
            better = list(dict.fromkeys(chosen for _, chosen in sorted(exchanged(children[c], c) for c in ranked[:3])))
            ranked = list(dict.fromkeys([*better, *ranked]))
            best += ranked[:_RETURNED]
        beam = ranked[:BEAM]
    return best
