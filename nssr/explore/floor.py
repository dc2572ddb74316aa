"""The noise floor: whether what the best formula leaves is anything but noise.

A permutation test (R. A. Fisher, The Design of Experiments, 1935, section 21): no column of a bank explains the errors better
than it explains the same errors in another order. A formula that takes as many bits as the best one cannot be shorter in all
then, so only simpler ones are of interest, and the search ends with those of the bank.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from nssr.explore.chain import Chain
from nssr.explore.front import Front
from nssr.explore.regression import Scorer, Target
from nssr.explore.rows import Rows
from nssr.explore.stages import Counters
from nssr.explore.tree import Tree

Floats = npt.NDArray[np.float64]

SLACK = 100.0
"""Bits by which a column may promise less than the best formula has, and still be written out."""
_SHUFFLES = 24  # all of which must be explained worse: by chance in 4 % of looks at noise
_LEAST_ROWS = 60  # with fewer some column of thousands fits any errors
_LEAST_R2 = 0.9  # larger errors may be a law that nothing has been found of
_LEAST_NODE_BITS = 3.0  # of an operation and a column on average


class NoiseFloor:
    """What is known of the floor, and what bounds it sets; both change when it is looked for, and only then.

    ``seems_reached``: no column that was asked finds anything in the errors. ``reached``: nor does any of a large bank.
    ``most_bits``: what a formula must promise to be of interest. ``most_nodes``: how large a column may be.
    """

    def __init__(self, front: Front, rows: Rows, weights: Floats, seed: int, asks: bool, counters: Counters) -> None:
        """``rows``, ``weights`` (rows,): of the noisy search. ``asks``: False switches the rule off."""
        self._front, self._rows, self._weights, self._seed, self._asks = front, rows, weights, seed, asks
        self._counters = counters
        self._columns: Scorer | None = None
        self.thorough = self.seems_reached = False
        self.most_bits = self.most_nodes = math.inf

    @property
    def reached(self) -> bool:
        return self.seems_reached and self.thorough

    def ask(self, columns: Scorer, thorough: bool) -> None:
        """Errors are shown to these columns from now on; ``thorough``: they are enough to be sure."""
        self._columns, self.thorough = columns, thorough

    def look(self) -> None:
        """Looks at the errors of the formula of least description length.

        The stages between two looks see one bound, so that none depends on what was done beside it.
        """
        for best in self._front.shortest(1):
            self._look(best)

    def _look(self, best: Tree) -> None:
        front, y = self._front, self._rows.y
        self.most_bits = front.bits(best) + 0.5 * len(y) * math.log2(max(front.variance, 1e-300) * len(y)) + SLACK
        r2 = 1.0 - front.losses[best] / max(front.variance, 1e-300)
        self.seems_reached = False
        if self._columns is not None and self._asks and len(y) >= _LEAST_ROWS and r2 >= _LEAST_R2:
            errors = y - self._rows.values([best])[0]
            # Ranks too: a few huge errors hide what all others say.
            ranks = np.argsort(np.argsort(errors)).astype(np.float64)
            self.seems_reached = self._is_noise(errors, self._columns) and self._is_noise(ranks, self._columns)
        self.most_nodes = front.formula_bits(best) / _LEAST_NODE_BITS if self.reached else math.inf
        self._counters.add("noise floor", int(self.reached))

    def _is_noise(self, errors: Floats, columns: Scorer) -> bool:
        rng = np.random.default_rng(self._seed)
        shuffled = [errors, *(rng.permutation(errors) for _ in range(_SHUFFLES))]
        targets = [Target(Chain(e), e, self._weights) for e in shuffled]
        left = columns.errors(targets, np.ones((len(errors), 1))).min(axis=0)
        return bool(left[0] >= left[1:].min())
