"""The search, end to end in one process, and the documented functions around it."""

from __future__ import annotations

import csv
import itertools
import logging
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nssr import db, executor, registry, search, search_space
from nssr.encoding import format_examples
from nssr.model import create_model

BOYLE = Path(__file__).parent / "data" / "boyle_1662.csv"


def library(packs: tuple[str, ...] = ("core",), without: tuple[str, ...] = ()) -> tuple[Any, dict[str, Any]]:
    conn = db.init_db(":memory:")
    return conn, registry.init_registry(conn, packs, without)


CONN, STATE = library()
ID = {e["name"]: i for i, e in STATE["metadata"].items()}


def find(examples: Any, state: dict[str, Any] = STATE, **more: Any) -> search.Outcome:
    outcome = search.find(state, None, examples, None, **more)
    if outcome.found is not None and outcome.found.exact:
        assert executor.validate(state, outcome.found.candidate, examples)
    return outcome


def used(c: dict[str, Any]) -> set[int]:
    routes = c["routing"] if c["comp_type"] == "parallel" else [c["routing"]]
    return {i for route in routes for i in route}


def ids_of(c: dict[str, Any]) -> set[int]:
    return {c[k] for k in ("primary_id", "secondary_id", "tertiary_id") if c[k] is not None}


def truth_table(f: Callable[[int, int], int]) -> list[Any]:
    return [([a, b], f(a, b)) for a in (0, 1) for b in (0, 1)]


def experiment(name: str, seed: int, n: int = 30) -> tuple[list[Any], set[int]]:
    """Tables of the documented noise experiment: examples, and the columns that matter."""
    rng = random.Random(seed)

    def junk() -> float:
        return round(rng.uniform(-100, 100), 2)

    def one() -> tuple[list[float], float]:
        if name == "SQUARE":
            x = round(rng.uniform(-10, 10), 2)
            return [x, junk(), junk()], x * x
        m, v, h = round(rng.uniform(1, 20), 2), round(rng.uniform(1, 15), 2), round(rng.uniform(1, 50), 2)
        if name == "FORCE":
            return [junk(), m, junk(), v], m * v
        if name == "KE":
            return [m, m + rng.uniform(-3, 3), v], 0.5 * m * v**2
        if name == "PE":
            return [junk(), m, h, junk()], m * 9.81 * h
        return [m, junk(), v, h, junk()], 0.5 * m * v**2 + m * 9.81 * h

    columns = {"SQUARE": {0}, "FORCE": {1, 3}, "KE": {0, 2}, "PE": {1, 2}, "TOTAL_E": {0, 2, 3}}
    return [one() for _ in range(n)], columns[name]


# ---- end to end ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("name", ["SQUARE", "FORCE", "KE", "PE"])
def test_junk_columns_are_ignored(name, seed):
    examples, columns = experiment(name, seed)
    outcome = find(examples)
    assert outcome.found is not None
    assert outcome.found.exact
    assert used(outcome.found.candidate) == columns
    unseen, _ = experiment(name, seed + 100)
    assert executor.validate(STATE, outcome.found.candidate, unseen)


@pytest.mark.parametrize("seed", [0, 1])
def test_energies_are_added_once_they_are_known(seed):
    conn, state = library()
    ke = registry.register_learned(conn, state, "KE", 2, [(ID["MUL"], [1, 1]), (ID["MUL"], [0, 2])], [0.5])
    pe = registry.register_learned(conn, state, "PE", 2, [(ID["MUL"], [0, 1])], [9.81])
    examples, columns = experiment("TOTAL_E", seed)
    outcome = find(examples, state)
    assert outcome.found is not None
    c = outcome.found.candidate
    assert outcome.found.exact
    assert used(c) == columns
    assert {c["primary_id"], c["secondary_id"], c["tertiary_id"]} == {ke, pe, ID["ADD"]}


