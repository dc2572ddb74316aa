"""Growth against plain numpy (benchmarks/growth_reference.py): columns, counters, rules; the same for any threads."""

from __future__ import annotations

import signal
import threading
import time
from typing import Any

import numpy as np
import pytest

from benchmarks.growth_reference import MEANING, Reference, disagreement
from nssr import engine, primitives
from nssr.engine import growth

Array = np.ndarray[Any, Any]
ALL = tuple(name for name in growth.OPERATIONS if name != "FDIV")
RATIONAL = ("ADD", "SUB", "MUL", "DIV")
DROPPED = (
    "kept",
    "duplicate",
    "constant",
    "out_of_range",
    "non_finite",
    "inverse",
    "nesting",
    "constants",
    "dimension",
    "undecided",
)

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def leaves(n: int = 3, rows: int = 24, low: float = 0.5, high: float = 3.0, seed: int = 0) -> Array:
    return np.random.default_rng(seed).uniform(low, high, (n, rows))


def same(a: growth.Grown, b: growth.Grown) -> bool:
    names = ("values", "operation", "left", "right", "cost", "level_offsets")
    return (
        all(np.array_equal(getattr(a, n), getattr(b, n)) for n in names) and a.counters == b.counters and a.stopped == b.stopped
    )


@pytest.mark.parametrize("algebra", [True, False])
@pytest.mark.parametrize("low", [0.5, -2.0])
@pytest.mark.parametrize(
    ("operations", "max_cost"), [(ALL, 4), ((*RATIONAL, "SQRT", "SQUARE"), 5), (("MIN", "MAX", "NEG", "ABS", "SUB"), 5)]
)
def test_the_same_columns_and_counters_as_plain_numpy(
    operations: tuple[str, ...], max_cost: int, low: float, algebra: bool, on_target: str
) -> None:
    x = leaves(low=low)
    grown = engine.grow(x, operations, max_cost=max_cost, algebra=algebra)
    assert disagreement(grown, Reference(x, operations, max_cost=max_cost)) is None
    assert grown.stopped == "max_cost"
    assert grown.counters["generated"] == sum(grown.counters[name] for name in DROPPED)
    assert (grown.counters["by_algebra"] > 0) == algebra


@pytest.mark.parametrize("rows", [8, 9, 15, 16, 33, 64, 250])
def test_values_are_those_of_the_formulas(rows: int, on_target: str) -> None:
    x = leaves(rows=rows)
    grown = engine.grow(x, ALL, max_cost=4)
    formulas = grown.postfix(range(len(grown)))
    predicted = formulas.predict(engine.Columns(x.T))
    np.testing.assert_array_equal(predicted, grown.values)
    # One step from the operands' values, by numpy.
    names = {p.opcode: p.name for p in primitives.ALL}
    for i in range(0, len(grown), 7):
        if grown.operation[i] >= 254:
            continue
        a, b = grown.values[grown.left[i]], grown.values[max(grown.right[i], 0)]
        name = names[int(grown.operation[i])]
        expected = MEANING[name](a, b) if name in growth.BINARY else MEANING[name](a)
        np.testing.assert_allclose(grown.values[i], expected, rtol=1e-14)
        assert grown.cost[i] == growth.DEFAULT_COSTS[name] + grown.cost[grown.left[i]] + (
            grown.cost[grown.right[i]] if grown.right[i] >= 0 else 0
        )


def test_arrays_are_views(on_target: str) -> None:
    grown = engine.grow(leaves(), RATIONAL, max_cost=3)
    assert grown.values.flags.c_contiguous
    assert grown.values.flags.aligned
    assert not grown.values.flags.owndata
    assert grown.values.ctypes.data % 64 == 0
    assert not grown.values.flags.writeable
    assert (grown.values.dtype, grown.operation.dtype, grown.left.dtype, grown.right.dtype, grown.cost.dtype) == (
        np.float64, np.uint8, np.int32, np.int32, np.int16,
    )  # fmt: skip
    values, copy = grown.values, grown.values.copy()
    del grown  # the views keep the memory
    np.testing.assert_array_equal(values, copy)


@pytest.mark.parametrize("options", [{"max_cost": 5}, {"max_columns": 30_000}, {"memory": 20_000_000}])
def test_the_same_for_any_number_of_threads(options: dict[str, int], on_target: str) -> None:
    x = leaves(4, 32)
    one = engine.grow(x, ALL, n_threads=1, **options)  # type: ignore[arg-type]
    for n in (2, 8):
        assert same(one, engine.grow(x, ALL, n_threads=n, **options))  # type: ignore[arg-type]


