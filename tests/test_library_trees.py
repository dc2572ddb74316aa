"""Functions of a library as trees, and formulas as functions of a library."""

from __future__ import annotations

import contextlib
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_trees import random_tree

from nssr import db, library, registry
from nssr.explore.tree import Tree, add, column, div, mul, number, reference_values, sub
from nssr.found_formula import FoundFormula

X, Y = column(0), column(1)
ROWS = np.random.default_rng(0).uniform(0.5, 3, (40, 3))


def of(op: str, *args: Tree) -> Tree:
    return Tree(op, args)


def functions_of(path: Path) -> dict[str, Any]:
    with contextlib.closing(db.init_db(path)) as conn:
        state = registry.load_registry(conn)
    return {meta["name"]: (i, meta, state) for i, meta in state["metadata"].items()}


@pytest.mark.parametrize(
    ("tree", "constants", "new"),
    [
        (mul(number(0.5), mul(Y, of("SQUARE", X))), [0.5], []),
        (add(mul(of("SIN", X), number(2.25)), number(-0.125)), [2.25, -0.125], []),
        (sub(X, number(1.5)), [-1.5], []),
        (of("EXP", mul(number(2.71), X)), None, ["times 2.71"]),
        (of("SQRT", sub(X, number(0.1234))), None, ["plus -0.1234"]),
        (of("POW", X, number(1.71)), None, ["plus 1.71"]),
        (of("POW", X, number(1.5)), None, []),
        (of("SIN", mul(number(2 * math.pi), X)), None, []),
        (div(X, sub(of("EXP", Y), number(1))), None, []),
        (mul(number(3), X), [3.0], []),
        (of("INV", add(X, number(7 / 3))), None, []),
        (X, None, []),
    ],
)
def test_a_formula_becomes_a_function(tmp_path: Path, tree: Tree, constants: list[float] | None, new: list[str]) -> None:
    path = tmp_path / "lib.db"
    formula = FoundFormula(tree, ("x", "y", "z"))
    before = {"LAW"}
    func_id = library.deposit(path, "LAW", formula, ROWS)
    found = functions_of(path)
    stored, meta, state = found["LAW"]
    assert stored == func_id
    assert meta["constants"] == constants
    assert sorted(n for n, (_, m, _) in found.items() if m["composition"] is not None and n not in before) == new
    read = [i for i, name in enumerate(formula.names) if name in formula.used]
    values = [registry.execute(state, func_id, row) for row in ROWS[:, read].tolist()]
    assert values == pytest.approx(formula.predict(ROWS).tolist(), rel=1e-12)


def test_what_was_registered_is_borrowed(tmp_path: Path) -> None:
    path = tmp_path / "lib.db"
    tree = of("EXP", mul(number(2.71), sub(column(2), X)))
    library.deposit(path, "LAW", FoundFormula(tree, ("x", "y", "z")), ROWS)
    borrowed = library.borrow(path)
    by_name = {f.name: f for f in borrowed.functions}
    assert set(by_name) == {"LAW", "times 2.71"}
    assert by_name["LAW"].arity == 2
    values = reference_values(by_name["LAW"].body, ROWS[:, [0, 2]])
    assert values == pytest.approx(reference_values(tree, ROWS), rel=1e-12)
    assert borrowed.names[:3] == ("OR", "AND", "NOT")
    assert borrowed.names[-2:] == ("times 2.71", "LAW")
    assert {f.name for f in library.borrow(path, frozenset({"MUL"})).functions} == {"times 2.71"}


