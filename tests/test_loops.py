"""LOOP, WHILE and ACCUM: what they compute, what they refuse, and the budget that nested loops share."""

from __future__ import annotations

import math
import sqlite3
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nssr import db
from nssr.primitives import ALL, MAX_ITERATIONS, MAX_TOTAL_ITERATIONS
from nssr.registry import State, execute, register_learned

ID = {p.name: p.opcode for p in ALL}  # true of a library made with all packs at once
LOOP, WHILE, ACCUM = ID["LOOP"], ID["WHILE"], ID["ACCUM"]
numbers = st.integers(-50, 50)


@given(a=numbers, b=numbers)
def test_loops_express_addition_and_multiplication(shared: State, a: int, b: int) -> None:
    assert execute(shared, LOOP, [ID["INC"], b, a]) == a + max(b, 0)
    assert execute(shared, LOOP, [ID["ADD"], b, 0, a]) == a * max(b, 0)


@given(state_=numbers, limit=st.integers(-3, 60), counter=numbers)
def test_while_and_accum_count_down(shared: State, state_: int, limit: int, counter: int) -> None:
    done = 0 if limit <= 0 else min(limit, state_) if state_ >= 0 else limit  # 0 is reached only from above
    assert execute(shared, WHILE, [ID["CONST"], ID["DEC"], state_, limit]) == state_ - done
    assert execute(shared, ACCUM, [ID["CONST"], ID["DEC"], state_, counter, limit]) == counter + done


def test_while_tests_before_each_iteration(shared: State) -> None:
    assert execute(shared, WHILE, [ID["NULL"], ID["NOT"], 0.5, 10]) == 0.5  # the body would raise
    assert execute(shared, ACCUM, [ID["NULL"], ID["NOT"], 0.5, 7, 10]) == 7
    with pytest.raises(TypeError):
        execute(shared, WHILE, [ID["CONST"], ID["NOT"], 0.5, 10])


def calls(count: Any) -> list[tuple[int, list[Any]]]:
    return [
        (LOOP, [ID["INC"], count, 0]),
        (LOOP, [ID["ADD"], count, 0, 1]),
        (WHILE, [ID["GTE"], ID["INC"], 0, count]),
        (WHILE, [ID["NULL"], ID["INC"], 0, count]),
        (ACCUM, [ID["NULL"], ID["INC"], 0, 0, count]),
    ]


@pytest.mark.parametrize("count", [3.0, -1.0, 0.5, math.nan, "3", None])
def test_a_count_that_is_no_int_is_a_type_error(shared: State, count: Any) -> None:
    for func_id, inputs in calls(count):
        with pytest.raises(TypeError):
            execute(shared, func_id, inputs)


def test_a_counter_is_an_int_too(shared: State) -> None:
    with pytest.raises(TypeError):
        execute(shared, ACCUM, [ID["NULL"], ID["INC"], 0, 0.0, 3])


@pytest.mark.parametrize("count", [MAX_ITERATIONS + 1, 10**30])
def test_a_count_above_the_limit_is_a_value_error(shared: State, count: int) -> None:
    for func_id, inputs in calls(count):
        with pytest.raises(ValueError, match="1000"):
            execute(shared, func_id, inputs)


def test_the_largest_counts_bools_and_negative_counts(shared: State) -> None:
    assert execute(shared, LOOP, [ID["INC"], MAX_ITERATIONS, 0]) == 1000
    assert execute(shared, LOOP, [ID["INC"], True, 0]) == 1
    assert execute(shared, LOOP, [ID["NOT"], -(10**30), 0.5]) == 0.5
    assert execute(shared, LOOP, [ID["INC"], 2, 0.5]) == 2.5
    assert execute(shared, LOOP, [ID["ADD"], 2, 0, 3, 99, 99]) == 6  # surplus


def test_loops_need_their_inputs_and_known_bodies(shared: State) -> None:
    for func_id, n in ((LOOP, 3), (WHILE, 4), (ACCUM, 5)):
        with pytest.raises(IndexError):
            execute(shared, func_id, [ID["INC"]] * (n - 1))
    with pytest.raises(ValueError, match="999"):
        execute(shared, LOOP, [999, 1, 0])
    with pytest.raises(IndexError):
        execute(shared, LOOP, [ID["ADD"], 1, 0])  # a binary body without a step


