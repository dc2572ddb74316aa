"""Constants of many formulas at once: derivatives by them, and least-squares fits of them to data.

>>> import numpy as np
>>> from nssr import engine
>>> x = np.linspace(0.0, 2.0, 50)
>>> tokens = [254, 254, 255, 5, 28, 5]  # c0 * exp(c1 * x0), in postfix order: c0 c1 x0 MUL EXP MUL
>>> fit = engine.fit_constants(tokens, [0, 1, 0, 0, 0, 0], [1.0, 1.0], [0, 6], x[:, None], 3.0 * np.exp(-0.7 * x))
>>> fit.constants.round(6).tolist()
[3.0, -0.7]

Formulas are flat arrays of postfix tokens, laid end to end. A token is the opcode of a primitive of real numbers (no bits,
loops or calls) or ``primitives.TOKEN_VARIABLE`` (operand: the column), ``TOKEN_FLOAT`` (operand: index into the constants)
or ``TOKEN_INT`` (operand: the value). Everything is a float: comparisons give 0.0 or 1.0, COND asks whether its first operand
differs from 0. Every constant is fitted, integers are not. A constant that several tokens of one formula name is one unknown.

A formula has at most 16 constants, 4,000 tokens and 256 values waiting. What breaks these rules is a ValueError that names
formula and position.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nssr.engine import _vm

CONVERGED, STALLED, MAX_ITERATIONS, NO_CONSTANTS, NOT_FINITE = range(5)
STATUS = ("converged", "stalled", "max_iterations", "no_constants", "not_finite")
"""Names of the values of ``FittedConstants.status``."""

_LOSSES = ("squared", "huber", "cauchy")
_INT32 = np.iinfo(np.int32)


@dataclass(frozen=True, slots=True)
class FittedConstants:
    """What `fit_constants` found.

    ``constants`` float64, as long as the given ones, the fitted values in their places. Per formula: ``loss`` float64, the
    weighted mean of the squared residuals (of the robust loss, if one was asked for; infinite where the status is
    NOT_FINITE); ``iterations`` int32, steps tried; ``status`` uint8, an index into `STATUS`:

    * CONVERGED: the loss cannot fall by more than ``tolerance`` of itself, as far as the derivatives tell, or is exact;
    * STALLED: no step, however short, makes the loss fall, or no derivative is finite;
    * MAX_ITERATIONS: it was still falling;
    * NO_CONSTANTS: nothing to fit, the loss is that of the formula;
    * NOT_FINITE: with the given constants a row has no finite value, or the squares are beyond a float. Constants unchanged.
    """

    constants: npt.NDArray[np.float64]
    loss: npt.NDArray[np.float64]
    iterations: npt.NDArray[np.int32]
    status: npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Gradients:
    """``values`` float64 (formulas, rows). ``jacobian`` float64 (constants of all formulas, rows): rows ``starts[i]`` up to
    ``starts[i + 1]`` are the derivatives of formula ``i`` by its constants, in the order of their first use; ``which`` int32
    says for each row of the jacobian the index of the constant."""

    values: npt.NDArray[np.float64]
    jacobian: npt.NDArray[np.float64]
    starts: npt.NDArray[np.int64]
    which: npt.NDArray[np.int32]

    def of(self, formula: int) -> npt.NDArray[np.float64]:
        """(constants of this formula, rows)."""
        return self.jacobian[self.starts[formula] : self.starts[formula + 1]]


def fit_constants(
    formulas: Any,
    *arrays: npt.ArrayLike,
    sample_weight: npt.ArrayLike | None = None,
    max_iterations: int = 30,
    tolerance: float = 1e-10,
    loss: str = "squared",
    loss_scale: float = 1.0,
    n_threads: int = 1,
) -> FittedConstants:
    """Fits the constants of every formula to ``y`` by least squares, starting from the given ones.

    ``fit_constants(tokens, operands, constants, offsets, X, y)`` or ``fit_constants(formulas, X, y)`` with an object that has
    the first four as attributes. ``X`` numbers (rows, columns), any strides; ``y`` and ``sample_weight`` (rows,), finite;
    weights at least 0, and rows of weight 0 are left out. A NaN or an infinity in ``X`` makes the formulas NOT_FINITE that
    have no finite value there.

    ``loss`` may be ``huber`` or ``cauchy``: rows farther than about ``loss_scale`` (in units of y) then count less (weights
    found anew at each step). ``tolerance`` is relative to the loss. The result never has a greater loss than the start. It
    is a local minimum: to try several starts is the caller's business. Same bits for every ``n_threads``.

    Two formulas cannot share a constant: each would want its own value of it. Raises ValueError for that and for every
    other fault of the input, KeyboardInterrupt on Ctrl-C.

    Source: D. Marquardt, J. SIAM 11, 1963; J. More, Lecture Notes in Mathematics 630, 1978; H. Nielsen, IMM-REP-1999-05,
    1999. Derivatives: forward mode, A. Griewank and A. Walther, Evaluating Derivatives, 2nd ed., 2008.
    """
    tokens, operands, constants, offsets, rest = _formulas(formulas, arrays, 2, "X and y")
    x, y = _matrix(rest[0]), _vector(rest[1], "y")
    if y.shape != x.shape[:1]:
        raise ValueError(f"X has {len(x)} rows, y has the shape {y.shape}")
    weights = None if sample_weight is None else _vector(sample_weight, "sample_weight")
    if weights is not None:
        if weights.shape != y.shape:
            raise ValueError(f"X has {len(x)} rows, sample_weight has the shape {weights.shape}")
        if (weights < 0).any():
            raise ValueError(f"sample_weight is negative in row {int(np.argmax(weights < 0))}")
        used = weights > 0
        if len(x) and not used.any():
            raise ValueError("sample_weight is 0 in every row")
        if not used.all():
            x, y, weights = x[used], y[used], weights[used]
    if loss not in _LOSSES:
        raise ValueError(f"loss must be one of {', '.join(_LOSSES)}, not {loss!r}")
    if not (0 <= max_iterations <= _INT32.max):
        raise ValueError(f"max_iterations must be from 0 to {_INT32.max}, it is {max_iterations}")
    if not (0 <= tolerance < 1):
        raise ValueError(f"tolerance must be at least 0 and below 1, it is {tolerance}")
    if not (0 < loss_scale < np.inf):
        raise ValueError(f"loss_scale must be positive and finite, it is {loss_scale}")
    found = _vm.fit_constants(
        tokens, operands, constants, offsets, x, y, weights, max_iterations, tolerance, _LOSSES.index(loss), loss_scale, n_threads
    )
    return FittedConstants(*found)


def gradients(formulas: Any, *arrays: npt.ArrayLike, n_threads: int = 1) -> Gradients:
    """Values of every formula on every row, and derivatives by its constants.

    ``gradients(tokens, operands, constants, offsets, X)`` or ``gradients(formulas, X)``, arrays as in `fit_constants`.
    Formulas may share constants here. Where a derivative does not exist it is one of those to either side (MIN, MAX), 0
    (ABS at 0, DIV by 0), infinite (SQRT at 0, ASIN and ACOS at 1 and -1) or NaN (POW of a negative base, by its exponent).
    """
    tokens, operands, constants, offsets, rest = _formulas(formulas, arrays, 1, "X")
    return Gradients(*_vm.gradients(tokens, operands, constants, offsets, _matrix(rest[0]), n_threads))


def _formulas(formulas: Any, arrays: tuple[Any, ...], n_data: int, data: str) -> tuple[Any, Any, Any, Any, tuple[Any, ...]]:
    if len(arrays) == n_data:
        missing = [n for n in ("tokens", "operands", "constants", "offsets") if not hasattr(formulas, n)]
        if missing:
            raise ValueError(f"formulas of the type {type(formulas).__name__} have no {missing[0]}")
        given: tuple[Any, ...] = (formulas.tokens, formulas.operands, formulas.constants, formulas.offsets)
    elif len(arrays) == 3 + n_data:
        given, arrays = (formulas, *arrays[:3]), arrays[3:]
    else:
        raise ValueError(f"give formulas, {data}; or tokens, operands, constants, offsets, {data}")
    tokens, operands = (_integers(a, name, np.int32) for a, name in zip(given, ("tokens", "operands"), strict=False))
    return tokens, operands, _numbers(given[2], "constants"), _integers(given[3], "offsets", np.int64), arrays


def _integers(values: npt.ArrayLike, name: str, dtype: type) -> npt.NDArray[Any]:
    array = np.asarray(values)
    if array.dtype.kind not in "iu" and array.size:
        raise ValueError(f"{name} must be integers, they are {array.dtype}")
    bounds = np.iinfo(dtype)
    if array.size and (int(array.min()) < bounds.min or int(array.max()) > bounds.max):
        raise ValueError(f"{name} must fit in {bounds.dtype}")
    return np.ascontiguousarray(array, dtype=dtype)


def _numbers(values: npt.ArrayLike, name: str) -> npt.NDArray[np.float64]:
    array = np.asarray(values)
    if array.dtype.kind not in "iufb":
        raise ValueError(f"{name} must be numbers, they are {array.dtype}")
    return array.astype(np.float64, copy=False)


def _matrix(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    x = _numbers(values, "X")
    if x.ndim != 2:
        raise ValueError(f"X must have two dimensions, it has {x.ndim}")
    return x


def _vector(values: npt.ArrayLike, name: str) -> npt.NDArray[np.float64]:
    y = _numbers(values, name)
    if not np.isfinite(y).all():
        raise ValueError(f"{name} is not finite in row {int(np.argmin(np.isfinite(y).reshape(len(y), -1).all(axis=1)))}")
    return y
