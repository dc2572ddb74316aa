"""Bytecode by hand: an assembler, and what docs/engine.md says in the form of a slow interpreter of one row.

The interpreter knows nothing of masks, blocks or lanes of vectors: it keeps one Python number per register, or ``None``
where the value is unsure. Tests hold the engine against it.
"""

from __future__ import annotations

import contextlib
import math
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np

from nssr import primitives
from nssr.primitives import BY_NAME, TYPED, TYPED_BY_NAME

INSTRUCTION = np.dtype(
    [(n, "<u2") for n in ("op", "dst", "a", "b", "c", "d", "e", "f")] + [("n1", "<u4"), ("n2", "<u4")]
)
PROGRAM = np.dtype(
    [
        ("start", "<u4"),
        ("length", "<u4"),
        ("n_temps", "<u4"),
        ("result", "<u2"),
        ("flags", "<u2"),
        ("k", "<f8"),
        ("k2", "<f8"),
    ]
)
assert INSTRUCTION.itemsize == 24
assert PROGRAM.itemsize == 32

RESULT_F64, ALWAYS_ERROR, ALWAYS_UNSURE = 1, 2, 4
NONE, MULTIPLY, ADD, AFFINE = (mode << 4 for mode in range(4))
FAIL, PASS, UNSURE = 0, 1, 2
FINE, ERROR = 0, 1
OP_NAMES = {t.code: t.name for t in TYPED}
I64_MIN, I64_MAX = -(2**63), 2**63 - 1


class Assembler:
    """Builds one batch. Registers are numbers; ``emit`` and the loops return the register they write."""

    def __init__(self, lanes: str) -> None:
        self.lanes = lanes
        self.code: list[tuple[int, ...]] = []
        self.programs: list[tuple[Any, ...]] = []
        self.begin()

    def begin(self) -> None:
        self.start, self.n_temps, self.lane = len(self.code), 0, dict(enumerate(self.lanes))

    def temp(self, lane: str) -> int:
        register = len(self.lanes) + self.n_temps
        self.n_temps += 1
        self.lane[register] = lane
        return register

    def emit(self, name: str, *operands: int) -> int:
        op = TYPED_BY_NAME[name]
        dst = self.temp(op.result)
        a, b, c = (*operands, 0, 0, 0)[:3]
        self.code.append((op.code, dst, a, b, c, 0, 0, 0, 0, 0))
        return dst

    def constant(self, value: int | float) -> int:
        lane = "f" if isinstance(value, float) else "i"
        low, high = struct.unpack("<II", struct.pack("<d" if lane == "f" else "<q", value))
        dst = self.temp(lane)
        self.code.append(
            (TYPED_BY_NAME["LOADK_F64" if lane == "f" else "LOADK_I64"].code, dst, 0, 0, 0, 0, 0, 0, low, high)
        )
        return dst

    @contextlib.contextmanager
    def _loop(self, kind: str, a: int, b: int, c: int = 0) -> Iterator[LoopBody]:
        suffix = "F64" if self.lane[b] == "f" else "I64"
        op = TYPED_BY_NAME[f"{kind}_{suffix}"]
        dst = self.temp(op.result)
        state = self.temp(self.lane[b]) if kind == "ACCUM" else dst
        place = len(self.code)
        self.code.append(())
        body = LoopBody(self, place, dst, state)
        yield body
        n2 = len(self.code) - body.body_start
        n1 = body.body_start - place - 1
        f = state if kind == "ACCUM" else 0
        self.code[place] = (op.code, dst, a, b, c, body.condition, body.result, f, n1, n2)

    def loop(self, count: int, initial: int) -> contextlib.AbstractContextManager[LoopBody]:
        return self._loop("LOOP", count, initial)

    def loop_while(self, limit: int, initial: int) -> contextlib.AbstractContextManager[LoopBody]:
        return self._loop("WHILE", limit, initial)

    def accum(self, limit: int, initial: int, counter: int) -> contextlib.AbstractContextManager[LoopBody]:
        return self._loop("ACCUM", limit, initial, counter)

    def end(self, result: int = 0, mode: int = NONE, k: float = 0.0, k2: float = 0.0, flags: int = 0) -> int:
        """Closes the program; returns its index."""
        flags |= mode | (RESULT_F64 if self.lane.get(result) == "f" else 0)
        self.programs.append((self.start, len(self.code) - self.start, self.n_temps, result, flags, k, k2))
        self.begin()
        return len(self.programs) - 1

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        return np.array(self.code, INSTRUCTION), np.array(self.programs, PROGRAM)


class LoopBody:
    """Handed out by the loops: read ``state``, say where the condition ends, set ``result``."""

    def __init__(self, assembler: Assembler, place: int, dst: int, state: int) -> None:
        self.assembler, self.dst, self.state = assembler, dst, state
        self.body_start, self.condition, self.result = place + 1, 0, state

    def until(self, condition: int) -> None:
        """What was written so far is the condition; what follows is the body."""
        self.condition, self.body_start = condition, len(self.assembler.code)


