"""How an expression is written: nodes of an expression graph, and their text with as few brackets as Python needs.

Operators and calls come from the one table (``primitives.text``); what stands here is only how tightly each operator
binds, with Python's precedences, so a printed formula over identifiers is a Python expression of the same value.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from nssr.primitives import ALL, BY_NAME, COMPARISON, ITERATION, REAL, SELECTION

DIGITS = 12
"""Significant digits of a printed number, unless it is asked for more: fitted constants have no more that mean anything."""

EVERY_DIGIT = 17
"""As many as a float may need, so that the text reads back as the same float."""

COLUMN, NUMBER, CALL = "column", "number", "call"
"""Operations of nodes beside the names of primitives; CALL is a learned function kept by name."""


@dataclass(frozen=True, slots=True)
class Node:
    """One value of an expression graph. ``args`` are indices of earlier nodes.

    ``value`` is the index of a COLUMN, the NUMBER itself, the name of a CALL, or the names of the functions that an
    iterating primitive is given; None otherwise.
    """

    op: str
    args: tuple[int, ...] = ()
    value: Any = None


@dataclass(frozen=True, slots=True)
class Piece:
    """A text, how tightly its outermost operator binds, and what is in it: tokens (but brackets) and columns."""

    text: str
    binding: int
    size: int
    columns: frozenset[int]


LOOSEST, _SUM, _PRODUCT, _SIGN, ATOM = 0, 4, 5, 6, 8
# Operator: how it binds, and how an operand to its left and to its right has to bind at least. Comparisons would chain.
_OPERATORS: dict[str, tuple[int, int, int]] = {
    " if ": (0, 1, 1),
    **dict.fromkeys(("<", "<=", ">", ">=", "==", "!="), (1, 2, 2)),
    "|": (2, 2, 3),
    "&": (3, 3, 4),
    **dict.fromkeys(("+", "-"), (_SUM, _SUM, _PRODUCT)),
    **dict.fromkeys(("*", "/"), (_PRODUCT, _PRODUCT, _SIGN)),
    "~": (_SIGN, 0, _SIGN),
    "**": (7, ATOM, ATOM),
}
_OPERATOR = re.compile("|".join(re.escape(op) for op in sorted(_OPERATORS, key=len, reverse=True)))
_WORDS = {word for p in ALL for word in re.findall(r"\b[a-z]+\b(?!\()", p.text or "")}  # pi, if, else


@cache
def _template(op: str) -> tuple[str, int, dict[int, int], int]:
    """Text, binding, least binding of each operand, and the tokens that are no operands."""
    text = BY_NAME[op].text
    assert text is not None
    operands = {int(m[1]): m.start() for m in re.finditer(r"\{(\d)\}", text)}
    literals = len(re.findall(r"(?<![{\w])\d", text))
    if re.fullmatch(r"\w+\(.*\)", text):
        return text, ATOM, dict.fromkeys(operands, LOOSEST), 1
    operator = _OPERATOR.search(text)
    if operator is None:
        return text, ATOM, dict.fromkeys(operands, LOOSEST), 1
    binding, left, right = _OPERATORS[operator[0]]
    least = {i: left if at < operator.start() else right for i, at in operands.items()}
    return text, binding, least, 1 + literals


def write(op: str, *operands: Piece) -> Piece:
    """The text of one primitive over the texts of its operands."""
    if op == "ADD" and operands[1].size == 1 and operands[1].text.startswith("-"):  # a negative number
        op, operands = "SUB", (operands[0], Piece(operands[1].text[1:], ATOM, 1, frozenset()))
    text, binding, least, tokens = _template(op)
    if op in ("MUL", "DIV") and operands[0].size == 1 and operands[0].text.startswith("-"):
        binding, least = _SUM, {**least, 0: _SUM}  # -2*x as -(2*x), which is the same
    shown = [p.text if p.binding >= least.get(i, LOOSEST) else f"({p.text})" for i, p in enumerate(operands)]
    return _piece(text.format(*shown), binding, tokens, operands)


def write_call(name: str, functions: Iterable[str], operands: Sequence[Piece]) -> Piece:
    """``NAME(function, ..., operand, ...)``: iterating primitives and learned functions."""
    heads = list(functions)
    return _piece(f"{name}({', '.join([*heads, *(p.text for p in operands)])})", ATOM, 1 + len(heads), operands)


def write_column(index: int, names: Sequence[str]) -> Piece:
    return Piece(quote(names[index]), ATOM, 1, frozenset([index]))


def write_number(value: int | float, digits: int = DIGITS) -> Piece:
    """A number as short as it can be told from its neighbours, with so many significant digits at most (ints in full)."""
    text = repr(value)
    if isinstance(value, float):
        if len(re.sub(r"e.*|\D", "", text).strip("0")) > digits:
            text = f"{value:.{digits}g}"
        text = text.removesuffix(".0")
    return Piece(text, _SUM if text.startswith("-") else ATOM, 1, frozenset())


def quote(name: str) -> str:
    """The name of a column as a formula shows it: in backticks unless it can be read as one word."""
    if name.isidentifier() and name not in _WORDS and (not keyword.iskeyword(name) or name == "lambda"):
        return name
    return "`" + name.replace("`", "``") + "`"


def write_node(node: Node, operands: Sequence[Piece], names: Sequence[str], digits: int = DIGITS) -> Piece:
    """The text of one node, as it is, over the texts of its arguments."""
    if node.op == COLUMN:
        return write_column(node.value, names)
    if node.op == NUMBER:
        return write_number(node.value, digits)
    if node.op == CALL:
        return write_call(quote(node.value), (), operands)
    if BY_NAME[node.op].text is None:
        return write_call(node.op, map(quote, node.value), operands)
    return write(node.op, *operands)


def write_calls(node: Node, operands: Sequence[Piece], names: Sequence[str], digits: int = DIGITS) -> Piece:
    """As :func:`write_node`, with the primitives' names instead of operators."""
    if node.op in (COLUMN, NUMBER, CALL) or BY_NAME[node.op].text is None:
        return write_node(node, operands, names, digits)
    return write_call(node.op, (), operands)


