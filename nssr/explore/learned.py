"""Functions of a library as columns: what one task found, the next one uses like an input."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from nssr.explore.problem import Learned
from nssr.explore.tree import Tree, column
from nssr.notation import COLUMN

_MOST = 400
"""Calls over all functions and choices of columns; functions of few arguments first."""


def substituted(body: Tree, args: Sequence[Tree]) -> Tree:
    """The body with its arguments (COLUMN i is argument i) replaced."""
    if body.op == COLUMN:
        return args[int(body.value)]
    return Tree(body.op, tuple(substituted(arg, args) for arg in body.args), body.value)


def calls(functions: Sequence[Learned], n_columns: int) -> list[Tree]:
    """Every function over every choice of different columns, `_MOST` at most."""
    found: list[Tree] = []
    for function in sorted(functions, key=lambda f: f.arity):
        for chosen in itertools.permutations(range(n_columns), function.arity):
            if len(found) >= _MOST:
                return found
            found.append(substituted(function.body, [column(j) for j in chosen]))
    return list(dict.fromkeys(found))
