"""Growth: columns made of columns, by increasing cost, each behaviour once.

>>> import numpy as np
>>> from nssr import engine
>>> x = np.random.default_rng(0).uniform(1, 3, (2, 32))
>>> grown = engine.grow(x, ("ADD", "MUL", "LOG"), constants=(), max_cost=4)
>>> len(grown), grown.stopped
(10, 'max_cost')
>>> formulas = grown.postfix(range(len(grown)))
>>> bool(np.array_equal(formulas.predict(engine.Columns(x.T)), grown.values))
True

Level ``c`` holds the candidates of cost ``c``: an operation's own cost and those of its operands. Of columns that are equal
the first is kept, in the order of levels. Equality is found in two ways. Every column carries an *element* of a finite
field, its formula evaluated there at a random point: equal elements mean equal formulas (as far as + - * / go), which is free
of rounding errors and needs no row. What passes is computed, and its values, rounded, are looked up by a digest of
128 bits. Nothing is compared in full: two different columns are taken for one with a probability of about 2**-64 by
digests, and about 2**-60 by elements, per pair. See docs/engine.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nssr import primitives
from nssr.engine import _vm
from nssr.engine.formulas import Formulas

BINARY = ("ADD", "SUB", "MUL", "DIV", "FDIV", "MIN", "MAX", "POW")
FUNCTIONS = ("EXP", "LOG", "SIN", "COS", "TAN", "ASIN", "ACOS", "ATAN", "SINH", "COSH", "TANH")
UNARY = ("NEG", "ABS", "SQUARE", "CUBE", "INV", "SQRT", *FUNCTIONS)
OPERATIONS = (*BINARY, *UNARY)
"""The operations that growth knows. ADD, MUL, MIN and MAX commute. DIV and FDIV are the same: no divisor may be 0."""

DEFAULT_COSTS: Mapping[str, int] = {name: 3 if name == "POW" else 2 if name in FUNCTIONS else 1 for name in OPERATIONS}


class Grown:
    """Columns by increasing cost. All arrays are read-only views of memory that they keep alive.

    ``values`` float64 (n_stored, rows), C-contiguous: column ``i`` of the result is row ``i``; with ``store_last=False`` the
    columns that are no operand come after these and have no values. ``operation`` uint8 (n,): opcodes of `nssr.primitives`,
    255 for an input, 254 for a constant. ``left`` and ``right`` int32 (n,): columns, ``right`` -1 where there is none; of an
    input or a constant ``left`` is its number. ``cost`` int16 (n,). ``level_offsets`` int64: columns of cost ``c`` are
    ``level_offsets[c]`` to ``level_offsets[c + 1]``. ``stopped`` says why growth ended: "max_cost", "exhausted" (nothing
    more can be made), "memory", "max_columns", "deadline". ``bytes`` is what growth held at its end, tables included.

    ``counters``: ``generated`` candidates are those ``kept`` and those dropped, each under the first reason found (see
    `grow`), or ``undecided`` when the room ended. ``commuting_twin`` counts what was never generated, ``by_algebra`` the
    duplicates among others that were found without computing them.
    """

    def __init__(self, vm: _vm.Grown, constants: npt.NDArray[np.float64]) -> None:
        self._vm = vm
        self.constants = constants
        self.values: npt.NDArray[np.float64] = vm.values
        self.operation: npt.NDArray[np.uint8] = vm.operation
        self.left: npt.NDArray[np.int32] = vm.left
        self.right: npt.NDArray[np.int32] = vm.right
        self.cost: npt.NDArray[np.int16] = vm.cost
        self.level_offsets: npt.NDArray[np.int64] = vm.level_offsets
        self.counters: dict[str, int] = vm.counters
        self.stopped: str = vm.stopped
        self.bytes: int = vm.bytes

    def __len__(self) -> int:
        return len(self.operation)

    @property
    def n_stored(self) -> int:
        """How many columns, the first ones, have values."""
        return len(self.values)

    def postfix(self, columns: npt.ArrayLike | Iterable[int]) -> Formulas:
        """Chosen columns as formulas over the inputs, in the order given: ``.tokens``, ``.operands``, ``.constants``,
        ``.offsets``. Raises ValueError on a column that is not there, or none at all."""
        chosen = np.asarray(columns if isinstance(columns, np.ndarray) else list(columns))  # type: ignore[arg-type]
        if chosen.ndim != 1 or (chosen.size and chosen.dtype.kind not in "iu"):
            raise ValueError("columns must be a list of ints")
        tokens, operands, offsets = self._vm.postfix(chosen.astype(np.int64))
        return Formulas(tokens, operands, self.constants, offsets)


def grow(
    columns: npt.ArrayLike,
    operations: Sequence[str],
    *,
    costs: Mapping[str, int] | None = None,
    leaf_costs: Sequence[int] | int = 1,
    constants: Sequence[float] = (1.0, 2.0),
    constant_costs: Sequence[int] | int = 1,
    max_cost: int | None = None,
    max_columns: int | None = None,
    memory: int = 2_000_000_000,
    deadline: float | None = None,
    dedup: bool = True,
    algebra: bool = True,
    significand: int = 32,
    store_last: bool = True,
    drop_non_finite: bool = True,
    drop_out_of_range: bool = True,
    drop_constant: bool = True,
    drop_inverse: bool = True,
    drop_twins: bool = True,
    max_nesting: int | None = 1,
    max_constants: int | None = 2,
    dimensions: npt.ArrayLike | None = None,
    n_threads: int = 1,
) -> Grown:
    """Every column up to ``max_cost`` that ``operations`` make of ``columns``, or as many as there is room for.

    ``columns``: (n_leaves, rows) finite numbers, 8 to 4096 rows. ``constants`` are further leaves. ``costs`` overrides
    `DEFAULT_COSTS` by name; ``leaf_costs`` and ``constant_costs`` are one int each or one for all. Growth ends after the level
    ``max_cost``, with the column that fills ``max_columns`` or ``memory`` (bytes: values, records, tables and scratch), or
    at the first look at the clock after ``deadline`` seconds; what is there by then is the result. All but the deadline
    gives the same columns in the same order for any ``n_threads``, and the same bits on one target.

    Candidates are dropped, counted under these names, each rule with its switch:

    * ``inverse`` (``drop_inverse``): what undoes its operand, as exp(log(a)) and sqrt(a)**2, an even function of NEG, a - a,
      a / a, min(a, a), max(a, a);
    * ``nesting`` (``max_nesting``, None for no rule): more functions (`FUNCTIONS`) than that within each other;
    * ``constants`` (``max_constants``): more leaves than that are constants;
    * ``dimension`` (``dimensions``): int (n_leaves, k), k at most 8, six times the exponents of the leaves' k base units, from
      -128 to 127; constants have none. Sums and extrema of unlike operands, functions and powers of what has a dimension,
      roots of exponents that are odd then, and exponents beyond the range are dropped;
    * ``non_finite`` (``drop_non_finite``): NaN or infinity on a row, divisors that are 0;
    * ``out_of_range`` (``drop_out_of_range``): beyond 1e150 on a row, or below 1e-150 on all;
    * ``constant`` (``drop_constant``): no row differs from the first by more than 2**-40 of its size, or for ADD and SUB of the
      left operand's on that row; and what is a small fraction by its element;
    * ``duplicate`` (``dedup``): equal to a kept column, or one dropped for the reasons above it counts under, by its element
      (``algebra``), or to a kept one after rounding each value to ``significand`` bits;
    * twins of commuting operations (``drop_twins``) are not generated; ``commuting_twin`` counts them.

    With ``store_last=False`` columns that cannot be an operand within ``max_cost`` get no values, which is faster and leaves
    room for many more.

    Raises ValueError on an unknown operation and whatever else is out of the ranges above, KeyboardInterrupt on Ctrl-C.
    """
    matrix = np.ascontiguousarray(_matrix(columns), dtype=np.float64)
    if isinstance(operations, str):
        raise ValueError(f"operations must be a list of names, not the text {operations!r}")
    for name in (*operations, *(costs or ())):
        if name not in OPERATIONS:
            raise ValueError(f"growth does not know the operation {name!r}; it knows {', '.join(OPERATIONS)}")
    price = {**DEFAULT_COSTS, **(costs or {})}
    numbers = np.array(constants, dtype=np.float64).reshape(-1)
    vectors = np.zeros((len(matrix), 0), dtype=np.int8)
    if dimensions is not None:
        given = np.asarray(dimensions)
        if given.ndim != 2 or len(given) != len(matrix) or given.dtype.kind not in "iu":
            raise ValueError(f"dimensions must be ints of the shape ({len(matrix)}, k)")
        if given.size and (given.min() < -128 or given.max() > 127):
            raise ValueError("dimensions must be from -128 to 127 (six times the exponents)")
        vectors = given.astype(np.int8)
    leaf = _one_each(leaf_costs, len(matrix), "leaf_costs") + _one_each(constant_costs, len(numbers), "constant_costs")
    options: dict[str, Any] = {
        "leaf_costs": leaf,
        "constants": numbers.tolist(),
        "dimensions": vectors.reshape(-1).tolist(),
        "n_dimensions": vectors.shape[1],
        "max_cost": 0 if max_cost is None else _positive(max_cost, "max_cost"),
        "max_columns": 0 if max_columns is None else _positive(max_columns, "max_columns"),
        "memory": _positive(memory, "memory"),
        "deadline": 0.0 if deadline is None else max(float(deadline), 1e-9) if deadline >= 0 else -1.0,
        "significand": _positive(significand, "significand"),
        "max_nesting": -1 if max_nesting is None else int(max_nesting),
        "max_constants": -1 if max_constants is None else int(max_constants),
        "dedup": bool(dedup),
        "algebra": bool(algebra),
        "store_last": bool(store_last),
        "drop_non_finite": bool(drop_non_finite),
        "drop_out_of_range": bool(drop_out_of_range),
        "drop_constant": bool(drop_constant),
        "drop_inverse": bool(drop_inverse),
        "drop_twins": bool(drop_twins),
    }  # fmt: skip
    pairs = [(primitives.BY_NAME[name].opcode, _positive(price[name], "a cost")) for name in operations]
    return Grown(_vm.grow(matrix, pairs, options, n_threads), numbers)


def _matrix(columns: npt.ArrayLike) -> npt.NDArray[Any]:
    try:
        matrix = np.asarray(columns)
    except (TypeError, ValueError) as error:
        raise ValueError(f"columns is no array: {error}") from None
    if matrix.ndim != 2:
        raise ValueError(f"columns must have the shape (n_leaves, rows), not {matrix.shape}")
    if matrix.dtype.kind not in "biuf":
        raise ValueError(f"columns must hold bools, ints or floats, not {matrix.dtype}")
    return matrix


def _positive(given: int, name: str) -> int:
    if isinstance(given, bool) or not isinstance(given, (int, np.integer)) or not 1 <= given < 2**62:
        raise ValueError(f"{name} must be a positive int, not {given!r}")
    return int(given)


def _one_each(given: Sequence[int] | int, n: int, name: str) -> list[int]:
    if isinstance(given, (int, np.integer)):
        return [_positive(int(given), name)] * n
    if len(given) != n:
        raise ValueError(f"{name} has {len(given)} entries for {n}")
    return [_positive(cost, name) for cost in given]