def test_addition_is_repeated_increment_and_multiplication_repeated_addition():
    conn, state = library(without=("ADD", "SUB", "MUL"))
    pairs = list(itertools.product(range(6), repeat=2))
    outcome = find([([a, b], a + b) for a, b in pairs], state)
    assert outcome.found is not None
    c = outcome.found.candidate
    assert (c["comp_type"], c["primary_id"], c["routing"]) == ("loop_direct", ID["INC"], [0, 1])
    plus = registry.register_learned(conn, state, "PLUS", 2, [(ID["LOOP"], [ID["INC"], 1, 0])])
    outcome = find([([a, b], a * b) for a, b in pairs], state)
    assert outcome.found is not None
    c = outcome.found.candidate
    assert (c["comp_type"], c["primary_id"], c["routing"]) == ("loop_binary", plus, [0, 1])


def test_boyle_found_his_law():
    with BOYLE.open() as file:
        examples = [([int(r["volume"])], float(r["pressure_in_hg"])) for r in csv.DictReader(file)]
    assert len(examples) == 25
    outcome = find(examples)
    assert outcome.found is not None
    assert outcome.r2 > 0.999
    k = executor.run(STATE, outcome.found.candidate, [20]) * 20
    assert k == pytest.approx(1407, abs=10)
    for volume in (10, 15, 40, 100):
        assert executor.run(STATE, outcome.found.candidate, [volume]) == pytest.approx(k / volume, rel=1e-9)


@pytest.mark.parametrize(
    ("f", "names"),
    [
        (lambda a, b: ~(a & b) & 1, None),
        (lambda a, b: a ^ b, {"NEQ"}),
        (lambda a, b: a & b, {"AND"}),
        (lambda a, b: 1, None),
        (lambda a, b: a, {"CONST"}),
    ],
)
def test_four_rows_of_truth_values(f, names):
    outcome = find(truth_table(f))
    assert outcome.found is not None
    assert outcome.found.exact
    assert names is None or {STATE["metadata"][i]["name"] for i in ids_of(outcome.found.candidate)} == names


EDGE_CASES: dict[str, tuple[list[Any], bool]] = {
    "one column": ([([x], x - 1) for x in range(9)], True),
    "three rows": ([([1, 2], 3), ([4, 5], 9), ([2, 7], 9)], True),
    "one row": ([([3, 4], 12)], True),
    "bools": ([([bool(a), bool(b)], bool(a or b)) for a in (0, 1) for b in (0, 1)], True),
    "numpy numbers": ([(list(np.array([a, 2])), np.float64(2 * a)) for a in range(8)], True),
    "constant": ([([a, a * a], 0.1) for a in range(1, 30)], True),
    "mixed column": ([([1, 2], 3), ([2.5, 2], 4.5), ([7, 2], 9), ([8, -1.5], 6.5)], True),
    "beyond int64": ([([10**20 + a, a], 10**20 * a + a * a) for a in range(1, 9)], True),
    "duplicated columns": ([([a, a, b, b], a * b) for a in range(4) for b in range(4)], True),
    "constant columns": ([([a, 0, 7], a * 7) for a in range(9)], True),
    "an infinite output": ([([float(a), 1.0], float("inf") if a == 3 else a) for a in range(9)], False),
    "infinite inputs": ([([float("inf") if a == 3 else float(a), a + 0.5], a + 1.5) for a in range(9)], True),
    "not a number": ([([float("nan"), a], a + 1) for a in range(9)], True),
    "nothing there": ([([a % 3, a % 2], (a * 7919) % 101) for a in range(20)], False),
}


@pytest.mark.parametrize("case", EDGE_CASES)
def test_edge_cases(case):
    examples, there = EDGE_CASES[case]
    outcome = find(examples)
    assert (outcome.found is not None and outcome.found.exact) == there
    assert outcome.exhausted or there
    if "nothing" in case:
        assert outcome.found is None
        assert outcome.r2 < 0.999


