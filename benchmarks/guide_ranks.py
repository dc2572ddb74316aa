"""Ranks: at which place an order of candidates comes to the first that solves a task, exactly, without running the search.

Every candidate over a table's columns is run once; candidates with the outputs of a task solve it. An order gives a score to each
choice of functions, and all its routes share it, so the rank is the number of candidates with a better score than the best
solving choice, plus the expected place among those that tie with it: (ties + 1) / (solvers + 1).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nssr import engine, search_space
from nssr.dreams import Dreamer, Part, choice_keys, row_keys
from nssr.guide import SlotScores, UniformGuide

Floats = npt.NDArray[np.float64]
CHUNK = 131_072


@dataclass(frozen=True, slots=True)
class RankedTask:
    """``x`` (rows, columns), ``y`` (rows,); ``solving``: places in the space's choices, ``routes``: how many candidates of each
    solve; ``kind``: composition type of the simplest; ``space``: the candidates there are."""

    x: Floats
    y: Floats
    solving: npt.NDArray[np.int64]
    routes: npt.NDArray[np.int64]
    kind: int
    space: float


class Space:
    """All choices of functions of a library, for tables of any width."""

    def __init__(self, state: Mapping[str, Any]) -> None:
        slots = search_space.choices(dict(state))
        slots = slots[slots["comp"] <= search_space.PARALLEL]
        self.table = engine.FunctionTable(state["metadata"])
        self.slots = slots[~search_space.mirrored(slots, self.table.commutative)]
        self._counts: dict[int, Floats] = {}

    def counts(self, n_columns: int) -> Floats:
        """Candidates of each choice, as the enumerator makes them: without mirror images."""
        if n_columns not in self._counts:
            counts = np.zeros(len(self.slots))
            for _, places in self._enumerated(n_columns):
                counts += np.bincount(places, minlength=len(self.slots))
            self._counts[n_columns] = counts
        return self._counts[n_columns]

    def _enumerated(self, n_columns: int) -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[np.int64]]]:
        """All candidates in chunks: records, and the choice of each."""
        step = 2_000
        for at in range(0, len(self.slots), step):
            part = self.slots[at : at + step]
            keys = choice_keys(part)
            order = np.argsort(keys, kind="stable")
            source = engine.Enumerator(part, self.table.arity, self.table.commutative, range(n_columns))
            while not source.exhausted:
                records = source.fill(CHUNK)
                yield records, at + order[np.searchsorted(keys[order], choice_keys(records))]

    def solvers(self, columns: Sequence[npt.NDArray[Any]], keys: npt.NDArray[np.uint64]) -> list[dict[int, int]]:
        """For each key of outputs: how many candidates of each choice have it."""
        data = engine.Dataset.from_columns(columns)
        found: list[dict[int, int]] = [{} for _ in keys]
        order = np.argsort(keys)
        for records, places in self._enumerated(len(columns)):
            values, status = engine.predict(engine.ProgramBatch.from_candidates(self.table, records, data.lanes), data)
            own = row_keys(np.nan_to_num(values))
            at = np.minimum(np.searchsorted(keys[order], own), len(keys) - 1)
            for k in np.flatnonzero((keys[order][at] == own) & (status == 0)).tolist():
                one = found[int(order[at[k]])]
                one[int(places[k])] = one.get(int(places[k]), 0) + 1
        return found

    def size_scores(self) -> Floats:
        """Minus the size of each choice: functions, then arguments."""
        arity = np.maximum(self.table.arity, 0)
        parts = sum((self.slots[name] >= 0).astype(float) for name in ("primary", "secondary", "tertiary"))
        joined = self.slots["comp"] == search_space.PARALLEL
        return -(parts + joined + 0.1 * search_space.route_lengths(self.slots, arity))

    def scores(self, slots: SlotScores, n_columns: int) -> Floats:
        found: Floats = search_space.log_scores(self.slots, slots, self.table.arity, n_columns, self.table.commutative)
        return found


def rank(scores: Floats, counts: Floats, task: RankedTask) -> float:
    """The expected place of the first solving candidate, counted from 1."""
    best = scores[task.solving].max()
    ahead = counts[scores > best + 1e-9].sum()
    ties = counts[np.abs(scores - best) <= 1e-9].sum()
    solving = task.routes[np.abs(scores[task.solving] - best) <= 1e-9].sum()
    return float(ahead + (ties + 1) / (solving + 1))


def ranked_tasks(
    state: Mapping[str, Any], part: Part, n: int, *, seed: int, space: Space, per_table: int = 12, **dreamer: Any
) -> list[RankedTask]:
    """A frozen set of ``n`` dreams of a part, with all their solvers."""
    source = Dreamer(state, seed=seed, part=part, scaled=0.0, **dreamer)
    rng = np.random.default_rng(seed)
    tasks: list[RankedTask] = []
    seen: set[int] = set()
    while len(tasks) < n:
        dreams, columns = source.dream_with_columns()
        fresh = [k for k in rng.permutation(len(dreams)).tolist() if int(dreams.behaviour[k]) not in seen][:per_table]
        if not fresh:
            continue
        seen.update(int(dreams.behaviour[k]) for k in fresh)
        tasks += with_solvers(space, columns, dreams.x, dreams.y[fresh], dreams.labels["comp"][fresh])
    return tasks[:n]


def with_solvers(
    space: Space, columns: Sequence[npt.NDArray[Any]], x: Floats, y: Floats, kinds: Sequence[int]
) -> list[RankedTask]:
    found = space.solvers(columns, row_keys(y))
    total = float(space.counts(len(columns)).sum())
    tasks = []
    for k, solvers in enumerate(found):
        if solvers:
            places = np.array(list(solvers), dtype=np.int64)
            routes = np.array(list(solvers.values()), dtype=np.int64)
            tasks.append(RankedTask(x, y[k], places, routes, int(kinds[k]), total))
    return tasks


def uniform(n_functions: int) -> SlotScores:
    return UniformGuide().slot_scores(n_functions)


def ratio(worse: Floats, better: Floats, rng: np.random.Generator) -> tuple[float, float, float]:
    """Geometric mean of worse / better and its 95 % interval by bootstrap over tasks."""
    logs = np.log(worse / better)
    drawn = rng.choice(logs, (2000, len(logs))).mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(np.exp(logs.mean())), float(np.exp(low)), float(np.exp(high))
