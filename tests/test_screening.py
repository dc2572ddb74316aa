"""Bulk checking: a validated candidate is right on every row, constants never see the hold-out, and say no more than it."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nssr import db, engine, executor, registry, search_space
from nssr.screening import (
    NEAR_PER_KIND,
    R2_NEAR,
    Screen,
    absolute_tolerance,
    complexity_score,
    fits_allowed,
    split,
)

STATE = registry.init_registry(db.init_db(":memory:"))
TABLE = engine.FunctionTable(STATE["metadata"])
ID = {e["name"]: i for i, e in STATE["metadata"].items()}


def candidate(name: str, routing: list[int]) -> Any:
    return engine.pack([{"primary_id": ID[name], "routing": routing}], 2, {i: e["arity"] for i, e in STATE["metadata"].items()})


def singles(n_columns: int) -> Any:
    """Every single function over every route."""
    slots = search_space.choices(STATE, max_depth=1)
    return engine.Enumerator(slots, TABLE.arity, TABLE.commutative, list(range(n_columns))).fill(10**5)


def noisy(f: Any, sigma: float, n: int = 40, seed: int = 0, low: float = 1.0, high: float = 10.0) -> list[Any]:
    rng = random.Random(seed)
    rows = [[rng.uniform(low, high), rng.uniform(low, high)] for _ in range(n)]
    return [(r, f(*r) + rng.gauss(0, sigma)) for r in rows]


# ---- rows ----------------------------------------------------------------------------------------------------------


@given(st.integers(1, 200))
def test_a_third_is_kept_back_where_there_is_enough(n):
    train, hold = split([([0], 0)] * n)
    if n < 6:
        assert train == hold == list(range(n))
    else:
        assert sorted(train + hold) == list(range(n))
        assert len(hold) == pytest.approx(n / 3, abs=1)


@pytest.mark.parametrize("fit", ["scale", "affine"])
def test_rows_kept_back_do_not_touch_the_constants(fit):
    """Other outputs on the hold-out judge the fit differently, but leave the fitted constants alone to the last bit."""
    examples = noisy(lambda a, b: 3.7 * a * b + (2 if fit == "affine" else 0), 0.3)
    _, hold = split(examples)
    moved = [(r, y * 1.002 + 0.1) if i in hold else (r, y) for i, (r, y) in enumerate(examples)]
    ruined = [(r, -y) if i in hold else (r, y) for i, (r, y) in enumerate(examples)]
    (record,) = candidate("MUL", [0, 1])
    found = [Screen(STATE, e).fit_one(record, fit) for e in (examples, moved, ruined)]
    assert found[0] is not None
    assert found[1] is not None
    assert found[0].candidate == found[1].candidate
    assert found[0].r2 != found[1].r2
    assert found[2] is None  # constants that fail on the hold-out are none


def test_what_holds_on_the_search_rows_only_is_not_exact():
    examples = [([a, b], a + b) for a in range(6) for b in range(6)]
    train, hold = split(examples)
    for place in (train[3], hold[3], hold[-1], train[-1]):
        wrong = [(r, y + 1 if i == place else y) for i, (r, y) in enumerate(examples)]
        assert Screen(STATE, wrong).exact(candidate("ADD", [0, 1])) == []
    assert len(Screen(STATE, examples).exact(candidate("ADD", [0, 1]))) == 1


def test_all_rows_decide_even_where_only_some_are_searched():
    examples = [([a, 1.5], a + 1.5) for a in range(5000)]
    examples[4321] = ([4321, 1.5], 0.0)
    screen = Screen(STATE, examples)
    assert screen.train.n_rows < 400
    assert screen.exact(candidate("ADD", [0, 1])) == []


def test_what_the_engine_is_unsure_about_the_reference_decides():
    rng = random.Random(0)
    rows = [[rng.randint(10**10, 10**11), rng.randint(10**10, 10**11)] for _ in range(9)]
    screen = Screen(STATE, [(r, r[0] * r[1]) for r in rows])
    (found,) = screen.exact(singles(2))
    assert found.exact
    assert (found.candidate["primary_id"], screen.counters.passed) == (ID["MUL"], 1)
    assert screen.counters.unsure >= 1


# ---- fits ----------------------------------------------------------------------------------------------------------


def test_few_different_outputs_support_few_constants():
    assert fits_allowed(np.array([0.0, 1, 1, 0, 0, 1])) == ()
    assert fits_allowed(np.array([1.0, 2, 3])) == ()
    assert fits_allowed(np.array([5.0, 5, 5])) == ("scale", "offset")
    assert fits_allowed(np.array([1.0, 2, 3, 1])) == ("scale", "offset")
    assert fits_allowed(np.arange(8.0)) == ("scale", "offset", "affine")


@pytest.mark.parametrize(
    ("f", "constants", "mode"),
    [
        (lambda a, b: 0.5 * a * b, [0.5], "multiplicative"),
        (lambda a, b: a * b * 9.81, [9.81], "multiplicative"),
        (lambda a, b: a * b - 273.15, [-273.15], "additive"),
        (lambda a, b: 1.8 * a * b + 32, [1.8, 32.0], "affine"),
        (lambda a, b: 1e-30 * a * b, [1e-30], "multiplicative"),
        (lambda a, b: 6e60 * a * b + 1e60, [6e60, 1e60], "affine"),
    ],
)
def test_exact_constants_are_found_and_written_short(f, constants, mode):
    screen = Screen(STATE, noisy(f, 0.0))
    found = [x for x in screen.fitted(singles(2)) if x.candidate["primary_id"] == ID["MUL"]]
    (best,) = [x for x in found if set(x.candidate["routing"]) == {0, 1}]
    assert best.exact
    assert best.candidate["constants"] == pytest.approx(constants, rel=1e-12)
    assert best.candidate["const_mode"] == mode
    assert executor.validate(STATE, best.candidate, screen.examples)


@pytest.mark.parametrize("value", [5, 0.1, -273.15, 1e-20, 3e80])
def test_a_constant_target_is_a_constant(value):
    rng = random.Random(1)
    screen = Screen(STATE, [([rng.uniform(1, 9), rng.uniform(1, 9)], value) for _ in range(50)])
    found = screen.fitted(singles(2))
    assert found
    for x in found:
        assert all(executor.run(STATE, x.candidate, r) == pytest.approx(value, rel=1e-9) for r, _ in screen.examples)


def test_integers_beyond_the_range_can_be_fitted():
    rng = random.Random(2)
    rows = [[rng.randint(10**10, 10**11), rng.randint(10**10, 10**11)] for _ in range(12)]
    screen = Screen(STATE, [(r, 0.25 * r[0] * r[1]) for r in rows])
    found = [x.candidate for x in screen.fitted(singles(2)) if x.exact]
    assert [(c["primary_id"], c["constants"]) for c in found] == [(ID["MUL"], [0.25])]


@pytest.mark.parametrize("size", [1e-12, 1e-20, 1e-200])
def test_small_outputs_are_not_explained_by_zero(size):
    rng = random.Random(3)
    rows = [[rng.uniform(1, 9) * math.sqrt(size), rng.uniform(1, 9) * math.sqrt(size)] for _ in range(12)]
    screen = Screen(STATE, [(r, r[0] * r[1]) for r in rows])
    assert [x.candidate["primary_id"] for x in screen.exact(singles(2))] == [ID["MUL"]]


def test_the_tolerance_follows_small_outputs_only():
    assert absolute_tolerance(np.array([0.0, 0.0])) == 1e-9
    assert absolute_tolerance(np.array([-3.0, 1e9])) == 1e-9
    assert absolute_tolerance(np.array([math.inf, 1.0])) == 1e-9
    assert absolute_tolerance(np.array([1e-6, -1e-5])) == pytest.approx(1e-14)


@pytest.mark.parametrize(("digits", "name"), [(2, "MUL"), (3, "MUL"), (4, "MUL"), (2, "ADD"), (3, "ADD"), (4, "ADD")])
def test_rounded_outputs_need_no_constant(digits, name):
    """Data as people write them down: the fit is a near miss, and says nothing of a factor 1.0000002."""
    f = {"MUL": lambda a, b: a * b, "ADD": lambda a, b: a + b}[name]
    examples = [(r, round(y, digits)) for r, y in noisy(f, 0.0)]
    screen = Screen(STATE, examples)
    (record,) = candidate(name, [0, 1])
    for fit in ("scale", "affine"):
        found = screen.fit_one(record, fit)
        assert found is not None
        assert "constants" not in found.candidate
        assert found.r2 > 0.99999


@pytest.mark.parametrize("digits", [2, 3, 4])
@pytest.mark.parametrize(
    ("f", "constants", "mode", "fit"),
    [
        (lambda a, b: 0.5 * a * b, [0.5], "multiplicative", "scale"),
        (lambda a, b: 9.81 * a * b * 50, [490.5], "multiplicative", "scale"),
        (lambda a, b: a * b + 3, [3.0], "additive", "affine"),
    ],
)
def test_rounded_outputs_leave_constants_round(digits, f, constants, mode, fit):
    screen = Screen(STATE, [(r, round(y, digits)) for r, y in noisy(f, 0.0)])
    (record,) = candidate("MUL", [0, 1])
    found = screen.fit_one(record, fit)
    assert found is not None
    assert (found.candidate["constants"], found.candidate["const_mode"]) == (constants, mode)


def test_a_constant_is_not_rounder_than_the_data_say():
    rng = np.random.default_rng(0)
    p = rng.uniform(1, 10, 200)
    screen = Screen(STATE, [([x, 1.0], 0.0) for x in p])
    # Residuals at right angles to p leave the fit exactly at the factor; their size sets its standard error.
    r = rng.normal(0, 1, 200)
    r -= p * (p @ r) / (p @ p)

    def rounded(k: float, error: float) -> float:
        y = k * p + r * error * math.sqrt((p @ p) * 199 / (r @ r))
        return screen._rounded(p, y, "scale", (k,))[0]

    assert rounded(0.50000003, 2e-8) == 0.5
    assert rounded(1408.11286, 2.0) == 1408.11286  # neither 1400, which the data refute, nor 1410
    assert rounded(9.81, 0.0) == 9.81
    assert rounded(9.8100000000000005, 0.0) == 9.81
    assert rounded(1 / 3, 0.0) == pytest.approx(1 / 3, rel=1e-9)
    assert rounded(0.5004, 2e-5) != 0.5


@settings(max_examples=40, deadline=None)
@given(st.floats(0.001, 1000), st.integers(0, 1000))
def test_rounding_never_costs_accuracy(k, seed):
    rng = np.random.default_rng(seed)
    p = rng.uniform(1, 10, 30)
    y = k * p + rng.normal(0, 10.0 ** rng.integers(-9, 0), 30)
    best = float(p @ y / (p @ p))
    screen = Screen(STATE, [([x, 1.0], 0.0) for x in p])
    (short,) = screen._rounded(p, y, "scale", (best,))
    spread = math.sqrt(float(np.sum((y - best * p) ** 2)) / 29 / float(p @ p))
    assert abs(short - best) <= 2.6 * spread + 1e-9 * abs(best)
    assert len(repr(short)) <= len(repr(best))


# ---- near misses ---------------------------------------------------------------------------------------------------


def test_near_misses_explain_nearly_everything_on_rows_kept_back():
    examples = noisy(lambda a, b: a * b, 0.2)
    screen = Screen(STATE, examples)
    assert screen.fitted(singles(2)) == []
    near = screen.near_misses()
    assert near
    assert all(R2_NEAR < x.r2 <= 1 and not x.exact for x in near)
    assert {x.candidate["primary_id"] for x in near} == {ID["MUL"]}


def test_near_misses_without_end_are_bounded():
    """One column says nearly everything: thousands of candidates are near, and a plain one must survive among them."""
    rng = random.Random(4)
    rows = [[rng.uniform(0, 1e6), *[rng.uniform(-9, 9) for _ in range(4)]] for _ in range(40)]
    screen = Screen(STATE, [(r, r[0] + rng.gauss(0, 100)) for r in rows])
    slots = search_space.choices(STATE)
    records = engine.Enumerator(slots, TABLE.arity, TABLE.commutative, [0, 1, 2], max_routings=30).fill(60_000)
    screen.fitted(singles(5))
    screen.fitted(records)
    kinds = len({(c, f) for c in range(6) for f in STATE["metadata"]}) * 3
    assert screen.counters.fitted < kinds * NEAR_PER_KIND * 5
    assert any(x.candidate["primary_id"] == ID["CONST"] and x.candidate["routing"] == [0] for x in screen.near_misses())


def test_two_valued_targets_are_not_fitted():
    screen = Screen(STATE, [([a, b], a & b) for a in (0, 1) for b in (0, 1)] * 3)
    assert screen.fitted(singles(2)) == []
    assert screen.near_misses() == []


# ---- refusals and scores -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        ([], "no examples"),
        ([([], 1)], "no inputs"),
        ([([1, 2], 1), ([1], 1)], "different numbers"),
        ([([10**400, 1], 1)], "column 0 holds an integer beyond the range of a float"),
        ([([1, 10**400], 1), ([1, 2.5], 1)], "column 1 holds"),
        ([([1, 2], 10**400)], "target"),
    ],
)
def test_what_cannot_be_searched_is_refused(examples, message):
    with pytest.raises(ValueError, match=message):
        Screen(STATE, examples)


def test_complexity_counts_what_the_documents_say():
    def score(comp: str, *slots: int, constants: Any = None) -> int:
        names = ("primary_id", "secondary_id", "tertiary_id")
        return complexity_score({"comp_type": comp, "constants": constants, **dict(zip(names, slots, strict=False))})

    assert score("none", 1) == 0
    assert score("none", 1, constants=[0.5]) == 1
    assert score("sequential", 1, 2) == score("nested", 1, 2) == 2
    assert score("parallel", 1, 2, 3) == 4
    assert score("loop_direct", 1) == score("loop_binary", 1) == 3
    assert score("parallel", 1, 2, 3, constants=[0.5]) == 5
