"""``_vm`` on several threads, under signals, after a fork."""

from __future__ import annotations

import _thread
import os
import signal
import threading
import time
from typing import Any

import numpy as np
import pytest
from vm_bytecode import (
    PASS,
    Assembler,
)
from vm_cases import (
    batch_of,
    column,
    evaluate,
    random_batch,
)

_vm = pytest.importorskip("nssr.engine._vm")

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
    asm, columns, _unsure = random_batch(77, n_programs=300, n_rows=100)
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
