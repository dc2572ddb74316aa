"""The engine's module ``_vm`` against the slow interpreter of ``vm_bytecode``, on every target of this machine."""

from __future__ import annotations

import _thread
import itertools
import math
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from vm_bytecode import (
    ADD,
    AFFINE,
    ALWAYS_ERROR,
    ALWAYS_UNSURE,
    ERROR,
    FAIL,
    FINE,
    I64_MAX,
    I64_MIN,
    INSTRUCTION,
    MULTIPLY,
    PASS,
    PROGRAM,
    RESULT_F64,
    UNSURE,
    Assembler,
    RowModel,
    same,
)

from nssr import primitives
from nssr.primitives import TYPED, TYPED_BY_NAME

_vm = pytest.importorskip("nssr.engine._vm")

TARGETS = _vm.targets()
PLAIN = [t for t in TYPED if t.code < 240 or t.name in ("I64_TO_F64", "I64_TO_F64_EXACT")]
INT_EDGES = [0, 1, -1, 2, 3, -7, 10, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**32, 2**20, 2**20 + 1, -(2**20) - 1, 2097151,
             2097152, 3037000499, 3037000500, -3037000500, 2**53 - 1, 2**53, 2**53 + 1, -(2**53), -(2**53) - 1, 2**62,
             I64_MAX - 1, I64_MAX, I64_MIN, I64_MIN + 1]  # fmt: skip
FLOAT_EDGES = [0.0, -0.0, 1.0, -1.0, 0.5, -2.0, 3.0, 2.5, -2.5, 1e-300, -1e-300, 5e-324, 1e300, -1e300, 709.9, -745.2, 1e17,
               2.0**53, 2.0**53 + 2, math.pi, math.inf, -math.inf, math.nan]  # fmt: skip


@pytest.fixture(params=TARGETS)
def target(request: pytest.FixtureRequest) -> Iterator[str]:
    before = _vm.target()
    _vm.set_target(request.param)
    yield request.param
    _vm.set_target(before)


def batch_of(asm: Assembler) -> Any:
    return _vm.ProgramBatch(*asm.arrays(), asm.lanes)


def column(values: list[Any], lane: str) -> np.ndarray:
    return np.array(values, np.int64 if lane == "i" else np.float64)


def evaluate(batch: Any, data: Any, n_threads: int = 1) -> tuple[list[list[Any]], np.ndarray]:
    """Values as Python numbers, and the status of each row."""
    shape = (len(batch), data.n_rows)
    out, status = np.full(shape, -77, np.int64), np.full(shape, 99, np.uint8)
    _vm.evaluate(batch, data, out, status, n_threads)
    lanes = _vm.result_lanes(batch)
    values = [(o.view(np.float64) if lane == "f" else o).tolist() for o, lane in zip(out, lanes, strict=True)]
    return values, status


def held_against_model(asm: Assembler, columns: list[list[Any]], unsure: list[list[bool]] | None = None, threads: int = 1) -> Any:
    """Every row of every program as the model has it. Returns the engine's answer."""
    batch = batch_of(asm)
    arrays = [column(c, lane) for c, lane in zip(columns, asm.lanes, strict=True)]
    masks = None if unsure is None else [np.array(u, bool) for u in unsure]
    data = _vm.Dataset(arrays, None, masks, poison=True)
    values, status = evaluate(batch, data, threads)
    code, programs = asm.arrays()
    model = RowModel(code, len(asm.lanes))
    for p in range(len(batch)):
        for r in range(data.n_rows):
            row = [None if unsure is not None and unsure[c][r] else columns[c][r] for c in range(len(columns))]
            value, state = model.run(programs[p], row)
            assert status[p, r] == state, f"program {p}, row {r}, {row}: status {status[p, r]}, should be {state}"
            if state == FINE:
                assert same(values[p][r], value), f"program {p}, row {r}, {row}: {values[p][r]!r}, should be {value!r}"
            else:
                assert np.float64(values[p][r]).view(np.int64) == 0
    return values, status


# ---- plain instructions -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("op", PLAIN, ids=lambda t: t.name)
def test_every_op_on_edges_and_random_values(op: Any, target: str) -> None:
    rng = random.Random(op.code)
    edges = {"i": INT_EDGES, "f": FLOAT_EDGES}
    rows = list(itertools.product(*(edges[lane] for lane in op.operands))) if len(op.operands) < 3 else []
    for _ in range(200):
        small = [rng.randint(-9, 9) if lane == "i" else rng.uniform(-5, 5) for lane in op.operands]
        wide = [int(rng.gauss(0, 1) * 2.0 ** rng.randint(0, 59)) if lane == "i" else rng.gauss(0, 1) * 10.0 ** rng.randint(-9, 9)
                for lane in op.operands]  # fmt: skip
        edge = [rng.choice(edges[lane]) for lane in op.operands]
        rows += [small, wide, edge]
    asm = Assembler(op.operands)
    asm.end(asm.emit(op.name, *range(len(op.operands))))
    held_against_model(asm, [list(c) for c in zip(*rows, strict=True)])


