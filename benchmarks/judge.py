"""Whether a formula is the law that made the data, as SRBench judges (La Cava et al. 2021, ``assess_symbolic_model.py``).

There a formula with test R2 > 0.5 is a *symbolic solution* when, constants rounded to 3 decimals, sympy shows
its difference to the truth to be constant or its ratio to the truth to be a constant other than 0. Here:

- **Rounding** is to 3 decimals, in the formula and in the truth, after constant parts (2*pi, sqrt(2)/4) are worked out. SRBench
  makes constants below 0.0001 vanish, and with them laws such as 6.67e-11*m1*m2/r**2: constants below 0.001 are rounded
  to 3 significant digits instead. As noise leaves tiny spurious terms, which SRBench drops, they are dropped here too where that
  changes no test value by more than a thousandth of the target's deviation.
- **Forms.** Rounding depends on how a formula is written; SRBench rounds what `simplify` gives. Tried in turn: as written,
  expanded, over one denominator, simplified; and each once more with constants replaced by the simple exact number within 1e-6
  of them (a rational; one times a power of pi or a square root), against the exact truth, which is stricter than rounding.
- **Showing.** Before sympy is asked, both sides (rational constants by now) are evaluated at rows of the problem to 50 digits.
  Where neither difference nor ratio is constant to 30 digits, the forms differ and `simplify` is spared. Where one is, sympy
  tries to show it (expand, cancel, simplify, trigsimp, logcombine); the verdict then says ``simplified``. If it cannot within
  its time, the verdict says ``digits``; that counts as recovered too, as 30 digits at a dozen rows leave no room for a near miss.

Symbols are positive where the variable is, real elsewhere. Apart from that, and never counted as recovered, ``numeric`` says
whether the formula with its own constants agrees with the truth up to a constant difference or ratio, to 1e-6, on rows drawn
from about twice the range. `benchmarks.judge_process` gives all this a process and a time limit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import Any

import mpmath
import numpy as np
import sympy
from sympy.parsing.sympy_parser import parse_expr

from benchmarks.suites import Array, r2

LEAST_R2 = 0.5
NUMERIC_TOLERANCE = 1e-6

_DIGITS, _AGREE, _POINTS, _FIRST = 50, 1e-30, 12, 3
_FAR, _NEAR = 0.9, 0.999  # squared correlation with the truth below which no rounding, or no `simplify`, is tried
_VANISHES, _NEGLIGIBLE = 1e-4, 1e-3
_ROUNDING, _SNAP = 1e-12, 1e-6
_DENOMINATORS = 48
_SYMPY_GIVES_UP = (
    ArithmeticError,
    AttributeError,
    NotImplementedError,
    RecursionError,
    TypeError,
    ValueError,
    sympy.PolynomialError,
)
_NOWHERE = (sympy.zoo, sympy.nan, sympy.oo, -sympy.oo)

Form = Callable[[Any], Any]

FORMS: tuple[tuple[str, Form], ...] = (
    ("as written", lambda e: e),
    ("expanded", sympy.expand),
    ("one fraction", sympy.together),
    ("simplify", lambda e: sympy.simplify(e, ratio=1)),
)
_PROOFS: tuple[Form, ...] = (
    lambda e: e,
    sympy.expand,
    lambda e: sympy.cancel(sympy.together(e)),
    sympy.simplify,
    sympy.trigsimp,
    lambda e: sympy.simplify(sympy.logcombine(sympy.expand_log(e, force=True), force=True)),
    lambda e: sympy.simplify(e.rewrite(sympy.exp)),
    lambda e: sympy.simplify(sympy.expand_trig(e)),
    lambda e: sympy.powdenest(sympy.radsimp(e), force=True),
)
_TRIGONOMETRIC = "acos acosh asin asinh atan atan2 atanh cos cosh cot coth csc sec sin sinh tan tanh"
_OTHER = "Abs Max Min Piecewise ceiling exp floor log sign sqrt"
FUNCTIONS = {name: getattr(sympy, name) for name in f"{_TRIGONOMETRIC} {_OTHER}".split()} | {
    "pi": sympy.pi,
    "E": sympy.E,
    "abs": sympy.Abs,
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """``how`` tells by which way, or why not; ``numeric`` is apart from ``recovered``."""

    recovered: bool = False
    how: str = "not judged"
    numeric: bool = False


def parse(text: str, positive: Sequence[bool]) -> Any:
    """The formula over x0, x1, ... as sympy has it. Raises `ValueError` for names that no formula here may hold."""
    symbols = {
        f"x{i}": sympy.Symbol(f"x{i}", positive=True) if above else sympy.Symbol(f"x{i}", real=True)
        for i, above in enumerate(positive)
    }
    names = set(re.findall(r"[A-Za-z_]\w*", re.sub(r"(?<![A-Za-z_\d])(\d+\.?\d*|\.\d+)[eE][-+]?\d+", "0", text)))
    unknown = names - symbols.keys() - FUNCTIONS.keys() - {"True", "False"}
    # `parse_expr` runs what it reads, so only names of functions and columns get there, and no attribute of any.
    if unknown or re.search(r"[\"'\[\]{}:;=@\\]|\.\s*[A-Za-z_]", text.replace(">=", ">").replace("<=", "<")):
        raise ValueError(f"not a formula over x0 to x{len(positive) - 1}: {text[:200]!r}")
    try:
        return sympy.sympify(parse_expr(text, local_dict=symbols | FUNCTIONS))
    except (SyntaxError, TypeError, AttributeError, sympy.SympifyError) as e:
        raise ValueError(f"not a formula: {text[:200]!r}: {e}") from None


def rounded(value: Any) -> Any:
    """A number to 3 decimals, below 0.001 to 3 significant digits, as a rational; what is not real and finite as it is."""
    if value.is_Integer:
        return value
    number = value.evalf(30)
    if not (number.is_Float and number.is_finite):
        return value
    return sympy.Rational(f"{float(number):.2e}" if abs(number) < 1e-3 else f"{number:.3f}")


def _factors() -> list[Any]:
    pi, root = sympy.pi, sympy.sqrt
    bases = [pi, pi**2, pi**3, root(2), root(3), root(5), root(10), root(pi), root(2 * pi), sympy.E, sympy.log(2), sympy.log(10)]
    return [f for base in bases for f in (base, 1 / base)]


_FACTORS = [(factor, float(factor)) for factor in _factors()]


def snapped(value: Any) -> Any:
    """The simple exact number within 1e-6 of a float: a rational, a short decimal, one times a known factor; else just the float.

    What agrees to rounding goes first: within 1e-6 of a constant of full precision there may be a simpler one that is wrong.
    """
    if not value.has(sympy.Float):
        return value
    number = float(value) if value.is_real else float("nan")
    if not np.isfinite(number) or number == 0:
        return value
    simple = [(sympy.Integer(1), number), *((factor, number / size) for factor, size in _FACTORS)]
    for tolerance in (_ROUNDING, _SNAP):
        for factor, left in simple:
            q = Fraction(left).limit_denominator(_DENOMINATORS)
            if q and abs(float(q) / left - 1) < tolerance:
                return sympy.Rational(q.numerator, q.denominator) * factor
            decimals = Fraction(f"{number:.6g}" if tolerance == _ROUNDING else str(float(rounded(value))))
            if factor == 1 and abs(float(decimals) / number - 1) < tolerance:
                return sympy.Rational(decimals.numerator, decimals.denominator)
    return sympy.Rational(Fraction(number))


def exact(value: Any) -> Any:
    """A number of the truth: a float is the decimal that was written."""
    return sympy.Rational(repr(float(value))) if value.is_Float else value


def with_constants(expr: Any, change: Form) -> Any:
    """``expr`` with every constant part, as large as it goes, replaced by ``change`` of it."""
    if not expr.free_symbols:
        return change(expr) if isinstance(expr, sympy.Expr) else expr
    if not expr.args:
        return expr
    if expr.is_Add or expr.is_Mul:
        numbers = [a for a in expr.args if not a.free_symbols]
        others = [with_constants(a, change) for a in expr.args if a.free_symbols]
        number = [change(expr.func(*numbers))] if numbers else []
        return expr.func(*number, *others)
    return expr.func(*(with_constants(a, change) for a in expr.args))


def without_tiny(expr: Any) -> Any:
    """``expr`` with constants below 0.0001 gone, as SRBench has it."""
    return with_constants(expr, lambda c: sympy.Integer(0) if c.is_real and c != 0 and abs(c) < _VANISHES else c)


def _numpy(expr: Any, n: int) -> Callable[[Array], Array]:
    function = sympy.lambdify([sympy.Symbol(f"x{i}") for i in range(n)], _plain(expr), "numpy")

    def values(X: Array) -> Array:
        with np.errstate(all="ignore"):
            found = np.asarray(function(*X.T))
        if np.iscomplexobj(found):
            found = np.where(found.imag == 0, found.real, np.nan)
        return np.broadcast_to(found.astype(float), len(X)).copy()

    return values


def _plain(expr: Any) -> Any:
    """Symbols without assumptions, so that columns of one name are one."""
    return expr.xreplace({s: sympy.Symbol(s.name) for s in expr.free_symbols})


@dataclass(frozen=True)
class Case:
    """What a formula is judged against. ``X``: test rows (rows, columns); ``X_wide``: rows of a wider range, likewise."""

    truth: str
    positive: tuple[bool, ...]
    X: Array
    X_wide: Array

    @cached_property
    def expr(self) -> Any:
        return parse(self.truth, self.positive).replace(lambda e: e.is_Float, exact)

    @cached_property
    def y(self) -> Array:
        return _numpy(self.expr, len(self.positive))(self.X)

    @cached_property
    def y_wide(self) -> Array:
        return _numpy(self.expr, len(self.positive))(self.X_wide)

    @cached_property
    def forms(self) -> dict[str, Any]:
        """The truth's forms, made when asked for."""
        return {}

    def form(self, name: str, make: Form) -> Any:
        if name not in self.forms:
            self.forms[name] = make(self.expr)
        return self.forms[name]