def test_five_hundred_columns():
    rng = random.Random(0)
    rows = [[round(rng.uniform(-9, 9), 2) for _ in range(500)] for _ in range(30)]
    outcome = find([(r, r[123] * r[456]) for r in rows], max_depth=1)
    assert outcome.found is not None
    assert outcome.found.candidate["routing"] == [123, 456]
    assert outcome.found.candidate["null_columns"] == [i for i in range(500) if i not in (123, 456)]


def test_columns_that_the_budget_leaves_out_are_told(monkeypatch):
    monkeypatch.setattr(search, "MAX_CANDIDATES", 20_000)
    rng = random.Random(0)
    rows = [[rng.uniform(-9, 9) for _ in range(9)] for _ in range(20)]
    outcome = find([(r, rng.uniform(-1, 1)) for r in rows])
    assert outcome.found is None
    assert 0 < outcome.columns_left_out <= 9 - search.LEAST_COLUMNS
    assert not outcome.exhausted
    assert outcome.counters.checked < 200_000
    assert find([(r[:2], r[0] + r[1]) for r in rows]).columns_left_out == 0


def test_a_wide_learned_function_does_not_narrow_the_search():
    conn, state = library()
    steps = [(ID["ADD"], [0, 1]), *[(ID["ADD"], [6 + i, i + 2]) for i in range(4)]]
    registry.register_learned(conn, state, "SUM6", 6, steps)
    rng = random.Random(1)
    rows = [[round(rng.uniform(1, 9), 2) for _ in range(6)] for _ in range(30)]
    outcome = find([(r, r[0] * r[1] - r[4] / r[5]) for r in rows], state)
    assert outcome.found is not None
    assert used(outcome.found.candidate) == {0, 1, 4, 5}


def test_a_function_that_no_candidate_can_place_does_no_harm():
    conn, state = library()
    steps = [(ID["ADD"], [0, 1]), *[(ID["ADD"], [10 + i, i + 2]) for i in range(8)]]
    wide = registry.register_learned(conn, state, "SUM10", 10, steps)
    outcome = find([([a, b], a * b) for a in range(4) for b in range(4)], state)
    assert outcome.found is not None
    assert wide not in ids_of(outcome.found.candidate)


@pytest.mark.parametrize("without", [("NEQ",), ("NULL", "LOOP"), ("OR", "AND", "NOT"), ("NEQ", "EQ", "SUB", "LT", "GT")])
def test_what_is_withheld_is_not_found(without):
    _, state = library(without=without)
    outcome = find(truth_table(lambda a, b: a ^ b), state)
    assert outcome.found is not None
    assert not ids_of(outcome.found.candidate) & {ID[n] for n in without}
    if "LOOP" in without:
        assert not outcome.found.candidate["comp_type"].startswith("loop")


def test_the_science_pack_takes_part():
    _, state = library(("core", "science"))
    rng = random.Random(0)
    rows = [[rng.uniform(0.1, 5), rng.uniform(0.1, 5), rng.uniform(-100, 100)] for _ in range(20)]
    outcome = find([(r, 2 * (r[0] / r[1]) ** 0.5) for r in rows], state)
    assert outcome.found is not None
    assert outcome.found.exact
    assert used(outcome.found.candidate) == {0, 1}


def test_operands_are_not_exchanged_where_that_matters():
    """A minimum of roots, one of which is no number on some rows: exchanged, it would be no number itself."""
    _, state = library(("core", "science"))
    ids = {e["name"]: i for i, e in state["metadata"].items()}
    wanted = {"primary_id": ids["MIN"], "secondary_id": ids["SQRT"], "comp_type": "nested", "routing": [1, 0]}
    rows = [[-1.0, 5.0], [4.0, 9.0], [7.0, 2.0], [-3.0, 8.0], [16.0, 3.0], [2.0, 6.0], [5.0, 11.0], [-2.5, 13.0]]
    outcome = find([(r, executor.run(state, wanted, r)) for r in rows], state)  # find() validates what it gets
    assert outcome.found is not None
    assert outcome.found.exact


