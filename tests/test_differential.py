"""Random typed programs: the reference against the engine, on every instruction set of this machine."""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from random_programs import Reference, constants, library, rows, steps

from nssr import engine, executor

PROGRAMS_PER_EXAMPLE = 50
EXAMPLES = 800  # 40,000 programs in all


@pytest.fixture(autouse=True)
def _restore_target() -> Iterator[None]:
    before = engine.target()
    yield
    engine.set_target(before)


def same(value: Any, raw: int, lane: str) -> bool:
    """Whether the engine's eight bytes are the reference's number, to the last bit (NaNs are all alike)."""
    if lane == "i":
        return isinstance(value, int) and value == raw
    got = struct.unpack("<d", struct.pack("<q", raw))[0]
    if isinstance(value, int):  # a row of a column of mixed types
        return float(value) == got
    return (math.isnan(value) and math.isnan(got)) or struct.pack("<d", value) == struct.pack("<d", got)


def compare(state: dict[str, Any], programs: list[Any], data_rows: list[list[Any]], lanes: str, rng: random.Random) -> int:
    """Asserts agreement of every program on every row and target; how many rows were unsure."""
    reference = Reference(state)
    # The target of `validate` is what one of the programs gives, so that some of them pass.
    target = [reference.run(*_call(rng.choice(programs[:3]), row))[0] for row in data_rows]
    target = [float(t) if isinstance(t, (int, float)) and abs(t) < 1e300 else 0.0 for t in target]
    kinds = {"i": np.int64, "f": np.float64}
    columns = [np.array(c, dtype=kinds[lane]) for lane, c in zip(lanes, zip(*data_rows, strict=True), strict=True)]
    data = engine.Dataset.from_columns(columns, target)
    batch = engine.ProgramBatch.from_compositions(state, [(c, len(lanes), k, m) for c, k, m in programs], lanes)
    results = []
    for name in engine.targets():
        engine.set_target(name)
        results.append((engine.evaluate(batch, data), engine.validate(batch, data)))
    first, verdicts = results[0]
    for other, other_verdicts in results[1:]:
        np.testing.assert_array_equal(first.status, other.status)
        fine = first.status == 0
        assert (((first.raw == other.raw) | (np.isnan(first.values) & np.isnan(other.values))) | ~fine).all()
        np.testing.assert_array_equal(verdicts, other_verdicts)
    unsure = 0
    for p, (composition, k, mode) in enumerate(programs):
        outcomes = [
            (*reference.run(composition, row, k, mode), reference.big, reference.mixed, reference.untyped) for row in data_rows
        ]
        types_vary = any(mixed for *_, mixed, _ in outcomes)
        for r, (value, fine, big, _, untyped) in enumerate(outcomes):
            said = first.status[p, r]
            what = f"{composition} k={k} {mode} on {data_rows[r]} ({lanes}): reference {value!r}, engine {first.values[p, r]!r}"
            if said == 2:
                unsure += 1
                reason = big or types_vary or ((untyped or not fine) and reference.types_can_vary(composition, lanes))
                assert reason, f"unsure without reason: {what}"
            elif said == 1:
                assert not fine, f"error where the reference has a value: {what}"
            else:
                assert fine, f"a value where the reference raises: {what}"
                assert same(value, int(first.raw[p, r]), first.lanes[p]), f"another value: {what}"
        truth = all(fine and _close(value, y) for (value, fine, *_), y in zip(outcomes, target, strict=True))
        if verdicts[p] != engine.UNSURE:
            assert verdicts[p] == truth, f"{composition} k={k} {mode}: verdict {verdicts[p]}, reference {truth}"
        else:
            assert (first.status[p] == 2).any()
    return unsure


def _call(program: Any, row: list[Any]) -> tuple[Any, list[Any], Any, str]:
    composition, k, mode = program
    return composition, row, k, mode


def _close(value: Any, y: float) -> bool:
    try:
        return math.isclose(value, y, rel_tol=1e-6, abs_tol=1e-9)
    except OverflowError:
        return False


@settings(max_examples=EXAMPLES, deadline=None)
@given(seed=st.integers(0, 2**32), lanes=st.text("if", min_size=1, max_size=4), n=st.integers(1, 130), size=st.integers(1, 4))
@example(seed=128, lanes="fifi", n=8, size=2)  # a loop of no rounds, whose body raises on its first state
def test_engine_agrees_with_the_reference(seed: int, lanes: str, n: int, size: int) -> None:
    rng = random.Random(seed)
    state = LIBRARIES[seed % len(LIBRARIES)]
    programs = [
        (steps(rng, state, len(lanes), rng.randint(1, size)), *constants(rng)) for _ in range(PROGRAMS_PER_EXAMPLE)
    ]
    # A few rows decide as well as many; all row counts are visited, since blocks and masks depend on them.
    compare(state, programs, rows(rng, lanes, n if seed % 10 == 0 else min(n, 9)), lanes, rng)


