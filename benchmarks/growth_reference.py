"""Growth in plain numpy: every candidate of every level, one after the other, compared with all kept columns.

Slow and obvious; the yardstick of tests/test_growth.py and benchmarks/growth.py. Not in here: elements, dimensions, memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from nssr.engine import growth

Array = np.ndarray[Any, Any]
COMMUTING = ("ADD", "MUL", "MIN", "MAX")
MEANING: Mapping[str, Callable[..., Array]] = {
    "ADD": np.add, "SUB": np.subtract, "MUL": np.multiply, "DIV": np.divide, "MIN": np.minimum, "MAX": np.maximum,
    "POW": np.power, "NEG": np.negative, "ABS": np.abs, "SQUARE": np.square, "CUBE": lambda a: a * a * a,
    "INV": lambda a: 1 / a, "SQRT": np.sqrt, "EXP": np.exp, "LOG": np.log, "SIN": np.sin, "COS": np.cos, "TAN": np.tan,
    "ASIN": np.arcsin, "ACOS": np.arccos, "ATAN": np.arctan, "SINH": np.sinh, "COSH": np.cosh, "TANH": np.tanh,
}  # fmt: skip
UNDO = {
    *(("NEG", "NEG"), ("INV", "INV"), ("ABS", "ABS"), ("ABS", "SQUARE"), ("ABS", "NEG"), ("SQUARE", "NEG"), ("COS", "NEG")),
    *(("COSH", "NEG"), ("EXP", "LOG"), ("LOG", "EXP"), ("SQUARE", "SQRT"), ("SIN", "ASIN"), ("COS", "ACOS"), ("TAN", "ATAN")),
}
Column = tuple[str, int, int]  # operation, left, right; -1 for none


class Reference:
    """The columns of ``grow(columns, operations, constants=constants, max_cost=max_cost)`` in order, and its counters."""

    def __init__(
        self,
        columns: Array,
        operations: Sequence[str],
        constants: Sequence[float] = (1.0, 2.0),
        max_cost: int = 4,
        max_nesting: int = 1,
        max_constants: int = 2,
    ) -> None:
        self.values: list[Array] = []
        self._first = np.zeros(0)
        self.made: set[Column] = set()
        self.level: dict[int, list[int]] = {}
        self.facts: list[tuple[str, int, int]] = []  # operation, nesting, constants
        self.counters: Counter[str] = Counter()
        self.max_nesting, self.max_constants = max_nesting, max_constants
        for cost in range(1, max_cost + 1):
            self.level[cost] = []
            if cost == 1:
                for i, value in enumerate([*columns, *(np.full(columns.shape[1], c) for c in constants)]):
                    constant = i >= len(columns)
                    leaf = ("constant", i - len(columns), -1) if constant else ("column", i, -1)
                    self._keep(leaf, value, ("", 0, int(constant)), cost)
            for below in range(1, cost):
                names = [n for n in growth.OPERATIONS if n in operations and growth.DEFAULT_COSTS[n] == cost - below]
                for name in names:
                    for a in self.level[below] if name in growth.UNARY else ():
                        self._try(name, a, a, cost)
                for i in range(1, below):
                    for name in names:
                        if name in growth.BINARY:
                            self._pairs(name, i, below - i, cost)

    def _pairs(self, name: str, i: int, j: int, cost: int) -> None:
        for a in self.level[i]:
            for b in self.level[j]:
                if name in COMMUTING and (i > j or (i == j and a > b)):
                    self.counters["commuting_twin"] += 1
                else:
                    self._try(name, a, b, cost)

    def _try(self, name: str, a: int, b: int, cost: int) -> None:
        fate = self._fate(name, a, b)
        self.counters["generated"] += 1
        if isinstance(fate, str):
            self.counters[fate] += 1
            return
        unary = name in growth.UNARY
        facts = [self.facts[a]] if unary else [self.facts[a], self.facts[b]]
        nesting = max(f[1] for f in facts) + (name in growth.FUNCTIONS)
        self.counters["generated"] -= 1
        self._keep((name, a, -1 if unary else b), fate, (name, nesting, sum(f[2] for f in facts)), cost)

    def _fate(self, name: str, a: int, b: int) -> Array | str:
        inner, nesting, n_constants = self.facts[a]
        if name in growth.BINARY:
            if n_constants + self.facts[b][2] > self.max_constants:
                return "constants"
            if a == b and name in ("SUB", "DIV", "MIN", "MAX"):
                return "inverse"
        elif (name, inner) in UNDO:
            return "inverse"
        elif name in growth.FUNCTIONS and nesting >= self.max_nesting:
            return "nesting"
        x, y = self.values[a], self.values[b]
        with np.errstate(all="ignore"):
            v = MEANING[name](x, y) if name in growth.BINARY else MEANING[name](x)
        if not np.isfinite(v).all():
            return "non_finite"
        if np.abs(v).max() > 1e150 or np.abs(v).max() < 1e-150:
            return "out_of_range"
        size = np.maximum(np.abs(v[0]), np.abs(x)) if name in ("ADD", "SUB") else np.abs(v[0])
        if (np.abs(v - v[0]) <= np.maximum(size * 2.0**-40, 2e-150)).all():
            return "constant"
        return v

    def _keep(self, column: Column, v: Array, facts: tuple[str, int, int], cost: int) -> None:
        self.counters["generated"] += 1
        n = len(self.values)
        if n == len(self._first):
            self._first = np.concatenate([self._first, np.full(n + 1000, np.inf)])
        for near in np.flatnonzero(np.abs(self._first[:n] - v[0]) <= 1e-9 * abs(v[0]) + 1e-11):
            # Sums that cancel have errors of their operands' size.
            if np.allclose(v, self.values[near], rtol=1e-9, atol=1e-11):
                self.counters["duplicate"] += 1
                return
        self._first[n] = v[0]
        self.counters["kept"] += 1
        self.level[cost].append(len(self.values))
        self.values.append(v)
        self.facts.append(facts)
        self.made.add(column)


def disagreement(grown: growth.Grown, reference: Reference) -> str | None:
    """What differs between a growth and the reference: columns as a set of behaviours per level, or counters."""
    for cost, columns in reference.level.items():
        begin, end = grown.level_offsets[cost], grown.level_offsets[cost + 1]
        if end - begin != len(columns):
            return f"level {cost} has {end - begin} columns, the reference {len(columns)}"
        ours = grown.values[begin:end]
        for c in columns:
            if not np.isclose(ours, reference.values[c], rtol=1e-9, atol=1e-11).all(axis=1).any():
                return f"level {cost} lacks {reference.facts[c]}"
    for name, n in reference.counters.items():
        if grown.counters[name] != n:
            return f"{name}: {grown.counters[name]}, the reference {n}"
    return None
