"""Dreams: tasks with known answers, sampled from the library and run by the engine, to teach the guide.

One table of inputs serves many programs at once: all simple ones over its columns, and a sample of those that join two functions
by a third. Programs that do the same on the table are one task, and its answer is the simplest of them, so the guide is never
asked for what is longer than need be. After DreamCoder (K. Ellis et al., arXiv 2006.08381), whose dreams are single programs;
a table at a time makes them some ten times cheaper.

Held-out sets are split off by behaviour (what a program does on fixed inputs, with its columns renamed in order of use) and by
structure (composition type and functions): a `Part` says what a dreamer may dream of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

from nssr import engine, primitives, search_space
from nssr.dream_tables import Column, draw_table

Ints = npt.NDArray[np.int64]

LARGEST = 1e9
"""Outputs beyond this make no task."""
PARALLEL_SAMPLE = 24_000
SIMPLE_SAMPLE = 120_000
"""Most simple programs on one table; those of some sixty functions over five columns are fewer, so all are run."""
LEAST_NEEDED, DRAWN_NEEDED = 0.1, 0.25
"""Where fewer of the joined programs hold a function that is asked for, it is put into so many of them."""
DREAMS_PER_TABLE = 1_500
SHARES = np.array([0.12, 0.20, 0.13, 0.55])
"""Of dreams by composition type: none, sequential, nested, parallel."""
SCALED = 0.12
"""Share of dreams whose outputs are multiplied by a number, as a measured law's are by its constant."""
MOST_SOLVERS = 8
PARTS = 20
"""One in so many structures, and one in so many behaviours, is held out."""

WEIGHTS: Mapping[str, float] = {
    **dict.fromkeys(("ADD", "SUB", "MUL", "DIV"), 4.0),
    **dict.fromkeys(("SQUARE", "SQRT", "NEG", "AND", "OR", "LT", "GT", "EQ", "CONST"), 2.0),
    **dict.fromkeys(("TAN", "ASIN", "ACOS", "ATAN", "SINH", "COSH", "CUBE"), 0.5),
}
"""How often a function is dreamed of, relative to the others: programs that people write are arithmetic more than hyperbolic."""
LEARNED_WEIGHT = 3.0


class Part(Enum):
    TRAINING = "neither behaviour nor structure is held out"
    BEHAVIOUR = "behaviours that training never sees"
    STRUCTURE = "compositions that training never sees"
    ALL = "everything"


@dataclass(frozen=True, slots=True)
class Dreams:
    """Tasks on one table. ``x`` float64 (rows, columns); ``y`` float64 (tasks, rows); ``labels`` SLOTS (tasks,), the answers;
    ``records`` CANDIDATE (tasks,), the same with their routes; ``solvers`` SLOTS (tasks, MOST_SOLVERS), other answers known to
    be right, the label first, ``comp`` -1 where there are no more; ``behaviour`` uint64 (tasks,); ``scaled`` bool (tasks,):
    the outputs are those of the answer times a number."""

    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64]
    labels: npt.NDArray[Any]
    records: npt.NDArray[Any]
    solvers: npt.NDArray[Any]
    behaviour: npt.NDArray[np.uint64]
    scaled: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.y)