@pytest.mark.parametrize("name", ["KE", "TOTAL_E"])
def test_threads_and_repetition_change_nothing(name):
    examples, _ = experiment(name, 7)
    noisy = [(r, round(y, 1)) for r, y in examples]
    model = create_model(input_dim=32, seq_len=8, d_model=32, n_functions=21, n_heads=2, n_recursions=1, T=1)
    x = format_examples(noisy, input_dim=32, seq_len=8)
    told = []
    for n_threads, guide in itertools.product((1, 2, 1), (None, model)):
        outcome = search.find(STATE, guide, noisy, x, n_threads=n_threads, max_steps=2)
        told.append((guide is None, repr(outcome)))
    assert len(set(told)) == 2  # one answer for each guide


def test_near_misses_are_for_the_caller_to_choose_among():
    examples = [(r, round(y, 1)) for r, y in experiment("PE", 0)[0]]
    offered: list[Any] = []

    def last(near: list[Any]) -> Any:
        offered.extend(near)
        return near[-1]

    outcome = find(examples, choose=last)
    assert len(offered) > 1
    assert outcome.found is offered[-1]
    assert outcome.r2 == offered[-1].r2 > 0.999
    default = find(examples).found
    assert default is not None
    assert default.candidate["constants"] == [9.81]
    assert used(default.candidate) == {1, 2}


def test_progress_is_told_at_every_step():
    steps: list[Any] = []
    find([([a % 3, a % 2], (a * 7919) % 101) for a in range(20)], progress=lambda *now: steps.append((*now[:2], now[2].checked)))
    assert [s[0] for s in steps] == list(range(1, len(steps) + 1))
    assert {s[1] for s in steps} == {10}
    assert sorted(s[2] for s in steps) == [s[2] for s in steps]


# ---- with a model --------------------------------------------------------------------------------------------------


def test_a_model_orders_and_does_not_forbid():
    """An untrained model, and one of an older and smaller vocabulary, find what is there."""
    torch.manual_seed(0)
    examples, columns = experiment("KE", 1)
    x = format_examples(examples, input_dim=32, seq_len=8)
    for n in (21, 5):
        model = create_model(input_dim=32, seq_len=8, d_model=32, n_functions=n, n_heads=2, n_recursions=1, T=1)
        found = search.guided(STATE, model, examples, x, max_steps=10, max_depth=3, temperature_boost=0.5)
        assert found is not None
        assert used(found) == columns


def test_guided_gives_the_candidate_and_the_inner_function_its_r2():
    examples = truth_table(lambda a, b: a & b)
    candidate, r2 = search._guided_inner(STATE, None, examples, None, max_steps=3, max_depth=3, temperature_boost=0.0)
    assert candidate == search.guided(STATE, None, examples, None)
    assert r2 == 1.0
    nothing = [([a], (a * 7919) % 101) for a in range(20)]
    candidate, r2 = search._guided_inner(STATE, None, nothing, None, max_steps=1, max_depth=1, temperature_boost=0.0)
    assert candidate is None
    assert r2 < 1


# ---- documented functions ------------------------------------------------------------------------------------------


def test_subsets_of_columns_to_keep():
    assert search._null_column_subsets(1) == [[0]]
    assert search._null_column_subsets(2) == [[0, 1], [0], [1]]
    assert search._null_column_subsets(3) == [[0, 1, 2], [0], [1], [2], [0, 1], [0, 2], [1, 2]]
    four = search._null_column_subsets(4)
    assert sorted(map(len, four)) == [1] * 4 + [2] * 6 + [3] * 4 + [4]
    assert len({tuple(s) for s in four}) == 15
    assert search._null_column_subsets(4, max_null=1) == [[0, 1, 2, 3], [0, 1, 2], [0, 1, 3], [0, 2, 3], [1, 2, 3]]


def test_null_is_found_by_name():
    assert search._find_null_id(STATE) == ID["NULL"]


def tops(*names: str) -> dict[str, list[int]]:
    return {slot: [ID[n] for n in names] for slot in ("primary", "secondary", "tertiary")}


