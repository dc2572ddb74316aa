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
