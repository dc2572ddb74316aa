"""What a person sees while NSSR works: a moving line on a terminal, a plain line now and then elsewhere.

Results and progress share one stream, so that they never overwrite each other. Text that came from outside (names of
columns, files and functions) is shown with its control characters escaped: a table must not move the cursor.
"""

from __future__ import annotations

import io
import sys
from types import TracebackType
from typing import Any, Self, TextIO

_CONTROLS = {code: f"\\x{code:02x}" for code in [*range(32), *range(127, 160)]}


def one_line(text: str) -> str:
    """``text`` without line breaks or anything else that a terminal would obey."""
    return " ".join(text.split("\n")).translate(_CONTROLS)


class Console:
    """Progress and results on one stream. ``quiet`` shows results only; ``json`` sends all of it to stderr."""

    def __init__(self, *, quiet: bool = False, json: bool = False) -> None:
        self.stream: TextIO = sys.stderr if json else sys.stdout
        self.quiet = quiet
        self._moving = not quiet and self.stream.isatty()
        self._bar: Any = None
        self._task: Any = None
        self._doing = ""
        self._shown = -1
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):  # a name may hold letters that the terminal's encoding lacks
                stream.reconfigure(errors="backslashreplace")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take the moving line away."""
        bar, self._bar, self._task = self._bar, None, None
        if bar is not None:
            bar.stop()

    def abandon(self) -> None:
        """As `close`, for a process that ends at once: nothing is waited for."""
        if self._bar is not None:
            self.stream.write("\r\x1b[2K\x1b[?25h")  # clear the line, show the cursor
            self.stream.flush()

    def line(self, text: str = "") -> None:
        """One line of the result."""
        text = one_line(text)
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True, emoji=False)
        else:
            print(text, file=self.stream, flush=True)

    def note(self, text: str) -> None:
        """One line about the work; not shown when quiet."""
        if not self.quiet:
            self.line(text)

    def busy(self, doing: str) -> None:
        """Something of unknown length is being done. Shown on a terminal only."""
        if self._moving and doing != self._doing:
            self._advance(doing, None, None, "")

    def progress(self, doing: str, step: int, total: int, remark: str) -> None:
        """How far something is. Without a terminal: a line at the start of each piece of work and at its quarters."""
        if self._moving:
            self._advance(doing, step, total, remark)
        elif not self.quiet:
            quarter = 4 * step // max(total, 1)
            if self._doing != doing or quarter != self._shown:
                self._shown = quarter
                self.line(f"  {doing}: {step} of {total}, {remark}")
        self._doing = doing

    def _advance(self, doing: str, step: int | None, total: int | None, remark: str) -> None:
        bar = self._bar if self._bar is not None else self._start()
        if self._task is None or self._doing != doing:
            if self._task is not None:
                bar.remove_task(self._task)
            self._task = bar.add_task(one_line(doing), total=total, remark=remark)
        bar.update(self._task, completed=step, total=total, remark=remark)
        self._doing = doing

    def _start(self) -> Any:
        """The moving line, made only when there is something to show: most refusals come before that."""
        from rich.console import Console as Terminal
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._bar = Progress(
            TextColumn("{task.description}", markup=False), BarColumn(bar_width=24),
            TextColumn("{task.fields[remark]}", markup=False), TimeElapsedColumn(),
            console=Terminal(file=self.stream), transient=True,
        )  # fmt: skip
        self._bar.start()
        return self._bar
