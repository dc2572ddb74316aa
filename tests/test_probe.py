"""Probes against numpy: every peel and transform, on every target; hits, limits, refusals."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from nssr import engine
from nssr.engine import probe

Array = np.ndarray[Any, Any]
MEANING = {
    "NEG": np.negative, "ABS": np.abs, "SQUARE": np.square, "CUBE": lambda a: a * a * a, "INV": lambda a: 1 / a, "SQRT": np.sqrt,
    "INC": lambda a: a + 1, "DEC": lambda a: a - 1, "EXP": np.exp, "LOG": np.log, "SIN": np.sin, "COS": np.cos, "TAN": np.tan,
    "ASIN": np.arcsin, "ACOS": np.arccos, "ATAN": np.arctan, "SINH": np.sinh, "COSH": np.cosh, "TANH": np.tanh,
}  # fmt: skip
PEEL = {
    "NONE": lambda t, v: np.broadcast_to(t, v.shape),
    "ADD": lambda t, v: t + v, "SUB": lambda t, v: t - v, "RSUB": lambda t, v: v - t,
    "MUL": lambda t, v: t * v, "DIV": lambda t, v: t / v, "RDIV": lambda t, v: v / t,
}  # fmt: skip

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def expected(values: Array, target: Array, op: str, transforms: Sequence[str], u1: Array, u2: Array) -> Array:
    """Keys, NaN where there is none."""
    with np.errstate(all="ignore"):
        r = PEEL[op](target, values)
        fine = np.isfinite(r).all(axis=1) & ((op == "NONE") | np.isfinite(values).all(axis=1))
        for name in transforms:
            for step in probe.COMPOUNDS.get(name, (name,)):
                r = MEANING[step](r)
                fine &= np.isfinite(r).all(axis=1)
        below = r @ u2
        fine &= np.abs(below) >= 1e-7 * np.linalg.norm(r, axis=1) * np.linalg.norm(u2)
        return np.where(fine, (r @ u1) / below, np.nan)


def data(n: int = 300, rows: int = 32, low: float = 0.1, high: float = 0.9, seed: int = 0) -> tuple[Array, Array, Array, Array]:
    rng = np.random.default_rng(seed)
    return rng.uniform(low, high, (n, rows)), rng.uniform(low, high, rows), *rng.normal(size=(2, rows))


@pytest.mark.parametrize("op", probe.PEELS)
@pytest.mark.parametrize("rows", [1, 5, 8, 20, 32, 67])
def test_peels_and_pairs_of_transforms(op: str, rows: int, on_target: str) -> None:
    values, target, u1, u2 = data(rows=rows)
    values[3, 0] = np.nan
    values[4, rows - 1] = np.inf
    values[5, rows // 2] = 0.0
    chains: list[list[str]] = [[], *([name] for name in (*probe.STEPS, *probe.COMPOUNDS))]
    chains += [["INV", "LOG"], ["LOGABS", "INV"], ["EXP", "INV"], ["SQUARE", "SQRT"], ["EXPM1", "ATAN"], ["SQRT", "LOG1P"]]
    for chain in chains:
        found = engine.probe_keys(values, target, op, chain, u1, u2)
        wanted = expected(values, target, op, chain, u1, u2)
        np.testing.assert_array_equal(np.isnan(found), np.isnan(wanted), err_msg=str(chain))
        # Keys of almost degenerate columns lose digits in any order of summation.
        np.testing.assert_allclose(found, wanted, rtol=1e-8, err_msg=str(chain))


@pytest.mark.parametrize("tol", [0.0, 1e-12, 1e-9, 1e-6, 1e-3])
def test_hits_are_all_pairs_within_the_tolerance(tol: float, on_target: str) -> None:
    values, target, u1, u2 = data(2000)
    keys = engine.probe_keys(values, target, "ADD", ["LOGABS"], u1, u2)
    rng = np.random.default_rng(1)
    near = keys[rng.integers(0, 2000, 700)] * (1 + rng.uniform(-2, 2, 700) * rng.choice([0, tol, 1e-7], 700))
    table = np.concatenate([near, near[:50], rng.normal(size=500), [np.nan, np.inf, 0.0, -0.0]])
    hits = engine.ProbeTable(table).probe(values, target, "ADD", ["LOGABS"], u1, u2, tol)
    reach = np.abs(keys) * tol
    with np.errstate(invalid="ignore"):
        wanted = (table >= (keys - reach)[:, None]) & (table <= (keys + reach)[:, None])
    pairs = set(zip(hits.column.tolist(), hits.id.tolist(), strict=True))
    assert pairs == set(zip(*(a.tolist() for a in np.nonzero(wanted)), strict=True))
    assert len(pairs) == len(hits.id) == hits.total
    np.testing.assert_array_equal(hits.key, keys[hits.column])
    order = list(zip(hits.column.tolist(), table[hits.id].tolist(), hits.id.tolist(), strict=True))
    assert order == sorted(order)


def test_finds_what_was_hidden(on_target: str) -> None:
    rng = np.random.default_rng(2)
    bank, w = rng.uniform(1, 2, (20_000, 32)), rng.uniform(1, 2, (5_000, 32))
    u = rng.normal(size=(2, 32))
    u -= u.mean(axis=1, keepdims=True)  # affine: added constants do not matter
    table = engine.ProbeTable(engine.probe_keys(w, np.ones(32), "MUL", [], *u))
    hidden = {"SUB": lambda v, r: r + v, "ADD": lambda v, r: r - v, "DIV": lambda v, r: r * v, "MUL": lambda v, r: r / v}
    for op, make in hidden.items():
        target = make(bank[12_345], np.exp(0.5 - 2 * w[4_321]))
        hits = table.probe(bank, target, op, ["LOG"], *u)
        assert (12_345, 4_321) in set(zip(hits.column.tolist(), hits.id.tolist(), strict=True))
        assert hits.total < 20


def test_limit_and_threads() -> None:
    values, target, u1, u2 = data(10_000)
    keys = engine.probe_keys(values, target, "MUL", ["SIN"], u1, u2)
    table = engine.ProbeTable(np.repeat(keys, 3))
    whole = table.probe(values, target, "MUL", ["SIN"], u1, u2)
    assert whole.total == len(whole.id) >= 30_000 - 3 * whole.rejected
    for n_threads in (1, 2, 8):
        for limit in (1, 100, 29_000, 10**6):
            part = table.probe(values, target, "MUL", ["SIN"], u1, u2, limit=limit, n_threads=n_threads)
            for a, b in zip(part[:3], whole[:3], strict=True):
                np.testing.assert_array_equal(a, b[:limit])
            assert part[3:] == whole[3:]


def test_slices_are_read_in_place() -> None:
    values, target, u1, u2 = data(1000)
    keys = engine.probe_keys(values, target, "SUB", [], u1, u2)
    np.testing.assert_array_equal(engine.probe_keys(values[100:300], target, "SUB", [], u1, u2), keys[100:300])
    values.flags.writeable = False
    np.testing.assert_array_equal(engine.probe_keys(values[:, ::-1], target[::-1], "SUB", [], u1[::-1], u2[::-1]).shape, (1000,))
    assert engine.probe_keys(values[:0], target, "SUB", [], u1, u2).shape == (0,)
    assert len(engine.ProbeTable([]).probe(values, target, "SUB", [], u1, u2).id) == 0


def test_same_keys_on_every_target_without_functions() -> None:
    values, target, u1, u2 = data(rows=37)
    before, seen = engine.target(), []
    try:
        for name in engine.targets():
            engine.set_target(name)
            seen.append(engine.probe_keys(values, target, "DIV", ["SQRT", "INV"], u1, u2))
    finally:
        engine.set_target(before)
    for other in seen[1:]:
        np.testing.assert_array_equal(seen[0], other)


def test_ctrl_c() -> None:
    values, target, u1, u2 = data(200_000, 64)
    table = engine.ProbeTable([1.0])
    chain = ["SINH", "TANH", "SIN", "TAN", "ATAN", "COSH", "EXP", "INV"]

    def run() -> None:
        while True:
            table.probe(values, target, "ADD", chain, u1, u2)

    threading.Timer(0.2, lambda: signal.raise_signal(signal.SIGINT)).start()
    start = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        run()
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"op": "POW"}, "no peel"),
        ({"transforms": ["OR"]}, "no transform"),
        ({"transforms": "LOG"}, "list of names"),
        ({"transforms": ["LOG"] * 9}, "at most 8"),
        ({"values": np.zeros(8)}, "dimensions"),
        ({"target": np.zeros(7)}, "per row"),
        ({"u1": np.zeros(9)}, "per row"),
        ({"values": np.zeros((3, 0)), "target": [], "u1": [], "u2": []}, "rows"),
        ({"tol": -1.0}, "tolerance"),
        ({"limit": 0}, "limit"),
        ({"n_threads": 0}, "n_threads"),
        ({"degenerate": -1.0}, "degenerate"),
    ],
)
def test_refusals(change: dict[str, Any], text: str) -> None:
    values, target, u1, u2 = data(3, 8)
    given = {"values": values, "target": target, "op": "ADD", "transforms": ["LOG"], "u1": u1, "u2": u2} | change
    with pytest.raises(ValueError, match=text):
        engine.ProbeTable([1.0]).probe(**given)
