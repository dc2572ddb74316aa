"""Derivatives by constants, against differences in 60 digits, and fits, against known constants and scipy."""

from __future__ import annotations

import _thread
import csv
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nssr import engine
from nssr.engine import constants as fitting
from nssr.primitives import ALL, BY_NAME, TOKEN_CALL, TOKEN_FLOAT, TOKEN_INT, TOKEN_VARIABLE

EXAMPLES = Path(__file__).parent.parent / "examples"
REAL = [p for p in ALL if p.name not in ("OR", "AND", "NOT", "LOOP", "WHILE", "ACCUM")]


def flat(*programs: str) -> tuple[Any, Any, Any, Any]:
    """From texts such as ``c0 x0 MUL``: a constant's start is given as ``c0=1.5``, integers stand for themselves."""
    tokens, operands, offsets, values = [], [], [0], {}
    for program in programs:
        for word in program.split():
            name, _, start = word.partition("=")
            if name in BY_NAME:
                token, operand = BY_NAME[name].opcode, 0
            elif name[0] == "x":
                token, operand = TOKEN_VARIABLE, int(name[1:])
            elif name[0] == "c":
                token, operand = TOKEN_FLOAT, int(name[1:])
                values[operand] = float(start) if start else values.get(operand, 1.0)
            else:
                token, operand = TOKEN_INT, int(name)
            tokens.append(token)
            operands.append(operand)
        offsets.append(len(tokens))
    constants = [values.get(i, 0.0) for i in range(max(values, default=-1) + 1)]
    return np.array(tokens, np.int32), np.array(operands, np.int32), np.array(constants), np.array(offsets, np.int64)


# ---- derivatives -----------------------------------------------------------------------------------------------------

PRECISE: dict[str, Callable[..., Any]] = {
    "ADD": lambda a, b: a + b, "SUB": lambda a, b: a - b, "MUL": lambda a, b: a * b, "INC": lambda a: a + 1,
    "DEC": lambda a: a - 1, "DIV": lambda a, b: a / b if b else mpmath.mpf(0), "FDIV": lambda a, b: a / b,
    "LT": lambda a, b: mpmath.mpf(a < b), "LTE": lambda a, b: mpmath.mpf(a <= b), "GT": lambda a, b: mpmath.mpf(a > b),
    "GTE": lambda a, b: mpmath.mpf(a >= b), "EQ": lambda a, b: mpmath.mpf(a == b), "NEQ": lambda a, b: mpmath.mpf(a != b),
    "COND": lambda a, b, c: b if a else c, "CONST": lambda a: a, "NULL": lambda a: mpmath.mpf(0), "NEG": lambda a: -a,
    "ABS": abs, "SQUARE": lambda a: a**2, "CUBE": lambda a: a**3, "INV": lambda a: 1 / a if a else mpmath.mpf(0),
    "SQRT": mpmath.sqrt, "POW": lambda a, b: a**b, "EXP": mpmath.exp, "LOG": mpmath.log, "SIN": mpmath.sin, "COS": mpmath.cos,
    "TAN": mpmath.tan, "ASIN": mpmath.asin, "ACOS": mpmath.acos, "ATAN": mpmath.atan, "SINH": mpmath.sinh,
    "COSH": mpmath.cosh, "TANH": mpmath.tanh, "MIN": min, "MAX": max, "PI": lambda: +mpmath.pi,
}  # fmt: skip


def precisely(arrays: tuple[Any, ...], row: np.ndarray, constants: list[Any]) -> Any:
    """The value of the one program on one row, by mpmath."""
    stack: list[Any] = []
    for token, operand in zip(arrays[0].tolist(), arrays[1].tolist(), strict=True):
        if token == TOKEN_VARIABLE:
            stack.append(mpmath.mpf(float(row[operand])))
        elif token == TOKEN_FLOAT:
            stack.append(constants[operand])
        elif token == TOKEN_INT:
            stack.append(mpmath.mpf(operand))
        else:
            p = next(p for p in REAL if p.opcode == token)
            operands = stack[len(stack) - p.arity :]
            del stack[len(stack) - p.arity :]
            stack.append(PRECISE[p.name](*operands))
            if isinstance(stack[-1], mpmath.mpc):
                raise ValueError("no real number")
    return stack[0]


