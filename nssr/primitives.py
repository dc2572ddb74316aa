"""The one table of operations.

Every operation NSSR knows stands here once: name, number, arity, type rule, Python meaning, symmetry and printers. The
registry, the reference executor, the lowering and the C++ engine all read this table; ``csrc/include/nssr/opcodes.def``
is generated from it (``python -m nssr.primitives > csrc/include/nssr/opcodes.def``), and a test holds the two together.

An operation's *meaning* takes one list of Python numbers and returns a Python number. It may raise (``TypeError`` for
bits of a float, ``OverflowError`` for an int that no float can hold): a program that raises on a row has no value there.
Real functions follow IEEE 754: outside their domain they are NaN, at a pole or beyond the range infinite; nothing is
clamped. The three iterating operations have no meaning here, because they call back into a registry: see
``registry._loop_factory`` and its sisters.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MAX_ITERATIONS = 1000
"""Most iterations one LOOP, WHILE or ACCUM may be asked for; a larger count is an error."""

MAX_TOTAL_ITERATIONS = 100_000
"""Most iterations of an outermost loop and all loops inside it together, per row; beyond it the row is an error."""

MAX_INT_BITS = 4096
"""A loop whose state is an int of more bits than this is an error (repeated squaring would fill the memory)."""

REL_TOL = 1e-6
ABS_TOL = 1e-9
"""Tolerances with which a program's value equals the target, as in ``math.isclose``."""

# Type rules. `i` stands for an i64 lane (a Python int), `f` for an f64 lane (a Python float).
BITWISE = "bitwise"  # ints to int; a float raises
ARITHMETIC = "arithmetic"  # ints to int, otherwise float
DIVISION = "division"  # to float
COMPARISON = "comparison"  # to int 0 or 1
SELECTION = "selection"  # COND: the type of the chosen branch
IDENTITY = "identity"
ZERO = "zero"
ITERATION = "iteration"
REAL = "real"  # to float
EXTREMUM = "extremum"  # the type of the chosen argument


@dataclass(frozen=True, slots=True)
class Primitive:
    """One operation. ``opcode`` never changes; ``arity`` is -1 for the variadic (iterating) ones."""

    name: str
    opcode: int
    arity: int
    rule: str
    meaning: Callable[[list[Any]], Any] | None
    pack: str = "core"
    commutative: bool = False
    text: str | None = None  # infix or call form with {0}, {1}, {2}; printers add brackets round operands


def _divide(inp: list[Any]) -> float:
    return 0.0 if inp[1] == 0 else inp[0] / inp[1]


def _real(function: Callable[..., float], edge: Callable[..., float]) -> Callable[[list[Any]], float]:
    """``function`` of the operand as a float; ``edge`` gives the IEEE value where ``math`` would raise."""

    def meaning(inp: list[Any]) -> float:
        x = float(inp[0])
        try:
            return function(x)
        except (ValueError, OverflowError):
            return edge(x)

    return meaning


def _nan(_: float) -> float:
    return math.nan


def _inf(_: float) -> float:
    return math.inf


def _signed_inf(x: float) -> float:
    return math.copysign(math.inf, x)


def _log_edge(x: float) -> float:
    return -math.inf if x == 0 else math.nan


def _power(inp: list[Any]) -> float:
    base, exponent = float(inp[0]), float(inp[1])
    try:
        return math.pow(base, exponent)
    except ValueError:  # a negative base with a fractional exponent, or zero with a negative one
        if base != 0:
            return math.nan
    except OverflowError:
        if base > 0:
            return math.inf
    odd = exponent.is_integer() and exponent % 2 == 1
    return math.copysign(math.inf, base) if odd else math.inf


def _quotient(inp: list[Any]) -> float:
    a, b = float(inp[0]), float(inp[1])
    if b != 0:
        return a / b
    return math.nan if a == 0 or a != a else math.copysign(math.inf, a) * math.copysign(1.0, b)


