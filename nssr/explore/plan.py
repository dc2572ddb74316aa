"""The plan of a search: what each part of `nssr.explore.order` does, and what comes after them all."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from typing import NamedTuple

from nssr.explore.exact import ExactSearch
from nssr.explore.floor import NoiseFloor
from nssr.explore.noisy import NoisySearch
from nssr.explore.stages import Stage
from nssr.explore.tree import Tree, add, column, mul, number

FIRST, SECOND, THIRD = range(3)


class When(Enum):
    ALWAYS = "whatever is known"
    ABOVE_FLOOR = "while the best formula leaves more than noise"
    EXACT = "the same, where rows are left over that prove an exact formula"


class Part(NamedTuple):
    """``stages`` is called when its turn comes. ``simplest``: what a formula takes that no other part would have found."""

    when: When
    stages: Callable[[], Iterator[Stage]]
    simplest: Tree | None = None


_TIMES = mul(number(2.5), column(0))
_SUM = add(_TIMES, column(0))
_WAVE = Tree("SIN", (_TIMES,))
_CURVE = Tree("EXP", (_TIMES,))


def parts(exact: ExactSearch, noisy: NoisySearch) -> dict[str, Part]:
    """Those of `nssr.explore.order.BY_SIZE`, by name."""
    fits = noisy.stages(FIRST)
    return {
        "bank 1": Part(When.EXACT, lambda: itertools.chain(exact.stages(FIRST), exact.all_pairs(FIRST))),
        "regressions": Part(When.ALWAYS, lambda: itertools.islice(fits, 2)),  # and the refining of what they found
        "sums": Part(When.ALWAYS, lambda: fits, _SUM),
        "peels 1": Part(When.EXACT, lambda: exact.peels(FIRST)),
        "bank 2": Part(When.EXACT, lambda: exact.stages(SECOND)),
        "pairs 2": Part(When.EXACT, lambda: exact.all_pairs(SECOND)),
        "peels 2": Part(When.EXACT, lambda: exact.peels(SECOND)),
        "sparse sums": Part(When.EXACT, lambda: exact.sparse_sums(SECOND)),
        "substituted quotients": Part(When.EXACT, exact.quotients_within),
        "factored": Part(When.EXACT, lambda: exact.without_factors(SECOND)),
        "likely pairs": Part(When.EXACT, exact.of_likely_pairs),
        "oscillations": Part(When.ALWAYS, noisy.oscillations, _WAVE),
        "curves": Part(When.ALWAYS, noisy.curves, _CURVE),
        "parametric": Part(When.ALWAYS, noisy.constants_within, _CURVE),
        "bank 3": Part(When.EXACT, lambda: exact.stages(THIRD)),
        "pairs 3": Part(When.EXACT, lambda: exact.all_pairs(THIRD)),
        "peels 3": Part(When.EXACT, lambda: exact.peels(THIRD)),
        "differences": Part(When.EXACT, exact.of_differences),
        "factored again": Part(When.EXACT, lambda: exact.without_factors(THIRD)),
    }


def rest(exact: ExactSearch, noisy: NoisySearch, large: Iterator[Stage]) -> list[Part]:
    """What comes after all others: much work each, and seldom a formula. ``large``: of the noisy search in its second bank."""
    return [
        Part(When.ALWAYS, lambda: large),
        Part(When.EXACT, lambda: exact.meetings(SECOND)),
        Part(When.ABOVE_FLOOR, lambda: noisy.stages(THIRD)),
        Part(When.EXACT, lambda: exact.meetings(THIRD)),
    ]


def stages(order: Sequence[str], exact: ExactSearch, noisy: NoisySearch, provable: bool) -> Iterator[Stage]:
    """All stages in turn; ``provable``: rows are left over that prove an exact formula.

    As soon as the best formula seems to be at the noise floor, the large bank is asked whether it is, before its turn. What
    could only find formulas that hold exactly, or that are longer, is left out then.
    """
    floor = noisy.noise_floor
    large = noisy.stages(SECOND)

    def wanted(part: Part) -> bool:
        if part.simplest is not None and not floor.leaves_room(part.simplest):
            return False
        return part.when is When.ALWAYS or (not floor.reached and (provable or part.when is When.ABOVE_FLOOR))

    by_name = parts(exact, noisy)
    for part in [*(by_name[name] for name in order), *rest(exact, noisy, large)]:
        if not wanted(part):
            continue
        for stage in part.stages():
            yield stage
            if floor.seems_reached and not floor.thorough:
                yield from _while_reached(floor, large)


def _while_reached(floor: NoiseFloor, large: Iterator[Stage]) -> Iterator[Stage]:
    """The first stage looks at the floor again; the others come in their turn, if it is not there."""
    for stage in large:
        yield stage
        if not floor.reached:
            return
