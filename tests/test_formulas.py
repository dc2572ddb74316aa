"""Formulas over float columns: values, scores and verdicts against numpy, on every target."""

from __future__ import annotations

import math
import os
import random
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from formula_reference import FUNCTIONS, OPERATIONS, evaluate, random_formulas, same_bits
from hypothesis import given, settings
from hypothesis import strategies as st

from nssr import engine, primitives

KINDS = [np.float64, np.float32]
TARGETS = engine.targets()
# Few rows run directly, many in chains: from one row to several tiles, with every kind of last block.
ROWS = [1, 2, 3, 7, 8, 9, 20, 31, 33, 64, 100, 127, 130, 200, 257, 300, 511, 513, 700, 1024, 1500, 5001]
V, K = primitives.TOKEN_VARIABLE, primitives.TOKEN_FLOAT
ADD, MUL = primitives.BY_NAME["ADD"].opcode, primitives.BY_NAME["MUL"].opcode
EDGES = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, 3.0, -7.25, 1e-300, 5e-324, 1e300, -1e300, math.inf, -math.inf, math.nan, math.pi]


@pytest.fixture(params=TARGETS)
def target(request: pytest.FixtureRequest) -> Iterator[str]:
    before = engine.target()
    engine.set_target(request.param)
    yield request.param
    engine.set_target(before)


def columns(rows: int, n: int, seed: int) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(seed)
    X = rng.choice([rng.normal(0, 2, (rows, n)), rng.uniform(0.1, 3, (rows, n))])
    rare = rng.random((rows, n)) < 0.02
    X[rare] = rng.choice(EDGES, rare.sum())
    return X


def kind_id(kind: type) -> str:
    return kind.__name__


# ---- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS, ids=kind_id)
@pytest.mark.parametrize("rows", ROWS)
def test_random_programs_have_the_bits_of_numpy(rows: int, kind: type, target: str) -> None:
    rng = random.Random(rows)
    flat = random_formulas(rng, 60, 4)
    X = columns(rows, 4, rows)
    got = engine.Formulas(*flat).predict(engine.Columns(X, dtype=kind))
    tokens, operands, constants, offsets = flat
    for i in range(60):
        part = slice(offsets[i], offsets[i + 1])
        want = evaluate(tokens[part], operands[part], constants, X, kind)
        bad = np.flatnonzero(~same_bits(got[i], want))
        assert not len(bad), (i, tokens[part].tolist(), got[i, bad[0]], want[bad[0]], X[bad[0]])


@pytest.mark.parametrize("name", [p.name for p in OPERATIONS if p.arity])
def test_operations_mean_what_the_reference_says(name: str, target: str) -> None:
    p = primitives.BY_NAME[name]
    assert p.meaning is not None
    rows = [[a, b, c] for a in EDGES for b in EDGES for c in EDGES[:3]]
    tokens = [V] * p.arity + [p.opcode]
    for X in (np.array(rows)[:100], np.array(rows)):  # one run directly, one in a chain
        got = engine.Formulas(tokens, [*range(p.arity), 0], [], [0, len(tokens)]).predict(engine.Columns(X))[0]
        for value, row in zip(got.tolist(), X.tolist(), strict=True):
            want = float(p.meaning(row[: p.arity]))
            if name in FUNCTIONS:
                assert math.isclose(value, want, rel_tol=2e-15) or (math.isnan(value) and math.isnan(want)), (row, value, want)
            else:
                assert value == want or (math.isnan(value) and math.isnan(want)), (row, value, want)


