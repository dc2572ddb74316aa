"""Runs the tasks of a suite, each (problem, seed) in a process of its own, and keeps every outcome as a line of JSON.

A worker fits, tells what it found, judges it (`benchmarks.judge_process`), tells again, and ends. The runner waits for many
at once, writes a line when one ends, and records one that dies, or overruns its budget by a minute, as just that. Lines that
are in the file already are not run again, so a run that was cut off goes on where it was; a file of other settings is refused.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import math
import multiprocessing
import os
import resource
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, BinaryIO

from benchmarks import suites
from benchmarks.judge import Case, Verdict
from benchmarks.judge_process import Judge
from benchmarks.suite_fits import SOLVERS, Entry, Job
from benchmarks.suites import Problem

OVERRUN_S = 60.0
"""Seconds over the budget, importing included, after which a worker is ended."""
FRONT_TIMES = 4
"""Judging a whole front may take this many times the limit of one formula."""
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Settings:
    """What makes two lines comparable; a file holds lines of one such setting."""

    suite: str
    rows: int
    noise: float
    budget: float
    threads: int
    units: bool
    solver: str
    judge_seconds: float = 20.0


Task = tuple[Problem, int]


class SettingsError(Exception):
    """A file that cannot be gone on with, in one sentence."""


def read(path: Path) -> list[Record]:
    """The records of a file; a last line that was cut off in the middle is left out."""
    records: list[Record] = []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
            if not isinstance(record, dict) or not {"suite", "name", "seed"} <= record.keys():
                raise ValueError("not a record")
        except ValueError:
            if number == len(lines) and not line.endswith("\n"):
                break
            raise SettingsError(f"{path} line {number} is no record of this benchmark; give another --out") from None
        records.append(record)
    return records


def resume(path: Path, settings: Settings) -> set[tuple[str, int]]:
    """(name, seed) of what ``path`` holds already, cleared of a line cut off. Raises `SettingsError` for other settings."""
    if not path.exists():
        return set()
    records = read(path)
    wanted = asdict(settings)
    for record in records:
        for key, value in wanted.items():
            if record.get(key) != value:
                told = f"{path} was made with {key} {record.get(key)!r}, not {value!r}"
                raise SettingsError(f"{told}; give another --out or the same settings")
    whole = "".join(json.dumps(record) + "\n" for record in records)
    if path.read_text(encoding="utf-8") != whole:
        fresh = path.with_name(path.name + ".part")
        fresh.write_text(whole, encoding="utf-8")
        fresh.replace(path)
    return {(record["name"], record["seed"]) for record in records}


@dataclass(slots=True)
class _Worker:
    """A running task. ``record`` is what it has told so far."""

    task: Task
    process: Any
    connection: Connection
    errors: BinaryIO
    deadline: float
    record: Record | None = None

    def end(self) -> None:
        """Kills it with all that it started: its process group is its own."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.join()
        self.connection.close()
        self.errors.close()

    def complaint(self) -> str:
        self.errors.seek(0)
        lines = self.errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else ""


def run(
    tasks: Sequence[Task],
    settings: Settings,
    path: Path,
    jobs: int = 1,
    on_done: Callable[[Record], None] = lambda record: None,
) -> None:
    """Runs ``tasks``, at most ``jobs`` at once, and adds a line to ``path`` as each ends. Ctrl-C ends them."""
    waiting = list(reversed(tasks))
    running: list[_Worker] = []
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file, _limited_threads(settings.threads):
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    running.append(_start(waiting.pop(), settings))
                for worker in _ended(running, settings):
                    running.remove(worker)
                    record = worker.record or {}
                    worker.end()
                    file.write(json.dumps(record) + "\n")
                    file.flush()
                    os.fsync(file.fileno())
                    on_done(record)
        finally:
            for worker in running:
                worker.end()


