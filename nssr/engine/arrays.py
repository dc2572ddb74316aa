"""Arrays that callers hand to the engine, checked in one set of words."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def real_array(given: npt.ArrayLike, name: str, n_dimensions: int) -> npt.NDArray[Any]:
    """The array, of whatever real dtype it has. Raises ValueError for ragged lists, other dimensions and other dtypes."""
    try:
        array = np.asarray(given)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is no array: {error}") from None
    if array.ndim != n_dimensions:
        raise ValueError(f"{name} must have {n_dimensions} dimension{'s' * (n_dimensions > 1)}, not {array.ndim}")
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} must hold bools, ints or floats, not {array.dtype}")
    return array


def floats(given: npt.ArrayLike, name: str, n_dimensions: int) -> npt.NDArray[np.float64]:
    """As `real_array`, as contiguous float64."""
    return np.ascontiguousarray(real_array(given, name, n_dimensions), dtype=np.float64)
