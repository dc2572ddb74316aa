"""The library in memory: primitives, learned functions, packs. Loops are in test_loops.py."""

from __future__ import annotations

import contextlib
import math
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nssr import db, registry
from nssr.errors import UserError
from nssr.primitives import ALL, BY_NAME, PACKS
from nssr.registry import (
    State,
    execute,
    get_name,
    get_names,
    init_registry,
    load_registry,
    register_learned,
    vocab_size,
)

ID = {p.name: p.opcode for p in ALL}  # true of a library made with all packs at once
DOCUMENTED = "OR AND NOT ADD SUB MUL INC DEC DIV LT LTE GT GTE EQ NEQ COND CONST NULL LOOP WHILE ACCUM"


# --- shape ----------------------------------------------------------------------------------------------------------


def test_the_documented_primitives_in_the_documented_order(conn: sqlite3.Connection) -> None:
    state = init_registry(conn)
    assert " ".join(registry.PRIMITIVES) == DOCUMENTED
    assert registry.PRIMITIVES.keys() == registry._make_primitives().keys()
    assert [arity for arity, _ in registry.PRIMITIVES.values()] == [p.arity for p in PACKS["core"]]
    assert " ".join(get_names(state, list(range(21)))) == DOCUMENTED
    assert state.keys() == {"functions", "metadata", "next_id", "loop_id", "withheld"}
    assert (state["next_id"], state["loop_id"], state["withheld"]) == (21, 18, set())
    assert state["metadata"][3] == {
        "name": "ADD",
        "arity": 2,
        "layer": 0,
        "composition": None,
        "constants": None,
        "const_mode": "multiplicative",
        "opcode": 3,
    }
    assert vocab_size(state) == db.count_functions(conn) == 21
    assert registry._empty_state() == {"functions": {}, "metadata": {}, "next_id": 0, "loop_id": None}


def test_an_empty_database_loads_as_an_empty_state(conn: sqlite3.Connection) -> None:
    state = load_registry(conn)
    assert (vocab_size(state), state["next_id"], state["loop_id"]) == (0, 0, None)


def test_unknown_ids_are_value_errors(state: State) -> None:
    for unknown in (-1, 999):
        with pytest.raises(ValueError, match=str(unknown)):
            execute(state, unknown, [1, 2])
        with pytest.raises(ValueError, match=str(unknown)):
            get_name(state, unknown)


# --- plain primitives -----------------------------------------------------------------------------------------------

CASES: list[tuple[str, list[Any], Any]] = [
    ("OR", [12, 10], 14),
    ("AND", [12, 10], 8),
    ("NOT", [5], -6),
    ("ADD", [2, 0.5], 2.5),
    ("SUB", [2, 5], -3),
    ("MUL", [3, -4], -12),
    ("INC", [0.5], 1.5),
    ("DEC", [0], -1),
    ("DIV", [7, 2], 3.5),
    ("DIV", [7, 0], 0.0),
    ("LT", [1, 2], 1),
    ("LTE", [2, 2], 1),
    ("GT", [1, 2], 0),
    ("GTE", [1, 2], 0),
    ("EQ", [1, 1.0], 1),
    ("NEQ", [1, 1.0], 0),
    ("COND", [2, 7, 8], 7),
    ("COND", [0.0, 7, 8], 8),
    ("CONST", [9], 9),
    ("NULL", [9], 0),
    ("SQUARE", [-3], 9),
    ("PI", [], math.pi),
    ("POW", [2, 0.5], math.sqrt(2)),
]


@pytest.mark.parametrize(("name", "inputs", "result"), CASES)
def test_primitives(shared: State, name: str, inputs: list[Any], result: Any) -> None:
    value = execute(shared, ID[name], inputs)
    assert value == result
    assert type(value) is type(result)
    assert execute(shared, ID[name], [*inputs, 99, 99]) == result  # surplus inputs are ignored
    if inputs:
        with pytest.raises(IndexError):
            execute(shared, ID[name], inputs[:-1])


@pytest.mark.parametrize("name", ["OR", "AND", "NOT"])
def test_bits_of_a_float_raise(shared: State, name: str) -> None:
    with pytest.raises(TypeError):
        execute(shared, ID[name], [1.0, 2])


@given(a=st.integers() | st.floats(), b=st.integers() | st.floats(), c=st.integers())
def test_every_plain_primitive_is_its_meaning(a: Any, b: Any, c: int) -> None:
    for name, (arity, factory) in registry._make_primitives(PACKS).items():
        if arity < 0:
            continue
        call, meaning = factory(lambda func_id, inputs: None), BY_NAME[name].meaning
        assert meaning is not None
        inputs = [a, b, c][:arity]
        try:
            expected: Any = meaning(inputs)
        except Exception as error:
            with pytest.raises(type(error)):
                call(inputs)
        else:
            assert repr(call(inputs)) == repr(expected)


