"""The bank: columns that expressions of the inputs take on a few rows, each different one once.

A column is an input, a number, or an operation over earlier columns, so every column can be written out as a tree. Columns are
added a family at a time (`Bank.extend`); what is not finite, constant, out of range or equal to an earlier column is
dropped, and counted by the rule that dropped it. Columns whose values agree to about 11 digits are one: the first, so cheaper
ones must be added first. Where columns have dimensions, so have all columns of the bank: what adds lengths to times is dropped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from nssr.explore.dimensions import Impossible, combined, dimension
from nssr.explore.memory import piece
from nssr.explore.problem import Dimension, Problem
from nssr.explore.tree import Tree, column, number

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

LARGEST, SMALLEST = 1e100, 1e-100
"""Columns beyond these in size everywhere are dropped: squares and products of them would not be numbers."""
_NUMBERS = 500
_SAME = 3e-12  # relative: rounding leaves equal columns this close
_LONE = 1e6  # a row that many times the median: the column says something about that row alone
_FLAT = 1e-9  # relative spread below which a column is a constant


def _nothing() -> None:
    return


class Bank:
    """Columns of ``rows`` values, first those of ``inputs`` (rows, columns).

    ``values`` float64 (capacity, rows), of which the first ``len(bank)`` are in use. ``dimensions``: of every input, where they
    are known. ``without``: rules of `problem.RULES` that do not apply. ``trees``: what the inputs are, where they are not the
    problem's columns.
    """

    def __init__(
        self,
        inputs: Floats,
        seed: int,
        capacity: int,
        tick: Callable[[], None] = _nothing,
        *,
        dimensions: Sequence[Dimension] | None = None,
        without: Collection[str] = (),
        trees: Sequence[Tree] | None = None,
    ) -> None:
        self.without = frozenset(without)
        rows = inputs.shape[0]
        self.rows = rows
        self.tick = tick
        self.capacity = capacity
        # Numbers come on top: a family may need one more when the bank is full.
        capacity += _NUMBERS
        self.values: Floats = np.empty((capacity, rows))
        self.op: list[str] = []  # the operations' names, by code
        self._codes: dict[str, int] = {}
        self.code: npt.NDArray[np.uint8] = np.empty(capacity, dtype=np.uint8)
        self.left: npt.NDArray[np.int32] = np.full(capacity, -1, dtype=np.int32)
        self.right: npt.NDArray[np.int32] = np.full(capacity, -1, dtype=np.int32)
        self.number: dict[int, float] = {}
        self._dimensions = dimensions if "dimensions" not in self.without else None
        self._exponents = np.zeros((capacity, len(dimensions[0]) if dimensions else 0))
        self.cost: npt.NDArray[np.int16] = np.empty(capacity, dtype=np.int16)
        self.counters: Counter[str] = Counter()
        self.n = 0
        z = np.random.default_rng(seed).normal(size=(rows, 2))
        self._z = z
        self._keys: Floats = np.empty((0,))  # sorted first projections
        self._seconds: Floats = np.empty((0,))
        self._ids: Indices = np.empty((0,), dtype=np.int64)
        self._trees: dict[int, Tree] = {}
        if self._dimensions is not None:
            self._exponents[: len(self._dimensions)] = self._dimensions
        leaves = [column(j) for j in range(inputs.shape[1])] if trees is None else trees
        self.leaves = np.array([self._place(leaf, inputs[:, j], 1) for j, leaf in enumerate(leaves)], dtype=np.int64)
        self._insert(self.leaves, self._project(inputs.T))

    @classmethod
    def of(cls, problem: Problem, inputs: Floats, capacity: int, tick: Callable[[], None]) -> Bank:
        """A bank as the problem wants it, over some of its rows."""
        dimensions = None if problem.dimensions is None else problem.dimensions[0]
        return cls(inputs, problem.seed, capacity, tick, dimensions=dimensions, without=problem.without)

    def add_tree(self, tree: Tree, values: Floats, cost: int) -> int:
        """A column of any expression over the problem's columns (a learned function's), unless it is there or says nothing."""
        with np.errstate(all="ignore"):
            size = float(np.abs(values).max())
            if not np.isfinite(values).all() or not SMALLEST < size < LARGEST or float(np.ptp(values)) <= _FLAT * size:
                return -1
        projected = self._project(values[None])
        known = int(self._find(projected)[0])
        if known >= 0 or self.n >= self.capacity:
            return known
        exponents: Dimension | None = None
        if self._dimensions is not None:
            try:
                exponents = dimension(tree, self._dimensions, plain_numbers=True)
            except Impossible:
                self.counters["dimensions"] += 1
                return -1
        i = self._place(tree, values, cost)
        if exponents is not None:
            self._exponents[i] = exponents
        self._insert(np.array([i]), projected)
        return i

    def __len__(self) -> int:
        return self.n

    def constant(self, value: float) -> int:
        """The column of a number. Numbers are operands only: no closure looks them up."""
        for index, known in self.number.items():
            if known == value:
                return index
        i = self._place(number(value), np.full(self.rows, value), 1)
        self.number[i] = value
        return i

    def _code(self, op: str) -> int:
        if op not in self._codes:
            self._codes[op] = len(self.op)
            self.op.append(op)
        return self._codes[op]

    def _place(self, tree: Tree, values: Floats, cost: int) -> int:
        i = self.n
        self.values[i] = values
        self.code[i], self.cost[i] = self._code(tree.op), cost
        self._trees[i] = tree
        self.n += 1
        return i

    def _project(self, values: Floats) -> Floats:
        norm = np.sqrt(np.einsum("ij,ij->i", values, values))
        return np.column_stack([values @ self._z, norm])

    def _insert(self, ids: Indices, projected: Floats) -> None:
        order = np.argsort(projected[:, 0], kind="stable")
        at = np.searchsorted(self._keys, projected[order, 0])
        self._keys = np.insert(self._keys, at, projected[order, 0])
        self._seconds = np.insert(self._seconds, at, projected[order, 1])
        self._ids = np.insert(self._ids, at, ids[order])

    def _find(self, projected: Floats) -> Indices:
        """For each the id of an equal column, or -1."""
        found = np.full(len(projected), -1, dtype=np.int64)
        if not len(self._keys):
            return found
        tolerance = _SAME * projected[:, 2]
        at = np.searchsorted(self._keys, projected[:, 0] - tolerance)
        for step in range(3):
            place = np.minimum(at + step, len(self._keys) - 1)
            same = np.abs(self._keys[place] - projected[:, 0]) <= tolerance
            same &= np.abs(self._seconds[place] - projected[:, 1]) <= tolerance
            found = np.where((found < 0) & same, self._ids[place], found)
        return found

    def extend(self, op: str, left: Indices, right: Indices | None = None) -> Indices:
        """Adds ``op`` of the columns ``left`` (and ``right``); the ids of the results, -1 where dropped."""
        left = np.asarray(left, dtype=np.int64)
        pieces = []
        step = piece(self.rows)
        for at in range(0, len(left), step):
            self.tick()
            part = slice(at, at + step)
            pieces.append(self._extend(op, left[part], None if right is None else np.asarray(right)[part]))
        return np.concatenate(pieces) if pieces else np.empty(0, dtype=np.int64)

    def _extend(self, op: str, left: Indices, right: Indices | None) -> Indices:
        a = self.values[left]
        with np.errstate(all="ignore"):
            values = apply(op, a, None if right is None else self.values[right])
            absolute = np.abs(values)
            size = absolute.max(axis=1)
            low, high = values.min(axis=1), values.max(axis=1)
            # Unless half of the rows are so small, their median is not; medians are dear.
            lone = (absolute < (size / _LONE)[:, None]).sum(axis=1) >= self.rows // 2
            lone[lone] = size[lone] > _LONE * np.median(absolute[lone], axis=1)
            fits = (size < LARGEST) & (size > SMALLEST) & np.isfinite(low)
            varies = (high - low) > _FLAT * size
        exponents, possible = None, np.ones(len(left), dtype=np.bool_)
        if self._dimensions is not None:
            exponents, possible = combined(op, self._exponents[left], None if right is None else self._exponents[right])
        if "constant" in self.without:
            varies[:] = True
        if "one huge row" in self.without:
            lone[:] = False
        ok = fits & varies & ~lone & possible
        self.counters["one huge row"] += int((fits & varies & lone).sum())
        self.counters["dimensions"] += int((fits & varies & ~lone & ~possible).sum())
        self.counters["generated"] += len(left)
        self.counters["not finite or out of range"] += int(len(left) - fits.sum())
        self.counters["constant"] += int((fits & ~varies).sum())
        ids = np.full(len(left), -1, dtype=np.int64)
        chosen = np.flatnonzero(ok)
        if not len(chosen):
            return ids
        projected = self._project(values[chosen])
        known = self._find(projected) if "duplicate" not in self.without else np.full(len(chosen), -1)
        ids[chosen] = known
        fresh = np.flatnonzero(known < 0)
        # Equal ones among the fresh: neighbours in the order of their projections.
        order = fresh[np.argsort(projected[fresh, 0], kind="stable")]
        p = projected[order]
        tolerance = _SAME * p[1:, 2]
        same = (np.abs(np.diff(p[:, 0])) <= tolerance) & (np.abs(np.diff(p[:, 1])) <= tolerance)
        same &= "duplicate" not in self.without
        group = np.concatenate([[0], np.cumsum(~same)]) if len(order) else np.empty(0, dtype=np.int64)
        first = np.full(int(group[-1]) + 1 if len(group) else 0, len(chosen), dtype=np.int64)
        np.minimum.at(first, group, order)
        first_sorted = np.sort(first)
        room = self.capacity - self.n
        if len(first_sorted) > room:
            self.counters["no room"] += len(first_sorted) - room
            self.counters["duplicate"] -= len(first_sorted) - room
            first_sorted = first_sorted[:room]
        new = np.arange(self.n, self.n + len(first_sorted))
        self.counters["duplicate"] += len(chosen) - len(new)
        self.counters["kept"] += len(new)
        place = np.full(len(chosen), -1, dtype=np.int64)
        place[first_sorted] = new
        ids[chosen[order]] = place[first[group]]
        rows = chosen[first_sorted]
        self.values[new] = values[rows]
        if exponents is not None:
            self._exponents[new] = exponents[rows]
        self.code[new] = self._code(op)
        self.left[new] = left[rows]
        cost = self.cost[left[rows]].astype(np.int64) + 1
        if right is not None:
            self.right[new] = right[rows]
            cost = cost + self.cost[right[rows]]
        self.cost[new] = np.minimum(cost, np.iinfo(np.int16).max)
        self._insert(new, projected[first_sorted])
        self.n += len(new)
        return ids

    def exponents(self, index: int) -> Dimension:
        """The dimension of a column; () where none are known."""
        return tuple(Fraction(e).limit_denominator(1000) for e in self._exponents[index].tolist())

    def tree(self, index: int) -> Tree:
        """The column's expression over the problem's columns."""
        if not 0 <= index < self.n:
            raise IndexError(f"there is no column {index}")
        known = self._trees.get(int(index))
        if known is None:
            args = tuple(self.tree(int(side[index])) for side in (self.left, self.right) if side[index] >= 0)
            known = self._trees[int(index)] = Tree(self.op[self.code[index]], args)
        return known


_UNARY: dict[str, Callable[[Floats], Floats]] = {
    "NEG": np.negative,
    "ABS": np.abs,
    "SQUARE": np.square,
    "CUBE": lambda a: a * a * a,
    "INV": np.reciprocal,
    "SQRT": np.sqrt,
    "EXP": np.exp,
    "LOG": np.log,
    "SIN": np.sin,
    "COS": np.cos,
    "TAN": np.tan,
    "ASIN": np.arcsin,
    "ACOS": np.arccos,
    "ATAN": np.arctan,
    "SINH": np.sinh,
    "COSH": np.cosh,
    "TANH": np.tanh,
}
_BINARY: dict[str, Callable[[Floats, Floats], Floats]] = {
    "ADD": np.add,
    "SUB": np.subtract,
    "MUL": np.multiply,
    "DIV": np.divide,
    "POW": np.power,
    "MIN": np.minimum,
    "MAX": np.maximum,
}


def apply(op: str, a: Floats, b: Floats | None = None) -> Floats:
    """One operation over whole arrays; what has no value is not finite (a DIV by zero too)."""
    result: Floats = _UNARY[op](a) if b is None else _BINARY[op](a, b)
    return result