class RowError(Exception):
    pass


class RowUnsure(Exception):
    pass


def _plain(name: str, values: list[Any]) -> Any:
    """One plain instruction on numbers; None stands for unsure, in and out."""
    if name.startswith("COND"):
        if values[0] is None:
            return None
        return values[1] if values[0] != 0 else values[2]
    if name in ("I64_TO_F64", "DIV_I64", "INV_I64") and None in values:
        raise RowUnsure
    if None in values:
        return None
    if name == "I64_TO_F64":
        return float(values[0])
    if name in ("I64_TO_F64_EXACT", "DIV_I64", "INV_I64") and any(abs(v) > 2**53 for v in values):
        return None
    if name == "I64_TO_F64_EXACT":
        return float(values[0])
    base = name.rpartition("_")[0]
    meaning = BY_NAME[base].meaning
    assert meaning is not None
    value = meaning(values)
    if TYPED_BY_NAME[name].result == "i":
        return value if I64_MIN <= value <= I64_MAX else None
    return float(value)


class RowModel:
    """Runs one program on one row."""

    def __init__(self, code: np.ndarray, n_columns: int) -> None:
        self.code, self.n_columns = code.tolist(), n_columns

    def run(self, program: np.void, row: list[Any]) -> tuple[Any, int]:
        """(value, status) with status FINE, ERROR or UNSURE."""
        flags = int(program["flags"])
        if flags & ALWAYS_UNSURE:
            return None, UNSURE
        if flags & ALWAYS_ERROR:
            return None, ERROR
        self.register: dict[int, Any] = dict(enumerate(row))
        self.depth = self.fuel = 0
        start, end = int(program["start"]), int(program["start"]) + int(program["length"])
        self.unsure = False
        try:
            self.section(start, end)
        except RowError:
            return None, ERROR
        except RowUnsure:
            return None, UNSURE
        value = self.register[int(program["result"])]
        if value is None or self.unsure:
            return None, UNSURE
        k, k2, mode = float(program["k"]), float(program["k2"]), flags & 0x30
        if mode:
            value = value * k if mode == MULTIPLY else value + k if mode == ADD else k * value + k2
        return value, FINE

    def section(self, i: int, end: int) -> None:
        while i < end:
            op, dst, a, b, c, d, e, f, n1, n2 = self.code[i]
            name = OP_NAMES[op]
            r = self.register
            i += 1
            if name in ("LOADK_I64", "LOADK_F64"):
                raw = struct.pack("<II", n1, n2)
                r[dst] = struct.unpack("<q" if name == "LOADK_I64" else "<d", raw)[0]
            elif name == "RAISE":
                raise RowError
            elif name == "UNSURE":
                raise RowUnsure
            elif name.startswith(("LOOP", "WHILE", "ACCUM")):
                conditional = not name.startswith("LOOP")
                n1 = n1 if conditional else 0
                self.loop(name, (dst, a, b, c, d, e, f), (i, i + n1, i + n1 + n2))
                i += n1 + n2
            else:
                r[dst] = _plain(name, [r[x] for x in (a, b, c)[: len(TYPED_BY_NAME[name].operands)]])

    def loop(self, name: str, fields: tuple[int, ...], parts: tuple[int, int, int]) -> None:
        dst, a, b, c, d, e, f = fields
        r, limit = self.register, self.register[a]
        accum, conditional = name.startswith("ACCUM"), not name.startswith("LOOP")
        if limit is None:
            raise RowUnsure
        if limit > primitives.MAX_ITERATIONS:
            raise RowError
        state = f if accum else dst
        r[state] = r[b]
        counter = r[c] if accum else None
        if self.depth == 0:
            self.fuel = 0
        self.depth += 1
        n = 0
        while n < limit:
            if conditional:
                self.section(parts[0], parts[1])
                if r[d] is None:
                    raise RowUnsure
                if r[d] == 0:
                    break
            self.fuel += 1
            if self.fuel > primitives.MAX_TOTAL_ITERATIONS:
                raise RowError
            self.section(parts[1], parts[2])
            if r[e] is None:
                raise RowUnsure
            r[state] = r[e]
            n += 1
        self.depth -= 1
        if accum:
            total = None if counter is None else counter + n
            r[dst] = total if total is not None and total <= I64_MAX else None


def same(a: Any, b: Any) -> bool:
    """Equal to the bit, except that all NaNs are alike."""
    if isinstance(a, float) != isinstance(b, float):
        return False
    if isinstance(a, float):
        return (math.isnan(a) and math.isnan(b)) or struct.pack("<d", a) == struct.pack("<d", b)
    return bool(a == b)