LOOP, ACCUM = ID["LOOP"], ID["ACCUM"]


# --- learned functions ----------------------------------------------------------------------------------------------


def test_learned_functions_run_now_and_after_loading(conn: sqlite3.Connection, state: State) -> None:
    nand = register_learned(conn, state, "NAND", 2, [(ID["AND"], [0, 1]), (ID["NOT"], [2])])
    energy = register_learned(conn, state, "KE", 2, [(ID["SQUARE"], [1]), (ID["MUL"], [0, 2])], [0.5])
    plus = register_learned(conn, state, "PLUS", 1, [(ID["CONST"], [0])], [3], "additive")
    line = register_learned(conn, state, "LINE", 1, [(plus, [0])], [2, -1], "affine")
    times = register_learned(conn, state, "TIMES", 2, [(LOOP, [ID["ADD"], 1, -1, 0])])
    halve = register_learned(conn, state, "HALVINGS", 2, [(ACCUM, [ID["CONST"], ID["DEC"], 0, -1, 1])])
    root = register_learned(conn, state, "TAU", 0, [(ID["PI"], []), (ID["ADD"], [0, 0])])
    assert [nand, energy, plus, line, times, halve, root] == list(range(42, 49))
    assert state["next_id"] == 49
    loaded = load_registry(conn)
    assert loaded["metadata"] == state["metadata"]
    assert (loaded["next_id"], loaded["loop_id"]) == (state["next_id"], state["loop_id"])
    for s in (state, loaded):
        assert execute(s, nand, [12, 10]) == -9
        assert execute(s, energy, [3, 2]) == 6.0
        assert isinstance(execute(s, plus, [1]), float)  # constants are floats, as in the engine
        assert execute(s, line, [4]) == 13.0
        assert execute(s, times, [6, 7]) == 42
        assert execute(s, halve, [5, 3]) == 3
        assert execute(s, root, []) == 2 * math.pi
        assert s["metadata"][line]["layer"] == 2
        assert s["metadata"][energy]["composition"] == [(ID["SQUARE"], [1]), (ID["MUL"], [0, 2])]
        assert (s["metadata"][energy]["constants"], s["metadata"][energy]["opcode"]) == ([0.5], None)


def test_learned_functions_take_their_first_inputs(conn: sqlite3.Connection, state: State) -> None:
    f = register_learned(conn, state, "F", 2, [(ID["INC"], [0]), (ID["MUL"], [2, 1])])
    assert execute(state, f, [2, 5]) == execute(state, f, [2, 5, 99, 99]) == 15
    with pytest.raises(IndexError):
        execute(state, f, [2])
    unused = register_learned(conn, state, "G", 2, [(ID["INC"], [0])])
    with pytest.raises(IndexError):
        execute(state, unused, [2])  # too few, though the second is never read


def test_any_step_that_raises_raises(conn: sqlite3.Connection, state: State) -> None:
    f = register_learned(conn, state, "F", 1, [(ID["NOT"], [0]), (ID["INC"], [0])])  # the first is not used
    assert execute(state, f, [1]) == 2
    with pytest.raises(TypeError):
        execute(state, f, [1.5])


def test_composed_functions_without_an_arity_take_all_inputs(state: State) -> None:
    def call(func_id: int, inputs: list[Any]) -> Any:
        return execute(state, func_id, inputs)

    f = registry._make_composed_fn(state, [(ID["ADD"], [0, 1]), (ID["MUL"], [2, 3])], call, [10.0])
    assert f([1, 2, 5]) == 150.0  # 2 is the third input, 3 the first result
    g = registry._make_composed_fn(state, [(ID["SUB"], [-1, 0])], call)
    assert g([4]) == -4
    for index in (-2, 3):
        with pytest.raises(IndexError):
            registry._make_composed_fn(state, [(ID["INC"], [index])], call)([1, 2])
    with pytest.raises(ValueError, match="empty"):
        registry._make_composed_fn(state, [], call)
    with pytest.raises(ValueError, match="const_mode"):
        registry._make_composed_fn(state, [(ID["INC"], [0])], call, [1.0], "power")


