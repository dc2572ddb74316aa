"""What candidate programs mean: the definition that every faster executor is held to."""

from __future__ import annotations

import contextlib
import math
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nssr import db, executor
from nssr.executor import r_squared, run, validate
from nssr.primitives import ALL
from nssr.registry import State, init_registry, register_learned

ID = {p.name: p.opcode for p in ALL}
Library = tuple[sqlite3.Connection, State]


@pytest.fixture(scope="module")
def library() -> Iterator[Library]:
    with contextlib.closing(db.init_db(":memory:")) as conn:
        state = init_registry(conn, ("core", "science"))
        register_learned(conn, state, "DIFF3", 3, [(ID["SUB"], [0, 1]), (ID["SUB"], [3, 2])])  # id 42
        yield conn, state


@pytest.fixture(scope="module")
def state(library: Library) -> State:
    return library[1]


def candidate(primary: str, secondary: str | None = None, tertiary: str | None = None, **more: Any) -> dict[str, Any]:
    base = {
        "primary_id": ID[primary],
        "secondary_id": None if secondary is None else ID[secondary],
        "tertiary_id": None if tertiary is None else ID[tertiary],
        "comp_type": "none",
        "routing": None,
        "null_columns": None,
    }
    return base | more


def loop(body: str, kind: str = "loop_direct", **more: Any) -> dict[str, Any]:
    return candidate(body, comp_type=kind, **more)


SEQ, NEST, PAR = {"comp_type": "sequential"}, {"comp_type": "nested"}, {"comp_type": "parallel"}

MEANINGS: list[tuple[dict[str, Any], list[Any], Any]] = [
    # none
    (candidate("SUB"), [7, 2], 5),
    (candidate("SUB"), [7, 2, 99], 5),
    (candidate("SUB", routing=[1, 0]), [7, 2], -5),
    (candidate("MUL", routing=[2, 2]), [7, 2, 3], 9),
    (candidate("SUB", routing=[-1, 0]), [7], -7),
    (candidate("SUB", null_columns=[0]), [7, 2], -2),
    (candidate("SUB", null_columns={1}, routing=[2, 1]), [7, 2, 5], 5),  # routing keeps the original indices
    (candidate("ADD", null_columns=[5]), [7, 2], 9),
    (candidate("PI", routing=[]), [7], math.pi),
    ({"primary_id": 42, "comp_type": "none"}, [10, 3, 2, 99], 5),
    ({"primary_id": ID["ADD"]}, [1, 2], 3),
    # sequential: the one result stands in every place of the primary
    (candidate("INC", "MUL", **SEQ), [3, 4], 13),
    (candidate("MUL", "ADD", **SEQ), [3, 4], 49),
    (candidate("MUL", "SUB", routing=[2, 0], **SEQ), [3, 4, 5], 4),
    (candidate("COND", "SUB", null_columns=[1], **SEQ), [3, 4], 3),
    (candidate("PI", "ADD", **SEQ), [3, 4], math.pi),
    ({"primary_id": 42, "secondary_id": ID["ADD"], "comp_type": "sequential"}, [3, 4], -7),
    # nested: the secondary on each column alone
    (candidate("ADD", "SQUARE", **NEST), [3, 4], 25),
    (candidate("SUB", "INC", routing=[2, 0], **NEST), [3, 4, 9], 6),
    (candidate("MUL", "INC", null_columns=[0], **NEST), [3, 4], 5),
    # parallel
    (candidate("INC", "MUL", "ADD", routing=([0], [1, 2]), **PAR), [1, 2, 3], 8),
    (candidate("ADD", "SUB", "MUL", **PAR), [5, 3], 16),
    (candidate("ADD", "SUB", "DIV", routing=([0, 1], [1, 0]), null_columns=[0], **PAR), [5, 3], 1.0),
    (candidate("INC", "MUL", "SUB", routing=[None, [1, 1]], **PAR), [5, 3], -3),
    # loops: the primary is the body
    (loop("INC"), [5, 3], 8),
    (loop("INC", routing=[1, 0]), [5, 3], 8),
    (loop("SQUARE", routing=[1, 0]), [2, 3], 81),
    (loop("ADD", "loop_binary"), [6, 7], 42),
    (loop("ADD", "loop_binary", routing=[2, 0]), [2, 99, 5], 10),
    (loop("INC", routing=[-1, 1]), [5, 3], 3),
    (loop("INC", null_columns=[1]), [5, 3], 5),
    (loop("INC"), [5, -3], 5),
]


@pytest.mark.parametrize(("cand", "inputs", "value"), MEANINGS)
def test_meaning(state: State, cand: dict[str, Any], inputs: list[Any], value: Any) -> None:
    before = list(inputs)
    assert run(state, cand, inputs) == value
    assert run(state, cand, tuple(inputs)) == value
    assert executor._run_base(state, cand, inputs) == value
    assert inputs == before
    assert validate(state, cand, [(inputs, value)])
    assert not validate(state, cand, [(inputs, value), (inputs, value + 1)])