def _core() -> list[Primitive]:
    p = Primitive
    return [
        p("OR", 0, 2, BITWISE, lambda inp: inp[0] | inp[1], commutative=True, text="{0} | {1}"),
        p("AND", 1, 2, BITWISE, lambda inp: inp[0] & inp[1], commutative=True, text="{0} & {1}"),
        p("NOT", 2, 1, BITWISE, lambda inp: ~inp[0], text="~{0}"),
        p("ADD", 3, 2, ARITHMETIC, lambda inp: inp[0] + inp[1], commutative=True, text="{0} + {1}"),
        p("SUB", 4, 2, ARITHMETIC, lambda inp: inp[0] - inp[1], text="{0} - {1}"),
        p("MUL", 5, 2, ARITHMETIC, lambda inp: inp[0] * inp[1], commutative=True, text="{0}*{1}"),
        p("INC", 6, 1, ARITHMETIC, lambda inp: inp[0] + 1, text="{0} + 1"),
        p("DEC", 7, 1, ARITHMETIC, lambda inp: inp[0] - 1, text="{0} - 1"),
        p("DIV", 8, 2, DIVISION, _divide, text="{0}/{1}"),
        p("LT", 9, 2, COMPARISON, lambda inp: int(inp[0] < inp[1]), text="{0} < {1}"),
        p("LTE", 10, 2, COMPARISON, lambda inp: int(inp[0] <= inp[1]), text="{0} <= {1}"),
        p("GT", 11, 2, COMPARISON, lambda inp: int(inp[0] > inp[1]), text="{0} > {1}"),
        p("GTE", 12, 2, COMPARISON, lambda inp: int(inp[0] >= inp[1]), text="{0} >= {1}"),
        p("EQ", 13, 2, COMPARISON, lambda inp: int(inp[0] == inp[1]), commutative=True, text="{0} == {1}"),
        p("NEQ", 14, 2, COMPARISON, lambda inp: int(inp[0] != inp[1]), commutative=True, text="{0} != {1}"),
        p("COND", 15, 3, SELECTION, lambda inp: inp[1] if inp[0] != 0 else inp[2], text="{1} if {0} else {2}"),
        p("CONST", 16, 1, IDENTITY, lambda inp: inp[0], text="{0}"),
        p("NULL", 17, 1, ZERO, lambda inp: 0, text="0"),
        p("LOOP", 18, -1, ITERATION, None),
        p("WHILE", 19, -1, ITERATION, None),
        p("ACCUM", 20, -1, ITERATION, None),
    ]


def _science() -> list[Primitive]:
    def p(name: str, opcode: int, arity: int, rule: str, meaning: Any, text: str | None = None, **more: Any) -> Primitive:
        call = f"{name.lower()}({', '.join(f'{{{i}}}' for i in range(arity))})"
        return Primitive(name, opcode, arity, rule, meaning, pack="science", text=text or call, **more)

    return [
        p("NEG", 21, 1, ARITHMETIC, lambda inp: -inp[0], "-{0}"),
        p("ABS", 22, 1, ARITHMETIC, lambda inp: abs(inp[0])),
        p("SQUARE", 23, 1, ARITHMETIC, lambda inp: inp[0] * inp[0], "{0}**2"),
        p("CUBE", 24, 1, ARITHMETIC, lambda inp: inp[0] * inp[0] * inp[0], "{0}**3"),
        p("INV", 25, 1, DIVISION, lambda inp: _divide([1, inp[0]]), "1/{0}"),
        p("SQRT", 26, 1, REAL, _real(math.sqrt, _nan)),
        p("POW", 27, 2, REAL, _power, "{0}**{1}"),
        p("EXP", 28, 1, REAL, _real(math.exp, _inf)),
        p("LOG", 29, 1, REAL, _real(math.log, _log_edge)),
        p("SIN", 30, 1, REAL, _real(math.sin, _nan)),
        p("COS", 31, 1, REAL, _real(math.cos, _nan)),
        p("TAN", 32, 1, REAL, _real(math.tan, _nan)),
        p("ASIN", 33, 1, REAL, _real(math.asin, _nan)),
        p("ACOS", 34, 1, REAL, _real(math.acos, _nan)),
        p("ATAN", 35, 1, REAL, _real(math.atan, _nan)),
        p("SINH", 36, 1, REAL, _real(math.sinh, _signed_inf)),
        p("COSH", 37, 1, REAL, _real(math.cosh, _inf)),
        p("TANH", 38, 1, REAL, _real(math.tanh, _nan)),
        p("MIN", 39, 2, EXTREMUM, lambda inp: inp[1] if inp[1] < inp[0] else inp[0], commutative=True),
        p("MAX", 40, 2, EXTREMUM, lambda inp: inp[1] if inp[1] > inp[0] else inp[0], commutative=True),
        p("PI", 41, 0, REAL, lambda inp: math.pi, "pi"),
    ]


def _ieee() -> list[Primitive]:
    """What trees of other tools mean by a quotient: x/0 is infinite, 0/0 is NaN."""
    return [Primitive("FDIV", 42, 2, REAL, _quotient, pack="ieee", text="{0}/{1}")]


PACKS: dict[str, tuple[Primitive, ...]] = {"core": tuple(_core()), "science": tuple(_science()), "ieee": tuple(_ieee())}
ALL: tuple[Primitive, ...] = tuple(p for pack in PACKS.values() for p in pack)
BY_NAME: dict[str, Primitive] = {p.name: p for p in ALL}
BY_OPCODE: dict[int, Primitive] = {p.opcode: p for p in ALL}