def test_names_are_unique(conn: sqlite3.Connection, state: State) -> None:
    register_learned(conn, state, "F", 1, [(ID["INC"], [0])])
    for name in ("F", "ADD"):
        with pytest.raises(ValueError, match="already"):
            register_learned(conn, state, name, 1, [(ID["INC"], [0])])
    for name in ("", "\t", "a\nb", "x" * 201):
        with pytest.raises(ValueError):
            register_learned(conn, state, name, 1, [(ID["INC"], [0])])
    assert vocab_size(state) == db.count_functions(conn) == 43


def test_a_failing_database_leaves_the_memory_alone(conn: sqlite3.Connection, state: State) -> None:
    before = {key: dict(value) if isinstance(value, dict) else value for key, value in state.items()}
    with pytest.raises(ValueError, match="no function"):
        register_learned(conn, state, "F", 1, [(ID["INC"], [0]), (500, [1])])
    conn.execute("CREATE TRIGGER full BEFORE INSERT ON functions BEGIN SELECT RAISE(ABORT, 'no'); END")
    with pytest.raises(sqlite3.IntegrityError):
        register_learned(conn, state, "F", 1, [(ID["INC"], [0])])
    assert state == before
    conn.execute("DROP TRIGGER full")
    assert register_learned(conn, state, "F", 1, [(ID["INC"], [0])]) == 42


def test_functions_of_another_session_are_taken_in(tmp_path: Any) -> None:
    path = str(tmp_path / "library.db")
    with contextlib.closing(db.init_db(path)) as one, contextlib.closing(db.init_db(path)) as two:
        first, second = init_registry(one), init_registry(two)
        double = register_learned(one, first, "DOUBLE", 1, [(3, [0, 0])])
        init_registry(one, ("core", "science"))
        with pytest.raises(ValueError, match="taken"):
            register_learned(two, second, "DOUBLE", 1, [(3, [0, 0])])
        plus2 = register_learned(two, second, "PLUS2", 1, [(6, [0]), (6, [1])])
        assert (double, plus2) == (21, 43)
        assert execute(second, double, [4]) == 8
        assert get_name(second, 42) == "PI"
        assert second["metadata"] == load_registry(one)["metadata"]


@settings(max_examples=40, deadline=None)
@given(data=st.data(), x=st.integers(-9, 9), y=st.integers(-9, 9))
def test_a_learned_function_is_its_composition(shared: State, data: st.DataObject, x: int, y: int) -> None:
    """Random compositions, registered and loaded again, against a step by step evaluation of the table's meanings."""
    plain = [p for p in PACKS["core"] if p.arity > 0]
    steps: db.Composition = []
    for position in range(data.draw(st.integers(1, 6))):
        p = data.draw(st.sampled_from(plain))
        steps.append((p.opcode, data.draw(st.lists(st.integers(-1, 1 + position), min_size=p.arity, max_size=p.arity))))
    values: list[Any] = [x, y]
    error: type[Exception] | None = None
    for child, args in steps:
        try:
            meaning = PACKS["core"][child].meaning
            assert meaning is not None
            values.append(meaning([0 if i == -1 else values[i] for i in args]))
        except Exception as caught:
            error = type(caught)
            break
    with contextlib.closing(db.init_db(":memory:")) as conn:
        state = init_registry(conn)
        f = register_learned(conn, state, "F", 2, steps)
        for s in (state, load_registry(conn)):
            if error is not None:
                with pytest.raises(error):
                    execute(s, f, [x, y])
            else:
                assert execute(s, f, [x, y]) == values[-1]


# --- packs, opening again, withholding ------------------------------------------------------------------------------


def test_a_second_run_opens_the_library(conn: sqlite3.Connection) -> None:
    f = register_learned(conn, init_registry(conn), "F", 1, [(6, [0])])
    state = init_registry(conn)
    assert vocab_size(state) == 22
    assert execute(state, f, [1]) == 2


def test_the_science_pack_is_added_later(conn: sqlite3.Connection) -> None:
    f = register_learned(conn, init_registry(conn), "F", 1, [(6, [0])])
    state = init_registry(conn, ("science",))
    assert f == 21
    assert get_names(state, range(22, 43)) == [p.name for p in PACKS["science"]]
    assert [state["metadata"][i]["opcode"] for i in range(22, 43)] == [p.opcode for p in PACKS["science"]]
    assert execute(state, f, [1]) == 2
    assert execute(state, 24, [3]) == 9  # SQUARE, whose opcode is 23
    assert db.get_packs(conn) == ("core", "science")
    again = init_registry(conn)  # what the library has is there without asking
    assert again["metadata"] == state["metadata"]
    assert load_registry(conn)["metadata"] == state["metadata"]