def test_a_state_of_too_many_bits_overflows(shared: State) -> None:
    assert execute(shared, LOOP, [ID["SQUARE"], 11, 2]) == 2**2048
    with pytest.raises(OverflowError, match="4096"):
        execute(shared, LOOP, [ID["SQUARE"], 12, 2])  # 2**4096 has 4097 bits
    assert execute(shared, LOOP, [ID["MUL"], 1, 2**4094, 2]).bit_length() == 4096
    with pytest.raises(OverflowError):
        execute(shared, LOOP, [ID["SQUARE"], 1000, -3])
    for func_id, extra in ((WHILE, []), (ACCUM, [0])):
        with pytest.raises(OverflowError):
            execute(shared, func_id, [ID["CONST"], ID["SQUARE"], 3, *extra, 1000])
    assert execute(shared, LOOP, [ID["INC"], 0, 2**5000]) == 2**5000  # no iteration, nothing to check


# --- the budget of nested loops -------------------------------------------------------------------------------------


@pytest.fixture
def nested(conn: sqlite3.Connection, state: State) -> dict[str, int]:
    """Functions of a state x that leave it as it is after many iterations; the name says how many."""
    ids: dict[str, int] = {}

    def learn(name: str, composition: db.Composition, arity: int = 1) -> None:
        ids[name] = register_learned(conn, state, name, arity, composition)

    # LOOP(CONST, count, x): the count is the function's second input.
    learn("SPIN", [(LOOP, [ID["CONST"], 1, 0])], arity=2)
    learn("SPIN_SPIN", [(LOOP, [ids["SPIN"], 1, 0, 1])], arity=2)  # n + n * n iterations for count n
    learn("TWICE", [(ids["SPIN_SPIN"], [0, 1]), (ids["SPIN_SPIN"], [2, 1])], arity=2)
    learn("SPIN_OR_FALL", [(LOOP, [ID["CONST"], 1, 0]), (ID["NOT"], [0])], arity=2)
    return ids


def test_nested_loops_share_one_budget(state: State, nested: dict[str, int]) -> None:
    n = 315  # 315 + 315 * 315 = 99540
    assert n + n * n <= MAX_TOTAL_ITERATIONS < (n + 1) + (n + 1) ** 2
    assert execute(state, nested["SPIN_SPIN"], [5, n]) == 5
    with pytest.raises(RuntimeError, match="100000"):
        execute(state, nested["SPIN_SPIN"], [5, n + 1])
    assert execute(state, nested["TWICE"], [5, n]) == 5  # loops beside each other have a budget each
    assert execute(state, nested["SPIN_SPIN"], [5, n]) == 5  # and a failure leaves the next one whole


def test_exactly_the_budget_is_allowed(conn: sqlite3.Connection, state: State) -> None:
    # body(x, n): n iterations, one more where x is 0, and x + 1 is the result.
    steps = [(LOOP, [ID["CONST"], 1, 0]), (ID["EQ"], [0, -1]), (LOOP, [ID["CONST"], 3, 0]), (ID["INC"], [0])]
    body = register_learned(conn, state, "BODY", 2, steps)
    assert MAX_TOTAL_ITERATIONS == 1000 + 1000 * 99
    assert execute(state, LOOP, [body, 1000, 5, 99]) == 1005
    with pytest.raises(RuntimeError):
        execute(state, LOOP, [body, 1000, 0, 99])


def test_loops_in_a_condition_count(conn: sqlite3.Connection, state: State) -> None:
    register_learned(conn, state, "SLOW", 1, [(ID["NULL"], [0]), (LOOP, [ID["INC"], 0, 1])])
    slow = state["next_id"] - 1  # from a state x: x iterations, and x is the result
    assert execute(state, ACCUM, [slow, ID["DEC"], 400, 0, 1000]) == 400
    with pytest.raises(RuntimeError):
        execute(state, ACCUM, [slow, ID["DEC"], 500, 0, 1000])


def test_exceptions_give_the_budget_back(state: State, nested: dict[str, int]) -> None:
    for _ in range(5):
        with pytest.raises(TypeError):
            execute(state, LOOP, [nested["SPIN_OR_FALL"], 1, 0.5, 1000])
        with pytest.raises(TypeError):
            execute(state, nested["SPIN_SPIN"], [5, 2.0])
    n = 315
    assert execute(state, nested["SPIN_SPIN"], [5, n]) == 5


def test_threads_have_budgets_of_their_own(state: State, nested: dict[str, int]) -> None:
    results: list[Any] = []

    def work() -> None:
        results.append(execute(state, nested["SPIN_SPIN"], [5, 250]))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [5, 5, 5]