@pytest.mark.parametrize("kind", KINDS, ids=kind_id)
@pytest.mark.parametrize("rows", [5, 90, 1300])
def test_constants_give_the_bits_of_constant_columns(rows: int, kind: type, target: str) -> None:
    tokens, operands, constants, offsets = random_formulas(random.Random(rows), 80, 3)
    X = columns(rows, 3, rows + 1)
    folded = engine.Formulas(tokens, operands, constants, offsets).predict(engine.Columns(X, dtype=kind))
    wide = np.column_stack([X, np.broadcast_to(constants, (rows, len(constants)))])
    is_constant = tokens == K
    columns_only = engine.Formulas(
        np.where(is_constant, V, tokens), np.where(is_constant, operands + 3, operands), constants, offsets
    )
    assert same_bits(folded, columns_only.predict(engine.Columns(wide, dtype=kind))).all()


def test_arithmetic_has_the_same_bits_on_all_targets() -> None:
    tokens, operands, constants, offsets = random_formulas(random.Random(5), 300, 4)
    functions = {primitives.BY_NAME[f].opcode for f in FUNCTIONS}
    plain = [i for i in range(300) if not functions & set(tokens[offsets[i] : offsets[i + 1]].tolist())]
    assert len(plain) > 20
    before = engine.target()
    for kind in KINDS:
        for rows in (77, 900):
            data = engine.Columns(columns(rows, 4, 9), dtype=kind)
            results = []
            for name in TARGETS:
                engine.set_target(name)
                results.append(engine.Formulas(tokens, operands, constants, offsets).predict(data)[plain])
            engine.set_target(before)
            assert all(same_bits(results[0], other).all() for other in results[1:])


def test_deep_and_wide_programs() -> None:
    X = np.random.default_rng(0).uniform(1, 2, (40, 3000))
    depth, width = 512, 3000
    deep = [V] * depth + [ADD] * (depth - 1)
    wide = [V] + [V, ADD] * (width - 1)
    tokens = np.array(deep + wide)
    operands = np.array([i % 7 for i in range(depth)] + [0] * (depth - 1) + [0] + [i for j in range(1, width) for i in (j, 0)])
    formulas = engine.Formulas(tokens, operands, [], [0, len(deep), len(tokens)])
    for rows in (X, np.repeat(X, 50, axis=0)):
        got = formulas.predict(engine.Columns(rows))
        assert np.allclose(got[0], rows[:, [i % 7 for i in range(depth)]].sum(axis=1), rtol=1e-12)
        assert np.allclose(got[1], rows.sum(axis=1), rtol=1e-12)


# ---- scores -----------------------------------------------------------------------------------------------------------


def by_numpy(p: np.ndarray[Any, Any], y: np.ndarray[Any, Any], w: np.ndarray[Any, Any]) -> dict[str, float]:
    p, y, w = p[w != 0].astype(np.longdouble), y[w != 0].astype(np.longdouble), w[w != 0].astype(np.longdouble)
    if not np.isfinite(p).all():
        return dict(sse=math.inf, mse=math.inf, mae=math.inf, r2=-math.inf, correlation=math.nan, affine_r2=-math.inf)
    total, mean, middle = w.sum(), (w * y).sum() / w.sum(), (w * p).sum() / w.sum()
    sse, spread, gap = (w * (p - y) ** 2).sum(), (w * (y - mean) ** 2).sum(), (w * (p - middle) ** 2).sum()
    r = (w * (p - middle) * (y - mean)).sum() / np.sqrt(spread * gap) if gap > 0 else np.longdouble(math.nan)
    return dict(
        sse=float(sse), mse=float(sse / total), mae=float((w * abs(p - y)).sum() / total), r2=float(1 - sse / spread),
        correlation=float(r), affine_r2=0.0 if math.isnan(r) else float(r * r),
    )  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=kind_id)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("rows", [2, 9, 20, 100, 300, 777, 2600])