LIBRARIES = [library(seed) for seed in range(6)]


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32), lanes=st.text("if", min_size=2, max_size=3))
def test_candidates_mean_what_the_executor_says(seed: int, lanes: str) -> None:
    rng = random.Random(seed)
    state = LIBRARIES[seed % len(LIBRARIES)]
    ids = sorted(state["metadata"])
    width = len(lanes)

    def candidate() -> dict[str, Any]:
        kind = rng.choice(["none", "sequential", "nested", "parallel", "loop_direct", "loop_binary"])
        p, s, t = rng.choice(ids), rng.choice(ids), rng.choice(ids)
        any_route = lambda n: [rng.randrange(width) for _ in range(n)]  # noqa: E731
        arity = {i: max(state["metadata"][i]["arity"], 0) for i in ids}
        routing = {
            "none": any_route(arity[p]), "sequential": any_route(arity[s]), "nested": any_route(arity[p]),
            "parallel": (any_route(arity[p]), any_route(arity[s])),
        }.get(kind, any_route(2))  # fmt: skip
        c = {
            "primary_id": p, "secondary_id": s if kind in ("sequential", "nested", "parallel") else None,
            "tertiary_id": t if kind == "parallel" else None, "comp_type": kind, "routing": routing,
            "null_columns": [rng.randrange(width)] if rng.random() < 0.2 else None,
        }  # fmt: skip
        k, mode = constants(rng)
        return {**c, "constants": k, "const_mode": mode} if k else c

    given_candidates = [candidate() for _ in range(60)]
    data_rows = rows(rng, lanes, 7)
    outputs = []
    for row in data_rows:
        try:
            value = float(executor.run(state, given_candidates[0], list(row)))
            outputs.append(value if math.isfinite(value) else 0.0)
        except Exception:
            outputs.append(0.0)
    examples = list(zip(data_rows, outputs, strict=True))
    data = engine.Dataset.from_examples(
        [([float(v) if lane == "f" else v for v, lane in zip(row, lanes, strict=True)], y) for row, y in examples]
    )
    verdicts = engine.validate(engine.ProgramBatch.from_candidates(state, given_candidates, data.lanes), data)
    for c, verdict in zip(given_candidates, verdicts, strict=True):
        if verdict != engine.UNSURE:
            assert bool(verdict) == executor.validate(state, c, examples), c


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), lanes=st.text("if", min_size=2, max_size=3))
def test_candidates_in_order_mean_what_each_means_alone(seed: int, lanes: str) -> None:
    """Lowering a run of candidates uses code of the one before; alone there is none to use."""
    rng = random.Random(seed)
    state = LIBRARIES[seed % len(LIBRARIES)]
    table = engine.FunctionTable(state["metadata"])
    ids = [i for i, e in state["metadata"].items() if 0 <= e["arity"] <= 3]
    pairs = [i for i in ids if state["metadata"][i]["arity"] == 2]
    left = rng.sample(ids, 3)
    slots = [(3, rng.choice(left), rng.choice(ids), rng.choice(pairs)) for _ in range(8)] + [(1, rng.choice(ids), left[0], -1)]
    records = engine.Enumerator(
        np.array(slots, dtype=engine.SLOTS), table.arity, table.commutative, range(len(lanes)), max_routings=12
    ).fill(100)
    data = engine.Dataset.from_examples([(row, 0.0) for row in rows(rng, lanes, 5)])
    together = engine.evaluate(engine.ProgramBatch.from_candidates(table, records, data.lanes), data)
    for i in range(len(records)):
        alone = engine.evaluate(engine.ProgramBatch.from_candidates(table, records[i : i + 1], data.lanes), data)
        np.testing.assert_array_equal(together.status[i], alone.status[0])
        np.testing.assert_array_equal(together.values[i], alone.values[0])


def test_packing_keeps_every_field() -> None:
    state = LIBRARIES[0]
    table = engine.FunctionTable(state["metadata"])
    source = engine.Enumerator(
        np.array([(0, 3, -1, -1), (1, 6, 5, -1), (3, 3, 5, 4)], dtype=engine.SLOTS), table.arity, table.commutative, [0, 1, 2]
    )
    records = source.fill(1000)
    arities = {i: int(a) for i, a in enumerate(table.arity)}
    again = engine.pack(engine.unpack(records, 3), 3, arities)
    np.testing.assert_array_equal(records, again)
