"""Formulas as trees: what the formula search composes, measures and hands on.

A tree is a column, a number or a primitive over trees. Trees are immutable tuples, so equal trees are equal values.

>>> t = mul(number(2), column(0))
>>> t.op, len(t.args), size(t)
('MUL', 2, 3)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nssr.engine.formulas import Formulas
from nssr.notation import COLUMN, NUMBER, Node
from nssr.primitives import BY_NAME, TOKEN_FLOAT, TOKEN_INT, TOKEN_VARIABLE


class Tree(NamedTuple):
    """``op`` is COLUMN (``value``: its index), NUMBER (``value``: the float), or the name of a primitive over ``args``."""

    op: str
    args: tuple[Tree, ...] = ()
    value: float = 0.0


def column(index: int) -> Tree:
    return Tree(COLUMN, (), index)


def number(value: float) -> Tree:
    return Tree(NUMBER, (), float(value))


def add(a: Tree, b: Tree) -> Tree:
    return Tree("ADD", (a, b))


def sub(a: Tree, b: Tree) -> Tree:
    return Tree("SUB", (a, b))


def mul(a: Tree, b: Tree) -> Tree:
    return Tree("MUL", (a, b))


def div(a: Tree, b: Tree) -> Tree:
    return Tree("DIV", (a, b))


def size(tree: Tree) -> int:
    """Nodes: columns, numbers and operations, each once for every time it is written."""
    return 1 + sum(size(arg) for arg in tree.args)


def columns(tree: Tree) -> frozenset[int]:
    """The columns that the tree names."""
    if tree.op == COLUMN:
        return frozenset((int(tree.value),))
    return frozenset().union(*(columns(arg) for arg in tree.args))


def numbers(tree: Tree) -> list[float]:
    """The numbers in the tree, from left to right."""
    if tree.op == NUMBER:
        return [tree.value]
    return [value for arg in tree.args for value in numbers(arg)]


def operations(tree: Tree) -> frozenset[str]:
    """The primitives that the tree holds."""
    own = frozenset() if tree.op in (COLUMN, NUMBER) else frozenset((tree.op,))
    return own.union(*(operations(arg) for arg in tree.args))


def with_columns(tree: Tree, trees: Mapping[int, Tree]) -> Tree:
    """The tree with its columns replaced by trees."""
    if tree.op == COLUMN:
        return trees[int(tree.value)]
    return Tree(tree.op, tuple(with_columns(arg, trees) for arg in tree.args), tree.value)


def is_whole(value: float) -> bool:
    """Whether a number is a whole one that fits a token: such numbers belong to a formula's shape and are not fitted."""
    return float(value).is_integer() and abs(value) < 2**31


def not_whole(value: float) -> float:
    """The value, or one near it where that would not be fitted."""
    return value + 1e-3 if is_whole(value) else value


def with_numbers(tree: Tree, values: Sequence[float]) -> Tree:
    """The tree with its numbers replaced, from left to right."""
    supply = iter(values)

    def replaced(node: Tree) -> Tree:
        if node.op == NUMBER:
            return number(next(supply))
        return Tree(node.op, tuple(replaced(arg) for arg in node.args), node.value)

    return replaced(tree)


def graph(tree: Tree) -> tuple[Node, ...]:
    """The tree as nodes for `nssr.formula`, each different one once; the last is the result. Whole numbers become ints."""
    index: dict[Tree, int] = {}
    nodes: list[Node] = []

    def visit(node: Tree) -> int:
        if node not in index:
            args = tuple(visit(arg) for arg in node.args)
            value: Any = None
            if node.op == COLUMN:
                value = int(node.value)
            elif node.op == NUMBER:
                value = int(node.value) if node.value.is_integer() and abs(node.value) < 2**53 else node.value
            nodes.append(Node(node.op, args, value))
            index[node] = len(nodes) - 1
        return index[node]

    visit(tree)
    return tuple(nodes)


def formulas(trees: Iterable[Tree], *, whole_fixed: bool = False) -> Formulas:
    """The trees as one batch for the engine; every number is a constant of its own, but with ``whole_fixed`` whole numbers.

    A division is FDIV, and INV one of 1: a row on which a divisor is zero has no finite value, so a search that rejects such
    rows never depends on DIV's answer there.
    """
    tokens: list[int] = []
    operands: list[int] = []
    constants: list[float] = []
    offsets = [0]

    def write(node: Tree) -> None:
        if node.op == "INV":
            tokens.append(TOKEN_INT)
            operands.append(1)
        for arg in node.args:
            write(arg)
        if node.op == COLUMN:
            tokens.append(TOKEN_VARIABLE)
            operands.append(int(node.value))
        elif node.op == NUMBER and whole_fixed and is_whole(node.value):
            tokens.append(TOKEN_INT)
            operands.append(int(node.value))
        elif node.op == NUMBER:
            tokens.append(TOKEN_FLOAT)
            operands.append(len(constants))
            constants.append(node.value)
        else:
            tokens.append(BY_NAME["FDIV" if node.op in ("DIV", "INV") else node.op].opcode)
            operands.append(0)

    for tree in trees:
        write(tree)
        offsets.append(len(tokens))
    return Formulas(
        np.array(tokens, dtype=np.int32),
        np.array(operands, dtype=np.int32),
        np.array(constants, dtype=np.float64),
        np.array(offsets, dtype=np.int64),
    )


def reference_values(tree: Tree, rows: npt.NDArray[np.float64], *, ieee: bool = False) -> list[float]:
    """The tree on every row by the primitives' own Python meaning, the definition; NaN where that raises.

    Quotients are DIV and INV, as in a library; with ``ieee`` FDIV, as in `formulas`. They differ where a divisor is zero.
    """

    def value(node: Tree, row: list[float]) -> Any:
        if node.op == COLUMN:
            return row[int(node.value)]
        if node.op == NUMBER:
            return node.value
        args = [value(arg, row) for arg in node.args]
        quotient = ieee and node.op in ("DIV", "INV")
        meaning = BY_NAME["FDIV" if quotient else node.op].meaning
        assert meaning is not None
        return meaning([1, *args] if quotient and len(args) == 1 else args)

    results = []
    for row in rows.tolist():
        try:
            results.append(float(value(tree, row)))
        except (ArithmeticError, ValueError, TypeError):
            results.append(float("nan"))
    return results
