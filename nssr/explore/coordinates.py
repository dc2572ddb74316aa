"""Columns as coordinates: how far a place is from the origin, where a law depends on that alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np
import numpy.typing as npt

from nssr.explore.tree import Tree, add, column

LENGTH = frozenset(("ADD", "SQUARE", "SQRT"))
"""The operations that a length is written with."""
SPACES = (2, 3)
"""So many columns, if they are all there are, may be coordinates of one place; no hint is needed to ask."""
_FOLLOWS = 0.1


def length(columns: Sequence[int]) -> Tree:
    """The root of the sum of the columns' squares."""
    return Tree("SQRT", (reduce(add, [Tree("SQUARE", (column(j),)) for j in columns]),))


def follows(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> bool:
    """Whether ``y`` (rows,) seems to be a function of ``x`` (rows,) but for a tenth of its variance.

    The rank version of von Neumann's ratio (R. Bartels, Journal of the American Statistical Association 77, 1982), of y in the
    order of x: ranks of neighbours differ little where y follows x; the ratio is 1 where it does not.
    """
    ranks = np.argsort(np.argsort(y, kind="stable"))
    steps = np.diff(ranks[np.argsort(x, kind="stable")])
    return bool((steps**2).mean() < _FOLLOWS * 2 * ranks.var())
