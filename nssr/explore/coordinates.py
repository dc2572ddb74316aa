"""Columns as coordinates: how far a place is from the origin, where a law depends on that alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from nssr.explore.tree import Tree, add, column

LENGTH = frozenset(("ADD", "SQUARE", "SQRT"))
"""The operations that a length is written with."""
SPACES = (2, 3)
"""So many columns, if they are all there are, may be coordinates of one place; no hint is needed to ask."""


def length(columns: Sequence[int]) -> Tree:
    """The root of the sum of the columns' squares."""
    return Tree("SQRT", (reduce(add, [Tree("SQUARE", (column(j),)) for j in columns]),))
