"""What the regressor hands out: text, algebra, predictions, copies."""

from __future__ import annotations

import copy
import doctest
import math
import pickle
import random
import time
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sympy
from hypothesis import example, given, settings
from hypothesis import strategies as st
from random_trees import random_tree

from nssr import formula, found_formula
from nssr.explore.tree import Tree, add, column, div, mul, number, reference_values, sub
from nssr.found_formula import FoundFormula
from nssr.notation import Node
from nssr.operation_names import AVAILABLE

X, Y, Z = column(0), column(1), column(2)
NAMES = ("x", "y", "z")
PYTHON: dict[str, Any] = {
    **vars(math),
    **{"abs": abs, "min": min, "max": max},
}


def of(op: str, *args: Tree) -> Tree:
    return Tree(op, args)


def shown(tree: Tree) -> str:
    return str(FoundFormula(tree, NAMES))


@pytest.mark.parametrize(
    ("tree", "text"),
    [
        (number(4), "4"),
        (number(3.25), "3.25"),
        (number(1 / 3), "0.3333333333333333"),
        (number(-2.5e-11), "-2.5e-11"),
        (mul(number(-1.5), add(X, Y)), "-1.5*(x + y)"),
        (mul(number(0.1), mul(number(3), X)), "0.3*x"),
        (mul(number(0.1 + 0.2), X), "0.30000000000000004*x"),
        (div(number(1), sub(of("EXP", div(mul(X, Y), Z)), number(1))), "1/(exp(x*y/z) - 1)"),
        (of("SQRT", sub(number(1), div(of("SQUARE", X), of("SQUARE", Y)))), "sqrt(1 - x**2/y**2)"),
        (of("INV", add(X, number(0.1))), "1/(x + 0.1)"),
        (of("POW", X, number(1.5)), "x**1.5"),
        (of("POW", X, number(0.5)), "sqrt(x)"),
        (of("ASIN", mul(X, of("SIN", Y))), "asin(x*sin(y))"),
        (mul(number(0.5), mul(Y, of("SQUARE", X))), "0.5*y*x**2"),
        (div(mul(X, Y), X), "y"),
        (of("MAX", X, number(0.25)), "max(x, 0.25)"),
        (of("ABS", of("NEG", X)), "abs(x)"),
    ],
)
def test_text(tree: Tree, text: str) -> None:
    assert shown(tree) == text


def test_rounded_numbers_have_so_many_significant_digits() -> None:
    found = FoundFormula(add(mul(number(1234.5678), X), number(-6.02214076e-23)), NAMES)
    assert str(found.rounded(3)) == "1230*x - 6.02e-23"
    assert found.rounded(17) == found
    with pytest.raises(ValueError, match="significant digits"):
        found.rounded(0)


def test_sympy_and_latex() -> None:
    found = FoundFormula(div(mul(number(2.5), X), of("SQRT", Y)), ("my col", "b"))
    assert str(found) == "2.5*`my col`/sqrt(b)"
    assert found.sympy() == 2.5 * sympy.Symbol("my col") / sympy.sqrt(sympy.Symbol("b"))
    assert found.latex() == r"\frac{2.5 \text{my col}}{\sqrt{b}}"
    assert found._repr_latex_() == rf"$\displaystyle {found.latex()}$"
    assert repr(found) == f"<FoundFormula {found}>"


def test_size_and_columns_are_those_of_the_text() -> None:
    found = FoundFormula(div(mul(X, Z), X), NAMES)
    assert (found.size, found.used) == (1, ("z",))


def test_copies_are_equal_and_light() -> None:
    found = FoundFormula(of("SIN", mul(number(2.5), X)), NAMES)
    before = len(pickle.dumps(found))
    text = str(found)
    assert len(pickle.dumps(found)) == before
    for again in (pickle.loads(pickle.dumps(found)), copy.copy(found), copy.deepcopy(found)):
        assert again == found
        assert hash(again) == hash(found)
        assert str(again) == text


def test_predict_takes_arrays_frames_and_mappings() -> None:
    found = FoundFormula(add(Z, mul(number(2), X)), NAMES)
    array = np.arange(6).reshape(2, 3)
    assert found.predict(array).tolist() == [2, 11]
    frame = pd.DataFrame(array, columns=list(NAMES))
    assert found.predict(frame[["z", "x"]]).tolist() == [2, 11]
    assert found.predict({"x": [0, 3], "z": [2, 5]}).tolist() == [2, 11]
    assert found.predict(np.empty((0, 3))).shape == (0,)
    assert FoundFormula(number(2), NAMES).predict(array).tolist() == [2, 2]
    with pytest.raises(ValueError, match="X lacks the column z"):
        found.predict(frame[["x", "y"]])
    with pytest.raises(ValueError, match=r"3 columns \(x, y, z\)"):
        found.predict(array[:, :2])


