"""Closures: from a target, one question to a whole bank at once, and the formula that the answer stands for.

Three families of relations, each a table of angles (`projection`):

* ``affine``: t = a w + b;
* ``monomial``: t = c w^p prod x_j^e_j, on logarithms;
* ``exponential``: t = exp(a w) c prod x_j^e_j, the logarithm of t against columns as they are.

A hit names columns only; `answers` turns it into formulas.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nssr.explore.bank import Bank, Indices
from nssr.explore.chain import BINARY, TRANSFORMS, Chain
from nssr.explore.projection import Projection, Table, matched_pairs
from nssr.explore.rows import Rows
from nssr.explore.stages import Counters
from nssr.explore.tree import Tree

Floats = npt.NDArray[np.float64]

AFFINE, MONOMIAL, EXPONENTIAL = "affine", "monomial", "exponential"
FAMILIES = (AFFINE, MONOMIAL, EXPONENTIAL)
_NEAR = 24
"""Columns within the tolerance of a target, of which the cheapest are taken: 1/x + x^-5 is 1/x where x is some hundreds."""


@dataclass(frozen=True)
class Hit:
    """The target of ``chain`` is, by ``family``, a combination of ``terms`` and the family's own columns."""

    chain: Chain
    family: str
    terms: tuple[Tree, ...]


class Closures:
    """One bank, its tables, and what can be asked of them about targets on the bank's rows."""

    def __init__(self, rows: Rows, bank: Bank, ids: Indices, seed: int, counters: Counters) -> None:
        """``ids``: the columns that are looked up, in order of preference."""
        self.bank, self.ids, self.counters = bank, ids, counters
        self.y = rows.y[rows.few]
        one = np.ones((len(self.y), 1))
        logs = np.column_stack([one, rows.logs[rows.few]])
        self.basis = {AFFINE: one, MONOMIAL: logs, EXPONENTIAL: logs}
        self.projection = {f: Projection(self.basis[f], seed + 1) for f in (AFFINE, MONOMIAL)}
        self.projection[EXPONENTIAL] = self.projection[MONOMIAL]
        self.v = bank.values[self.ids]
        with np.errstate(all="ignore"):
            self.log_v = np.log(np.abs(self.v))
        self.columns = {AFFINE: self.v, MONOMIAL: self.log_v, EXPONENTIAL: self.v}
        self.table = {f: Table(self.projection[f], self.columns[f], self.ids) for f in FAMILIES}

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
        chains = [c for c in chains if c.usable]
        if not chains:
            return []
        targets = np.stack([c.values for c in chains])
        hits = []
        for family in families:
            asked: Counter[int] = Counter()
            found = self._ask(targets, family, _NEAR)
            for question, w in sorted(found, key=lambda both: self.bank.cost[both[1]] if both[1] >= 0 else 0):
                asked[question] += 1
                if w < 0 or asked[question] > 2 or (family != AFFINE and chains[question].is_power):
                    continue  # what needs no column `in_span` has found
                hits.append(Hit(chains[question], family, (self.bank.tree(w),)))
        return hits

    def double_peel(self, chain: Chain, op: str, ids: Indices, then: str, seconds: Indices, limit: int = 100) -> list[Hit]:
        """The target combined with every column of ``ids``, then with every one of ``seconds``: is a monomial left?

        A monomial times a power of a column, that is; the whole table is asked.
        """
        with np.errstate(all="ignore"):
            first = BINARY[op][0](chain.values, self.bank.values[ids])
        found: list[tuple[int, int, int, int]] = []
        for u in seconds.tolist():
            self.bank.tick()
            with np.errstate(all="ignore"):
                left = BINARY[then][0](first, self.bank.values[u])
            for q, w in self._ask(left, MONOMIAL):
                cost = self.bank.cost[ids[q]] + self.bank.cost[u] + (self.bank.cost[w] if w >= 0 else 0)
                found.append((int(cost), int(ids[q]), u, w))
        self.counters.add("double peels", len(ids) * len(seconds))
        found.sort()
        hits = []
        for _, v, u, w in found[:limit]:
            once = chain.combined(op, self.bank.values[v], self.bank.tree(v))
            terms = (self.bank.tree(w),) if w >= 0 else ()
            hits.append(Hit(once.combined(then, self.bank.values[u], self.bank.tree(u)), MONOMIAL, terms))
        return hits

    def meet(
        self, chain: Chain, op: str, ids: Indices, transforms: Sequence[str], families: Sequence[str], limit: int = 200
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
        self.counters.add("look-ups", len(ids) * len(families))
        cost = self.bank.cost
        found.sort(key=lambda f: int(cost[f[0]]) + (int(cost[f[1]]) if f[1] >= 0 else 0))
        hits = []
        for v, w, k in found[:limit]:
            combined = chain.combined(op, self.bank.values[v], self.bank.tree(v))
            hits.append(Hit(combined.transformed(*transforms), families[k], (self.bank.tree(w),) if w >= 0 else ()))
        return hits

    def _ask(self, targets: Floats, family: str, width: int = 2) -> list[tuple[int, int]]:
        self.bank.tick()
        with np.errstate(all="ignore"):
            if family != AFFINE:
                targets = np.log(np.abs(targets))
            a, b, good, flat = self.projection[family].angles(targets)
        if family == EXPONENTIAL:
            flat[:] = False  # the monomial family says it
        questions, ids = self.table[family].probe(a, b, good, width)
        found = list(zip(questions.tolist(), ids.tolist(), strict=True))
        return found + [(int(q), -1) for q in np.flatnonzero(flat)[:50]]

    def pairs(self, chain: Chain, family: str, count: int, limit: int = 30) -> list[Hit]:
        """Pairs among the ``count`` cheapest columns whose combination is the target."""
        if not chain.usable or (family != AFFINE and chain.is_power):
            return []
        self.bank.tick()
        with np.errstate(all="ignore"):
            t = chain.values if family == AFFINE else np.log(np.abs(chain.values))
            if not np.isfinite(t).all():
                return []
            projection = Projection(np.column_stack([self.basis[family], t]), 7)
        asked = (family,) if family != EXPONENTIAL else (EXPONENTIAL, MONOMIAL)  # exponents and powers together
        p, norm, own, ids = [], [], [], []
        for one in asked:
            places, angles = (part[: count // len(asked)] for part in self.table[one].preferred)
            columns = self.columns[one]
            with np.errstate(all="ignore"):
                # A product of all columns is faster than a copy of most of them.
                few = len(places) < len(columns) // 4
                p.append(columns[places] @ projection.u if few else (columns @ projection.u)[places])
            norm.append(self.table[one].norms[places])
            own.append(angles)
            ids.append(self.ids[places] if one == family else -2 - self.ids[places])
        found = matched_pairs(np.concatenate(p), np.concatenate(norm), np.concatenate(own), np.concatenate(ids), limit)
        self.counters.add("pairs", 1)
        return [
            Hit(
                chain,
                family,
                tuple(self.bank.tree(w) if w >= 0 else Tree("LOG", (Tree("ABS", (self.bank.tree(-2 - w),)),)) for w in p),
            )
            for p in found
        ]