FAILURES: list[tuple[dict[str, Any], list[Any], type[Exception]]] = [
    (candidate("ADD"), [1], IndexError),
    (candidate("ADD", routing=[0, 2]), [1, 2], IndexError),
    (candidate("ADD", routing=[0, -2]), [1, 2], IndexError),
    (candidate("ADD", "MUL", **NEST), [1, 2], IndexError),
    (candidate("AND"), [1.0, 2], TypeError),
    (candidate("ADD", comp_type="spiral"), [1, 2], ValueError),
    (candidate("ADD", **SEQ), [1, 2], ValueError),
    (candidate("ADD", "MUL", **PAR), [1, 2], ValueError),
    ({"primary_id": 999, "comp_type": "none"}, [1], ValueError),
    (loop("INC"), [1, 1001], ValueError),
    (loop("INC"), [1, 2.0], TypeError),
    (loop("INC", routing=[0]), [1, 2], ValueError),
    (loop("INC"), [1], IndexError),
    (candidate("ADD", constants=[1.0], const_mode="power"), [1, 2], ValueError),
    (candidate("ADD", constants=[math.nan]), [1, 2], ValueError),
    (candidate("ADD", constants=[2.0]), [10**400, 2], OverflowError),
]


@pytest.mark.parametrize(("cand", "inputs", "error"), FAILURES)
def test_a_program_that_raises_has_no_value(
    state: State, cand: dict[str, Any], inputs: list[Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        run(state, cand, inputs)
    assert not validate(state, cand, [(inputs, 0)])


def test_constants(state: State) -> None:
    for constants, mode, value in (
        ([0.5], "multiplicative", 3.5),
        ([0.5], "additive", 7.5),
        ([2, 1], "affine", 15.0),
        ([], "multiplicative", 7),
        (None, None, 7),
    ):
        got = run(state, candidate("ADD", constants=constants, const_mode=mode), [3, 4])
        assert got == value
        assert isinstance(got, float) == bool(constants)
    assert run(state, candidate("ADD", constants=[2]), [3, 4]) == 14.0  # multiplicative unless said otherwise
    assert executor._run_base(state, candidate("ADD", constants=[2]), [3, 4]) == 7


def test_a_loop_without_the_primitive_is_an_error(state: State) -> None:
    with pytest.raises(ValueError):
        run({**state, "loop_id": None}, loop("INC"), [1, 2])


# --- validate -------------------------------------------------------------------------------------------------------


def test_tolerances(state: State) -> None:
    same = candidate("CONST")
    assert validate(state, same, [([1_000_000.0], 1_000_000.5)])
    assert not validate(state, same, [([1_000_000.0], 1_000_002.0)])
    assert validate(state, same, [([1e-10], 0.0)])
    assert not validate(state, same, [([1e-8], 0.0)])
    assert validate(state, same, [([math.inf], math.inf)])
    assert not validate(state, same, [([math.nan], math.nan)])
    assert not validate(state, same, [([1], None)])
    assert not validate(state, same, [([10**400], 1.0)])
    assert validate(state, same, [])


def test_validation_ends_at_the_first_mismatch_and_lets_interrupts_through(state: State) -> None:
    def examples() -> Iterator[tuple[list[Any], Any]]:
        yield [1], 2
        raise AssertionError("a second example was asked for")

    assert not validate(state, candidate("CONST"), examples())  # type: ignore[arg-type]

    def interrupted() -> Iterator[tuple[list[Any], Any]]:
        raise KeyboardInterrupt
        yield [1], 1

    with pytest.raises(KeyboardInterrupt):
        validate(state, candidate("CONST"), interrupted())  # type: ignore[arg-type]


@given(rows=st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), max_size=6), off=st.floats(-1.0, 1.0))
def test_validate_is_isclose_on_every_row(state: State, rows: list[tuple[float, float]], off: float) -> None:
    examples = [([a, b], a - b + off) for a, b in rows]
    expected = all(
        math.isclose(a - b, y, rel_tol=1e-6, abs_tol=1e-9) for (a, b), (_, y) in zip(rows, examples, strict=True)
    )
    assert validate(state, candidate("SUB"), examples) == expected


# --- R squared ------------------------------------------------------------------------------------------------------


def test_r_squared(state: State) -> None:
    inc = ID["INC"]
    assert r_squared(state, inc, [([1], 2), ([2], 3), ([3], 4)]) == 1.0
    assert r_squared(state, inc, [([1], 1), ([2], 2), ([3], 3)]) == pytest.approx(1 - 3 / 2)
    assert r_squared(state, ID["NULL"], [([1], -1.0), ([2], 1.0)]) == 0.0
    assert r_squared(state, ID["NULL"], [([1], 0.0), ([2], 0)]) == 1.0  # constant and exact
    assert r_squared(state, ID["NULL"], [([1], 0.1), ([2], 0.1), ([3], 0.1)]) == -math.inf


@pytest.mark.parametrize(
    ("name", "examples"),
    [
        ("INC", []),
        ("INC", [([1], 2), ([], 3)]),
        ("NOT", [([1], -2), ([2.0], -3)]),
        ("LOG", [([1], 0.0), ([0], 5.0)]),
        ("LOG", [([1], 0.0), ([-1], 5.0)]),
        ("INC", [([1], 2), ([2], math.nan)]),
        ("INC", [([1], 2), ([2], math.inf)]),
        ("INC", [([1], 2), ([2], None)]),
        ("INC", [([1], 2), ([10**400], 3)]),
    ],
)
def test_r_squared_of_a_failure(state: State, name: str, examples: list[Any]) -> None:
    assert r_squared(state, ID[name], examples) == -math.inf


def test_r_squared_of_an_unknown_function(state: State) -> None:
    assert r_squared(state, 999, [([1], 1)]) == -math.inf


@pytest.mark.parametrize("scale", [1e-250, 1e-160, 1.0, 1e160, 1e300])
def test_r_squared_does_not_depend_on_the_unit(state: State, scale: float) -> None:
    examples = [([x * scale], y * scale) for x, y in ((1.0, 1.5), (2.0, 1.5), (3.0, 3.5))]
    assert r_squared(state, ID["CONST"], examples) == pytest.approx(1 - 0.75 / (24 / 9))
