"""What the data say of a discovery: on rows kept back, on rows outside the sample, against a known function's name."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from nssr import engine, executor
from nssr.composing import composition_of
from nssr.engine.candidates import COMP_CODES, ROUTE_LENGTH
from nssr.formula import Formula
from nssr.primitives import ABS_TOL, REL_TOL
from nssr.registry import function_args
from nssr.screening import Examples, Found, _spread, split
from nssr.search import preference
from nssr.search_space import column_order, columns_within
from nssr.simplify import Composition

REFERENCE_ROWS = 50_000  # at a time
COUNTEREXAMPLES = 64
ROUTE_ROWS = 128
MAX_ROUTES = 300_000
"""So many ways of giving columns to a known function are tried, on so many rows."""
REFERENCE_ROUTES = 64
"""The best of those ways are judged by the reference, on so many rows; the first in order of columns is taken."""


def plain_examples(examples: Examples) -> list[tuple[list[Any], Any]]:
    """Examples as Python numbers, columns of one type: a column with a float becomes floats, bools become ints.

    ValueError on what is no finite number, on no examples and on rows of different length.
    """
    if not examples:
        raise ValueError("no examples")
    width = len(examples[0][0])
    columns: list[list[Any]] = [[] for _ in range(width + 1)]
    for place, (inputs, output) in enumerate(examples):
        if len(inputs) != width:
            raise ValueError(f"example {place} has {len(inputs)} inputs, the first one has {width}")
        for column, value in zip(columns, [*inputs, output], strict=True):
            if isinstance(value, (bool, np.bool_, np.integer)):
                value = int(value)
            elif isinstance(value, np.floating):
                value = float(value)
            if not isinstance(value, (int, float)) or not -_LARGEST <= value <= _LARGEST:
                raise ValueError(f"example {place} holds {_shown(value)}, which is no finite number that a float can hold")
            column.append(value)
    columns = [[float(v) for v in c] if any(isinstance(v, float) for v in c) else c for c in columns]
    return [(list(row[:-1]), row[-1]) for row in zip(*columns, strict=True)]


_LARGEST = sys.float_info.max


def _shown(value: Any) -> str:
    return "an integer of hundreds of digits" if isinstance(value, int) else repr(value)


def best_route(state: dict[str, Any], func_id: int, examples: Examples) -> list[int]:
    """The columns to give to a function, in its order, that bring it nearest to the outputs."""
    arity, width = state["metadata"][func_id]["arity"], len(examples[0][0])
    if arity == 0 or arity > ROUTE_LENGTH:
        return list(range(min(arity, width)))
    table = engine.FunctionTable(state["metadata"])
    data = engine.Dataset.from_examples([examples[i] for i in _spread(range(len(examples)), ROUTE_ROWS)])
    slots = np.array([(COMP_CODES["none"], func_id, -1, -1)], dtype=engine.SLOTS)
    columns = column_order([np.array([x[c] for x, _ in examples], dtype=float) for c in range(width)],
                           np.array([y for _, y in examples], dtype=float))  # fmt: skip
    columns = columns[: columns_within(slots, table.arity, width, MAX_ROUTES)]
    source = engine.Enumerator(slots, table.arity, table.commutative, columns)
    best: list[tuple[float, list[int]]] = [(-math.inf, list(range(min(arity, width))))]
    while not source.exhausted:
        records = source.fill(4096)
        r2 = engine.score(engine.ProgramBatch.from_candidates(table, records, data.lanes), data).r2
        r2 = np.nan_to_num(r2, nan=math.inf)  # what the engine is unsure about may be right
        top = np.argsort(-r2, kind="stable")[:REFERENCE_ROUTES]
        routes = [list(candidate["routing"]) for candidate in engine.unpack(records[top], width)]
        best = sorted([*best, *zip(r2[top].tolist(), routes, strict=True)], key=lambda b: -b[0])[:REFERENCE_ROUTES]

    def judged(route: list[int]) -> tuple[float, list[int]]:
        shown = [([x[c] for c in route], y) for x, y in examples[:REFERENCE_ROUTES]]
        return -round(executor.r_squared(state, func_id, shown), 12), route

    return min((route for _, route in best if len(route) == arity), key=judged, default=best[0][1])


def _packed(state: Mapping[str, Any], found: Found, data: engine.Dataset) -> engine.ProgramBatch:
    return engine.ProgramBatch.from_candidates(state, [found.candidate], data.lanes)


def r2_on(state: Mapping[str, Any], found: Found, data: engine.Dataset) -> float:
    r2 = float(engine.score(_packed(state, found, data), data).r2[0])
    return r2 if math.isfinite(r2) else -math.inf


def holds_on(
    state: dict[str, Any],
    composition: Composition,
    columns: Sequence[int],
    constants: Sequence[float] | None,
    mode: str,
    whole: engine.Dataset,
) -> bool:
    """Whether a composition over some of the columns fails on no row of the whole data."""
    width, shift = whole.n_columns, whole.n_columns - len(columns)
    steps = []
    for child, args in composition:
        n = function_args(state, child)
        moved = [a if a < 0 else columns[a] if a < len(columns) else a + shift for a in args[n:]]
        steps.append((child, [*args[:n], *moved]))
    batch = engine.ProgramBatch.from_compositions(state, [(steps, width, constants, mode)], whole.lanes)
    return bool(engine.validate(batch, whole)[0] != engine.FAIL)


def failing_rows(
    state: dict[str, Any], found: Found, whole: engine.Dataset, rows: Callable[[Sequence[int]], Examples] | None
) -> list[int]:
    """Some rows of the whole data on which an exact candidate fails.

    Rows that the engine is unsure of are put to the reference, every one: a few microseconds each.
    """
    batch = _packed(state, found, whole)
    verdict = engine.validate(batch, whole)[0]
    if verdict == engine.PASS:
        return []
    values, _ = engine.predict(batch, whole)
    y = whole.target
    assert y is not None
    with np.errstate(invalid="ignore"):
        near = np.maximum(REL_TOL * np.maximum(np.abs(values[0]), np.abs(y)), ABS_TOL)
        bad = ~((np.abs(values[0] - y) <= near) | (values[0] == y))
    doubtful = np.flatnonzero(bad).tolist()
    if verdict == engine.UNSURE:
        if rows is None:
            return []
        wrong: list[int] = []
        for start in range(0, len(doubtful), REFERENCE_ROWS):
            part = doubtful[start : start + REFERENCE_ROWS]
            judged = zip(part, plain_examples(rows(part)), strict=True)
            wrong += [r for r, example in judged if not executor.validate(state, found.candidate, [example])]
        doubtful = wrong
    return _spread(doubtful, COUNTEREXAMPLES)


def held_out_r2(state: dict[str, Any], found: Found, examples: Examples) -> float:
    """R2 on the rows that the search kept back."""
    _, hold = split(examples)
    data = engine.Dataset.from_examples([examples[i] for i in hold])
    r2 = float(engine.score(_packed(state, found, data), data).r2[0])
    if math.isfinite(r2):
        return r2
    # A constant target has no variance to explain; an unsure row is the reference's to judge.
    return 1.0 if executor.validate(state, found.candidate, [examples[i] for i in hold]) else r2


def best_trade(state: dict[str, Any], examples: Examples, near: list[Found]) -> Found:
    """Of several near misses the one with the shortest description: bits for the residual plus bits for the formula.

    Two-part code length in the manner of the Bayesian information criterion: n log(1 - R2) + log(n) size (Schwarz, 1978,
    Annals of Statistics 6), with one unit of size for each node of the simplified formula.
    """
    width, n = len(examples[0][0]), len(examples)
    nonzero = [c for c in range(width) if all(inputs[c] != 0 for inputs, _ in examples)]

    def cost(found: Found) -> tuple[float, Any]:
        c = found.candidate
        composition = composition_of(state, c, width)
        formula = Formula.from_composition(
            state, composition, width, constants=c.get("constants"), const_mode=c.get("const_mode", "multiplicative"),
            nonzero=nonzero,
        )  # fmt: skip
        bits = n * math.log(max(1 - found.r2, 1e-15)) + 2 * math.log(n) * formula.size
        return round(bits, 6), preference(state, found)  # many compositions are one formula

    return min(near, key=cost)