class Dreamer:
    """Dreams from the functions of one registry state, the same for the same seed."""

    def __init__(
        self,
        state: Mapping[str, Any],
        *,
        seed: int = 0,
        part: Part = Part.TRAINING,
        scaled: float = SCALED,
        needing: Sequence[int] = (),
        n_columns: int | None = None,
    ) -> None:
        """``needing``: ids of functions of which every dream's answer holds at least one."""
        self.rng = np.random.default_rng(seed)
        self.part, self.scaled, self.needing, self.n_columns = part, scaled, tuple(needing), n_columns
        self.table = engine.FunctionTable(state["metadata"])
        slots = search_space.choices(state, tertiary=())
        self._simple = slots[slots["comp"] < search_space.PARALLEL]
        self._functions = np.array(search_space.placeable(state), dtype=np.int32)
        self._joining = np.array([i for i in self._functions if self.table.arity[i] == 2], dtype=np.int32)
        self.weight = np.zeros(self.table.n_functions)
        self._names = np.zeros(self.table.n_functions, dtype=np.uint64)
        self._plain = -1
        for i, entry in state["metadata"].items():
            known = primitives.BY_OPCODE.get(entry["opcode"]) if entry.get("composition") is None else None
            name = known.name if known is not None else entry["name"]
            self.weight[i] = WEIGHTS.get(name, 1.0) if known is not None else LEARNED_WEIGHT
            self._names[i] = _text_hash(name)
            if name == "CONST" and known is not None:
                self._plain = i
        self._probes = [_probe(kind) for kind in ("f", "i")]

    # ---- one table ----------------------------------------------------------------------------------------------------

    def dream(self) -> Dreams:
        """The dreams of the next table; there may be none."""
        return self.dream_with_columns()[0]

    def dream_with_columns(self) -> tuple[Dreams, list[Column]]:
        """The same, with the table's columns as they were drawn: whole numbers are whole."""
        columns = draw_table(self.rng, self.n_columns)
        data = engine.Dataset.from_columns(columns)
        records = self._candidates(len(columns))
        values, status = engine.predict(engine.ProgramBatch.from_candidates(self.table, records, data.lanes), data)
        x = np.column_stack([c.astype(np.float64) for c in columns])
        with np.errstate(all="ignore"):
            usable = (status == 0) & (np.abs(values).max(axis=1) < LARGEST)
            usable &= (values.max(axis=1) - values.min(axis=1)) > 1e-9 * np.abs(values).max(axis=1)
        records, values = records[usable], values[usable]
        order = self._by_simplicity(records)
        records, values = records[order], values[order]
        _, group = np.unique(row_keys(values), return_inverse=True)
        by_group = np.argsort(group, kind="stable")  # within a group the simplest stays first
        starts = np.flatnonzero(np.diff(group[by_group], prepend=-1))
        first = by_group[starts]
        chosen = self._chosen(records[first])
        first = first[chosen]
        behaviour = self._behaviour(records[first])
        kept = self._belongs(records[first], behaviour)
        first, behaviour, chosen = first[kept], behaviour[kept], chosen[kept]
        solvers = self._solvers(records, by_group, starts, chosen)
        y, scaled = self._scaled(values[first])
        return Dreams(x, y, _slots(records[first]), records[first], solvers, behaviour, scaled), columns

    def _candidates(self, n_columns: int) -> npt.NDArray[Any]:
        simple = self._simple_sample(n_columns)
        source = engine.Enumerator(simple, self.table.arity, self.table.commutative, range(n_columns))
        parts = []
        while not source.exhausted:
            parts.append(source.fill(65536))
        parts.append(self._parallel(n_columns))
        return np.concatenate(parts)

    def _simple_sample(self, n_columns: int) -> npt.NDArray[Any]:
        """The simple choices, or a sample: single functions all, then those that hold a function that is asked for."""
        choices = self._simple
        count = search_space.route_counts(choices, self.table.arity, n_columns)
        if count.sum() <= SIMPLE_SAMPLE:
            return choices
        needed = np.isin(choices["primary"], self.needing) | np.isin(choices["secondary"], self.needing)
        rank = np.where(choices["comp"] == search_space.NONE, 0, np.where(needed, 1, 2))
        order = self.rng.permutation(len(choices))
        order = order[np.argsort(rank[order], kind="stable")]
        return choices[np.sort(order[: max(int(np.searchsorted(np.cumsum(count[order]), SIMPLE_SAMPLE)), 1)])]

    def _parallel(self, n_columns: int) -> npt.NDArray[Any]:
        """A sample of compositions that join two functions by a third, by the functions' weights."""
        n, rng, table = PARALLEL_SAMPLE, self.rng, self.table
        if not len(self._joining):
            return np.empty(0, dtype=engine.CANDIDATE)
        weight = self.weight[self._functions]
        pair = rng.choice(self._functions, (n, 2), p=weight / weight.sum())
        weight = self.weight[self._joining]
        third = rng.choice(self._joining, n, p=weight / weight.sum())
        if self.needing and (np.isin(pair, self.needing).any(axis=1) | np.isin(third, self.needing)).mean() < LEAST_NEEDED:
            some = np.flatnonzero(rng.random(n) < DRAWN_NEEDED)
            function = rng.choice(np.array(self.needing, dtype=np.int32), len(some))
            slot = np.where(np.isin(function, self._joining), rng.integers(0, 3, len(some)), rng.integers(0, 2, len(some)))
            third[some[slot == 2]] = function[slot == 2]
            for k in (0, 1):
                pair[some[slot == k], k] = function[slot == k]
        # The mirror image of a commutative composition is the same program: the one that the search makes is kept.
        swap = (table.commutative[third] != 0) & (pair[:, 0] > pair[:, 1])
        pair[swap] = pair[swap][:, ::-1]
        keep = ~((pair == self._plain).all(axis=1))
        pair, third = pair[keep], third[keep]
        out = np.zeros(len(third), dtype=engine.CANDIDATE)
        out["comp"] = search_space.PARALLEL
        out["primary"], out["secondary"], out["tertiary"] = pair[:, 0], pair[:, 1], third
        for place, (length, route) in enumerate((("n1", "r1"), ("n2", "r2"))):
            out[length] = table.arity[pair[:, place]]
            drawn = rng.integers(0, n_columns, out[route].shape)
            # Operands of a commutative function in one order, as the search makes them.
            both = (table.commutative[pair[:, place]] != 0) & (out[length] == 2)
            drawn[both, :2] = np.sort(drawn[both, :2], axis=1)
            out[route] = np.where(np.arange(drawn.shape[1]) < out[length][:, None], drawn, 0)
        return out

    def _by_simplicity(self, records: npt.NDArray[Any]) -> Ints:
        """Fewest functions first, then the shortest routes, then the commonest functions."""
        functions = [records[name] for name in ("primary", "secondary", "tertiary")]
        parts = np.sum([(f >= 0) & (f != self._plain) for f in functions], axis=0)
        nodes = records["n1"].astype(np.int64) + records["n2"]
        rarity = np.zeros(len(records))
        for f in functions:
            rarity -= np.where(f >= 0, np.log(self.weight[np.maximum(f, 0)]), 0.0)
        joined = records["comp"] == search_space.PARALLEL
        keys = [functions[2], functions[1], functions[0], rarity, nodes, joined, parts]
        return np.lexsort(np.stack([key.astype(np.float64) for key in keys])).astype(np.int64)

    def _chosen(self, records: npt.NDArray[Any]) -> Ints:
        """Which of the different behaviours become dreams: by share of their type, then by weight, each structure alike."""
        structure = choice_keys(records)
        _, place, count = np.unique(structure, return_inverse=True, return_counts=True)
        weight = 1.0 / count[place]
        for name in ("primary", "secondary", "tertiary"):
            weight *= np.where(records[name] >= 0, self.weight[np.maximum(records[name], 0)], 1.0)
        if self.needing:
            needs = np.zeros(len(records), dtype=np.bool_)
            for name in ("primary", "secondary", "tertiary"):
                needs |= np.isin(records[name], self.needing)
            weight = np.where(needs, weight, 0.0)
        weight[(records["comp"] == 0) & (records["primary"] == self._plain)] *= 0.05  # y is a column: nothing to find
        picked = []
        for comp, share in enumerate(SHARES):
            here = np.flatnonzero((records["comp"] == comp) & (weight > 0))
            n = min(int(share * DREAMS_PER_TABLE), len(here))
            # The largest of exponentially distributed times, by weight: a weighted sample without replacement.
            times = self.rng.exponential(size=len(here)) / weight[here]
            picked.append(here[np.argsort(times, kind="stable")[:n]])
        return np.sort(np.concatenate(picked))

    def _solvers(self, records: npt.NDArray[Any], by_group: Ints, starts: Ints, chosen: Ints) -> npt.NDArray[Any]:
        ends = np.append(starts[1:], len(by_group))
        out = np.full((len(chosen), MOST_SOLVERS), -1, dtype=engine.SLOTS)
        if not len(chosen):
            return out
        places = starts[chosen][:, None] + np.arange(2 * MOST_SOLVERS)
        inside = places < ends[chosen][:, None]
        members = records[by_group[np.minimum(places, len(by_group) - 1)].ravel()]
        slots, keys = _slots(members).reshape(places.shape), choice_keys(members).reshape(places.shape)
        count = np.zeros(len(chosen), dtype=np.int64)
        for k in range(places.shape[1]):
            new = inside[:, k] & (keys[:, :k] != keys[:, k : k + 1]).all(axis=1) & (count < MOST_SOLVERS)
            out[new, count[new]] = slots[new, k]
            count += new
        return out

    def _scaled(self, y: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        scaled = self.rng.random(len(y)) < self.scaled
        scaled &= ~((y == 0) | (y == 1)).all(axis=1)
        simple = self.rng.choice([0.5, 2.0, 3.0, 4.0, 0.1, 10.0, 0.25, 1.5, np.pi], len(y))
        anything = 10.0 ** self.rng.uniform(-1.5, 1.5, len(y))
        factor = np.where(self.rng.random(len(y)) < 0.6, simple, anything)
        return np.where(scaled[:, None], y * factor[:, None], y), scaled

    # ---- parts --------------------------------------------------------------------------------------------------------

    def structure(self, records: npt.NDArray[Any]) -> npt.NDArray[np.uint64]:
        """A number for each (composition type, functions), by the functions' names: the same in every library. uint64 (n,)."""
        key = _mixed(records["comp"].astype(np.uint64) + np.uint64(1))
        for name in ("primary", "secondary", "tertiary"):
            function = np.where(records[name] >= 0, self._names[np.maximum(records[name], 0)], np.uint64(0))
            key = _mixed(key ^ function)
        return key

    def _behaviour(self, records: npt.NDArray[Any]) -> npt.NDArray[np.uint64]:
        """What each program does on fixed inputs, its columns renamed in order of use. uint64 (n,)."""
        renamed = _renamed(records)
        key = np.zeros(len(records), dtype=np.uint64)
        for probe in self._probes:
            batch = engine.ProgramBatch.from_candidates(self.table, renamed, probe.lanes)
            result = engine.evaluate(batch, probe)
            values = np.nan_to_num(result.values, nan=0.125, posinf=0.25, neginf=-0.25)
            key = _mixed(key ^ row_keys(values + 0.5 * (result.status != 0)))
        return key

    def _belongs(self, records: npt.NDArray[Any], behaviour: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        # Single functions are never held out: there would be nothing left to tell them by.
        composed = records["comp"] != search_space.NONE
        structure = (self.structure(records) % np.uint64(PARTS) == 0) & composed
        held = (behaviour % np.uint64(PARTS) == 1) & composed
        if self.part is Part.STRUCTURE:
            return structure
        if self.part is Part.BEHAVIOUR:
            return held & ~structure
        return np.ones(len(records), dtype=np.bool_) if self.part is Part.ALL else ~structure & ~held


def _slots(records: npt.NDArray[Any]) -> npt.NDArray[Any]:
    out = np.empty(len(records), dtype=engine.SLOTS)
    for name in ("comp", "primary", "secondary", "tertiary"):
        out[name] = records[name]
    return out


def choice_keys(records: npt.NDArray[Any]) -> Ints:
    """A number for each composition type and functions of SLOTS or CANDIDATE records (n,), by ids."""
    parts = [records[name].astype(np.int64) + 1 for name in ("comp", "primary", "secondary", "tertiary")]
    return ((parts[0] * 65536 + parts[1]) * 65536 + parts[2]) * 65536 + parts[3]


def _renamed(records: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The candidates with their columns numbered in the order in which they are first read."""
    out = records.copy()
    width = records["r1"].shape[1]
    known = np.full((len(records), 1 + int(max(records["r1"].max(initial=0), records["r2"].max(initial=0)))), -1)
    count = np.zeros(len(records), dtype=np.int64)
    rows = np.arange(len(records))
    for route, length in (("r1", "n1"), ("r2", "n2")):
        for place in range(width):
            reads = records[length] > place
            column = records[route][:, place].astype(np.int64)
            new = reads & (known[rows, column] < 0)
            known[rows[new], column[new]] = count[new]
            count[new] += 1
            out[route][:, place] = np.where(reads, known[rows, column], out[route][:, place])
    return out


def _probe(kind: str) -> engine.Dataset:
    rng = np.random.default_rng(20)
    columns: list[Any] = []
    for _ in range(6):
        columns.append(rng.integers(-9, 10, 24) if kind == "i" else np.round(rng.uniform(-3, 3, 24), 3))
    return engine.Dataset.from_columns(columns)


def _mixed(key: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The finaliser of splitmix64 (G. Steele, D. Lea, C. Flood, OOPSLA 2014)."""
    key = key + np.uint64(0x9E3779B97F4A7C15)
    key = (key ^ (key >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    key = (key ^ (key >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return key ^ (key >> np.uint64(31))


def row_keys(values: npt.NDArray[np.float64]) -> npt.NDArray[np.uint64]:
    """A number for each row of (n, k) values: the same for rows that agree to about nine digits."""
    bits = (np.ascontiguousarray(values + 0.0).view(np.int64) + (1 << 21)) >> 22
    factors = _mixed(np.arange(1, values.shape[1] + 1, dtype=np.uint64)) | np.uint64(1)
    return _mixed((bits.view(np.uint64) * factors).sum(axis=1, dtype=np.uint64))


def _text_hash(text: str) -> np.uint64:
    key = np.zeros(1, dtype=np.uint64)
    for byte in text.encode():
        key = _mixed(key ^ np.uint64(byte))
    return np.uint64(key[0])