def test_a_zero_divisor_is_infinite_not_zero() -> None:
    assert FoundFormula(div(X, Y), NAMES).predict([[1.0, 0.0, 0.0]]).tolist() == [math.inf]
    assert FoundFormula(of("INV", X), NAMES).predict([[0.0, 0.0, 0.0]]).tolist() == [math.inf]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 10))
def test_sympy_has_the_values_of_the_tree(seed: int, nodes: int) -> None:
    rng = random.Random(seed)
    tree = random_tree(rng, nodes, "ADD SUB MUL DIV SQUARE CUBE SQRT EXP LOG SIN COS TANH ATAN NEG INV POW")
    row = [rng.uniform(0.2, 2.5) for _ in range(3)]
    wanted, nearby = FoundFormula(tree, NAMES).predict([row, [v * (1 + 1e-13) for v in row]])
    if math.isfinite(wanted) and math.isclose(wanted, nearby, rel_tol=1e-9):
        expression = FoundFormula(tree, NAMES).sympy()
        value = complex(expression.evalf(subs={sympy.Symbol(name): v for name, v in zip(NAMES, row, strict=True)}))
        assert math.isclose(value.real, wanted, rel_tol=1e-6, abs_tol=1e-12), (str(expression), value)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 14))
@example(1368, 6)  # cosh of a huge constant
@example(783215925, 9)  # x/tanh(1/atan(log(1))): a divisor that is always zero
def test_the_text_has_the_values_of_the_tree(seed: int, nodes: int) -> None:
    rng = random.Random(seed)
    tree = random_tree(rng, nodes, " ".join(sorted(AVAILABLE)))
    rows = np.array([[rng.uniform(0.2, 2.5) for _ in range(3)] for _ in range(5)])
    found = FoundFormula(tree, NAMES)
    wanted = found.predict(rows)
    nearby = found.predict(rows * (1 + 1e-13))
    well = np.isfinite(wanted) & np.isfinite(nearby) & np.isclose(wanted, nearby, rtol=1e-9, atol=0)
    reference = np.array(reference_values(tree, rows, ieee=True))
    code = compile(str(found), "formula", "eval")
    for row, value, other, fine in zip(rows.tolist(), wanted.tolist(), reference.tolist(), well.tolist(), strict=True):
        if not fine:
            continue
        if value != 0 and other != 0 and math.isfinite(other):  # the reference's x/0 is 0
            assert math.isclose(value, other, rel_tol=1e-9)
        try:
            evaluated = eval(code, {**PYTHON, **dict(zip(NAMES, row, strict=True))})
        except (ArithmeticError, ValueError, TypeError):
            continue  # Python raises, or has a complex number, where a MIN or a quotient goes on with NaN or infinity
        if not isinstance(evaluated, complex):
            assert math.isclose(evaluated, value, rel_tol=1e-6, abs_tol=1e-12), str(found)


def test_text_is_made_in_milliseconds() -> None:
    rng = random.Random(1)
    common = "ADD SUB MUL DIV ADD SUB MUL DIV SQUARE SQRT EXP LOG SIN COS TANH INV"
    trees = [random_tree(rng, rng.randint(3, 30), common) for _ in range(60)]
    shown(trees[0])  # loads sympy
    times = []
    for tree in trees:
        start = time.perf_counter()
        shown(tree)
        times.append(time.perf_counter() - start)
    assert sorted(times)[len(times) * 8 // 10] < 0.05


def test_graphs_that_are_none_are_refused() -> None:
    for graph, words in [
        ([], "empty"),
        ([Node("column", (), 3)], "no column 3"),
        ([Node("SIN", (0,))], "no earlier nodes"),
        ([Node("column", (), 0), Node("SINUS", (0,))], "no operation 'SINUS'"),
        ([Node("column", (), 0), Node("ADD", (0,))], "no operation 'ADD' over 1"),
    ]:
        with pytest.raises(ValueError, match=words):
            formula.Formula.from_graph(graph, NAMES)
    with pytest.raises(ValueError, match="different"):
        formula.Formula.from_graph([Node("column", (), 0)], ("a", "a"))


def test_structure_is_the_graph_as_given() -> None:
    graph = [Node("column", (), 0), Node("MUL", (0, 0)), Node("SQRT", (1,))]
    assert formula.Formula.from_graph(graph, ("x",)).structure() == "SQRT(MUL(x, x))"


def test_the_example_holds() -> None:
    assert doctest.testmod(found_formula).failed == 0
