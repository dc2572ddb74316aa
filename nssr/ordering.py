"""Who is next: the choices of functions that a search has not tried, handed out best first from two lanes.

The guided lane follows the guide's scores. The complete lane goes by size, and so comes to everything, whatever the guide thinks:
interleaved one to one they cost twice the better of the two at most. Both draw from one set of choices.

In the guided lane a choice may be tried over the most relevant columns first. That is a prior over routes, a mixture with equal
shares of "the two most relevant columns say it all", "the three most relevant do" and "any do"; a choice that was tried over few
columns meets those few again when it is tried over all.

No lane lists what it does not hand out: there are as many choices as the cube of the number of functions, and of three hundred
functions a list takes gigabytes. The guided lane sorts pairs of functions; how many choices lie above a score is one bisection
for each joining function then, and the score above which there are enough is found by bisection too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nssr.guide import SlotScores
from nssr.search_space import PARALLEL, Joined

NARROW = (2, 3)
"""Columns of the first tries of a choice, where there are more."""

PIECE = 1_000_000
"""Candidates that are handed out together and entries that are looked at together, at most. An entry has one candidate or more,
so entries too many for one look share a score: where a guide knows nothing, millions do."""
_KINDS = 1 + len(NARROW)
_GRAIN = float(1 << 30)
"""Scores are whole multiples of 1 / _GRAIN: sums of them have no rounding, so what is equal ties."""
_LEAST = -1e6  # of a logarithm, so that sums of multiples stay in 64 bits

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Piece = tuple[npt.NDArray[np.void], Ints]


@dataclass(frozen=True, slots=True)
class _Ranked:
    """Entries of pairs, best first, and the joining functions that each may have.

    ``pairs`` and ``kinds`` (entries,), ``below``: minus their scores, ascending; ``weight``: candidates of one choice;
    ``total`` (entries + 1,): of all before; ``joining``: places of joining functions, ``bonus``: their scores.
    """

    pairs: Ints
    kinds: Ints
    below: Ints
    weight: Floats
    total: Floats
    joining: Ints
    bonus: Ints

    def above(self, score: int) -> Ints:
        """For each joining function how many of the pairs reach the score with it."""
        return np.searchsorted(self.below, self.bonus - score, side="right")


class Lanes:
    """``width``: int64, by length of route, over how many columns by relevance the choices of ``space`` are tried."""

    def __init__(self, space: Joined, width: Ints) -> None:
        self._space = space
        lengths = np.arange(len(width))
        self._columns = np.stack([width, *(np.full(len(width), narrow) for narrow in NARROW)])  # (kinds, lengths)
        self._there = np.stack([np.ones(len(width), dtype=np.bool_), *(width > narrow for narrow in NARROW)])
        self._count = self._columns.astype(np.float64) ** lengths
        with np.errstate(divide="ignore"):
            self._log_p = -np.log(self._count) - np.log(self._there.sum(axis=0))  # of one candidate of an entry
        usable = np.flatnonzero(~space.barred)
        self._usable, self._upper = usable, usable[~space.mirror[usable]]
        self._by_size = usable[np.argsort(space.length[usable], kind="stable")]
        self._at = 0  # in _by_size: all before are tried
        self._gone: Ints = np.empty(0, dtype=np.int64)  # entries handed out, ascending
        self._gone_weight = 0.0  # candidates of these
        self._left = len(space)  # choices not tried over all columns

    def __bool__(self) -> bool:
        return self._left > 0

    def guided(self, scores: SlotScores, quota: float) -> Iterator[Piece]:
        """The likeliest entries of about ``quota`` candidates together, at least one, as pieces of (slots, width)."""
        ranked = self._ranked(scores)
        if not ranked or not self:
            return
        upper = max(int(r.bonus.max()) - int(r.below[0]) for r in ranked) + 1
        least = min(int(r.bonus.min()) - int(r.below[-1]) for r in ranked)
        taken = 0.0
        while upper > least:
            lower = self._lower(ranked, upper, least, min(PIECE, quota - taken + self._gone_weight))
            for keys, weight in self._between(ranked, lower, upper):
                piece, taken, more = self._taken(keys, weight, taken, quota)
                if piece is not None:
                    yield piece
                if not more:
                    return
            upper = lower

    def by_size(self, quota: float) -> Iterator[Piece]:
        """The same, the smallest first, over all columns."""
        space, n_joining = self._space, len(self._space.joining)
        taken = 0.0
        while self._at < len(self._by_size) and n_joining:
            pairs = self._by_size[self._at : self._at + max(PIECE // n_joining, 1)]
            count = self._count[0][space.length[pairs]]
            wanted = min(PIECE, max(quota - taken, 0.0))
            n = min(int(np.searchsorted(np.cumsum(count) * n_joining, wanted, side="right")) + 1, len(pairs))
            pairs, joining = np.repeat(pairs[:n], n_joining), np.tile(np.arange(n_joining), len(pairs[:n]))
            keys = (pairs * n_joining + joining) * _KINDS
            fresh = ~(space.mirror[pairs] & space.swaps[joining]) & self._untried(keys)
            piece, taken, more = self._taken(keys[fresh], self._count[0][space.length[pairs[fresh]]], taken, quota)
            if piece is not None:
                yield piece
            if not more:
                return
            self._at += n

    def _ranked(self, scores: SlotScores) -> list[_Ranked]:
        """Pairs for the joining functions whose mirror images are left out, at the better order's score, and for the others."""
        space = self._space
        first, second = (np.maximum(part[space.functions], _LEAST) for part in scores[:2])
        bonus = np.maximum(scores.tertiary[space.joining], _LEAST)
        pair = np.asarray(first[:, None] + second[None, :])
        found = []
        for swaps, usable, of_pair in ((True, self._upper, np.maximum(pair, pair.T)), (False, self._usable, pair)):
            joining = np.flatnonzero(space.swaps == swaps)
            if not len(joining) or not len(usable):
                continue
            length, value = space.length[usable], max(float(scores.composition[PARALLEL]), _LEAST) + of_pair.ravel()[usable]
            parts = []
            for kind in range(_KINDS):
                here = np.flatnonzero(self._there[kind][length])
                below = np.rint((value[here] + self._log_p[kind][length[here]]) * -_GRAIN).astype(np.int64)
                parts.append((usable[here], np.full(len(here), kind), below, self._count[kind][length[here]]))
            pairs, kinds, below, weight = (np.concatenate(p) for p in zip(*parts, strict=True))
            order = np.argsort(below, kind="stable")
            weight = weight[order]
            total = np.concatenate([[0.0], np.cumsum(weight)])
            own = np.rint(bonus[joining] * _GRAIN).astype(np.int64)
            found.append(_Ranked(pairs[order], kinds[order], below[order], weight, total, joining, own))
        return found

    @staticmethod
    def _lower(ranked: list[_Ranked], upper: int, least: int, wanted: float) -> int:
        """The highest score below ``upper`` with ``wanted`` candidates between, or ``least``; one above it if too many to look at
        have just that score."""

        def reaching(score: int) -> float:
            return float(sum(r.total[r.above(score)].sum() for r in ranked))

        target = reaching(upper) + wanted
        low, high = least, upper - 1
        while low < high:
            middle = (low + high + 1) // 2
            if reaching(middle) >= target:
                low = middle
            else:
                high = middle - 1
        sizes = [sum(int(r.above(score).sum()) for r in ranked) for score in (low, low + 1, upper)]
        crowded = sizes[0] - sizes[2] > PIECE and sizes[1] > sizes[2]
        return low + 1 if crowded and low + 1 < upper else low

    def _between(self, ranked: list[_Ranked], lower: int, upper: int) -> Iterator[tuple[Ints, Floats]]:
        """Untried entries with scores from ``lower`` on and below ``upper``, best first: keys and candidates."""
        spans = [(r, r.above(upper), r.above(lower)) for r in ranked]
        if sum(int((stop - start).sum()) for _, start, stop in spans) <= PIECE:
            groups = [[(r, np.arange(len(start)), start, stop) for r, start, stop in spans]]
        else:  # all share one score, or nearly: the order is free
            groups = [
                [(r, np.array([t]), np.array([at]), np.array([min(at + PIECE, stop[t])]))]
                for r, start, stop in spans
                for t in range(len(start))
                for at in range(int(start[t]), int(stop[t]), PIECE)
            ]
        for group in groups:
            keys, below, weights = [], [], []
            for r, which, start, stop in group:
                n = stop - start
                entry = np.arange(int(n.sum())) + np.repeat(start - np.concatenate([[0], np.cumsum(n)[:-1]]), n)
                joining = np.repeat(which, n)
                keys.append((r.pairs[entry] * len(self._space.joining) + r.joining[joining]) * _KINDS + r.kinds[entry])
                below.append(r.below[entry] - r.bonus[joining])
                weights.append(r.weight[entry])
            key, weight = np.concatenate(keys), np.concatenate(weights)
            fresh = np.flatnonzero(self._untried(key) & self._untried(key - key % _KINDS))
            order = fresh[np.lexsort((key[fresh] // _KINDS, key[fresh] % _KINDS, np.concatenate(below)[fresh]))]
            yield key[order], weight[order]

    def _untried(self, keys: Ints) -> npt.NDArray[np.bool_]:
        if not len(self._gone):
            return np.ones(len(keys), dtype=np.bool_)
        at = np.minimum(np.searchsorted(self._gone, keys), len(self._gone) - 1)
        return np.asarray(self._gone[at] != keys)

    def _taken(self, keys: Ints, weight: Floats, taken: float, quota: float) -> tuple[Piece | None, float, bool]:
        """As many of ``keys``, in their order, as the quota allows, one at least where none are ``taken`` yet: the piece,
        candidates taken with it, whether all were."""
        sizes = taken + np.cumsum(weight)
        n = max(int(np.searchsorted(sizes, quota, side="right")), int(taken == 0))
        now = keys[:n]
        if not len(now):
            return None, taken, n >= len(keys) and taken < quota
        after = float(sizes[len(now) - 1])
        at = np.searchsorted(self._gone, ascending := np.sort(now))
        self._gone = np.insert(self._gone, at, ascending)
        self._gone_weight += after - taken
        whole = now % _KINDS == 0
        self._left -= int(whole.sum())
        # What is tried over all columns needs no try over fewer, if both were handed out together.
        now = now[whole | ~np.isin(now - now % _KINDS, now[whole])]
        choice, kind = now // _KINDS, now % _KINDS
        n_joining = len(self._space.joining)
        slots = self._space.slots(choice // n_joining, choice % n_joining)
        width = self._columns[kind, self._space.length[choice // n_joining]]
        return (slots, width), after, n >= len(keys) and after < quota