def test_only_real_arithmetic_is_borrowed(tmp_path: Path) -> None:
    path = tmp_path / "lib.db"
    with contextlib.closing(db.init_db(path)) as conn:
        state = registry.init_registry(conn)
        ids = {meta["name"]: i for i, meta in state["metadata"].items()}

        def learn(name: str, arity: int, steps: list[tuple[str, list[int]]], *more: Any) -> int:
            ids[name] = registry.register_learned(conn, state, name, arity, [(ids[f], a) for f, a in steps], *more)
            return ids[name]

        learn("XOR", 2, [("OR", [0, 1])])
        learn("LARGER", 2, [("GT", [0, 1])])
        learn("ZERO", 1, [("NULL", [0])])
        learn("SAME", 1, [("CONST", [0])])
        learn("TWICE PLUS ONE", 1, [("INC", [0])], [2.0, -1.0], "affine")
        learn("RATIO", 3, [("DIV", [0, 2])], [0.5])
        learn("NESTED", 2, [("RATIO", [0, 1, 1]), ("TWICE PLUS ONE", [2]), ("DEC", [3])])
        learn("AGAIN", 2, [("DIV", [0, 1])], [0.5])
        registry.register_learned(conn, state, "STEPS", 2, [(ids["LOOP"], [ids["INC"], 0, 1])])
    found = {f.name: f for f in library.borrow(path).functions}
    assert set(found) == {"TWICE PLUS ONE", "RATIO", "NESTED"}  # AGAIN is RATIO
    assert found["RATIO"].body == mul(number(0.5), div(X, Y))
    assert found["RATIO"].arity == 2
    assert reference_values(found["NESTED"].body, np.array([[3.0, 4.0]])) == [2 * (0.5 * 3 / 4 + 1) - 1 - 1]


def test_there_may_be_no_library_yet(tmp_path: Path) -> None:
    borrowed = library.borrow(tmp_path / "none.db")
    assert borrowed.functions == ()
    assert borrowed.names == library.borrow(None).names
    assert not (tmp_path / "none.db").exists()


def test_what_is_refused_leaves_the_library_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "lib.db"
    law = FoundFormula(of("EXP", mul(number(2.71), X)), ("x",))
    library.deposit(path, "LAW", law, ROWS[:, :1])
    before = set(functions_of(path))
    other = FoundFormula(of("EXP", mul(number(3.7), X)), ("x",))
    with pytest.raises(ValueError, match="a function named 'LAW' already"):
        library.deposit(path, "LAW", other, ROWS[:, :1])
    with pytest.raises(ValueError, match="a constant, and a function of no columns"):
        library.deposit(path, "SEVEN", FoundFormula(number(7.5), ("x",)), ROWS[:, :1])
    with pytest.raises(ValueError, match="no name for a function"):
        library.deposit(path, " ", other, ROWS[:, :1])
    unlike = FoundFormula(div(X, sub(X, number(1.7))), ("x",))  # infinite on the row, and 0 as the library divides
    with pytest.raises(ValueError, match=r"cannot be registered: .* on the row \[1.7\]"):
        library.deposit(path, "POLE", unlike, np.array([[1.7]]))
    assert set(functions_of(path)) == before
    (tmp_path / "text.db").write_text("this is no library, whatever its name says. " * 50)
    with pytest.raises(ValueError, match=r"text\.db"):
        library.borrow(tmp_path / "text.db")


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 15))
def test_random_formulas_come_back_as_they_were(tmp_path_factory: pytest.TempPathFactory, seed: int, nodes: int) -> None:
    rng = random.Random(seed)
    tree = random_tree(rng, nodes, "ADD SUB MUL DIV SQUARE SQRT EXP SIN TANH NEG INV MAX")
    formula = FoundFormula(tree, ("x", "y", "z"))
    wanted = formula.predict(ROWS)
    if not np.isfinite(wanted).all() or np.abs(wanted).max() > 1e6 or not library.columns(tree):
        return
    path = tmp_path_factory.mktemp("libraries") / "lib.db"
    try:
        library.deposit(path, "LAW", formula, ROWS)
    except ValueError as error:  # steps that a NaN runs through, or rounding that a formula blows up
        if "cannot be registered" not in str(error):
            raise
        return
    body = next((f.body for f in library.borrow(path).functions if f.name == "LAW"), None)
    if body is not None:
        read = sorted(library.columns(tree))
        assert reference_values(body, ROWS[:, read]) == pytest.approx(wanted.tolist(), rel=1e-6, abs=1e-9)
