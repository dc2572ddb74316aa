"""The algebra of a formula, by sympy's automatic arithmetic, and the text of the result.

Only the constructors ``Add``, ``Mul``, ``Pow`` and those of functions simplify here (and one bounded ``cancel``), so
the time is bounded. Nothing is ever parsed: columns are symbols with names of our own, which become the person's names
only in the text.

What algebra could get wrong is an *atom*, a symbol that stands for its node and is written as composed:

- comparisons, bits, loops and conditions: a rounding error would flip them, so nothing inside them is rearranged;
- MIN, MAX and COND have simplified arguments, where these cannot be NaN (they would swallow it);
- a divisor that may be zero, where ``DIV`` is 0: ``v/v`` is not 1 then, and no power of it is cancelled;
- whatever sympy would make complex, infinite or enormous.

Fitted constants are symbols too. So they are not multiplied into sums, and products of them are rounded only in print.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, reduce
from math import prod
from typing import Any

import sympy

from nssr.notation import (
    COLUMN,
    DIGITS,
    NUMBER,
    Node,
    Piece,
    never_nan,
    write,
    write_column,
    write_graph,
    write_node,
    write_number,
)
from nssr.primitives import ALL, EXTREMUM

Expr = Any  # sympy has no types

ARITHMETIC_OF: dict[str, Callable[..., Expr]] = {
    "ADD": lambda a, b: a + b,
    "SUB": lambda a, b: a - b,
    "MUL": lambda a, b: a * b,
    "INC": lambda a: a + 1,
    "DEC": lambda a: a - 1,
    "DIV": lambda a, b: a / b,
    "FDIV": lambda a, b: a / b,
    "NEG": lambda a: -a,
    "SQUARE": lambda a: a**2,
    "CUBE": lambda a: a**3,
    "INV": lambda a: 1 / a,
    "POW": lambda a, b: a**b,
    "SQRT": sympy.sqrt,
    "PI": lambda: sympy.pi,
}
FUNCTION_OF: dict[str, Any] = {
    "ABS": sympy.Abs,
    "EXP": sympy.exp,
    "LOG": sympy.log,
    "SIN": sympy.sin,
    "COS": sympy.cos,
    "TAN": sympy.tan,
    "ASIN": sympy.asin,
    "ACOS": sympy.acos,
    "ATAN": sympy.atan,
    "SINH": sympy.sinh,
    "COSH": sympy.cosh,
    "TANH": sympy.tanh,
}

_EXTREMA = {p.name for p in ALL if p.rule == EXTREMUM}
_NAME_OF = {function: name for name, function in FUNCTION_OF.items()}
_HYPERBOLIC = {"SINH", "COSH", "TANH"}
_KNOWN = (sympy.Add, sympy.Mul, sympy.Pow, sympy.Symbol, sympy.Rational, *_NAME_OF)
_KNOWN_NUMBERS = (sympy.pi, sympy.E)
_MAX_BITS = 256
_SURE_DIGITS = 15
_MAX_EXPONENT = 64  # of anything but a column: (2*x)**1000000 would be a number of 300,000 digits
_CANCEL_SIZE, _CANCEL_TERMS, _CANCEL_SYMBOLS = 40, 100, 6


class _NoReal(Exception):
    """A constant part of an expression is not a real number."""


class Algebra:
    """One expression graph as sympy expressions over symbols that stand for columns, constants and atoms."""

    def __init__(
        self,
        nodes: Sequence[Node],
        names: Sequence[str],
        nonzero: Iterable[int] = (),
        divisors_nonzero: bool = False,
        digits: int = DIGITS,
    ) -> None:
        self.nodes, self.names, self._digits = nodes, names, digits
        self._nonzero, self._divisors_nonzero = frozenset(nonzero), divisors_nonzero
        self._composed = write_graph(nodes, names, digits=digits)
        self.meaning: dict[Expr, Any] = {}  # of a symbol: node (column, number), index of an atom's node, or divisor
        self._constants: set[Expr] = set()
        self._divisors: dict[Expr, Expr] = {}
        self._pieces: dict[Expr, Piece] = {}
        self._sure: list[bool] = []
        self.exprs: list[Expr] = []
        for i, node in enumerate(nodes):
            self._sure.append(never_nan(node, self._sure))
            self.exprs.append(self._build(i, node))

    # ---- building ----------------------------------------------------------------------------------------------------

    def _build(self, i: int, node: Node) -> Expr:
        if node.op == COLUMN:
            positive = {"nonzero": True} if node.value in self._nonzero else {}
            return self._symbol(f"x{node.value:06d}", node, **positive)
        if node.op == NUMBER:
            return self._number(i, node)
        operands = [self.exprs[j] for j in node.args]
        if node.op in ("DIV", "INV", "FDIV"):
            if operands[-1].is_zero:
                # Where divisors are promised not to be zero x/0 means nothing that algebra may use, so it stays as composed.
                ieee = node.op == "FDIV" or self._divisors_nonzero
                return self._symbol(f"z{i:06d}", i) if ieee else sympy.S.Zero
            operands[-1] = self._divisor(operands[-1])
        if node.op in ARITHMETIC_OF and not _explodes(node.op, operands):
            expr = ARITHMETIC_OF[node.op](*operands)
        elif node.op in FUNCTION_OF:
            # In a sum sympy looks for multiples of i*pi, which no real expression has, for seconds where the sum is involved.
            known = node.op in _HYPERBOLIC and operands[0].is_Add
            expr = FUNCTION_OF[node.op](*operands, evaluate=not known)
        else:
            return self._symbol(f"z{i:06d}", i)
        return expr if _is_plain(expr) else self._symbol(f"z{i:06d}", i)

    def _symbol(self, name: str, meaning: Any, **assumptions: bool) -> Expr:
        symbol = sympy.Symbol(name, real=True, **assumptions)
        self.meaning[symbol] = meaning
        return symbol

    def _number(self, i: int, node: Node) -> Expr:
        if isinstance(node.value, int):
            return sympy.Integer(node.value)
        symbol = self._symbol(f"k{i:06d}", node, **{"positive" if node.value > 0 else "negative": True})
        self._constants.add(symbol)
        return symbol

    def _divisor(self, expr: Expr) -> Expr:
        """``expr`` where it is zero nowhere, otherwise a symbol for it."""
        if self._divisors_nonzero or expr.is_zero is False:
            return expr
        if expr not in self._divisors:
            symbol = self._symbol(f"z{len(self._divisors):06d}d", expr)
            self._divisors[expr] = symbol
        return self._divisors[expr]

    # ---- text --------------------------------------------------------------------------------------------------------

    def piece(self) -> Piece | None:
        """The shortest text found, or None where no algebra of real numbers holds for the expression."""
        return self._shortest[1]

    @property
    def best(self) -> Expr:
        """The expression with the shortest text."""
        return self._shortest[0]

    @cached_property
    def _shortest(self) -> tuple[Expr, Piece | None]:
        try:
            return min(((expr, self._piece(expr)) for expr in self._variants()), key=lambda best: best[1].size)
        except (_NoReal, RecursionError, OverflowError, MemoryError):
            # Constants beyond floats: cosh(exp(100)) has 10^43 digits before the point, of which mpmath asks for all.
            return self.exprs[-1], None

    def _variants(self) -> list[Expr]:
        """The expression, and with its fractions cancelled where that is quick and no divisor may be zero."""
        expr = self.exprs[-1]
        symbols = expr.free_symbols
        if (
            not expr.has(sympy.Add)
            or len(symbols) > _CANCEL_SYMBOLS
            or not symbols.isdisjoint(self._divisors.values())
            or self._piece(expr).size > _CANCEL_SIZE
            or not expr.is_rational_function(*symbols)
            or _terms(expr) > _CANCEL_TERMS
        ):
            return [expr]
        return [expr, sympy.cancel(expr)]

    def _piece(self, expr: Expr) -> Piece:
        if expr not in self._pieces:
            self._pieces[expr] = self._write(expr)
        return self._pieces[expr]

    def _write(self, expr: Expr) -> Piece:
        if self._is_constant(expr):
            return self._number_text(expr)
        if expr.is_Symbol:
            meaning = self.meaning[expr]
            if isinstance(meaning, Node):
                return write_column(meaning.value, self.names)
            return self._write_atom(meaning) if isinstance(meaning, int) else self._piece(meaning)
        if expr.is_Rational:
            return self._product(expr, sympy.S.One)
        if expr is sympy.pi:
            return write("PI")
        if expr is sympy.E:
            return write("EXP", write_number(1))
        if expr.is_Add:
            return self._write_sum(expr)
        if expr.is_Mul or expr.is_Pow:
            return self._product(*self._coefficient(expr))
        return write(_NAME_OF[type(expr)], *map(self._piece, expr.args))

    def _write_atom(self, i: int) -> Piece:
        """A node that algebra leaves alone; only the arguments whose exact value matters to nothing are simplified."""
        node = self.nodes[i]
        simplified: Iterable[int] = ()
        if node.op == "COND":
            simplified = node.args[1:]
        elif node.op in _EXTREMA and all(self._sure[j] for j in node.args):
            simplified = node.args
        operands = [self._piece(self.exprs[j]) if j in simplified else self._composed[j] for j in node.args]
        if node.op == "COND":
            operands[0] = self._composed[node.args[0]]
        piece = write_node(node, operands, self.names, self._digits)
        return piece if piece.size <= self._composed[i].size else self._composed[i]

    def _is_constant(self, expr: Expr) -> bool:
        symbols = expr.free_symbols
        return bool(symbols) and symbols <= self._constants

    def _value(self, coefficient: Expr) -> float:
        values = {symbol: sympy.Float(self.meaning[symbol].value) for symbol in coefficient.free_symbols}
        value = coefficient.xreplace(values)
        if not value.is_real:
            raise _NoReal
        return float(value)

    def _number_text(self, coefficient: Expr, *, unsigned: bool = False) -> Piece:
        value = self._value(coefficient)
        # The last digits of a product of constants are those of its rounding: 0.1*3 is 0.3.
        digits = self._digits if coefficient.is_Symbol else min(self._digits, _SURE_DIGITS)
        return write_number(abs(value) if unsigned else value, digits)

    def _coefficient(self, expr: Expr) -> tuple[Expr, Expr]:
        """``(number, rest)`` with ``expr = number * rest``; the number is a Rational or over constants."""
        numbers: list[Expr] = []
        rest: list[Expr] = []
        for factor in sympy.Mul.make_args(expr):
            (numbers if factor.is_Rational or self._is_constant(factor) else rest).append(factor)
        return sympy.Mul(*numbers), sympy.Mul(*rest, evaluate=False) if len(rest) > 1 else sympy.Mul(*rest)

    def _write_sum(self, expr: Expr) -> Piece:
        grouped: dict[Expr, Expr] = {}
        for term in expr.as_ordered_terms():
            number, rest = self._coefficient(term)
            grouped[rest] = grouped.get(rest, 0) + number
        # The terms that are but numbers come last, as people write them.
        terms = sorted(((number, rest) for rest, number in grouped.items()), key=lambda term: term[1] == 1)
        piece = self._add_up(terms)
        shared = self._shared_factor(terms)
        if shared is None:
            return piece
        inner = self._add_up([(self._divide(number, shared), rest) for number, rest in terms])
        factored = self._scale(shared, [inner], [])
        return factored if factored.size < piece.size else piece

    def _shared_factor(self, terms: Sequence[tuple[Expr, Expr]]) -> Expr | None:
        """What to take out of a sum: the greatest common rational factor, or the constant that all terms share."""
        numbers = [number for number, _ in terms]
        if all(number.is_Rational for number in numbers):
            shared = reduce(sympy.gcd, numbers)
            return None if shared in (0, 1) else shared
        if all(number in (numbers[0], -numbers[0]) for number in numbers):
            return numbers[0]
        return None

    def _divide(self, number: Expr, shared: Expr) -> Expr:
        return sympy.Integer(-1) if number == -shared else number / shared

    def _add_up(self, terms: Sequence[tuple[Expr, Expr]]) -> Piece:
        signed = [(self._is_negative(number), number, rest) for number, rest in terms]
        first = next((i for i, (negative, _, _) in enumerate(signed) if not negative), 0)
        ordered = [signed[first], *signed[:first], *signed[first + 1 :]]
        total = self._product(*ordered[0][1:])
        for negative, number, rest in ordered[1:]:
            term = self._product(-number if negative else number, rest)
            if term.text != "0":
                total = write("SUB" if negative else "ADD", total, term)
        return total

    def _is_negative(self, number: Expr) -> bool:
        return bool(number.is_negative if number.is_Rational else self._value(number) < 0)

    def _product(self, number: Expr, rest: Expr) -> Piece:
        """The text of ``number * rest`` as one fraction."""
        above: list[Piece] = []
        below: list[Piece] = []
        for factor in sympy.Mul.make_args(rest):
            if factor == 1:
                continue
            base, exponent = factor.args if factor.is_Pow else (factor, sympy.S.One)
            inverse = (exponent.is_Rational or self._is_constant(exponent)) and self._is_negative(exponent)
            (below if inverse else above).append(self._write_power(base, -exponent if inverse else exponent))
        return self._scale(number, above, below)

    def _write_power(self, base: Expr, exponent: Expr) -> Piece:
        shown = self._piece(base)
        if exponent == sympy.S.Half:
            return write("SQRT", shown)
        power = self._piece(exponent)
        return shown if power.text == "1" else write("POW", shown, power)

    def _scale(self, number: Expr, above: list[Piece], below: list[Piece]) -> Piece:
        """The text of ``number`` times the factors ``above``, divided by those ``below``."""
        negative = self._is_negative(number)
        if number.is_Rational:
            up, down = abs(int(number.p)), int(number.q)
            scale, divisor = write_number(up), [write_number(down)] * (down != 1)
        else:
            scale, divisor = self._number_text(number, unsigned=True), []
        above = above if scale.text == "1" else [scale, *above]
        below = [*divisor, *below]
        top = reduce(_times, above) if above else None
        if below:
            bottom = reduce(_times, below)
            piece = write("DIV", top, bottom) if top is not None else write("INV", bottom)
        else:
            piece = top if top is not None else write_number(1)
        if not negative:
            return piece
        lone = not below and (not above or above == [scale])
        return write_number(int(number.p)) if number.is_Integer and lone else write("NEG", piece)


def _times(left: Piece, right: Piece) -> Piece:
    return write("MUL", left, right)


def _explodes(op: str, operands: Sequence[Expr]) -> bool:
    """True for powers that sympy would spell out as enormous numbers."""
    if op != "POW" or operands[0].is_Symbol:
        return False
    exponent = operands[1]
    return bool(exponent.is_Rational and abs(exponent) > _MAX_EXPONENT)


def _is_plain(expr: Expr) -> bool:
    """True for finite expressions over known functions, without complex, infinite or enormous numbers."""
    for part in sympy.preorder_traversal(expr):
        if part in _KNOWN_NUMBERS:
            continue
        if not isinstance(part, _KNOWN):  # infinities are no Rational
            return False
        if part.is_Rational and max(abs(part.p).bit_length(), part.q.bit_length()) > _MAX_BITS:
            return False
    return True


def _terms(expr: Expr) -> int:
    """At most so many terms has the expanded expression."""
    if expr.is_Add:
        return sum(map(_terms, expr.args))
    if expr.is_Mul:
        return prod(map(_terms, expr.args))
    if expr.is_Pow and expr.exp.is_Integer:
        return _terms(expr.base) ** min(abs(int(expr.exp)), _CANCEL_TERMS)
    return 1