def differences(arrays: tuple[Any, ...], x: np.ndarray, which: list[int]) -> np.ndarray:
    """Derivatives (constants, rows) by central differences in 60 digits; NaN where a value is no real number."""
    out = np.full((len(which), len(x)), np.nan)
    with mpmath.workdps(60):
        start, h = [mpmath.mpf(float(c)) for c in arrays[2]], mpmath.mpf("1e-20")
        for i, k in enumerate(which):
            for r, row in enumerate(x):
                around = [[*start[:k], start[k] + step, *start[k + 1 :]] for step in (h, -h)]
                try:
                    high, low = (precisely(arrays, row, c) for c in around)
                except (ZeroDivisionError, ValueError, OverflowError):
                    continue
                out[i, r] = float((high - low) / (2 * h))
    return out


@pytest.mark.parametrize("primitive", REAL, ids=lambda p: p.name)
def test_every_primitive(primitive: Any, on_target: str) -> None:
    """Each operand in turn, and all of them at once, as an expression of a constant and a column; 140 rows cross a block."""
    rng = np.random.default_rng(primitive.opcode)
    x = rng.uniform(0.05, 0.45, (140, 3))
    inside = ["c{0} x{0} MUL", "x{0} c{0} ADD", "c{0}"]
    for moving in range(1, 2 ** max(primitive.arity, 1)):
        for form in inside:
            words = [(form if moving >> i & 1 else "x{0} INC").format(i) for i in range(primitive.arity)]
            text = " ".join([*words, primitive.name]) + (" c0 MUL" if primitive.arity == 0 else "")
            arrays = flat(text)
            arrays[2][:] = 0.3 + 0.11 * np.arange(len(arrays[2]))
            found = engine.gradients(*arrays, x)
            expected = differences(arrays, x, found.which.tolist())
            assert not np.isnan(expected).any()
            np.testing.assert_allclose(found.jacobian, expected, rtol=2e-13, atol=1e-14, err_msg=text)
            with mpmath.workdps(30):
                values = [float(precisely(arrays, row, [mpmath.mpf(float(c)) for c in arrays[2]])) for row in x]
            np.testing.assert_allclose(found.values[0], values, rtol=1e-14, atol=1e-15)


CASES = [
    ("x0 c0=1 MUL x1 DIV", [2.0, 0.0], [0.0]),  # DIV gives 0 where the divisor is 0, whatever the constant
    ("x0 c0=0 DIV", [2.0, 1.0], [0.0]),
    ("c0=0 INV", [2.0, 1.0], [0.0]),
    ("c0=0 ABS", [0.0, 0.0], [0.0]),
    ("c0=-2 ABS", [0.0, 0.0], [-1.0]),
    ("c0=0 SQRT", [0.0, 0.0], [np.inf]),
    ("c0=-1 SQRT", [0.0, 0.0], [np.nan]),
    ("c0=1 ASIN", [0.0, 0.0], [np.inf]),
    ("c0=1 ACOS", [0.0, 0.0], [-np.inf]),
    ("c0=0 LOG", [0.0, 0.0], [np.inf]),
    ("c0=-1 LOG", [0.0, 0.0], [np.nan]),
    ("x0 0 GT c0=2 x0 SQRT MUL c1=3 COND", [-1.0, 0.0], [0.0, 1.0]),  # nothing of the side that is not chosen
    ("x0 c0=2 c1=3 COND", [0.0, 0.0], [0.0, 1.0]),
    ("x0 c0=2 c1=3 COND", [np.nan, 0.0], [1.0, 0.0]),
    ("x0 c0=0.5 LT c1=2 MUL", [0.0, 0.0], [0.0, 1.0]),
    ("c0=4 NULL c1=2 ADD", [0.0, 0.0], [0.0, 1.0]),
    ("x0 SQRT c0=1 MUL c1=1 MIN", [-1.0, 0.0], [np.nan, 0.0]),
    ("c0=1 c1=2 MIN", [0.0, 0.0], [1.0, 0.0]),
    ("c0=1 c1=2 MAX", [0.0, 0.0], [0.0, 1.0]),
    ("x0 c0=2 POW", [0.0, 0.0], [0.0]),
    ("x0 c0=2 POW", [-3.0, 0.0], [np.nan]),
    ("c0=0 2 POW", [0.0, 0.0], [0.0]),
    ("c0=0 1 POW", [0.0, 0.0], [1.0]),
    ("c0=0 0 POW", [0.0, 0.0], [0.0]),
    ("c0=-3 3 POW", [0.0, 0.0], [27.0]),
    ("c0=-3 2 POW", [0.0, 0.0], [-6.0]),
    ("c0=3 c0 MUL c0 SUB", [0.0, 0.0], [5.0]),  # one constant, several uses
    ("x0 c0=3 c0 MUL SUB", [0.0, 0.0], [-6.0]),
]


