"""What ``_vm`` refuses: corrupt bytecode, wrong data, wrong arguments. Nothing may crash it."""

from __future__ import annotations

import math
import os
import random
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from vm_bytecode import (
    INSTRUCTION,
    PASS,
    PROGRAM,
    RESULT_F64,
    Assembler,
)
from vm_cases import (
    TARGETS,
    batch_of,
    column,
    evaluate,
    random_batch,
)

from nssr.primitives import TYPED

_vm = pytest.importorskip("nssr.engine._vm")

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


def test_programs_may_share_code() -> None:
    """The second program starts inside the first one's outer loop: its inner loop is an outermost one there."""
    asm = Assembler("ii")
    with asm.loop(0, 1) as outer:
        with asm.loop(1, 1) as middle:
            with asm.loop(1, 1) as inner:
                inner.result = asm.emit("INC_I64", inner.state)
            middle.result = inner.dst
        outer.result = middle.dst
    asm.end(outer.dst)
    code, programs = asm.arrays()
    both = np.concatenate([programs, programs])
    both["start"][1], both["length"][1], both["result"][1] = 1, len(code) - 1, middle.dst
    batch = _vm.ProgramBatch(code, both, "ii")
    data = _vm.Dataset([np.array([11, 12, 10]), np.array([94, 94, 99])])
    _, status = evaluate(batch, data)
    fuel = [a * (1 + b * (1 + b)) for a, b in ((11, 94), (12, 94), (10, 99))]
    assert status.tolist() == [[0 if f <= 100_000 else 1 for f in fuel], [0, 0, 0]]


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
    for bad in (
        (code.tobytes()[:-1], programs),
        (code, programs.tobytes() + b"x"),
        (np.repeat(code, 4)[::2], programs),
        (5, programs),
    ):
        with pytest.raises(ValueError):
            _vm.ProgramBatch(*bad, "i")
    for lanes in ("x", "i" * 60_000):
        with pytest.raises(ValueError):
            _vm.ProgramBatch(code, programs, lanes)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
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


def _try(code: bytes, programs: bytes, lanes: str = "if", arrays: Any = None) -> None:
    arrays = [np.arange(70), np.arange(70) / 3] if arrays is None else arrays
    try:
        batch = _vm.ProgramBatch(code, programs, lanes)
    except ValueError:
        return
    data = _vm.Dataset(arrays, np.zeros(len(arrays[0])), poison=True)
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
        ([],),
        ([np.arange(0)],),
        ([i, np.arange(4)],),
        ([i.astype(np.int32)],),
        ([i.astype(np.float32)],),
        ([[1, 2]],),
        ([i > 0],),
        ([i.astype(">i8")],),
        ([i.reshape(3, 1)],),
        ([np.int64(3)],),
        (5,),
        ("ab",),
        ([i], f[:2]),
        ([i], i),
        ([i], None, []),
        ([i], None, [i]),
        ([i], None, [np.zeros(2, bool)]),
        ([np.broadcast_to(0.0, 2**31)],),
        ([f] * 60_000,),
    ]
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
    for out in (
        np.zeros((1, 3)),
        np.zeros((2, 3), np.int64),
        np.zeros(3, np.int64),
        np.zeros((1, 6), np.int64)[:, ::2],
        read_only,
        [1],
    ):
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
        answer = subprocess.run(
            [sys.executable, "-c", script], env={**os.environ, "NSSR_TARGET": name}, capture_output=True, text=True
        )
        if name == "sse9":
            assert "'sse9'" in answer.stdout
            assert all(t in answer.stdout for t in TARGETS)
        else:
            assert answer.stdout.strip() == name, answer.stderr