def generated(depth: int, state: dict[str, Any] = STATE, comp: Any = (0, 1, 2, 3), *names: str) -> list[dict[str, Any]]:
    given_tops = tops(*(names or ("ADD", "MUL", "INC", "NULL", "LOOP")))
    return search._generate_candidates(
        state, given_tops, comp, depth, 3, search._null_column_subsets(3), search._find_null_id(state)
    )


def test_candidates_of_each_depth():
    one, two = generated(1), generated(2)
    assert {c["comp_type"] for c in one} == {"none"}
    assert {c["comp_type"] for c in two} == {"none", "sequential", "nested", "parallel", "loop_direct", "loop_binary"}
    for made in (one, two):
        assert not {i for c in made for i in ids_of(c)} & {ID["NULL"], ID["LOOP"]}
        assert len({search._cand_key(c) for c in made}) == len(made)
    assert {"comp_type": "none", "primary_id": ID["MUL"], "routing": [0, 0], "null_columns": [1, 2]}.items() <= next(
        c for c in one if c["primary_id"] == ID["MUL"] and c["routing"] == [0, 0]
    ).items()
    routes = {tuple(map(tuple, c["routing"])) for c in two if c["comp_type"] == "parallel"}
    assert len(routes) > 30  # at most 30 for each choice and subset of columns
    assert {c["comp_type"] for c in generated(2, STATE, ["sequential"])} == {
        "none", "sequential", "loop_direct", "loop_binary",
    }  # fmt: skip


def test_the_third_depth_knows_every_learned_function():
    conn, state = library()
    nand = registry.register_learned(conn, state, "NAND", 2, [(ID["AND"], [0, 1]), (ID["NOT"], [2])])
    assert not any(nand in ids_of(c) for c in generated(2, state))
    assert any(c["secondary_id"] == nand for c in generated(3, state))


def test_sequential_and_nested_candidates_are_added():
    made: list[dict[str, Any]] = [{"kept": True}]
    search._add_composition_candidates(made, STATE, ID["INC"], ID["ADD"], "sequential", 2, [[0, 1], [1]])
    assert made[0] == {"kept": True}
    assert [c["routing"] for c in made[1:]] == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert all(c["comp_type"] == "sequential" for c in made[1:])
    assert executor.run(STATE, made[2], [3, 4]) == 8
    nested: list[dict[str, Any]] = []
    search._add_composition_candidates(nested, STATE, ID["ADD"], ID["INC"], "nested", 2, [[0, 1]])
    assert {executor.run(STATE, c, [3, 4]) for c in nested} == {8, 9, 10}


@pytest.mark.parametrize("pair", [("ADD", "MUL"), ("MUL", "ADD"), ("MUL", "INC"), ("INC", "MUL")])
def test_parallel_candidates_are_added_in_either_order(pair):
    made: list[dict[str, Any]] = []
    first, second = ID[pair[0]], ID[pair[1]]
    search._add_parallel_candidates(made, STATE, first, second, ID["ADD"], 3, "parallel", [[0, 1, 2]])
    assert len(made) == (30 if "INC" not in pair else 27)
    assert all((c["primary_id"], c["secondary_id"], c["tertiary_id"]) == (first, second, ID["ADD"]) for c in made)
    few: list[dict[str, Any]] = []
    search._add_parallel_candidates(few, STATE, first, second, ID["ADD"], 3, "parallel", [[0, 1], [2]], max_routings=4)
    assert len(few) == 5


