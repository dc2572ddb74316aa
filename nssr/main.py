"""``python -m nssr.main``: learn functions from examples, keep them, and use them for the next ones.

Arguments in, messages out; the work is `nssr.learning`. Exit status 0 when everything asked for is known at the end, 1 when
something was not found, 2 when something given was refused, 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import difflib
import json
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from nssr.errors import UserError

if TYPE_CHECKING:
    import sqlite3

    from nssr.console import Console
    from nssr.learning import Lesson
    from nssr.table import Table

# The documented names of this module live in nssr.learning; they are found here too, without loading torch for --help.
_LEARNING = {
    "CONFIG", "TARGETS", "build_composition", "_init_replay_buffer", "_is_duplicate_discovery", "learn",
    "curriculum_tasks", "save_checkpoint", "load_checkpoint", "_fmt_candidate",
}  # fmt: skip

SAMPLE_ROWS = 4000
"""Tables with more rows are searched on a sample; what is found is checked on all of them."""


def __getattr__(name: str) -> Any:
    if name in _LEARNING:
        from nssr import learning

        return getattr(learning, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class _Parser(argparse.ArgumentParser):
    """Refuses in one line, with the nearest option where one was mistyped."""

    def error(self, message: str) -> NoReturn:
        if message.startswith("unrecognized arguments:"):
            given = message.split(":", 1)[1].split()[0]
            options = [o for action in self._actions for o in action.option_strings]
            near = difflib.get_close_matches(given.split("=")[0], options, n=1)
            message = f"there is no option {given}" + (f"; did you mean {near[0]}?" if near else "; see --help")
        raise UserError(message)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return value


def parser() -> argparse.ArgumentParser:
    """The options of ``python -m nssr.main``."""
    p = _Parser(
        prog="nssr",
        description="Learns functions from examples and keeps them in a library. Without --data or --targets it learns "
        "NAND and XOR, which shows that everything works.",
        allow_abbrev=False,
    )
    p.add_argument("--data", metavar="FILE.csv", help="learn from this table (a header line, then rows of numbers)")
    p.add_argument("--target", metavar="COLUMN", help="the column to explain (default: the last one)")
    p.add_argument("--name", help="name of the new function (default: the target's, in capitals)")
    p.add_argument("--targets", metavar="FILE.json", help="learn several functions, in order")
    p.add_argument("--without", metavar="NAMES", default="", help="primitives not to use, such as ADD,MUL")
    p.add_argument("--packs", metavar="NAMES", default="core", help="packs of primitives: core, science (default: core)")
    p.add_argument("--db", metavar="FILE", help="the library (default: symbolic.db in the checkpoint directory)")
    p.add_argument("--checkpoint-dir", metavar="DIR", default="checkpoints", help="where library and model are kept")
    p.add_argument("--device", default="auto", help="auto, cpu or cuda (default: auto)")
    p.add_argument("--compile", default="auto", choices=("auto", "on", "off"), help="torch.compile (default: on CUDA)")
    p.add_argument("--seed", type=int, default=0, help="for the model's start and all sampling (default: 0)")
    p.add_argument("--max-steps", type=_positive, default=10, help="search steps per attempt (default: 10)")
    p.add_argument("--max-depth", type=_positive, default=3, help="1: single functions only (default: 3)")
    p.add_argument("--threads", type=_positive, default=os.cpu_count() or 1, help="threads (default: all cores)")
    p.add_argument("--quiet", action="store_true", help="results only")
    p.add_argument("--json", action="store_true", help="one JSON object on stdout, everything else on stderr")
    p.add_argument("--verbose", action="store_true", help="log what the model thinks and what came near")
    return p


@dataclass(slots=True)
class _Job:
    name: str
    table: Table


def _jobs(options: argparse.Namespace) -> list[_Job]:
    """What to learn, read and checked before anything is opened for writing."""
    from nssr import table

    if options.target and not options.data:
        raise UserError("--target names a column of --data; give --data FILE.csv too")
    if options.name and not options.data:
        raise UserError("--name names what is learned from --data; give --data FILE.csv too")
    if options.data and options.targets:
        raise UserError("--data and --targets cannot be given together")
    if options.data:
        data = table.read_csv(options.data, options.target)
        return [_Job(options.name or data.target_name.upper(), data)]
    if options.targets:
        return [_Job(task.name, task.table) for task in table.read_targets(options.targets)]
    import numpy as np

    from nssr.learning import TARGETS

    jobs = []
    for name, examples in TARGETS:
        columns = tuple(np.array(column) for column in zip(*(inputs for inputs, _ in examples), strict=True))
        jobs.append(_Job(name, table.Table(("a", "b"), columns, name, np.array([y for _, y in examples]))))
    return jobs


class _Session:
    """The open library, the model and its optimizer: what `learn_task` needs and what is saved at the end."""

    def __init__(self, options: argparse.Namespace, console: Console) -> None:
        from nssr import db, device, registry

        self.options, self.console = options, console
        folder = Path(options.checkpoint_dir)
        self.path = Path(options.db) if options.db else folder / "symbolic.db"
        where = device.resolve_device(options.device)
        without = [n.strip() for n in options.without.split(",") if n.strip()]
        packs = [n.strip() for n in options.packs.split(",") if n.strip()]
        existed = self.path.exists()
        self.conn: sqlite3.Connection = db.init_db(str(self.path))
        self.state = registry.init_registry(self.conn, packs, without)
        self._prepare_model(where, folder)
        learned = sum(e["composition"] is not None for e in self.state["metadata"].values())
        if existed:
            console.note(f"library {self.path}: {learned} learned function{'s' * (learned != 1)}")

    def _prepare_model(self, where: Any, folder: Path) -> None:
        import torch

        from nssr import device, learning, registry
        from nssr.model import create_model
        from nssr.optimizer import EMA, make_optimizer

        torch.manual_seed(self.options.seed)
        torch.set_num_threads(self.options.threads)
        config = dict(learning.CONFIG if where.type == "cuda" else learning.SMALL_CONFIG, checkpoint_dir=str(folder))
        sizes = ("input_dim", "seq_len", "d_model", "n_heads", "n_layers", "n_recursions", "T", "dropout")
        n = registry.vocab_size(self.state)
        self.model = create_model(n_functions=n, **{k: config[k] for k in sizes}).to(where)
        self.optimizer: torch.optim.Optimizer = make_optimizer(self.model, lr=config["lr"])
        self.state["config"] = config
        self.state["ema"] = EMA(self.model)
        learning.load_checkpoint(self.model, self.optimizer, self.state)
        if self.options.compile != "off":
            device.enable_compile(self.model, self.options.compile)
        self.changed = False

    def learn(self, job: _Job) -> Lesson:
        from nssr import engine, learning

        table = job.table
        sample = table.sample(SAMPLE_ROWS, self.options.seed)
        whole = None
        if sample is not table:
            whole = engine.Dataset.from_columns(list(table.columns), table.target)
        lesson, self.optimizer = learning.learn_task(
            self.conn, self.state, self.model, self.optimizer, job.name, sample.examples(),
            max_search_steps=self.options.max_steps, max_depth=self.options.max_depth, n_threads=self.options.threads,
            whole=whole, rows=table.examples, progress=self.console.progress,
        )  # fmt: skip
        self.changed |= not lesson.known
        return lesson

    def save(self) -> None:
        from nssr import learning

        if self.changed:
            learning.save_checkpoint(self.model, self.optimizer, self.state)
            self.changed = False


def describe(state: dict[str, Any], lesson: Lesson, table: Table) -> dict[str, Any]:
    """A lesson as plain values, over the names of the table's columns."""
    from nssr import learning
    from nssr.formula import Formula

    facts: dict[str, Any] = {
        "name": lesson.name, "found": lesson.success, "known_before": lesson.known, "same_as": lesson.same_as,
        "exact": lesson.exact, "r2": lesson.r2, "held_out_r2": lesson.held_out_r2, "rows": table.n_rows,
        "candidates": lesson.counters.checked,
    }  # fmt: skip
    if lesson.func_id is None:
        return facts
    entry = state["metadata"][lesson.func_id]
    facts |= {"id": lesson.func_id, "layer": entry["layer"]}
    if entry["composition"] is not None and len(lesson.columns) == entry["arity"]:
        names = [table.names[c] for c in lesson.columns]
        nonzero = [i for i, c in enumerate(lesson.columns) if (table.columns[c] != 0).all()]
        formula = Formula.from_composition(
            state, entry["composition"], entry["arity"], names=names, nonzero=nonzero,
            constants=entry["constants"], const_mode=entry["const_mode"],
        )  # fmt: skip
        facts |= {
            "formula": str(formula), "latex": formula.latex(), "composition": formula.structure(),
            "constants": entry["constants"], "columns": names,
            "ignored": [n for i, n in enumerate(table.names) if i not in lesson.columns],
            "uses": learning.reads_function(state, entry["composition"]),
        }  # fmt: skip
    return facts