def test_every_instruction_has_a_kernel_and_the_table_is_the_one_of_primitives() -> None:
    table = _vm.opcodes()
    assert table["ops"] == {t.name: (t.code, t.operands, t.result) for t in TYPED}
    assert table["primitives"] == {p.name: (p.opcode, p.arity) for p in primitives.ALL}
    assert table["limits"]["MAX_ITERATIONS"] == primitives.MAX_ITERATIONS
    assert table["limits"]["MAX_TOTAL_ITERATIONS"] == primitives.MAX_TOTAL_ITERATIONS


def test_int_to_float_rounds_as_python_does_over_the_whole_range(target: str) -> None:
    rng = random.Random(5)
    values = [rng.choice((1, -1)) * (rng.getrandbits(rng.randint(1, 63)) | 1) for _ in range(4000)]
    values += [s * (2**k + d) for k in range(50, 63) for d in range(-3, 4) for s in (1, -1)]
    values += [s * ((2**53 + j) * 2**k + half) for j in range(3) for k in range(1, 9) for half in (2 ** (k - 1), 1) for s in (1, -1)]
    asm = Assembler("i")
    asm.end(asm.emit("I64_TO_F64", 0))
    held_against_model(asm, [values + INT_EDGES])


@pytest.mark.parametrize("mode", [MULTIPLY, ADD, AFFINE])
@pytest.mark.parametrize("lane", "if")
def test_constants_at_the_end(mode: int, lane: str, target: str) -> None:
    asm = Assembler(lane)
    asm.end(0, mode, 0.1, -7.3)
    asm.end(asm.emit("ADD_I64" if lane == "i" else "ADD_F64", 0, 0), mode, 1e300, 3.0)
    held_against_model(asm, [INT_EDGES if lane == "i" else FLOAT_EDGES])
    assert _vm.result_lanes(batch_of(asm)) == "ff"


# ---- rows without a plain value -----------------------------------------------------------------------------------


def test_unsure_and_error_bits_row_by_row(target: str) -> None:
    rng = random.Random(3)
    n = 150
    columns = [[rng.choice(INT_EDGES) for _ in range(n)] for _ in range(3)]
    unsure = [[rng.random() < 0.2 for _ in range(n)] for _ in range(3)]
    unsure[2] = [False] * n
    asm = Assembler("iii")
    for name in ("COND_I64", "ADD_I64", "DIV_I64", "INV_I64", "I64_TO_F64", "I64_TO_F64_EXACT", "OR_I64", "CUBE_I64", "MAX_I64"):
        for a, b, c in itertools.permutations(range(3)):
            asm.end(asm.emit(name, a, b, c))
    # What only one side of a choice computes does not matter for rows that take the other.
    big = asm.emit("MUL_I64", 0, 0)
    asm.end(asm.emit("COND_I64", 2, big, 1))
    # Finally unsure stays, whatever becomes of the value.
    asm.emit("I64_TO_F64", asm.emit("MUL_I64", 0, 0))
    asm.end(2)
    asm.emit("RAISE")
    asm.end(1)
    asm.emit("UNSURE")
    asm.emit("RAISE")
    asm.end(1)
    asm.emit("I64_TO_F64", 0)  # unsure before the error
    asm.emit("RAISE")
    asm.end(1)
    asm.end(2, flags=ALWAYS_ERROR)
    asm.end(flags=ALWAYS_UNSURE)
    asm.end(flags=ALWAYS_UNSURE | ALWAYS_ERROR | RESULT_F64)
    held_against_model_with_finals(asm, columns, unsure)


def held_against_model_with_finals(asm: Assembler, columns: list[list[Any]], unsure: list[list[bool]]) -> None:
    """The model stops a row where it becomes an error or finally unsure; the first of the two decides, as in the engine."""
    held_against_model(asm, columns, unsure)


def test_verdicts(target: str) -> None:
    n = 100
    x = np.arange(n)
    big = np.where(x == 70, I64_MAX, 1)
    asm = Assembler("ii")
    asm.end(0)  # x itself: right
    asm.end(asm.emit("INC_I64", 0))  # wrong everywhere
    inc = asm.emit("INC_I64", 1)  # 2, unsure on row 70
    asm.end(asm.emit("SUB_I64", asm.emit("ADD_I64", 0, inc), inc))  # right, but unsure on row 70
    inc = asm.emit("INC_I64", 1)
    asm.end(asm.emit("ADD_I64", 0, inc))  # wrong and unsure: wrong
    asm.emit("RAISE")
    asm.end(0)
    asm.end(flags=ALWAYS_ERROR)
    asm.end(flags=ALWAYS_UNSURE)
    asm.end(0, ADD, 1e-10)  # within the tolerance
    asm.end(0, MULTIPLY, 1 + 9e-7)
    asm.end(0, MULTIPLY, 1 + 2e-6)
    last = asm.emit("EQ_I64", 0, asm.constant(n - 1))
    asm.end(asm.emit("ADD_I64", 0, last))  # wrong on the last row only
    data = _vm.Dataset([x, big], x.astype(float), poison=True)
    want = [PASS, FAIL, UNSURE, FAIL, FAIL, FAIL, UNSURE, PASS, PASS, FAIL, FAIL]
    assert _vm.validate(batch_of(asm), data).tolist() == want


