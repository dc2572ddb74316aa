"""Candidates and compositions to typed flat bytecode: see lowering.pyx."""

from typing import Any

import numpy as np
import numpy.typing as npt

from nssr.engine.functions import FunctionTable

INSTRUCTION: np.dtype[Any]
PROGRAM: np.dtype[Any]

def lower_candidates(
    table: FunctionTable,
    candidates: npt.NDArray[Any],
    lanes: str,
    *,
    share: bool = True,
    out: tuple[npt.NDArray[Any], npt.NDArray[Any]] | None = None,
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]: ...