def test_scores(rows: int, weighted: bool, kind: type, target: str) -> None:
    rng = np.random.default_rng(rows)
    X = rng.uniform(0.1, 3, (rows, 4)).astype(kind)
    y = rng.normal(3, 1, rows).astype(kind)
    w = rng.choice([0.0, 0.5, 1.0, 2.0], rows).astype(kind) if weighted else np.ones(rows, kind)
    w[0] = 1
    if weighted:
        X[w == 0] = np.nan  # such rows do not count
    flat = random_formulas(random.Random(rows), 150, 4)
    formulas, data = engine.Formulas(*flat), engine.Columns(X, y, w if weighted else None, dtype=kind)
    predictions = formulas.predict(data)
    scores = formulas.score(data)
    tolerance = 1e-10 if kind is np.float64 else 2e-4
    checked = 0
    for i, p in enumerate(predictions):
        size = np.abs(p[w != 0]).astype(float)
        if np.isfinite(p[w != 0]).all() and (not 1e-6 < size.max() < 1e6 or np.ptp(p[w != 0].astype(float)) < 1e-3 * size.max()):
            continue  # its squares leave the range of floats, or a spread is all rounding
        checked += 1
        for name, want in by_numpy(p, y, w).items():
            got = float(scores[name][i])
            close = math.isclose(got, want, rel_tol=tolerance, abs_tol=tolerance) or (math.isnan(got) and math.isnan(want))
            assert close, (i, name, got, want)
    assert checked > 40
    alone = {name: formulas.score(data, name)[name] for name in engine.formulas.SCORES}
    for name, values in alone.items():
        assert same_bits(values, scores[name]).all(), "a score depends on what else is asked for"


def test_a_constant_prediction_has_no_correlation() -> None:
    for rows in (10, 2000):
        data = engine.Columns(np.arange(rows * 1.0).reshape(-1, 1), np.arange(rows) * 2.0, dtype=np.float32)
        scores = engine.Formulas([K, V], [0, 0], [123.456], [0, 1, 2]).score(data)
        assert math.isnan(scores["correlation"][0])
        assert scores["affine_r2"].tolist()[0] == 0
        assert scores["correlation"][1] == pytest.approx(1, rel=1e-6)


# ---- verdicts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, 8, 50, 300, 4000])
def test_verdicts_are_those_of_isclose(rows: int, target: str) -> None:
    rng = np.random.default_rng(rows)
    X = rng.uniform(-5, 5, (rows, 1))
    y = X[:, 0].copy()
    for place in {0, rows // 2, rows - 1}:
        for gap in (0.0, 0.9e-6, 1.1e-6, 1e-3, math.nan, math.inf):
            wanted = y.copy()
            wanted[place] += abs(wanted[place]) * gap
            got = engine.Formulas([V], [0], [], [0, 1]).validate(engine.Columns(X, wanted))
            holds = all(math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9) for a, b in zip(y.tolist(), wanted.tolist(), strict=True))
            assert got.tolist() == [int(holds)], (place, gap)


def test_a_right_program_among_wrong_ones_passes_for_any_number_of_rows(target: str) -> None:
    flat = random_formulas(random.Random(1), 400, 3)
    for kind in KINDS:
        for rows in (3, 100, 2000):
            X = np.random.default_rng(rows).uniform(0.5, 2, (rows, 3))
            data = engine.Columns(X, dtype=kind)
            predictions = engine.Formulas(*flat).predict(data)
            pick = next(i for i in range(50, 400) if np.isfinite(predictions[i]).all() and np.ptp(predictions[i]) > 0)
            wanted = predictions[pick]
            got = engine.Formulas(*flat).validate(engine.Columns(X, wanted, dtype=kind))
            with np.errstate(all="ignore"):
                p, t = predictions.astype(kind), wanted.astype(kind)
                gap = np.abs(t - p)
                near = (gap <= np.abs(t) * kind(1e-6)) | (gap <= np.abs(p) * kind(1e-6)) | (gap <= kind(1e-9))
                want = ((p == t) | (near & np.isfinite(p))).all(axis=1)
            assert got.tolist() == want.astype(int).tolist()
            assert got[pick] == 1


