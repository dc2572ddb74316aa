"""Probes: which columns, after a peel and transforms of a target, meet a key of a table. What closures stand on.

>>> import numpy as np
>>> from nssr import engine
>>> rng = np.random.default_rng(0)
>>> bank, w, (u1, u2) = rng.uniform(1, 2, (1000, 32)), rng.uniform(1, 2, (50, 32)), rng.normal(size=(2, 32))
>>> table = engine.ProbeTable((w @ u1) / (w @ u2))
>>> target = bank[700] + np.exp(3.0 * w[20])  # log|target - v| is a multiple of w[20] for v = bank[700]
>>> hits = table.probe(bank, target, "SUB", ["LOGABS"], u1, u2)
>>> hits.column.tolist(), hits.id.tolist()
([700], [20])

For every column v of ``values``: r = h(target op v), key f = <u1, r> / <u2, r>, which no factor of r changes; with u1 and u2
orthogonal to the ones, no added constant either. Columns whose f lies within ``tol`` of a key are hits. Blocks of columns
stay in the first-level cache from the peel to the look-up; a Bloom filter over buckets of keys spares most searches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nssr import primitives
from nssr.engine import _vm
from nssr.engine.arrays import floats

_Array = npt.NDArray[np.float64]

PEELS = ("NONE", "ADD", "SUB", "RSUB", "MUL", "DIV", "RDIV")
"""What is done with target t and column v: t, t + v, t - v, v - t, t * v, t / v, v / t."""

STEPS = (
    *("NEG", "ABS", "SQUARE", "CUBE", "INV", "SQRT", "INC", "DEC", "EXP", "LOG", "SIN", "COS", "TAN", "ASIN", "ACOS", "ATAN"),
    *("SINH", "COSH", "TANH"),
)
"""Transforms, unary primitives; INC is x + 1, DEC x - 1."""

COMPOUNDS = {"ID": (), "LOGABS": ("ABS", "LOG"), "LOG1P": ("INC", "LOG"), "EXPM1": ("EXP", "DEC")}
"""Transforms that are several steps, each rounded by itself."""


class Hits(NamedTuple):
    """Pairs that agree, by column, then by the table's key, then by id: the first ``limit``.

    ``column`` int64 (hits,): rows of ``values``; ``id`` int64: places in the table's keys; ``key`` float64: the column's.
    ``total`` counts the hits beyond the limit too, ``rejected`` the columns without a key.
    """

    column: npt.NDArray[np.int64]
    id: npt.NDArray[np.int64]
    key: npt.NDArray[np.float64]
    total: int
    rejected: int


class ProbeTable:
    """Keys to look up: float64 (n,), in any order, at most 2**31; an id is a place in them. Owns a copy.

    Keys that are not finite are never hit; ``len`` counts the others. Raises ValueError on other shapes or dtypes.
    """

    def __init__(self, keys: npt.ArrayLike) -> None:
        self._vm = _vm.ProbeTable(floats(keys, "keys", 1))

    def __len__(self) -> int:
        return len(self._vm)

    def probe(
        self,
        values: npt.ArrayLike,
        target: npt.ArrayLike,
        op: str,
        transforms: Sequence[str],
        u1: npt.ArrayLike,
        u2: npt.ArrayLike,
        tol: float = 1e-9,
        limit: int = 1_000_000,
        n_threads: int = 1,
        degenerate: float = 1e-7,
    ) -> Hits:
        """Columns of ``values`` whose key f is within ``tol * |f|`` of a table's.

        ``values`` is float64 (n, rows); C-contiguous arrays and slices of their first axis are read in place and must not be
        written to meanwhile. ``target``, ``u1``, ``u2`` are (rows,), 1 to 4096 rows. ``op`` is one of `PEELS`, ``transforms``
        up to eight of `STEPS` and `COMPOUNDS`, first to last. A column has no key where r is not finite on a row, here or on
        the way, or where |<u2, r>| is below ``degenerate`` * |r| |u2|. A key of 0 is met by 0 only. Up to a ``tol`` of
        2**-28 (3.7e-9) the filter is used; beyond, every key is searched. Keys have the same bits for any number of threads.

        Raises ValueError on anything else, KeyboardInterrupt on Ctrl-C.
        """
        found = self._vm.probe(*_given(values, target, op, transforms, u1, u2), tol, degenerate, limit, n_threads)
        return Hits(*found)


def probe_keys(
    values: npt.ArrayLike,
    target: npt.ArrayLike,
    op: str,
    transforms: Sequence[str],
    u1: npt.ArrayLike,
    u2: npt.ArrayLike,
    n_threads: int = 1,
    degenerate: float = 1e-7,
) -> npt.NDArray[np.float64]:
    """The keys themselves, float64 (n,), NaN where there is none. Arguments and errors are those of `ProbeTable.probe`.

    What a table is made of is best computed by this too: its keys of equal columns have the same bits.
    """
    return _vm.probe_keys(*_given(values, target, op, transforms, u1, u2), degenerate, n_threads)


def _given(
    values: npt.ArrayLike, target: npt.ArrayLike, op: str, transforms: Sequence[str], u1: npt.ArrayLike, u2: npt.ArrayLike
) -> tuple[_Array, _Array, int, list[int], _Array, _Array]:
    if op not in PEELS:
        raise ValueError(f"there is no peel {op!r}, only {', '.join(PEELS)}")
    if isinstance(transforms, str):
        raise ValueError(f"transforms must be a list of names, not the text {transforms!r}")
    steps: list[int] = []
    for name in transforms:
        for step in COMPOUNDS.get(name, (name,)):
            if step not in STEPS:
                raise ValueError(f"there is no transform {name!r}, only {', '.join((*STEPS, *COMPOUNDS))}")
            steps.append(primitives.BY_NAME[step].opcode)
    return (
        floats(values, "values", 2),
        floats(target, "target", 1),
        PEELS.index(op),
        steps,
        floats(u1, "u1", 1),
        floats(u2, "u2", 1),
    )
