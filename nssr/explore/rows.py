"""The rows of a problem: all of them, and the few on which the bank is grown."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from nssr.engine.formulas import Columns
from nssr.explore.tree import Tree, formulas

Floats = npt.NDArray[np.float64]

EXACT = 1e-7
"""A formula is exact where no row is farther off than this share of the target's median absolute deviation (rounding in the
data's own arithmetic allowed for): a cancellation that loses y, or one huge row, cannot pass for a fit."""


class Rows:
    """``X`` (rows, columns), ``y`` (rows,) of the work; ``few``: the bank's row numbers, the others verify."""

    def __init__(self, X: Floats, y: Floats, n_few: int, seed: int) -> None:
        self.X, self.y = X, y
        n = len(y)
        order = np.random.default_rng(seed).permutation(n)
        self.few = np.sort(order[: min(n_few, n)])
        self.rest = np.sort(order[min(n_few, n) :])
        self._columns = Columns(X, y)
        self.mad = float(np.median(np.abs(y - np.median(y))))
        self.scale = self.mad if self.mad > 0 else float(np.std(y)) or abs(float(y[0])) or 1.0

    @property
    def n(self) -> int:
        return len(self.y)

    def values(self, trees: Sequence[Tree]) -> Floats:
        """(trees, rows); rows without a value are not finite."""
        if not trees:
            return np.empty((0, self.n))
        values: Floats = formulas(trees).predict(self._columns).astype(np.float64, copy=False)
        return values

    @cached_property
    def nonzero(self) -> list[int]:
        """The columns that vary and are zero on no row: those whose logarithms can be taken."""
        return [j for j in range(self.X.shape[1]) if (self.X[:, j] != 0).all() and float(np.ptp(self.X[:, j])) > 0]

    @cached_property
    def logs(self) -> Floats:
        """(rows, len(nonzero)): logarithms of the sizes of those columns."""
        logs: Floats = np.log(np.abs(self.X[:, self.nonzero]))
        return logs

    def holding(self, trees: Sequence[Tree]) -> list[Tree]:
        """Those of the trees that hold on every row."""
        if not trees:
            return []
        return [tree for tree, holds in zip(trees, self.exact(self.values(trees)), strict=True) if holds]

    def exact(self, values: Floats) -> npt.NDArray[np.bool_]:
        """Which of the predictions (n, rows) hold on every row."""
        with np.errstate(all="ignore"):
            off = np.abs(values - self.y)
            bound = np.minimum(EXACT * self.scale, 1e-6 * np.abs(self.y) + 1e-9 * self.scale) + 1e-13 * np.abs(self.y).max()
            return np.asarray((off <= np.maximum(bound, 1e-12 * np.abs(self.y))).all(axis=1))
