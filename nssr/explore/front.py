"""The front: formulas found so far by complexity and loss, and the one to return by description length.

Description length (J. Rissanen, Automatica 14, 1978): bits for the formula plus bits for the errors that it leaves,
n/2 log2(mean squared error). A number costs by its digits, a small integer little. Below the resolution of the data no
error counts, so among exact formulas the shortest wins.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from nssr.engine.formulas import Columns
from nssr.explore.dimensions import clean, fits
from nssr.explore.problem import Problem
from nssr.explore.tree import Tree, columns, formulas, numbers, operations, size
from nssr.explore.writing import respelled
from nssr.notation import COLUMN, NUMBER

Floats = npt.NDArray[np.float64]

RESOLUTION = 1e-10
"""Errors below this share of the target's standard deviation are taken for rounding."""


def number_bits(value: float) -> float:
    """Bits to write a number: a small integer is cheap, a simple fraction is two, else each significant digit costs log2(10)."""
    value = abs(float(value))
    if not math.isfinite(value):
        return 1e6
    if value.is_integer() and value < 16:
        return 1.0 + math.log2(1.0 + value)
    digits = len(repr(value).partition("e")[0].replace(".", "").strip("0"))  # the shortest that give this float again
    bits = 2.0 + math.log2(10.0) * digits
    for q in (2, 3, 4, 5, 6, 8) if value < 16 else ():
        p = round(value * q)
        if 0 < p < 16 and p / q == value:
            return min(bits, 1.0 + math.log2(1.0 + p) + math.log2(1.0 + q))
    return bits


OPERATION_BITS = {
    **dict.fromkeys(("ADD", "SUB", "MUL", "DIV"), 2.5),
    **dict.fromkeys(("SQUARE", "NEG", "INV"), 3.0),
    **dict.fromkeys(("SQRT", "CUBE"), 4.0),
    **dict.fromkeys(("EXP", "LOG", "SIN", "COS", "POW"), 5.5),
}
"""How rare an operation is in laws, -log2 of its share; rarer ones than these cost `RARE_BITS`. A guide knows better."""
RARE_BITS = 7.0
_SIMPLE_BITS = 8.0
"""A number of more bits was fitted; simpler ones are structure."""
REMEMBERED = 10_000
"""Formulas that a front remembers at least, the shortest and the best of each size; a long search would fill the memory else."""
UNIT_BITS = 25.0
"""For a formula whose numbers must carry units: more than two numbers of three digits, so it has to say a lot more."""


def formula_bits(tree: Tree, column_bits: float, costs: Mapping[str, float]) -> float:
    """Bits to write a tree; ``costs``: of operations, where a guide has an opinion."""
    if tree.op == COLUMN:
        return column_bits
    if tree.op == NUMBER:
        return 2.0 + number_bits(tree.value)
    own = costs.get(tree.op, OPERATION_BITS.get(tree.op, RARE_BITS))
    return own + sum(formula_bits(arg, column_bits, costs) for arg in tree.args)


def nested(tree: Tree, limits: Mapping[str, Mapping[str, int]]) -> bool:
    """Whether the tree keeps to the limits of nesting."""

    def deepest(node: Tree, op: str) -> int:
        below = max((deepest(arg, op) for arg in node.args), default=0)
        return below + (node.op == op)

    def visit(node: Tree) -> bool:
        for inner, most in limits.get(node.op, {}).items():
            if max((deepest(arg, inner) for arg in node.args), default=0) > most:
                return False
        return all(visit(arg) for arg in node.args)

    return visit(tree)


