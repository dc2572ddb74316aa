"""The bank runner against numpy and ``math.isclose``: every operator, type and target; the same bits for any threads."""

from __future__ import annotations

import math
import random
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nssr import engine, primitives
from nssr.engine.bank import OPERATORS

Array = np.ndarray[Any, Any]
COMMUTING = ("ADD", "MUL", "MIN", "MAX")
OPCODE = {name: primitives.BY_NAME[name].opcode for name in OPERATORS}
EPS = {"float64": 2.0**-52, "float32": 2.0**-23}

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def apply(name: str, a: Array, b: Array) -> Array:
    with np.errstate(all="ignore"):
        if name == "ADD":
            return a + b
        if name == "SUB":
            return a - b
        if name == "MUL":
            return a * b
        if name == "DIV":
            return np.where(b == 0, a.dtype.type(0), a / b)
        if name == "FDIV":
            return a / b
        return np.where(b < a if name == "MIN" else b > a, b, a)


def candidates(x: Array, names: tuple[str, ...]) -> dict[tuple[int, int, int], Array]:
    """(opcode, left, right) -> values, in the fixed order of ties."""
    found = {}
    for name in sorted(names, key=OPCODE.__getitem__):
        for i in range(len(x)):
            for j in range(i if name in COMMUTING else 0, len(x)):
                found[OPCODE[name], i, j] = apply(name, x[i], x[j])
    return found


