"""Ctrl-C for a command: at once while nothing is at stake, an orderly KeyboardInterrupt once something is.

While modules are being imported a KeyboardInterrupt may be swallowed, or end in the traceback of somebody else's code,
so until `Interrupts.something_at_stake` is called the process simply ends with status 130.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_AGAIN_S = 0.02


class Interrupts:
    """The handler of SIGINT. Does nothing until it is installed, so a program that calls `main` keeps its own."""

    def __init__(self) -> None:
        self._at_stake = False
        self._clean_up: Callable[[], None] | None = None

    def install(self) -> None:
        """Take over from Python's own handler; a process that was started to ignore Ctrl-C goes on ignoring it."""
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._handle)
            sys.unraisablehook = _unraisable

    def before_exit(self, clean_up: Callable[[], None]) -> None:
        """What to call before the process ends at once; it must not wait for anything."""
        self._clean_up = clean_up

    def something_at_stake(self) -> None:
        """From now on Ctrl-C raises KeyboardInterrupt."""
        self._at_stake = True

    def ignore(self) -> None:
        """The work is over and its outcome known; what is left is to end."""
        if signal.getsignal(signal.SIGINT) == self._handle:
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._at_stake:
            raise KeyboardInterrupt
        try:
            if self._clean_up is not None:
                self._clean_up()
            os.write(2, b"nssr: interrupted before anything was learned\n")
        finally:
            os._exit(130)


def _unraisable(event: Any) -> None:
    """An interrupt that came in a finalizer or a callback, where nothing can be raised, comes again a moment later."""
    if issubclass(event.exc_type, KeyboardInterrupt):
        threading.Timer(_AGAIN_S, _thread.interrupt_main).start()
    else:
        sys.__unraisablehook__(event)


@contextmanager
def first_ctrl_c() -> Iterator[Callable[[], bool]]:
    """Within the block the first Ctrl-C is a wish, which the yielded function tells; the second is a KeyboardInterrupt.

    Only Python's own handler is replaced, and only in the main thread, where alone that is possible: elsewhere, and where
    the program has a handler of its own or ignores Ctrl-C, the yielded function is always False.
    """
    asked = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    ours = threading.current_thread() is threading.main_thread()
    ours = ours and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, handle)
    try:
        yield lambda: asked
    finally:
        if ours and signal.getsignal(signal.SIGINT) is handle:
            signal.signal(signal.SIGINT, signal.default_int_handler)