def test_what_is_rational_is_the_same_on_every_target() -> None:
    before, seen = engine.target(), []
    try:
        for target in engine.targets():
            engine.set_target(target)
            seen.append(engine.grow(leaves(), (*RATIONAL, "SQRT", "MIN", "MAX"), max_cost=5))
    finally:
        engine.set_target(before)
    assert all(same(seen[0], other) for other in seen[1:])


def test_algebra_sees_through_rounding_errors() -> None:
    x = leaves(3, 64, 1.0, 10.0)
    grown = engine.grow(x, RATIONAL, max_cost=7, max_constants=1)
    assert grown.counters["duplicate"] == grown.counters["by_algebra"]
    values = grown.values[np.argsort(grown.values[:, 0])]
    assert not np.isclose(values[1:], values[:-1], rtol=1e-10).all(axis=1).any()


@pytest.mark.parametrize("memory", [16 << 20, 40_000_000, 150_000_000])
@pytest.mark.parametrize("rows", [16, 64])
def test_memory_is_used_and_kept_to(memory: int, rows: int) -> None:
    x = leaves(4, rows)
    grown = engine.grow(x, ALL, memory=memory)
    assert grown.stopped == "memory"
    assert grown.bytes <= memory
    if memory >= 40_000_000:
        assert grown.bytes >= 0.9 * memory
    whole = engine.grow(x, ALL, max_columns=len(grown), memory=1_000_000_000)
    np.testing.assert_array_equal(grown.values, whole.values)  # the first columns of a larger growth


def test_columns_without_values_need_less_memory() -> None:
    x = leaves(4, 64)
    stored, unstored = (engine.grow(x, ALL, memory=100_000_000, max_cost=7, store_last=s) for s in (True, False))
    assert unstored.stopped == "memory"
    assert 90_000_000 <= unstored.bytes <= 100_000_000
    assert len(unstored) > 2 * len(stored)


def test_columns_without_values() -> None:
    x = leaves()
    full, part = (engine.grow(x, ALL, max_cost=5, store_last=s) for s in (True, False))
    assert len(full) == len(part)
    assert full.counters == part.counters
    np.testing.assert_array_equal(part.left, full.left)
    # NEG, ABS and others cost 1, so columns of cost 5 alone are no operand.
    assert part.n_stored == full.level_offsets[5]
    np.testing.assert_array_equal(part.values, full.values[: part.n_stored])
    last = range(part.n_stored, len(part))
    np.testing.assert_array_equal(part.postfix(last).predict(engine.Columns(x.T)), full.values[part.n_stored :])


def test_costs() -> None:
    x = leaves(2)
    grown = engine.grow(
        x, ("ADD", "EXP"), costs={"ADD": 5, "EXP": 2}, leaf_costs=[2, 3], constants=(3.0,), constant_costs=4, max_cost=9
    )
    found = {
        (int(c), int(o), int(a), int(b)) for c, o, a, b in zip(grown.cost, grown.operation, grown.left, grown.right, strict=True)
    }
    # x0: 2, x1: 3, 3.0 and exp(x0): 4, exp(x1): 5, x0 + x0: 9
    assert found == {(2, 255, 0, -1), (3, 255, 1, -1), (4, 254, 0, -1), (4, 28, 0, -1), (5, 28, 1, -1), (9, 3, 0, 0)}
    assert engine.grow(x, ("EXP",), constants=()).stopped == "exhausted"


def test_every_rule_has_a_switch() -> None:
    x = leaves(low=-2, high=2)
    base = engine.grow(x, ALL, max_cost=4)
    switches: dict[str, dict[str, Any]] = {
        "duplicate": {"dedup": False}, "constant": {"drop_constant": False}, "inverse": {"drop_inverse": False},
        "non_finite": {"drop_non_finite": False}, "commuting_twin": {"drop_twins": False},
    }  # fmt: skip
    for name, off in switches.items():
        assert base.counters[name] > 0, name
        assert engine.grow(x, ALL, max_cost=4, **off).counters[name] == 0, name
    assert np.isnan(engine.grow(x, ALL, max_cost=3, drop_non_finite=False).values).any()
    huge = np.exp(leaves() * 100)
    assert engine.grow(huge, ("MUL",), max_cost=5).counters["out_of_range"] > 0
    assert engine.grow(huge, ("MUL",), max_cost=5, drop_out_of_range=False).counters["out_of_range"] == 0
    assert engine.grow(x, ("SIN",), max_cost=5).counters["nesting"] > 0
    assert engine.grow(x, ("SIN",), max_cost=5, max_nesting=None, constants=()).counters["kept"] == 9
    assert engine.grow(x, ("SIN",), max_cost=5, max_nesting=0, constants=()).counters["kept"] == 3
    assert engine.grow(x, ("ADD",), max_cost=7).counters["constants"] > 0
    assert engine.grow(x, ("ADD",), max_cost=7, max_constants=None).counters["constants"] == 0
    free = engine.grow(
        x,
        ("ADD", "SUB"),
        max_cost=3,
        dedup=False,
        drop_constant=False,
        drop_inverse=False,
        drop_twins=False,
        drop_out_of_range=False,
    )
    assert len(free) == 5 + 2 * 25