def data(rows: int, n: int, dtype: str, seed: int = 0, special: bool = False) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, rows)) * 10.0 ** rng.integers(-2, 3, (n, 1))
    if special:
        for value in (np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-310, 1e300, 5e-324):
            x[rng.integers(n), rng.integers(rows)] = value
        x[n // 2] = 0.0
    return x.astype(dtype), rng.normal(size=rows) + 3, rng.uniform(0, 2, rows) + 0.01


def keys(found: Any) -> list[tuple[int, int, int]]:
    return list(zip(found.operator.tolist(), found.left.tolist(), found.right.tolist(), strict=True))


def sse_of(p: Array, y: Array, w: Array | None) -> float:
    d = p.astype(np.longdouble) - y.astype(p.dtype).astype(np.longdouble)
    return float(np.sum(d * d * (1 if w is None else w.astype(p.dtype))))


def affine_of(p: Array, y: Array, w: Array | None) -> float:
    p, y = p.astype(np.longdouble), y.astype(np.longdouble)
    w = np.ones(len(y), np.longdouble) if w is None else w.astype(np.longdouble)
    p, y = p - (w @ p) / w.sum(), y - (w @ y) / w.sum()
    spread = w @ (p * p)
    return float(w @ (y * y) - ((w @ (p * y)) ** 2 / spread if spread > 0 else 0))


@pytest.mark.parametrize("dtype", EPS)
@pytest.mark.parametrize("rows", [1, 2, 7, 8, 9, 20, 63, 130])
@pytest.mark.parametrize("weighted", [False, True])
def test_sse_of_every_operator(rows: int, dtype: str, weighted: bool, on_target: str) -> None:
    x, y, w = data(rows, 19, dtype, rows, special=rows % 2 == 1)
    weights = w if weighted else None
    bank = engine.Bank(x, y, weights, dtype)
    for name in OPERATORS:
        best = bank.best_pairs([name], k=10_000)
        expected = {key: sse_of(p, y, weights) for key, p in candidates(x, (name,)).items()}
        finite = {key: loss for key, loss in expected.items() if loss < float(np.finfo(dtype).max) * 0.99}
        assert set(keys(best)) == set(finite), name
        np.testing.assert_allclose(best.loss, [expected[key] for key in keys(best)], rtol=(rows + 8) * EPS[dtype])
        assert sorted(zip(best.loss.tolist(), keys(best), strict=True)) == list(zip(best.loss.tolist(), keys(best), strict=True))


@pytest.mark.parametrize("dtype", EPS)
@pytest.mark.parametrize("k", [1, 3, 50])
@pytest.mark.parametrize("special", [False, True])
def test_the_k_best_are_the_first_of_all(dtype: str, k: int, special: bool, on_target: str) -> None:
    x, y, w = data(20, 101, dtype, k, special)
    bank = engine.Bank(x, y, w, dtype)
    every, few = bank.best_pairs(OPERATORS, k=200_000), bank.best_pairs(OPERATORS, k=k)
    for a, b in zip(few, every, strict=True):
        np.testing.assert_array_equal(a, b[:k])


@pytest.mark.parametrize("dtype", EPS)
@pytest.mark.parametrize("rows", [3, 20, 130])
@pytest.mark.parametrize("weighted", [False, True])
def test_affine_loss(rows: int, dtype: str, weighted: bool, on_target: str) -> None:
    x, y, w = data(rows, 19, dtype, rows + 1)
    x = x + x.dtype.type(1000)  # a large mean must cost no digits
    weights = w.astype(dtype) if weighted else None
    best = engine.Bank(x, y, weights, dtype).best_pairs(OPERATORS, k=10_000, loss="affine")
    every = candidates(x, OPERATORS)
    assert set(keys(best)) == set(every)
    total = affine_of(np.zeros_like(y), y, weights)
    expected = [affine_of(every[key], y, weights) for key in keys(best)]
    np.testing.assert_allclose(best.loss, expected, rtol=1e-9, atol=1e-9 * total)


def test_affine_finds_the_shifted_and_scaled(on_target: str) -> None:
    x, _, _ = data(20, 40, "float64", 5)
    best = engine.Bank(x, 1e6 + 1e-3 * (x[3] / x[17])).best_pairs(k=1, loss="affine")
    assert keys(best) == [(OPCODE["FDIV"], 3, 17)]
    assert best.loss[0] < 1e-16


def test_a_spread_of_rounding_errors_is_none() -> None:
    x = np.random.default_rng(0).uniform(1, 2, (2, 20))
    x[1] = 3 * x[0]
    y = np.random.default_rng(1).normal(size=20)
    best = engine.Bank(x, y).best_pairs(["FDIV"], k=4, loss="affine")
    np.testing.assert_allclose(best.loss, np.sum((y - y.mean()) ** 2))


@pytest.mark.parametrize("dtype", EPS)
@pytest.mark.parametrize("loss", ["sse", "affine"])
def test_same_bits_for_every_target_and_number_of_threads(dtype: str, loss: str) -> None:
    x, y, w = data(37, 333, dtype, 9, special=True)
    x[100:150] = x[200:250]  # ties
    bank, seen, before = engine.Bank(x, y, w, dtype), [], engine.target()
    try:
        for target in engine.targets():
            engine.set_target(target)
            for threads in (1, 2, 8):
                best = bank.best_pairs(OPERATORS, k=70, loss=loss, n_threads=threads)
                found = bank.matches(OPERATORS, rel_tol=0.5, limit=50, n_threads=threads)
                digests = bank.digests("FDIV", range(3, 40), range(7, 90), n_threads=threads)
                seen.append(b"".join(a.tobytes() for a in (*best, *found[:3], digests)) + str(found.total).encode())
    finally:
        engine.set_target(before)
    assert len(set(seen)) == 1


def test_ties_are_ordered_by_opcode_and_columns(on_target: str) -> None:
    x = np.ones((50, 5))
    best = engine.Bank(x, np.ones(5)).best_pairs(OPERATORS, k=7, n_threads=2)
    assert keys(best) == [(OPCODE["MUL"], 0, j) for j in range(7)]
    assert not best.loss.any()


@pytest.mark.parametrize("name", OPERATORS)
def test_ranges(name: str, on_target: str) -> None:
    x, y, _ = data(6, 60, "float64", 3)
    bank = engine.Bank(x, y)
    for left, right in [(range(5, 9), range(60)), (range(3, 37), range(20, 55)), (range(0), range(4)), (range(59, 60), range(1))]:
        best = bank.best_pairs([name], k=10_000, left=left, right=right)
        asked = {(i, j) for i in left for j in right}
        if name in COMMUTING:
            asked = {(i, j) for i, j in asked if i <= j or (j, i) not in asked}
        assert {key[1:] for key in keys(best)} == asked
        assert len(best.left) == len(asked)


@pytest.mark.parametrize("dtype", EPS)
def test_layouts(dtype: str) -> None:
    x, y, _ = data(12, 31, dtype, 4)
    expected = engine.Bank(x, y, dtype=dtype).best_pairs(k=9)
    read_only = x.copy()
    read_only.flags.writeable = False
    wide = np.zeros((62, 36), dtype)
    wide[::2, ::3] = x
    for columns in (x.T, read_only, wide[::2, ::3], x[::-1][::-1], np.asfortranarray(x), memoryview(x), x.astype(np.float64)):
        for a, b in zip(engine.Bank(columns, y, dtype=dtype).best_pairs(k=9), expected, strict=True):
            np.testing.assert_array_equal(a, b)
    integers = np.arange(24).reshape(2, 12)
    assert engine.Bank(integers, integers[0] * integers[1], dtype=dtype).best_pairs(k=1).loss[0] == 0


# ---- equality -------------------------------------------------------------------------------------------------------


def isclose_all(p: Array, y: Array, rel: float, absolute: float) -> bool:
    return all(math.isclose(float(a), float(b), rel_tol=rel, abs_tol=absolute) for a, b in zip(p, y, strict=True))


@pytest.mark.parametrize("dtype", EPS)
def test_matches_are_what_isclose_says(dtype: str, on_target: str) -> None:
    rng = np.random.default_rng(2)
    x = rng.integers(-2, 3, (37, 3)).astype(dtype)
    x[5, 1], x[6, 1], x[7, 0] = np.nan, np.inf, -np.inf
    for y in (np.array([1.0, 2.0, -1.0]), np.array([0.0, np.inf, 1.0]), np.array([0.0, 1.0, np.nan])):
        found = engine.Bank(x, y, dtype=dtype).matches(OPERATORS)
        expected = [key for key, p in candidates(x, OPERATORS).items() if isclose_all(p, y, 1e-6, 1e-9)]
        assert keys(found) == expected[:1000]
        assert found.total == len(expected)


EDGE = st.sampled_from([0.0, -0.0, 1.0, 1e-9, 1e-300, 5e-324, 1.7976931348623157e308, math.inf, -math.inf, math.nan])


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_matches_on_borderline_values(draw: st.DataObject) -> None:
    value = draw.draw(st.floats() | EDGE)
    rel, absolute = draw.draw(st.sampled_from([1e-6, 0.0, 0.25])), draw.draw(st.sampled_from([1e-9, 0.0, 1.0]))
    gap = max(rel * abs(value), absolute)
    near = [value, value + gap, value - gap, value / (1 - rel) if rel else value]
    near = [math.nextafter(v, to) if to else v for v in near for to in (0, math.inf, -math.inf)]
    y = draw.draw(st.sampled_from(near) | st.floats())
    dtype = draw.draw(st.sampled_from(list(EPS)))
    bank = engine.Bank(np.array([[value], [0.0]]), None if math.isnan(y) else [y], dtype=dtype)
    if math.isnan(y):
        return
    p = np.array([value]).astype(dtype)
    for target in engine.targets():
        engine.set_target(target)
        found = bank.matches(["ADD"], rel, absolute, left=range(1), right=range(1, 2))
        assert found.total == isclose_all(p + p.dtype.type(0), np.array([y]), rel, absolute)
    engine.set_target(engine.targets()[0])


def test_matches_stop_at_the_limit() -> None:
    bank = engine.Bank(np.ones((40, 3)), np.ones(3))
    found = bank.matches(["MUL", "DIV"], limit=5)
    assert found.total == 40 * 41 // 2 + 1600
    assert keys(found) == [(OPCODE["MUL"], 0, j) for j in range(5)]


# ---- digests and values ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", EPS)
@pytest.mark.parametrize("name", OPERATORS)
def test_values_and_their_digests(name: str, dtype: str, on_target: str) -> None:
    x, y, _ = data(9, 21, dtype, 6, special=True)
    bank = engine.Bank(x, y, dtype=dtype)
    i, j = (a.ravel() for a in np.indices((21, 21)))
    values = bank.values(i, name, j, n_threads=2)
    np.testing.assert_array_equal(values, apply(name, x[i], x[j]))
    assert values.dtype == dtype
    np.testing.assert_array_equal(bank.digests(name).reshape(-1, 2), bank.digests_of(values))
    np.testing.assert_array_equal(bank.digests(name, range(3, 17), range(5, 6)), bank.digests(name)[3:17, 5:6])
    np.testing.assert_array_equal(bank.digests_of(x), bank.digests_of())


def test_chosen_candidates_as_columns() -> None:
    x, y, _ = data(9, 21, "float64", 6)
    bank = engine.Bank(x, y)
    best = bank.best_pairs(OPERATORS, k=20)
    losses = [sse_of(p, y, None) for p in bank.values(*best[:3])]
    np.testing.assert_allclose(losses, best.loss, rtol=1e-13)


LARGEST_FINITE = sys.float_info.max * (1 - 1e-8)


def test_the_largest_floats_round_to_infinity() -> None:
    x = np.array([[0.0, -np.inf, 1.0], [0.0, -sys.float_info.max, 1.0], [0.0, -LARGEST_FINITE, 1.0]])
    first, second, third = engine.Bank(x).digests_of().tolist()
    assert first == second != third


@settings(deadline=None, max_examples=200)
@example([0.0, -math.inf, 0.0, -1.7976931348614984e308], random.Random(0))
@given(st.lists(st.floats() | st.sampled_from([0.0, 1.0, 2.0]), min_size=2, max_size=40), st.randoms(use_true_random=False))
def test_equal_columns_have_equal_digests_and_permuted_ones_not(column: list[float], shuffler: random.Random) -> None:
    shuffled = column.copy()
    shuffler.shuffle(shuffled)
    again = [-v if v == 0 else v for v in column]
    bank = engine.Bank(np.array([column, shuffled, again, column]), np.zeros(len(column)) + range(len(column)))
    digests = [tuple(d) for d in bank.digests_of().tolist()]
    assert digests[0] == digests[2] == digests[3]
    plain = engine.Bank(np.array([column]))  # the order in which a bank keeps its rows plays no part
    assert tuple(plain.digests_of()[0].tolist()) == digests[0]
    # By more than the digests round; two decimals that round apart may be one bit from each other, the largest round to infinity.
    rounded = [[math.copysign(math.inf, v) if abs(v) > LARGEST_FINITE else v for v in values] for values in (column, shuffled)]
    if any(not (math.isclose(a, b, rel_tol=1e-8) or (a != a and b != b)) for a, b in zip(*rounded, strict=True)):
        assert digests[0] != digests[1]


def test_digests_round() -> None:
    x = np.random.default_rng(0).normal(size=(500, 20))
    x[:, ::2] = np.round(x[:, ::2] * 64) / 64
    bank = engine.Bank(np.vstack([x, x * (1 + 2.0**-50), x * (1 + 2.0**-36)]))
    a, b, c = np.split(bank.digests_of(), 3)
    assert (a == b).all(axis=1).mean() > 0.95  # but for those on a boundary
    assert not (a == c).any()
    assert len(np.unique(a, axis=0)) == 500
    assert not np.array_equal(bank.digests_of(significand=53)[:500], bank.digests_of(significand=53)[500:1000])
    nan = engine.Bank(np.array([np.nan, -np.nan, math.inf]).reshape(3, 1)).digests_of()
    assert np.array_equal(nan[0], nan[1])
    assert not np.array_equal(nan[0], nan[2])


def test_digests_of_small_grids_do_not_collide() -> None:
    grid = np.stack(np.meshgrid(*[np.arange(16.0)] * 4, indexing="ij")).reshape(4, -1).T
    digests = engine.Bank(grid, dtype="float64").digests_of()
    assert len(np.unique(digests[:, 0])) == len(np.unique(digests[:, 1])) == len(grid)


# ---- refusals -------------------------------------------------------------------------------------------------------

X, Y = np.arange(12.0).reshape(3, 4), np.arange(4.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((X, Y, None, "int32"), "dtype must be"),
        ((X, Y, None, "nonsense"), "dtype must be"),
        ((X.astype(complex), Y), "bools, ints or floats"),
        ((X[0], Y), "2 dimensions"),
        ((X, X), "1 dimension"),
        ((X, np.arange(5.0)), "do not fit"),
        ((np.empty((3, 0)), np.empty(0)), "at least one row"),
        ((np.empty((0, 4)), Y), "at least one column"),
        ((X, Y * np.nan), "NaN"),
        ((X, Y, -Y), "negative"),
        ((X, Y, Y * 0), "nothing"),
        ((X, Y, Y[1:]), "sample_weight"),
        ((X, Y, Y + np.inf), "weight"),
        (([[1.0], [2.0, 3.0]], Y), "no array"),
    ],
)
def test_a_bad_bank_is_refused(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        engine.Bank(*arguments)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda b: b.best_pairs(["NOPE"]), "no operator 'NOPE'"),
        (lambda b: b.best_pairs(["NEG"]), "not a binary"),
        (lambda b: b.best_pairs(["POW"]), "does not know POW"),
        (lambda b: b.best_pairs([99]), "no operator 99"),
        (lambda b: b.best_pairs("ADD"), "list"),
        (lambda b: b.best_pairs([]), "no operators"),
        (lambda b: b.best_pairs(k=0), "k must be"),
        (lambda b: b.best_pairs(k=1.5), "k must be"),
        (lambda b: b.best_pairs(loss="mae"), "loss must be"),
        (lambda b: b.best_pairs(left=range(4)), "left is"),
        (lambda b: b.best_pairs(right=range(-1, 2)), "right is"),
        (lambda b: b.best_pairs(right=range(0, 3, 2)), "step 1"),
        (lambda b: b.best_pairs(n_threads=0), "n_threads"),
        (lambda b: b.matches(rel_tol=-1), "tolerances"),
        (lambda b: b.matches(limit=0), "limit must be"),
        (lambda b: b.digests("ADD", significand=54), "significand"),
        (lambda b: b.digests("NEG"), "not a binary"),
        (lambda b: b.digests_of(X[:, :2]), "shape"),
        (lambda b: b.values([0], "ADD", [3]), "no column 3"),
        (lambda b: b.values([-1], "ADD", [0]), "no column -1"),
        (lambda b: b.values([0], [6], [0]), "opcode 6"),
        (lambda b: b.values([0, 1], "ADD", [0]), "same length"),
        (lambda b: b.values([0.5], "ADD", [0]), "ints"),
    ],
)
def test_a_bad_call_is_refused(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(engine.Bank(X, Y))


def test_scores_need_a_finite_target() -> None:
    with pytest.raises(ValueError, match="a target"):
        engine.Bank(X).best_pairs()
    with pytest.raises(ValueError, match="row 1 is not"):
        engine.Bank(X, [1, math.nan, 9, 3]).best_pairs()


def test_interrupt() -> None:
    import _thread
    import threading
    import time

    bank = engine.Bank(np.random.default_rng(0).normal(size=(8000, 400)), np.arange(400.0))
    timer, begin = threading.Timer(0.1, _thread.interrupt_main), time.monotonic()
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        bank.best_pairs(OPERATORS, loss="affine")
    assert time.monotonic() - begin < 3
