"""Who is next: the choices of functions that a search has not tried, handed out best first from two lanes.

The guided lane follows the guide's scores. The complete lane goes by size, and so comes to everything, whatever the guide thinks:
interleaved one to one they cost twice the better of the two at most. Both draw from one set of choices.

In the guided lane a choice may be tried over the most relevant columns first. That is a prior over routes, a mixture with equal
shares of "the two most relevant columns say it all", "the three most relevant do" and "any do"; a choice that was tried over few
columns meets those few again when it is tried over all.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nssr import engine, search_space
from nssr.guide import SlotScores

NARROW = (2, 3)
"""Columns of the first tries of a choice, where there are more."""


class Lanes:
    """``slots`` SLOTS (n,), each over the first ``width`` int64 (n,) columns by relevance."""

    def __init__(self, slots: npt.NDArray[Any], width: npt.NDArray[np.int64], table: engine.FunctionTable) -> None:
        self._table, self._slots = table, slots
        n = len(slots)
        # Entries: every choice over all its columns, then again over few of them where that is fewer.
        choice, columns = [np.arange(n)], [width]
        for narrow in NARROW:
            here = np.flatnonzero(width > narrow)
            choice.append(here)
            columns.append(np.full(len(here), narrow, dtype=np.int64))
        self._choice, self._width = np.concatenate(choice), np.concatenate(columns)
        self._whole = np.arange(len(self._choice)) < n
        self._left = np.ones(len(self._choice), dtype=np.bool_)
        self._tries = np.log(np.bincount(self._choice, minlength=n))[self._choice]
        self._count = search_space.route_counts(slots[self._choice], table.arity, self._width)
        self._log_count = np.log(self._count)
        self._size = np.lexsort((np.arange(n), search_space.route_lengths(slots, table.arity)))

    def __bool__(self) -> bool:
        return bool(self._left[self._whole].any())

    def guided(self, scores: SlotScores, quota: float) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
        """The likeliest entries of about ``quota`` candidates together, at least one, as (slots, width)."""
        left = np.flatnonzero(self._left)
        choices = search_space.log_scores(self._slots, scores, self._table.arity, 1, self._table.commutative)
        log_p = choices[self._choice[left]] - self._log_count[left] - self._tries[left]
        return self._taken(left[_best(log_p, self._count[left], quota)], quota)

    def by_size(self, quota: float) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
        """The same, the smallest first, over all columns."""
        return self._taken(self._size[self._left[self._size]], quota)

    def _taken(self, entries: npt.NDArray[np.int64], quota: float) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
        if not len(entries):
            return self._slots[:0], self._width[:0]
        sizes = np.cumsum(self._count[entries])
        now = entries[: max(int(np.searchsorted(sizes, quota, side="right")), 1)]
        self._left[now] = False
        whole = np.zeros(len(self._slots), dtype=np.bool_)
        whole[self._choice[now[self._whole[now]]]] = True
        # A choice tried over all columns leaves nothing for fewer, and needs them no more if both were handed out together.
        self._left &= self._whole | ~whole[self._choice]
        now = now[self._whole[now] | ~whole[self._choice[now]]]
        return self._slots[self._choice[now]], self._width[now]


def _best(scores: npt.NDArray[np.float64], sizes: npt.NDArray[np.float64], quota: float) -> npt.NDArray[np.int64]:
    """Places of the highest scores, highest first, equal ones in their order: as many as have ``quota`` candidates together, or
    more. Sorting all of some 300,000 took a third of a search that ends in its first step."""
    n = 1024
    while n < len(scores):
        least = np.partition(scores, len(scores) - n)[len(scores) - n]
        places = np.flatnonzero(scores >= least)
        if sizes[places].sum() > quota:
            break
        n *= 4
    else:
        places = np.arange(len(scores))
    return places[np.argsort(-scores[places], kind="stable")]