# ---- threads, forks, interrupts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [20, 700, 20_000])
def test_threads_change_no_bits(rows: int) -> None:
    flat = random_formulas(random.Random(2), 90, 4)
    X = columns(rows, 4, 3)
    formulas, data = engine.Formulas(*flat), engine.Columns(X, np.nan_to_num(X[:, 0], posinf=1, neginf=1))
    predictions, scores, passes = formulas.predict(data), formulas.score(data), formulas.validate(data)
    for n in (2, 8):
        assert same_bits(formulas.predict(data, n_threads=n), predictions).all()
        assert formulas.validate(data, n_threads=n).tolist() == passes.tolist()
        for name, values in formulas.score(data, n_threads=n).items():
            assert same_bits(values, scores[name]).all()


def test_callers_may_share_programs_and_data() -> None:
    flat = random_formulas(random.Random(3), 200, 4)
    formulas = engine.Formulas(*flat)
    sets = [engine.Columns(columns(rows, 4, rows), dtype=kind) for rows in (20, 90, 800) for kind in KINDS]
    want = [formulas.predict(data) for data in sets]
    with ThreadPoolExecutor(8) as pool:
        jobs = [(i, pool.submit(formulas.predict, sets[i], n_threads=1 + i % 2)) for _ in range(20) for i in range(len(sets))]
        assert all(same_bits(job.result(), want[i]).all() for i, job in jobs)


def test_a_forked_child_goes_on() -> None:
    formulas = engine.Formulas(*random_formulas(random.Random(4), 100, 2))
    data = engine.Columns(columns(3000, 2, 1))
    want = formulas.predict(data, n_threads=2)
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if same_bits(formulas.predict(data, n_threads=2), want).all() else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0


def test_ctrl_c_stops_a_run() -> None:
    n = 60_000
    formulas = engine.Formulas(np.tile([V, V, MUL, V, ADD], n), np.zeros(5 * n, int), [], np.arange(n + 1) * 5)
    data = engine.Columns(np.ones((200_000, 1)), np.zeros(200_000))
    assert threading.current_thread() is threading.main_thread()
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    before = signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        with pytest.raises(KeyboardInterrupt):
            formulas.score(data, ["mse"], n_threads=2)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# ---- what is taken and what is refused ---------------------------------------------------------------------------------


def test_any_memory_is_taken() -> None:
    formulas = engine.Formulas([V, V, MUL], [0, 1, 0], [], [0, 3])
    X = np.arange(60.0).reshape(20, 3)
    want = X[:, 0] * X[:, 1]
    frozen = X.copy()
    frozen.flags.writeable = False
    odd = np.frombuffer(b"x" + X.tobytes(), dtype=np.uint8)[1:].view(np.float64).reshape(20, 3)
    given: list[Any] = [
        X, np.asfortranarray(X), frozen, X[::-1][::-1], np.repeat(X, 2, axis=0)[::2], odd, X.astype(np.float32), X.astype(int),
        X.astype(">f8"), X.tolist(), [X[:, 0], X[:, 1]], memoryview(X), X.astype(np.float16),
    ]  # fmt: skip
    for x in given:
        assert formulas.predict(engine.Columns(x))[0].tolist() == want.tolist()
    out = np.full((2, 30), -1.0)
    part = out[::2, 5:25]
    assert formulas.predict(engine.Columns(X), out=part) is part
    assert out[0, 5:25].tolist() == want.tolist()
    assert (out[1] == -1).all()
    assert (out[0, :5] == -1).all()
    assert (out[0, 25:] == -1).all()