def test_comparison_is_isclose(target: str) -> None:
    near = [1.0, 1.0 + 1e-6, 1.0 + 2e-6, 1e-9, 2e-9, 1e300, 1.0000005e300, -1e300, 1e308, -1e308]
    values = FLOAT_EDGES + near
    asm = Assembler("f")
    asm.end(0)
    ints = Assembler("i")
    ints.end(0)
    for rel, tol in ((1e-6, 1e-9), (0.0, 0.0), (0.5, 0.0), (0.0, math.inf), (3.0, 1.0)):
        for want in values:
            for got in values:
                data = _vm.Dataset([np.array([got])], np.array([want]), poison=True)
                assert _vm.validate(batch_of(asm), data, rel, tol)[0] == math.isclose(got, want, rel_tol=rel, abs_tol=tol), (got, want)
            for number in INT_EDGES:
                data = _vm.Dataset([np.array([number])], np.array([want]))
                assert _vm.validate(batch_of(ints), data, rel, tol)[0] == math.isclose(number, want, rel_tol=rel, abs_tol=tol)


def test_padding_never_matters(target: str) -> None:
    asm = Assembler("if")
    asm.end(asm.emit("SUB_I64", asm.emit("CUBE_I64", 0), 0))
    asm.end(asm.emit("SQRT_F64", asm.emit("SQUARE_F64", 1)))
    with asm.loop(0, 0) as body:
        body.result = asm.emit("INC_I64", body.state)
    asm.end(body.dst)
    with asm.loop_while(asm.constant(1000), 0) as body:
        body.until(asm.emit("GT_I64", body.state, asm.constant(3)))
        body.result = asm.emit("DEC_I64", body.state)
    asm.end(body.dst)
    batch = batch_of(asm)
    for n in range(1, 131):
        x = np.arange(n) % 7
        f = x / 4.0
        expected = [x**3 - x, f, 2 * x, np.minimum(x, 3)]
        for p, want in enumerate(expected):
            for wrong_row in (None, n - 1, n // 2):
                y = want.astype(float)
                if wrong_row is not None:
                    y[wrong_row] += 1
                data = _vm.Dataset([x, f], y, poison=True)
                verdicts = _vm.validate(batch, data)
                assert verdicts[p] == (PASS if wrong_row is None else FAIL), (n, p, wrong_row)
        out, status = np.empty((4, n)), np.empty(4, np.uint8)
        _vm.predict(batch, data, out, status)
        assert not status.any() and all((o == want).all() for o, want in zip(out, expected, strict=True))


def test_predict_gives_floats_and_nan_where_there_is_no_value(target: str) -> None:
    asm = Assembler("i")
    asm.end(0)
    asm.end(asm.emit("INC_I64", 0))
    with asm.loop(0, 0) as body:
        body.result = asm.emit("NOT_I64", body.state)
    asm.end(body.dst)
    x = np.array([1, I64_MAX, 5, 1001])
    out, status = np.empty((3, 4)), np.empty(3, np.uint8)
    _vm.predict(batch_of(asm), _vm.Dataset([x]), out, status)
    np.testing.assert_array_equal(out[0], x.astype(float))
    np.testing.assert_array_equal(out[1], [2.0, np.nan, 6.0, 1002.0])
    np.testing.assert_array_equal(out[2], [-2.0, np.nan, -6.0, np.nan])
    assert status.tolist() == [0, 2, 1]


# ---- loops --------------------------------------------------------------------------------------------------------

COUNTS = [0, 1, -1, 2, 3, 5, 17, 999, 1000, 1001, I64_MAX, I64_MIN, -5]


def test_loop(target: str) -> None:
    asm = Assembler("iif")
    with asm.loop(0, 1) as body:
        body.result = asm.emit("ADD_I64", body.state, 1)
    asm.end(body.dst)
    with asm.loop(0, 1) as body:  # the state overflows: finally unsure, whatever the result is used for
        body.result = asm.emit("MUL_I64", body.state, 1)
    asm.end(1)
    with asm.loop(0, 2) as body:
        body.result = asm.emit("MUL_F64", body.state, 2)
    asm.end(body.dst)
    for result in (0, 1):  # a body that is a column; a body that is the state
        with asm.loop(0, 1) as body:
            body.result = (0, body.state)[result]
        asm.end(body.dst)
    with asm.loop(asm.emit("INC_I64", 0), 1) as body:  # an unsure count
        body.result = 0
    asm.end(1)
    with asm.loop(1, 0) as body:
        asm.emit("RAISE")
        body.result = 0
    asm.end(body.dst)
    with asm.loop(1, asm.emit("INC_I64", 0)) as body:  # an unsure initial state
        body.result = 1
    asm.end(body.dst)
    rows = [(c, s, f) for c in COUNTS for s, f in ((0, 0.5), (1, 1.5), (3, -2.0), (2**40, math.nan))]
    held_against_model(asm, [list(c) for c in zip(*rows, strict=True)])


def test_while_and_accum(target: str) -> None:
    asm = Assembler("iif")
    with asm.loop_while(0, 1) as body:
        body.until(asm.emit("GT_I64", body.state, asm.constant(1)))
        body.result = asm.emit("DEC_I64", body.state)
    asm.end(body.dst)
    with asm.loop_while(0, 2) as body:  # the state itself is the condition, of lane f64
        body.condition = body.state
        body.result = asm.emit("DEC_F64", body.state)
    asm.end(body.dst)
    with asm.loop_while(0, 1) as body:  # the condition becomes unsure
        body.until(asm.emit("CUBE_I64", asm.emit("CUBE_I64", body.state)))
        body.result = asm.emit("DEC_I64", body.state)
    asm.end(1)
    with asm.loop_while(0, 1) as body:
        condition = asm.emit("LT_I64", body.state, asm.constant(30))
        asm.emit("I64_TO_F64", asm.emit("CUBE_I64", asm.emit("CUBE_I64", body.state)))
        body.until(condition)
        body.result = asm.emit("SQUARE_I64", asm.emit("INC_I64", body.state))
    asm.end(body.dst)
    for counter in (1, 0):
        with asm.accum(0, 2, counter) as body:
            body.until(asm.emit("GT_F64", body.state, asm.constant(0.1)))
            body.result = asm.emit("MUL_F64", body.state, asm.constant(0.5))
        asm.end(body.dst)
    with asm.accum(0, 1, asm.constant(I64_MAX - 2)) as body:  # the counter overflows
        body.condition = 1
        body.result = body.state
    asm.end(body.dst)
    with asm.accum(1, 0, asm.emit("INC_I64", 0)) as body:
        body.condition = 1
        body.result = 1
    asm.end(body.dst, MULTIPLY, 0.5)
    rows = [(c, s, f) for c in COUNTS for s, f in ((0, 0.0), (1, 1.5), (9, -2.0), (50, 40.0), (2**40, math.nan))]
    held_against_model(asm, [list(c) for c in zip(*rows, strict=True)])


def test_nested_loops_and_fuel(target: str) -> None:
    asm = Assembler("ii")
    with asm.loop(0, 1) as outer:
        with asm.loop(1, outer.state) as inner:
            inner.result = asm.emit("INC_I64", inner.state)
        outer.result = inner.dst
    asm.end(outer.dst)
    with asm.loop(0, 1) as outer:
        with asm.loop_while(outer.state, outer.state) as inner:
            inner.until(asm.emit("GT_I64", inner.state, asm.constant(5)))
            inner.result = asm.emit("SUB_I64", inner.state, 1)
        with asm.accum(1, inner.dst, 0) as counted:
            counted.until(asm.emit("LT_I64", counted.state, 0))
            counted.result = asm.emit("INC_I64", counted.state)
        outer.result = counted.dst
    asm.end(outer.dst)
    # Two outermost loops have their fuel each; an error of an inner loop ends the outer one.
    with asm.loop(0, 1) as first:
        first.result = asm.emit("DEC_I64", first.state)
    with asm.loop(0, first.dst) as second:
        with asm.loop(1, second.state) as inner:
            inner.result = asm.emit("NOT_I64", inner.state)
        second.result = inner.dst
    asm.end(second.dst)
    rows = [(a, b) for a in (0, 1, 2, 7, 98, 99, 100, 1000, 1001) for b in (0, 1, 3, 100, 998, 999, 1000, 1001, -2)]
    rows = [r for r in rows if r[0] * r[1] < 3000 or r in ((100, 999), (100, 1000), (99, 1000), (1000, 99), (1000, 100))]
    held_against_model(asm, [list(c) for c in zip(*rows, strict=True)])


def test_fuel_is_exact() -> None:
    asm = Assembler("ii")
    with asm.loop(0, 1) as outer:
        with asm.loop(1, outer.state) as inner:
            inner.result = inner.state
        outer.result = inner.dst
    asm.end(outer.dst)
    # a * (1 + b) iterations: 100,000 are allowed
    rows = [(100, 999), (100, 1000), (1000, 99), (1000, 100), (500, 199), (500, 200), (160, 624), (161, 624)]
    _, status = evaluate(batch_of(asm), _vm.Dataset([np.array(c) for c in zip(*rows, strict=True)], poison=True))
    assert status[0].tolist() == [FINE if a * (1 + b) <= 100_000 else ERROR for a, b in rows]


def test_deep_nesting() -> None:
    def nested(depth: int) -> Assembler:
        asm = Assembler("i")
        bodies: list[Any] = []
        managers = []
        state = 0
        for _ in range(depth):
            manager = asm.loop(0, state)
            body = manager.__enter__()
            managers.append(manager)
            bodies.append(body)
            state = body.state
        inner: int = asm.emit("INC_I64", state)
        for manager, body in zip(reversed(managers), reversed(bodies), strict=True):
            body.result = inner
            manager.__exit__(None, None, None)
            inner = body.dst
        asm.end(inner)
        return asm

    held_against_model(nested(16), [[0, 1, 2, 1, -1]])
    with pytest.raises(ValueError, match="nested more than 16"):
        batch_of(nested(17))


# ---- random programs ----------------------------------------------------------------------------------------------


def random_program(asm: Assembler, rng: random.Random) -> None:
    """Valid straight-line code and loops, with constants at the edges."""

    def pick(lane: str, live: list[int]) -> int:
        fitting = [r for r in live if asm.lane[r] == lane]
        if not fitting or rng.random() < 0.1:
            value = rng.choice(INT_EDGES[:7] + INT_EDGES) if lane == "i" else rng.choice(FLOAT_EDGES)
            live.append(asm.constant(value))
            return live[-1]
        return rng.choice(fitting[-6:])

    def statements(live: list[int], depth: int, most: int) -> None:
        for _ in range(rng.randint(1, most)):
            kind = rng.random()
            if kind < 0.12 and depth < 3:
                loop(live, depth)
            elif kind < 0.13:
                live.append(asm.emit(rng.choice(("RAISE", "UNSURE"))))
            else:
                op = rng.choice(PLAIN)
                live.append(asm.emit(op.name, *[pick(lane, live) for lane in op.operands]))

    def loop(live: list[int], depth: int) -> None:
        lane = rng.choice("if")
        count = asm.constant(rng.choice((-1, 0, 1, 2, 3, 4, 5))) if rng.random() < 0.6 else pick("i", live)
        initial = pick(lane, live)
        kind = rng.choice(("loop", "while", "accum"))
        if kind == "loop":
            manager = asm.loop(count, initial)
        elif kind == "while":
            manager = asm.loop_while(count, initial)
        else:
            manager = asm.accum(count, initial, pick("i", live))
        with manager as body:
            if kind != "loop":
                inside = [*live, body.state]
                if rng.random() < 0.7:
                    statements(inside, depth + 1, 3)
                body.until(rng.choice(inside))
            inside = [*live, body.state]
            statements(inside, depth + 1, 4)
            body.result = pick(lane, inside)
        live.append(body.dst)

    live = list(range(len(asm.lanes)))
    statements(live, 0, 7)
    mode = rng.choice((0, 0, 0, MULTIPLY, ADD, AFFINE))
    asm.end(rng.choice(live[-3:]), mode, rng.choice((0.5, -3.0, 1e300)), 0.25)


def random_batch(seed: int, n_programs: int = 12, n_rows: int = 20) -> tuple[Assembler, list[list[Any]], list[list[bool]] | None]:
    rng = random.Random(seed)
    asm = Assembler("".join(rng.choice("if") for _ in range(rng.randint(1, 4))))
    for _ in range(n_programs):
        random_program(asm, rng)
    columns = []
    for lane in asm.lanes:
        if lane == "i":
            columns.append([rng.choice(INT_EDGES) if rng.random() < 0.2 else rng.randint(-4, 12) for _ in range(n_rows)])
        else:
            columns.append([rng.choice(FLOAT_EDGES) if rng.random() < 0.3 else rng.uniform(-3, 3) for _ in range(n_rows)])
    unsure = None if rng.random() < 0.6 else [[rng.random() < 0.1 and lane == "i" for _ in range(n_rows)] for lane in asm.lanes]
    return asm, columns, unsure


@pytest.mark.parametrize("seed", range(25))
def test_random_programs(seed: int, target: str) -> None:
    asm, columns, unsure = random_batch(seed, n_rows=random.Random(seed).randint(1, 40))
    held_against_model(asm, columns, unsure)


def test_all_targets_and_thread_counts_give_the_same_bits() -> None:
    before = _vm.target()
    try:
        for seed in range(100, 106):
            asm, columns, unsure = random_batch(seed, n_programs=700, n_rows=90)
            batch = batch_of(asm)
            arrays = [column(c, lane) for c, lane in zip(columns, asm.lanes, strict=True)]
            masks = None if unsure is None else [np.array(u) for u in unsure]
            y = np.resize(np.array([0.0, 1.0]), 90) if seed % 2 else np.zeros(90)
            data = _vm.Dataset(arrays, y, masks, poison=seed % 2 == 1)
            answers = []
            for name in TARGETS:
                _vm.set_target(name)
                for threads in (1, 2, 8):
                    out, status = np.empty((700, 90), np.int64), np.empty((700, 90), np.uint8)
                    _vm.evaluate(batch, data, out, status, threads)
                    floats, states = np.empty((700, 90)), np.empty(700, np.uint8)
                    _vm.predict(batch, data, floats, states, threads)
                    verdicts = _vm.validate(batch, data, n_threads=threads)
                    answers.append([x.tobytes() for x in (out, status, floats, states, verdicts)])
            assert all(a == answers[0] for a in answers)
    finally:
        _vm.set_target(before)


def test_large_data_is_split_by_rows() -> None:
    n = 50_000
    x = np.arange(n)
    asm = Assembler("i")
    with asm.loop(asm.emit("AND_I64", 0, asm.constant(7)), 0) as body:
        body.result = asm.emit("INC_I64", body.state)
    asm.end(body.dst)
    batch = batch_of(asm)
    want = x + (x & 7)
    wrong = want.astype(float)
    wrong[-1] += 1
    for threads in (1, 3):
        values, status = evaluate(batch, _vm.Dataset([x]), threads)
        assert values[0] == want.tolist() and not status.any()
        assert _vm.validate(batch, _vm.Dataset([x], want.astype(float)), n_threads=threads)[0] == PASS
        assert _vm.validate(batch, _vm.Dataset([x], wrong), n_threads=threads)[0] == FAIL


def test_many_temporaries() -> None:
    asm = Assembler("i")
    r = 0
    for _ in range(8192):
        r = asm.emit("INC_I64", r)
    asm.end(r)
    values, _ = evaluate(batch_of(asm), _vm.Dataset([np.arange(700)]))
    assert values[0] == list(range(8192, 8892))


# ---- verification -------------------------------------------------------------------------------------------------


def corrupt(message: str, lanes: str = "if", **change: Any) -> None:
    """A sound program of four instructions, with one field changed, is refused with ``message``."""
    asm = Assembler(lanes)
    doubled = asm.emit("ADD_I64", 0, 0)
    with asm.loop_while(0, doubled) as body:
        body.until(asm.emit("LT_I64", body.state, 0))
        body.result = asm.emit("INC_I64", body.state)
    asm.end(body.dst)
    code, programs = asm.arrays()
    batch_of(asm)
    for where, value in change.items():
        record, _, field = where.partition("_")
        if record == "p":
            programs[field.replace("ntemps", "n_temps")] = value
        else:
            code[field][int(record[1:])] = value
    with pytest.raises(ValueError, match=message):
        _vm.ProgramBatch(code, programs, lanes)


def test_corrupt_bytecode_is_refused() -> None:
    # Columns 0 (i) and 1 (f); temporaries 2 (ADD), 3 (WHILE), 4 (LT), 5 (INC).
    corrupt("program 0, instruction 0: has the unknown op 40", i0_op=40)
    corrupt("unknown op 262", i0_op=6 + 256)
    corrupt(r"instruction 0 \(ADD_I64\): dst is register 1, which is not a temporary", i0_dst=1)
    corrupt("dst is register 6, which is not a temporary", i0_dst=6)
    corrupt(r"instruction 3 \(INC_I64\): dst is register 2, which is written twice", i3_dst=2)
    corrupt("operand a is register 65535, which does not exist", i0_a=65535)
    corrupt("operand b is register 2, which is not written before", i0_b=2)
    corrupt("operand b is register 1, which is not of lane i", i0_b=1)
    corrupt("operand a is register 4, which is not written before or not in scope", i3_a=4)
    corrupt("condition d is register 5, which is not written before or not in scope", i1_d=5)
    corrupt("body result e is register 4, which is not written before or not in scope", i1_e=4)
    corrupt("body result e is register 1, which is not of lane i", i1_e=1)
    corrupt("has a body that reaches past its end", i1_n2=2)
    corrupt("has a body that reaches past its end", i1_n1=2**32 - 1, i1_n2=2**32 - 1)
    corrupt("result is register 5, which is not written before or not in scope", p_result=5)
    corrupt("result is register 7, which does not exist", p_result=7)
    corrupt("program 0 has a result of another lane", p_flags=RESULT_F64)
    corrupt("unknown flags", p_flags=8)
    corrupt("unknown flags", p_flags=0x100)
    corrupt("reaches past the end of the code", p_start=1)
    corrupt("reaches past the end of the code", p_length=2**32 - 1)
    corrupt("reaches past the end of the code", p_start=2**32 - 1)
    corrupt("more than 8192 temporaries", p_ntemps=8193)
    corrupt("dst is register 5, which is not a temporary", p_ntemps=3)


def test_the_state_and_counter_of_accum_have_their_scope() -> None:
    def build(inside: str, outside: str) -> Assembler:
        asm = Assembler("i")
        with asm.accum(0, 0, 0) as body:
            body.until(asm.emit("NOT_I64", body.state))
            body.result = asm.emit("INC_I64", body.state if inside == "state" else body.dst)
        asm.end(body.dst if outside == "counter" else body.state)
        return asm

    batch_of(build("state", "counter"))
    for inside, outside in (("counter", "counter"), ("state", "state")):
        with pytest.raises(ValueError, match="not in scope"):
            batch_of(build(inside, outside))


def test_buffers() -> None:
    asm = Assembler("i")
    asm.end(asm.emit("INC_I64", 0))
    code, programs = asm.arrays()
    batch = _vm.ProgramBatch(code.tobytes(), memoryview(programs.view(np.uint8)), "i")
    assert (len(batch), batch.lanes, batch.n_instructions) == (1, "i", 1)
    code[:], programs[:] = 0, 0  # the batch has its own copy
    assert evaluate(batch, _vm.Dataset([np.array([4])]))[0] == [[5]]
    assert len(_vm.ProgramBatch(b"", b"", "")) == 0
    code, programs = asm.arrays()
    for bad in ((code.tobytes()[:-1], programs), (code, programs.tobytes() + b"x"), (np.repeat(code, 4)[::2], programs), (5, programs)):
        with pytest.raises(ValueError):
            _vm.ProgramBatch(*bad, "i")
    for lanes in ("x", "i" * 60_000):
        with pytest.raises(ValueError):
            _vm.ProgramBatch(code, programs, lanes)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_random_bytes_never_crash(data: st.DataObject) -> None:
    """Bytes from small sets, so that some of them pass; what passes must run."""
    small = st.integers(0, 9)
    field = st.one_of(small, small, small, st.integers(0, 2**16 - 1))
    op = st.one_of(st.sampled_from([t.code for t in TYPED]), st.integers(0, 2**16 - 1))
    length = st.one_of(small, st.integers(0, 2**32 - 1))
    code = np.array(data.draw(st.lists(st.tuples(op, *[field] * 7, length, length), max_size=8)), INSTRUCTION)
    k = st.floats()
    programs = np.array(data.draw(st.lists(st.tuples(length, length, length, field, field, k, k), max_size=4)), PROGRAM)
    _try(code.tobytes(), programs.tobytes())
    _try(data.draw(st.binary(max_size=100)), data.draw(st.binary(max_size=100)))


@pytest.mark.parametrize("seed", range(40))
def test_mutated_programs_never_crash(seed: int) -> None:
    rng = random.Random(seed)
    asm, columns, _ = random_batch(seed + 1000)
    code, programs = (bytearray(x.tobytes()) for x in asm.arrays())
    arrays = [column(c, lane) for c, lane in zip(columns, asm.lanes, strict=True)]
    for _ in range(100):
        changed = bytearray(code), bytearray(programs)
        for _ in range(rng.randint(1, 3)):
            record = rng.choice(changed)
            record[rng.randrange(len(record))] = rng.choice((0, 1, 2, 3, 4, 5, 6, 246, 248, 250, rng.randrange(256)))
        _try(bytes(changed[0]), bytes(changed[1]), asm.lanes, arrays)


def _try(code: bytes, programs: bytes, lanes: str = "if", arrays: Any = (np.arange(70), np.arange(70) / 3)) -> None:
    try:
        batch = _vm.ProgramBatch(code, programs, lanes)
    except ValueError:
        return
    data = _vm.Dataset(list(arrays), np.zeros(len(arrays[0])), poison=True)
    _vm.validate(batch, data)
    evaluate(batch, data)


# ---- data and arguments -------------------------------------------------------------------------------------------


def test_dataset_takes_any_stride_and_copies() -> None:
    base = np.arange(40, dtype=np.int64)
    strided, backwards, f = base[::2], base[20:40][::-1], np.arange(20.0)
    odd = np.frombuffer(b"x" + np.arange(20.0).tobytes(), np.uint8)[1:].view(np.float64)  # not aligned, read-only
    constant = np.broadcast_to(np.int64(7), 20)
    data = _vm.Dataset([strided, backwards, f, odd, constant], f[::-1])
    assert (data.n_rows, data.n_columns, data.lanes, data.has_target) == (20, 5, "iiffi", True)
    asm = Assembler("iiffi")
    for c in range(5):
        asm.end(c)
    want = [strided.tolist(), backwards.tolist(), f.tolist(), odd.tolist(), constant.tolist()]
    base[:] = -1
    assert evaluate(batch_of(asm), data)[0] == want
    assert _vm.Dataset((np.array([1.0]),)).has_target is False
    only_target = _vm.Dataset([], np.array([3.0, 3.0]))
    asm = Assembler("")
    asm.end(asm.constant(3))
    assert _vm.validate(batch_of(asm), only_target).tolist() == [PASS]


def test_arguments_are_checked() -> None:
    i, f = np.arange(3), np.arange(3.0)
    bad: list[tuple[Any, ...]] = [
        ([],), ([np.arange(0)],), ([i, np.arange(4)],), ([i.astype(np.int32)],), ([i.astype(np.float32)],), ([[1, 2]],), ([i > 0],),
        ([i.astype(">i8")],), ([i.reshape(3, 1)],), ([np.int64(3)],), (5,), ("ab",), ([i], f[:2]), ([i], i), ([i], None, []),
        ([i], None, [i]), ([i], None, [np.zeros(2, bool)]), ([np.broadcast_to(0.0, 2**31)],), ([f] * 60_000,),
    ]  # fmt: skip
    for arguments in bad:
        with pytest.raises(ValueError):
            _vm.Dataset(*arguments)
    asm = Assembler("i")
    asm.end(0)
    batch, data = batch_of(asm), _vm.Dataset([i], f)
    for call in (
        lambda: _vm.validate(batch, _vm.Dataset([f], f)),
        lambda: _vm.validate(batch, _vm.Dataset([i])),
        lambda: _vm.validate(batch, data, -1.0),
        lambda: _vm.validate(batch, data, abs_tol=math.nan),
        lambda: _vm.validate(batch, data, n_threads=0),
        lambda: _vm.validate(batch, data, n_threads=-3),
        lambda: _vm.validate(batch, data, n_threads=100_000),
        lambda: _vm.set_target("sse9"),
    ):
        with pytest.raises(ValueError):
            call()
    read_only = np.zeros((1, 3), np.int64)
    read_only.flags.writeable = False
    good = np.zeros((1, 3), np.int64)
    for out in (np.zeros((1, 3)), np.zeros((2, 3), np.int64), np.zeros(3, np.int64), np.zeros((1, 6), np.int64)[:, ::2], read_only, [1]):
        with pytest.raises(ValueError, match="out "):
            _vm.evaluate(batch, data, out, np.zeros((1, 3), np.uint8))
    with pytest.raises(ValueError, match="status "):
        _vm.evaluate(batch, data, good, np.zeros(1, np.uint8))
    with pytest.raises(ValueError, match="status "):
        _vm.predict(batch, data, np.zeros((1, 3)), np.zeros((1, 3), np.uint8))
    empty = _vm.ProgramBatch(b"", b"", "i")
    assert _vm.validate(empty, data).shape == (0,)
    _vm.evaluate(empty, data, np.zeros((0, 3), np.int64), np.zeros((0, 3), np.uint8))


def test_nssr_target_names_the_target() -> None:
    script = "from nssr.engine import _vm\ntry: print(_vm.target())\nexcept ValueError as e: print(e)"
    for name in (*TARGETS, "sse9"):
        answer = subprocess.run([sys.executable, "-c", script], env={**os.environ, "NSSR_TARGET": name}, capture_output=True, text=True)
        if name == "sse9":
            assert "'sse9'" in answer.stdout and all(t in answer.stdout for t in TARGETS)
        else:
            assert answer.stdout.strip() == name, answer.stderr


# ---- threads and interrupts ---------------------------------------------------------------------------------------


def slow_batch(n_programs: int = 1) -> tuple[Any, Any]:
    """100,000 iterations per row and program: many seconds over these rows."""
    asm = Assembler("i")
    for _ in range(n_programs):
        limit = asm.constant(999)
        with asm.loop(asm.constant(100), 0) as outer:
            with asm.loop(limit, outer.state) as inner:
                inner.result = asm.emit("NOT_I64", inner.state)
            outer.result = inner.dst
        asm.end(outer.dst)
    return batch_of(asm), _vm.Dataset([np.zeros(200_000, np.int64)], np.zeros(200_000))


@pytest.mark.parametrize("threads", [1, 2])
def test_interrupt(threads: int) -> None:
    batch, data = slow_batch(4)
    timer = threading.Timer(0.1, _thread.interrupt_main)
    begin = time.monotonic()
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        _vm.validate(batch, data, n_threads=threads)
    assert time.monotonic() - begin < 3.0
    asm = Assembler("i")
    asm.end(0)
    assert _vm.validate(batch_of(asm), data, n_threads=threads).tolist() == [PASS]


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs setitimer")
def test_a_signal_handler_may_run_programs_itself() -> None:
    asm = Assembler("i")
    asm.end(asm.emit("INC_I64", asm.emit("INC_I64", 0)))
    inner, seen = batch_of(asm), []
    small = _vm.Dataset([np.arange(700)])

    def handler(*_: Any) -> None:
        seen.append(evaluate(inner, small, 2)[0][0] == list(range(2, 702)))
        if len(seen) == 2:
            raise TimeoutError

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
    try:
        with pytest.raises(TimeoutError):
            _vm.validate(*slow_batch())
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert seen == [True, True]


def test_one_batch_from_several_python_threads() -> None:
    asm, columns, unsure = random_batch(77, n_programs=300, n_rows=100)
    batch = batch_of(asm)
    data = _vm.Dataset([column(c, lane) for c, lane in zip(columns, asm.lanes, strict=True)], np.zeros(100))
    want = evaluate(batch, data)[1].tobytes(), _vm.validate(batch, data).tobytes()
    wrong: list[Any] = []

    def work(threads: int) -> None:
        for _ in range(10):
            got = evaluate(batch, data, threads)[1].tobytes(), _vm.validate(batch, data, n_threads=threads).tobytes()
            if got != want:
                wrong.append(threads)

    workers = [threading.Thread(target=work, args=(t,)) for t in (1, 2, 3, 8)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_makes_its_own_threads() -> None:
    asm = Assembler("i")
    for _ in range(2000):
        asm.end(asm.emit("INC_I64", 0))
    batch, data = batch_of(asm), _vm.Dataset([np.arange(100)], np.arange(100) + 1.0)
    assert (_vm.validate(batch, data, n_threads=4) == PASS).all()
    child = os.fork()
    if child == 0:
        ok = (_vm.validate(batch, data, n_threads=4) == PASS).all()
        os._exit(0 if ok else 1)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        done, state = os.waitpid(child, os.WNOHANG)
        if done:
            break
        time.sleep(0.01)
    else:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        pytest.fail("the child hangs")
    assert os.waitstatus_to_exitcode(state) == 0