def alike(a: Any, b: Any, X: Array) -> str | None:
    """``difference`` or ``ratio``, whichever is the same to 30 digits on all of a dozen rows of ``X``; None where neither is."""
    symbols = [sympy.Symbol(f"x{i}") for i in range(X.shape[1])]
    function = sympy.lambdify(symbols, [_plain(a), _plain(b)], "mpmath")
    pairs: list[tuple[Any, Any]] = []
    still = ["difference", "ratio"]
    with mpmath.workdps(_DIGITS):
        for row in X[:_POINTS]:
            try:
                u, v = (mpmath.mpmathify(side) for side in function(*(mpmath.mpf(float(x)) for x in row)))
            except (ZeroDivisionError, ValueError, OverflowError, TypeError, NotImplementedError):
                return None
            pairs.append((u, v))
            if len(pairs) in (_FIRST, min(_POINTS, len(X))):
                still = [name for name in still if _constant(name, pairs)]
                if not still:
                    return None
    return still[0] if len(pairs) > 1 else None


def _constant(name: str, pairs: Sequence[tuple[Any, Any]]) -> bool:
    if name == "difference":
        values = [u - v for u, v in pairs]
        # Relative to how far the sides vary, so that a huge constant beside them does not hide what they do.
        scale = max(abs(v - pairs[0][1]) for _, v in pairs)
    else:
        if any(v == 0 or u == 0 for u, v in pairs):
            return False
        values = [u / v for u, v in pairs]
        scale = abs(values[0])
    if not (scale > 0 and all(mpmath.isfinite(v) for v in values)):
        return False
    return bool(max(abs(v - values[0]) for v in values) <= _AGREE * scale)