def test_constants_are_fitted_to_one_candidate():
    product = search._candidate(ID["MUL"], routing=[0, 1])
    rows = [[a + 1.0, 2.0 * b + 1] for a in range(4) for b in range(4)]
    scaled = search._try_fit_constants(STATE, product, [(r, 0.5 * r[0] * r[1]) for r in rows])
    shifted = search._try_fit_constants(STATE, product, [(r, r[0] * r[1] + 7) for r in rows])
    assert scaled is not None
    assert shifted is not None
    assert (scaled["constants"], scaled["const_mode"]) == (pytest.approx([0.5]), "multiplicative")
    assert (shifted["constants"], shifted["const_mode"]) == (pytest.approx([7]), "additive")
    assert product == search._candidate(ID["MUL"], routing=[0, 1])  # left as it was
    assert search._try_fit_constants(STATE, product, [(r, r[0] ** 3) for r in rows]) is None
    bits = search._candidate(ID["AND"], routing=[0, 1])
    assert search._try_fit_constants(STATE, bits, [(r, 1.0) for r in rows]) is None  # raises on floats
    sums = search._candidate(ID["ADD"], routing=[0, 1])
    examples = [(r, 3 * r[0] * r[1]) for r in rows]
    assert search._try_fit_any(STATE, [bits, sums, product], examples) == {
        **product, "constants": [pytest.approx(3)], "const_mode": "multiplicative",
    }  # fmt: skip
    assert search._try_fit_any(STATE, [], examples) is None


def test_fits_and_r2():
    assert search._fit_scale([1, 2], [3, 6]) == pytest.approx(3)
    assert search._fit_scale([0, 0], [3, 6]) is None
    assert search._fit_offset([1, 2], [4, 5]) == pytest.approx(3)
    assert search._fit_offset([1, 2], [4, 5.1]) is None
    assert search._r2([1, 2, 3], [1, 2, 3]) == 1
    assert search._r2([2, 2], [2, 2]) == 1
    assert search._r2([2, 2], [2, 3]) == float("-inf")
    assert search._r2([1, 2, 3], [2, 2, 2]) == 0


def test_keys_tell_candidates_apart_and_can_be_hashed():
    made = generated(2)
    assert len({search._cand_key(c) for c in made}) == len(made)
    a = search._candidate(3, routing=[0, 1], null_columns=[2])
    assert search._cand_key(a) == search._cand_key(dict(a, routing=(0, 1)))
    for field, other in [
        ("primary_id", 4), ("secondary_id", 1), ("tertiary_id", 1), ("comp_type", "nested"), ("routing", [1, 0]),
        ("null_columns", None),
    ]:  # fmt: skip
        assert search._cand_key(a) != search._cand_key({**a, field: other})


def test_a_candidate_has_the_documented_fields():
    assert search._candidate(3) == {
        "primary_id": 3, "secondary_id": None, "tertiary_id": None, "comp_type": "none", "routing": None,
        "null_columns": None,
    }  # fmt: skip
    assert search._complexity_score(search._candidate(1, 2, 3, comp_type="parallel")) == 4


def test_descriptions_name_the_functions(caplog):
    c = search._candidate(ID["ADD"], ID["MUL"], ID["SUB"], comp_type="parallel", routing=([0, 1], [1, 1]))
    assert search._describe_candidate(STATE, c).startswith("SUB(ADD(...), MUL(...))")
    assert search._describe_candidate(STATE, search._candidate(ID["SUB"], ID["INC"], comp_type="nested")) == "SUB(INC(each))"
    with caplog.at_level(logging.DEBUG, "nssr.search"):
        find([(r, round(y, 1)) for r, y in experiment("PE", 0)[0]])
    assert sum("near miss" in m for m in caplog.messages) == 5


@settings(max_examples=10, deadline=None)
@given(st.sampled_from(range(len(search_space.choices(STATE)))), st.integers(0, 10**6))
def test_whatever_is_in_the_space_is_found(place, seed):
    """Data made by a random candidate are explained, and by a program that holds on all of them."""
    slot = search_space.choices(STATE)[place : place + 1]
    rng = random.Random(seed)
    c = rng.choice(search_space.expand(search.engine.FunctionTable(STATE["metadata"]), slot, 2, [[0, 1]], 200))
    examples = []
    for _ in range(60):
        row = [rng.randint(0, 12), rng.randint(-12, 12)]
        try:
            examples.append((row, executor.run(STATE, c, row)))
        except Exception:
            continue
    if len(examples) > 8:
        outcome = find(examples)
        assert outcome.found is not None
        assert outcome.found.exact
