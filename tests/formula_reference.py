"""What formulas mean, in numpy: one operation at a time, in one precision. Functions are those of the engine's vector maths,
which have tests of their own, so results can be compared bit for bit."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from nssr import primitives
from nssr.engine import _vm

Array = np.ndarray[Any, Any]

NOT_FOR_FLOATS = {"OR", "AND", "NOT", "LOOP", "WHILE", "ACCUM"}
OPERATIONS = [p for p in primitives.ALL if p.name not in NOT_FOR_FLOATS]
ARITHMETIC = ["ADD", "SUB", "MUL", "DIV", "FDIV"]
FUNCTIONS = {"EXP", "LOG", "SIN", "COS", "TAN", "ASIN", "ACOS", "ATAN", "SINH", "COSH", "TANH", "POW", "SQRT"}


@np.errstate(all="ignore")
def apply(name: str, args: list[Array], kind: type, n_rows: int) -> Array:
    one = kind(1)
    if name in FUNCTIONS:
        whole = [np.ascontiguousarray(a) for a in args]
        result: Array = _vm.vecmath.apply(name.lower(), *whole)
        return result
    a, b, c = [*args, None, None][:3] if args else (None, None, None)  # type: ignore[list-item]
    table: dict[str, Any] = {
        "ADD": lambda: a + b,
        "SUB": lambda: a - b,
        "MUL": lambda: a * b,
        "DIV": lambda: np.where(b == 0, kind(0), a / b),
        "FDIV": lambda: a / b,
        "INC": lambda: a + one,
        "DEC": lambda: a - one,
        "INV": lambda: np.where(a == 0, kind(0), one / a),
        "LT": lambda: (a < b).astype(kind),
        "LTE": lambda: (a <= b).astype(kind),
        "GT": lambda: (a > b).astype(kind),
        "GTE": lambda: (a >= b).astype(kind),
        "EQ": lambda: (a == b).astype(kind),
        "NEQ": lambda: (a != b).astype(kind),
        "COND": lambda: np.where(a != 0, b, c),
        "CONST": lambda: a,
        "NULL": lambda: np.zeros(n_rows, kind),
        "NEG": lambda: -a,
        "ABS": lambda: abs(a),
        "SQUARE": lambda: a * a,
        "CUBE": lambda: a * a * a,
        "MIN": lambda: np.where(b < a, b, a),
        "MAX": lambda: np.where(b > a, b, a),
        "PI": lambda: np.full(n_rows, kind(np.pi)),
    }
    return np.asarray(table[name](), dtype=kind)


@np.errstate(all="ignore")
def evaluate(tokens: Array, operands: Array, constants: Array, X: Array, kind: type) -> Array:
    """One program over the columns of X, (rows,)."""
    n = len(X)
    columns = X.astype(kind)
    stack: list[Array] = []
    for token, operand in zip(tokens.tolist(), operands.tolist(), strict=True):
        if token == primitives.TOKEN_VARIABLE:
            stack.append(columns[:, operand])
        elif token == primitives.TOKEN_FLOAT:
            stack.append(np.full(n, kind(constants[operand])))
        elif token == primitives.TOKEN_INT:
            stack.append(np.full(n, kind(operand)))
        else:
            p = primitives.BY_OPCODE[token]
            args = [stack.pop() for _ in range(p.arity)][::-1]
            stack.append(apply(p.name, args, kind, n))
    return stack[0]


def random_formulas(rng: random.Random, count: int, n_columns: int) -> tuple[Array, Array, Array, Array]:
    """Flat arrays of random programs over every operation; arithmetic is the most likely one."""
    tokens: list[int] = []
    operands: list[int] = []
    constants: list[float] = []
    offsets = [0]
    special = [0.0, -0.0, 1.0, -1.0, float("nan"), float("inf"), -float("inf"), 1e-310, 1e30, -3e38, 0.5, 2.0]

    def grow(size: int) -> None:
        if size <= 1:
            pick = rng.random()
            if pick < 0.7:
                tokens.append(primitives.TOKEN_VARIABLE)
                operands.append(rng.randrange(n_columns))
            elif pick < 0.93:
                tokens.append(primitives.TOKEN_FLOAT)
                operands.append(len(constants))
                constants.append(rng.choice(special) if rng.random() < 0.3 else rng.uniform(-3, 3))
            elif pick < 0.97:
                tokens.append(primitives.TOKEN_INT)
                operands.append(rng.randint(-(2**31), 2**31 - 1) if rng.random() < 0.2 else rng.randint(-4, 4))
            else:
                tokens.append(primitives.BY_NAME["PI"].opcode)
                operands.append(0)
            return
        p = primitives.BY_NAME[rng.choice(ARITHMETIC)] if rng.random() < 0.5 else rng.choice(OPERATIONS)
        if p.arity == 0 or p.arity >= size:
            p = rng.choice([q for q in OPERATIONS if q.arity == 1])
        left = size - 1
        for i in range(p.arity):
            part = left - (p.arity - 1 - i) if i == p.arity - 1 else rng.randint(1, left - (p.arity - 1 - i))
            grow(part)
            left -= part
        tokens.append(p.opcode)
        operands.append(0)

    for _ in range(count):
        grow(rng.randint(1, 40))
        offsets.append(len(tokens))
    return (
        np.array(tokens, np.int32),
        np.array(operands, np.int32),
        np.array(constants or [0.0], np.float64),
        np.array(offsets, np.int64),
    )


def same_bits(a: Array, b: Array) -> Array:
    """Where a and b are the same number, the sign of zero included; NaNs are all alike."""
    whole = np.uint64 if a.dtype == np.float64 else np.uint32
    equal: Array = (a.view(whole) == b.view(whole)) | (np.isnan(a) & np.isnan(b))
    return equal
