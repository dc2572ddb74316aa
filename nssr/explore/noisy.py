"""The noisy search: the closures by least squares over a bank on all rows, refined, judged by description length."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial

import numpy as np
import numpy.typing as npt

from nssr.explore.answers import Writer
from nssr.explore.bank import Bank
from nssr.explore.chain import Chain, nudge, possible
from nssr.explore.closures import AFFINE, EXPONENTIAL, FAMILIES, MONOMIAL, Hit
from nssr.explore.coordinates import LENGTH, SPACES, follows, length
from nssr.explore.curves import curves, factors_beside
from nssr.explore.families import fill
from nssr.explore.floor import SLACK, NoiseFloor
from nssr.explore.front import Front, formula_bits
from nssr.explore.learned import calls
from nssr.explore.left import left_monomials
from nssr.explore.memory import noisy_columns, parametric_columns
from nssr.explore.oscillations import distinct, envelopes, waves, without_phases
from nssr.explore.parametric import parametric
from nssr.explore.polynomials import inputs
from nssr.explore.problem import Problem
from nssr.explore.refining import fitted, shortened
from nssr.explore.regression import Scorer, Target, most_promising, weighted, working
from nssr.explore.rows import Rows
from nssr.explore.sparse import supports
from nssr.explore.stages import Counters, Kind, Stage
from nssr.explore.tree import Tree, mul, numbers, with_numbers
from nssr.explore.writing import named, tidied

CAPACITIES = (2_000, 40_000, 80_000)
MAX_ROWS = 400
_PARAMETRIC = 70_000
_ARGUMENTS, _BASES, _WAVES = 16, 3, 40
_CURVED, _FACTORS = 8, 4
_TRACE = 1e-10
_TARGETS = ("identity", "inverse", "square", "root", "log", "exp", "asin", "acos", "atan", "tan", "sin")
_PEELED = ("identity", "inverse", "square", "root", "log")
_AFTER: tuple[tuple[str, ...], ...] = ((), ("minus one",), ("plus one",), ("log",), ("inverse", "plus one", "log"), ("square",))
_BESIDE = {"monomials": 16, "sums": 24}
_LEFT_PEELS, _LEFT = 80, 100
_FACTORED, _FUNCTIONS = 24, 40
_BLOCK = 48  # targets at once: the matrices of scores stay in cache-sized memory


class NoisySearch:
    """``stages(level)`` yields the work of one round: fits for the front, and refinements of the front itself."""

    def __init__(self, problem: Problem, front: Front, memory: int, tick: Callable[[], None]) -> None:
        self.tick = tick
        self.problem, self.front = problem, front
        n = len(front.y)
        few = np.sort(np.random.default_rng(problem.seed).permutation(n)[:MAX_ROWS])
        self.X, self.y, self.weights = front.X[few], front.y[few], front.weights[few]
        self.rows = Rows(self.X, self.y, len(few), problem.seed)
        one = np.ones((len(few), 1))
        logs = np.column_stack([one, self.rows.logs])
        self.basis = {AFFINE: one, MONOMIAL: logs, EXPONENTIAL: logs}
        self.writer = Writer(self.rows, self.weights)
        self.capacities = [min(c, noisy_columns(memory, len(few))) for c in CAPACITIES]
        self.most_parametric = min(_PARAMETRIC, parametric_columns(memory, len(few)))
        self.counters = Counters()
        self.refined: set[Tree] = set()
        asks = "noise floor" not in problem.without
        self.noise_floor = NoiseFloor(front, self.rows, self.weights, problem.seed, asks, self.counters)
        called = calls(problem.learned, self.X.shape[1])
        self.learned = list(zip(called, self.rows.values(called), strict=True))
        start, moved = Chain(self.y), Chain(self.y + nudge(self.y))
        names = [name for name in _TARGETS if possible((name,), problem.operations)]
        self.both = [(start.transformed(g), moved.transformed(g)) for g in names]

    @cached_property
    def stepped(self) -> Target | None:
        """The logarithm of y as a step from the best monomial sees it."""
        return working(self.both[0][0], self.weights, self.basis[MONOMIAL])

    def stages(self, level: int) -> Iterator[Stage]:
        operations = self.problem.operations
        bank = Bank.of(self.problem, self.X, self.capacities[level], self.tick)
        families = fill(bank, operations, self.capacities[level], self.learned)
        ids = families["all"]
        scorers = self.scorers(bank, ids)
        both = self.both
        fit, refining = partial(Stage, kind=Kind.FIT), Stage("refining", Kind.ALONE, self.refine)
        self.noise_floor.ask(scorers[AFFINE], thorough=level > 0)
        if level > 0:
            yield Stage("noise floor", Kind.ALONE, self.look)
        yield fit("regressions", work=partial(self.regress, bank, scorers, both, np.zeros(len(both)), FAMILIES))
        if level == 0:
            yield fit("sums of y", work=partial(self.sums, bank, families, ""))
            yield fit("distances", work=self.distances)
        yield refining
        if level == 0:
            yield fit("monomials left", work=partial(self.left_monomials, bank, families))
            yield fit("sums", work=partial(self.sums, bank, families, "monomials"))
            for family in (AFFINE, MONOMIAL):
                yield fit(f"two terms, {family}", work=partial(self.two_terms, bank, scorers, families["simple"][:300], family))
            yield fit("sums over sums", work=partial(self.sums, bank, families, "sums"))
            yield refining
            return
        # What follows asks for each of many targets: of the cheap part of the bank.
        few = ids[: len(ids) // 3]
        scorers = self.scorers(bank, few)
        others = families["simple"][: 300 * level]
        for family in (AFFINE, MONOMIAL):
            yield fit(f"two terms, {family}", work=partial(self.two_terms, bank, scorers, others, family))
        yield refining
        peels = families["simple"][: 150 * 2**level]
        for after in _AFTER:
            if self.noise_floor.reached:
                return
            if not possible(after, operations):
                continue
            for op in ("t*v", "t/v", "t-v", "v-t"):
                if not after and op in ("t*v", "t/v"):
                    asked: Sequence[str] = (AFFINE,)
                else:  # y - v = a w + b is a sum of two terms
                    asked = (AFFINE, MONOMIAL) if after else (MONOMIAL,)
                chosen = [b for b in both if not b[0].steps or b[0].steps[-1][0] in _PEELED[: 1 + 2 * level]]
                for pair in chosen:
                    work = partial(self.peeled, bank, scorers, pair, op, peels, after, asked)
                    yield fit(f"peeled {op} {' '.join(after)}", work=work)
            yield refining

    def distances(self) -> list[Tree]:
        """Regressions on functions of the distance from the origin, where two or three columns are all there are, and y seems to
        follow it."""
        n, operations = self.X.shape[1], self.problem.operations
        if n not in SPACES or not operations >= LENGTH:
            return []
        whole = length(range(n))
        values = self.rows.values([whole]).T
        if not follows(values[:, 0], self.y):
            return []
        bank = Bank(values, self.problem.seed, self.capacities[0], self.tick, without=self.problem.without, trees=[whole])
        scorers = self.scorers(bank, fill(bank, operations, self.capacities[0])["all"])
        return self.regress(bank, scorers, self.both, np.zeros(len(self.both)), FAMILIES)

    def oscillations(self) -> Iterator[Stage]:
        if self.problem.operations & {"SIN", "COS"} and "MUL" in self.problem.operations:
            yield Stage("oscillations", Kind.ALONE, self.oscillating)

    def curves(self) -> Iterator[Stage]:
        if "MUL" in self.problem.operations:
            yield Stage("curves", Kind.ALONE, self.curving)

    def constants_within(self) -> Iterator[Stage]:
        yield Stage("parametric", Kind.ALONE, self.parametric)
        yield Stage("refining", Kind.ALONE, self.refine)

    def parametric(self) -> list[Tree]:
        """Functions with a constant inside, in a bank of their own."""
        # The constants inside may carry units, so no argument is impossible.
        bank = Bank.of(replace(self.problem, dimensions=None), self.X, self.most_parametric + 8_000, self.tick)
        own = fill(bank, self.problem.operations, 8_000)
        arguments = np.concatenate([own["monomials"], own["sums"][:100], own["turned"][:60]])
        arguments = arguments[np.argsort(bank.cost[arguments], kind="stable")]
        ids, group = parametric(bank, arguments, self.problem.operations, self.most_parametric)
        if not len(ids):
            return []
        place = dict(zip(ids.tolist(), group.tolist(), strict=True))
        scorers = self.scorers(bank, ids)
        best: dict[tuple[int, str], tuple[float, Hit]] = {}
        for family in (AFFINE, MONOMIAL):
            targets = [
                t
                for chain, moved in self.both[: 3 if family == AFFINE else 1]
                if (t := weighted(chain, self.y, self.weights, moved.values, family != AFFINE)) is not None
            ]
            if not targets:
                continue
            scorer = scorers[family]
            with np.errstate(all="ignore"):
                errors = scorer.errors(targets, self.basis[family])
            self.counters.add("regressions", errors.size)
            least = errors.min(axis=1)
            for column in np.argsort(least, kind="stable")[:6000].tolist():
                key = (place[int(scorer.ids[column])], family)
                if key not in best:
                    chain = targets[int(errors[column].argmin())].chain
                    best[key] = (float(least[column]), Hit(chain, family, (bank.tree(scorer.ids[column]),)))
        ranked = sorted(best.values(), key=lambda b: b[0])[:1200]
        trees = self.written([hit for _, hit in ranked])
        self.front.admit(trees)
        sensible = [t for t in trees if self.front.losses.get(t, np.inf) < self.front.variance]
        again = []
        for at in range(0, len(sensible), 100):
            self.tick()
            again += fitted(sensible[at : at + 100], self.front)
        self.front.admit(again)
        return self.exact_among(again)

    def curving(self) -> list[Tree]:
        """Peaks, steps, powers and the like, alone and times an input or divided by one; all their constants are fitted."""
        operations, columns = self.problem.operations, inputs(self.rows)
        beside = factors_beside(columns, operations) if 1 < len(columns) <= _FACTORS else []
        found = curves(self.y, self.weights, columns[:_CURVED], beside, operations, self.tick)
        trees = [t for curve in found for t in curve.trees()]
        again = fitted(trees, self.front, max_iterations=60)
        self.front.admit(again)
        return self.exact_among(again)

    def oscillating(self) -> list[Tree]:
        """Waves of any frequency in the target and in what the formulas of the front leave of it; then waves beside those."""
        operations = self.problem.operations
        bank = Bank.of(replace(self.problem, dimensions=None), self.X, 2_000, self.tick)
        own = fill(bank, operations, 1_000)
        ids = np.concatenate([bank.leaves, own["monomials"][:_ARGUMENTS], own["sums"][: _ARGUMENTS // 2]])
        ids = ids[np.sort(np.unique(ids, return_index=True)[1])]
        shapes, envelope = envelopes(self.X, operations)
        exact: list[Tree] = []
        for _ in range(2):
            bases = [t for t in self.front.pareto() if 0 < len(numbers(t)) <= 4][-_BASES:]
            left = self.y - self.rows.values(bases) if bases else np.empty((0, len(self.y)))
            good = np.flatnonzero(np.isfinite(left).all(axis=1) & (np.ptp(left, axis=1) > 0))
            targets = np.concatenate([self.y[None], left[good]])
            under = [None, *(bases[k] for k in good)]
            trees = []
            for wave in distinct(waves(targets, self.weights, bank.values[ids], shapes, self.tick), _WAVES):
                trees += wave.trees(bank.tree(ids[wave.argument]), envelope[wave.envelope], under[wave.target], operations)
            again = fitted(trees, self.front)
            self.front.admit(again)
            plain = [p for t in again if self.front.losses.get(t, np.inf) < self.front.variance and (p := without_phases(t)) != t]
            again += fitted(plain, self.front)
            self.front.admit(again)
            if exact := self.exact_among(again):
                break
        return exact

    def written(self, hits: Sequence[Hit]) -> list[Tree]:
        trees = []
        for k, hit in enumerate(hits):
            if k % 16 == 0:
                self.tick()
            trees += self.writer.written(hit, noisy=True)
        return trees

    def scorers(self, bank: Bank, ids: npt.NDArray[np.int64]) -> dict[str, Scorer]:
        raw = Scorer(bank.values[ids], ids)
        with np.errstate(all="ignore"):
            log = Scorer(np.log(np.abs(bank.values[ids])), ids)
        return {AFFINE: raw, MONOMIAL: log, EXPONENTIAL: raw}

    def regress(
        self,
        bank: Bank,
        scorers: dict[str, Scorer],
        both: Sequence[tuple[Chain, Chain]],
        extra: npt.NDArray[np.float64],
        asked: Sequence[str],
        count: int = 60,
    ) -> list[Tree]:
        hits: list[Hit] = []
        floor = self.front.floor * len(self.y)
        for family in asked:
            targets, costs = [], []
            for (chain, moved), cost in zip(both, extra, strict=True):
                if family != AFFINE and chain.is_power:
                    continue
                target = weighted(chain, self.y, self.weights, moved.values, family != AFFINE)
                for one in (target, self.stepped if family != AFFINE and not chain.steps else None):
                    if one is not None:
                        targets.append(one)
                        costs.append(cost)
            for at in range(0, len(targets), _BLOCK):
                self.tick()
                block: list[Target] = targets[at : at + _BLOCK]
                scorer = self.small(bank, scorers[family], min(costs[at : at + _BLOCK]))
                if not len(scorer):
                    continue
                with np.errstate(all="ignore"):
                    errors = scorer.errors(block, self.basis[family])
                self.counters.add("regressions", errors.size)
                cost = bank.cost[scorer.ids].astype(float)
                each = 1 if extra.any() else 20
                best = most_promising(
                    errors, cost, np.array(costs[at : at + _BLOCK]), len(self.y), floor, count, each, self.noise_floor.most_bits
                )
                for place in best.tolist():
                    column, k = divmod(place, len(block))
                    hits.append(Hit(block[k].chain, family, (bank.tree(scorer.ids[column]),)))
                if family != EXPONENTIAL:
                    hits += [Hit(t.chain, family, ()) for t in block if not extra.any()]
        return self.written(hits)

    def small(self, bank: Bank, scorer: Scorer, extra: float) -> Scorer:
        """Those columns that with ``extra`` nodes stay below the bound; ids are in order of cost."""
        if self.noise_floor.most_nodes == math.inf:
            return scorer
        n = int(np.searchsorted(bank.cost[scorer.ids], self.noise_floor.most_nodes - extra, side="right"))
        self.counters.add("beyond the bound", len(scorer) - n)
        return scorer.first(n)

    def peeled(
        self,
        bank: Bank,
        scorers: dict[str, Scorer],
        pair: tuple[Chain, Chain],
        op: str,
        peels: npt.NDArray[np.int64],
        after: Sequence[str],
        asked: Sequence[str],
    ) -> list[Tree]:
        both = []
        for v in peels:
            values, tree = bank.values[v], bank.tree(v)
            combined = [chain.combined(op, values, tree) for chain in pair]
            both.append((combined[0].transformed(*after), combined[1].transformed(*after)))
        return self.regress(bank, scorers, both, bank.cost[peels].astype(float) + len(after), asked, 30)

    def left_monomials(self, bank: Bank, families: dict[str, npt.NDArray[np.int64]]) -> list[Tree]:
        """y as a monomial after it met a simple column."""
        self.tick()
        peels = families["monomials"][:_LEFT_PEELS]
        return left_monomials(
            self.both, bank.values[peels], [bank.tree(i) for i in peels], bank.cost[peels].astype(float), self.rows, self.weights,
            self.problem.operations, self.front.floor * len(self.y), _LEFT,
        )  # fmt: skip

    def sums(self, bank: Bank, families: dict[str, npt.NDArray[np.int64]], beside: str) -> list[Tree]:
        """y as sums of a few simple columns, or what it is after it met v: y v and y / v for the simplest v of the family
        ``beside``, y v alone for sums v of two inputs.
        """
        columns = np.concatenate([families["monomials"][:250], families["small"], families["functions"][:100]])
        columns = np.unique(columns)
        columns = columns[np.argsort(bank.cost[columns], kind="stable")]
        trees = [bank.tree(i) for i in columns]
        one = np.ones((1, len(self.y)))
        dictionary = np.concatenate([one, bank.values[columns]])
        wide = dictionary
        if beside != "sums" and "MUL" in self.problem.operations:  # a cos(b): not in a bank of a few thousand columns
            factors, functions = families["monomials"][:_FACTORED], families["functions"][:_FUNCTIONS]
            products = bank.values[factors][:, None] * bank.values[functions]
            wide = np.concatenate([dictionary, products.reshape(-1, len(self.y))])
            trees += [mul(bank.tree(m), bank.tree(f)) for m in factors for f in functions]
        bits = np.array([0.0, *(formula_bits(tidied(tree), self.front.column_bits, self.problem.costs) for tree in trees)])
        chains = [] if beside else [(self.both[0], wide)]
        for v in families[beside][: _BESIDE[beside]] if beside else ():
            for op in ("t*v",) if beside == "sums" else ("t*v", "t/v"):
                both = tuple(c.combined(op, bank.values[v], bank.tree(v)) for c in self.both[0])
                chains.append((both, wide if op == "t/v" and v in bank.leaves else dictionary))  # type: ignore[arg-type]
        hits = []
        for (chain, moved), library in chains:
            self.tick()
            target = weighted(chain, self.y, self.weights, moved.values, False)
            if target is None:
                continue
            for chosen in supports(target.values, target.weights, library, bits[: len(library)]):
                if terms := tuple(trees[k - 1] for k in chosen if k > 0):
                    hits.append(Hit(chain, AFFINE, terms))
        return self.written(hits)

    def two_terms(self, bank: Bank, scorers: dict[str, Scorer], others: npt.NDArray[np.int64], family: str) -> list[Tree]:
        """y = a v + b w + c, or y = c v^p w^q times a monomial, for every v of ``others`` and every w of the bank."""
        chain, moved = self.both[0]
        target = weighted(chain, self.y, self.weights, moved.values, family != AFFINE)
        if target is None:
            return []
        floor = self.front.floor * len(self.y)
        hits = []
        for at in range(0, len(others), _BLOCK):
            self.tick()
            part = others[at : at + _BLOCK]
            with np.errstate(all="ignore"):
                v = bank.values[part] if family == AFFINE else np.log(np.abs(bank.values[part]))
            part, v = part[np.isfinite(v).all(axis=1)], v[np.isfinite(v).all(axis=1)]
            scorer = self.small(bank, scorers[family], 2 + int(bank.cost[part].min()) if len(part) else 0)
            if not len(part) or not len(scorer):
                continue
            errors = scorer.pair_errors(target, v, self.basis[family])
            self.counters.add("regressions", errors.size)
            cost = bank.cost[scorer.ids].astype(float)
            own = bank.cost[part].astype(float) + 2
            best = most_promising(errors, cost, own, len(self.y), floor, 25, 1, self.noise_floor.most_bits)
            for place in best.tolist():
                column, k = divmod(place, len(part))
                hits.append(Hit(chain, family, (bank.tree(scorer.ids[column]), bank.tree(part[k]))))
        return self.written(hits)

    def refine(self) -> list[Tree]:
        """Constants of the best formulas fitted, then shortened. Returns those that hold exactly."""
        exact = self._refine()
        if not exact:
            self.noise_floor.look()
        return exact

    def look(self) -> list[Tree]:
        self.noise_floor.look()
        return []

    def _refine(self) -> list[Tree]:
        front = self.front
        best = front.shortest(150)
        if self.noise_floor.reached:  # what is far from the best there is would only follow the noise
            best = [t for t in best if front.bits(t) <= front.bits(best[0]) + SLACK]
        candidates = [t for t in [*best, *front.pareto()] if t not in self.refined]
        self.refined.update(candidates)
        again = []
        for at in range(0, len(candidates), 50):
            self.tick()
            again += fitted(candidates[at : at + 50], front, self.problem.loss)
        front.admit(again)
        exact = self.exact_among(again)
        if exact:
            return exact
        for tree in front.shortest(12):
            self.tick()
            shortened(tree, front)
        return []

    def exact_among(self, trees: Sequence[Tree]) -> list[Tree]:
        """Those that hold on every row, with simple numbers where they hold too."""
        nearly = [t for t in trees if self.front.losses.get(t, np.inf) < 1e-10 * self.front.variance]
        forms = [t for tree in nearly for t in (tidied(named(_without_traces(tree))), tidied(named(tree)), tree)]
        return self.rows.holding(list(dict.fromkeys(forms)))


def _without_traces(tree: Tree) -> Tree:
    """Without numbers that may be nothing but the rounding of a fit."""
    return with_numbers(tree, [0.0 if abs(k) < _TRACE else k for k in numbers(tree)])
