"""What the tests of ``_vm`` share: edge values, random programs, and holding the engine against ``RowModel``."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest
from vm_bytecode import (
    ADD,
    AFFINE,
    FINE,
    I64_MAX,
    I64_MIN,
    MULTIPLY,
    Assembler,
    RowModel,
    same,
)

from nssr.primitives import TYPED

_vm = pytest.importorskip("nssr.engine._vm")

TARGETS = _vm.targets()
PLAIN = [t for t in TYPED if t.code < 240 or t.name in ("I64_TO_F64", "I64_TO_F64_EXACT")]
INT_EDGES = [
    0,
    1,
    -1,
    2,
    3,
    -7,
    10,
    2**31 - 1,
    2**31,
    -(2**31),
    -(2**31) - 1,
    2**32,
    2**20,
    2**20 + 1,
    -(2**20) - 1,
    2097151,
    2097152,
    3037000499,
    3037000500,
    -3037000500,
    2**53 - 1,
    2**53,
    2**53 + 1,
    -(2**53),
    -(2**53) - 1,
    2**62,
    I64_MAX - 1,
    I64_MAX,
    I64_MIN,
    I64_MIN + 1,
]
FLOAT_EDGES = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -2.0,
    3.0,
    2.5,
    -2.5,
    1e-300,
    -1e-300,
    5e-324,
    1e300,
    -1e300,
    709.9,
    -745.2,
    1e17,
    2.0**53,
    2.0**53 + 2,
    math.pi,
    math.inf,
    -math.inf,
    math.nan,
]


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


def held_against_model(
    asm: Assembler, columns: list[list[Any]], unsure: list[list[bool]] | None = None, threads: int = 1
) -> Any:
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


def random_batch(
    seed: int, n_programs: int = 12, n_rows: int = 20
) -> tuple[Assembler, list[list[Any]], list[list[bool]] | None]:
    rng = random.Random(seed)
    asm = Assembler("".join(rng.choice("if") for _ in range(rng.randint(1, 4))))
    for _ in range(n_programs):
        random_program(asm, rng)
    columns = []
    for lane in asm.lanes:
        if lane == "i":
            columns.append(
                [rng.choice(INT_EDGES) if rng.random() < 0.2 else rng.randint(-4, 12) for _ in range(n_rows)]
            )
        else:
            columns.append(
                [rng.choice(FLOAT_EDGES) if rng.random() < 0.3 else rng.uniform(-3, 3) for _ in range(n_rows)]
            )
    unsure = (
        None
        if rng.random() < 0.6
        else [[rng.random() < 0.1 and lane == "i" for _ in range(n_rows)] for lane in asm.lanes]
    )
    return asm, columns, unsure
