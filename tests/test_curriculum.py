"""Tasks with known answers: right, varied, the same every time, and only with what may be used."""

from __future__ import annotations

import random
from typing import Any

import pytest

from nssr import curriculum, db, executor, registry
from nssr.train import target_batch


def library(packs: tuple[str, ...] = ("core",), without: tuple[str, ...] = ()) -> tuple[Any, dict[str, Any]]:
    conn = db.init_db(":memory:")
    return conn, registry.init_registry(conn, packs, without)


CONN, STATE = library()
TASKS = curriculum.curriculum_tasks(STATE)
ID = {e["name"]: i for i, e in STATE["metadata"].items()}


def plain(tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [t for t in tasks if "routing" not in t]


def test_the_seed_is_fixed():
    assert curriculum.SEED == 777
    random.seed(1)
    again = curriculum.curriculum_tasks(library()[1])
    assert again == TASKS
    assert random.random() == random.Random(1).random()  # nobody else's randomness is used up


def test_every_task_has_its_parts():
    for task in TASKS:
        assert set(task) <= {"name", "examples", "target", "routing"}
        assert len(task["examples"]) == curriculum.EXAMPLES
        assert len({len(inputs) for inputs, _ in task["examples"]}) == 1
    target_batch([t["target"] for t in TASKS], n_functions=21)  # what training reads them as


def test_each_primitive_has_a_clean_and_a_noisy_task():
    for name in ID:
        mine = [t for t in TASKS if t["name"] in (name, f"{name} with junk")]
        if name in ("NULL", "LOOP", "WHILE", "ACCUM"):
            assert not mine
            continue
        assert {"routing" in t for t in mine} == {True, False}
        assert {t["target"]["primary_id"] for t in mine} == {ID[name]}
        assert {t["target"]["comp_type"] for t in mine} == {"none"}


def test_each_composition_type_is_taught():
    kinds = {t["target"]["comp_type"] for t in TASKS}
    assert kinds == {"none", "sequential", "nested", "parallel"}
    names = {t["name"] for t in TASKS}
    assert {"INC(MUL)", "ADD(INC each)", "ADD(INC, MUL)"} <= names  # those that the documents mention
    assert {f"{n} with junk" for n in names if "junk" not in n} <= names


def test_answers_are_right():
    for task in plain(TASKS):
        for inputs, output in task["examples"]:
            candidate = {**task["target"], "routing": curriculum._routing(STATE, task["target"], len(inputs))}
            assert executor.run(STATE, candidate, inputs) == output


def test_junk_columns_are_around_the_same_examples():
    pairs = list(zip(TASKS[::2], TASKS[1::2], strict=True))
    assert pairs
    for clean, noisy in pairs:
        assert noisy["name"] == f"{clean['name']} with junk"
        assert noisy["target"] == clean["target"]
        width = len(clean["examples"][0][0])
        assert len(noisy["routing"]) == width
        for (inputs, output), (wide, same) in zip(clean["examples"], noisy["examples"], strict=True):
            assert len(wide) == width + 2
            assert [wide[c] for c in noisy["routing"]] == inputs
            assert same == output


def test_junk_lies_anywhere():
    routes = {tuple(t["routing"]) for t in TASKS if "routing" in t and len(t["routing"]) == 2}
    assert len(routes) > 3


@pytest.mark.parametrize("without", [("ADD", "SUB", "MUL"), ("AND",), ("NULL", "LOOP")])
def test_what_is_withheld_is_not_taught(without):
    _, state = library(without=without)
    tasks = curriculum.curriculum_tasks(state)
    gone = {ID[n] for n in without}
    assert tasks
    for task in tasks:
        assert not {task["target"][k] for k in ("primary_id", "secondary_id", "tertiary_id")} & gone


def test_the_science_pack_has_tasks_too():
    _, state = library(("core", "science"))
    tasks = curriculum.curriculum_tasks(state)
    names = {t["name"] for t in tasks}
    assert {"SQRT", "POW", "MIN", "NEG"} <= names
    assert "PI" not in names  # it has no input to learn from
    assert all(abs(y) < 1e9 for t in tasks for _, y in t["examples"])


def test_each_learned_function_has_one_task():
    conn, state = library()
    assert curriculum.library_tasks(state) == []
    registry.register_learned(conn, state, "NAND", 2, [(ID["AND"], [0, 1]), (ID["NOT"], [2])])
    registry.register_learned(conn, state, "HALF", 1, [(ID["CONST"], [0])], [0.5])
    registry.register_learned(conn, state, "PLUS", 2, [(ID["LOOP"], [ID["INC"], 1, 0])])
    tasks = curriculum.library_tasks(state)
    assert [t["name"] for t in tasks] == ["NAND", "HALF", "PLUS"]
    for task in tasks:
        func_id = task["target"]["primary_id"]
        assert all(registry.execute(state, func_id, list(x)) == y for x, y in task["examples"])
    assert curriculum.curriculum_tasks(state) == TASKS


def test_a_function_without_values_has_no_task():
    conn, state = library()
    steps = [(ID["DIV"], [0, 0]), (ID["LOOP"], [ID["INC"], 1, 0])]  # counts to a float: raises everywhere
    registry.register_learned(conn, state, "NEVER", 1, steps)
    assert curriculum.library_tasks(state) == []