@dataclass(frozen=True, slots=True)
class TypedOp:
    """One instruction of the bytecode: operand and result lanes are letters, ``i`` (i64) or ``f`` (f64)."""

    name: str
    code: int
    operands: str
    result: str


# Instructions that are no operation of the table: constants, conversions, certain failure, loops.
STRUCTURAL: tuple[TypedOp, ...] = (
    TypedOp("LOADK_I64", 240, "", "i"),
    TypedOp("LOADK_F64", 241, "", "f"),
    TypedOp("I64_TO_F64", 242, "i", "f"),  # for arithmetic: rounds as Python does; unsure rows may raise there
    TypedOp("I64_TO_F64_EXACT", 243, "i", "f"),  # for comparisons: unsure beyond 2**53
    TypedOp("RAISE", 244, "", "i"),  # every active row is an error
    TypedOp("UNSURE", 245, "", "i"),  # the engine cannot say what the active rows are
    TypedOp("LOOP_I64", 246, "ii", "i"),
    TypedOp("LOOP_F64", 247, "if", "f"),
    TypedOp("WHILE_I64", 248, "ii", "i"),
    TypedOp("WHILE_F64", 249, "if", "f"),
    TypedOp("ACCUM_I64", 250, "iii", "i"),  # state is i64; the result is the counter
    TypedOp("ACCUM_F64", 251, "ifi", "i"),  # state is f64
)


def _lanes(p: Primitive) -> list[TypedOp]:
    """The typed forms of one primitive; its code is ``2 * opcode`` for i64 operands and one more for f64."""
    name, code, n = p.name, 2 * p.opcode, p.arity
    if p.rule == BITWISE:
        return [TypedOp(f"{name}_I64", code, "i" * n, "i")]
    if p.rule in (ARITHMETIC, EXTREMUM):
        return [TypedOp(f"{name}_I64", code, "i" * n, "i"), TypedOp(f"{name}_F64", code + 1, "f" * n, "f")]
    if p.rule == DIVISION:
        return [TypedOp(f"{name}_I64", code, "i" * n, "f"), TypedOp(f"{name}_F64", code + 1, "f" * n, "f")]
    if p.rule == COMPARISON:
        return [TypedOp(f"{name}_I64", code, "i" * n, "i"), TypedOp(f"{name}_F64", code + 1, "f" * n, "i")]
    if p.rule == SELECTION:
        return [TypedOp(f"{name}_I64", code, "iii", "i"), TypedOp(f"{name}_F64", code + 1, "iff", "f")]
    if p.rule == REAL and n:
        return [TypedOp(f"{name}_F64", code + 1, "f" * n, "f")]
    return []  # CONST, NULL and PI need no instruction; loops are structural


TYPED: tuple[TypedOp, ...] = tuple(t for p in ALL for t in _lanes(p)) + STRUCTURAL
TYPED_BY_NAME: dict[str, TypedOp] = {t.name: t for t in TYPED}

# Tokens of flat postfix programs: a primitive's opcode, or one of these.
TOKEN_VARIABLE = 255  # operand: column
TOKEN_FLOAT = 254  # operand: index into the constants
TOKEN_INT = 253  # operand: the value
TOKEN_CALL = 252  # operand: id of a registered function


def opcodes_def() -> str:
    """The text of ``opcodes.def``: one line per primitive and per instruction, and the limits."""
    lines = [
        "// Generated by `python -m nssr.primitives`. Change nssr/primitives.py, never this file.",
        "// NSSR_PRIMITIVE(name, opcode, arity)  NSSR_OP(name, code, operand lanes, result lane)  NSSR_LIMIT(name, value)",
        "#ifndef NSSR_PRIMITIVE",
        "#define NSSR_PRIMITIVE(name, opcode, arity)",
        "#endif",
        "#ifndef NSSR_OP",
        "#define NSSR_OP(name, code, operands, result)",
        "#endif",
        "#ifndef NSSR_LIMIT",
        "#define NSSR_LIMIT(name, value)",
        "#endif",
    ]
    lines += [f"NSSR_PRIMITIVE({p.name}, {p.opcode}, {p.arity})" for p in ALL]
    lines += [f"NSSR_OP({t.name}, {t.code}, \"{t.operands}\", '{t.result}')" for t in TYPED]
    limits = {"MAX_ITERATIONS": MAX_ITERATIONS, "MAX_TOTAL_ITERATIONS": MAX_TOTAL_ITERATIONS}
    tokens = {k: v for k, v in globals().items() if k.startswith("TOKEN_")}
    lines += [f"NSSR_LIMIT({k}, {v})" for k, v in (limits | tokens).items()]
    lines += ["#undef NSSR_PRIMITIVE", "#undef NSSR_OP", "#undef NSSR_LIMIT"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(opcodes_def())
