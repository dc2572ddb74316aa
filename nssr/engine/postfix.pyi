"""Postfix tokens to typed flat bytecode: see postfix.pyx."""

from typing import Any

import numpy.typing as npt

from nssr.engine.functions import FunctionTable

def lower_postfix(
    table: FunctionTable,
    tokens: npt.ArrayLike,
    operands: npt.ArrayLike,
    constants: npt.ArrayLike,
    offsets: npt.ArrayLike,
    lanes: str,
    *,
    share: bool = True,
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]: ...
