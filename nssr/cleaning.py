"""Rows as a person hands them over, made into what a search can take, or refused in scikit-learn's words.

What scikit-learn checks by itself (shapes, lengths, sparse matrices, complex numbers, too few rows) is left to it. Beyond
that, this module tells where a cell is missing, refuses text that would silently be read as numbers, and leaves out rows
without weight.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import check_array, check_consistent_length, column_or_1d, validate_data

Floats = npt.NDArray[np.float64]

NAN_POLICIES = ("raise", "drop")


class Rows(NamedTuple):
    """``X`` float64 (rows, columns), ``y`` float64 (rows,), ``weights`` float64 (rows,) or None: finite, weights positive.

    ``names`` are those of all columns; ``target`` is y's, where it has one. ``dropped``: rows left out for missing cells.
    """

    X: Floats
    y: Floats
    weights: Floats | None
    names: tuple[str, ...]
    target: str | None
    dropped: int


def rows_for_fit(estimator: Any, X: Any, y: Any, sample_weight: Any, nan_policy: str) -> Rows:
    """Checks everything and sets ``n_features_in_`` and ``feature_names_in_``. Raises ``ValueError`` or ``TypeError``."""
    names = column_names(X)
    target = getattr(y, "name", None)
    _refuse_text(X)
    _refuse_text_in(y, "y")
    how: dict[str, Any] = {"dtype": "numeric", "ensure_all_finite": False, "ensure_min_samples": 2}
    if y is None:
        validate_data(estimator, X, y, **how)  # says that it is needed
    array = _floats(validate_data(estimator, X, **how))
    # scikit-learn's own check of X with y would refuse a missing target even where its row is to be dropped.
    y = check_array(y, dtype="numeric", ensure_2d=False, ensure_all_finite=False, input_name="y", estimator=estimator)
    values = _floats(column_or_1d(y, warn=True))
    check_consistent_length(array, values)
    names = names or tuple(f"x{i}" for i in range(array.shape[1]))
    weights = _weights(sample_weight, array)
    kept = np.isfinite(array).all(axis=1) & np.isfinite(values)
    if weights is not None:
        kept &= np.isfinite(weights)
    dropped = int((~kept).sum())
    if dropped and nan_policy == "raise":
        refuse_missing(array, names)
        _refuse_missing_values("y", values)
        if weights is not None:
            _refuse_missing_values("sample_weight", weights)
    if weights is not None:
        kept &= weights != 0
        if dropped < len(array) and not kept.any():
            raise ValueError("All sample weights are zero; at least two rows need a positive one.")
    n_kept = int(kept.sum())
    if n_kept < 2:
        raise ValueError(
            f"{n_kept} row{'s' * (n_kept != 1)} of {len(array)} can be used (the others have missing cells or no weight), "
            "while a minimum of 2 is required."
        )
    if n_kept < len(array):
        array, values = array[kept], values[kept]
        weights = None if weights is None else weights[kept]
    return Rows(array, values, weights, names, None if target is None else str(target), dropped)


def rows_for_predict(estimator: Any, X: Any, names: tuple[str, ...], nan_policy: str) -> Floats:
    """float64 (rows, columns), with NaN and infinities only where ``nan_policy`` is "drop"."""
    _refuse_text(X)
    array = _floats(validate_data(estimator, X, dtype="numeric", ensure_all_finite=False, reset=False))
    if nan_policy == "raise":
        refuse_missing(array, names)
    return array


def column_names(X: Any) -> tuple[str, ...] | None:
    """The names of a DataFrame's columns as text; None for arrays, and for a DataFrame whose columns are but numbered.

    Raises ``ValueError`` where two have the same name.
    """
    labels = getattr(X, "columns", None)
    if labels is None or callable(labels):
        return None
    if list(labels) == list(range(len(labels))):
        return None
    names = tuple(str(label) for label in labels)
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise ValueError(f"X has several columns named {twice[0]!r}; a formula could not tell them apart, so rename them.")
    return names


def refuse_missing(array: Floats, names: tuple[str, ...]) -> None:
    """Raises ``ValueError`` that says where the first cell is that is NaN or infinite, and how many there are."""
    bad = ~np.isfinite(array)
    if not bad.any():
        return
    row, column = (int(i) for i in np.argwhere(bad)[0])
    what = "NaN" if np.isnan(array[row, column]) else "infinity"
    more = int(bad.sum()) - 1
    raise ValueError(
        f"Input X contains {what} in column {names[column]!r}, row {row} (counted from 0)"
        f"{f', and {more} more cells that are no finite numbers' if more else ''}. "
        'Fill them in, or leave such rows out in fit with nan_policy="drop".'
    )


def _refuse_missing_values(name: str, values: Floats) -> None:
    bad = ~np.isfinite(values)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        what = "NaN" if np.isnan(values[row]) else "infinity"
        more = int(bad.sum()) - 1
        raise ValueError(
            f"Input {name} contains {what} in row {row} (counted from 0)"
            f"{f', and {more} more values that are no finite numbers' if more else ''}. "
            'Fill them in, or leave such rows out in fit with nan_policy="drop".'
        )


def _refuse_text(X: Any) -> None:
    """scikit-learn would read "1.5" as a number, and a category by its label; a formula over such columns means nothing."""
    if hasattr(X, "iloc") and hasattr(X, "columns"):
        for i, label in enumerate(X.columns):
            _refuse_text_in(X.iloc[:, i], f"column {str(label)!r}")
    elif isinstance(X, np.ndarray):
        _refuse_text_in(X, "X")


def _refuse_text_in(values: Any, where: str) -> None:
    dtype = getattr(values, "dtype", None)
    if dtype is None:
        values = np.asarray(values) if isinstance(values, (list, tuple)) and values and isinstance(values[0], str) else None
        dtype = getattr(values, "dtype", None)
    kind = getattr(dtype, "kind", "")
    if kind in ("M", "m"):
        raise ValueError(f"{where} holds dates or durations ({dtype}); give them as numbers, in a unit of your choice.")
    name = str(dtype)
    is_text = kind in ("U", "S") or name in ("category", "string", "str")
    if kind == "O" and not is_text and hasattr(values, "ravel"):
        is_text = any(isinstance(value, (str, bytes)) for value in np.asarray(values).ravel())
    if is_text:
        raise ValueError(f"{where} holds text or categories ({name}), not numbers; a string cannot stand in a formula.")


def _floats(array: Any) -> Floats:
    """float64; cells beyond its range, in longer floats or enormous ints, become infinite and are then refused as such."""
    try:
        with np.errstate(over="ignore"):
            return np.ascontiguousarray(array, dtype=np.float64)
    except OverflowError as error:
        raise ValueError(f"a value is too large for dtype('float64'): {error}") from None


def _weights(sample_weight: Any, array: Floats) -> Floats | None:
    if sample_weight is None:
        return None
    if isinstance(sample_weight, (int, float)):
        sample_weight = np.full(len(array), float(sample_weight))
    weights = _floats(
        check_array(sample_weight, ensure_2d=False, dtype="numeric", ensure_all_finite=False, input_name="sample_weight")
    )
    if weights.ndim != 1:
        raise ValueError("Sample weights must be 1D array or scalar")
    check_consistent_length(array, weights)
    if (weights < 0).any():
        row = int(np.flatnonzero(weights < 0)[0])
        raise ValueError(f"Negative values in data passed to `sample_weight`: {weights[row]} in row {row} (counted from 0).")
    return weights