def test_dimensions() -> None:
    # A length, a time, a pure number.
    x, units = leaves(), np.array([[6, 0], [0, 6], [0, 0]])
    grown = engine.grow(x, ALL, max_cost=5, constants=(2.0,), dimensions=units)
    assert grown.counters["dimension"] > 0
    names = {p.opcode: p.name for p in primitives.ALL}
    known: list[Array] = []
    for o, a, b in zip(grown.operation.tolist(), grown.left.tolist(), grown.right.tolist(), strict=True):
        if o >= 254:
            known.append(units[a] if o == 255 else np.zeros(2, int))
            continue
        name, p, q = names[o], known[a], known[max(b, 0)]
        if name in ("ADD", "SUB", "MIN", "MAX"):
            assert (p == q).all()
        elif name in growth.FUNCTIONS or name == "POW":
            assert not p.any()
            assert (name != "POW" or not q.any())
        if name == "SQRT":
            assert (p % 2 == 0).all()
        change = {"MUL": p + q, "DIV": p - q, "SQUARE": 2 * p, "CUBE": 3 * p, "INV": -p, "SQRT": p // 2}
        known.append(change.get(name, p))
    assert any((d == [3, 0]).all() for d in known)
    assert any((d == [12, -6]).all() for d in known)
    # What is left are exactly the columns of the same growth without the rule that fit.
    alike = engine.grow(x, ALL, max_cost=5, constants=(2.0,), dimensions=np.zeros((3, 1), int))
    assert same(alike, engine.grow(x, ALL, max_cost=5, constants=(2.0,)))
    beyond = engine.grow(x[:1], ("CUBE",), constants=(), dimensions=[[6]])
    assert len(beyond) == 3
    assert beyond.counters["dimension"] == 1


def test_a_deadline_ends_it() -> None:
    start = time.perf_counter()
    grown = engine.grow(leaves(4, 64), ALL, deadline=0.1, memory=1_000_000_000)
    assert grown.stopped in ("deadline", "memory")
    assert time.perf_counter() - start < 5
    assert len(grown) >= 6


@pytest.mark.parametrize("n_threads", [1, 2])
def test_ctrl_c(n_threads: int) -> None:
    def run() -> None:
        while True:  # a fast machine fills the memory first
            engine.grow(leaves(4, 256), ALL, n_threads=n_threads, memory=1_000_000_000)

    threading.Timer(0.15, lambda: signal.raise_signal(signal.SIGINT)).start()
    start = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        run()
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"columns": np.zeros(8)}, "shape"),
        ({"columns": np.zeros((2, 7))}, "rows"),
        ({"columns": np.full((2, 8), np.nan)}, "finite"),
        ({"columns": np.zeros((0, 8))}, "at least one column"),
        ({"operations": ("OR",)}, "does not know"),
        ({"operations": "ADD"}, "list of names"),
        ({"operations": ()}, "no operations"),
        ({"operations": ("DIV", "FDIV")}, "twice"),
        ({"costs": {"ADD": 0}}, "positive"),
        ({"leaf_costs": [1]}, "entries"),
        ({"constants": (np.inf,)}, "not finite"),
        ({"max_cost": 0}, "positive"),
        ({"memory": 1000}, "16 MiB"),
        ({"significand": 54}, "significand"),
        ({"deadline": -1.0}, "deadline"),
        ({"dimensions": np.zeros((1, 2), int)}, "dimensions"),
        ({"dimensions": np.full((2, 1), 200)}, "from -128"),
        ({"dimensions": np.zeros((2, 9), int)}, "at most 8"),
        ({"n_threads": 0}, "n_threads"),
    ],
)
def test_refusals(change: dict[str, Any], text: str) -> None:
    given: dict[str, Any] = {"columns": leaves(2, 8), "operations": ("ADD",), "max_cost": 3} | change
    with pytest.raises(ValueError, match=text):
        engine.grow(given.pop("columns"), given.pop("operations"), **given)


def test_postfix_refuses_what_is_not_there() -> None:
    grown = engine.grow(leaves(2), ("ADD",), max_cost=3)
    with pytest.raises(ValueError, match="no column"):
        grown.postfix([len(grown)])
    with pytest.raises(ValueError, match="no column"):
        grown.postfix([-1])
