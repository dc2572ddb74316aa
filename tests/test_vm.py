"""The engine's module ``_vm`` against the slow interpreter of ``vm_bytecode``, on every target of this machine."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
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
    MULTIPLY,
    PASS,
    RESULT_F64,
    UNSURE,
    Assembler,
)
from vm_cases import (
    FLOAT_EDGES,
    INT_EDGES,
    PLAIN,
    TARGETS,
    batch_of,
    column,
    evaluate,
    held_against_model,
    random_batch,
)

from nssr import primitives
from nssr.primitives import TYPED

_vm = pytest.importorskip("nssr.engine._vm")


@pytest.fixture(params=TARGETS)
def target(request: pytest.FixtureRequest) -> Iterator[str]:
    before = _vm.target()
    _vm.set_target(request.param)
    yield request.param
    _vm.set_target(before)


# ---- plain instructions -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("op", PLAIN, ids=lambda t: t.name)
def test_every_op_on_edges_and_random_values(op: Any, target: str) -> None:
    rng = random.Random(op.code)
    edges = {"i": INT_EDGES, "f": FLOAT_EDGES}
    rows = list(itertools.product(*(edges[lane] for lane in op.operands))) if len(op.operands) < 3 else []
    for _ in range(200):
        small = [rng.randint(-9, 9) if lane == "i" else rng.uniform(-5, 5) for lane in op.operands]
        wide = [
            int(rng.gauss(0, 1) * 2.0 ** rng.randint(0, 59))
            if lane == "i"
            else rng.gauss(0, 1) * 10.0 ** rng.randint(-9, 9)
            for lane in op.operands
        ]
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
    values += [
        s * ((2**53 + j) * 2**k + half)
        for j in range(3)
        for k in range(1, 9)
        for half in (2 ** (k - 1), 1)
        for s in (1, -1)
    ]
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
    for name in (
        "COND_I64",
        "ADD_I64",
        "DIV_I64",
        "INV_I64",
        "I64_TO_F64",
        "I64_TO_F64_EXACT",
        "OR_I64",
        "CUBE_I64",
        "MAX_I64",
    ):
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
    # The model stops a row where it becomes an error or finally unsure: the first of the two decides.
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
                assert _vm.validate(batch_of(asm), data, rel, tol)[0] == math.isclose(
                    got, want, rel_tol=rel, abs_tol=tol
                ), (got, want)
            for number in INT_EDGES:
                data = _vm.Dataset([np.array([number])], np.array([want]))
                assert _vm.validate(batch_of(ints), data, rel, tol)[0] == math.isclose(
                    number, want, rel_tol=rel, abs_tol=tol
                )


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
        assert not status.any()
        assert all((o == want).all() for o, want in zip(out, expected, strict=True))


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
    rows = [r for r in rows if r[0] * r[1] < 3000]
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
        assert values[0] == want.tolist()
        assert not status.any()
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
