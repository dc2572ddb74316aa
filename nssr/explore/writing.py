"""Trees for what closures find: sums, monomials and numbers, written as a person would."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from fractions import Fraction

from nssr.explore.tree import Tree, add, div, mul, number, sub
from nssr.notation import COLUMN, NUMBER

_DENOMINATORS = (1, 2, 3, 4, 5)


def snapped_exponent(value: float, tolerance: float = 1e-5) -> Fraction | float:
    """A small rational where one is near, else the value."""
    for q in _DENOMINATORS:
        p = round(value * q)
        if abs(value - p / q) <= tolerance:
            return Fraction(p, q)
    return value


def snapped(value: float, tolerance: float) -> float:
    """An integer or a ratio of small integers within the relative tolerance, else the value."""
    if value == 0 or not abs(value) < 1e15:
        return value
    for q in (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 25, 32, 50, 100, 1000):
        p = round(value * q)
        if p and abs(p) < 10_000 * (q < 10) + 1000 and abs(value - p / q) <= tolerance * abs(value):
            return p / q
    digits = float(f"{value:.6g}")
    return digits if abs(value - digits) <= tolerance * abs(value) else value


def named_number(value: float, tolerance: float) -> Tree:
    """A number, by way of pi or a root where that is what it is within the relative tolerance."""
    plain = snapped(value, tolerance)
    if plain != value or value == 0 or not 1e-9 < abs(value) < 1e9:
        return number(plain)
    pi = Tree("PI")
    for base, base_tree in (
        (math.pi, pi),
        (1 / math.pi, div(number(1), pi)),
        (math.pi**2, Tree("SQUARE", (pi,))),
        (1 / math.pi**2, div(number(1), Tree("SQUARE", (pi,)))),
        (math.sqrt(2), Tree("SQRT", (number(2),))),
        (math.sqrt(3), Tree("SQRT", (number(3),))),
        (math.sqrt(math.pi), Tree("SQRT", (pi,))),
        (1 / math.sqrt(math.pi), div(number(1), Tree("SQRT", (pi,)))),
        (1 / math.sqrt(2 * math.pi), div(number(1), Tree("SQRT", (mul(number(2), pi),)))),
        (math.e, Tree("EXP", (number(1),))),
    ):
        ratio = value / base
        for q in (1, 2, 3, 4, 5, 6, 8, 12, 16, 24, 32):
            p = round(ratio * q)
            if p and abs(p) <= 64 and abs(ratio - p / q) <= tolerance * abs(ratio):
                return scaled(p / q, base_tree)
    return number(value)


def named(tree: Tree) -> Tree:
    """The tree with its numbers snapped to simple ones that they are within rounding."""
    if tree.op == NUMBER:
        return named_number(tree.value, 1e-6)
    return Tree(tree.op, tuple(named(arg) for arg in tree.args), tree.value)


def scaled(factor: float, tree: Tree) -> Tree:
    """``factor`` times ``tree``, without a product by one."""
    if factor == 1:
        return tree
    if factor == -1:
        return Tree("NEG", (tree,))
    return mul(number(factor), tree)


def power(base: Tree, exponent: Fraction | float) -> Tree:
    if exponent == 1:
        return base
    if exponent == 2:
        return Tree("SQUARE", (base,))
    if exponent == 3:
        return Tree("CUBE", (base,))
    if exponent == 4:
        return Tree("SQUARE", (Tree("SQUARE", (base,)),))
    if exponent == Fraction(1, 2):
        return Tree("SQRT", (base,))
    return Tree("POW", (base, number(float(exponent))))


def product(trees: Iterable[Tree]) -> Tree | None:
    result: Tree | None = None
    for tree in trees:
        result = tree if result is None else mul(result, tree)
    return result


def _quotient(factors: list[tuple[Tree, Fraction | float]]) -> Tree | None:
    above = product(power(base, e) for base, e in factors if e > 0)
    below = product(power(base, -e) for base, e in factors if e < 0)
    if below is None:
        return above
    return div(above if above is not None else number(1), below)


def monomial(coefficient: Tree, factors: Iterable[tuple[Tree, Fraction | float]]) -> Tree:
    """``coefficient`` times powers; halves are gathered under one root."""
    whole: list[tuple[Tree, Fraction | float]] = []
    rooted: list[tuple[Tree, Fraction | float]] = []
    for base, exponent in factors:
        if exponent == 0:
            continue
        if isinstance(exponent, Fraction) and exponent.denominator == 2:
            rest = Fraction(int(exponent))
            rooted.append((base, (exponent - rest) * 2))
            if rest:
                whole.append((base, rest))
        else:
            whole.append((base, exponent))
    root = _quotient(rooted)
    if root is not None:
        whole.append((Tree("SQRT", (root,)), Fraction(1)))
    tree = _quotient(whole)
    if tree is None:
        return coefficient
    if coefficient.op == NUMBER:
        if tree.op == "DIV" and tree.args[0] == number(1):
            return div(coefficient, tree.args[1])
        return scaled(coefficient.value, tree)
    return mul(coefficient, tree)


def linear(terms: Iterable[tuple[float, Tree | None]]) -> Tree:
    """A sum of coefficients times trees; None is the constant term, which comes last. Terms of coefficient 0 go."""
    parts = [(c, t) for c, t in terms if c != 0]
    parts.sort(key=lambda part: (part[1] is None, part[0] < 0))
    result: Tree | None = None
    for c, t in parts:
        if t is not None and t.op == NUMBER:
            c, t = c * t.value, None
        positive = number(abs(c)) if t is None else scaled(abs(c), t)
        if result is None:
            result = number(c) if t is None else scaled(c, t)
        else:
            result = add(result, positive) if c > 0 else sub(result, positive)
    return result if result is not None else number(0)


def respelled(tree: Tree, operations: Collection[str]) -> Tree:
    """The tree in the operations that may be used: a square as a product, a negation as a factor, where it has to be."""
    if not tree.args:
        return tree
    args = tuple(respelled(arg, operations) for arg in tree.args)
    op, a = tree.op, args[0]
    if op in operations:
        return tree if args == tree.args else Tree(op, args, tree.value)
    if op == "NEG":
        return mul(number(-1), a) if "MUL" in operations else sub(number(0), a)
    if op == "INV":
        return div(number(1), a)
    if op == "SQUARE":
        return mul(a, a)
    if op == "CUBE":
        return mul(mul(a, a), a)
    if op == "SQRT" and "POW" in operations:
        return Tree("POW", (a, number(0.5)))
    if op == "POW" and args[1].op == NUMBER and args[1].value.is_integer() and 2 <= args[1].value <= 12:
        result = a
        for _ in range(int(args[1].value) - 1):
            result = mul(result, a)
        return result
    return Tree(op, args, tree.value)


_FOLD = {"ADD": lambda a, b: a + b, "SUB": lambda a, b: a - b, "MUL": lambda a, b: a * b}


def tidied(tree: Tree) -> Tree:
    """Numbers folded and neutral elements gone, bottom up; the values stay the same wherever they are finite."""
    if not tree.args:
        return tree
    args = tuple(tidied(arg) for arg in tree.args)
    a = args[0]
    if len(args) == 2:
        b = args[1]
        if a.op == NUMBER and b.op == NUMBER:
            if tree.op in _FOLD:
                return number(_FOLD[tree.op](a.value, b.value))
            if tree.op == "DIV" and b.value != 0:
                return number(a.value / b.value)
        if b.op == NUMBER:
            if tree.op in ("ADD", "SUB") and b.value == 0:
                return a
            if tree.op in ("MUL", "DIV", "POW") and b.value == 1:
                return a
            if tree.op == "ADD" and b.value < 0:
                return sub(a, number(-b.value))
            if tree.op == "SUB" and b.value < 0:
                return add(a, number(-b.value))
            if tree.op == "MUL":
                return tidied(mul(b, a))
            if tree.op == "DIV" and b.value != 0 and a.op == "MUL" and a.args[0].op == NUMBER:
                return tidied(mul(number(a.args[0].value / b.value), a.args[1]))
        if a.op == NUMBER:
            if tree.op == "ADD" and a.value == 0:
                return b
            if tree.op == "MUL" and a.value == 1:
                return b
            if tree.op == "MUL" and a.value == 0:
                return number(0)
            if tree.op == "MUL" and b.op == "MUL" and b.args[0].op == NUMBER:
                return tidied(mul(number(a.value * b.args[0].value), b.args[1]))
            if tree.op == "MUL" and b.op == "DIV" and b.args[0].op == NUMBER:
                return tidied(div(number(a.value * b.args[0].value), b.args[1]))
            if tree.op == "SUB" and a.value == 0:
                return tidied(Tree("NEG", (b,)))
        if tree.op == "POW" and a.op == "EXP" and b.op == NUMBER:
            return Tree("EXP", (tidied(mul(b, a.args[0])),))
        if tree.op == "MUL" and b.op == "DIV" and b.args[0] == number(1):
            return div(a, b.args[1])
        if tree.op == "DIV" and b.op == "DIV":
            return tidied(div(mul(a, b.args[1]), b.args[0]))
        if tree.op == "DIV" and b.op == "INV":
            return tidied(mul(a, b.args[0]))
        if tree.op == "MUL" and b.op == "INV":
            return tidied(div(a, b.args[0]))
        if tree.op in ("ADD", "SUB") and b.op == "NEG":
            return tidied(Tree("SUB" if tree.op == "ADD" else "ADD", (a, b.args[0])))
        if tree.op == "SUB" and a == b:
            return number(0)
        if tree.op == "DIV" and a == b and a.op == COLUMN:
            return number(1)
    else:
        inverse = {"EXP": "LOG", "LOG": "EXP", "NEG": "NEG", "INV": "INV", "SQUARE": "SQRT"}
        if a.op == inverse.get(tree.op):
            return a.args[0]
        if tree.op == "INV":
            return tidied(div(number(1), a))
        if tree.op == "NEG" and a.op == NUMBER:
            return number(-a.value)
        if tree.op == "NEG" and a.op == "MUL" and a.args[0].op == NUMBER:
            return tidied(mul(number(-a.args[0].value), a.args[1]))
        if tree.op == "NEG" and a.op == "SUB":
            return tidied(sub(a.args[1], a.args[0]))
        if tree.op == "SQUARE" and a.op == NUMBER:
            return number(a.value**2)
        if tree.op == "SQRT" and a.op == NUMBER and a.value >= 0 and math.sqrt(a.value).is_integer():
            return number(math.sqrt(a.value))
    return Tree(tree.op, args, tree.value)
