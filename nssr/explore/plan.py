"""The plan of a search: what each part of `nssr.explore.order` does, and what comes after them all."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from nssr.explore.exact import ExactSearch
from nssr.explore.floor import NoiseFloor
from nssr.explore.noisy import NoisySearch
from nssr.explore.stages import Stage

FIRST, SECOND, THIRD = range(3)
FIRST_FITS = 4
"""Stages that the noisy search begins with: regressions, sums of y, distances, and the refining of what they found."""


class Part(NamedTuple):
    """``stages`` is called when its turn comes. ``proves``: finds what holds exactly, where rows are left over to prove it."""

    proves: bool
    stages: Callable[[], Iterator[Stage]]


def parts(exact: ExactSearch, noisy: NoisySearch) -> dict[str, Part]:
    """Those of `nssr.explore.order.BY_SIZE`, by name."""
    fits = noisy.stages(FIRST)
    return {
        "bank 1": Part(True, lambda: itertools.chain(exact.stages(FIRST), exact.all_pairs(FIRST))),
        "regressions": Part(False, lambda: itertools.islice(fits, FIRST_FITS)),
        "sums": Part(False, lambda: fits),
        "peels 1": Part(True, lambda: exact.peels(FIRST)),
        "bank 2": Part(True, lambda: itertools.chain(exact.stages(SECOND), exact.of_distances())),
        "pairs 2": Part(True, lambda: exact.all_pairs(SECOND)),
        "peels 2": Part(True, lambda: exact.peels(SECOND)),
        "sparse sums": Part(True, lambda: exact.sparse_sums(SECOND)),
        "substituted quotients": Part(True, exact.quotients_within),
        "factored": Part(True, lambda: exact.without_factors(SECOND)),
        "likely pairs": Part(True, exact.of_likely_pairs),
        "oscillations": Part(False, noisy.oscillations),
        "curves": Part(False, noisy.curves),
        "parametric": Part(False, noisy.constants_within),
        "bank 3": Part(True, lambda: exact.stages(THIRD)),
        "pairs 3": Part(True, lambda: exact.all_pairs(THIRD)),
        "peels 3": Part(True, lambda: exact.peels(THIRD)),
        "differences": Part(True, exact.of_differences),
        "factored again": Part(True, lambda: exact.without_factors(THIRD)),
    }


def rest(exact: ExactSearch, noisy: NoisySearch, large: Iterator[Stage]) -> list[Part]:
    """What comes after all others: much work each, and seldom a formula. ``large``: of the noisy search in its second bank."""
    return [
        Part(False, lambda: large),
        Part(True, lambda: exact.meetings(SECOND)),
        Part(False, lambda: noisy.stages(THIRD)),
        Part(True, lambda: exact.meetings(THIRD)),
    ]


def stages(order: Sequence[str], exact: ExactSearch, noisy: NoisySearch, provable: bool) -> Iterator[Stage]:
    """All stages in turn; ``provable``: rows are left over that prove an exact formula.

    As soon as the best formula seems to be at the noise floor, a large bank is asked whether it is, before its turn. If so, that
    bank's regressions end the search: what is left would only find formulas that are longer.
    """
    floor = noisy.noise_floor
    large = noisy.stages(SECOND)
    by_name = parts(exact, noisy)
    for part in [*(by_name[name] for name in order), *rest(exact, noisy, large)]:
        if part.proves and not provable:
            continue
        for stage in part.stages():
            yield stage
            if floor.seems_reached:
                yield from _while_reached(floor, large)
                if floor.reached:
                    return


def _while_reached(floor: NoiseFloor, large: Iterator[Stage]) -> Iterator[Stage]:
    """The first stage looks at the floor again; the others come in their turn, if it is not there."""
    for stage in large:
        yield stage
        if not floor.reached:
            return
