"""A formula's algebra spelled out for sympy and LaTeX: symbols with the columns' names, atoms as what they mean.

Comparisons and COND are ``Piecewise``, bits, loops and functions kept by name are undefined functions. Sympy's symbols
are complex numbers here and have no NaN, so the expression says nothing of rows on which a part has no real value.
"""

from __future__ import annotations

import html
import re
from typing import Any
from xml.sax.saxutils import escape

import sympy
from sympy.core.alphabets import greeks
from sympy.printing.mathml import MathMLPresentationPrinter

from nssr.algebra import Algebra, Expr
from nssr.notation import CALL, COLUMN, Node

RELATION_OF: dict[str, Any] = {
    "LT": sympy.Lt,
    "LTE": sympy.Le,
    "GT": sympy.Gt,
    "GTE": sympy.Ge,
    "EQ": sympy.Eq,
    "NEQ": sympy.Ne,
}
EXTREMUM_OF: dict[str, Any] = {"MIN": sympy.Min, "MAX": sympy.Max}

# Sympy multiplies out conditions that hold cases, and refuses to compare infinities and complex numbers.
_NO_OPERAND = (sympy.Piecewise, sympy.zoo, sympy.nan, sympy.oo, -sympy.oo, sympy.I)
_SUBSCRIPTED = re.compile(r"[A-Za-z]+(_?[A-Za-z0-9]{1,3})?")  # x0, v_max, alpha; of longer names a subscript makes a riddle
_LETTER = re.compile(rf"([A-Za-z]|{'|'.join(greeks)})(_?[A-Za-z0-9]{{1,3}})?", re.IGNORECASE)
_ESCAPES = str.maketrans(
    {c: "\\" + c for c in "#$%&_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
)


def expression(algebra: Algebra) -> Expr:
    """The simplified expression over ``Symbol(name)`` of the columns."""
    return _Speller(algebra).spell(algebra.best)


def latex(algebra: Algebra) -> str:
    """The simplified expression in LaTeX; names that are no identifiers are set as text."""
    speller = _Speller(algebra, stand_ins={})
    return speller.latex(speller.spell(algebra.best))


def mathml(algebra: Algebra) -> str:
    """The simplified expression in presentation MathML: one ``math`` element, well-formed whatever the names are."""
    spelled = expression(algebra)
    words = any(not _LETTER.fullmatch(symbol.name) for symbol in spelled.free_symbols)
    # Words side by side would read as one.
    return _math(_MathMLPrinter({"mul_symbol": "dot"} if words else {}).doprint(spelled))


def mathml_text(text: str) -> str:
    """Any text, set as text."""
    return _math(f"<mtext>{escape(text)}</mtext>")


def _math(inner: str) -> str:
    plain = re.sub(r"&(?!amp;|lt;|gt;|#)\w+;", lambda entity: escape(html.unescape(entity[0])), inner)  # XML knows no others
    return f'<math xmlns="http://www.w3.org/1998/Math/MathML">{plain}</math>'


class _MathMLPrinter(MathMLPresentationPrinter):
    """Sympy's, which writes names as they are: all but short ones are escaped, and set as text."""

    def _print_Symbol(self, symbol: Expr, style: str = "plain") -> Any:
        return super()._print_Symbol(symbol, style) if _SUBSCRIPTED.fullmatch(symbol.name) else self._text(symbol.name)

    def _print_Function(self, expr: Expr) -> Any:
        name = expr.func.__name__
        if not isinstance(expr, sympy.core.function.AppliedUndef):
            return super()._print_Function(expr)
        row, fence = self.dom.createElement("mrow"), self.dom.createElement("mrow")
        row.appendChild(self._text(name))
        fence.appendChild(self._operator("("))
        for i, arg in enumerate(expr.args):
            if i:
                fence.appendChild(self._operator(","))
            fence.appendChild(self._print(arg))
        fence.appendChild(self._operator(")"))
        row.appendChild(fence)
        return row

    def _operator(self, text: str) -> Any:
        element = self.dom.createElement("mo")
        element.appendChild(self.dom.createTextNode(text))
        return element

    def _text(self, name: str) -> Any:
        element = self.dom.createElement("mtext")
        element.appendChild(self.dom.createTextNode(escape(name)))
        return element


def latex_text(text: str) -> str:
    """Any text, set as text."""
    return rf"\text{{{text.translate(_ESCAPES)}}}"


class _Speller:
    """With ``stand_ins``, cases inside an expression are left as symbols, whose LaTeX that dict collects."""

    def __init__(self, algebra: Algebra, stand_ins: dict[Expr, str] | None = None) -> None:
        self._algebra, self._stand_ins = algebra, stand_ins
        self._done: dict[Expr, Expr] = {}

    def latex(self, expr: Expr) -> str:
        if self._stand_ins and expr in self._stand_ins:
            return self._stand_ins[expr].removeprefix(r"\left(").removesuffix(r"\right)")
        names = dict(self._stand_ins or {})
        for symbol in expr.free_symbols:
            if symbol not in names and not symbol.name.isidentifier():
                names[symbol] = latex_text(symbol.name)
        return str(sympy.latex(expr, symbol_names=names))

    def spell(self, expr: Expr) -> Expr:
        symbols = sorted(expr.free_symbols, key=str)
        for symbol in symbols:
            if symbol not in self._done:
                self._done[symbol] = self._meaning(symbol)
        values = {symbol: self._done[symbol] for symbol in symbols}
        cases = {symbol: value for symbol, value in values.items() if value.has(sympy.Piecewise)}
        spelled = expr.xreplace({symbol: value for symbol, value in values.items() if symbol not in cases})
        if cases:  # Sympy would multiply out a power or a function of cases, and fail where one of them has no value.
            with sympy.evaluate(False):
                spelled = spelled.xreplace(cases)
        return spelled

    def _meaning(self, symbol: Expr) -> Expr:
        meaning = self._algebra.meaning[symbol]
        if isinstance(meaning, Node):
            named = meaning.op == COLUMN
            return sympy.Symbol(self._algebra.names[meaning.value]) if named else sympy.Float(meaning.value)
        if not isinstance(meaning, int):
            return self.spell(meaning)
        value = self._atom(self._algebra.nodes[meaning])
        if self._stand_ins is None or not value.has(sympy.Piecewise):
            return value
        stand_in = sympy.Symbol(f"z{meaning}", commutative=True, real=True)  # no column's: those are not real
        self._stand_ins[stand_in] = rf"\left({self.latex(value)}\right)"
        return stand_in

    def _atom(self, node: Node) -> Expr:
        operands = [self.spell(self._algebra.exprs[j]) for j in node.args]
        known = not any(operand.free_symbols for operand in operands)
        if node.op in EXTREMUM_OF:
            return EXTREMUM_OF[node.op](*operands, evaluate=known)
        if node.op in RELATION_OF and not any(operand.has(*_NO_OPERAND) for operand in operands):
            relation = RELATION_OF[node.op](*operands, evaluate=known)
            if relation in (sympy.true, sympy.false):
                return sympy.Integer(int(bool(relation)))
            return sympy.Piecewise((1, relation), (0, True), evaluate=False)
        if node.op == "COND" and (truth := self._truth(node.args[0], operands[0])) is not None:
            if truth in (sympy.true, sympy.false):
                return operands[1] if truth else operands[2]
            return sympy.Piecewise((operands[1], truth), (operands[2], True), evaluate=False)
        functions = [sympy.Symbol(name) for name in node.value] if isinstance(node.value, tuple) else []
        return sympy.Function(node.value if node.op == CALL else node.op)(*functions, *operands)

    def _truth(self, i: int, condition: Expr) -> Expr | None:
        """That node ``i``, spelled ``condition``, is not 0; None where sympy would take it apart."""
        node = self._algebra.nodes[i]
        if node.op in RELATION_OF:
            operands = [self.spell(self._algebra.exprs[j]) for j in node.args]
            if not any(operand.has(*_NO_OPERAND) for operand in operands):
                known = not any(operand.free_symbols for operand in operands)
                return RELATION_OF[node.op](*operands, evaluate=known)
        if condition.has(*_NO_OPERAND):
            return None
        return sympy.Ne(condition, 0, evaluate=not condition.free_symbols)
