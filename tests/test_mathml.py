"""Formulas as MathML: well-formed XML of known elements, whatever the columns and functions are called."""

from __future__ import annotations

import random
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_trees import random_tree

from nssr import db, registry
from nssr.explore.tree import column, div, mul, number
from nssr.formula import Formula
from nssr.found_formula import FoundFormula

MATHML = "{http://www.w3.org/1998/Math/MathML}"
ELEMENTS = {
    "math", "mrow", "mfrac", "msqrt", "mroot", "msup", "msub", "msubsup", "mi", "mn", "mo", "mtext", "mtable", "mtr", "mtd",
    "mfenced", "mover", "munder", "munderover", "mspace", "mstyle",
}  # fmt: skip


def elements(text: str) -> list[ElementTree.Element]:
    found = list(ElementTree.fromstring(text).iter())
    assert found[0].tag == MATHML + "math"
    assert {e.tag.removeprefix(MATHML) for e in found} <= ELEMENTS
    return found


def words(text: str) -> str:
    return "".join(e.text or "" for e in elements(text))


def test_a_formula_reads_as_it_is_written() -> None:
    formula = FoundFormula(div(mul(number(0.5), column(0)), column(1)), ("m_1", "v"))
    tags = [e.tag.removeprefix(MATHML) for e in elements(formula.mathml())]
    assert "mfrac" in tags
    assert "msub" in tags
    assert "0.5" in words(formula.mathml())


NAMES = ["<script>alert(1)</script>", "a & b", "&lt;", '"><img src=x onerror=a(1)>', "x]]>y", "Δ m/s", "semi_major_axis"]


@pytest.mark.parametrize("name", NAMES)
def test_names_are_text(name: str) -> None:
    formula = FoundFormula(mul(column(0), column(1)), (name, "y"))
    assert name in [e.text for e in elements(formula.mathml())]


def test_long_names_keep_apart() -> None:
    formula = FoundFormula(mul(number(2.5), mul(column(0), column(1))), ("mass", "height"))
    assert words(formula.mathml()) == "2.5\u00b7height\u00b7mass"


@pytest.mark.parametrize("name", ["</mi><script>", "A & B", "plain"])
def test_functions_of_a_library_are_text(name: str) -> None:
    conn = db.init_db(":memory:")
    state = registry.init_registry(conn)
    loop = state["loop_id"]
    inner = registry.register_learned(conn, state, name, 1, [(0, [0])])
    formula = Formula.from_composition(state, [(loop, [inner, 0, 1])], 2)
    assert name in words(formula.mathml())


def test_a_long_formula_is_its_text() -> None:
    tree = random_tree(random.Random(0), 400, "ADD MUL SIN")
    text = FoundFormula(tree, ("a", "<b>", "c")).mathml()
    assert [e.tag for e in elements(text)] == [MATHML + "math", MATHML + "mtext"]


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 25), st.text(min_size=1, max_size=20).filter(lambda t: t.isprintable()))
def test_any_formula_is_well_formed(seed: int, nodes: int, name: str) -> None:
    tree = random_tree(random.Random(seed), nodes, "ADD SUB MUL DIV SQUARE SQRT EXP LOG SIN ATAN TANH ABS NEG INV POW MIN MAX")
    elements(FoundFormula(tree, (name, name + "'", name + '"')).mathml())
