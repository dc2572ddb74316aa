"""Flat candidates: see candidates.pyx."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

COMP_NAMES: tuple[str, ...]
COMP_CODES: dict[str, int]
CONST_MODES: tuple[str | None, ...]
ROUTE_LENGTH: int
CANDIDATE: np.dtype[Any]
SLOTS: np.dtype[Any]

class Enumerator:
    n_made: int
    n_symmetric: int
    n_cut: int
    symmetry: bool
    exhausted: bool
    n_choices_done: int
    def __init__(
        self,
        slots: npt.NDArray[Any],
        arity: npt.ArrayLike,
        commutative: npt.ArrayLike,
        columns: Sequence[int],
        *,
        symmetry: bool = True,
        max_routings: int = 0,
    ) -> None: ...
    def fill(self, capacity: int, out: npt.NDArray[Any] | None = None) -> npt.NDArray[Any]: ...

def deduplicate(candidates: npt.NDArray[Any]) -> npt.NDArray[np.int64]: ...
def pack(candidates: Sequence[Mapping[str, Any]], n_columns: int, arities: Mapping[int, int]) -> npt.NDArray[Any]: ...
def unpack(records: Any, n_columns: int) -> list[dict[str, Any]]: ...
