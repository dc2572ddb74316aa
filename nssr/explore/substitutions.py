"""What quotients and roots are asked in: the columns, or with one of them, or the difference of two, inside a function.

c cos(a - b) + d, (cos t - v) / (1 - v cos t) or k exp(x) / (1 + k exp(x)) are quotients of polynomials in such variables, and
E cos t (r - d^3 / r^2) is one after a division by such a function. All of a problem's columns stay in, so this is complete for
laws with one such function and small degrees, without growing anything.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from nssr.explore.bank import apply
from nssr.explore.chain import Chain, possible
from nssr.explore.polynomials import Variable, inputs
from nssr.explore.rows import Rows
from nssr.explore.tree import Tree, sub

Floats = npt.NDArray[np.float64]

_INSIDE = ("COS", "SIN", "EXP")
_OUTSIDE = ("identity", "square", "cos", "sin", "tan", "exp", "log")
FEW = ("identity", "square", "cos", "exp")


def targets(rows: Rows, operations: Collection[str], names: Sequence[str] = _OUTSIDE) -> list[Chain]:
    """What of y may be a quotient: y, its square, its cosine where y may be an arc cosine, ..."""
    start = Chain(rows.y)
    chains = [start.transformed(name) for name in names if possible((name,), operations)]
    return [chain for chain in chains if chain.usable]


def divided(rows: Rows, operations: Collection[str]) -> Iterator[Chain]:
    """y without a factor that is a function of one column or of the difference of two."""
    if "MUL" in operations:
        for (tree, values), _ in _functions(rows, operations):
            if (values != 0).all():
                yield Chain(rows.y).combined("t/v", values, tree)


def substituted(rows: Rows, operations: Collection[str]) -> Iterator[list[Variable]]:
    """The columns, one after the other in each function, then two as their difference in one."""
    columns = inputs(rows)
    for inside, gone in _functions(rows, operations):
        yield [*(one for j, one in enumerate(columns) if j not in gone), inside]


def _functions(rows: Rows, operations: Collection[str]) -> Iterator[tuple[Variable, tuple[int, ...]]]:
    """Functions of one column, then of the difference of two, each with the columns that are inside."""
    columns = inputs(rows)
    arguments: list[tuple[Variable, tuple[int, ...]]] = [(one, (j,)) for j, one in enumerate(columns)]
    if "SUB" in operations:
        for (i, (a, u)), (j, (b, v)) in itertools.combinations(enumerate(columns), 2):
            arguments.append(((sub(a, b), u - v), (i, j)))
    for op in _INSIDE:
        for (tree, values), gone in arguments:
            if op in operations and (inside := _of(op, tree, values)) is not None:
                yield inside, gone


def _of(op: str, tree: Tree, values: Floats) -> Variable | None:
    with np.errstate(all="ignore"):
        result = apply(op, values)
        usable = np.isfinite(result).all() and float(np.ptp(result)) > 0 and float(np.abs(result).max()) < 1e12
    return (Tree(op, (tree,)), result) if usable else None
