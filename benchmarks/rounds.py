"""How this project times things: sides in turns in one process, CPU time (or another clock), median and range over rounds."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds per round of one side."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def rate(self, items: float) -> str:
        low, high = items / max(self.seconds), items / min(self.seconds)
        return f"{items / self.median:,.0f}/s [{low:,.0f} to {high:,.0f}]"


def in_turns(
    sides: Mapping[str, Callable[[], object]], rounds: int = 7, clock: Callable[[], float] = time.process_time
) -> dict[str, Timing]:
    """Runs every side once to warm up, then in turns, ``rounds`` times each."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for side in sides.values():
        side()
    for _ in range(rounds):
        for name, side in sides.items():
            start = clock()
            side()
            seconds[name].append(clock() - start)
    return {name: Timing(tuple(values)) for name, values in seconds.items()}


def ratio(slow: Timing, fast: Timing) -> tuple[float, float, float]:
    """Median, least and greatest of the round-by-round ratios slow / fast."""
    ratios = sorted(s / f for s, f in zip(slow.seconds, fast.seconds, strict=True))
    return statistics.median(ratios), ratios[0], ratios[-1]