@pytest.mark.parametrize(("text", "row", "expected"), CASES)
def test_edges(text: str, row: list[float], expected: list[float], on_target: str) -> None:
    found = engine.gradients(*flat(text), np.array([row]))
    np.testing.assert_allclose(found.jacobian[:, 0], expected, rtol=1e-15)


@st.composite
def programs(draw: st.DrawFn, n_columns: int = 3, most: int = 4) -> str:
    n_constants = draw(st.integers(0, most))

    def tree(depth: int) -> str:
        if depth == 0 or draw(st.integers(0, 4)) == 0:
            kind = draw(st.integers(0, 2)) if n_constants else 0
            if kind:
                return f"c{draw(st.integers(0, n_constants - 1))}"
            return draw(st.sampled_from([f"x{i}" for i in range(n_columns)] + ["2", "-1", "PI"]))
        p = draw(st.sampled_from([p for p in REAL if p.arity > 0]))
        return " ".join([*(tree(depth - 1) for _ in range(p.arity)), p.name])

    return tree(draw(st.integers(1, 4)))


@settings(max_examples=60, deadline=None)
@given(programs(), st.integers(0, 2**31))
def test_random_programs_against_differences(text: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    arrays, x = flat(text), rng.uniform(-2, 2, (3, 3))
    arrays[2][:] = rng.uniform(-2, 2, len(arrays[2]))
    found = engine.gradients(*arrays, x)
    try:
        expected = differences(arrays, x, found.which.tolist())
    except (MemoryError, mpmath.libmp.NoConvergence):
        return
    sane = np.isfinite(expected) & np.isfinite(found.jacobian) & np.isfinite(found.values[0])
    # Cancellation on the way (sin of a huge number, differences of close ones) costs digits that no rule can bring back.
    sane &= (np.abs(expected) < 1e6) & (np.abs(found.values[0]) < 1e6)
    close = np.isclose(found.jacobian, expected, rtol=1e-6, atol=1e-8)
    if (sane & ~close).any():  # is it rounding? Differences in double precision would say the same
        nudged = engine.gradients(*arrays[:2], arrays[2] * (1 + 1e-15), arrays[3], x)
        sane &= np.isclose(found.jacobian, nudged.jacobian, rtol=1e-9, atol=1e-11)
        spread = np.abs(found.jacobian).max(axis=1, keepdims=True, initial=0.0)
        close |= np.abs(found.jacobian - expected) <= 1e-6 * spread
    assert close[sane].all(), (text, found.jacobian, expected)


@settings(max_examples=40, deadline=None)
@given(st.lists(programs(), min_size=1, max_size=12), st.integers(1, 130), st.integers(0, 2**31))
def test_targets_threads_and_strides_give_the_same_bits(texts: list[str], rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shifted, n = [], 0
    for text in texts:  # constants of their own
        shifted.append(" ".join(f"c{int(w[1:]) + n}" if w[0] == "c" else w for w in text.split()))
        n += 4
    arrays = flat(*shifted)
    arrays[2][:] = rng.uniform(-2, 2, len(arrays[2]))
    x, y = rng.normal(size=(rows, 3)), rng.normal(size=rows)
    weights = rng.integers(0, 3, rows) + (np.arange(rows) == 0)
    wide = np.asfortranarray(np.repeat(x, 2, axis=1))[:, ::2]
    wide.flags.writeable = False
    seen: dict[bool, set[bytes]] = {}  # x86's baseline does not fuse products in its functions: its last bits are its own
    before = engine.target()
    for name in engine.targets():
        engine.set_target(name)
        for threads, matrix in ((1, x), (2, wide), (8, x)):
            fit = engine.fit_constants(*arrays, matrix, y, sample_weight=weights, n_threads=threads)
            gradients = engine.gradients(*arrays, matrix, n_threads=threads)
            parts = [fit.constants, fit.loss, fit.iterations, fit.status, gradients.values, gradients.jacobian]
            seen.setdefault(name == "baseline", set()).add(b"".join(np.where(np.isnan(p), np.nan, p).tobytes() for p in parts))
    engine.set_target(before)
    assert all(len(bits) == 1 for bits in seen.values())
    assert not np.isnan(fit.constants).any()
    for i, status in enumerate(fit.status):
        assert (status == fitting.NOT_FINITE) == (not np.isfinite(fit.loss[i]))


# ---- fits ------------------------------------------------------------------------------------------------------------

KNOWN = [
    ("c0 c1 x0 MUL EXP MUL c2 ADD", [2.5, -1.3, 0.7], [1.0, -1.0, 0.0]),
    ("c0 c1 x0 MUL c2 ADD SIN MUL", [1.7, 2.2, 0.4], [1.0, 2.0, 0.0]),
    ("c0 1 c1 x0 MUL ADD DIV", [3.0, 0.8], [1.0, 1.0]),
    ("c0 x0 MUL c1 x0 ADD DIV", [4.2, 1.9], [1.0, 1.0]),  # Michaelis-Menten
    ("c0 x0 c1 POW MUL", [1.4, 2.3], [1.0, 1.0]),
    ("x0 c0 SUB SQUARE NEG c1 SQUARE DIV EXP c2 MUL", [1.6, 0.6, 2.0], [1.4, 1.0, 1.0]),
    ("c0 c1 NEG x0 MUL EXP c2 ADD DIV", [2.0, 1.5, 0.5], [1.0, 1.0, 1.0]),
    ("c0 x0 c1 MUL TANH MUL x0 c2 MUL ADD", [2.0, 3.0, -0.5], [1.0, 1.0, 0.0]),
]


@pytest.mark.parametrize(("text", "truth", "start"), KNOWN)
@pytest.mark.parametrize("rows", [7, 64, 130])
def test_known_constants_come_back(text: str, truth: list[float], start: list[float], rows: int, on_target: str) -> None:
    tokens, operands, _, offsets = flat(text)
    x = np.linspace(0.1, 3.0, rows)[:, None]
    y = engine.gradients(tokens, operands, truth, offsets, x).values[0]
    fit = engine.fit_constants(tokens, operands, start, offsets, x, y)
    np.testing.assert_allclose(fit.constants, truth, rtol=1e-9)
    assert fitting.STATUS[fit.status[0]] == "converged"
    assert fit.loss[0] < 1e-24


def test_sixteen_constants() -> None:
    text = "c0" + "".join(f" c{i} x{i - 1} MUL ADD" for i in range(1, 16))
    rng = np.random.default_rng(0)
    x, truth = rng.normal(size=(90, 15)), rng.normal(size=16)
    arrays = flat(text)
    fit = engine.fit_constants(*arrays, x, truth[0] + x @ truth[1:])
    np.testing.assert_allclose(fit.constants, truth, rtol=1e-10)
    with pytest.raises(ValueError, match="program 0, position 61: it has more than 16 constants"):
        engine.fit_constants(*flat(text + " c16 x0 MUL ADD"), x, x[:, 0])


@pytest.mark.parametrize("text", [k[0] for k in KNOWN])
def test_against_scipy(text: str) -> None:
    """From 40 random starts to noisy data each; another minimum than scipy's may be better or worse, but seldom."""
    optimize = pytest.importorskip("scipy.optimize")
    tokens, operands, _ones, offsets = flat(text)
    truth = next(k[1] for k in KNOWN if k[0] == text)
    rng = np.random.default_rng(3)
    x = np.linspace(0.1, 3.0, 100)[:, None]
    y = engine.gradients(tokens, operands, truth, offsets, x).values[0] + rng.normal(0, 0.05, 100)
    worse = tried = 0
    for _ in range(40):
        start = np.array(truth) * rng.uniform(0.4, 2.0, len(truth)) + rng.normal(0, 0.1, len(truth))

        def residuals(c: np.ndarray) -> np.ndarray:
            return engine.gradients(tokens, operands, c, offsets, x).values[0] - y

        if not np.isfinite(residuals(start)).all():
            continue
        theirs = np.mean(residuals(optimize.least_squares(residuals, start, method="lm").x) ** 2)
        fit = engine.fit_constants(tokens, operands, start, offsets, x, y, max_iterations=100)
        tried += 1
        worse += not fit.loss[0] <= 1.001 * theirs
    assert tried > 20
    assert worse <= 2


def test_weights_are_repetitions() -> None:
    rng = np.random.default_rng(5)
    arrays = flat("c0 c1 x0 MUL EXP MUL")
    x, weights = rng.uniform(0, 2, (60, 1)), rng.integers(0, 4, 60)
    y = 2 * np.exp(-x[:, 0]) + rng.normal(0, 0.1, 60)
    x[weights == 0] = np.nan  # left out altogether
    weighted = engine.fit_constants(*arrays, x, y, sample_weight=weights)
    repeated = engine.fit_constants(*arrays, np.repeat(x, weights, axis=0), np.repeat(y, weights))
    np.testing.assert_allclose(weighted.constants, repeated.constants, rtol=1e-7)
    np.testing.assert_allclose(weighted.loss, repeated.loss, rtol=1e-12)


@pytest.mark.parametrize("loss", ["huber", "cauchy"])
def test_robust_losses_pass_over_outliers(loss: str) -> None:
    rng = np.random.default_rng(6)
    x = np.linspace(0, 3, 100)[:, None]
    y = 3 * np.exp(-0.7 * x[:, 0]) + rng.normal(0, 0.01, 100)
    y[::10] += 20
    arrays = flat("c0 c1 x0 MUL EXP MUL")
    arrays[2][:] = 2.0, -0.5
    plain = engine.fit_constants(*arrays, x, y)
    fit = engine.fit_constants(*arrays, x, y, loss=loss, loss_scale=0.05, max_iterations=200)
    assert abs(fit.constants[0] - 3) < 0.03 < abs(plain.constants[0] - 3)
    optimize = pytest.importorskip("scipy.optimize")
    theirs = optimize.least_squares(
        lambda c: c[0] * np.exp(c[1] * x[:, 0]) - y, arrays[2], loss=loss, f_scale=0.05, xtol=1e-12, ftol=1e-12, gtol=1e-12
    )
    assert fit.loss[0] <= 1.001 * 2 * theirs.cost / 100


@settings(max_examples=60, deadline=None)
@given(programs(), st.integers(1, 130), st.integers(0, 2**31), st.sampled_from(["squared", "huber", "cauchy"]))
def test_a_fit_is_never_worse_than_its_start(text: str, rows: int, seed: int, loss: str) -> None:
    rng = np.random.default_rng(seed)
    arrays = flat(text)
    arrays[2][:] = rng.uniform(-2, 2, len(arrays[2]))
    x, y = rng.normal(size=(rows, 3)), rng.normal(size=rows)
    losses = [engine.fit_constants(*arrays, x, y, loss=loss, max_iterations=n).loss[0] for n in (0, 1, 5, 30)]
    assert losses == sorted(losses, reverse=True)
    fit = engine.fit_constants(*arrays, x, y)
    values = engine.gradients(*arrays[:2], fit.constants, arrays[3], x).values[0]
    if fit.status[0] == fitting.NOT_FINITE:
        np.testing.assert_array_equal(fit.constants, arrays[2])
    else:
        np.testing.assert_allclose(fit.loss[0], np.mean((values - y) ** 2), rtol=1e-9)


def test_status() -> None:
    x = np.linspace(-1, 1, 20)[:, None]
    arrays = flat("x0", "x0 c0=1 SUB SQRT", "c1=1 x0 MUL", "c2=1 NULL x0 ADD", "c3=9 x0 MUL EXP", "x0 c4=2 POW c5=3 MUL")
    fit = engine.fit_constants(*arrays, x, 3 * x[:, 0] ** 2, max_iterations=1)
    names = [fitting.STATUS[s] for s in fit.status]
    assert names[:5] == ["no_constants", "not_finite", "converged", "converged", "max_iterations"]
    assert fit.loss[1] == np.inf
    # The exponent has no derivative at negative bases and stays, the factor is fitted.
    assert fit.constants[4] == 2.0
    assert fit.loss[5] == 0.0
    x[3] = np.nan
    assert fitting.STATUS[engine.fit_constants(*flat("x0 c0 MUL"), x, np.ones(20)).status[0]] == "not_finite"
    assert fitting.STATUS[engine.fit_constants(*flat("c0"), x, np.ones(20)).status[0]] == "converged"


def test_shared_constants_are_one_unknown() -> None:
    x = np.linspace(0.1, 2, 50)[:, None]
    arrays = flat("c0=1 x0 MUL SIN c0 ADD c1=1 SUB")
    fit = engine.fit_constants(*arrays, x, np.sin(1.7 * x[:, 0]) + 1.7 - 0.4)
    np.testing.assert_allclose(fit.constants, [1.7, 0.4], rtol=1e-9)
    both = flat("c0 x0 MUL", "c1 x0 MUL", "c0 x0 ADD")
    with pytest.raises(ValueError, match="program 2, position 0: constant 0 is also that of program 0"):
        engine.fit_constants(*both, x, x[:, 0])
    assert engine.gradients(*both, x).which.tolist() == [0, 1, 0]


def test_an_object_with_the_arrays() -> None:
    arrays = flat("c0 x0 MUL")
    formulas = SimpleNamespace(**dict(zip(("tokens", "operands", "constants", "offsets"), arrays, strict=True)))
    x = np.arange(1, 5)[:, None]
    assert engine.fit_constants(formulas, x, [2, 4, 6, 8]).constants.tolist() == [2.0]
    assert engine.gradients(formulas, x).of(0).tolist() == [[1, 2, 3, 4]]
    with pytest.raises(ValueError, match="formulas of the type int have no tokens"):
        engine.fit_constants(3, x, x[:, 0])
    with pytest.raises(ValueError, match="give formulas, X and y"):
        engine.fit_constants(formulas, x)


def test_real_data() -> None:
    """Boyle's own figures: p = c / V; and a fall in which 1/2 m v^2 has its constant."""
    with (EXAMPLES / "boyle_1662.csv").open() as file:
        volume, pressure = np.array(list(csv.reader(file))[1:], float).T
    fit = engine.fit_constants(*flat("c0 x0 c1 POW MUL"), volume[:, None], pressure)
    assert abs(fit.constants[1] + 1) < 0.01
    with (EXAMPLES / "falling.csv").open() as file:
        table = np.array(list(csv.reader(file))[1:], float)
    fit = engine.fit_constants(*flat("c0 x0 MUL x2 c1 POW MUL"), table[:, :4], table[:, 4])
    np.testing.assert_allclose(fit.constants, [0.5, 2.0], rtol=1e-3)


def test_interrupt() -> None:
    n = 3000
    one = flat("c0=0.5 c1=0.5 x0 MUL SIN MUL c2=0.5 x0 POW ADD c3=0.5 ADD")
    tokens = np.tile(one[0], n)
    operands = np.tile(one[1], n) + np.where(tokens == TOKEN_FLOAT, np.repeat(4 * np.arange(n), len(one[0])), 0)
    offsets = np.arange(n + 1) * len(one[0])
    x = np.linspace(0.1, 30, 20_000)[:, None]
    for threads in (1, 2):
        timer = threading.Timer(0.1, _thread.interrupt_main)
        begin = time.monotonic()
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            engine.fit_constants(tokens, operands, np.tile(one[2], n), offsets, x, np.cos(7 * x[:, 0]), n_threads=threads)
        assert time.monotonic() - begin < 3.0


# ---- refusals --------------------------------------------------------------------------------------------------------

T = {name: p.opcode for name, p in BY_NAME.items()}
BAD_PROGRAMS = [
    ([T["ADD"]], [0], [0, 1], "program 0, position 0: an operation lacks operands"),
    ([255, 255], [0, 0], [0, 2], "program 0, position 1: it leaves more than one value"),
    ([255, 255, 255], [0, 0, 0], [0, 1, 3], "program 1, position 1: it leaves more than one value"),
    ([255], [2], [0, 1], "program 0, position 0: it names column 2 of 2"),
    ([255], [-1], [0, 1], "program 0, position 0: it names column -1 of 2"),
    ([254], [1], [0, 1], "program 0, position 0: it names constant 1 of 1"),
    ([255, T["NOT"]], [0, 0], [0, 2], "program 0, position 1: operation 2 is none of real numbers"),
    ([255, T["LOOP"]], [0, 0], [0, 2], "operation 18 is none"),
    ([255, TOKEN_CALL], [0, 0], [0, 2], "operation 252 is none"),
    ([255, 99], [0, 0], [0, 2], "operation 99 is none"),
    ([255, -7], [0, 0], [0, 2], "operation -7 is none"),
    ([255], [0], [0, 0, 1], "program 0, position 0: it is empty"),
    ([255, 255], [0, 0], [0, 3, 2], "program 0, position 0: it is empty, or the offsets run backwards"),
    ([255], [0], [0, 2], "offsets must start with 0"),
    ([255], [0], [], "offsets must start with 0"),
    ([255], [0, 0], [0, 1], "1 tokens, but 2 operands"),
    ([255] * 300, [0] * 300, [0, 300], "more than 256 values are waiting"),
    ([255, *[T["NEG"]] * 4000], [0] * 4001, [0, 4001], "it has more than 4000 tokens"),
    ([255.0], [0], [0, 1], "tokens must be integers"),
    ([2**40], [0], [0, 1], "tokens must fit in int32"),
    ([[255]], [[0]], [0, 1], "must have one dimension"),
]


@pytest.mark.parametrize(("tokens", "operands", "offsets", "message"), BAD_PROGRAMS)
def test_bad_programs(tokens: list[int], operands: list[int], offsets: list[int], message: str) -> None:
    x = np.ones((5, 2))
    with pytest.raises(ValueError, match=message):
        engine.fit_constants(tokens, operands, [1.0], offsets, x, np.ones(5))
    with pytest.raises(ValueError, match=message):
        engine.gradients(tokens, operands, [1.0], offsets, x)


BAD_DATA: list[tuple[dict[str, Any], str]] = [
    ({"X": np.ones(5)}, "X must have two dimensions"),
    ({"X": np.ones((5, 1), complex)}, "X must be numbers"),
    ({"X": np.ones((4, 1))}, "X has 4 rows, y has the shape"),
    ({"X": np.ones((0, 1)), "y": np.ones(0)}, "X has no rows"),
    ({"y": np.ones((5, 1))}, "y has the shape"),
    ({"y": [1, 2, np.nan, 4, 5]}, "y is not finite in row 2"),
    ({"sample_weight": np.ones(4)}, "sample_weight has the shape"),
    ({"sample_weight": [1, 1, 1, -1, 1]}, "sample_weight is negative in row 3"),
    ({"sample_weight": np.zeros(5)}, "sample_weight is 0 in every row"),
    ({"sample_weight": [1, np.inf, 1, 1, 1]}, "sample_weight is not finite in row 1"),
    ({"loss": "absolute"}, "loss must be one of"),
    ({"loss_scale": 0.0}, "loss_scale must be positive"),
    ({"tolerance": -1.0}, "tolerance must be at least 0"),
    ({"max_iterations": -1}, "max_iterations must be from 0"),
    ({"n_threads": 0}, "n_threads must be from 1"),
]


@pytest.mark.parametrize(("change", "message"), BAD_DATA)
def test_bad_data(change: dict[str, Any], message: str) -> None:
    options = {"X": np.ones((5, 1)), "y": np.ones(5)} | change
    x, y = options.pop("X"), options.pop("y")
    with pytest.raises(ValueError, match=message):
        engine.fit_constants(*flat("c0 x0 MUL"), x, y, **options)


def test_no_programs() -> None:
    fit = engine.fit_constants([], [], [1.5], [0], np.ones((3, 1)), np.ones(3))
    assert fit.constants.tolist() == [1.5]
    assert len(fit.loss) == len(fit.status) == len(fit.iterations) == 0
