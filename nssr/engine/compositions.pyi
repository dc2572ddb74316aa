"""Compositions to typed flat bytecode: see compositions.pyx."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy.typing as npt

def lower_compositions(
    metadata: Mapping[int, Mapping[str, Any]], compositions: Iterable[Any], lanes: str, *, share: bool = True
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]: ...