_ALWAYS_REAL = {"SIN", "COS", "TAN", "ATAN", "TANH", "PI"}  # real functions with a value for every finite number


def never_nan(node: Node, known: Sequence[bool]) -> bool:
    """True where a node is a number on every row of finite numbers, but for overflow; ``known`` is that of its args."""
    if node.op in (COLUMN, NUMBER):
        return True
    rule = ITERATION if node.op == CALL else BY_NAME[node.op].rule
    if rule == COMPARISON:
        return True
    if rule == ITERATION or (rule == REAL and node.op not in _ALWAYS_REAL):
        return False
    return all(known[i] for i in (node.args[1:] if rule == SELECTION else node.args))


def tree_size(nodes: Sequence[Node]) -> int:
    """Nodes of the tree that the graph's last node stands for; shared nodes count each time."""
    sizes: list[int] = []
    for node in nodes:
        sizes.append(1 + sum(sizes[i] for i in node.args))
    return sizes[-1]


def write_graph(
    nodes: Sequence[Node], names: Sequence[str], *, calls: bool = False, inline: int = 2000, digits: int = DIGITS
) -> list[Piece]:
    """The text of every node. A tree of more than ``inline`` nodes is written in steps: ``t1 = ...; t2 = ...; ...``."""
    writer = write_calls if calls else write_node
    steps = tree_size(nodes) > inline
    uses = [0] * len(nodes)
    for node in nodes:
        for i in node.args:
            uses[i] += 1
    stem = next(stem for stem in ("t", "step", "step_") if not any(re.fullmatch(rf"{stem}\d+", n) for n in names))
    pieces: list[Piece] = []
    lines: list[str] = []
    tokens = 0
    for i, node in enumerate(nodes):
        piece = writer(node, [pieces[j] for j in node.args], names, digits)
        # An operand that is long would be copied into each of its users again.
        if steps and node.args and i < len(nodes) - 1 and (uses[i] > 1 or len(piece.text) > 200):
            lines.append(f"{stem}{len(lines) + 1} = {piece.text}")
            tokens += piece.size
            piece = Piece(f"{stem}{len(lines)}", ATOM, 1, piece.columns)
        pieces.append(piece)
    last = pieces[-1]
    if lines:
        pieces[-1] = Piece("; ".join([*lines, last.text]), LOOSEST, last.size + tokens, last.columns)
    return pieces


def _piece(text: str, binding: int, tokens: int, operands: Iterable[Piece]) -> Piece:
    parts = list(operands)
    columns = frozenset().union(*(p.columns for p in parts))
    return Piece(text, binding, tokens + sum(p.size for p in parts), columns)
