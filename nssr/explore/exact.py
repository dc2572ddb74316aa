"""The exact search: closures over growing banks, until a formula holds on every row.

Stages go from cheap to dear, and each is finished before its formulas are compared, so what is found does not depend on the
clock: time only decides after which stage the search ends.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cached_property, partial

import numpy as np

from nssr.explore import substitutions, writing
from nssr.explore.answers import Writer
from nssr.explore.bank import LARGEST, Bank
from nssr.explore.chain import BINARY, OFFSETS, POWERS, TRANSFORMS, Chain, possible
from nssr.explore.closures import AFFINE, FAMILIES, MONOMIAL, Closures, Hit
from nssr.explore.coordinates import LENGTH, SPACES, length
from nssr.explore.factors import factors
from nssr.explore.families import fill
from nssr.explore.learned import calls
from nssr.explore.memory import exact_columns
from nssr.explore.polynomials import Polynomials
from nssr.explore.problem import Problem
from nssr.explore.pursuit import pursued
from nssr.explore.rows import Rows
from nssr.explore.smooth import Slopes, distances, flatter, likely, slopes
from nssr.explore.stages import Counters, Kind, Stage
from nssr.explore.tree import Tree, add, column, mul, number, sub, with_columns

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
_DISTANCES = tuple((*sign, power) for sign in ((), ("negative",)) for power in ("inverse square", "-2/3", "2/3"))
"""What takes 1/r, 1/r^3 and r^3, or their negatives, to a polynomial of coordinates."""
_PEELED = (
    *((before, op, "identity") for before in ("identity", "inverse", "square") for op in ("t*v", "t/v")),
    *(("identity", "t/v", after) for after in ("square", "inverse square", "-2/3")),  # lengths, 1 / r and 1 / r^3
)
"""Before a target meets a simple column, how they meet, and after: then it may be a polynomial."""
_MET = ("identity", "inverse", "square", "root", "log", "exp")
_AFTER: tuple[tuple[str, ...], ...] = (
    (),
    *OFFSETS,
    ("exp",),
    ("square",),
    ("root",),
    ("inverse", "minus one"),
    ("square", "minus one"),
    ("asin",),
    ("acos",),
    ("atan",),
)

_AFTER_FACTOR = (*OFFSETS, ("asin",), ("acos",), ("atanh",))
"""What a target may be without a monomial factor: f(...) + 1, or an angle's sine, beside a monomial inside."""
_AFTER_SQUARE = (("minus one",), ("plus one",), ("root", "asin"), ("root", "acos"), ("root", "atanh"))
"""The same without a factor that has a root: sqrt(m g / k) tanh(...)."""

_PURSUED = {
    AFFINE: (("identity", "identity"), ("square", "identity"), ("inverse", "identity")),
    MONOMIAL: (("identity", "minus one"), ("identity", "plus one")),
}
"""Before and after a target meets a monomial, of which it may then be a sum of several columns."""
_FACTORINGS = 4  # ways to take factors out, of which each is a search of its own
_PEELED_AT_ONCE = 2_000
_PURSUED_PEELS, _PURSUED_ROWS, _PURSUED_TERMS = 120, 128, 10

Joined = Mapping[tuple[int, ...], Tree]
"""Columns, and what takes their place."""
_OF_SIGN = {1: add, -1: sub}


