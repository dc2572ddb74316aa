"""Shorter programs: the three documented strategies, and that no value on the examples ever changes."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nssr import db, registry, simplify

ID = {e["name"]: i for i, e in registry.init_registry(db.init_db(":memory:"))["metadata"].items()}


def library() -> tuple[Any, dict[str, Any]]:
    conn = db.init_db(":memory:")
    return conn, registry.init_registry(conn)


STATE = library()[1]


def run(state: dict[str, Any], composition: Any, inputs: Any, constants: Any = None, mode: str = "multiplicative") -> Any:
    def back(i: int, values: list[Any]) -> Any:
        return registry.execute(state, i, values)

    return registry._make_composed_fn(state, composition, back, constants, mode)(list(inputs))


def examples_of(state: dict[str, Any], composition: Any, rows: Any, constants: Any = None, mode: str = "multiplicative") -> Any:
    return [(list(r), run(state, composition, r, constants, mode)) for r in rows]


PAIRS = [[a, b] for a in range(-3, 4) for b in range(-3, 4)]


# ---- the three strategies ------------------------------------------------------------------------------------------


def test_a_known_function_replaces_a_composition():
    conn, state = library()
    nand = registry.register_learned(conn, state, "NAND", 2, [(ID["AND"], [0, 1]), (ID["NOT"], [2])])
    long = [(ID["NOT"], [0]), (ID["NOT"], [1]), (ID["OR"], [2, 3])]
    examples = examples_of(state, long, PAIRS)
    assert simplify._try_single_function(state, examples) == [(nand, [0, 1])]
    assert simplify.simplify(state, long, examples) == ([(nand, [0, 1])], 2, None)
    # A constant makes a function one of its own.
    scaled = examples_of(state, long, PAIRS, [2.0])
    composition, _, _ = simplify.simplify(state, long, scaled, [2.0])
    assert nand not in {child for child, _ in composition}


def test_a_known_function_is_recognised_over_other_columns():
    conn, state = library()
    ratio = registry.register_learned(conn, state, "RATIO", 2, [(ID["INC"], [1]), (ID["DIV"], [0, 2])])
    long = [(ID["INC"], [0]), (ID["DIV"], [2, 3])]
    rows = [[a, 50, b] for a, b in PAIRS]
    assert simplify.simplify(state, long, examples_of(state, long, rows)) == ([(ratio, [1, 0])], 2, [0, 2])


def test_a_primitive_alone_is_no_known_function():
    examples = [([a, b], a + b) for a, b in PAIRS]
    assert simplify._try_single_function(STATE, examples) is None


def test_nothing_is_replaced_by_something_longer():
    conn, state = library()
    registry.register_learned(conn, state, "PLUS", 2, [(ID["LOOP"], [ID["INC"], 1, 0])])
    plus = [(ID["ADD"], [0, 1])]
    rows = [[a, b] for a in range(4) for b in range(4)]
    assert simplify.simplify(state, plus, examples_of(state, plus, rows))[0] == plus


def test_needless_steps_are_removed():
    long = [(ID["CONST"], [0]), (ID["OR"], [2, 2]), (ID["INC"], [1]), (ID["COND"], [0, 3, 2]), (ID["ADD"], [5, 1])]
    examples = examples_of(STATE, long, PAIRS)
    assert simplify._try_prune(STATE, long, examples) is not None
    assert simplify.simplify(STATE, long, examples) == ([(ID["ADD"], [0, 1])], 2, None)


def test_the_last_step_stays():
    one = [(ID["CONST"], [0])]
    assert simplify._try_prune(STATE, one, [([3], 3)]) is None
    assert simplify.simplify(STATE, one, [([3], 3)]) == (one, 1, None)


def test_loops_keep_their_bodies():
    """Function ids among the arguments are no indices: nothing may renumber them."""
    long = [(ID["CONST"], [0]), (ID["LOOP"], [ID["MUL"], 1, 2, 3])]
    examples = [([a, n, 7], a * a**n) for a in (1, 2, 3) for n in (0, 1, 2)]
    steps = [(ID["CONST"], [0]), (ID["LOOP"], [ID["MUL"], 1, 3, 3])]
    assert simplify._validate(STATE, steps, examples)
    assert simplify.simplify(STATE, steps, examples) == ([(ID["LOOP"], [ID["MUL"], 1, 0, 0])], 2, [0, 1])
    assert not simplify._validate(STATE, long, examples)


def test_the_literal_zero_stays_the_literal_zero():
    steps = [(ID["CONST"], [2]), (ID["LOOP"], [ID["ADD"], 1, -1, 3])]
    examples = [([9, b, a], a * b) for a in range(5) for b in range(5)]
    assert simplify.simplify(STATE, steps, examples) == ([(ID["LOOP"], [ID["ADD"], 0, -1, 1])], 2, [1, 2])


def test_unused_columns_are_dropped():
    steps = [(ID["MUL"], [2, 2]), (ID["SUB"], [4, 0])]
    rows = [[a, 5, b, 6] for a, b in PAIRS]
    examples = examples_of(STATE, steps, rows)
    shorter, arity, used = simplify._strip_unused_inputs(STATE, steps, examples)
    assert (shorter, arity, used) == ([(ID["MUL"], [1, 1]), (ID["SUB"], [2, 0])], 2, [0, 2])
    assert simplify._validate(STATE, shorter, [([r[0], r[2]], y) for r, y in examples])
    assert simplify._strip_unused_inputs(STATE, [(ID["ADD"], [0, 1])], [([1, 2], 3)])[2] is None


# ---- fits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("constants", "mode"), [([0.5], "multiplicative"), ([-3.0], "additive"), ([1.8, 32.0], "affine"), (None, "multiplicative")]
)
def test_a_fit_within_noise_keeps_its_values(constants, mode):
    long = [(ID["CONST"], [0]), (ID["MUL"], [3, 2]), (ID["CONST"], [4])]
    rng = random.Random(0)
    rows = [[rng.uniform(1, 9), rng.uniform(1, 9), rng.uniform(1, 9)] for _ in range(20)]
    noisy = [(r, y * (1 + rng.uniform(-0.01, 0.01))) for r, y in examples_of(STATE, long, rows, constants, mode)]
    assert not simplify._validate(STATE, long, noisy, constants, mode)
    composition, arity, used = simplify.simplify(STATE, long, noisy, constants, mode)
    assert (arity, used) == (2, [0, 2])
    assert len(composition) < len(long)
    for r in rows:
        mine = run(STATE, composition, [r[0], r[2]], constants, mode)
        assert mine == pytest.approx(run(STATE, long, r, constants, mode), rel=1e-6)


def test_a_composition_without_a_value_is_only_freed_of_columns():
    steps = [(ID["AND"], [1, 1]), (ID["NOT"], [2])]
    assert simplify.simplify(STATE, steps, [([1, 2.5], 3), ([1, 2.5], 4)]) == ([(ID["AND"], [0, 0]), (ID["NOT"], [1])], 1, [1])


def test_small_outputs_do_not_make_everything_equal():
    steps = [(ID["MUL"], [0, 1]), (ID["MUL"], [2, 1])]
    rng = random.Random(1)
    examples = examples_of(STATE, steps, [[rng.uniform(1, 9) * 1e-5, rng.uniform(1, 9) * 1e-5] for _ in range(12)])
    assert simplify.simplify(STATE, steps, examples)[0] == steps


def test_rare_rows_beyond_the_sample_count(monkeypatch):
    """Only some of many rows are tried at first; what all of them refute is taken back."""
    monkeypatch.setattr(simplify, "CHECK_ROWS", 10)
    steps = [(ID["LT"], [0, 1]), (ID["COND"], [2, 1, 0])]  # max(a, b)
    rows = [[9, 1]] * 500 + [[1, 9]] + [[8, 2]] * 500
    assert simplify.simplify(STATE, steps, examples_of(STATE, steps, rows)) == (steps, 2, None)


def test_integers_beyond_the_range_are_judged_by_the_reference():
    steps = [(ID["CONST"], [0]), (ID["MUL"], [2, 1])]
    rows = [[10**12 + a, 10**12 - b] for a, b in PAIRS]
    assert simplify.simplify(STATE, steps, examples_of(STATE, steps, rows)) == ([(ID["MUL"], [0, 1])], 2, None)


def test_complexity_is_the_documented_sum():
    conn, state = library()
    nand = registry.register_learned(conn, state, "NAND", 2, [(ID["AND"], [0, 1]), (ID["NOT"], [2])])
    assert simplify._complexity(state, [(ID["ADD"], [0, 1])]) == 100 + 0 + 2
    assert simplify._complexity(state, [(nand, [0, 1]), (ID["NOT"], [2])]) == 200 + 10 + 3


# ---- in general ----------------------------------------------------------------------------------------------------


@st.composite
def compositions(draw: Any) -> tuple[Any, int]:
    arity = draw(st.integers(1, 3))
    steps: list[tuple[int, list[int]]] = []
    for place in range(draw(st.integers(1, 5))):
        child = draw(st.sampled_from([i for i, e in STATE["metadata"].items() if e["arity"] > 0] + [ID["LOOP"]] * 2))
        index = st.integers(-1, arity + place - 1)
        if child == ID["LOOP"]:
            body = draw(st.sampled_from([ID["INC"], ID["ADD"], ID["DEC"]]))
            steps.append((child, [body, *[draw(index) for _ in range(3 if body == ID["ADD"] else 2)]]))
        else:
            steps.append((child, [draw(index) for _ in range(STATE["metadata"][child]["arity"])]))
    return steps, arity


@settings(max_examples=150, deadline=None)
@given(
    compositions(),
    st.lists(st.tuples(*[st.integers(0, 9)] * 3), min_size=2, max_size=8),
    st.sampled_from([(None, "multiplicative"), ([0.5], "multiplicative"), ([3.0], "additive"), ([2.0, -1.0], "affine")]),
    st.booleans(),
)
def test_values_on_the_examples_never_change(made, rows, constant, exact):
    composition, arity = made
    constants, mode = constant
    try:
        examples = examples_of(STATE, composition, [r[:arity] for r in rows], constants, mode)
    except Exception:
        return
    if any(abs(y) > 1e15 for _, y in examples):
        return
    values = [y for _, y in examples]
    given_examples = examples if exact else [(r, y * 1.01 + 0.1) for r, y in examples]
    shorter, new_arity, used = simplify.simplify(STATE, composition, given_examples, constants, mode)
    assert len(shorter) <= len(composition)
    columns = list(range(arity)) if used is None else used
    assert len(columns) == new_arity
    for (r, _), y in zip(examples, values, strict=True):
        assert run(STATE, shorter, [r[c] for c in columns], constants, mode) == pytest.approx(y, rel=1e-6, abs=1e-9)
