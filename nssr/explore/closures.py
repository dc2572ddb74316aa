"""Closures: from a target, one question to a whole bank at once, and the formula that the answer stands for.

Three families of relations, each a table of angles (`projection`):

* ``affine``: t = a w + b;
* ``monomial``: t = c w^p prod x_j^e_j, on logarithms;
* ``exponential``: t = exp(a w) c prod x_j^e_j, the logarithm of t against columns as they are.

A hit names columns only. Coefficients and exponents come from least squares over all rows, are snapped where they are near
simple numbers, and the formula is evaluated on every row before it counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from nssr.explore import writing
from nssr.explore.bank import Bank, Indices
from nssr.explore.chain import BINARY, TRANSFORMS, Chain
from nssr.explore.projection import Projection, Table, matched_pairs
from nssr.explore.rows import Rows
from nssr.explore.tree import Tree, column

Floats = npt.NDArray[np.float64]

AFFINE, MONOMIAL, EXPONENTIAL = "affine", "monomial", "exponential"
FAMILIES = (AFFINE, MONOMIAL, EXPONENTIAL)


@dataclass(frozen=True)
class Hit:
    """The target of ``chain`` is, by ``family``, a combination of ``terms`` and the family's own columns."""

    chain: Chain
    family: str
    terms: tuple[Tree, ...]


