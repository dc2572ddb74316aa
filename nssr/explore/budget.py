"""When a search has to end: its time is over, or someone wants it to stop."""

from __future__ import annotations

import time
from collections.abc import Callable


class Stopped(Exception):
    """Raised by `Budget.tick` inside a unit of work; what was admitted to the front before stays."""


class Budget:
    """``max_time`` seconds from now on; ``cancelled`` is asked at every tick."""

    def __init__(self, max_time: float, cancelled: Callable[[], bool]) -> None:
        self.start = time.monotonic()
        # The end of a search fits and verifies once more: what is left for that is three tenths, a second at the most.
        self.max_time = max_time
        self.limit = max(0.7 * max_time, max_time - 1.0)
        self.cancelled = cancelled
        self.closed = False

    def seconds(self) -> float:
        return time.monotonic() - self.start

    def reason(self) -> str | None:
        if self.cancelled():
            return "cancelled"
        return "time" if self.seconds() > self.limit else None

    def tick(self) -> None:
        """Called every few milliseconds of work, at places where nothing is half done."""
        if not self.closed and self.reason() is not None:
            raise Stopped
