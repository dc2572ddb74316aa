"""The bank: columns kept for reuse, and what can be asked about every pair of them under an operator.

>>> import numpy as np
>>> from nssr.engine import Bank
>>> x = np.array([[1.0, 2.0, 3.0, 4.0], [0.5, 0.25, 2.0, 1.0]])
>>> bank = Bank(x, target=x[0] * x[1])
>>> best = bank.best_pairs(("ADD", "SUB", "MUL", "FDIV"), k=1)
>>> best.left.tolist(), best.operator.tolist(), best.right.tolist(), best.loss.tolist()
([0], [5], [1], [0.0])

Where `engine.evaluate` runs a program over many rows, the bank runs few rows over many candidates: SIMD lanes run across the
right columns. It knows floats only; operators mean what nssr/primitives.py says of floats, rounded to the bank's type.
Every answer has the same bits for any number of threads and on every target. Calls release the interpreter lock, poll for
Ctrl-C, and may come from several threads at once. See docs/engine.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nssr import primitives
from nssr.engine import _vm
from nssr.engine.arrays import floats, real_array

OPERATORS = ("ADD", "SUB", "MUL", "DIV", "FDIV", "MIN", "MAX")
"""The operators a bank knows. ADD, MUL, MIN and MAX commute."""

_SIGNIFICAND = {np.dtype(np.float64): 40, np.dtype(np.float32): 18}
_LOSSES = {"sse": False, "affine": True}


class Pairs(NamedTuple):
    """Candidates ``operator(column left, column right)``, best first.

    ``left`` and ``right`` are int64 columns, ``operator`` uint8 opcodes of nssr.primitives, ``loss`` float64, each of shape
    (pairs,). Equal losses are ordered by opcode, left, right.
    """

    left: npt.NDArray[np.int64]
    operator: npt.NDArray[np.uint8]
    right: npt.NDArray[np.int64]
    loss: npt.NDArray[np.float64]


class Matches(NamedTuple):
    """Candidates equal to the target, ordered by opcode, left, right: arrays as in `Pairs`; ``total`` counts those beyond the
    limit too."""

    left: npt.NDArray[np.int64]
    operator: npt.NDArray[np.uint8]
    right: npt.NDArray[np.int64]
    total: int


class Bank:
    """Columns, and a target to compare their combinations with. Owns a copy of everything.

    ``columns`` is (n_columns, rows) or (rows, n_columns), any array or buffer of bools, ints or floats with any strides;
    the target's length, then the weights', tells which, and (n_columns, rows) is taken where both fit or there is neither.
    ``target`` is (rows,), or None for a bank that only gives digests and values. ``sample_weight`` is (rows,), not negative.
    ``dtype`` is "float64" or "float32": the type in which candidates are computed. NaN and infinity in columns are data.

    Raises ValueError on another dtype or shape, no rows, no columns, a target that is NaN throughout, bad weights.
    """

    def __init__(
        self,
        columns: npt.ArrayLike,
        target: npt.ArrayLike | None = None,
        sample_weight: npt.ArrayLike | None = None,
        dtype: npt.DTypeLike = "float64",
    ) -> None:
        try:
            self.dtype = np.dtype(dtype)
        except TypeError:
            raise ValueError(f"dtype must be float64 or float32, not {dtype!r}") from None
        if self.dtype not in _SIGNIFICAND:
            raise ValueError(f"dtype must be float64 or float32, not {self.dtype}")
        matrix = real_array(columns, "columns", 2)
        y = None if target is None else floats(target, "the target", 1)
        w = None if sample_weight is None else floats(sample_weight, "sample_weight", 1)
        if y is not None and w is not None and len(y) != len(w):
            raise ValueError(f"sample_weight has {len(w)} values for {len(y)} rows of the target")
        given = y if y is not None else w
        if given is not None and matrix.shape[1] != len(given):
            if matrix.shape[0] != len(given):
                raise ValueError(f"columns of shape {matrix.shape} do not fit {len(given)} rows of target or weights")
            matrix = matrix.T
        with np.errstate(over="ignore"):
            matrix = matrix.astype(self.dtype, copy=False)
        self._vm: _vm.BankF64 = (_vm.BankF64 if self.dtype == np.float64 else _vm.BankF32)(matrix, y, w)
        self.n_columns: int = self._vm.n_columns
        self.n_rows: int = self._vm.n_rows

    def best_pairs(
        self,
        operators: Sequence[str | int] = ("ADD", "SUB", "MUL", "FDIV"),
        k: int = 100,
        loss: str = "sse",
        n_threads: int = 1,
        left: range | None = None,
        right: range | None = None,
    ) -> Pairs:
        """The ``k`` candidates of least loss among every ``left`` with every ``right`` column (all where None).

        A pair of a commuting operator counts once, with left <= right, if both of its orders are asked for.

        ``sse``: sum of weight * (value - target)**2, summed in the bank's type. ``affine``: that sum after the best
        ``a * value + b``; candidates are ranked by a single pass with shifted sums, the 2 k + 64 best again by two passes
        in float64, whose losses are given. A value whose spread is within 16 units in the last place of its size counts as
        constant. A candidate whose loss is not finite (NaN or infinity on a row, of whatever weight, or a sum beyond the
        type's range) is never among them.

        Raises ValueError on no target or one that is not finite, an unknown operator or loss, k below 1 or above a million.
        """
        if loss not in _LOSSES:
            raise ValueError(f"loss must be 'sse' or 'affine', not {loss!r}")
        found = self._vm.best_pairs(
            _opcodes(operators), _count(k, "k"), _LOSSES[loss], self._range(left, "left"), self._range(right, "right"), n_threads
        )
        return Pairs(*found)

    def matches(
        self,
        operators: Sequence[str | int] = ("ADD", "SUB", "MUL", "FDIV"),
        rel_tol: float = primitives.REL_TOL,
        abs_tol: float = primitives.ABS_TOL,
        limit: int = 1000,
        n_threads: int = 1,
        left: range | None = None,
        right: range | None = None,
    ) -> Matches:
        """The candidates for which ``math.isclose(value, target, rel_tol=..., abs_tol=...)`` holds on every row.

        Weights play no part; the target is compared in float64 as it was given. The first ``limit`` are returned. Pairs are
        those of `best_pairs`, and so are the errors.
        """
        lefts, opcodes, rights, _, total = self._vm.matches(
            _opcodes(operators), rel_tol, abs_tol, _count(limit, "limit"), self._range(left, "left"), self._range(right, "right"),
            n_threads,
        )  # fmt: skip
        return Matches(lefts, opcodes, rights, total)

    def digests(
        self,
        operator: str | int,
        left: range | None = None,
        right: range | None = None,
        significand: int | None = None,
        n_threads: int = 1,
    ) -> npt.NDArray[np.uint64]:
        """128-bit digests of every ``left`` with every ``right`` column: uint64 (len(left), len(right), 2).

        Candidates whose rows are equal after rounding each value to ``significand`` bits (40, or 18 in a float32 bank) have
        the same digest; all NaNs are equal, -0 equals 0, and the largest floats round to infinity. Different rows, or the same
        in another order, meet with a probability of about 2**-128. Two columns that are equal up to rounding errors mostly have
        the same digest, but a value on the boundary between two roundings may fall either way: digests find equal columns,
        they do not prove different ones different. The whole square is computed, twins of commuting operators too.
        """
        (opcode,) = _opcodes([operator])
        return self._vm.digests(
            opcode, self._range(left, "left"), self._range(right, "right"), self._significand(significand), n_threads
        )

    def digests_of(
        self, columns: npt.ArrayLike | None = None, significand: int | None = None, n_threads: int = 1
    ) -> npt.NDArray[np.uint64]:
        """Digests of plain columns, uint64 (n_columns, 2): the bank's own, or others given as (n_columns, rows).

        A column and a candidate with the same values have the same digest.
        """
        bank = self._vm
        if columns is not None:
            matrix = real_array(columns, "columns", 2)
            if matrix.shape[1] != self.n_rows:
                raise ValueError(f"columns must have the shape (n_columns, {self.n_rows}), not {matrix.shape}")
            bank = Bank(matrix, dtype=self.dtype)._vm
        return bank.digests_of(self._significand(significand), n_threads)

    def values(
        self,
        left: npt.ArrayLike,
        operator: str | int | npt.ArrayLike,
        right: npt.ArrayLike,
        n_threads: int = 1,
    ) -> npt.NDArray[Any]:
        """Chosen candidates as columns: (pairs, rows) of the bank's type.

        ``left`` and ``right`` are int columns (pairs,), ``operator`` one operator or an array of opcodes (pairs,), so
        ``bank.values(*best_pairs[:3])`` works. Raises ValueError on a column or an operator that is not there.
        """
        lefts, rights = _columns(left, "left"), _columns(right, "right")
        if isinstance(operator, (str, int)):
            opcodes = np.full(lefts.shape, _opcodes([operator])[0], dtype=np.uint8)
        else:
            opcodes = np.asarray(operator)
            if opcodes.size and opcodes.dtype.kind not in "iu":
                raise ValueError("operator must be one operator or an array of opcodes")
            if opcodes.size and (opcodes.min() < 0 or opcodes.max() > 255):
                raise ValueError("operator holds a number that is no opcode")
            opcodes = opcodes.astype(np.uint8)
        return self._vm.values(lefts, opcodes, rights, n_threads)

    def _range(self, given: range | None, name: str) -> tuple[int, int]:
        if given is None:
            return 0, self.n_columns
        if not isinstance(given, range) or (given.step != 1 and len(given) > 1):
            raise ValueError(f"{name} must be a range of columns with step 1")
        if len(given) == 0:
            return 0, 0
        if not 0 <= given[0] <= given[-1] < self.n_columns:
            raise ValueError(f"{name} is {given}, the bank has columns 0 to {self.n_columns - 1}")
        return given[0], given[-1] + 1

    def _significand(self, given: int | None) -> int:
        if given is None:
            return _SIGNIFICAND[self.dtype]
        if not isinstance(given, (int, np.integer)) or not 2 <= given <= 53:
            raise ValueError("significand must be from 2 to 53 bits")
        return int(given)


def _columns(given: npt.ArrayLike, name: str) -> npt.NDArray[np.int64]:
    array = real_array(given, name, 1)
    if array.size and array.dtype.kind not in "iu":
        raise ValueError(f"{name} must hold ints, not {array.dtype}")
    return array.astype(np.int64)


def _count(given: int, name: str) -> int:
    if isinstance(given, bool) or not isinstance(given, (int, np.integer)):
        raise ValueError(f"{name} must be an int, not {given!r}")
    if not 1 <= given <= 1_000_000:
        raise ValueError(f"{name} must be from 1 to 1000000, not {given}")
    return int(given)


def _opcodes(operators: Sequence[str | int]) -> list[int]:
    if isinstance(operators, str):
        raise ValueError(f"operators must be a list of names or opcodes, not the text {operators!r}")
    found = []
    for given in operators:
        primitive = primitives.BY_NAME.get(given) if isinstance(given, str) else primitives.BY_OPCODE.get(given)
        if primitive is None:
            raise ValueError(f"there is no operator {given!r}; a bank knows {', '.join(OPERATORS)}")
        if primitive.arity != 2:
            raise ValueError(f"{primitive.name} is not a binary operator; a bank knows {', '.join(OPERATORS)}")
        if primitive.name not in OPERATORS:
            raise ValueError(f"a bank does not know {primitive.name}, only {', '.join(OPERATORS)}")
        found.append(primitive.opcode)
    if not found:
        raise ValueError("no operators")
    return found
