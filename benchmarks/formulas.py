"""The formula suites: laws to be found from rows, by NSSR or by a peer, each in the same seconds, judged as SRBench does.

    python -m benchmarks.formulas --suite feynman --out feynman.jsonl [--noise 0.01] [--seeds 3] [--jobs 2] [--units]
    python -m benchmarks.formulas --suite nguyen --peer pyoperon --out operon.jsonl
    python -m benchmarks.formulas --report feynman.jsonl operon.jsonl

Every finished task is a line of JSON in the file; the same command goes on where it was stopped. At the end a table is printed
and a plot of solved tasks against seconds is written beside the file. How a formula is judged: `benchmarks.judge`.
"""

from __future__ import annotations

import argparse
import difflib
import math
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from benchmarks import suite_report, suite_runner, suites
from benchmarks.suite_fits import NSSR, PEERS
from benchmarks.suite_runner import Record, Settings, SettingsError, Task


class _Parser(argparse.ArgumentParser):
    """A mistake gets one line, not the usage of twenty options before it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"benchmarks.formulas: {message}\n")


def _at_least(kind: type, least: float, exclusive: bool = False):  # type: ignore[no-untyped-def]
    def convert(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not {'a whole number' if kind is int else 'a number'}") from None
        if not math.isfinite(value) or value < least or (exclusive and value == least):
            raise argparse.ArgumentTypeError(f"{text} must be {'more than' if exclusive else 'at least'} {least:g}")
        return value

    return convert


def _one_of(what: str, known: Sequence[str]):  # type: ignore[no-untyped-def]
    def convert(text: str) -> str:
        if text not in known:
            raise argparse.ArgumentTypeError(_unknown(what, text, known))
        return text

    return convert


def _unknown(what: str, text: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(text.casefold(), [k.casefold() for k in known], 1)
    spelled = {k.casefold(): k for k in known}
    listed = ", ".join([*known[:12], *(["..."] if known[12:] else [])])
    hint = f"did you mean {spelled[close[0]]!r}?" if close else f"there are {listed}"
    return f"no {what} {text!r}: {hint}"


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = _Parser(
        prog="python -m benchmarks.formulas", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--suite", type=_one_of("suite", suites.SUITES), metavar="SUITE", help=", ".join(suites.SUITES))
    add("--out", type=Path, metavar="FILE.jsonl", help="where the outcomes go; the plot goes beside it")
    add("--rows", type=_at_least(int, 2), help="training rows (default: 200; 30 for noise-columns)")
    add("--noise", type=_at_least(float, 0), default=0.0, help="on the training target, in its RMS (default: 0)")
    add("--budget", type=_at_least(float, 0, exclusive=True), default=30.0, help="seconds for each fit (default: 30)")
    add("--seeds", type=_at_least(int, 1), default=1, help="sets of rows of each problem (default: 1)")
    add("--threads", type=_at_least(int, 1), default=1, help="threads of each fit (default: 1)")
    add("--jobs", type=_at_least(int, 1), default=1, help="fits at once (default: 1); more than cores would spoil the seconds")
    add("--units", action="store_true", help="give the units of columns and target to the regressor")
    add("--only", metavar="NAME,...", help="only these problems")
    add("--sample", type=_at_least(int, 1), metavar="K", help="only K problems, always the same ones")
    add("--peer", type=_one_of("peer", list(PEERS)), metavar="PEER", help="run this instead of NSSR: " + ", ".join(PEERS))
    add("--judge-seconds", type=_at_least(float, 0, exclusive=True), default=20.0, help="of sympy for each formula (default: 20)")
    add("--report", type=Path, nargs="+", metavar="FILE", help="print the tables of these files side by side, and run nothing")
    options = parser.parse_args(given)
    if options.report is None and not (options.suite and options.out):
        parser.error("--suite and --out are needed (or --report FILE...)")
    return options


def tasks(suite: str, seeds: int, only: str | None = None, sample: int | None = None) -> list[Task]:
    """The (problem, seed) pairs asked for, problem by problem. Raises `SettingsError` for a name that no problem has."""
    problems = suites.load(suite)
    if only is not None:
        names = [p.name for p in problems]
        wanted = [name.strip() for name in only.split(",") if name.strip()]
        for name in wanted:
            if name not in names:
                raise SettingsError(_unknown(f"problem of {suite}", name, names))
        problems = [p for p in problems if p.name in wanted]
    if sample is not None and sample < len(problems):
        drawn = set(random.Random(suites.seed_of(suite, "sample")).sample(range(len(problems)), sample))
        problems = [p for i, p in enumerate(problems) if i in drawn]
    return [(problem, seed) for problem in problems for seed in range(seeds)]


def main(given: Sequence[str] | None = None) -> int:
    options = arguments(given)
    console, errors = Console(), Console(stderr=True, soft_wrap=True, highlight=False)
    try:
        if options.report is None:
            return _run(options, console, errors)
        suite_report.show([(str(path), suite_runner.read(path)) for path in options.report], console)
        return 0
    except (SettingsError, OSError) as e:
        errors.print(f"benchmarks.formulas: {e}", markup=False)
        return 2
    except KeyboardInterrupt:
        errors.print(f"Stopped. The finished ones are in {options.out}; the same command goes on from there.", markup=False)
        return 130


def _run(options: argparse.Namespace, console: Console, errors: Console) -> int:
    solver = PEERS[options.peer] if options.peer else NSSR
    if options.units and not solver.takes_units:
        raise SettingsError(f"{solver.name} takes no units; leave out --units")
    rows = options.rows or suites.ROWS.get(options.suite, suites.DEFAULT_ROWS)
    settings = Settings(
        options.suite, rows, options.noise, options.budget, options.threads, options.units, solver.name, options.judge_seconds
    )
    wanted = tasks(options.suite, options.seeds, options.only, options.sample)
    if options.units and not any(problem.units() for problem, _ in wanted):
        raise SettingsError(f"the problems of {options.suite} have no units; leave out --units")
    if options.out.is_dir() or not options.out.name.endswith(".jsonl"):
        raise SettingsError(f"--out {options.out} must be a file whose name ends in .jsonl")
    done = suite_runner.resume(options.out, settings)
    left = [task for task in wanted if (task[0].name, task[1]) not in done]
    if left:
        reason = solver.missing()
        if reason:
            raise SettingsError(reason)
        _with_progress(left, len(wanted), settings, options, errors)
    records = suite_runner.read(options.out)
    suite_report.show([(str(options.out), records)], console)
    errors.print(suite_report.plot(records, options.out), markup=False)
    return 0


def _with_progress(left: Sequence[Task], total: int, settings: Settings, options: argparse.Namespace, errors: Console) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors, transient=True) as progress:
        bar = progress.add_task(f"{settings.suite}, {settings.solver}", total=total, completed=total - len(left))

        def done(record: Record) -> None:
            progress.console.print(suite_report.line(record), markup=False)
            progress.advance(bar)

        suite_runner.run(left, settings, options.out, options.jobs, done)


if __name__ == "__main__":
    sys.exit(main())
