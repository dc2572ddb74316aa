"""The functions of a registry as flat arrays: see functions.pyx."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

class FunctionTable:
    arity: npt.NDArray[np.int32]
    commutative: npt.NDArray[np.uint8]
    opcode: npt.NDArray[np.int32]
    n_functions: int
    def __init__(self, metadata: Mapping[int, Mapping[str, Any]], compositions: Sequence[Any] = ()) -> None: ...