class Closures:
    """One bank, its tables, and what can be asked of them about targets on the bank's rows."""

    def __init__(self, rows: Rows, bank: Bank, families: dict[str, Indices], seed: int, operations: frozenset[str]) -> None:
        self.rows, self.bank, self.families, self.operations = rows, bank, families, operations
        self.counters: Counter[str] = Counter()
        few = rows.X[rows.few]
        self.y = rows.y[rows.few]
        n = len(self.y)
        self.x = few
        self.positive = [j for j in range(few.shape[1]) if (rows.X[:, j] != 0).all() and len(set(rows.X[:, j])) > 1]
        one = np.ones((n, 1))
        self.logs = np.column_stack([one, np.log(np.abs(few[:, self.positive]))])
        self.basis = {AFFINE: one, MONOMIAL: self.logs, EXPONENTIAL: self.logs}
        self.projection = {f: Projection(self.basis[f], seed + 1) for f in (AFFINE, MONOMIAL)}
        self.projection[EXPONENTIAL] = self.projection[MONOMIAL]
        self.ids = families["all"]
        self.v = bank.values[self.ids]
        with np.errstate(all="ignore"):
            self.log_v = np.log(np.abs(self.v))
        self.table = {
            AFFINE: Table(self.projection[AFFINE], self.v, self.ids),
            MONOMIAL: Table(self.projection[MONOMIAL], self.log_v, self.ids),
            EXPONENTIAL: Table(self.projection[MONOMIAL], self.v, self.ids),
        }
        self.room = n - few.shape[1] - 3

    def usable(self, chain: Chain) -> bool:
        return bool(np.isfinite(chain.values).all()) and float(np.ptp(chain.values)) > 0

    # ---- questions ----------------------------------------------------------------------------------------------------

    def in_span(self, chains: Sequence[Chain]) -> list[Hit]:
        """Targets that are a number or a monomial."""
        hits = []
        for chain in chains:
            if not np.isfinite(chain.values).all():
                continue
            with np.errstate(all="ignore"):
                log = np.log(np.abs(chain.values))
                _, _, _, flat = self.projection[MONOMIAL].angles(log[None])
            if flat[0]:
                hits.append(Hit(chain, MONOMIAL, ()))
        return hits

    def look_up(self, chains: Sequence[Chain], families: Iterable[str] = FAMILIES) -> list[Hit]:
        """Every chain against every column, by every family."""
        chains = [c for c in chains if self.usable(c)]
        if not chains:
            return []
        targets = np.stack([c.values for c in chains])
        hits = []
        for family in families:
            for question, w in self._ask(targets, family):
                hits.append(Hit(chains[question], family, (self.bank.tree(w),)))
        return hits

    def meet(
        self, chain: Chain, op: str, ids: Indices, transforms: Sequence[str], families: Iterable[str], limit: int = 200
    ) -> list[Hit]:
        """The target combined by ``op`` with every column of ``ids``, transformed, against every column of the bank."""
        found: list[tuple[int, int, int]] = []
        for at in range(0, len(ids), 32768):
            part = ids[at : at + 32768]
            with np.errstate(all="ignore"):
                targets = BINARY[op][0](chain.values, self.bank.values[part])
                for name in transforms:
                    targets = TRANSFORMS[name].forward(targets)
            for k, family in enumerate(families):
                found += [(int(part[q]), w, k) for q, w in self._ask(targets, family)]
        self.counters["look-ups"] += len(ids) * len(list(families))
        cost = self.bank.cost
        found.sort(key=lambda f: int(cost[f[0]]) + (int(cost[f[1]]) if f[1] >= 0 else 0))
        names = list(families)
        hits = []
        for v, w, k in found[:limit]:
            combined = chain.combined(op, self.bank.values[v], self.bank.tree(v))
            for name in transforms:
                combined = combined.transformed(name)
            hits.append(Hit(combined, names[k], (self.bank.tree(w),) if w >= 0 else ()))
        return hits

    def _ask(self, targets: Floats, family: str) -> list[tuple[int, int]]:
        with np.errstate(all="ignore"):
            if family != AFFINE:
                targets = np.log(np.abs(targets))
            a, b, good, flat = self.projection[family].angles(targets)
        if family == EXPONENTIAL:
            flat[:] = False  # the monomial family says it
        questions, ids = self.table[family].probe(a, b, good)
        found = list(zip(questions.tolist(), ids.tolist(), strict=True))
        return found + [(int(q), -1) for q in np.flatnonzero(flat)[:50]]

    def pairs(self, chain: Chain, family: str, count: int, limit: int = 30) -> list[Hit]:
        """Pairs among the ``count`` cheapest columns whose combination is the target."""
        if not self.usable(chain):
            return []
        with np.errstate(all="ignore"):
            t = chain.values if family == AFFINE else np.log(np.abs(chain.values))
            if not np.isfinite(t).all():
                return []
            projection = Projection(np.column_stack([self.basis[family], t]), 7)
        table = self.table[family]
        order = np.sort(table.place)[:count]
        source = self.log_v if family == MONOMIAL else self.v
        if family == EXPONENTIAL:  # powers and exponents together
            logs = np.sort(self.table[MONOMIAL].place)[: count // 2]
            values = np.concatenate([self.v[order[: count // 2]], self.log_v[logs]])
            ids = np.concatenate([self.ids[order[: count // 2]], -2 - self.ids[logs]])
            found = matched_pairs(projection, values, ids, limit)
        else:
            found = matched_pairs(projection, source[order], self.ids[order], limit)
        self.counters["pairs"] += 1
        return [
            Hit(chain, family, tuple(self.bank.tree(w) if w >= 0 else Tree("LOG", (Tree("ABS", (self.bank.tree(-2 - w),)),)) for w in p))
            for p in found
        ]

    # ---- answers ------------------------------------------------------------------------------------------------------

    def resolve(self, hits: Sequence[Hit]) -> list[Tree]:
        """Formulas for y that hold exactly on all rows."""
        if not hits:
            return []
        self.counters["hits"] += len(hits)
        trees = [tree for hit in hits for tree in self._written(hit)]
        if not trees:
            return []
        exact = self.rows.exact(self.rows.values(trees))
        return [tree for tree, holds in zip(trees, exact, strict=True) if holds]

    def _target(self, chain: Chain) -> Floats:
        """The chain's target on all rows."""
        trees = [v for _, v in chain.steps if v is not None]
        values = iter(self.rows.values(trees))
        whole = Chain(self.rows.y)
        for name, v in chain.steps:
            whole = whole.transformed(name) if v is None else whole.combined(name, next(values), v)
        return whole.values

    def _written(self, hit: Hit) -> list[Tree]:
        t = self._target(hit.chain)
        w = self.rows.values(hit.terms)
        if not (np.isfinite(t).all() and np.isfinite(w).all()):
            return []
        with np.errstate(all="ignore"):
            if hit.family == AFFINE:
                body = self._affine(t, w, hit.terms)
            else:
                body = self._monomial(t, w, hit.terms, hit.family)
        return [writing.tidied(hit.chain.undone(tree)) for tree in body]

    def _affine(self, t: Floats, w: Floats, terms: Sequence[Tree]) -> list[Tree]:
        design = np.column_stack([*w, np.ones(len(t))])
        c = least_squares(design, t)
        if c is None:
            return []
        size = np.abs(t).max()
        c = np.where(np.abs(c) * np.abs(design).max(axis=0) < 1e-9 * size, 0.0, c)
        trees = []
        for tolerance in (1e-7, 0.0):
            parts = [(writing.snapped(float(k), tolerance), tree) for k, tree in zip(c, (*terms, None), strict=True)]
            trees.append(writing.linear(parts))
        return trees

    def _monomial(self, t: Floats, w: Floats, terms: Sequence[Tree], family: str) -> list[Tree]:
        log = np.log(np.abs(t))
        inside = w if family == EXPONENTIAL else np.log(np.abs(w))
        x = np.log(np.abs(self.rows.X[:, self.positive]))
        design = np.column_stack([*inside, x, np.ones(len(t))])
        c = least_squares(design, log)
        if c is None:
            return []
        powers = [writing.snapped_exponent(float(k)) for k in c[len(terms) : -1]]
        factors: list[tuple[Tree, Fraction | float]] = [
            (column(j), e) for j, e in zip(self.positive, powers, strict=True) if e != 0
        ]
        rest = log - sum((float(e) * x[:, k] for k, e in enumerate(powers)), np.zeros(len(t)))
        trees = []
        if family == MONOMIAL:
            own = [writing.snapped_exponent(float(k)) for k in c[: len(terms)]]
            factors = [*((tree, e) for tree, e in zip(terms, own, strict=True)), *factors]
            rest = rest - sum((float(e) * inside[k] for k, e in enumerate(own)), np.zeros(len(t)))
            size = float(np.exp(np.median(rest)))
            if not np.isfinite(size):
                return []
            for sign in (1.0, -1.0):
                named = writing.named_number(sign * size, 1e-8)
                trees.append(writing.monomial(named, factors))
        else:
            own_c = [float(k) for k in c[: len(terms)]]
            for tolerance in (1e-7, 0.0):
                inner = []
                moved = list(factors)
                left = rest
                for k, (value, tree) in enumerate(zip(own_c, terms, strict=True)):
                    if tree.op == "LOG" and tree.args[0].op == "ABS":
                        e = writing.snapped_exponent(value)
                        moved.append((tree.args[0].args[0], e))
                        left = left - float(e) * inside[k]
                    else:
                        a = writing.snapped(value, tolerance)
                        inner.append((a, tree))
                        left = left - a * inside[k]
                size = float(np.exp(np.median(left)))
                if not np.isfinite(size):
                    continue
                exponent = Tree("EXP", (writing.linear(inner),))
                for sign in (1.0, -1.0):
                    trees.append(writing.monomial(writing.named_number(sign * size, 1e-8), [(exponent, Fraction(1)), *moved]))
        return trees


def least_squares(design: Floats, target: Floats) -> Floats | None:
    """Least squares with columns scaled to one size, or None where something is not finite."""
    if not (np.isfinite(design).all() and np.isfinite(target).all()):
        return None
    size = np.abs(design).max(axis=0)
    size[size == 0] = 1.0
    solution: Floats = np.linalg.lstsq(design / size, target, rcond=1e-14)[0] / size
    return solution
