"""The judge in a process of its own: sympy may hang, and must not take the run along.

`Judge` starts the process when first asked, sends it formulas one at a time and takes verdicts until the last one, or until
the time for this formula is over. Then the process ends by force, the best verdict so far holds, and the next formula gets a
fresh one.
"""

from __future__ import annotations

import multiprocessing
import signal
import time
from dataclasses import replace
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

from benchmarks.judge import Case, Verdict, verdicts

SECONDS = 20.0


class Judge:
    """Judges formulas against one truth, each within ``seconds`` of wall time after the process has started."""

    def __init__(self, case: Case, seconds: float = SECONDS) -> None:
        self.case, self.seconds = case, seconds
        self._process: Any = None
        self._connection: Connection | None = None

    def __enter__(self) -> Judge:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._stop()

    def verdict(self, text: str, test_r2: float | None = None, seconds: float | None = None) -> Verdict:
        """The best verdict within the limit, which ``seconds`` may lower."""
        limit = min(self.seconds, self.seconds if seconds is None else seconds)
        best = Verdict(how="out of time")
        connection = self._running()
        connection.send((text, test_r2, limit))
        end = time.monotonic() + limit
        try:
            while connection.poll(max(0.0, end - time.monotonic())):
                found = connection.recv()
                if found is None:
                    return best
                best = found
            best = replace(best, how=best.how + ", out of time")
        except (EOFError, OSError):
            best = replace(best, how=best.how + ", sympy ended its process")
        self._stop()
        return best

    def _running(self) -> Connection:
        if self._connection is None:
            # A fresh interpreter, not a fork: the caller may have threads, and pages of a large search.
            context = multiprocessing.get_context("spawn")
            ours, theirs = context.Pipe()
            self._process = context.Process(target=_serve, args=(theirs, self.case), daemon=True)
            self._process.start()
            theirs.close()
            ours.recv()  # ready: importing sympy is not a formula's time
            self._connection = ours
        return self._connection

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process.close()
        if self._connection is not None:
            self._connection.close()
        self._process = self._connection = None


def _serve(connection: Connection, case: Case) -> None:
    """Judges what it is sent until the other end closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever asked decides
    connection.send(None)
    while True:
        try:
            text, test_r2, limit = connection.recv()
        except EOFError:
            return
        # If whoever asked is gone, nobody would end a `simplify` that hangs.
        signal.alarm(int(limit) + 10)
        try:
            for found in verdicts(text, case, test_r2):
                connection.send(found)
        except Exception as e:  # sympy raises many kinds; the verdict so far holds
            connection.send(Verdict(how=f"sympy: {type(e).__name__}: {e}"[:200]))
        signal.alarm(0)
        connection.send(None)