BAD_PROGRAMS = [
    ([], [], "program 1, position 0: it is empty"),
    ([V, ADD], [0, 0], "program 1, position 1: ADD lacks operands"),
    ([ADD], [0], "program 1, position 0: ADD lacks operands"),
    ([V, V], [0, 0], "program 1, position 1: it leaves 2 values, not one"),
    ([V], [2], "program 1, position 0: it names column 2, there are 2"),
    ([V], [-1], "program 1, position 0: it names column -1, there are 2"),
    ([K], [1], "program 1, position 0: it names constant 1, there are 1"),
    ([V, 200], [0, 0], "program 1, position 1: there is no operation 200"),
    ([V, -7], [0, 0], "program 1, position 1: there is no operation -7"),
    ([V, 70_000], [0, 0], "program 1, position 1: there is no operation 70000"),
    ([V, V, 0], [0, 0, 0], "program 1, position 2: OR has no meaning among floats"),
    ([V, V, 18], [0, 0, 0], "program 1, position 2: LOOP has no meaning among floats"),
    ([V, 252], [0, 0], "program 1, position 1: a call has no meaning among floats"),
    ([V] * 513 + [ADD] * 512, [0] * 1025, "program 1, position 512: more than 512 values wait"),
    ([V] + [V, ADD] * 8192, [0] * 16385, "program 1, position 0: it has more than 16384 tokens"),
]


@pytest.mark.parametrize(("tokens", "operands", "words"), BAD_PROGRAMS, ids=[w.split(": ")[1][:30] for _, _, w in BAD_PROGRAMS])
@pytest.mark.parametrize("rows", [5, 1000])
def test_malformed_programs_are_named(tokens: list[int], operands: list[int], words: str, rows: int) -> None:
    data = engine.Columns(np.ones((rows, 2)), np.ones(rows))
    # Another one follows, and good ones around: the first is named, for any number of threads.
    flat = [[V], tokens, [V], [ADD]] + [[V]] * 600
    what = [[0], operands, [1], [0]] + [[0]] * 600
    offsets = np.cumsum([0, *map(len, flat)])
    formulas = engine.Formulas(np.concatenate(flat).astype(int), np.concatenate(what).astype(int), [1.0], offsets)
    for call in (formulas.predict, formulas.score, formulas.validate):
        for n in (1, 4):
            with pytest.raises(ValueError, match=words):
                call(data, n_threads=n)
    with pytest.raises(ValueError, match=words):
        formulas.check(2)


def test_offsets_that_run_backwards_are_named() -> None:
    data = engine.Columns(np.ones((5, 1)), np.ones(5))
    for offsets in ([0, 2, 1, 3], [0, 9, 10], [-1, 1], [0, 1, -5]):
        with pytest.raises(ValueError, match=r"program [01], position \d+: it"):
            engine.Formulas([V, V, V], [0, 0, 0], [], offsets).predict(data)


