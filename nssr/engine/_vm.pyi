"""The compiled runner (csrc/): datasets, verified programs, runs. See docs/engine.md."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

class Dataset:
    n_rows: int
    n_columns: int
    lanes: str
    has_target: bool
    def __init__(
        self,
        columns: Sequence[npt.NDArray[Any]],
        target: npt.NDArray[np.float64] | None = None,
        unsure: Sequence[npt.NDArray[np.bool_] | None] | None = None,
        poison: bool = False,
    ) -> None: ...

class ProgramBatch:
    lanes: str
    n_instructions: int
    def __init__(self, code: npt.NDArray[Any], programs: npt.NDArray[Any], lanes: str) -> None: ...
    def __len__(self) -> int: ...

def validate(
    batch: ProgramBatch, data: Dataset, rel_tol: float = 1e-6, abs_tol: float = 1e-9, n_threads: int = 1
) -> npt.NDArray[np.uint8]: ...
def evaluate(
    batch: ProgramBatch, data: Dataset, out: npt.NDArray[np.int64], status: npt.NDArray[np.uint8], n_threads: int = 1
) -> None: ...
def predict(
    batch: ProgramBatch, data: Dataset, out: npt.NDArray[np.float64], status: npt.NDArray[np.uint8], n_threads: int = 1
) -> None: ...
def result_lanes(batch: ProgramBatch) -> str: ...
def targets() -> list[str]: ...
def target() -> str: ...
def set_target(name: str) -> None: ...
def fit_constants(
    tokens: npt.NDArray[np.int32],
    operands: npt.NDArray[np.int32],
    constants: npt.NDArray[np.float64],
    offsets: npt.NDArray[np.int64],
    x: npt.NDArray[np.float64],
    y: npt.NDArray[np.float64],
    weights: npt.NDArray[np.float64] | None,
    max_iterations: int,
    tolerance: float,
    loss: int,
    scale: float,
    n_threads: int,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.int32], npt.NDArray[np.uint8]]: ...
def gradients(
    tokens: npt.NDArray[np.int32],
    operands: npt.NDArray[np.int32],
    constants: npt.NDArray[np.float64],
    offsets: npt.NDArray[np.int64],
    x: npt.NDArray[np.float64],
    n_threads: int,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.int64], npt.NDArray[np.int32]]: ...
def opcodes() -> dict[str, dict[str, Any]]: ...

class Columns:
    n_rows: int
    n_columns: int
    has_target: bool
    total_weight: float
    def __init__(
        self,
        columns: Sequence[npt.NDArray[Any]],
        target: npt.NDArray[Any] | None,
        weight: npt.NDArray[Any] | None,
        single: bool,
    ) -> None: ...

def predict_formulas(
    tokens: npt.NDArray[Any],
    operands: npt.NDArray[Any],
    constants: npt.NDArray[Any],
    offsets: npt.NDArray[Any],
    data: Columns,
    out: npt.NDArray[Any],
    n_threads: int = 1,
) -> None: ...
def score_formulas(
    tokens: npt.NDArray[Any],
    operands: npt.NDArray[Any],
    constants: npt.NDArray[Any],
    offsets: npt.NDArray[Any],
    data: Columns,
    scores: Sequence[str],
    n_threads: int = 1,
) -> dict[str, npt.NDArray[np.float64]]: ...
def validate_formulas(
    tokens: npt.NDArray[Any],
    operands: npt.NDArray[Any],
    constants: npt.NDArray[Any],
    offsets: npt.NDArray[Any],
    data: Columns,
    rel_tol: float,
    abs_tol: float,
    n_threads: int = 1,
) -> npt.NDArray[np.uint8]: ...
def check_formulas(
    tokens: npt.NDArray[Any],
    operands: npt.NDArray[Any],
    constants: npt.NDArray[Any],
    offsets: npt.NDArray[Any],
    n_columns: int,
) -> None: ...
_Found = tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8], npt.NDArray[np.int64], npt.NDArray[np.float64]]

class BankF64:
    n_columns: int
    n_rows: int
    def __init__(
        self, columns: npt.NDArray[Any], target: npt.NDArray[np.float64] | None, weights: npt.NDArray[np.float64] | None
    ) -> None: ...
    def best_pairs(
        self,
        opcodes: Sequence[int],
        k: int,
        affine: bool,
        left: tuple[int, int],
        right: tuple[int, int],
        n_threads: int,
    ) -> _Found: ...
    def matches(
        self,
        opcodes: Sequence[int],
        rel_tol: float,
        abs_tol: float,
        limit: int,
        left: tuple[int, int],
        right: tuple[int, int],
        n_threads: int,
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8], npt.NDArray[np.int64], npt.NDArray[np.float64], int]: ...
    def digests(
        self, opcode: int, left: tuple[int, int], right: tuple[int, int], significand: int, n_threads: int
    ) -> npt.NDArray[np.uint64]: ...
    def digests_of(self, significand: int, n_threads: int) -> npt.NDArray[np.uint64]: ...
    def values(
        self, left: npt.NDArray[np.int64], opcodes: npt.NDArray[np.uint8], right: npt.NDArray[np.int64], n_threads: int
    ) -> npt.NDArray[Any]: ...

class BankF32(BankF64): ...

class Grown:
    n_stored: int
    n_rows: int
    bytes: int
    values: npt.NDArray[np.float64]
    operation: npt.NDArray[np.uint8]
    left: npt.NDArray[np.int32]
    right: npt.NDArray[np.int32]
    cost: npt.NDArray[np.int16]
    level_offsets: npt.NDArray[np.int64]
    counters: dict[str, int]
    stopped: str
    def __len__(self) -> int: ...
    def postfix(
        self, columns: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.int64]]: ...

def grow(
    columns: npt.NDArray[np.float64], operations: Sequence[tuple[int, int]], options: dict[str, Any], n_threads: int
) -> Grown: ...

class ProbeTable:
    def __init__(self, keys: npt.NDArray[np.float64]) -> None: ...
    def __len__(self) -> int: ...
    def probe(
        self,
        values: npt.NDArray[np.float64],
        target: npt.NDArray[np.float64],
        peel: int,
        steps: Sequence[int],
        u1: npt.NDArray[np.float64],
        u2: npt.NDArray[np.float64],
        tolerance: float,
        degenerate: float,
        limit: int,
        n_threads: int,
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64], int, int]: ...

def probe_keys(
    values: npt.NDArray[np.float64],
    target: npt.NDArray[np.float64],
    peel: int,
    steps: Sequence[int],
    u1: npt.NDArray[np.float64],
    u2: npt.NDArray[np.float64],
    degenerate: float,
    n_threads: int,
) -> npt.NDArray[np.float64]: ...