class Front:
    """Formulas admitted with their losses on the given rows; the best per complexity."""

    def __init__(self, problem: Problem, X: Floats, y: Floats, weights: Floats | None) -> None:
        self.problem = problem
        self.X, self.y = X, y
        self.weights = np.ones(len(y)) if weights is None else weights
        self.weights = self.weights / self.weights.mean()
        self.variance = float(np.average((y - np.average(y, weights=self.weights)) ** 2, weights=self.weights))
        self.most_fitted = max(1, (len(y) - 2) // 2)  # six rows are no evidence for five numbers
        self.column_bits = 2.0 + math.log2(X.shape[1])
        self.floor = max((RESOLUTION**2) * self.variance, 1e-300)
        self._data = Columns(X, y)
        self.losses: dict[Tree, float] = {}
        self._bits: dict[Tree, float] = {}  # of the formulas alone: they are compared again and again
        self.best: dict[int, tuple[float, Tree]] = {}

    def allowed(self, tree: Tree) -> bool:
        p = self.problem
        if p.max_complexity is not None and size(tree) > p.max_complexity:
            return False
        if sum(number_bits(value) > _SIMPLE_BITS for value in numbers(tree)) > self.most_fitted:
            return False
        if p.dimensions is not None and not fits(tree, *p.dimensions):
            return False
        if not p.required <= columns(tree) or not nested(tree, p.nesting):
            return False
        return operations(tree) <= p.operations | {"PI"}

    def admit(self, trees: Iterable[Tree]) -> None:
        """Evaluates the trees on the rows and keeps those that are allowed, finite and best of their size.

        What was admitted before may be forgotten; what is admitted here is known until the next call.
        """
        self._forget()
        spelled = (respelled(t, self.problem.operations) for t in trees)
        fresh = [t for t in dict.fromkeys(spelled) if t not in self.losses and self.allowed(t)]
        for at in range(0, len(fresh), 512):
            part = fresh[at : at + 512]
            with np.errstate(all="ignore"):
                values = formulas(part).predict(self._data)
                losses = ((values - self.y) ** 2 * self.weights).mean(axis=1)
            for tree, loss in zip(part, losses.tolist(), strict=True):
                self.losses[tree] = loss
                if not math.isfinite(loss):
                    continue
                n = size(tree)
                if n not in self.best or self.key(loss, tree) < self.key(*self.best[n]):
                    self.best[n] = (loss, tree)

    def _forget(self) -> None:
        if len(self.losses) > 2 * REMEMBERED:
            kept = {*self.shortest(REMEMBERED), *(tree for _, tree in self.best.values())}
            self.losses = {tree: loss for tree, loss in self.losses.items() if tree in kept}
            self._bits = {tree: bits for tree, bits in self._bits.items() if tree in kept}

    def key(self, loss: float, tree: Tree) -> tuple[float, float]:
        return (max(loss, self.floor), sum(map(number_bits, numbers(tree))))

    def bits(self, tree: Tree) -> float:
        """The description length of an admitted tree."""
        return self.length(tree, self.losses[tree])

    def length(self, tree: Tree, loss: float) -> float:
        """The description length of any tree with that loss."""
        return self.formula_bits(tree) + 0.5 * len(self.y) * math.log2(max(loss, self.floor) / max(self.variance, 1e-300))

    def formula_bits(self, tree: Tree) -> float:
        """The bits that the formula alone takes."""
        if tree not in self._bits:
            bits = formula_bits(tree, self.column_bits, self.problem.costs)
            dimensions = self.problem.dimensions
            self._bits[tree] = bits + (UNIT_BITS if dimensions is not None and not clean(tree, *dimensions) else 0.0)
        return self._bits[tree]

    def pareto(self) -> list[Tree]:
        """Simplest first, each better than all simpler ones."""
        result: list[Tree] = []
        least = math.inf
        for n in sorted(self.best):
            loss, tree = self.best[n]
            loss = max(loss, self.floor)
            if loss < least * (1 - 1e-9):
                least = loss
                result.append(tree)
        return result

    def shortest_of(self, trees: Sequence[Tree]) -> Tree:
        """The one of least description length among ``trees``, which are admitted; the first where none has a finite loss."""
        self.admit(trees)
        known = [t for t in trees if math.isfinite(self.losses.get(t, math.inf))]
        return min(known, key=self.bits, default=trees[0])

    def shortest(self, count: int) -> list[Tree]:
        """The formulas of least description length."""
        finite = [t for t, loss in self.losses.items() if math.isfinite(loss)]
        return heapq.nsmallest(count, finite, key=self.bits)
