"""``python -m nssr.main``: learn functions from examples, keep them, and use them for the next ones.

Arguments in, messages out; the work is `nssr.session` and `nssr.learning`. Exit status 0 when everything asked for is
known at the end, 1 when something was not found, 2 when something given was refused, 130 after Ctrl-C.
"""

# ruff: noqa: E402, I001
from __future__ import annotations

from nssr.interrupt import Interrupts

_INTERRUPTS = Interrupts()
if __name__ == "__main__":  # before the slower imports: Ctrl-C may come at any moment
    _INTERRUPTS.install()

import argparse
import contextlib
import difflib
import json
import logging
import os
import re
import sqlite3
import sys
import warnings
from collections.abc import Iterator, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, NoReturn

from nssr import __version__
from nssr.errors import UserError

if TYPE_CHECKING:
    from nssr.console import Console
    from nssr.formula import Formula
    from nssr.learning import Lesson
    from nssr.session import Job, Session
    from nssr.table import Table

# The documented names of this module live in nssr.learning; they are found here too, without loading torch for --help.
_LEARNING = {
    "CONFIG", "TARGETS", "build_composition", "_init_replay_buffer", "_is_duplicate_discovery", "learn",
    "curriculum_tasks", "save_checkpoint", "load_checkpoint", "_fmt_candidate",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _LEARNING:
        from nssr import learning

        return getattr(learning, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


# ---- arguments -------------------------------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    """Refuses in one line, with the nearest option where one was mistyped."""

    def error(self, message: str) -> NoReturn:
        if message.startswith("unrecognized arguments:"):
            given = message.split(":", 1)[1].split()[0]
            if not given.startswith("-"):
                raise UserError(f"what is {given!r}? a table is given with --data {given}; see --help")
            options = [o for action in self._actions for o in action.option_strings]
            near = difflib.get_close_matches(given.split("=")[0], options, n=1)
            message = f"there is no option {given}" + (f"; did you mean {near[0]}?" if near else "; see --help")
        raise UserError(message.removeprefix("argument "))


def _whole_number(low: int, high: int) -> Any:
    def convert(text: str) -> int:
        if not re.fullmatch(r"[+-]?[0-9]{1,20}", text.strip()) or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {low} to {high}")
        return int(text)

    return convert


def parser() -> argparse.ArgumentParser:
    """The options of ``python -m nssr.main``."""
    p = _Parser(
        prog="nssr",
        description="Learns functions from examples and keeps them in a library. Without --data or --targets it learns "
        "NAND and XOR, which shows that everything works.",
        epilog="Exit status: 0 all is known, 1 something was not found, 2 something was refused, 130 after Ctrl-C.",
        allow_abbrev=False,
    )
    count = _whole_number(1, 1_000_000)
    p.add_argument("--data", metavar="FILE.csv", help="learn from this table (a header line, then rows of numbers)")
    p.add_argument("--target", metavar="COLUMN", help="the column to explain (default: the last one)")
    p.add_argument("--name", help="name of the new function (default: the target's, in capitals)")
    p.add_argument("--targets", metavar="FILE.json", help="learn several functions, in order")
    p.add_argument("--without", metavar="NAMES", default="", help="primitives not to use, such as ADD,MUL")
    p.add_argument(
        "--packs", metavar="NAMES", default="core", help="packs of primitives: core, science, ieee (default: core)"
    )
    p.add_argument("--db", metavar="FILE", help="the library (default: symbolic.db in the checkpoint directory)")
    p.add_argument("--checkpoint-dir", metavar="DIR", default="checkpoints", help="where library and model are kept")
    p.add_argument(
        "--guide", default="on", choices=("on", "fresh", "off"),
        help="on: the guide that comes with NSSR; fresh: a model that knows nothing yet; off: search in the library's own order "
        "and train nothing (default: on)",
    )  # fmt: skip
    p.add_argument(
        "--train-epochs", metavar="N", type=count,
        help="most epochs of each training; fewer are faster and guide worse (default: what measured best)",
    )  # fmt: skip
    p.add_argument("--device", default="auto", help="auto, cpu or cuda (default: auto)")
    p.add_argument("--compile", default="auto", choices=("auto", "on", "off"), help="torch.compile (default: on CUDA)")
    p.add_argument(
        "--seed", metavar="N", type=_whole_number(0, 2**63 - 1), default=0,
        help="for the model's start and all sampling (default: 0)",
    )  # fmt: skip
    p.add_argument("--max-steps", metavar="N", type=count, default=10, help="search steps per attempt (default: 10)")
    p.add_argument("--max-depth", metavar="N", type=count, default=3, help="1: single functions only (default: 3)")
    p.add_argument(
        "--threads", metavar="N", type=_whole_number(1, 1024), default=os.cpu_count() or 1,
        help="threads (default: all cores)",
    )  # fmt: skip
    p.add_argument("--quiet", action="store_true", help="results only")
    p.add_argument("--json", action="store_true", help="one JSON object on stdout, everything else on stderr")
    p.add_argument("--verbose", action="store_true", help="log what the model thinks and what came near")
    p.add_argument("--version", action="version", version=f"nssr {__version__}")
    return p


def _jobs(options: argparse.Namespace) -> list[Job]:
    """What to learn, read and checked before anything is opened for writing."""
    from nssr import table
    from nssr.session import Job

    if options.data is not None and options.targets is not None:
        raise UserError("--data and --targets cannot be given together; put the table into the list of targets")
    if options.target is not None and options.data is None:
        raise UserError("--target names a column of --data; give --data FILE.csv too")
    if options.name is not None and options.data is None:
        raise UserError("--name names what is learned from --data; give --data FILE.csv too")
    if options.data is not None:
        data = table.read_csv(options.data, options.target)
        name = data.target_name.upper() if options.name is None else options.name.strip()
        return [Job(name, data, "choose another --name" if options.name is not None else "choose a --name")]
    if options.targets is not None:
        rename = f"rename that task in {options.targets}"
        return [Job(task.name, task.table, rename) for task in table.read_targets(options.targets)]
    import numpy as np

    from nssr.learning import TARGETS

    jobs = []
    for name, examples in TARGETS:
        columns = tuple(np.array(column) for column in zip(*(inputs for inputs, _ in examples), strict=True))
        target = np.array([y for _, y in examples])
        jobs.append(Job(name, table.Table(("a", "b"), columns, name, target), "give another library with --db"))
    return jobs


# ---- results ---------------------------------------------------------------------------------------------------------


def formula_over(state: dict[str, Any], lesson: Lesson, table: Table) -> Formula | None:
    """The formula that was learned, in the names of the table's columns; None where nothing was, or where it reads others."""
    from nssr.formula import Formula

    entry = state["metadata"].get(lesson.func_id)
    if entry is None or entry["composition"] is None or len(lesson.columns) != entry["arity"]:
        return None
    return Formula.from_composition(
        state, entry["composition"], entry["arity"], names=[table.names[c] for c in lesson.columns],
        nonzero=[i for i, c in enumerate(lesson.columns) if (table.columns[c] != 0).all()],
        constants=entry["constants"], const_mode=entry["const_mode"],
    )  # fmt: skip


def describe(state: dict[str, Any], lesson: Lesson, table: Table) -> dict[str, Any]:
    """A lesson as plain values, over the names of the table's columns."""
    from nssr import learning

    facts: dict[str, Any] = {
        "name": lesson.name, "found": lesson.success, "known_before": lesson.known, "same_as": lesson.same_as,
        "exact": lesson.exact, "r2": lesson.r2, "held_out_r2": lesson.held_out_r2, "rows": table.n_rows,
        "candidates": lesson.counters.checked,
    }  # fmt: skip
    if lesson.func_id is None:
        return facts
    entry = state["metadata"][lesson.func_id]
    facts |= {"id": lesson.func_id, "layer": entry["layer"]}
    formula = formula_over(state, lesson, table)
    if formula is not None:
        names = [table.names[c] for c in lesson.columns]
        facts |= {
            "formula": str(formula), "latex": formula.latex(), "composition": formula.structure(),
            "constants": entry["constants"], "columns": names,
            "ignored": [n for i, n in enumerate(table.names) if i not in lesson.columns],
            "uses": learning.reads_function(state, entry["composition"]),
        }  # fmt: skip
    return facts


def _show(console: Console, facts: dict[str, Any], lesson: Lesson, table: Table) -> None:
    from nssr.session import SAMPLE_ROWS

    if not lesson.success:
        tried = f"{lesson.counters.checked:,} candidates"
        best = f", the best reached R2 {lesson.r2:.4f}" if lesson.r2 > -1e300 else ""
        console.line(f"{lesson.name}: not found among {tried}{best}")
        if lesson.columns_left_out:
            console.line(f"  {lesson.columns_left_out} of the columns were left out of the larger compositions; "
                         "give fewer columns to search deeper")  # fmt: skip
        return
    rows = f"{table.n_rows:,} rows"
    if lesson.known:
        console.line(f"{lesson.name}: known already (layer {facts['layer']}, id {facts['id']})")
    elif lesson.same_as:
        console.line(f"{lesson.name}: the same function as {lesson.same_as}, so it is not stored twice")
    else:
        console.line(f"{lesson.name}: found and registered (layer {facts['layer']}, id {facts['id']})")
    if "formula" not in facts:
        return
    console.line(f"  formula      {table.target_name} = {facts['formula']}")
    console.line(f"  composition  {facts['composition']}")
    if lesson.known:
        console.line(f"  this data    R2 = {lesson.held_out_r2:.6f}")
    else:
        sampled = f"{SAMPLE_ROWS:,} of {rows}" if table.n_rows > SAMPLE_ROWS else rows
        verdict = f"exact on all {rows}" if lesson.exact else f"a fit to {sampled}"
        console.line(f"  held out     R2 = {lesson.held_out_r2:.6f} ({verdict})")
    console.line(f"  columns      {', '.join(facts['columns'])}")
    if facts["ignored"]:
        shown = facts["ignored"][:12]
        more = f" and {len(facts['ignored']) - 12} more" if len(facts["ignored"]) > 12 else ""
        console.line(f"  ignored      {', '.join(shown)}{more}")


# ---- the command -----------------------------------------------------------------------------------------------------


def run(options: argparse.Namespace, console: Console, interrupts: Interrupts, results: list[dict[str, Any]]) -> int:
    """Learns what the options ask for and appends to ``results``; the exit status."""
    console.busy("reading")
    jobs = _jobs(options)
    from nssr.session import Session

    session = Session(options, jobs, console, interrupts)
    try:
        _learn(session, jobs, console, results)
        if not (options.quiet or options.json or options.data or options.targets):
            from nssr import db

            console.close()
            console.line()
            db.print_summary(session.conn)
    except KeyboardInterrupt:
        session.save()
        raise
    finally:
        session.close()
    return 0 if all(facts["found"] for facts in results) else 1


def _learn(session: Session, jobs: Sequence[Job], console: Console, results: list[dict[str, Any]]) -> None:
    for job in jobs:
        began = monotonic()

        def announce(lesson: Lesson, job: Job = job, began: float = began) -> None:
            facts = describe(session.state, lesson, job.table)
            results.append({**facts, "seconds": round(monotonic() - began, 3)})
            _show(console, facts, lesson, job.table)

        session.learn(job, announce)


def _print_json(status: int, options: argparse.Namespace, results: list[dict[str, Any]], message: str | None) -> None:
    from nssr.session import library_path

    word = {0: "ok", 1: "not found", 2: "refused", 130: "interrupted"}[status]
    answer: dict[str, Any] = {"status": word, "library": str(library_path(options)), "results": _finite(results)}
    if message is not None:
        answer["message"] = message
    print(json.dumps(answer, ensure_ascii=False), flush=True)


def _finite(value: Any) -> Any:
    """JSON has no infinities: they become null."""
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    if isinstance(value, float) and not abs(value) < float("inf"):
        return None
    return value


@contextlib.contextmanager
def _logging_to_stderr(wanted: bool) -> Iterator[None]:
    """Within the block, what the rooms log; whoever calls `main` as a function has its own logging back afterwards."""
    if not wanted:
        yield
        return
    root, handler = logging.getLogger(), logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    for noisy in ("numba", "torch", "matplotlib"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


def _command(options: argparse.Namespace, interrupts: Interrupts) -> int:
    from nssr.console import Console

    results: list[dict[str, Any]] = []
    message: str | None = None
    with (
        _logging_to_stderr(options.verbose),
        Console(quiet=options.quiet, json=options.json) as console,
        warnings.catch_warnings(),
    ):
        interrupts.before_exit(console.abandon)
        # What the arithmetic of a search runs into is no news; what else is said is said like everything else.
        warnings.filterwarnings("ignore", message=".* encountered in ")
        warnings.showwarning = lambda text, *_: console.note(f"note: {text}")
        try:
            status = run(options, console, interrupts, results)
        except UserError as refusal:
            status, message = 2, str(refusal)
        except sqlite3.DatabaseError as error:
            status, message = 2, f"the library cannot be used ({error}); restore it from a copy, or give another --db"
        except MemoryError:
            status, message = 2, "there is not enough memory for this; give fewer rows or columns"
        except KeyboardInterrupt:
            status, message = 130, "interrupted; what was learned is kept"
    if message is not None:
        _complain(message)
    if options.json:
        _print_json(status, options, results, message)
    return status


def _complain(message: str) -> None:
    from nssr.console import one_line

    print(f"nssr: {one_line(message)}", file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns the exit status. Without ``argv`` it is the whole program: Ctrl-C and torch are its own."""
    interrupts = _INTERRUPTS if argv is None else Interrupts()
    if argv is None:
        interrupts.install()
        # Threads that wait by spinning starve each other on a busy machine: a training of 14 s took 66 s (2 cores, load 6).
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        return _command(parser().parse_args(argv), interrupts)
    except UserError as refusal:
        _complain(str(refusal))
        if "--json" in (sys.argv[1:] if argv is None else argv):
            print(json.dumps({"status": "refused", "results": [], "message": str(refusal)}, ensure_ascii=False))
        return 2
    except KeyboardInterrupt:
        _complain("interrupted")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    finally:
        if argv is None:
            interrupts.ignore()


def program() -> NoReturn:
    """The command as a process of its own, which ends at once: taking torch down would cost most of a second."""
    status = 2
    try:
        status = main()
        sys.stdout.flush()
    except BrokenPipeError:
        status = 141
    except SystemExit as end:  # --help and --version
        sys.stdout.flush()
        status = end.code if isinstance(end.code, int) else 0
    except BaseException:
        sys.excepthook(*sys.exc_info())  # a bug: show all of it
        status = 70
    finally:
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    program()