def _show(console: Console, facts: dict[str, Any], lesson: Lesson, table: Table) -> None:
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
    if "formula" in facts:
        console.line(f"  formula      {table.target_name} = {facts['formula']}")
        console.line(f"  composition  {facts['composition']}")
        verdict = f"exact on all {rows}" if lesson.exact else f"a fit to {rows}"
        console.line(f"  held out     R2 = {lesson.held_out_r2:.6f} ({verdict})")
        console.line(f"  columns      {', '.join(facts['columns'])}")
        if facts["ignored"]:
            shown = facts["ignored"][:12]
            more = f" and {len(facts['ignored']) - 12} more" if len(facts["ignored"]) > 12 else ""
            console.line(f"  ignored      {', '.join(shown)}{more}")


def _refuse_misfit(lesson: Lesson) -> None:
    if lesson.known and not lesson.r2 > 0.99:
        raise UserError(
            f"there is a function named {lesson.name} already, and it does not explain this data "
            f"(R2 = {lesson.r2:.3g}); choose another --name"
        )


def run(options: argparse.Namespace, console: Console) -> int:
    """Learns what the options ask for; the exit status."""
    jobs = _jobs(options)
    session = _Session(options, console)
    results: list[dict[str, Any]] = []
    missing = 0
    try:
        for job in jobs:
            lesson = session.learn(job)
            _refuse_misfit(lesson)
            facts = describe(session.state, lesson, job.table)
            results.append(facts)
            _show(console, facts, lesson, job.table)
            missing += not lesson.success
            session.save()  # one task at a time: what a crash can cost is the task in progress
    except KeyboardInterrupt:
        session.save()
        session.conn.close()
        raise
    if not (options.quiet or options.json or options.data or options.targets):
        from nssr import db

        console.line()
        db.print_summary(session.conn)
    session.conn.close()
    if options.json:
        print(json.dumps({"library": str(session.path), "results": _finite(results)}, ensure_ascii=False))
    return 1 if missing else 0


def _finite(value: Any) -> Any:
    """JSON has no infinities: they become null."""
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    if isinstance(value, float) and not abs(value) < float("inf"):
        return None
    return value


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns the exit status."""
    try:
        options = parser().parse_args(argv)
        from nssr.console import Console

        if options.verbose:
            logging.basicConfig(level=logging.DEBUG, stream=sys.stderr, format="%(name)s: %(message)s")
            for noisy in ("numba", "torch", "matplotlib"):
                logging.getLogger(noisy).setLevel(logging.WARNING)
        with Console(quiet=options.quiet, json=options.json) as console:
            return run(options, console)
    except UserError as refusal:
        print(f"nssr: {refusal}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("nssr: interrupted; what was learned is kept", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


if __name__ == "__main__":
    sys.exit(main())
