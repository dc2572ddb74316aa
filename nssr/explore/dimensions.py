"""Dimensional analysis: which formulas cannot be laws, whatever their numbers are, and which columns no law is made of.

A number of a formula may carry any unit (a law may hold constants of nature in its coefficients), so what depends on a number by
a factor is of unknown dimension, and unknown fits everything. What is left is hard: lengths are not added to times, a sine is not
taken of seconds, and the result has the target's dimension. A formula that needs no such number is `clean`.

The structural numbers of a bank, as in 1 + x or 2 pi x, carry none, so each of its columns has a dimension or is pruned.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from nssr.explore.problem import Dimension
from nssr.explore.tree import Tree
from nssr.notation import COLUMN, NUMBER

_POWERS = {"SQUARE": Fraction(2), "CUBE": Fraction(3), "SQRT": Fraction(1, 2), "INV": Fraction(-1)}


class Impossible(Exception):
    """The tree adds, compares or transforms what has no common dimension."""


def dimension(tree: Tree, columns: Sequence[Dimension], plain_numbers: bool = False) -> Dimension | None:
    """Its dimension, or None where a number decides it; with ``plain_numbers`` those carry no unit. Raises `Impossible`."""
    none = tuple(Fraction(0) for _ in columns[0])
    if tree.op == COLUMN:
        return columns[int(tree.value)]
    if tree.op == NUMBER:
        return none if plain_numbers else None
    args = [dimension(arg, columns, plain_numbers) for arg in tree.args]
    if tree.op == "PI":
        return none
    if tree.op in ("ADD", "SUB", "MIN", "MAX"):
        known = [d for d in args if d is not None]
        if len(known) == 2 and known[0] != known[1]:
            raise Impossible
        # x + 1 is of x's dimension: the number takes it.
        return known[0] if known else None
    if tree.op in ("MUL", "DIV"):
        a, b = args
        if a is None or b is None:
            return None
        sign = 1 if tree.op == "MUL" else -1
        return tuple(x + sign * y for x, y in zip(a, b, strict=True))
    if tree.op in ("NEG", "ABS"):
        return args[0]
    if tree.op in _POWERS:
        return None if args[0] is None else tuple(x * _POWERS[tree.op] for x in args[0])
    if tree.op == "POW":
        exponent = tree.args[1]
        if args[1] is not None and args[1] != none:
            raise Impossible
        if args[0] is None:
            return None
        if exponent.op == NUMBER:
            return tuple(x * Fraction(exponent.value).limit_denominator(60) for x in args[0])
        if args[0] != none:
            raise Impossible
        return none
    if any(d is not None and d != none for d in args):  # a transcendental function
        raise Impossible
    return none


def fits(tree: Tree, columns: Sequence[Dimension], target: Dimension) -> bool:
    """Whether the tree can have the target's dimension."""
    try:
        found = dimension(tree, columns)
    except Impossible:
        return False
    return found is None or found == target


def clean(tree: Tree, columns: Sequence[Dimension], target: Dimension) -> bool:
    """Whether the tree has the target's dimension with numbers that carry no unit."""
    try:
        return dimension(tree, columns, plain_numbers=True) == target
    except Impossible:
        return False


Exponents = npt.NDArray[np.float64]


def combined(op: str, a: Exponents, b: Exponents | None) -> tuple[Exponents, npt.NDArray[np.bool_]]:
    """The exponents (n, bases) of ``op`` over columns of those exponents, and which of the n are possible; as `dimension`."""
    everything = np.ones(len(a), dtype=np.bool_)
    plain = np.logical_not(a.any(axis=1))
    if b is not None:
        if op in ("MUL", "DIV"):
            return (a + b if op == "MUL" else a - b), everything
        if op == "POW":
            return np.zeros_like(a), np.logical_and(plain, ~b.any(axis=1))
        return a, np.asarray(np.isclose(a, b).all(axis=1), dtype=np.bool_)
    if op in ("NEG", "ABS"):
        return a, everything
    if op in _POWERS:
        return a * float(_POWERS[op]), everything
    return np.zeros_like(a), plain
