"""Formulas over float columns: flat postfix arrays in, predictions, scores or verdicts out.

The fast lane of the engine. Everything in a formula is a float of one precision: comparisons give 0.0 or 1.0, ``COND`` tests
for zero, and bits, loops and calls are refused (`ProgramBatch` holds those). Nothing is lowered beforehand: each call lowers
a few hundred programs at a time into memory that its thread keeps, and runs them while they are in the cache.

>>> import numpy as np
>>> from nssr import engine
>>> data = engine.Columns(np.array([[1.0, 2.0], [3.0, 4.0]]), y=[3.0, 13.0])
>>> formulas = engine.Formulas([255, 255, 5, 254, 3], [0, 1, 0, 0, 0], [1.0], [0, 5])  # x0 * x1 + 1
>>> formulas.predict(data).tolist()
[[3.0, 13.0]]
>>> formulas.score(data, ["mse", "r2"])["r2"].tolist()
[1.0]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nssr import primitives
from nssr.engine import _vm

SCORES = ("sse", "mse", "mae", "r2", "correlation", "affine_r2")


class Columns:
    """Float columns with an optional target and optional weights; owns padded copies.

    ``X`` has the shape (rows, columns), or is a list of one-dimensional columns; ``y`` and ``sample_weight`` have one value
    per row. Any strides, read-only memory and any real dtype are taken. ``dtype`` is the precision in which formulas are
    computed, float64 or float32. Raises ValueError for other shapes or dtypes, no rows, 2**31 or more, and for weights that
    are negative, not finite or all zero. NaN and infinities in ``X`` and ``y`` are data like any other.
    """

    def __init__(
        self,
        X: npt.ArrayLike | Sequence[npt.ArrayLike],
        y: npt.ArrayLike | None = None,
        sample_weight: npt.ArrayLike | None = None,
        dtype: npt.DTypeLike = np.float64,
    ) -> None:
        self.dtype = np.dtype(dtype)
        if self.dtype not in (np.dtype(np.float64), np.dtype(np.float32)):
            raise ValueError(f"formulas are computed in float64 or float32, not in {self.dtype}")
        if isinstance(X, (list, tuple)) and any(isinstance(column, np.ndarray) and column.ndim == 1 for column in X):
            columns = [_real(column, f"column {i}", 1) for i, column in enumerate(X)]
        else:
            matrix = _real(X, "X", 2)
            columns = [matrix[:, i] for i in range(matrix.shape[1])]
        if not columns:
            raise ValueError("X must have at least one column")
        self.vm = _vm.Columns(
            columns,
            None if y is None else _real(y, "y", 1),
            None if sample_weight is None else _real(sample_weight, "sample_weight", 1),
            self.dtype == np.dtype(np.float32),
        )
        self.n_rows: int = self.vm.n_rows
        self.n_columns: int = self.vm.n_columns


def _real(values: Any, name: str, n_dimensions: int) -> npt.NDArray[Any]:
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} must hold real numbers, not {array.dtype}")
    if array.ndim != n_dimensions:
        raise ValueError(f"{name} must have {n_dimensions} dimension{'s' * (n_dimensions > 1)}, it has {array.ndim}")
    native = array.dtype.isnative and array.dtype in (np.dtype(np.float64), np.dtype(np.float32))
    return array if native else array.astype(np.float64)


class Formulas:
    """Programs in postfix order, laid end to end in flat arrays: program ``i`` is ``tokens[offsets[i]:offsets[i + 1]]``.

    ``tokens`` (int32) holds opcodes of `nssr.primitives` or ``TOKEN_VARIABLE`` (255), ``TOKEN_FLOAT`` (254), ``TOKEN_INT``
    (253); ``operands`` (int32, as many) the column, the index into ``constants`` (float64) or the integer that the token
    needs; ``offsets`` (int64) has one entry more than there are programs. Arrays of these dtypes are not copied. What they
    hold is checked by each call, as it is read: a malformed program raises ValueError with its number and position.
    """

    def __init__(
        self, tokens: npt.ArrayLike, operands: npt.ArrayLike, constants: npt.ArrayLike, offsets: npt.ArrayLike
    ) -> None:
        self.tokens = _flat(tokens, "tokens", np.int32)
        self.operands = _flat(operands, "operands", np.int32)
        self.constants = _flat(constants, "constants", np.float64)
        self.offsets = _flat(offsets, "offsets", np.int64)
        if len(self.operands) != len(self.tokens):
            raise ValueError(f"there are {len(self.tokens)} tokens and {len(self.operands)} operands; each token needs one")
        if len(self.offsets) < 2:
            raise ValueError("there are no programs: offsets need one entry per program and one more")

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def _arrays(self) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
        return self.tokens, self.operands, self.constants, self.offsets

    def check(self, n_columns: int) -> None:
        """Raises ValueError for the first program that is malformed, or that names a column from ``n_columns`` on."""
        _vm.check_formulas(*self._arrays, n_columns)

    def predict(
        self, data: Columns, out: npt.NDArray[np.floating[Any]] | None = None, *, n_threads: int = 1
    ) -> npt.NDArray[np.floating[Any]]:
        """Every formula on every row, (programs, rows) of the columns' dtype; into ``out``, where one is given."""
        if out is None:
            out = np.empty((len(self), data.n_rows), dtype=data.dtype)
        _vm.predict_formulas(*self._arrays, data.vm, out, n_threads)
        return out

    def score(
        self, data: Columns, scores: str | Sequence[str] = SCORES, *, n_threads: int = 1
    ) -> dict[str, npt.NDArray[np.float64]]:
        """Scores against the target, float64 (programs,) each; predictions are not stored.

        ``sse`` (sum of squared errors), ``mse``, ``mae``, ``r2``, ``correlation`` (Pearson's), ``affine_r2`` (r2 of the best
        a * prediction + b); all weighted by ``sample_weight``, rows of weight 0 left out. If any row is not finite, errors
        are inf, r2 and affine_r2 -inf, the correlation NaN. The sums are of doubles, from squares in the columns' dtype;
        they are taken in a fixed order: the same for any number of threads.
        """
        return _vm.score_formulas(*self._arrays, data.vm, [scores] if isinstance(scores, str) else list(scores), n_threads)

    def validate(
        self,
        data: Columns,
        *,
        rel_tol: float = primitives.REL_TOL,
        abs_tol: float = primitives.ABS_TOL,
        n_threads: int = 1,
    ) -> npt.NDArray[np.uint8]:
        """1 where every row is close to the target, as `math.isclose` in the columns' dtype says, else 0; (programs,).

        A program stops at the first block of rows that holds a miss. ``sample_weight`` plays no part.
        """
        return _vm.validate_formulas(*self._arrays, data.vm, rel_tol, abs_tol, n_threads)


def _flat(values: npt.ArrayLike, name: str, dtype: type) -> npt.NDArray[Any]:
    array = np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"{name} must have one dimension, it has {array.ndim}")
    if array.size == 0:
        return np.zeros(0, dtype=dtype)
    if array.dtype.kind not in ("iu" if dtype is not np.float64 else "iuf"):
        raise ValueError(f"{name} must be of {np.dtype(dtype)}, not {array.dtype}")
    converted: npt.NDArray[Any] = np.ascontiguousarray(array, dtype=dtype)
    if dtype is not np.float64 and converted is not array and not np.array_equal(converted, array):
        raise ValueError(f"{name} holds numbers beyond {np.dtype(dtype)}")
    return converted
