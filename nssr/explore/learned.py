"""Functions of a library as columns: what one task found, the next one uses like an input."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from nssr.explore.problem import Learned
from nssr.explore.tree import Tree, column, with_columns

_MOST = 400
"""Calls over all functions and choices of columns; functions of few arguments first."""


def calls(functions: Sequence[Learned], n_columns: int) -> list[Tree]:
    """Every function over every choice of different columns, `_MOST` at most."""
    found: list[Tree] = []
    for function in sorted(functions, key=lambda f: f.arity):
        for chosen in itertools.permutations(range(n_columns), function.arity):
            if len(found) >= _MOST:
                return found
            found.append(with_columns(function.body, {i: column(j) for i, j in enumerate(chosen)}))
    return list(dict.fromkeys(found))
