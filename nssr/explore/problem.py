"""What the formula search is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from nssr.explore.order import BY_SIZE, checked
from nssr.explore.tree import Tree

ARITHMETIC = ("ADD", "SUB", "MUL", "DIV")
FUNCTIONS = ("NEG", "SQUARE", "CUBE", "INV", "SQRT", "POW", "EXP", "LOG", "SIN", "COS", "TAN", "ASIN", "ACOS", "ATAN", "TANH")
DEFAULT_OPERATIONS = frozenset((*ARITHMETIC, *FUNCTIONS))
"""What a formula may hold unless the user says otherwise. ABS, SINH, COSH, MIN, MAX can be asked for too."""

RULES = frozenset(("constant", "one huge row", "duplicate", "dimensions", "noise floor"))
"""What prunes: columns that say nothing, that say something about one row, that equal another, that have no dimension; and all
that is larger than a formula which leaves nothing but noise. Each has a counter in the result, and a switch."""

Dimension = tuple[Fraction, ...]
"""Exponents of the base units; all zero is dimensionless."""


@dataclass(frozen=True)
class Learned:
    """A function of a library as a tree over its arguments (COLUMN i is argument i)."""

    name: str
    arity: int
    body: Tree


@dataclass(frozen=True)
class Problem:
    """One search. ``X`` float64 (rows, columns), ``y`` and ``weights`` float64 (rows,), all finite, weights positive or None.

    ``operations``: names of the primitives that a formula may hold. ``max_complexity``: nodes (`tree.size`). ``required``:
    columns that the formula must hold. ``nesting``: ``{"SIN": {"SIN": 0}}`` says how often the inner operation may occur
    anywhere below the outer one. ``loss``: "squared", or "huber" or "cauchy" where rows may be outliers. ``dimensions``: of
    every column, and of the target, where units are known. ``costs``: of operations where a guide has an opinion, -log2 of
    their probability, in place of `front.OPERATION_BITS`. ``order``: of the search's parts. ``without``: rules of
    `RULES` that prune nothing, to see what they are worth.
    """

    X: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64]
    weights: npt.NDArray[np.float64] | None = None
    operations: frozenset[str] = DEFAULT_OPERATIONS
    max_complexity: int | None = None
    required: frozenset[int] = frozenset()
    nesting: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    loss: str = "squared"
    dimensions: tuple[tuple[Dimension, ...], Dimension] | None = None
    learned: tuple[Learned, ...] = ()
    costs: Mapping[str, float] = field(default_factory=dict)
    order: tuple[str, ...] = BY_SIZE
    without: frozenset[str] = frozenset()
    seed: int = 0

    def __post_init__(self) -> None:
        unknown = sorted(self.without - RULES)
        if unknown:
            raise ValueError(f"There is no rule {unknown[0]!r}; rules are {', '.join(sorted(RULES))}.")
        checked(self.order)


@dataclass(frozen=True)
class Found:
    """One formula of the front. ``loss``: weighted mean squared error on all rows; ``r2`` on all rows, ``held_out_r2`` on the
    rows that chose neither its shape nor its constants (NaN where there were none); ``description_length`` in bits."""

    tree: Tree
    complexity: int
    loss: float
    r2: float
    held_out_r2: float
    description_length: float


@dataclass(frozen=True)
class Result:
    """``front``: least loss per complexity, simplest first, never empty. ``chosen``: index of the one to return. ``exact``: it
    holds on every row to rounding. ``stopped``: "exact", "noise floor", "exhausted", "time", "cancelled". ``seconds``.
    ``counters``: what was generated, kept, pruned by which rule, tried by which closure."""

    front: tuple[Found, ...]
    chosen: int
    exact: bool
    stopped: str
    seconds: float
    counters: Mapping[str, int]

    @property
    def best(self) -> Found:
        return self.front[self.chosen]


Progress = Callable[[tuple[Found, ...], float, int], None]
"""Called after every stage with the front so far (the same object while it is the same), the seconds since the start, and
how many candidates were tried."""
