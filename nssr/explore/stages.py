"""Stages: the units of work that a search is made of, one after the other or several at once.

A stage returns formulas and changes nothing, so it may be done before its turn; what it returned is taken in turn. The result is
therefore the same for any number of threads: only how many stages fit into the time differs. Threads serve because the work is
numpy's and the engine's, which let others run meanwhile.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum

from nssr.explore.budget import Budget, Stopped
from nssr.explore.tree import Tree


class Kind(Enum):
    PROOF = "returns formulas that hold on the rows of the search"
    FIT = "returns formulas that may be good"
    ALONE = "works on the front: all before it is taken first. Returns formulas that hold"


@dataclass(frozen=True)
class Stage:
    name: str
    kind: Kind
    work: Callable[[], list[Tree]]


class Counters(Counter[str]):
    """Counts that several threads add to."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()

    def add(self, name: str, count: int) -> None:
        with self._lock:
            self[name] += count


class Stages:
    """Does stages in ``n_threads`` threads, all of which ask `tick` whether to go on."""

    def __init__(self, budget: Budget, n_threads: int) -> None:
        self.budget, self._n_threads = budget, n_threads
        self._abandoned = False

    def tick(self) -> None:
        """Raises `Stopped` when time is over, or when nobody waits for the stage any more."""
        if self._abandoned:
            raise Stopped
        self.budget.tick()

    def done(self, stages: Iterator[Stage]) -> Generator[tuple[Stage, list[Tree]], None, None]:
        """Each stage with what it returned, in the order of ``stages``.

        Whoever stops asking leaves stages that were begun early unfinished. Raises `Stopped` as `tick` does.
        """
        if self._n_threads == 1:
            for stage in stages:
                self.budget.tick()
                yield stage, stage.work()
            return
        waiting: deque[tuple[Stage, Future[list[Tree]]]] = deque()
        with ThreadPoolExecutor(self._n_threads, "explore") as pool:
            try:
                for stage in stages:
                    self.budget.tick()
                    while waiting and (stage.kind is Kind.ALONE or len(waiting) >= self._n_threads):
                        yield self._first(waiting)
                    if stage.kind is Kind.ALONE:
                        yield stage, stage.work()
                    else:
                        waiting.append((stage, pool.submit(stage.work)))
                while waiting:
                    yield self._first(waiting)
            finally:
                self._abandoned = True
                for _, future in waiting:
                    future.cancel()
                pool.shutdown()
                self._abandoned = False

    def _first(self, waiting: deque[tuple[Stage, Future[list[Tree]]]]) -> tuple[Stage, list[Tree]]:
        self.budget.tick()
        stage, future = waiting.popleft()
        return stage, future.result()
