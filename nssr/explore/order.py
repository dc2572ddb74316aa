"""The parts of a search, which may come in any order that a guide likes, and what each of them needs first.

A part is a run of stages (`plan.parts`). Some ask the bank that another part grew, so they come after it; otherwise the order
changes only how soon a formula is found. ``BY_SIZE`` goes from small banks to large ones, whatever the data.
"""

from __future__ import annotations

from collections.abc import Sequence

NEEDS = {
    "sums": "regressions",
    "peels 1": "bank 1",
    "pairs 2": "bank 2",
    "peels 2": "bank 2",
    "sparse sums": "bank 2",
    "pairs 3": "bank 3",
    "peels 3": "bank 3",
}
"""The part that must come before."""

BY_SIZE = (
    "bank 1",
    "regressions",
    "sums",
    "peels 1",
    "bank 2",
    "pairs 2",
    "peels 2",
    "sparse sums",
    "substituted quotients",
    "factored",
    "likely pairs",
    "oscillations",
    "curves",
    "parametric",
    "bank 3",
    "pairs 3",
    "peels 3",
    "differences",
    "factored again",
)
"""The parts that may change places. Laws without noise are mostly found in the first two banks; with noise in regressions."""


def checked(order: Sequence[str]) -> tuple[str, ...]:
    """The order, if it is one: every part once, none before the one that it needs. Raises ValueError otherwise."""
    order = tuple(order)
    if sorted(order) != sorted(BY_SIZE):
        odd = sorted(set(order) ^ set(BY_SIZE)) or [part for part in BY_SIZE if order.count(part) > 1]
        raise ValueError(f"An order of the search holds each part once; {odd[0]!r} is missing, unknown or there twice.")
    for part, needed in NEEDS.items():
        if order.index(part) < order.index(needed):
            raise ValueError(f"The part {part!r} of the search must come after {needed!r}.")
    return order
