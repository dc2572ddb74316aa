"""What a person sees while NSSR works: a moving line on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any, Self


class Console:
    """Progress and results on one stream. ``quiet`` shows results only; ``json`` sends all of it to stderr."""

    def __init__(self, *, quiet: bool = False, json: bool = False) -> None:
        self.stream = sys.stderr if json else sys.stdout
        self.quiet = quiet
        self._bar: Any = None
        self._task: Any = None
        self._doing = ""
        self._shown = -1

    def __enter__(self) -> Self:
        if not self.quiet and self.stream.isatty():
            from rich.console import Console as Terminal
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

            self._bar = Progress(
                TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[remark]}"), TimeElapsedColumn(),
                console=Terminal(file=self.stream), transient=True,
            )  # fmt: skip
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def line(self, text: str = "") -> None:
        """One line of the result."""
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, file=self.stream, flush=True)

    def note(self, text: str) -> None:
        """One line about the work; not shown when quiet."""
        if not self.quiet:
            self.line(text)

    def progress(self, doing: str, step: int, total: int, remark: str) -> None:
        """How far something is. Without a terminal: a line at the start of each piece of work and at its quarters."""
        if self._bar is not None:
            if self._task is None or self._doing != doing:
                if self._task is not None:
                    self._bar.remove_task(self._task)
                self._task = self._bar.add_task(doing, total=total, remark=remark)
            self._bar.update(self._task, completed=step, total=total, remark=remark)
        elif not self.quiet:
            quarter = 4 * step // max(total, 1)
            if self._doing != doing or quarter != self._shown:
                self._shown = quarter
                self.line(f"  {doing}: {step} of {total}, {remark}")
        self._doing = doing
