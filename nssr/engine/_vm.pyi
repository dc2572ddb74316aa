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
def opcodes() -> dict[str, dict[str, Any]]: ...

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
