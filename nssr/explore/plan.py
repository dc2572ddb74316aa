"""The plan of a search: what each part of `nssr.explore.order` does, and what comes after them all."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from enum import Enum
from typing import NamedTuple

from nssr.explore.exact import ExactSearch
from nssr.explore.noisy import NoisySearch
from nssr.explore.stages import Stage

FIRST, SECOND, THIRD = range(3)


class When(Enum):
    ALWAYS = "whatever is known"
    ABOVE_FLOOR = "while the best formula leaves more than noise"
    EXACT = "the same, where rows are left over that prove an exact formula"


class Part(NamedTuple):
    """``stages`` is called when its turn comes."""

    when: When
    stages: Callable[[], Iterator[Stage]]


def parts(exact: ExactSearch, noisy: NoisySearch) -> dict[str, Part]:
    """Those of `nssr.explore.order.BY_SIZE`, by name."""
    fits = noisy.stages(FIRST)
    return {
        "bank 1": Part(When.EXACT, lambda: itertools.chain(exact.stages(FIRST), exact.all_pairs(FIRST))),
        "regressions": Part(When.ALWAYS, lambda: itertools.islice(fits, 2)),  # and the refining of what they found
        "sums": Part(When.ALWAYS, lambda: fits),
        "peels 1": Part(When.EXACT, lambda: exact.peels(FIRST)),
        "bank 2": Part(When.EXACT, lambda: exact.stages(SECOND)),
        "pairs 2": Part(When.EXACT, lambda: exact.all_pairs(SECOND)),
        "peels 2": Part(When.EXACT, lambda: exact.peels(SECOND)),
        "sparse sums": Part(When.EXACT, lambda: exact.sparse_sums(SECOND)),
        "substituted quotients": Part(When.EXACT, exact.quotients_within),
        "factored": Part(When.EXACT, lambda: exact.without_factors(SECOND)),
        "likely pairs": Part(When.EXACT, exact.of_likely_pairs),
        "oscillations": Part(When.ALWAYS, noisy.oscillations),
        "curves": Part(When.ALWAYS, noisy.curves),
        "parametric": Part(When.ALWAYS, noisy.constants_within),
        "bank 3": Part(When.EXACT, lambda: exact.stages(THIRD)),
        "pairs 3": Part(When.EXACT, lambda: exact.all_pairs(THIRD)),
        "peels 3": Part(When.EXACT, lambda: exact.peels(THIRD)),
        "differences": Part(When.EXACT, exact.of_differences),
        "factored again": Part(When.EXACT, lambda: exact.without_factors(THIRD)),
    }


def rest(exact: ExactSearch, noisy: NoisySearch) -> list[Part]:
    """What comes after all others: much work each, and seldom a formula."""
    return [
        Part(When.ALWAYS, lambda: noisy.stages(SECOND)),
        Part(When.EXACT, lambda: exact.meetings(SECOND)),
        Part(When.ABOVE_FLOOR, lambda: noisy.stages(THIRD)),
        Part(When.EXACT, lambda: exact.meetings(THIRD)),
    ]
