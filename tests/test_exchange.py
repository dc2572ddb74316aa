"""Functions out of one library and into another: the same values, or nothing at all."""

from __future__ import annotations

import contextlib
import copy
import json
import sqlite3
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_programs import library

from nssr import db, exchange, registry
from nssr.errors import UserError


def fresh() -> sqlite3.Connection:
    return db.init_db(":memory:")


@pytest.mark.parametrize("seed", range(6))
def test_there_and_back(seed: int) -> None:
    """Random libraries: learned functions on top of each other, loops and constants among them."""
    state = library(seed)
    document = json.loads(json.dumps(exchange.exported(state)))
    conn = fresh()
    names, known = exchange.take_in(conn, document)
    assert (names, known) == ([f["name"] for f in document["functions"]], [])
    other = registry.load_registry(conn)
    ids = {entry["name"]: i for i, entry in other["metadata"].items()}
    for i, entry in state["metadata"].items():
        if entry["composition"] is None:
            continue
        for inputs in ([1, 2, 3], [0.5, 1.5, 2.5]):
            row = inputs[: entry["arity"]]
            outcomes = []
            for s, func_id in ((state, i), (other, ids[entry["name"]])):
                try:
                    outcomes.append(repr(registry.execute(s, func_id, list(row))))
                except Exception as error:
                    outcomes.append(type(error).__name__)
            assert outcomes[0] == outcomes[1], entry["name"]
    assert exchange.take_in(conn, document) == (names, names)  # all there already
    steps_of = {f["name"]: f["steps"] for f in document["functions"]}
    assert {f["name"]: f["steps"] for f in exchange.exported(other)["functions"]} == steps_of


def test_one_function_brings_what_it_rests_on() -> None:
    conn = fresh()
    state = registry.init_registry(conn)
    ids = {entry["name"]: i for i, entry in state["metadata"].items()}
    inner = registry.register_learned(conn, state, "INNER", 1, [(ids["INC"], [0])])
    outer = registry.register_learned(conn, state, "OUTER", 2, [(ids["LOOP"], [inner, 0, 1])])
    registry.register_learned(conn, state, "OTHER", 1, [(ids["DEC"], [0])])
    assert [f["name"] for f in exchange.exported(state, [outer])["functions"]] == ["INNER", "OUTER"]


def good() -> dict[str, Any]:
    step = {"call": "MUL", "functions": [], "arguments": [0, 1]}
    function = {
        "name": "AREA", "arity": 2, "steps": [step], "constants": [0.5], "const_mode": "multiplicative",
        "examples": [[[2, 3], 3.0]],
    }  # fmt: skip
    return {"format": "nssr-functions", "version": 1, "functions": [function]}


def change(*path: Any, to: Any) -> Callable[[dict[str, Any]], None]:
    def apply(document: dict[str, Any]) -> None:
        place: Any = document
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = to

    return apply


FIRST = ("functions", 0)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (change("format", to="other"), "document"),
        (change("version", to=2), "document"),
        (change("functions", to=[]), "1 to"),
        (change("functions", to={"a": 1}), "1 to"),
        (change(*FIRST, to="AREA"), "no object"),
        (change(*FIRST, "name", to=5), "no name"),
        (change(*FIRST, "name", to="a\nb"), "control"),
        (change(*FIRST, "name", to="ADD"), "another function named 'ADD'"),
        (change(*FIRST, "arity", to=True), "arity"),
        (change(*FIRST, "arity", to=-1), "arity"),
        (change(*FIRST, "arity", to=10**9), "arity"),
        (change(*FIRST, "steps", to=[]), "steps"),
        (change(*FIRST, "steps", 0, "call", to="NOWHERE"), "neither"),
        (change(*FIRST, "steps", 0, "call", to="AREA"), "neither"),
        (change(*FIRST, "steps", 0, "functions", to=["INC"]), "takes 0 functions"),
        (change(*FIRST, "steps", 0, "arguments", to=[0, 2]), "outside"),
        (change(*FIRST, "steps", 0, "arguments", to=[0, "1"]), "indices"),
        (change(*FIRST, "constants", to=[1, 2]), "constants"),
        (change(*FIRST, "constants", to=["1"]), "numbers"),
        (change(*FIRST, "const_mode", to="odd"), "const_mode"),
        (change(*FIRST, "examples", 0, 1, to=4), "does not have the values"),
        (change(*FIRST, "examples", 0, 0, to=[1]), "inputs, output"),
        (change(*FIRST, "examples", to=None), "examples"),
    ],
)
def test_what_is_wrong_is_not_taken(spoil: Callable[[dict[str, Any]], None], words: str) -> None:
    document = good()
    second = {**copy.deepcopy(document["functions"][0]), "name": "SECOND"}
    if isinstance(document["functions"], list):
        document["functions"].append(second)
    spoil(document)
    conn = fresh()
    registry.init_registry(conn)
    before = [dict(f) for f in db.get_all_functions(conn)]
    with pytest.raises(UserError, match=words):
        exchange.take_in(conn, document)
    assert [dict(f) for f in db.get_all_functions(conn)] == before


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(list(good()["functions"][0])), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(JSON, st.sampled_from([(), ("functions",), FIRST, (*FIRST, "steps"), (*FIRST, "steps", 0), (*FIRST, "examples")]))
def test_any_json_is_taken_or_refused_in_a_sentence(value: Any, path: tuple[Any, ...]) -> None:
    document: Any = good()
    if path:
        change(*path, to=value)(document)
    else:
        document = value
    with contextlib.suppress(UserError):  # nothing else may come out
        exchange.take_in(fresh(), document)