def test_refusals() -> None:
    X = np.ones((4, 2))
    with pytest.raises(ValueError, match="at least one row"):
        engine.Columns(np.ones((0, 2)))
    with pytest.raises(ValueError, match="X must have at least one column"):
        engine.Columns(np.ones((3, 0)))
    with pytest.raises(ValueError, match="X must have 2 dimensions, it has 1"):
        engine.Columns(np.ones(3))
    with pytest.raises(ValueError, match="X must hold real numbers"):
        engine.Columns(np.ones((3, 2), dtype=complex))
    with pytest.raises(ValueError, match="X must hold real numbers"):
        engine.Columns([["a", "b"]])
    with pytest.raises(ValueError, match="y must have 1 dimension"):
        engine.Columns(X, np.ones((4, 1)))
    with pytest.raises(ValueError, match="the target has 3 rows, others have 4"):
        engine.Columns(X, np.ones(3))
    with pytest.raises(ValueError, match="float64 or float32, not in int64"):
        engine.Columns(X, dtype=int)
    for w in ([1, 1, -1, 1], [1, math.nan, 1, 1], [1, 1, 1, math.inf]):
        with pytest.raises(ValueError, match=r"the weight of row \d is negative or not finite"):
            engine.Columns(X, np.ones(4), w)
    with pytest.raises(ValueError, match="sum above 0"):
        engine.Columns(X, np.ones(4), np.zeros(4))
    huge = np.lib.stride_tricks.as_strided(np.ones(1), (2**31, 1), (0, 0))
    with pytest.raises(ValueError, match=r"less than 2\*\*31 rows"):
        engine.Columns(huge)

    with pytest.raises(ValueError, match="no programs"):
        engine.Formulas([], [], [], [0])
    with pytest.raises(ValueError, match="3 tokens and 2 operands"):
        engine.Formulas([V, V, ADD], [0, 1], [], [0, 3])
    with pytest.raises(ValueError, match="tokens must be of int32, not float64"):
        engine.Formulas([1.5], [0], [], [0, 1])
    with pytest.raises(ValueError, match="operands holds numbers beyond int32"):
        engine.Formulas([V], [2**40], [], [0, 1])
    with pytest.raises(ValueError, match="tokens must have one dimension"):
        engine.Formulas([[V]], [0], [], [0, 1])

    good = engine.Formulas([V], [0], [], [0, 1])
    with pytest.raises(ValueError, match="need columns with a target"):
        good.score(engine.Columns(X))
    with pytest.raises(ValueError, match="needs columns with a target"):
        good.validate(engine.Columns(X))
    data = engine.Columns(X, np.ones(4))
    with pytest.raises(ValueError, match="no score 'rmse'; choose from"):
        good.score(data, ["rmse"])
    with pytest.raises(ValueError, match="tolerances must not be negative"):
        good.validate(data, rel_tol=-1)
    for n in (0, -3, 1000):
        with pytest.raises(ValueError, match="n_threads must be from 1 to 256"):
            good.predict(data, n_threads=n)
    locked = np.ones((1, 4))
    locked.flags.writeable = False
    for out, words in [
        (np.ones((1, 4), np.float32), "array of float64"), (np.ones((1, 5)), r"shape \(1, 4\)"), (np.ones(4), "shape"),
        (locked, "writable"), (np.ones((1, 8))[:, ::2], "next to each other"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=f"out must.*{words}"):
            good.predict(data, out=out)
    overlapping = np.lib.stride_tricks.as_strided(np.ones(4), (2, 4), (0, 8))
    with pytest.raises(ValueError, match="apart from one another"):
        engine.Formulas([V, V], [0, 1], [], [0, 1, 2]).predict(data, out=overlapping)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_whatever_the_arrays_hold_nothing_breaks(data: st.DataObject) -> None:
    known = [V, K, primitives.TOKEN_INT, *(p.opcode for p in primitives.ALL)]
    n = data.draw(st.integers(1, 60))
    tokens = data.draw(st.lists(st.one_of(st.sampled_from(known), st.integers(-300, 300)), min_size=n, max_size=n))
    operands = data.draw(st.lists(st.integers(-3, 5), min_size=n, max_size=n))
    cuts = sorted(data.draw(st.lists(st.integers(0, n), max_size=6)))
    offsets = data.draw(st.sampled_from([[0, *cuts, n], [0, n, *cuts], [*cuts, -1, n + 1]]))
    rows = data.draw(st.sampled_from([1, 9, 100, 1500]))
    table = engine.Columns(np.linspace(-2, 2, 3 * rows).reshape(rows, 3), np.ones(rows), dtype=data.draw(st.sampled_from(KINDS)))
    formulas = engine.Formulas(tokens, operands, [0.5, math.nan], offsets)
    fault = None
    try:
        formulas.check(3)
    except ValueError as error:
        fault = str(error)
    if fault is None:
        assert formulas.predict(table).shape == (len(formulas), rows)
        assert len(formulas.score(table)["r2"]) == len(formulas.validate(table)) == len(formulas)
        return
    for call in (formulas.predict, formulas.score, formulas.validate):
        with pytest.raises(ValueError) as found:
            call(table)
        assert str(found.value) == fault
