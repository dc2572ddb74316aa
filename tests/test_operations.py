"""One table of operations: what every other register has, and lacks, of it."""

from __future__ import annotations

import math
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from nssr import primitives, registry
from nssr.engine import _vm

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTED = [
    "OR", "AND", "NOT", "ADD", "SUB", "MUL", "INC", "DEC", "DIV", "LT", "LTE", "GT", "GTE", "EQ", "NEQ", "COND", "CONST",
    "NULL", "LOOP", "WHILE", "ACCUM",
]  # fmt: skip

# What a register may lack, and why.
NO_INSTRUCTION = {"CONST", "NULL", "LOOP", "WHILE", "ACCUM", "PI"}  # moves, constants; loops are structural
NO_MEANING = {"LOOP", "WHILE", "ACCUM"}  # they call back into a registry


def test_the_documented_primitives_come_first_in_their_order() -> None:
    assert [p.name for p in primitives.PACKS["core"]] == DOCUMENTED
    assert [p.opcode for p in primitives.ALL] == list(range(len(primitives.ALL)))
    assert list(registry._make_primitives()) == DOCUMENTED


def test_opcodes_def_is_generated_from_the_table() -> None:
    text = (ROOT / "csrc" / "include" / "nssr" / "opcodes.def").read_text()
    assert text == primitives.opcodes_def(), "run `make opcodes`"


def test_the_compiled_engine_reads_the_same_numbers() -> None:
    compiled = _vm.opcodes()
    assert {k: tuple(v) for k, v in compiled["primitives"].items()} == {p.name: (p.opcode, p.arity) for p in primitives.ALL}
    assert {k: tuple(v) for k, v in compiled["ops"].items()} == {
        t.name: (t.code, t.operands, t.result) for t in primitives.TYPED
    }
    assert compiled["limits"]["MAX_ITERATIONS"] == primitives.MAX_ITERATIONS


def test_what_each_register_lacks() -> None:
    typed = {t.name.rsplit("_", 1)[0] for t in primitives.TYPED if t not in primitives.STRUCTURAL}
    names = {p.name for p in primitives.ALL}
    assert names - typed == NO_INSTRUCTION
    assert {p.name for p in primitives.ALL if p.meaning is None} == NO_MEANING
    assert {p.name for p in primitives.ALL if p.text is None} == NO_MEANING
    assert set(registry._make_primitives(tuple(primitives.PACKS))) == names
    codes = [t.code for t in primitives.TYPED]
    assert len(set(codes)) == len(codes)
    assert max(codes) < 256


@given(st.floats(), st.floats())
def test_power_is_that_of_ieee(base: float, exponent: float) -> None:
    value = primitives.BY_NAME["POW"].meaning([base, exponent])  # type: ignore[misc]
    try:
        expected = math.pow(base, exponent)
    except (ValueError, OverflowError):
        assert math.isnan(value) or math.isinf(value)
    else:
        assert value == expected or (math.isnan(value) and math.isnan(expected))


@given(st.floats())
def test_real_functions_have_a_value_everywhere(x: float) -> None:
    for p in primitives.ALL:
        if p.rule == primitives.REAL and p.arity == 1:
            assert isinstance(p.meaning([x]), float)  # type: ignore[misc]