def _shown(a: Any, b: Any, relation: str) -> bool:
    """Whether sympy finds the difference, or the ratio, to hold no column."""
    whole = a - b if relation == "difference" else a / b
    for proof in _PROOFS:
        try:
            if not proof(whole).free_symbols:
                return True
        except _SYMPY_GIVES_UP:
            continue
    return False


def numeric(values: Array, truth: Array) -> bool:
    """Agreement to 1e-6 on all rows where the truth is finite, up to a constant difference or a ratio other than 0."""
    rows = np.isfinite(truth)
    t, c = truth[rows], values[rows]
    if len(t) < 2 or not np.all(np.isfinite(c)):
        return False
    allowed = NUMERIC_TOLERANCE * np.maximum(np.abs(t), np.median(np.abs(t)))
    offset = c - t
    ratio = float(c @ t) / float(t @ t) if np.any(t) else 0.0
    same = np.all(np.abs(offset - np.median(offset)) <= allowed)
    return bool(same or (ratio != 0 and np.all(np.abs(c / ratio - t) <= allowed)))


def verdicts(text: str, case: Case, test_r2: float | None = None) -> Iterator[Verdict]:
    """Verdicts that grow: each is right by itself, the last is the best that can be said, and holds where time runs out.

    ``test_r2`` is that of the regressor's own predictions; None takes that of the text's values on the test rows.
    """
    try:
        expr = parse(text, case.positive)
        evaluated = _numpy(expr, len(case.positive))
        with np.errstate(all="ignore"):
            values, wide = evaluated(case.X), evaluated(case.X_wide)
    except (ValueError, TypeError, NameError, AttributeError, KeyError, OverflowError, ZeroDivisionError) as e:
        yield Verdict(how=f"unreadable: {e}"[:200])
        return
    base = Verdict(how="differs", numeric=numeric(wide, case.y_wide))
    yield base
    if not (r2(case.y, values) if test_r2 is None else test_r2) > LEAST_R2:
        yield replace(base, how=f"test R2 is not over {LEAST_R2}")
        return
    near = _correlation(values, case.y)
    if near < _FAR:
        yield replace(base, how="far from the truth")
        return
    for a, b, how in _pairs(expr, case, values, near):
        relation = alike(a, b, case.X)
        if relation:
            yield Verdict(True, f"{relation}, {how}, digits", base.numeric)
            if _shown(a, b, relation):
                yield Verdict(True, f"{relation}, {how}, simplified", base.numeric)
            return


