"""The exact search: closures over growing banks, until a formula holds on every row.

Stages go from cheap to dear, and each is finished before its formulas are compared, so what is found does not depend on the
clock: time only decides after which stage the search ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np

from nssr.explore.answers import Writer
from nssr.explore.bank import Bank
from nssr.explore.chain import POWERS, Chain, possible
from nssr.explore.closures import AFFINE, FAMILIES, MONOMIAL, Closures
from nssr.explore.families import fill
from nssr.explore.learned import calls
from nssr.explore.polynomials import Polynomials
from nssr.explore.problem import Problem
from nssr.explore.rows import Rows
from nssr.explore.stages import Counters, Kind, Stage
from nssr.explore.tree import Tree

CAPACITIES = (3_000, 50_000, 250_000)
BANK_ROWS = 32

_TARGETS = (
    "identity",
    "inverse",
    "square",
    "negative square",
    "root",
    "log",
    "exp",
    "asin",
    "acos",
    "atan",
    "atanh",
    "tan",
    "sin",
    "cos",
)
_MET = ("identity", "inverse", "square", "root", "log", "exp")
_AFTER: tuple[tuple[str, ...], ...] = (
    (),
    ("minus one",),
    ("plus one",),
    ("log",),
    ("inverse", "plus one", "log"),
    ("plus one", "log"),
    ("exp",),
    ("square",),
    ("root",),
    ("inverse", "minus one"),
    ("square", "minus one"),
    ("asin",),
    ("acos",),
    ("atan",),
)

class ExactSearch:
    """``stages(round)`` yields the work of one round; every stage returns formulas which hold on every row."""

    def __init__(self, problem: Problem, rows: Rows, memory: int, tick: Callable[[], None]) -> None:
        self.tick = tick
        called = calls(problem.learned, problem.X.shape[1])
        self.learned = list(zip(called, rows.values(called)[:, rows.few], strict=True))
        self.problem, self.rows = problem, rows
        self.operations = problem.operations
        self.counters = Counters()
        self.polynomials = Polynomials(rows)
        self.grown: dict[int, tuple[Closures, Writer, list[Chain], dict[str, np.ndarray]]] = {}
        self.capacities = [min(c, max(2_000, memory // (8 * BANK_ROWS * 10))) for c in CAPACITIES]
        self.allowed = [name for name in _TARGETS if possible((name,), self.operations)]

    def stages(self, level: int) -> Iterator[Stage]:
        problem, rows = self.problem, self.rows
        capacity = self.capacities[level]
        bank = Bank.of(problem, rows.X[rows.few], capacity, self.tick)
        families = fill(bank, self.operations, capacity, self.learned)
        self.counters.update({f"bank: {k}": v for k, v in bank.counters.items()})
        closures = Closures(rows, bank, families["all"], problem.seed, self.counters)
        writer = Writer(rows)
        start = Chain(closures.y)
        targets = [c for c in (start.transformed(g) for g in self.allowed) if closures.usable(c)]

        proof = partial(Stage, kind=Kind.PROOF)
        yield proof("span", work=lambda: writer.exact(closures.in_span(targets)))
        yield proof("look-up", work=lambda: writer.exact(closures.look_up(targets)))
        if level == 0:
            yield proof("polynomials", work=lambda: self.polynomial(writer, targets))
            yield proof("quotients", work=lambda: self.rows.holding(self.polynomials.quotient()))
        simple = families["simple"][:6000]
        for op in ("t-v", "t+v"):
            yield proof(f"peel {op}", work=partial(self.met, closures, writer, targets[:3], (op,), simple, ((),), (MONOMIAL,)))
        few = families["monomials"][:500]
        work = partial(self.met, closures, writer, targets[:1], ("t*v", "t/v"), few, _AFTER[1:6], (MONOMIAL,))
        yield proof("peel monomials", work=work)
        for family in FAMILIES:
            yield proof(f"pairs, {family}", work=partial(self.pairs, closures, writer, targets, family))
        if level < 2:
            work = partial(self.peeled_polynomials, closures, families, (300, 3000)[level])
            yield proof("peeled polynomials", work=work)
        if level == 0:
            return
        peels = np.unique(np.concatenate([families["monomials"], families["simple"][:500]]))
        for then in ("t-v", "t+v"):
            work = partial(self.peeled_twice, closures, writer, targets[:4], peels, then, families["monomials"][:40])
            yield proof(f"double peels {then}", work=work)
        self.grown[level] = closures, writer, targets, families

    def meetings(self, level: int) -> Iterator[Stage]:
        """The dear half of a round, over the bank that `stages` grew: meets in the middle, then peels before pairs."""
        closures, writer, targets, families = self.grown[level]
        ids = families["all"]
        proof = partial(Stage, kind=Kind.PROOF)
        met = [c for c in targets if not c.steps or c.steps[-1][0] in _MET]
        for after in _AFTER:
            if not possible(after, self.operations):
                continue
            for op in ("t*v", "t/v", "t-v", "v-t", "t+v"):
                if not after and op in ("t*v", "t/v"):
                    asked: Sequence[str] = (AFFINE,)
                else:
                    asked = (MONOMIAL,) if not after else (AFFINE,) if after[-1] in POWERS else (AFFINE, MONOMIAL)
                work = partial(self.met, closures, writer, met, (op,), ids, (after,), asked)
                yield proof(f"meet {op} {' '.join(after)}", work=work)
        for family in (AFFINE, MONOMIAL):
            few = families["simple"][:150] if level == 1 else families["simple"][:400]
            for op in ("t*v", "t/v", "t-v"):
                work = partial(self.peeled_pairs, closures, writer, met, op, family, few)
                yield proof(f"peeled pairs {op}, {family}", work=work)

    def met(
        self,
        closures: Closures,
        writer: Writer,
        targets: Sequence[Chain],
        ops: Sequence[str],
        ids: np.ndarray,
        transforms: Sequence[Sequence[str]],
        families: Sequence[str],
    ) -> list[Tree]:
        """Targets combined by each of ``ops`` with each of ``ids``, then transformed, against the whole bank."""
        found: list[Tree] = []
        for chain in targets:
            for op in ops:
                for after in transforms:
                    if possible(after, self.operations):
                        found += writer.exact(closures.meet(chain, op, ids, after, families))
        return found

    def peeled_twice(
        self, closures: Closures, writer: Writer, targets: Sequence[Chain], peels: np.ndarray, then: str, seconds: np.ndarray
    ) -> list[Tree]:
        found: list[Tree] = []
        for chain in targets:
            for op in ("t*v", "t/v"):
                found += writer.exact(closures.double_peel(chain, op, peels, then, seconds))
        return found

    def pairs(self, closures: Closures, writer: Writer, targets: Sequence[Chain], family: str) -> list[Tree]:
        return writer.exact([hit for chain in targets for hit in closures.pairs(chain, family, len(closures.ids))])

    def polynomial(self, writer: Writer, targets: list[Chain]) -> list[Tree]:
        found = []
        for chain in targets:
            self.tick()
            found += self.rows.holding(self.polynomials.polynomial(chain, writer.target(chain)))
        return found

    def peeled_polynomials(self, closures: Closures, families: dict[str, np.ndarray], count: int) -> list[Tree]:
        """Polynomials left after y, 1/y or y^2 is multiplied or divided by a simple column."""
        peels = np.unique(np.concatenate([families["monomials"][:count], families["simple"][: 2 * count]]))
        trees = [closures.bank.tree(i) for i in peels]
        with np.errstate(all="ignore"):
            v = self.rows.values(trees)
            usable = np.isfinite(v).all(axis=1)
            found: list[Tree] = []
            start = Chain(self.rows.y)
            for name in ("identity", "inverse", "square"):
                if name not in self.allowed:
                    continue
                chain = start.transformed(name)
                for op, targets in (("t*v", chain.values * v), ("t/v", chain.values / v)):
                    good = usable & np.isfinite(targets).all(axis=1)
                    for degree in self.polynomials.degrees(4):
                        self.tick()
                        fits = np.flatnonzero(good)
                        fits = fits[self.polynomials.fits(targets[fits][:, self.polynomials.places], degree)]
                        for k in fits[:20]:
                            peeled = chain.combined(op, v[k], trees[k])
                            found += self.rows.holding(self.polynomials.polynomial(peeled, peeled.values, degree))
                        if len(fits):
                            break
        return found

    def peeled_pairs(
        self, closures: Closures, writer: Writer, targets: list[Chain], op: str, family: str, few: np.ndarray
    ) -> list[Tree]:
        """Pairs among small columns for targets combined with one more small column."""
        found: list[Tree] = []
        for chain in targets[:4]:
            for v in few:
                peeled = chain.combined(op, closures.bank.values[v], closures.bank.tree(v))
                found += writer.exact(closures.pairs(peeled, family, 4000, 10))
        return found
