"""`explore`: from columns and a target to a front of formulas, exact where there is an exact one."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from nssr.explore import plan
from nssr.explore.budget import Budget, Stopped
from nssr.explore.exact import BANK_ROWS, ExactSearch
from nssr.explore.front import Front
from nssr.explore.noisy import NoisySearch
from nssr.explore.order import NEEDS
from nssr.explore.problem import Found, Problem, Progress, Result
from nssr.explore.refining import fitted, free_numbers, shortened
from nssr.explore.rows import Rows
from nssr.explore.stages import Kind, Stages
from nssr.explore.tree import Tree, number, reference_values, size
from nssr.explore.writing import named, respelled, tidied

WORK_ROWS = 1_000
"""Rows that the search looks at; all others only verify."""
HELD_OUT = 0.2
"""Share of the rows that choose neither the shape nor the constants of a formula, where there are at least 40."""
_REFERENCE_ROWS = 100  # in plain Python, for each formula that is exact or returned
_AGREE = 1e-6  # of a value, and of the target's scale: rounding that a formula amplifies


_CANDIDATES = ("bank: generated", "look-ups", "pairs", "regressions")  # counters of what was put to the target
_CHOICES = 50  # formulas that may be returned, if those before them have no value on some row
_SKETCH = ("regressions", "refining")  # stages; sums of y between them take longer than most formulas
_ROW_BITS = 20.0  # of evidence: a row agrees to one part in 10^7 or so


def _never() -> bool:
    return False


def explore(
    problem: Problem,
    *,
    max_time: float,
    n_threads: int = 1,
    memory: int = 2_000_000_000,
    cancelled: Callable[[], bool] = _never,
    on_progress: Progress | None = None,
) -> Result:
    """Searches for at most ``max_time`` seconds, in ``memory`` bytes; ends at once with a formula that holds on every row.

    Deterministic for a seed and any number of threads, but for the stage at which time runs out. ``cancelled`` is asked between
    units of work.
    """
    # The threads are ours: those of a matrix product would come on top, and its sums would depend on their number.
    with threadpool_limits(1):
        return _Exploration(problem, max_time, n_threads, memory, cancelled, on_progress).run()


class Trial(NamedTuple):
    """What a part did by itself."""

    found: bool
    seconds: float


class _Exploration:
    def __init__(
        self,
        problem: Problem,
        max_time: float,
        n_threads: int,
        memory: int,
        cancelled: Callable[[], bool],
        on_progress: Progress | None,
    ) -> None:
        self.problem, self.memory = problem, memory
        self.on_progress = on_progress
        self.budget = Budget(max_time, cancelled)
        self.stages = Stages(self.budget, n_threads)
        n = len(problem.y)
        order = np.random.default_rng(problem.seed).permutation(n)
        self.work = np.sort(order[:WORK_ROWS])
        held = int(HELD_OUT * len(self.work)) if len(self.work) >= 40 else 0
        mixed = np.random.default_rng(problem.seed + 1).permutation(self.work)
        self.held, self.train = np.sort(mixed[:held]), np.sort(mixed[held:])
        self.everything = Rows(problem.X, problem.y, 1, problem.seed)
        self.weights = np.ones(n) if problem.weights is None else problem.weights
        self.front = self._front_of(self.train)
        self.mean = number(float(np.average(problem.y, weights=self.weights)))
        self.front.admit([self.mean])
        self.exact: list[Tree] = []
        self.confirmed: dict[Tree, bool] = {}
        self.counters: Counter[str] = Counter()
        self.searches: tuple[ExactSearch | NoisySearch, ...] = ()
        self.shown: tuple[list[Tree], tuple[Found, ...]] = [], ()

    def _front_of(self, rows: npt.NDArray[np.int64]) -> Front:
        return Front(self.problem, self.problem.X[rows], self.problem.y[rows], self.weights[rows])

    @cached_property
    def whole(self) -> Front:
        """All rows of the work, held out ones too: for the last fit."""
        return self._front_of(self.work)

    @cached_property
    def reference_rows(self) -> Rows:
        few = self.work[:_REFERENCE_ROWS]
        return Rows(self.problem.X[few], self.problem.y[few], 1, 0)

    def run(self) -> Result:
        y = self.problem.y
        stopped = "exact"
        if float(np.ptp(y)) <= 1e-12 * float(np.abs(y).max()):
            self.exact = [number(float(y[0]))]
        else:
            stopped = self._search()
        return self._result(stopped)

    def begun(self) -> tuple[ExactSearch, NoisySearch]:
        problem = self.problem
        rows = Rows(problem.X[self.work], problem.y[self.work], min(BANK_ROWS, max(3, len(self.work) * 3 // 4)), problem.seed)
        exact = ExactSearch(problem, rows, self.memory, self.stages.tick)
        return exact, NoisySearch(problem, self.front, self.memory, self.stages.tick)

    def _search(self) -> str:
        problem = self.problem
        exact, noisy = self.searches = self.begun()
        rows = exact.rows
        provable = len(rows.rest) >= 3 and len(rows.few) >= problem.X.shape[1] + 6
        done = self.stages.done(plan.stages(problem.order, exact, noisy, provable))
        try:
            for stage, found in done:
                self.counters[f"stage: {stage.name}"] += 1
                if stage.kind is Kind.FIT:
                    self.front.admit(found)
                elif found:
                    self._admit_exact(found)
                if self.exact:
                    done.close()  # what was begun early ends, so that no thread works on
                    self._sketch(noisy)
                    return "exact"
                self._report()
            return "noise floor" if noisy.noise_floor.reached else "exhausted"
        except Stopped:
            return self.budget.reason() or "time"
        finally:
            done.close()
            self.counters.update(exact.counters)
            self.counters.update(noisy.counters)

    def _admit_exact(self, trees: list[Tree]) -> None:
        """Those that hold on every row of the problem, and on a hundred of them by the primitives' own definition."""
        few = self.reference_rows
        neat = [form for t in trees for form in (tidied(named(t)), t)]
        for tree in sorted(dict.fromkeys(respelled(t, self.problem.operations) for t in neat), key=size)[:200]:
            if not self.front.allowed(tree) or not self.everything.holding([tree]):
                continue
            # Every row that a formula was not fitted to says some twenty bits for it: they must be more than it took to write.
            free = self.everything.n - len(free_numbers(tree))
            if free * _ROW_BITS < self.front.formula_bits(tree):
                self.counters["exact by too many numbers"] += 1
                continue
            if few.exact(np.array([reference_values(tree, few.X)]))[0]:
                self.exact.append(tree)
            else:
                self.counters["refuted by the reference"] += 1

    def _sketch(self, noisy: NoisySearch) -> None:
        """Simpler approximations beside the exact formula: a front of one formula says little. Those of the first regressions,
        0.3 s of work whatever the clock says; where regressions came before the formula, they are known already."""
        if self.counters["stage: regressions"]:
            return
        try:
            first = itertools.islice(noisy.stages(plan.FIRST), plan.FIRST_FITS)
            for stage, found in self.stages.done(stage for stage in first if stage.name in _SKETCH):
                if stage.kind is Kind.FIT:
                    self.front.admit(found)
        except Stopped:
            return  # the exact formula is found; its company may be smaller

    def _report(self) -> None:
        if self.on_progress is None:
            return
        front = self.front.pareto()
        if front != self.shown[0]:
            self.shown = front, tuple(self._found(tree, tree) for tree in front)
        tried = sum(search.counters[what] for search in self.searches for what in _CANDIDATES)
        self.on_progress(self.shown[1], self.budget.seconds(), tried)

    def _found(self, tree: Tree, judged: Tree) -> Found:
        """``judged``: the formula before its constants saw the held-out rows."""
        values = self.everything.values([tree])[0]
        loss, r2 = self._loss(values)
        held_out = math.nan
        if len(self.held):
            before = values if judged == tree else self.everything.values([judged])[0]
            _, held_out = self._loss(before, self.held)
        return Found(tree, size(tree), loss, r2, held_out, self.front.length(tree, self.front.losses.get(tree, loss)))

    def _loss(self, values: npt.NDArray[np.float64], rows: npt.NDArray[np.int64] | slice = slice(None)) -> tuple[float, float]:
        """Weighted mean squared error and R2 of predictions for all rows, on some of them."""
        values, y, weights = values[rows], self.problem.y[rows], self.weights[rows]
        with np.errstate(all="ignore"):
            loss = float(np.average((values - y) ** 2, weights=weights))
            variance = float(np.average((y - np.average(y, weights=weights)) ** 2, weights=weights))
        return loss, 1.0 - loss / variance if variance > 0 else (1.0 if loss == 0 else -math.inf)

    def _result(self, stopped: str) -> Result:
        front = self.front
        front.admit(self.exact)
        for tree in dict.fromkeys([*front.pareto(), *front.shortest(1)]):
            # What a person reads has no more digits than the data can tell.
            if tree not in self.exact and self.budget.seconds() < self.budget.max_time:
                shortened(tree, front)
        chosen = min(self.exact, key=front.bits) if self.exact else self._shortest_with_values()
        trees = [t for t in front.pareto() if t not in self.exact and size(t) != size(chosen)]
        if self.exact:
            trees = [t for t in trees if size(t) < size(chosen)]
        trees = sorted([*trees, chosen], key=size)
        pairs = [(t if self.exact else self._refitted(t), t) for t in trees]
        found = [self._found(tree, judged) for tree, judged in pairs]
        best = found[trees.index(chosen)]
        # Ordered on the rows of the search; on all rows a longer formula may be no better: it goes, unless it is the chosen one.
        kept: list[Found] = []
        for one in found:
            better = one.loss < min((f.loss for f in kept), default=math.inf)
            if one is not best and not (better and self._confirmed(one.tree)):
                continue
            if one is best:
                kept = [f for f in kept if f.loss > one.loss]
            kept.append(one)
        return Result(tuple(kept), kept.index(best), bool(self.exact), stopped, self.budget.seconds(), dict(self.counters))

    def _shortest_with_values(self) -> Tree:
        """Rows that chose nothing, held out or beyond the first thousand, may lie where a formula has no value.

        The mean where nothing is left, required columns or not: the caller can see that they are missing.
        """
        shortest = self.front.shortest(_CHOICES)
        choices = (tree for tree in shortest if self._has_values(tree) and self._confirmed(tree))
        return next(choices, self.mean)

    def _has_values(self, tree: Tree) -> bool:
        with np.errstate(all="ignore"):
            return bool(np.isfinite(self.everything.values([tree])).all())

    def _confirmed(self, tree: Tree) -> bool:
        """Whether the primitives' own definition gives what the engine gives, on a hundred rows."""
        if tree not in self.confirmed:
            rows = self.reference_rows
            own = np.array(reference_values(tree, rows.X))
            same = np.allclose(rows.values([tree])[0], own, rtol=_AGREE, atol=_AGREE * rows.scale, equal_nan=True)
            self.counters["refuted by the reference"] += not same
            self.confirmed[tree] = same
        return self.confirmed[tree]

    def _refitted(self, tree: Tree) -> Tree:
        """The formula with its constants fitted to all rows of the work, held out ones too."""
        if not len(self.held) or self.budget.seconds() > self.budget.max_time:
            return tree
        again = fitted([tree], self.whole, self.problem.loss)
        if not again:
            return tree
        refitted = self.whole.shortest_of([tree, shortened(again[0], self.whole)])
        return refitted if self._confirmed(refitted) else tree


