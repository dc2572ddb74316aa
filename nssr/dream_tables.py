"""Tables of inputs for dreams: what columns of real tables look like, drawn at random.

Bits, digits, whole numbers, decimals, positive numbers, numbers of any size; rounded as people write them down, or not; a
column more than a program needs is junk, and the guide must learn to look past it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Column = npt.NDArray[np.int64] | npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Column]

COLUMN_SHARES = {1: 0.05, 2: 0.25, 3: 0.35, 4: 0.22, 5: 0.13}
ROWS = (4, 6, 8, 10, 12, 16, 24)
MIXED = 0.15  # of the tables draw a kind for each column
JUNK = 0.2  # of the columns of a table of one kind are of another


def _whole(low: int, high: int) -> Draw:
    return lambda rng, n: rng.integers(low, high, n, endpoint=True)


def _decimals(low: float, high: float) -> Draw:
    def draw(rng: np.random.Generator, n: int) -> Column:
        values = rng.uniform(low, high, n)
        return np.round(values, 2) if rng.random() < 0.5 else values

    return draw


def _any_size(rng: np.random.Generator, n: int) -> Column:
    values = 10.0 ** rng.uniform(-2, 3, n)
    if rng.random() < 0.5:
        values *= rng.choice([-1.0, 1.0], n)
    return np.array([float(f"{v:.4g}") for v in values])


KINDS: dict[str, tuple[float, Draw]] = {
    "bits": (0.12, _whole(0, 1)),
    "digits": (0.10, _whole(0, 15)),
    "whole numbers": (0.18, _whole(-20, 20)),
    "decimals": (0.17, _decimals(-10, 10)),
    "positive": (0.25, _decimals(0.1, 10)),
    "near one": (0.10, _decimals(0.5, 3)),
    "any size": (0.08, _any_size),
}
"""By name: share of the tables, and how a column of n values is drawn."""

_NAMES = tuple(KINDS)
_SHARES = np.array([share for share, _ in KINDS.values()])
_SHARES /= _SHARES.sum()


def draw_table(rng: np.random.Generator, n_columns: int | None = None) -> list[Column]:
    """Columns of one table, int64 or float64, each (rows,). Small tables of bits are whole truth tables."""
    if n_columns is None:
        n_columns = int(rng.choice(list(COLUMN_SHARES), p=list(COLUMN_SHARES.values())))
    n_rows = int(rng.choice(ROWS))
    kind = _NAMES[int(rng.choice(len(_NAMES), p=_SHARES))]
    if kind == "bits" and n_columns <= 4 and rng.random() < 0.7:
        rows = np.array(list(itertools.product((0, 1), repeat=n_columns)), dtype=np.int64)
        return [column.copy() for column in rng.permutation(rows).T]
    mixed = rng.random() < MIXED
    columns: list[Column] = []
    for _ in range(n_columns):
        own = kind
        if mixed or (columns and rng.random() < JUNK):
            own = _NAMES[int(rng.choice(len(_NAMES), p=_SHARES))]
        columns.append(KINDS[own][1](rng, n_rows))
    return columns
