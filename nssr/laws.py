"""Dreamt laws: random formulas of the shapes that laws have, over random tables, for the formula search to learn from.

A law is a monomial of some columns times functions of others, a sum, a quotient or a function of such. Its columns get ranges of
many kinds. What is drawn depends on the generator alone; a law that is constant, without value on some row, or a plane within
one part in ten thousand is drawn again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nssr.engine.formulas import Columns
from nssr.explore.tree import Tree, add, column, div, formulas, mul, number, size, sub

Floats = npt.NDArray[np.float64]

MOST_COLUMNS = 6
MOST_NODES = 20
"""Larger ones hardly any part of the search finds."""
_EXPONENTS = (1, 1, 1, 1, 1, -1, -1, 2, 2, -2, 3, 0.5, -0.5)
_WHOLE = (2.0, 3.0, 4.0, 0.5, float(np.pi), 2 * float(np.pi))
_LARGEST = 1e8
_PLANE = 1e-4  # of the variance: less than this left by a plane is no law to look for


class Law(NamedTuple):
    """``X`` (rows, columns), ``y`` (rows,): what the tree says of them."""

    tree: Tree
    X: Floats
    y: Floats


def dreamt(rng: np.random.Generator, rows: int, n_columns: int | None = None, most_nodes: int = MOST_NODES) -> Law:
    """One law and ``rows`` rows of it, with 1 to `MOST_COLUMNS` columns, or ``n_columns``; all are in the law."""
    while True:
        k = n_columns or int(rng.integers(1, MOST_COLUMNS + 1))
        X = np.column_stack([_column(rng, rows, k == 1) for _ in range(k)])
        tree = _Writer(rng).law(list(range(k)))
        if size(tree) > most_nodes:
            continue
        y = np.asarray(formulas([tree]).predict(Columns(X, np.zeros(rows)))[0], dtype=np.float64)
        if _is_law(X, y):
            return Law(tree, X, y)


def _is_law(X: Floats, y: Floats) -> bool:
    if not np.isfinite(y).all() or float(np.abs(y).max()) > _LARGEST:
        return False
    variance = float(np.var(y))
    if variance < 1e-6 * float(np.mean(y**2)) or variance < _LARGEST**-2:
        return False
    plane = np.column_stack([np.ones(len(y)), X])
    left = y - plane @ np.linalg.lstsq(plane, y, rcond=None)[0]
    return float(np.var(left)) > _PLANE * variance


def _column(rng: np.random.Generator, rows: int, alone: bool) -> Floats:
    """Measured at random, or step by step where it is the only column; of one sign mostly, wide now and then."""
    low = float(rng.choice((0.1, 0.5, 1.0, 1.0, 2.0, 5.0)))
    span = float(rng.choice((1.0, 2.0, 4.0, 4.0, 10.0)))
    kind = rng.random()
    if alone and kind < 0.5:
        return np.linspace(low, low + span, rows)
    if kind < 0.7:
        return rng.uniform(low, low + span, rows)
    if kind < 0.85:
        return rng.uniform(-span, span, rows)
    return np.asarray(np.exp(rng.uniform(np.log(low), np.log(low * 30), rows)))


class _Writer:
    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def constant(self) -> Tree:
        """A simple number, or one with two or three digits."""
        if self.chance(0.3):
            return number(float(self.rng.choice(_WHOLE)))
        return number(float(f"{np.exp(self.rng.normal(0.0, 0.8)):.{int(self.rng.integers(1, 4))}g}"))

    def scaled(self, tree: Tree, p: float) -> Tree:
        return mul(self.constant(), tree) if self.chance(p) else tree

    def shared(self, columns: Sequence[int], parts: int) -> list[list[int]]:
        """The columns dealt to some parts; where there are too few, some parts get one that another has."""
        dealt = [int(j) for j in self.rng.permutation(columns)]
        shares: list[list[int]] = [[] for _ in range(parts)]
        for place, j in enumerate(dealt):
            shares[place if place < parts else int(self.rng.integers(parts))].append(j)
        for share in shares:
            if not share:
                share.append(int(self.rng.choice(columns)))
        return shares

    def monomial(self, columns: Sequence[int]) -> Tree:
        above: list[Tree] = []
        below: list[Tree] = []
        for j in columns:
            exponent = float(self.rng.choice(_EXPONENTS))
            power = {0.5: "SQRT", 1: None, 2: "SQUARE", 3: "CUBE"}[abs(exponent)]
            factor = column(j) if power is None else Tree(power, (column(j),))
            (above if exponent > 0 else below).append(factor)
        tree = _product(above) if above else number(1.0)
        return div(tree, _product(below)) if below else tree

    def argument(self, columns: Sequence[int]) -> Tree:
        """What stands in a function: a monomial mostly, a difference or a sum of two, with a phase or a scale."""
        if len(columns) >= 2 and self.chance(0.35):
            a, b, *others = columns
            both = (column(a), column(b)) if self.chance(0.7) else (Tree("SQUARE", (column(a),)), Tree("SQUARE", (column(b),)))
            tree = sub(*both) if self.chance(0.6) else add(*both)
            tree = mul(self.monomial(others), tree) if others else tree
        else:
            tree = self.monomial(columns)
        tree = self.scaled(tree, 0.5)
        return add(tree, self.constant()) if self.chance(0.15) else sub(tree, self.constant()) if self.chance(0.1) else tree

    def function(self, columns: Sequence[int]) -> Tree:
        u = self.argument(columns)
        one = number(1.0)
        squared = Tree("SQUARE", (u,))
        power = Tree("EXP", (u if self.chance(0.3) else mul(number(-1.0), u),))
        shapes = (
            power, power, power,
            sub(one, power), add(one, power), div(one, add(Tree("EXP", (u,)), one)), div(one, sub(Tree("EXP", (u,)), one)),
            Tree("EXP", (mul(number(-0.5), squared),)),
            Tree("SIN", (u,)), Tree("SIN", (u,)), Tree("COS", (u,)), Tree("COS", (u,)),
            Tree("SQUARE", (Tree("SIN", (u,)),)), Tree("SQUARE", (Tree("COS", (u,)),)),
            Tree("TANH", (u,)), Tree("LOG", (u,)), Tree("LOG", (add(one, u),)),
            Tree("SQRT", (u,)), Tree("SQRT", (add(one, squared),)), Tree("SQRT", (sub(one, squared),)),
            div(one, add(one, u)), div(one, add(one, squared)), add(one, u), sub(one, u), add(one, squared), sub(one, squared),
            Tree("POW", (u, self.constant())),
            Tree("ASIN", (u,)), Tree("ATAN", (u,)),
        )  # fmt: skip
        return shapes[int(self.rng.integers(len(shapes)))]

    def term(self, columns: Sequence[int]) -> Tree:
        """A monomial, a function, or a product of both; seldom of two functions."""
        kind = self.rng.random()
        if kind < 0.25:
            return self.scaled(self.monomial(columns), 0.5)
        if kind < 0.45:
            return self.scaled(self.function(columns), 0.5)
        if kind < 0.9 or len(columns) < 2:
            before, within = self.shared(columns, 2)
            return self.scaled(mul(self.monomial(before), self.function(within)), 0.5)
        before, within, beside = self.shared(columns, 3)
        return mul(self.monomial(before), mul(self.function(within), self.function(beside)))

    def law(self, columns: Sequence[int]) -> Tree:
        kind = self.rng.random()
        if kind < 0.5:
            return self.term(columns)
        if kind < 0.6:
            return add(self.term(columns), self.constant())
        if kind < 0.75:
            a, b = (self.term(share) for share in self.shared(columns, 2))
            return add(a, b) if self.chance(0.6) else sub(a, b)
        if kind < 0.85:
            a, b = (self.term(share) for share in self.shared(columns, 2))
            return div(a, add(b, self.constant()) if self.chance(0.3) else b)
        if kind < 0.93:
            left, right, factor = self.shared(columns, 3)
            return mul(self.monomial(factor), add(self.term(left), self.term(right)))
        a, b = (self.term(share) for share in self.shared(columns, 2))
        name = ("SQRT", "SQUARE", "LOG", "INV")[int(self.rng.integers(4))]
        return Tree(name, (add(a, b),))


def _product(factors: Sequence[Tree]) -> Tree:
    tree = factors[0]
    for factor in factors[1:]:
        tree = mul(tree, factor)
    return tree


__all__ = ["MOST_COLUMNS", "Law", "dreamt"]
