"""The compiled executor: many programs over many rows. What other search tools embed.

>>> import numpy as np
>>> from nssr import engine
>>> data = engine.Dataset.from_columns([np.array([1, 2, 3]), np.array([0.5, 0.25, 0.125])], target=[0.5, 0.5, 0.375])
>>> batch = engine.ProgramBatch.from_postfix([255, 255, 5], [0, 1, 0], [], [0, 3], data.lanes)  # x0 x1 MUL
>>> engine.validate(batch, data).tolist()
[1]

A verdict is 0 (fail), 1 (pass) or 2 (unsure: only the reference, ``nssr.executor``, can say). The engine knows no database
and no network; functions come in as the metadata of a registry state. Calls release the interpreter lock and may come
from several threads at once on shared batches and data.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nssr import primitives
from nssr.engine import _vm, compositions, lowering, postfix
from nssr.engine.bank import Bank, Matches, Pairs
from nssr.engine.candidates import CANDIDATE, SLOTS, Enumerator, deduplicate, pack, unpack
from nssr.engine.constants import FittedConstants, Gradients, fit_constants, gradients
from nssr.engine.formulas import Columns, Formulas
from nssr.engine.functions import FunctionTable
from nssr.engine.growth import Grown, grow
from nssr.engine.probe import Hits, ProbeTable, probe_keys

__all__ = [
    "CANDIDATE",
    "FAIL",
    "PASS",
    "SLOTS",
    "UNSURE",
    "Bank",
    "Bench",
    "Columns",
    "Dataset",
    "Enumerator",
    "Evaluation",
    "FittedConstants",
    "Formulas",
    "FunctionTable",
    "Gradients",
    "Grown",
    "Hits",
    "Matches",
    "Pairs",
    "ProbeTable",
    "ProgramBatch",
    "Scores",
    "deduplicate",
    "evaluate",
    "fit_constants",
    "gradients",
    "grow",
    "pack",
    "predict",
    "probe_keys",
    "score",
    "set_target",
    "target",
    "targets",
    "unpack",
    "validate",
]

FAIL, PASS, UNSURE = 0, 1, 2

targets = _vm.targets
"""Names of the instruction sets that this machine can use, best first."""
target = _vm.target
set_target = _vm.set_target

_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1


class Dataset:
    """Rows to run programs over: typed columns and, to validate or score, a target. Owns a copy of everything.

    ``lanes`` tells the type of each column: ``i`` (int64) or ``f`` (float64). Integers beyond int64 are kept as rows that
    the engine is unsure about.
    """

    def __init__(self, vm: _vm.Dataset, target: npt.NDArray[np.float64] | None = None) -> None:
        self.vm = vm
        self.target = target
        self.n_rows: int = vm.n_rows
        self.n_columns: int = vm.n_columns
        self.lanes: str = vm.lanes

    @classmethod
    def from_columns(cls, columns: Sequence[npt.ArrayLike], target: npt.ArrayLike | None = None) -> Dataset:
        """From 1-D arrays of equal length. Bool and integer arrays become i64 lanes, floating arrays f64 lanes.

        Raises ValueError on anything else, on no rows and on columns of different length.
        """
        typed, unsure = [], []
        for i, column in enumerate(columns):
            values, doubtful = _typed_column(column, i)
            typed.append(values)
            unsure.append(doubtful)
        if not typed:
            raise ValueError("a data set needs at least one column")
        y = None if target is None else _as_target(target)
        return cls(_vm.Dataset(typed, y, unsure if any(u is not None for u in unsure) else None), y)

    @classmethod
    def from_examples(cls, examples: Sequence[tuple[Sequence[Any], Any]]) -> Dataset:
        """From (inputs, output) pairs of Python numbers, as the rest of NSSR passes them."""
        if not examples:
            raise ValueError("no examples")
        width = len(examples[0][0])
        if any(len(inputs) != width for inputs, _ in examples):
            raise ValueError("the examples have different numbers of inputs")
        columns = [[inputs[i] for inputs, _ in examples] for i in range(width)]
        return cls.from_columns(columns, [output for _, output in examples])


def _typed_column(column: npt.ArrayLike, place: int) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_] | None]:
    if isinstance(column, np.ndarray) and column.dtype.kind in "biuf" and column.dtype != np.uint64:
        wanted = np.float64 if column.dtype.kind == "f" else np.int64
        return column.astype(wanted, copy=False), None
    values: list[Any] = column.tolist() if isinstance(column, np.ndarray) else list(column)  # type: ignore[arg-type]
    if not all(isinstance(v, (int, float, np.integer, np.floating, np.bool_)) for v in values):
        raise ValueError(f"column {place} holds something that is no number")
    if any(isinstance(v, (float, np.floating)) for v in values):
        return np.array([float(v) for v in values], dtype=np.float64), None
    doubtful = np.array([not _INT64_MIN <= v <= _INT64_MAX for v in values])
    kept = np.array([0 if bad else int(v) for v, bad in zip(values, doubtful, strict=True)], dtype=np.int64)
    return kept, doubtful if doubtful.any() else None


def _as_target(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    try:
        return np.array([float(v) for v in values] if isinstance(values, list) else values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"the target must hold numbers that a float can hold: {error}") from None


class ProgramBatch:
    """Verified programs, ready to run on data with the lanes they were lowered for. Immutable.

    ``code`` and ``programs`` are the flat arrays of docs/engine.md; bytecode of other origin is verified in the same way,
    and ValueError names what is wrong with it.
    """

    def __init__(self, code: npt.NDArray[Any], programs: npt.NDArray[Any], lanes: str) -> None:
        self.code, self.programs, self.lanes = code, programs, lanes
        self.vm = _vm.ProgramBatch(code, programs, lanes)

    def __len__(self) -> int:
        return len(self.programs)

    @classmethod
    def from_candidates(
        cls, state: Mapping[str, Any] | FunctionTable, given: npt.NDArray[Any] | Sequence[dict[str, Any]], lanes: str
    ) -> ProgramBatch:
        """From a CANDIDATE array, or from candidate dicts as `executor.run` takes them.

        ``state`` is a registry state, or a FunctionTable made from one (made once, for many batches).
        """
        table = _table(state)
        if not isinstance(given, np.ndarray):
            arities = {i: int(a) for i, a in enumerate(table.arity) if a >= -1}
            given = pack(given, len(lanes), arities)
        return cls(*lowering.lower_candidates(table, given, lanes), lanes)

    @classmethod
    def from_compositions(
        cls, state: Mapping[str, Any], given: Iterable[tuple[Any, int, Sequence[float] | None, str]], lanes: str
    ) -> ProgramBatch:
        """From (composition, arity, constants, const_mode) tuples; arguments are the first ``arity`` columns."""
        return cls(*compositions.lower_compositions(state["metadata"], given, lanes), lanes)

    @classmethod
    def from_postfix(
        cls,
        tokens: npt.ArrayLike,
        operands: npt.ArrayLike,
        constants: npt.ArrayLike,
        offsets: npt.ArrayLike,
        lanes: str,
        state: Mapping[str, Any] | FunctionTable | None = None,
    ) -> ProgramBatch:
        """From flat arrays of postfix tokens, see `postfix.lower_postfix`. ``state`` is needed for calls only."""
        table = _table(state) if state is not None else FunctionTable({})
        return cls(*postfix.lower_postfix(table, tokens, operands, constants, offsets, lanes), lanes)


def _table(state: Mapping[str, Any] | FunctionTable) -> FunctionTable:
    return state if isinstance(state, FunctionTable) else FunctionTable(state["metadata"])


class Evaluation(NamedTuple):
    """``values`` float64 (programs, rows), NaN where a row has none; ``raw`` int64, the exact lanes; ``lanes`` per program;
    ``status`` uint8 (programs, rows): 0 fine, 1 error, 2 unsure."""

    values: npt.NDArray[np.float64]
    raw: npt.NDArray[np.int64]
    lanes: str
    status: npt.NDArray[np.uint8]


def evaluate(batch: ProgramBatch, data: Dataset, *, n_threads: int = 1) -> Evaluation:
    """Every program on every row, exactly: 17 bytes per program and row."""
    raw = np.empty((len(batch), data.n_rows), dtype=np.int64)
    status = np.empty(raw.shape, dtype=np.uint8)
    _vm.evaluate(batch.vm, data.vm, raw, status, n_threads=n_threads)
    lanes = _vm.result_lanes(batch.vm)
    is_float = np.array([lane == "f" for lane in lanes], dtype=bool).reshape(-1, 1)
    values = np.where(is_float, raw.view(np.float64), raw.astype(np.float64))
    values[status != 0] = np.nan
    return Evaluation(values, raw, lanes, status)


def predict(
    batch: ProgramBatch, data: Dataset, *, n_threads: int = 1, out: npt.NDArray[np.float64] | None = None
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.uint8]]:
    """Values as float64 (programs, rows), NaN where a row has none, and a status per program.

    The status is 0 if all rows are fine, 1 if one is an error, else 2 if one is unsure.
    """
    if out is None:
        out = np.empty((len(batch), data.n_rows), dtype=np.float64)
    status = np.empty(len(batch), dtype=np.uint8)
    _vm.predict(batch.vm, data.vm, out, status, n_threads=n_threads)
    return out, status


def validate(
    batch: ProgramBatch,
    data: Dataset,
    *,
    rel_tol: float = primitives.REL_TOL,
    abs_tol: float = primitives.ABS_TOL,
    n_threads: int = 1,
) -> npt.NDArray[np.uint8]:
    """FAIL, PASS or UNSURE for each program. A program stops at the first row that certainly fails."""
    return _vm.validate(batch.vm, data.vm, rel_tol, abs_tol, n_threads)


class Bench:
    """Checks flat candidates against one data set, chunk by chunk, in memory that is used again and again.

    Lowering, verification and the run of a thousand candidates fit into the cache; fresh memory for each batch would cost
    more than all three. One thread at a time may use a Bench.
    """

    CHUNK = 1024

    def __init__(self, table: FunctionTable, data: Dataset, *, n_threads: int = 1) -> None:
        self.table, self.data, self.n_threads = table, data, n_threads
        # Two threads need more at a time, or they spend it on waking each other.
        self.chunk = self.CHUNK if n_threads == 1 else 8 * self.CHUNK
        self._out = (np.empty(8 * self.chunk, lowering.INSTRUCTION), np.empty(self.chunk, lowering.PROGRAM))
        self._values = np.empty((0, data.n_rows))

    def _lowered(self, part: npt.NDArray[Any]) -> _vm.ProgramBatch:
        code, programs = lowering.lower_candidates(self.table, part, self.data.lanes, out=self._out)
        return _vm.ProgramBatch(code, programs, self.data.lanes)  # copies: the buffers are free again

    def validate(self, records: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """FAIL, PASS or UNSURE for each of a CANDIDATE array."""
        out = np.empty(len(records), dtype=np.uint8)
        for start in range(0, len(records), self.chunk):
            part = records[start : start + self.chunk]
            out[start : start + len(part)] = _vm.validate(
                self._lowered(part), self.data.vm, primitives.REL_TOL, primitives.ABS_TOL, self.n_threads
            )
        return out

    def predictions(
        self, records: npt.NDArray[Any]
    ) -> Iterator[tuple[int, npt.NDArray[np.float64], npt.NDArray[np.uint8]]]:
        """Chunk by chunk: place of the first candidate, values as `predict` gives them (valid until the next), status."""
        if len(self._values) < min(len(records), self.chunk):
            self._values = np.empty((self.chunk, self.data.n_rows))
        for start in range(0, len(records), self.chunk):
            part = records[start : start + self.chunk]
            status = np.empty(len(part), dtype=np.uint8)
            values = self._values[: len(part)]
            _vm.predict(self._lowered(part), self.data.vm, values, status, n_threads=self.n_threads)
            yield start, values, status


@dataclass(frozen=True, slots=True)
class Scores:
    """Per program, float64 (programs,): ``r2`` of ``k * value + k2`` against the target. -inf where a row is an error or not
    finite, NaN where the engine is unsure. ``k`` and ``k2`` are 1 and 0 where nothing was fitted."""

    r2: npt.NDArray[np.float64]
    k: npt.NDArray[np.float64]
    k2: npt.NDArray[np.float64]


def score(
    batch: ProgramBatch, data: Dataset, *, fit: str = "none", n_threads: int = 1, block_bytes: int = 32 << 20
) -> Scores:
    """R2 of every program, with the constants that ``fit`` asks for: none, scale, offset or affine (least squares).

    Programs are taken in blocks, so that predictions never need more than ``block_bytes``.
    """
    from nssr.engine import fitting  # compiles or loads its kernels: only those who score wait for that

    if data.target is None:
        raise ValueError("scoring needs data with a target")
    n = len(batch)
    result = Scores(np.empty(n), np.ones(n), np.zeros(n))
    step = max(1, block_bytes // (8 * data.n_rows))
    for start in range(0, n, step):
        stop = min(n, start + step)
        part = batch if stop - start == n else _slice(batch, start, stop)
        values, status = predict(part, data, n_threads=n_threads)
        fitting.fit_rows(values, data.target, fit, result.r2[start:stop], result.k[start:stop], result.k2[start:stop])
        result.r2[start:stop][status == 1] = -np.inf
        result.r2[start:stop][status == 2] = np.nan
    return result


def _slice(batch: ProgramBatch, start: int, stop: int) -> ProgramBatch:
    programs = batch.programs[start:stop].copy()
    low = int(programs["start"].min())
    high = int((programs["start"] + programs["length"]).max())
    programs["start"] -= low
    return ProgramBatch(batch.code[low:high], programs, batch.lanes)