def test_a_library_made_with_both_packs_numbers_by_opcode(state: State) -> None:
    assert all(meta["opcode"] == i for i, meta in state["metadata"].items())
    assert vocab_size(state) == 42


def test_a_pack_that_clashes_with_a_learned_name_is_refused(conn: sqlite3.Connection) -> None:
    state = init_registry(conn)
    register_learned(conn, state, "SQUARE", 1, [(5, [0, 0])])
    with pytest.raises(UserError, match=r"'SQUARE'.*leave the pack out"):
        init_registry(conn, ("core", "science"))
    assert db.count_functions(conn) == 22  # nothing of the pack was stored
    assert vocab_size(init_registry(conn)) == 22


def test_unknown_packs_are_refused(conn: sqlite3.Connection) -> None:
    with pytest.raises(UserError, match="core, science, ieee"):
        init_registry(conn, ("core", "magic"))
    assert list(registry._make_primitives("science")) == [p.name for p in PACKS["science"]]


def test_withheld_primitives_stay_in_the_library(conn: sqlite3.Connection) -> None:
    f = register_learned(conn, init_registry(conn), "TWICE", 1, [(3, [0, 0])])
    for state in (init_registry(conn, without=["ADD", "SUB"]), load_registry(conn, without=iter(["ADD", "SUB"]))):
        assert state["withheld"] == {3, 4}
        assert vocab_size(state) == 22
        assert execute(state, f, [4]) == 8
    assert load_registry(conn)["withheld"] == set()
    for unknown in ("PLUS", "TWICE", "SIN"):
        with pytest.raises(UserError, match="choose from OR, AND"):
            load_registry(conn, without=[unknown])


@pytest.mark.parametrize(
    "row",
    [
        "(50, 'MAGIC', 1, 0, NULL, NULL, 'multiplicative', NULL)",
        "(50, 'F', 1, 1, '[[6, [0]', NULL, 'multiplicative', NULL)",
        "(50, 'F', 1, 1, '[6, 0]', NULL, 'multiplicative', NULL)",
        "(50, 'F', 1, 1, '[]', NULL, 'multiplicative', NULL)",
        "(50, 'F', 1, 1, '[[99, [0]]]', NULL, 'multiplicative', NULL)",
        "(50, 'F', 1, 1, '[[50, [0]]]', NULL, 'multiplicative', NULL)",
        "(50, 'F', 1, 1, '[[18, [99, 0, 0]]]', NULL, 'multiplicative', NULL)",
        "(50, 'F', 1, 1, '[[6, [0]]]', '[1, 2]', 'multiplicative', NULL)",
        "(50, 'F', 1, 1, '[[6, [0]]]', '[1]', 'strange', NULL)",
    ],
)
def test_a_library_that_cannot_be_run_is_refused(conn: sqlite3.Connection, row: str) -> None:
    init_registry(conn)
    conn.execute(f"INSERT INTO functions VALUES {row}")
    with pytest.raises(UserError, match="library"):
        load_registry(conn)


def test_a_learned_function_may_take_the_name_of_a_withheld_primitive(tmp_path: Path) -> None:
    conn = db.init_db(str(tmp_path / "library.db"))
    state = registry.init_registry(conn, without=["ADD"])
    ids = {meta["name"]: i for i, meta in state["metadata"].items()}
    learned = registry.register_learned(conn, state, "ADD", 2, [(ids["LOOP"], [ids["INC"], 1, 0])])
    assert state["metadata"][learned]["name"] == "ADD"
    assert state["metadata"][ids["ADD"]]["name"] == "primitive ADD"
    assert registry.execute(state, learned, [3, 4]) == registry.execute(state, ids["ADD"], [3, 4]) == 7
    again = registry.init_registry(conn, packs=("core", "science"))
    assert {i: meta["name"] for i, meta in state["metadata"].items()}.items() <= {
        i: meta["name"] for i, meta in again["metadata"].items()
    }.items()
    assert registry.load_registry(conn, without=["ADD"])["withheld"] == {ids["ADD"]}
    assert registry.plain_names(again)[: learned + 1].count("ADD") == 2
    with pytest.raises(ValueError, match="ADD"):
        registry.register_learned(conn, again, "ADD", 1, [(ids["INC"], [0])])


@pytest.mark.parametrize("name", ["ADD", "LOOP"])
def test_the_names_of_primitives_in_use_are_taken(name: str) -> None:
    conn = db.init_db(":memory:")
    state = registry.init_registry(conn, without=["LOOP"])
    with pytest.raises(ValueError, match=name):
        registry.register_learned(conn, state, name, 2, [(4, [0, 1])])