@contextlib.contextmanager
def _limited_threads(threads: int) -> Iterator[None]:
    """Libraries read these when they load, so they must be in the environment that a worker starts with."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _start(task: Task, settings: Settings) -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    errors: Any = tempfile.NamedTemporaryFile(prefix="nssr-suite-")  # noqa: SIM115 (closed by `end`)
    process = context.Process(target=_work, args=(theirs, task, settings, errors.name))
    process.start()
    theirs.close()
    return _Worker(task, process, ours, errors, time.monotonic() + settings.budget + OVERRUN_S)


def _ended(running: Sequence[_Worker], settings: Settings) -> list[_Worker]:
    """Waits until something happens; the workers that are done by then, each with a full record."""
    nearest = min(worker.deadline for worker in running) - time.monotonic()
    ready = wait([worker.connection for worker in running], timeout=max(0.0, nearest))
    ended = []
    for worker in running:
        if worker.connection in ready:
            try:
                worker.record, last = worker.connection.recv()
                # From here on it judges: at most the returned formula and the front.
                worker.deadline = time.monotonic() + (FRONT_TIMES + 2) * settings.judge_seconds + OVERRUN_S
                if not last:
                    continue
            except (EOFError, OSError):
                worker.process.join()
                _record_death(worker, settings, f"died with {_exit(worker.process.exitcode)}")
            ended.append(worker)
        elif time.monotonic() >= worker.deadline:
            _record_death(worker, settings, f"overran: ended {OVERRUN_S:.0f} s after its budget of {settings.budget:g} s")
            ended.append(worker)
    return ended


def _exit(code: int | None) -> str:
    if code is not None and code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"exit status {code}"


def _record_death(worker: _Worker, settings: Settings, what: str) -> None:
    if worker.record is not None:  # it had its formula: only judging failed
        worker.record["how"] = f"the judge {what}"
        return
    complaint = worker.complaint()
    worker.record = _record(worker.task, settings) | {"error": what + (f": {complaint}" if complaint else "")}


def _record(task: Task, settings: Settings) -> Record:
    """A record of a task of which nothing is known yet. Seconds are of the fit alone."""
    problem, seed = task
    told = {"name": problem.name, "seed": seed, "truth": problem.target}
    unknown = dict.fromkeys(("seconds", "cpu_seconds", "formula", "train_r2", "test_r2"))
    no = dict.fromkeys(("recovered", "recovered_front", "recovered_numeric"), False)
    unjudged = dict.fromkeys(("how", "how_front"), "not judged")
    return {**asdict(settings), **told, **unknown, "front": [], **no, **unjudged, "error": None}


def _work(connection: Connection, task: Task, settings: Settings, errors: str) -> None:
    """A worker's life: sends (record, whether it is the last), once fitted and once judged."""
    os.setsid()  # Ctrl-C of the terminal goes to the runner alone, which ends this group
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What regressors print must not run into the table.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(os.open(errors, os.O_WRONLY | os.O_APPEND), 2)
    faulthandler.enable()
    record = _record(task, settings)
    try:
        problem, seed = task
        rows = suites.rows_of(problem, seed, settings.rows, settings.noise)
        record, entries = _fit(record, problem, rows, settings, seed)
    except Exception as e:
        traceback.print_exc()
        record["error"] = f"{type(e).__name__}: {e}"[:500]
        connection.send((record, True))
        return
    connection.send((record, False))
    wide, _ = suites.wider_rows(problem, seed)
    case = Case(problem.target, tuple(problem.positive), rows.X_test, wide)
    connection.send((_judge(record, entries, case, settings), True))


def _fit(record: Record, problem: Problem, rows: suites.Rows, settings: Settings, seed: int) -> tuple[Record, list[Entry]]:
    """The record with what was found, and the front, simplest first."""
    solver = SOLVERS[settings.solver]
    units = problem.units() if settings.units else None
    job = Job(rows.X, rows.y, settings.budget, seed, settings.threads, units)
    regressor = solver.ready()
    cpu, start = _cpu_seconds(), time.perf_counter()
    found = solver.fit(regressor, job)
    record |= {"seconds": time.perf_counter() - start, "cpu_seconds": _cpu_seconds() - cpu, "formula": found.formula()}
    for key, X, y in (("train_r2", rows.X, rows.y), ("test_r2", rows.X_test, rows.y_test)):
        score = suites.r2(y, found.predict(X))
        record[key] = score if math.isfinite(score) else None  # JSON has no infinity
    entries = sorted(found.front(), key=lambda e: e.complexity)
    record["front"] = [[e.complexity, e.loss if math.isfinite(e.loss) else None, e.formula] for e in entries]
    return record, entries


def _cpu_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in usages)


def _judge(record: Record, entries: Sequence[Entry], case: Case, settings: Settings) -> Record:
    """The record with verdicts: on the returned formula first, then on the front, most accurate first, until one is the law."""
    with Judge(case, settings.judge_seconds) as judge:
        test_r2 = record["test_r2"]
        verdict = judge.verdict(record["formula"], -math.inf if test_r2 is None else test_r2)
        record |= {"recovered": verdict.recovered, "recovered_numeric": verdict.numeric, "how": verdict.how}
        best = verdict if verdict.recovered else Verdict(how="none on the front")
        end = time.monotonic() + FRONT_TIMES * settings.judge_seconds
        for entry in sorted(entries, key=lambda e: e.loss if math.isfinite(e.loss) else math.inf):
            left = end - time.monotonic()
            if best.recovered or entry.formula == record["formula"]:
                continue
            if left <= 0:
                best = Verdict(how="out of time for the front")
                break
            verdict = judge.verdict(entry.formula, seconds=left)
            best = verdict if verdict.recovered else best
        return record | {"recovered_front": best.recovered, "how_front": best.how}
