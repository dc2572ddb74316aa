"""Which columns a bank holds: families of expressions that laws are made of, cheapest first.

A complete enumeration by size reaches exp(h w / (k T)) - 1 only after billions of columns, though it is a monomial, a function
and a sum with 1. So the bank is filled with monomials of the inputs, sums and differences of pairs, functions of both, their
sums with 1, products of those, and only then, to the brim, with everything by size. Each family is cut by cost, never by time.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

from nssr.explore.bank import Bank, Floats, Indices
from nssr.explore.tree import Tree

_SCALES = (2.0, 0.5, float(2 * np.pi), float(np.pi), 3.0, 4.0)
_FUNCTIONS = ("SQRT", "EXP", "LOG", "SIN", "COS", "TAN", "TANH", "ASIN", "ACOS", "ATAN", "SINH", "COSH")


def fill(
    bank: Bank, operations: Collection[str], capacity: int, learned: Sequence[tuple[Tree, Floats]] = ()
) -> dict[str, Indices]:
    """Fills the bank up to ``capacity`` columns. Returns the families by name, each in order of cost.

    ``learned``: what functions of a library make of the inputs, trees and values on the bank's rows: inputs of a kind.
    """
    return _Filling(bank, frozenset(operations), capacity, learned).run()


class _Filling:
    def __init__(self, bank: Bank, operations: frozenset[str], capacity: int, learned: Sequence[tuple[Tree, Floats]]) -> None:
        self.bank, self.operations, self.capacity = bank, operations, capacity
        self.learned = np.array([i for tree, values in learned if (i := bank.add_tree(tree, values, 2)) >= 0], dtype=np.int64)
        self.functions = [f for f in _FUNCTIONS if f in operations]

    def run(self) -> dict[str, Indices]:
        """Every family gets a share of the room, so that none crowds the others out; what is left goes to everything by size."""
        bank, share = self.bank, self.capacity
        kinds = max(1, len(self.functions))
        monomials = self.monomials(max(60, share // 60, min(1500, share // 15)))
        plain = self.by_cost(np.concatenate([bank.leaves, self.learned, self.squares(bank.leaves), self.inverses()]))
        few = max(24, int(np.sqrt(share / 20)))
        small = self.by_cost(np.concatenate([plain[:few], monomials[: max(6, few - len(plain))]]))
        sums = self.sums(small)
        ratios = self.squares(monomials[: share // 100 + 30])
        ones = self.with_one(np.concatenate([monomials[: share // 30], ratios, self.squares(sums[: share // 60])]))
        turned = self.products(bank.leaves[:12], sums[: share // 400 + 12], share // 60)
        scaled = self.scaled(np.concatenate([monomials[: share // 200 + 20], turned[: share // 600 + 10]]))

        count = share // (8 * kinds) + 8
        first = self.apply_functions(self.by_cost(self.alternating(monomials, scaled, 4 * count))[:count])
        units = self.by_cost(np.concatenate([bank.leaves, self.learned[:8], self.inverses()]))[:24]
        near = self.products(units, self.by_cost(np.concatenate([first, sums, ones])), share // 5)
        arguments = self.by_cost(np.concatenate([monomials, scaled, sums, turned, ones[: share // 100 + 10]]))
        near = self.by_cost(np.concatenate([near, self.products(units, near[: share // 10], share // 8)]))
        second = self.apply_functions(arguments[: share // (5 * kinds) + 10])
        functions = self.by_cost(np.concatenate([first, second]))
        roots = self.apply_functions(self.by_cost(ones)[: share // 60 + 20], ("SQRT", "LOG", "EXP", "INV"))
        nearly = self.with_one(functions[: share // 30 + 20])
        squared = self.squares(self.by_cost(np.concatenate([functions, sums, near]))[: share // 20 + 20])
        simple = self.by_cost(np.concatenate([sums, ones, functions, near, roots, nearly, squared]))
        products = self.pairs("MUL", simple, share // 12)
        again = self.with_one(near[: share // 20])
        mixed = self.pairs("ADD", self.by_cost(np.concatenate([small, functions[:400], squared[:400], near[:400]])), share // 12)
        self.everything()
        every = np.arange(len(bank))
        every = every[~np.isin(every, list(bank.number))]
        return {
            "monomials": monomials,
            "small": small,
            "sums": sums,
            "functions": functions,
            "turned": turned,
            "simple": self.by_cost(np.concatenate([monomials, simple])),
            "products": self.by_cost(np.concatenate([near, products, again])),
            "mixed": self.by_cost(mixed),
            "all": self.by_cost(every),
        }

    @staticmethod
    def alternating(a: Indices, b: Indices, count: int) -> Indices:
        return np.concatenate([a[: count - min(len(b), count // 2)], b[: max(count // 2, count - len(a))]])

    def inverses(self) -> Indices:
        if "INV" not in self.operations:
            return np.empty(0, dtype=np.int64)
        return self.bank.extend("INV", self.bank.leaves)

    def by_cost(self, ids: Indices) -> Indices:
        """Different ids, the cheap ones first; what was dropped (-1) and numbers go."""
        ids = self.distinct(ids)
        if self.bank.number:
            ids = ids[~np.isin(ids, list(self.bank.number))]
        return ids[np.argsort(self.bank.cost[ids], kind="stable")]

    def distinct(self, ids: Indices) -> Indices:
        """Each of the bank's columns once, in their own order, without -1: `np.unique` takes ten times as long."""
        there = np.zeros(len(self.bank), dtype=np.bool_)
        there[ids[ids >= 0]] = True
        return np.flatnonzero(there)

    def monomials(self, limit: int) -> Indices:
        """Products of small powers of the inputs, by the sum of the exponents' sizes."""
        bank, d = self.bank, len(self.bank.leaves)
        known: dict[tuple[int, ...], int] = {}
        layer: list[tuple[int, ...]] = []
        for j, leaf in enumerate(bank.leaves):
            key = tuple(int(i == j) for i in range(d))
            known[key] = int(leaf)
            layer.append(key)
        if "INV" in self.operations or "DIV" in self.operations:
            for j, leaf in enumerate(bank.leaves):
                (inverse,) = bank.extend("INV", np.array([leaf])) if "INV" in self.operations else (-1,)
                key = tuple(-int(i == j) for i in range(d))
                if inverse >= 0:
                    known[key] = int(inverse)
                    layer.append(key)
        for _ in range(2, 8):
            if len(known) >= limit or not layer:
                break
            wanted: dict[tuple[int, ...], tuple[str, int, int]] = {}
            for key in layer:
                for j in range(d):
                    for step, op in ((1, "MUL"), (-1, "DIV")):
                        if op not in self.operations:
                            continue
                        new = tuple(e + step * (i == j) for i, e in enumerate(key))
                        if sum(map(abs, new)) <= sum(map(abs, key)) or max(map(abs, new)) > 6:
                            continue
                        if new not in known and new not in wanted:
                            wanted[new] = (op, known[key], int(bank.leaves[j]))
            # Few variables and equal exponents first, then whole powers.
            order = sorted(wanted, key=lambda e: (sum(map(abs, e)), max(map(abs, e)), sum(x != 0 for x in e)))[
                : limit - len(known)
            ]
            layer = []
            for op in ("MUL", "DIV"):
                keys = [key for key in order if wanted[key][0] == op]
                if not keys:
                    continue
                ids = bank.extend(op, np.array([wanted[k][1] for k in keys]), np.array([wanted[k][2] for k in keys]))
                for key, found in zip(keys, ids.tolist(), strict=True):
                    if found >= 0:
                        known[key] = found
                        layer.append(key)
        return self.by_cost(np.array(list(known.values()), dtype=np.int64))

    def pairs(self, op: str, ids: Indices, limit: int) -> Indices:
        """``op`` over pairs of ``ids``, those of least cost together first."""
        if op not in self.operations or not len(ids) or limit <= 0:
            return np.empty(0, dtype=np.int64)
        n = min(len(ids), int(np.sqrt(2 * limit)) + 2)
        ids = ids[:n]
        i, j = np.triu_indices(n, 1) if op in ("ADD", "MUL", "SUB") else np.nonzero(~np.eye(n, dtype=bool))
        cost = self.bank.cost[ids]
        order = np.argsort(cost[i] + cost[j], kind="stable")[:limit]
        return self.bank.extend(op, ids[i[order]], ids[j[order]])

    def sums(self, ids: Indices) -> Indices:
        n = len(ids) ** 2
        return self.by_cost(np.concatenate([self.pairs(op, ids, n) for op in ("ADD", "SUB")]))

    def scaled(self, ids: Indices) -> Indices:
        if "MUL" not in self.operations:
            return np.empty(0, dtype=np.int64)
        found = [self.bank.extend("MUL", np.full(len(ids), self.bank.constant(k)), ids) for k in _SCALES]
        return self.by_cost(np.concatenate(found))

    def with_one(self, ids: Indices) -> Indices:
        one = np.full(len(ids), self.bank.constant(1.0))
        found = []
        if "ADD" in self.operations:
            found.append(self.bank.extend("ADD", ids, one))
        if "SUB" in self.operations:
            found.append(self.bank.extend("SUB", one, ids))
        return self.by_cost(np.concatenate(found)) if found else np.empty(0, dtype=np.int64)

    def squares(self, ids: Indices) -> Indices:
        if "SQUARE" in self.operations:
            return self.by_cost(self.bank.extend("SQUARE", ids))
        return self.by_cost(self.bank.extend("MUL", ids, ids)) if "MUL" in self.operations else np.empty(0, dtype=np.int64)

    def apply_functions(self, ids: Indices, functions: Collection[str] | None = None) -> Indices:
        chosen = [f for f in (functions or self.functions) if f in self.operations]
        found = [self.bank.extend(f, ids) for f in chosen]
        return self.by_cost(np.concatenate(found)) if found else np.empty(0, dtype=np.int64)

    def products(self, few: Indices, many: Indices, limit: int) -> Indices:
        found = []
        for op in ("MUL", "DIV"):
            if op not in self.operations or not len(few):
                continue
            part = many[: limit // (3 * len(few)) + 1]
            left, right = np.repeat(part, len(few)), np.tile(few, len(part))
            found.append(self.bank.extend(op, left, right))
            if op == "DIV":
                found.append(self.bank.extend(op, right, left))
        return self.by_cost(np.concatenate(found)) if found else np.empty(0, dtype=np.int64)

    def everything(self) -> None:
        """All operations over all columns by size, until the bank is full."""
        bank = self.bank
        unary = [f for f in ("SQUARE", "INV", *self.functions) if f in self.operations]
        binary = [f for f in ("ADD", "SUB", "MUL", "DIV", "POW") if f in self.operations]
        start = len(bank)
        leaves = self.by_cost(bank.leaves)
        levels: dict[int, npt.NDArray[np.int64]] = {1: leaves}
        for cost in range(2, 12):
            if len(bank) >= self.capacity:
                break
            found = [np.empty(0, dtype=np.int64)]
            for op in unary:
                found.append(bank.extend(op, levels[cost - 1]))
            for op, i in itertools.product(binary, range(1, cost - 1)):
                j = cost - 1 - i
                if (op in ("ADD", "MUL") and i < j) or not len(levels[i]) or not len(levels[j]):
                    continue
                room = self.capacity - len(bank)
                if room <= 0:
                    break
                left, right = np.repeat(levels[i], len(levels[j])), np.tile(levels[j], len(levels[i]))
                found.append(bank.extend(op, left[: 4 * room], right[: 4 * room]))
            levels[cost] = self.distinct(np.concatenate(found))
        bank.counters["by size"] += len(bank) - start