def _pairs(expr: Any, case: Case, values: Array, near: float) -> Iterator[tuple[Any, Any, str]]:
    """Formula and truth, both with exact constants, in the ways in which they may turn out to be alike; cheap ones first."""
    seen = set()
    for name, make in FORMS:
        if name == "simplify" and near < _NEAR:
            return
        form = make(expr)
        candidates = [(form, "")]
        shorter = without_tiny(form)
        if shorter != form and not shorter.has(*_NOWHERE) and _negligible(shorter, case, values):
            candidates.append((shorter, " without tiny terms"))
        for written, less in candidates:
            for a, b, way in (
                (with_constants(written, snapped), case.expr, "exact"),
                (with_constants(written, rounded), with_constants(case.form(name, make), rounded), "rounded"),
                (with_constants(written, rounded), with_constants(case.expr, rounded), "rounded"),
            ):
                if (a, b) not in seen and a.free_symbols and not a.has(*_NOWHERE):
                    seen.add((a, b))
                    yield a, b, f"{way}, {name}{less}"


def _negligible(shorter: Any, case: Case, values: Array) -> bool:
    changed = _numpy(shorter, len(case.positive))(case.X)
    return bool(np.all(np.abs(changed - values) <= _NEGLIGIBLE * np.std(case.y)))


def _correlation(values: Array, truth: Array) -> float:
    """Squared correlation on the rows where the formula has a value; 0 where it has none on half of them."""
    rows = np.isfinite(values) & np.isfinite(truth)
    if 2 * rows.sum() < len(rows) or rows.sum() < 2:
        return 0.0
    a, b = values[rows] - values[rows].mean(), truth[rows] - truth[rows].mean()
    with np.errstate(all="ignore"):
        found = float((a @ b) ** 2 / ((a @ a) * (b @ b)))
    return found if np.isfinite(found) else 0.0


def judge(text: str, case: Case, test_r2: float | None = None) -> Verdict:
    """The last of `verdicts`, without a limit of time."""
    *_, last = verdicts(text, case, test_r2)
    return last


def values(text: str, X: Array) -> Array:
    """The formula's values, (rows,), on the columns of ``X``, (rows, columns); not a number where it has none."""
    return _numpy(parse(text, [False] * X.shape[1]), X.shape[1])(X)