class ExactSearch:
    """``stages(round)`` yields the work of one round; every stage returns formulas which hold on every row."""

    def __init__(self, problem: Problem, rows: Rows, memory: int, tick: Callable[[], None]) -> None:
        self.tick, self.memory = tick, memory
        called = calls(problem.learned, problem.X.shape[1])
        self.learned = list(zip(called, rows.values(called)[:, rows.few], strict=True))
        self.problem, self.rows = problem, rows
        self.operations = problem.operations
        self.counters = Counters()
        self.polynomials = Polynomials(rows)
        self.grown: dict[int, tuple[Closures, Writer, list[Chain], dict[str, np.ndarray]]] = {}
        self.capacities = [min(c, exact_columns(memory, BANK_ROWS)) for c in CAPACITIES]
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
        targets = [c for c in (start.transformed(g) for g in self.allowed) if c.usable]
        self.grown[level] = closures, writer, targets, families

        proof = partial(Stage, kind=Kind.PROOF)
        yield proof("span", work=lambda: writer.exact(closures.in_span(targets)))
        yield proof("look-up", work=lambda: writer.exact(closures.look_up(targets)))
        if level == 0:
            lengths = (start.transformed(*names) for names in _DISTANCES if possible(names, self.operations))
            work = partial(self.polynomial, writer, [*targets, *(c for c in lengths if c.usable)])
            yield proof("polynomials", work=work)
            yield proof("quotients", work=self.quotients)
        simple = families["simple"][:6000]
        for op in ("t-v", "t+v"):
            yield proof(f"peel {op}", work=partial(self.met, closures, writer, targets[:3], (op,), simple, ((),), (MONOMIAL,)))
        few = families["monomials"][:500]
        work = partial(self.met, closures, writer, targets[:1], ("t*v", "t/v"), few, _AFTER_FACTOR, (MONOMIAL,))
        yield proof("peel monomials", work=work)
        squares = [c for c in targets if c.steps == (("square", None),)]
        work = partial(self.met, closures, writer, squares, ("t*v", "t/v"), few, _AFTER_SQUARE, (MONOMIAL,))
        yield proof("peel monomials from squares", work=work)

    def all_pairs(self, level: int) -> Iterator[Stage]:
        """Pairs among all columns of the bank that `stages` grew."""
        closures, writer, targets, _ = self.grown[level]
        for family in FAMILIES:
            yield Stage(f"pairs, {family}", Kind.PROOF, partial(self.pairs, closures, writer, targets, family))

    def peels(self, level: int) -> Iterator[Stage]:
        """Peels without a look-up, and two peels before one, over the bank that `stages` grew."""
        closures, writer, targets, families = self.grown[level]
        proof = partial(Stage, kind=Kind.PROOF)
        if level < 2:
            work = partial(self.peeled_polynomials, closures, families, (300, 3000)[level])
            yield proof("peeled polynomials", work=work)
        if level >= 1:
            peels = np.unique(np.concatenate([families["monomials"], families["simple"][:500]]))
            for then in ("t-v", "t+v"):
                work = partial(self.peeled_twice, closures, writer, targets[:4], peels, then, families["monomials"][:40])
                yield proof(f"double peels {then}", work=work)

    def sparse_sums(self, level: int) -> Iterator[Stage]:
        closures, writer, _, families = self.grown[level]
        for family in (AFFINE, MONOMIAL):
            yield Stage(f"sparse sums, {family}", Kind.PROOF, partial(self.sparse, closures.bank, writer, families, family))

    def quotients_within(self) -> Iterator[Stage]:
        yield Stage("substituted quotients", Kind.PROOF, self.substituted_quotients)

    def without_factors(self, level: int) -> Iterator[Stage]:
        """A search within, in a bank of the size before ``level``."""
        yield Stage("factored", Kind.PROOF, partial(self.factored, level - 1))

    def of_likely_pairs(self) -> Iterator[Stage]:
        if self.operations & {"ADD", "SUB"}:
            yield Stage("likely pairs", Kind.PROOF, self.likely_pairs)

    def of_distances(self) -> Iterator[Stage]:
        if self.operations >= LENGTH:
            yield Stage("distances", Kind.PROOF, self.distances)

    def of_differences(self) -> Iterator[Stage]:
        if "SUB" in self.operations:
            yield Stage("differences", Kind.PROOF, self.differences)

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

    def sparse(self, bank: Bank, writer: Writer, families: dict[str, np.ndarray], family: str) -> list[Tree]:
        """Sums (of logarithms: products) of several columns, after the target met a monomial."""
        few = self.polynomials.places
        few = few[:: -(-len(few) // _PURSUED_ROWS)]
        monomials, functions, simple = (families[name] for name in ("monomials", "functions", "simple"))
        peels = monomials[:_PURSUED_PEELS]
        ids = np.unique(np.concatenate([peels, monomials[:1000], functions[:400], simple[:800]]))
        trees = [bank.tree(i) for i in ids]
        columns = self.rows.values(trees)[:, few]
        start = Chain(self.rows.y[few])
        with np.errstate(all="ignore"):
            pursued_as = [both for both in _PURSUED[family] if possible(both, self.operations)]
            chains = [start.transformed(name) for name in dict.fromkeys(["identity", *(before for before, _ in pursued_as)])]
            for before, after in pursued_as:
                chain = start.transformed(before)
                for k in np.searchsorted(ids, peels).tolist():
                    chains.append(chain.combined("t/v", columns[k], trees[k]).transformed(after))
            targets, basis = np.stack([c.values for c in chains]), np.ones((len(few), 1))
            if family == MONOMIAL:
                columns, targets = np.log(np.abs(columns)), np.log(np.abs(targets))
                basis = np.column_stack([basis, self.rows.logs[few]])
            else:
                m, f = np.searchsorted(ids, monomials[:24]), np.searchsorted(ids, functions[:40])
                columns = np.concatenate([columns, (columns[m][:, None] * columns[f][None]).reshape(-1, len(few))])
                trees += [mul(trees[i], trees[j]) for i in m for j in f]
        with np.errstate(all="ignore"):
            usable = np.flatnonzero(np.abs(columns).max(axis=1) < LARGEST)  # squares of larger ones, or of NaN, are no numbers
            good = np.flatnonzero((np.abs(targets).max(axis=1) < LARGEST) & (np.ptp(targets, axis=1) > 0))
        hits = []
        for at in range(0, len(good), 256):
            self.tick()
            part = good[at : at + 256]
            for place, needed in pursued(targets[part], columns[usable], basis, _PURSUED_TERMS):
                hits.append(Hit(chains[part[place]], family, tuple(trees[k] for k in usable[needed])))
        hits.sort(key=lambda hit: len(hit.terms))
        return writer.exact(hits[:50])

    def factored(self, level: int) -> list[Tree]:
        """What is left of y without the columns that seem to be but factors, searched for in the other columns."""
        for exponents in itertools.islice(factors(self.rows), _FACTORINGS * (level + 1)):
            rest = [column(j) for j in range(self.rows.X.shape[1]) if j not in exponents]
            if not rest:
                continue
            self.counters.add("factors taken out", 1)
            if found := self.nested_search(level, exponents, rest):
                return found
        return []

    @cached_property
    def slopes(self) -> Slopes | None:
        return slopes(self.rows.X, flatter(self.rows.y))

    def likely_pairs(self) -> list[Tree]:
        """Formulas in which, as a smooth surrogate says, two columns matter only by their sum or difference: it takes their
        place."""
        allowed = {sign for sign, name in ((1, "ADD"), (-1, "SUB")) if name in self.operations}
        every = likely(self.slopes) if self.slopes else []
        choices = [pairs for pairs in every if allowed.issuperset(p.sign for p in pairs)]
        self.counters.add("likely pairs", len(choices))
        joined: list[Joined] = [{(p.a, p.b): _OF_SIGN[p.sign](column(p.a), column(p.b)) for p in pairs} for pairs in choices]
        return self.in_place(joined, ((0, None), (1, 2)))

    def distances(self) -> list[Tree]:
        """Formulas in which several columns matter only by the root of the sum of their squares, which takes their place: two or
        three that are all columns (a plane, space), and those of which a smooth surrogate says so."""
        hinted = distances(self.slopes) if self.slopes else []
        everything = tuple(range(self.rows.X.shape[1]))
        choices = [hinted] if hinted else []
        if len(everything) in SPACES and [everything] != hinted:
            choices.append([everything])
        self.counters.add("distances", len(choices))
        return self.in_place([{js: length(js) for js in choice} for choice in choices], ((0, None), (1, 2)))

    def differences(self) -> list[Tree]:
        """Formulas in which two columns matter only by their difference: of frequencies, places, angles. It takes their place."""
        every_two = itertools.combinations(range(self.rows.X.shape[1]), 2)
        choices: list[Joined] = [{(a, b): sub(column(a), column(b))} for a, b in every_two]
        return self.in_place(choices, ((1, 2), (0, None)))

    def in_place(self, choices: Sequence[Joined], rounds: Sequence[tuple[int, int | None]]) -> list[Tree]:
        """Formulas in which trees take the place of columns, as one of ``choices`` says.

        ``rounds``: levels of banks, and how many stages are done in each.
        """
        for level, most in rounds:
            for joined in choices:
                gone = {j for js in joined for j in js}
                inputs = [*(column(j) for j in range(self.rows.X.shape[1]) if j not in gone), *joined.values()]
                if found := self.nested_search(level, {}, inputs, most):
                    return found
        return []

    def nested_search(
        self, level: int, exponents: Mapping[int, Fraction], inputs: Sequence[Tree], most: int | None = None
    ) -> list[Tree]:
        """Formulas that are a monomial times what the first ``most`` stages find in ``inputs`` for the rest of y."""
        factor = writing.tidied(writing.monomial(number(1.0), [(column(j), e) for j, e in exponents.items()]))
        y = self.rows.y / self.rows.values([factor])[0]
        if not (np.isfinite(y).all() and float(np.ptp(y)) > 0):
            return []
        X = np.ascontiguousarray(self.rows.values(inputs).T)
        problem = replace(self.problem, X=X, y=y, weights=None, dimensions=None, learned=(), required=frozenset())
        search = ExactSearch(problem, Rows(X, y, len(self.rows.few), problem.seed), self.memory // 4, self.tick)
        places = dict(enumerate(inputs))
        banks = (search.stages(level), search.all_pairs(level), search.peels(level), search.sparse_sums(level))
        stages = itertools.chain(*banks, search.quotients_within())
        for stage in itertools.islice(stages, most):
            found = [mul(factor, with_columns(tree, places)) for tree in stage.work()]
            if holding := self.rows.holding([writing.tidied(tree) for tree in found]):
                return holding
        return []

    def substituted_quotients(self) -> list[Tree]:
        """Formulas where y without a factor f(x_j) is P/Q, or where y, its square, ... is one with f(x_j) for x_j."""
        found: list[Tree] = []
        for chain in substitutions.divided(self.rows, self.operations):
            self.tick()
            found += self.rows.holding(self.polynomials.quotient(chain))
        targets = substitutions.targets(self.rows, self.operations, substitutions.FEW)
        for variables in substitutions.substituted(self.rows, self.operations):
            if found:
                break
            polynomials = Polynomials(self.rows, variables)
            for chain in targets:
                self.tick()
                found += self.rows.holding(polynomials.quotient(chain))
        return found

    def quotients(self) -> list[Tree]:
        """Formulas where y, its square, ... is P/Q or a root of a quadratic."""
        found: list[Tree] = []
        for chain in substitutions.targets(self.rows, self.operations):
            self.tick()
            found += self.rows.holding([*self.polynomials.quotient(chain), *self.polynomials.root(chain)])
        return found

    def peeled_polynomials(self, closures: Closures, families: dict[str, np.ndarray], count: int) -> list[Tree]:
        """Polynomials left after a target meets a simple column, or a monomial times a sum, as `_PEELED` says."""
        monomials, sums = families["monomials"][: 40 + count // 60], families["sums"][: 40 + count // 60]
        peels = np.unique(np.concatenate([families["monomials"][:count], families["simple"][: 2 * count], monomials, sums]))

        def columns(ids: np.ndarray) -> tuple[list[Tree], np.ndarray]:
            trees = [closures.bank.tree(i) for i in ids]
            return trees, self.rows.values(trees)[:, self.polynomials.places]

        found: list[Tree] = []
        for at in range(0, len(peels), _PEELED_AT_ONCE):
            found += self.left_polynomials(*columns(peels[at : at + _PEELED_AT_ONCE]))
        (firsts, u), (others, v) = columns(monomials), columns(sums)
        step = max(1, _PEELED_AT_ONCE // max(1, len(others)))
        for at in range(0, len(firsts), step):
            with np.errstate(all="ignore"):
                products = (u[at : at + step, None] * v).reshape(-1, u.shape[1])
            found += self.left_polynomials([mul(a, b) for a in firsts[at : at + step] for b in others], products)
        return found

    def left_polynomials(self, trees: Sequence[Tree], v: np.ndarray) -> list[Tree]:
        """Formulas from what the columns ``trees`` leave of the target. ``v``: their values (n, rows of `Polynomials`)."""
        found: list[Tree] = []
        usable = np.isfinite(v).all(axis=1)
        start, few = Chain(self.rows.y), Chain(self.polynomials.y)
        for before, op, after in _PEELED:
            if not (possible((before, after), self.operations) and self.operations.issuperset(BINARY[op][2])):
                continue
            with np.errstate(all="ignore"):
                targets = TRANSFORMS[after].forward(BINARY[op][0](few.transformed(before).values, v))
            good = usable & np.isfinite(targets).all(axis=1)
            for degree in self.polynomials.degrees(4):
                self.tick()
                fits = np.flatnonzero(good)
                fits = fits[self.polynomials.fits(targets[fits], degree)]
                for k in fits[:20].tolist():
                    values = self.rows.values([trees[k]])[0]
                    peeled = start.transformed(before).combined(op, values, trees[k]).transformed(after)
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
