"""Flat candidates: every one is made once, none that behaves differently is left out, dicts and records mean the same."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nssr import db, engine, executor, registry, search, search_space
from nssr.engine.candidates import COMP_CODES, COMP_NAMES, ROUTE_LENGTH

NAMES = ("primary_id", "secondary_id", "tertiary_id")


def library(*packs: str) -> tuple[Any, dict[str, Any]]:
    conn = db.init_db(":memory:")
    return conn, registry.init_registry(conn, ["core", *packs])


CORE = library()[1]
TABLE = engine.FunctionTable(CORE["metadata"])
ID = {e["name"]: i for i, e in CORE["metadata"].items()}


def slots(*rows: tuple[str, int, int, int]) -> Any:
    return np.array([(COMP_CODES[comp], p, s, t) for comp, p, s, t in rows], dtype=engine.SLOTS)


def everything(source: engine.Enumerator, step: int = 1000) -> Any:
    parts = [np.empty(0, dtype=engine.CANDIDATE)]
    while not source.exhausted:
        parts.append(source.fill(step))
    return np.concatenate(parts)


def keys(records: Any, n_columns: int) -> list[tuple[Any, ...]]:
    return [search._cand_key(c) for c in engine.unpack(records, n_columns)]


def lengths(comp: str, p: int, s: int, t: int) -> tuple[int, int] | None:
    """Route lengths as the documents have them; None where the functions do not fit together."""
    arity = [CORE["metadata"][i]["arity"] if i >= 0 else None for i in (p, s, t)]
    match comp:
        case "none":
            return (arity[0], 0) if arity[0] >= 0 else None
        case "sequential":
            return (arity[1], 0) if arity[0] >= 1 and arity[1] >= 0 else None
        case "nested":
            return (arity[0], 0) if arity[0] >= 1 and arity[1] == 1 else None
        case "parallel":
            return (arity[0], arity[1]) if arity[2] == 2 and min(arity[:2]) >= 0 else None
        case "loop_direct":
            return (2, 0) if arity[0] == 1 else None
        case _:
            return (2, 0) if arity[0] == 2 else None


choice = st.tuples(st.sampled_from(COMP_NAMES), *[st.sampled_from(sorted(CORE["metadata"]))] * 3)


@settings(max_examples=60, deadline=None)
@given(st.lists(choice, min_size=1, max_size=6, unique=True), st.integers(1, 4), st.integers(1, 700))
def test_without_pruning_the_full_product_is_made_once_in_order(chosen, n_columns, step):
    columns = list(range(n_columns))
    wanted = []
    for comp, p, s, t in chosen:
        fits = lengths(comp, p, s, t)
        if fits is None:
            continue
        for route in itertools.product(columns, repeat=sum(fits)):
            wanted.append((comp, p, s, t, route[: fits[0]], route[fits[0] :]))
    source = engine.Enumerator(slots(*chosen), TABLE.arity, TABLE.commutative, columns, symmetry=False)
    made = [
        (COMP_NAMES[r["comp"]], int(r["primary"]), int(r["secondary"]), int(r["tertiary"]),
         tuple(map(int, r["r1"][: r["n1"]])), tuple(map(int, r["r2"][: r["n2"]])))
        for r in everything(source, step)
    ]  # fmt: skip
    assert made == wanted
    assert source.n_made == len(wanted)
    assert source.n_symmetric == source.n_cut == 0
    assert source.n_choices_done == len(chosen)


@settings(max_examples=40, deadline=None)
@given(st.lists(choice, min_size=1, max_size=8, unique=True), st.integers(1, 4), st.integers(1, 50))
def test_pruned_candidates_are_each_made_once_and_the_counters_add_up(chosen, n_columns, step):
    pruned = engine.Enumerator(slots(*chosen), TABLE.arity, TABLE.commutative, list(range(n_columns)))
    some = everything(pruned, step)
    assert len(set(map(bytes, some))) == len(some)
    full = engine.Enumerator(slots(*chosen), TABLE.arity, TABLE.commutative, list(range(n_columns)), symmetry=False)
    all_of_them = everything(full)
    assert len(some) + pruned.n_symmetric == len(all_of_them)
    assert set(map(bytes, some)) <= set(map(bytes, all_of_them))


def behaviours(state: dict[str, Any], records: Any, data: engine.Dataset) -> set[bytes]:
    """Value vectors with their errors and doubts, as bytes; -0.0 counts as 0.0, one NaN as another."""
    values, _, _, status = engine.evaluate(engine.ProgramBatch.from_candidates(state, records, data.lanes), data)
    values = np.where(np.isnan(values), np.nan, values + 0.0)
    return {a.tobytes() + b.tobytes() for a, b in zip(values, status, strict=True)}


@settings(max_examples=25, deadline=None)
@given(
    st.sets(st.sampled_from([n for n, i in ID.items() if CORE["metadata"][i]["arity"] > 0]), min_size=2, max_size=6),
    st.lists(st.lists(st.integers(-4, 4), min_size=3, max_size=3), min_size=3, max_size=6),
    st.booleans(),
)
def test_symmetry_loses_no_behaviour(names, rows, floats):
    allowed = [ID[n] for n in names]
    chosen = search_space.choices(CORE, primary=allowed, secondary=allowed, tertiary=allowed, identities=False)
    columns = [np.array([r[c] for r in rows]) * (0.5 if floats and c else 1) for c in range(3)]
    data = engine.Dataset.from_columns(columns)
    pruned = everything(engine.Enumerator(chosen, TABLE.arity, TABLE.commutative, [0, 1, 2]))
    full = everything(engine.Enumerator(chosen, TABLE.arity, TABLE.commutative, [0, 1, 2], symmetry=False))
    assert behaviours(CORE, pruned, data) == behaviours(CORE, full, data)


def test_symmetry_loses_no_behaviour_where_values_are_nan():
    """MIN and MAX keep their first operand where the other is no number, so they may not be mirrored."""
    _, state = library("science")
    ids = {e["name"]: i for i, e in state["metadata"].items()}
    table = engine.FunctionTable(state["metadata"])
    allowed = [ids[n] for n in ("MIN", "MAX", "SQRT", "LOG", "ADD")]
    chosen = search_space.choices(state, primary=allowed, secondary=allowed, tertiary=allowed)
    data = engine.Dataset.from_columns([np.array([1.0, -2.0, 3.0, -4.0]), np.array([2.0, 5.0, -7.0, -1.0])])
    pruned = everything(engine.Enumerator(chosen, table.arity, table.commutative, [0, 1]))
    full = everything(engine.Enumerator(chosen, table.arity, table.commutative, [0, 1], symmetry=False))
    assert behaviours(state, pruned, data) == behaviours(state, full, data)


def test_identities_lose_no_behaviour_either():
    data = engine.Dataset.from_columns([np.array([3, -2, 0, 7]), np.array([0.5, 2.0, -1.5, 0.0])])

    def made(identities: bool) -> Any:
        chosen = search_space.choices(CORE, identities=identities)
        return everything(engine.Enumerator(chosen, TABLE.arity, TABLE.commutative, [0, 1]), 20_000)

    assert behaviours(CORE, made(True), data) == behaviours(CORE, made(False), data)


def test_promising_columns_come_first():
    source = engine.Enumerator(slots(("none", ID["SUB"], -1, -1)), TABLE.arity, TABLE.commutative, [7, 2])
    assert [list(r["r1"][:2]) for r in everything(source)] == [[7, 7], [7, 2], [2, 7], [2, 2]]


def test_a_cap_on_routings_is_counted():
    chosen = slots(("none", ID["SUB"], -1, -1), ("none", ID["INC"], -1, -1))
    source = engine.Enumerator(chosen, TABLE.arity, TABLE.commutative, [0, 1, 2], max_routings=4)
    assert len(everything(source)) == 4 + 3
    assert source.n_cut == 1


def test_candidates_are_written_where_the_caller_says():
    buffer = np.empty(5, dtype=engine.CANDIDATE)
    source = engine.Enumerator(slots(("none", ID["ADD"], -1, -1)), TABLE.arity, TABLE.commutative, [0, 1, 2])
    assert source.fill(100, buffer).base is buffer
    assert len(source.fill(100, buffer)) == 1
    assert source.exhausted
    assert len(source.fill(100)) == len(source.fill(0)) == 0


@pytest.mark.parametrize(
    ("chosen", "columns", "message"),
    [
        ([("none", 3, -1, -1)], [], "at least one column"),
        ([("none", 999, -1, -1)], [0], "beyond"),
        ([("none", -1, -1, -1)], [0], "lacks"),
        ([("none", 3, -1, -1), ("sequential", 3, -1, -1)], [0], "choice 1 lacks"),
        ([("parallel", 3, 3, -1)], [0], "lacks"),
    ],
)
def test_choices_that_are_none_are_refused(chosen, columns, message):
    with pytest.raises(ValueError, match=message):
        engine.Enumerator(slots(*chosen), TABLE.arity, TABLE.commutative, columns)


def test_functions_of_too_many_columns_are_passed_over():
    conn, state = library()
    width = ROUTE_LENGTH + 1
    steps = [(ID["ADD"], [0, 1]), *[(ID["ADD"], [width + i, i + 2]) for i in range(width - 2)]]
    wide = registry.register_learned(conn, state, "WIDE", width, steps)
    table = engine.FunctionTable(state["metadata"])
    chosen = slots(("none", wide, -1, -1), ("parallel", wide, 6, 3), ("nested", wide, 6, -1), ("none", 6, -1, -1))
    made = everything(engine.Enumerator(chosen, table.arity, table.commutative, [0, 1]))
    assert set(made["primary"]) == {6}
    with pytest.raises(ValueError, match="more than 8 columns"):
        engine.pack([{"primary_id": wide, "routing": list(range(width))}], width, {wide: width})


# ---- deduplication -------------------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(st.lists(choice, min_size=1, max_size=4), st.integers(1, 3), st.randoms(use_true_random=False))
def test_deduplicate_keeps_what_a_dict_would_keep(chosen, n_columns, rng):
    records = everything(engine.Enumerator(slots(*chosen), TABLE.arity, TABLE.commutative, list(range(n_columns))))
    if not len(records):
        return
    drawn = records[[rng.randrange(len(records)) for _ in range(200)]]
    first: dict[tuple[Any, ...], int] = {}
    for i, key in enumerate(keys(drawn, n_columns)):
        first.setdefault(key, i)
    assert engine.deduplicate(drawn).tolist() == list(first.values())


def test_deduplicate_tells_constants_apart():
    records = np.zeros(4, dtype=engine.CANDIDATE)
    records["k"] = [1.0, 2.0, 1.0, 2.0]
    assert engine.deduplicate(records).tolist() == [0, 1]
    assert engine.deduplicate(records[:0]).tolist() == []


# ---- records and dicts ---------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(choice, st.integers(2, 4), st.data())
def test_unpacked_and_packed_again_a_candidate_is_the_same(chosen, n_columns, data):
    records = everything(engine.Enumerator(slots(chosen), TABLE.arity, TABLE.commutative, list(range(n_columns))))
    if not len(records):
        return
    record = records[data.draw(st.integers(0, len(records) - 1))].copy()
    mode = data.draw(st.sampled_from([0, 1, 2, 3]))
    record["mode"], record["k"], record["k2"] = mode, 1.5 * (mode > 0), -2.0 * (mode == 3)
    if COMP_NAMES[record["comp"]] in ("none", "loop_direct", "loop_binary"):
        record["secondary"] = record["tertiary"] = -1
    (candidate,) = engine.unpack([record], n_columns)
    again = engine.pack([candidate], n_columns, {i: int(a) for i, a in enumerate(TABLE.arity)})
    assert again[0] == record
    named = {i for route in (record["r1"][: record["n1"]], record["r2"][: record["n2"]]) for i in route}
    assert candidate["null_columns"] == (sorted(set(range(n_columns)) - named) or None)


@settings(max_examples=150, deadline=None)
@given(
    st.tuples(st.sampled_from(COMP_NAMES), *[st.sampled_from([i for i in CORE["metadata"] if i < 18])] * 3),
    st.data(),
)
def test_a_dict_means_the_same_to_the_engine_and_to_the_reference(chosen, data):
    comp, p, s, t = chosen
    n = 3
    route = st.none() | st.lists(st.integers(-1, n - 1), min_size=1, max_size=3)
    candidate = {
        "primary_id": p, "secondary_id": s, "tertiary_id": t, "comp_type": comp,
        "null_columns": data.draw(st.none() | st.lists(st.integers(0, n - 1), max_size=2)),
        "routing": data.draw(st.none() | st.tuples(route, route)) if comp == "parallel" else data.draw(route),
    }  # fmt: skip
    if comp.startswith("loop") and candidate["routing"] is not None:
        candidate["routing"] = (candidate["routing"] * 2)[:2]
    if data.draw(st.booleans()):
        candidate |= {"constants": [1.5], "const_mode": data.draw(st.sampled_from(["multiplicative", "additive", None]))}
    inputs = data.draw(st.lists(st.integers(-5, 5), min_size=n, max_size=n))
    try:
        value = float(executor.run(CORE, candidate, inputs))
    except Exception:
        value = None
    verdict = judge(candidate, inputs, value)
    if value is None:
        # Nested candidates compute what their outer function does not read; the engine leaves it out.
        assert verdict in (engine.FAIL, engine.UNSURE) or comp == "nested"
    else:
        assert verdict in (engine.PASS, engine.UNSURE)
        assert judge(candidate, inputs, value + 1 + abs(value)) != engine.PASS


def judge(candidate: dict[str, Any], inputs: list[int], target: float | None) -> int:
    data = engine.Dataset.from_examples([(inputs, 0.25 if target is None else target)])
    batch = engine.ProgramBatch.from_candidates(CORE, [candidate], data.lanes)
    return int(engine.validate(batch, data)[0])


def test_a_loop_over_values_is_left_to_the_reference():
    """LOOP as a plain function reads its body's id from the data, which only the reference can do."""
    candidate = {"primary_id": ID["LOOP"], "comp_type": "none", "routing": [0, 1, 2]}
    example = ([ID["INC"], 2, 5], 7)
    assert executor.validate(CORE, candidate, [example])
    assert judge(candidate, *example) == engine.UNSURE


@pytest.mark.parametrize(
    ("candidate", "message"),
    [
        ({"primary_id": 3, "comp_type": "zigzag"}, "candidate 0: unknown composition type 'zigzag'"),
        ({"primary_id": 3, "routing": [0, 2]}, "candidate 0 names column 2"),
        ({"primary_id": 3, "routing": [0, -2]}, "candidate 0 names column -2"),
    ],
)
def test_pack_says_what_is_wrong_with_a_candidate(candidate, message):
    with pytest.raises(ValueError, match=message):
        engine.pack([candidate], 2, {3: 2})


def test_nothing_is_packed_and_unpacked():
    assert len(engine.pack([], 2, {})) == 0
    assert engine.unpack(np.empty(0, dtype=engine.CANDIDATE), 2) == []
    assert math.prod(engine.CANDIDATE.shape) == 1
