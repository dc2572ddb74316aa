"""What quotients and roots are asked in: the columns, or with one of them, or the difference of two, inside a function.

c cos(a - b) + d, (cos t - v) / (1 - v cos t) or k exp(x) / (1 + k exp(x)) are quotients of polynomials in such variables. All of
a problem's columns stay in, so this is complete for laws with one such function and small degrees, without growing anything.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from nssr.explore.bank import apply
from nssr.explore.chain import Chain, possible
from nssr.explore.rows import Rows
from nssr.explore.tree import Tree, column, sub

Floats = npt.NDArray[np.float64]
Variables = list[tuple[Tree, Floats]]

_INSIDE = ("COS", "SIN", "EXP")
_OUTSIDE = ("identity", "square", "cos", "sin", "tan", "exp", "log")
FEW = ("identity", "square", "cos", "exp")


def targets(rows: Rows, operations: Collection[str], names: Sequence[str] = _OUTSIDE) -> list[Chain]:
    """What of y may be a quotient: y, its square, its cosine where y may be an arc cosine, ..."""
    start = Chain(rows.y)
    chains = [start.transformed(name) for name in names if possible((name,), operations)]
    return [chain for chain in chains if np.isfinite(chain.values).all() and float(np.ptp(chain.values)) > 0]


def substituted(rows: Rows, operations: Collection[str]) -> Iterator[Variables]:
    """The columns, one after the other in each function, then two as their difference in one."""
    columns: Variables = [(column(j), rows.X[:, j]) for j in range(rows.X.shape[1])]
    for op in _INSIDE:
        for j, (tree, values) in enumerate(columns):
            if op in operations and (inside := _of(op, tree, values)) is not None:
                yield [*columns[:j], inside, *columns[j + 1 :]]
    if "SUB" not in operations:
        return
    for op in _INSIDE:
        for (i, (a, u)), (j, (b, v)) in itertools.combinations(enumerate(columns), 2):
            if op in operations and (inside := _of(op, sub(a, b), u - v)) is not None:
                yield [*(c for k, c in enumerate(columns) if k not in (i, j)), inside]


def _of(op: str, tree: Tree, values: Floats) -> tuple[Tree, Floats] | None:
    with np.errstate(all="ignore"):
        result = apply(op, values)
        usable = np.isfinite(result).all() and float(np.ptp(result)) > 0 and float(np.abs(result).max()) < 1e12
    return (Tree(op, (tree,)), result) if usable else None
