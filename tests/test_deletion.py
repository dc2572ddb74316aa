"""Functions that are deleted from a library: who may go, and that nobody takes the place of one who went."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import pytest

from nssr import db, learning, pretrained, registry
from nssr.optimizer import make_optimizer
from nssr.primitives import BY_NAME


@pytest.fixture
def conn(tmp_path: Path) -> sqlite3.Connection:
    return db.init_db(tmp_path / "library.db")


def test_only_learned_functions_that_nobody_uses_go(conn: sqlite3.Connection) -> None:
    state = registry.init_registry(conn)
    add = next(i for i, e in state["metadata"].items() if e["name"] == "ADD")
    double = registry.register_learned(conn, state, "DOUBLE", 1, [(add, [0, 0])])
    four = registry.register_learned(conn, state, "FOUR", 1, [(double, [0]), (double, [1])])
    for func_id, words in ((add, "primitive"), (double, "use DOUBLE"), (1000, "no function with id 1000")):
        with pytest.raises(ValueError, match=words):
            db.delete_learned(conn, func_id)
    assert db.count_functions(conn) == len(state["functions"])
    db.delete_learned(conn, four)
    db.delete_learned(conn, double)
    assert {f["name"] for f in db.get_all_functions(conn)} == {p.name for p in BY_NAME.values() if p.name in names(state)} - {
        "DOUBLE", "FOUR",
    }  # fmt: skip


def names(state: registry.State) -> set[str]:
    return {e["name"] for e in state["metadata"].values()}


def test_an_id_is_given_once(conn: sqlite3.Connection) -> None:
    state = registry.init_registry(conn)
    first = registry.register_learned(conn, state, "A", 1, [(0, [0])])
    stale = registry.load_registry(conn)
    db.delete_learned(conn, first)
    fresh = registry.load_registry(conn)
    second = registry.register_learned(conn, fresh, "A", 1, [(1, [0])])
    assert second == first + 1
    with pytest.raises(ValueError, match=f"no function with id {first}"):
        registry.register_learned(conn, stale, "B", 1, [(first, [0])])  # what A was has gone
    assert registry.vocab_size(fresh) == second + 1 == len(registry.plain_names(fresh))
    assert len(set(registry.plain_names(fresh))) == second + 1


def test_a_library_of_the_older_format_is_adopted(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    conn = db.init_db(path)
    registry.init_registry(conn)
    conn.execute("DROP TABLE retired")
    conn.execute("PRAGMA user_version = 1")
    conn.close()
    conn = db.init_db(path)
    assert registry.load_registry(conn)["next_id"] == 21


def test_searches_and_training_go_on_around_a_gap(conn: sqlite3.Connection) -> None:
    state = registry.init_registry(conn)
    gone = registry.register_learned(conn, state, "GONE", 1, [(3, [0, 0])])
    registry.register_learned(conn, state, "KEPT", 1, [(3, [0, 0]), (3, [1, 1])])
    db.delete_learned(conn, gone)
    state = registry.load_registry(conn)
    state["config"], state["trained"] = dict(learning.SMALL_CONFIG), True
    model = pretrained.fitted_to(pretrained.load(), registry.plain_names(state))
    rng = random.Random(0)
    rows = [(rng.randint(-9, 9), rng.randint(-9, 9)) for _ in range(30)]
    lesson, _ = learning.learn_task(
        conn, state, model, make_optimizer(model, lr=1e-3), "T", [([x, y], 4 * x * y + 1) for x, y in rows], num_epochs=1
    )
    assert (lesson.success, lesson.exact) == (True, True)
    assert lesson.func_id == gone + 2 == model.n_functions - 1
