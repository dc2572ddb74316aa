"""Random formulas and data that the evaluation benches share, as nested tuples and as flat postfix arrays.

Workload A: ``+ - * /``, sizes 3, 5, ..., 27 with equal shares. Workload B: sizes 3, 4, ..., 27 with equal shares, a quarter
of the nodes unary (sin, cos, exp, log, sqrt, square with equal shares), the others as in A; about a fifth of its values
are not finite. Both: 15 nodes on average, a quarter of the leaves constants from U(-3, 3), 5 variables, data from
U(0.1, 3), target from N(0, 1), seeded. Nothing is protected: all operations mean what IEEE 754 says.

A tree is ``("var", column)``, ``("const", value)``, ``(unary, tree)`` or ``(binary, tree, tree)``. Data and constants are
single-precision numbers, so that evaluators of either precision start from the same ones.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nssr import primitives

Tree = tuple[Any, ...]
Array = npt.NDArray[Any]

N_VARIABLES = 5
BINARY = ("add", "sub", "mul", "div")
UNARY = ("sin", "cos", "exp", "log", "sqrt", "square")
WORKLOADS = ("A", "B")

UFUNC: dict[str, Callable[..., Any]] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "sin": np.sin, "cos": np.cos, "exp": np.exp,
    "log": np.log, "sqrt": np.sqrt, "square": np.square,
}  # fmt: skip

PRIMITIVE = {name: primitives.BY_NAME["FDIV" if name == "div" else name.upper()] for name in (*BINARY, *UNARY)}
"""The documented primitive of each operation; "/" is the IEEE quotient, as in the other tools."""


@dataclass(frozen=True, slots=True)
class Flat:
    """Many trees in postfix order, laid end to end: tree ``i`` is ``tokens[offsets[i]:offsets[i + 1]]``.

    A token is a primitive's opcode, or ``TOKEN_VARIABLE`` (operand: column) or ``TOKEN_FLOAT`` (operand: place in
    ``constants``).
    """

    tokens: npt.NDArray[np.int32]
    operands: npt.NDArray[np.int32]
    constants: npt.NDArray[np.float64]
    offsets: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def arrays(self) -> tuple[Array, Array, Array, Array]:
        return self.tokens, self.operands, self.constants, self.offsets


def trees(workload: str, n: int = 10_000, seed: int = 0) -> list[Tree]:
    """The first ``n`` trees of a workload; fewer are a prefix of more."""
    rng = random.Random(f"{workload} {seed}")
    return [_tree(workload, rng) for _ in range(n)]


def _tree(workload: str, rng: random.Random) -> Tree:
    if workload == "A":
        return _grow(rng.randrange(3, 28, 2), 0.0, rng)
    if workload == "B":
        return _grow(rng.randint(3, 27), 0.24, rng)
    raise ValueError(f"no workload {workload!r}: one of {', '.join(WORKLOADS)}")


def _grow(size: int, unary: float, rng: random.Random) -> Tree:
    """A tree of ``size`` nodes, each unary with that probability; the sizes of a binary one's operands are drawn uniformly."""
    if size == 1:
        if rng.random() < 0.25:
            return ("const", float(np.float32(rng.uniform(-3, 3))))
        return ("var", rng.randrange(N_VARIABLES))
    if size == 2 or (unary and rng.random() < unary):
        return (rng.choice(UNARY), _grow(size - 1, unary, rng))
    left = rng.randint(1, size - 2) if unary else rng.randrange(1, size - 1, 2)
    return (rng.choice(BINARY), _grow(left, unary, rng), _grow(size - 1 - left, unary, rng))


def data(rows: int, seed: int = 0) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """``X`` (rows, variables) and ``y`` that no tree explains."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.1, 3, (rows, N_VARIABLES)).astype(np.float32).astype(np.float64)
    return x, rng.normal(size=rows).astype(np.float32).astype(np.float64)


def postfix(tree: Tree) -> Iterator[Tree]:
    """The nodes of a tree, operands before their operation."""
    if tree[0] not in ("var", "const"):
        for operand in tree[1:]:
            yield from postfix(operand)
    yield tree


def size(tree: Tree) -> int:
    return 1 if tree[0] in ("var", "const") else 1 + sum(size(operand) for operand in tree[1:])


def flatten(given: Sequence[Tree]) -> Flat:
    """Flat arrays of many trees."""
    tokens: list[int] = []
    operands: list[int] = []
    constants: list[float] = []
    offsets = [0]
    for tree in given:
        for node in postfix(tree):
            if node[0] == "var":
                tokens.append(primitives.TOKEN_VARIABLE)
                operands.append(node[1])
            elif node[0] == "const":
                tokens.append(primitives.TOKEN_FLOAT)
                operands.append(len(constants))
                constants.append(node[1])
            else:
                tokens.append(PRIMITIVE[node[0]].opcode)
                operands.append(0)
        offsets.append(len(tokens))
    return Flat(np.array(tokens, np.int32), np.array(operands, np.int32), np.array(constants), np.array(offsets, np.int64))


def multiply(flat: Flat, times: int, seed: int = 0) -> Flat:
    """``times`` as many trees: of the same shapes, but with operations, columns and constants drawn anew in each copy.

    Drawing a million trees one by one takes minutes; this takes a second.
    """
    rng = np.random.default_rng(seed)
    tokens = np.tile(flat.tokens, times)
    for names in (BINARY, UNARY):
        codes = np.array([PRIMITIVE[name].opcode for name in names], np.int32)
        places = np.isin(tokens, codes)
        tokens[places] = rng.choice(codes, int(places.sum()))
    operands = np.zeros(len(tokens), np.int32)
    variables, floats = tokens == primitives.TOKEN_VARIABLE, tokens == primitives.TOKEN_FLOAT
    operands[variables] = rng.integers(0, N_VARIABLES, int(variables.sum()))
    operands[floats] = np.arange(int(floats.sum()))
    constants = rng.uniform(-3, 3, int(floats.sum())).astype(np.float32).astype(np.float64)
    lengths = np.tile(np.diff(flat.offsets), times)
    return Flat(tokens, operands, constants, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))


def bind(tree: Tree, columns: Sequence[Array]) -> Any:
    """The tree with columns, numpy functions and constants of the columns' type in place of their names.

    A Python float among single-precision arrays is single, but two of them make a double: constants must be typed.
    """
    if tree[0] == "var":
        return columns[tree[1]]
    if tree[0] == "const":
        return columns[0].dtype.type(tree[1])
    return (UFUNC[tree[0]], *(bind(operand, columns) for operand in tree[1:]))


def run(bound: Any) -> Any:
    """The value of a bound tree: numpy recursion, one pass over the rows per operation."""
    if type(bound) is not tuple:
        return bound
    if len(bound) == 2:
        return bound[0](run(bound[1]))
    return bound[0](run(bound[1]), run(bound[2]))


def run_into(bound: Any, out: Array) -> None:
    """As `run`, with the last operation writing to ``out``. The tree is no leaf."""
    bound[0](*(run(operand) for operand in bound[1:]), out=out)


def evaluate(given: Sequence[Tree], x: Array) -> Array:
    """Values (trees, rows) of the type of ``x`` (rows, columns), by numpy."""
    columns = list(np.ascontiguousarray(x.T))
    out = np.empty((len(given), len(x)), x.dtype)
    with np.errstate(all="ignore"):
        for tree, row in zip(given, out, strict=True):
            run_into(bind(tree, columns), row)
    return out
