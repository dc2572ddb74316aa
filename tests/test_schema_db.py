"""The library on disk: the schema and its rows. Opening, refusing and surviving are in test_library_file.py."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nssr import db, registry, schema

ADD, MUL, INC, LOOP, WHILE, ACCUM, LT = 3, 5, 6, 18, 19, 20, 9


@pytest.fixture
def conn() -> Iterator[sqlite3.Connection]:
    with contextlib.closing(db.init_db(":memory:")) as connection:
        registry.init_registry(connection)
        yield connection


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "library.db")


def test_documented_sql_stands_alone() -> None:
    with contextlib.closing(sqlite3.connect(":memory:")) as conn:
        assert schema.FUNCTIONS_TABLE in schema.ALL_TABLES
        assert schema.LAYER_INDEX in schema.ALL_INDEXES
        for statement in schema.ALL_TABLES + schema.ALL_INDEXES:
            conn.execute(statement)
        # A caller's own connection: tuples as rows, and Python's implicit transactions.
        db.add_primitive(conn, 0, "ADD", 2)
        assert db.add_learned(conn, 1, "TWICE", 1, [(0, [0, 0])]) == 1
        assert db.get_functions_by_layer(conn, 1)[0]["composition"] == [(0, [0, 0])]


def test_primitives_are_rows_of_layer_0(conn: sqlite3.Connection) -> None:
    row = db.get_function(conn, ADD)
    assert row is not None
    assert row["created_at"]
    assert {**row, "created_at": None} == {
        "id": ADD,
        "name": "ADD",
        "arity": 2,
        "layer": 0,
        "composition": None,
        "constants": None,
        "const_mode": "multiplicative",
        "created_at": None,
    }
    assert db.get_composition(conn, ADD) == []
    assert db.get_function(conn, 999) is None
    assert db.get_composition(conn, 999) == []
    assert db.get_constants(conn, 999) is None
    assert db.get_const_mode(conn, 999) == "multiplicative"


def test_learned_rows_come_back_as_they_went_in(conn: sqlite3.Connection) -> None:
    square: db.Composition = [(MUL, [0, 0])]
    energy: db.Composition = [(30, [1]), (MUL, [0, 2])]
    assert db.add_learned(conn, 30, "SQUARED", 1, square) == 1
    assert db.add_learned(conn, 31, "KE", 2, energy, [0.5]) == 2
    assert db.add_learned(conn, 32, "LINE", 1, [(16, [0])], [2, 1], "affine") == 1
    assert db.get_composition(conn, 31) == energy
    assert db.get_constants(conn, 31) == [0.5]
    assert (db.get_constants(conn, 32), db.get_const_mode(conn, 32)) == ([2.0, 1.0], "affine")
    assert [f["id"] for f in db.get_all_functions(conn)] == [*range(21), 30, 32, 31]
    assert [f["name"] for f in db.get_functions_by_layer(conn, 1)] == ["SQUARED", "LINE"]
    assert (db.count_functions(conn), db.max_layer(conn), db.max_id(conn)) == (24, 2, 32)


def test_iterated_functions_count_for_the_layer(conn: sqlite3.Connection) -> None:
    db.add_learned(conn, 21, "TWICE", 1, [(ADD, [0, 0])])
    db.add_learned(conn, 22, "SMALL", 1, [(LT, [0, -1])])
    assert db.add_learned(conn, 23, "POW2", 2, [(LOOP, [21, 1, 0])]) == 2
    assert db.add_learned(conn, 24, "GROW", 2, [(WHILE, [22, INC, 0, 1])]) == 2
    assert db.add_learned(conn, 25, "COUNT", 2, [(ACCUM, [INC, 23, 0, -1, 1])]) == 3


BAD: list[tuple[str, dict[str, object]]] = [
    ("empty", {"composition": []}),
    ("no function with id 99", {"composition": [(99, [0])]}),
    ("no function with id 21", {"composition": [(21, [0])]}),  # itself
    ("outside", {"composition": [(ADD, [0, 1])]}),
    ("outside", {"composition": [(ADD, [0, -2])]}),
    ("outside", {"composition": [(INC, [0]), (INC, [2])]}),
    ("no function with id 77", {"composition": [(LOOP, [77, 0, 0])]}),
    ("no function with id -1", {"composition": [(LOOP, [-1, 0, 0])]}),
    ("no function with id 78", {"composition": [(WHILE, [INC, 78, 0, 0])]}),
    ("takes 2 function ids", {"composition": [(ACCUM, [INC])]}),
    ("already|taken", {"name": "ADD"}),
    ("already|taken", {"func_id": ADD}),
    ("const_mode", {"const_mode": "exponential"}),
    ("const_mode", {"const_mode": "exponential", "constants": [1.0]}),
    ("finite", {"constants": [float("nan")]}),
    ("finite", {"constants": [float("inf")]}),
    ("fit", {"constants": [10**400]}),
    ("takes 1", {"constants": [1.0, 2.0]}),
    ("takes 2", {"constants": [1.0], "const_mode": "affine"}),
    ("arity", {"arity": -1}),
    ("blank", {"name": ""}),
    ("blank", {"name": " "}),
    ("control", {"name": "A\0B"}),
    ("control", {"name": "A\nB"}),
    ("control", {"name": "A\x1b[31m"}),
    ("control", {"name": "A\ud800"}),
    ("at most 200", {"name": "A" * 201}),
]


@pytest.mark.parametrize(("message", "change"), BAD, ids=[str(change) for _, change in BAD])
def test_add_learned_stores_nothing_that_is_not_valid(
    conn: sqlite3.Connection, message: str, change: dict[str, object]
) -> None:
    good: dict[str, object] = {"func_id": 21, "name": "F", "arity": 1, "composition": [(INC, [0])]}
    with pytest.raises(ValueError, match=message):
        db.add_learned(conn, **(good | change))  # type: ignore[arg-type]
    assert db.count_functions(conn) == 21
    assert not conn.in_transaction


def test_float_indices_are_refused_and_numpy_ones_are_taken(conn: sqlite3.Connection) -> None:
    np = pytest.importorskip("numpy")
    with pytest.raises(TypeError):
        db.add_learned(conn, 21, "F", 1, [(INC, [0.0])])  # type: ignore[list-item]
    db.add_learned(conn, 21, "F", 1, [(np.int64(INC), [np.int32(0)])], np.array([2.0]))
    assert db.get_composition(conn, 21) == [(INC, [0])]
    assert db.get_constants(conn, 21) == [2.0]


@given(
    name=st.text(min_size=1, max_size=220),
    k=st.floats(allow_nan=False, allow_infinity=False),
    mode=st.sampled_from(["multiplicative", "additive"]),
)
@settings(max_examples=60, deadline=None)
def test_any_text_is_a_name_or_a_value_error(name: str, k: float, mode: str) -> None:
    with contextlib.closing(db.init_db(":memory:")) as conn:
        db.add_primitive(conn, 0, "a primitive with a name that is not generated " * 3, 1)
        try:
            db.add_learned(conn, 1, name, 1, [(0, [0])], [k], mode)
        except ValueError:
            assert db.get_function(conn, 1) is None
        else:
            row = db.get_function(conn, 1)
            assert row is not None
            assert (row["name"], row["constants"], row["const_mode"]) == (name, [k], mode)


def test_replacing_a_primitive_keeps_those_who_use_it(conn: sqlite3.Connection) -> None:
    db.add_learned(conn, 21, "TWICE", 1, [(ADD, [0, 0])])
    db.add_primitive(conn, ADD, "PLUS", 2)
    assert db.get_composition(conn, 21) == [(ADD, [0, 0])]
    db.add_primitive(conn, 22, "OR", 2)  # nobody uses OR: it moves to the new id
    assert db.get_function(conn, 0) is None
    with pytest.raises(sqlite3.IntegrityError, match="used by others"):
        db.add_primitive(conn, 23, "PLUS", 2)
    with pytest.raises(ValueError, match="arity"):
        db.add_primitive(conn, 24, "X", -2)
    db.add_primitive(conn, 21, "DOUBLE", 1)
    row = db.get_function(conn, 21)
    assert row is not None
    assert (row["layer"], row["composition"]) == (0, None)


def test_a_used_function_cannot_be_deleted_by_any_program(path: str) -> None:
    with contextlib.closing(db.init_db(path)) as conn:
        registry.init_registry(conn)
        db.add_learned(conn, 21, "TWICE", 1, [(ADD, [0, 0])])
        db.add_learned(conn, 22, "POW2", 2, [(LOOP, [21, 1, 0])])
        db.add_learned(conn, 23, "G", 1, [(WHILE, [6, 7, 0, 0])], [3.0])
    with contextlib.closing(sqlite3.connect(path)) as other:
        for used in (ADD, LOOP, 21, 6, 7):
            with pytest.raises(sqlite3.IntegrityError, match="used by others"):
                other.execute("DELETE FROM functions WHERE id = ?", (used,))
            with pytest.raises(sqlite3.IntegrityError, match="used by others"):
                other.execute("UPDATE functions SET id = 100 WHERE id = ?", (used,))
        for unused in (22, 21, 0, 1):  # 0 and 1 are indices in those compositions, not children
            other.execute("DELETE FROM functions WHERE id = ?", (unused,))


def test_registrations_join_an_open_transaction(conn: sqlite3.Connection) -> None:
    conn.execute("BEGIN")
    db.add_learned(conn, 21, "F", 1, [(INC, [0])])
    with pytest.raises(ValueError):
        db.add_learned(conn, 22, "F", 1, [(INC, [0])])
    assert conn.in_transaction  # the failure undid itself only
    db.add_learned(conn, 22, "G", 1, [(21, [0])])
    conn.execute("ROLLBACK")
    assert db.count_functions(conn) == 21
    with db.transaction(conn):
        db.add_learned(conn, 21, "F", 1, [(INC, [0])])
    assert db.count_functions(conn) == 22
    with contextlib.suppress(KeyboardInterrupt), db.transaction(conn):
        db.add_learned(conn, 22, "G", 1, [(INC, [0])])
        raise KeyboardInterrupt
    assert db.count_functions(conn) == 22


def test_the_summary_shows_steps_by_name(conn: sqlite3.Connection, capsys: pytest.CaptureFixture[str]) -> None:
    db.add_learned(conn, 21, "NAND", 2, [(1, [0, 1]), (2, [2])])
    db.add_learned(conn, 22, "KE", 2, [(MUL, [1, 1]), (MUL, [0, 2])], [0.5])
    db.add_learned(conn, 23, "PLUS3", 1, [(INC, [0])], [2.0], "additive")
    db.add_learned(conn, 24, "LINE", 1, [(INC, [0])], [2.0, -1.0], "affine")
    db.add_learned(conn, 25, "TIMES", 2, [(LOOP, [ADD, 1, -1, 0])])
    db.print_summary(conn)
    out = capsys.readouterr().out
    assert "Library: 26 functions, 2 layers, packs: core" in out
    assert "Layer 0 (21)" in out
    assert "Layer 1 (5)" in out
    assert "21  NAND   arity 2    AND(x0, x1) -> NOT(s1)\n" in out
    assert "MUL(x1, x1) -> MUL(x0, s1), then * 0.5\n" in out
    assert "INC(x0), then + 2\n" in out
    assert "INC(x0), then * 2 + -1\n" in out
    assert "LOOP(ADD, x1, 0, x0)\n" in out
    assert "18  LOOP   arity any\n" in out
    with contextlib.closing(db.init_db(":memory:")) as empty:
        db.print_summary(empty)
    assert "0 functions" in capsys.readouterr().out