class Trials:
    """The parts of a search, each by itself: does a formula of its hold on rows that it did not see?"""

    def __init__(
        self, problem: Problem, X: npt.NDArray[np.float64], y: npt.NDArray[np.float64], limit: float, memory: int
    ) -> None:
        """``X`` (rows, columns) and ``y`` (rows,): those rows. ``limit``: seconds of a part, which finds nothing after them."""
        self._fresh, self._limit = Rows(X, y, 1, 0), limit
        self._exploration = _Exploration(problem, limit, 1, memory, _never, None)
        self._parts = plan.parts(*self._exploration.begun())
        self._done: dict[str, bool] = {}

    def of(self, name: str) -> Trial:
        """The trial of a part, after that of the part which it needs."""
        needed = NEEDS.get(name)
        if needed is not None and needed not in self._done:
            self.of(needed)
        found = False
        budget = self._exploration.stages.budget = Budget(self._limit, _never)
        try:
            if needed is None or self._done[needed]:
                found = self._finds(name)
            self._done[name] = True
        except Stopped:
            self._done[name] = False
        return Trial(found, budget.seconds())

    def _finds(self, name: str) -> bool:
        for stage in self._parts[name].stages():
            trees = stage.work()
            if stage.kind is Kind.FIT:
                self._exploration.front.admit(trees)
            elif self._fresh.holding(trees):
                return True
        return False
