"""Our formula engine against public evaluators, and the table of what it must show:

    python -m benchmarks.engine [--json FILE] [--plot FILE.png] [--rows 20,100,1000,10000] [--workloads A,B]
        [--dtypes f32,f64] [--trees 10000] [--rounds 7] [--peers pyoperon,numpy] [--parts cells,early,threads,memory] [--quick]

Method. All sides in turns in one process, pinned to one core, one thread each; CPU time of the process; one warm-up, then
``--rounds`` rounds; median [least to most]. A side that takes less than 20 ms is called several times a round. A node is
every operator, variable and constant of the tree *given*: node-evaluations/s = nodes x rows / time. Slow peers run a part
of the trees, and their rate is taken for the whole. Ratios are taken round by round, so a disturbance hits both sides; where
the best of several peers is meant, the best of each round. Trees are put into each side's own form before the time
starts: Operon's tree objects, bingo's command arrays, our flat postfix arrays; whatever work follows counts (for ours:
checking, lowering and compiling). "stored" writes every prediction, "scores only" returns the mean squared error of each
tree; a tree that is not finite on a row has the score inf, so on workload B a side may stop early there.

Before anything is timed, the first trees are compared with numpy in the same precision: f32 to 1e-3, f64 to 1e-6 relative,
where numpy is finite, and the places of values that are not finite for those sides that follow IEEE 754. A side with more
than 0.5 % (f32) or 0.1 % (f64) of its values off is an error, and nothing is timed. Of scores 2 % and 0.5 % may be off,
since one ill-conditioned row, such as the sine of a large number in single precision, moves a whole score.

What the trees and data are: see `benchmarks.workloads`; traps of the peers: see `benchmarks.peers`. 10,000 trees x 10,000
rows of f64 take 0.8 GB.
"""
# ruff: noqa: E402

from __future__ import annotations

import os

for _name in ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "NUMBA"):
    os.environ[f"{_name}_NUM_THREADS"] = "1"  # before anything that reads it is imported

import argparse
import itertools
import json
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import peak_memory, workloads
from benchmarks.goals import Line, Measured, Rates, goal_lines, ratio_line
from benchmarks.peers import EVALUATORS, Bound, Cell, Evaluator, closure, passes
from benchmarks.rounds import Timing, in_turns
from benchmarks.workloads import Array
from nssr import engine

LEAST_SECONDS = 0.02
CHECKED_TREES = 500
RELATIVE = {"float32": 1e-3, "float64": 1e-6}
MOST_OFF = {"float32": 0.005, "float64": 0.001}
MOST_SCORES_OFF = {"float32": 0.02, "float64": 0.005}
DTYPES = {"f32": "float32", "f64": "float64"}
PARTS = ("cells", "early", "threads", "memory")
MEGABYTE = 1 << 20


def share_off(values: Array, wanted: Array, dtype: str, ieee: bool) -> float:
    """Share of values that differ from the wanted ones by more than the tolerance, or in being finite."""
    finite = np.isfinite(wanted)
    with np.errstate(all="ignore"):
        close = np.abs(values - wanted) <= RELATIVE[dtype] * np.abs(wanted) + np.finfo(dtype).tiny
    off = finite & ~close
    if ieee:
        off |= ~finite & np.isfinite(values)
        return float(off.mean())
    return float(off.sum() / max(finite.sum(), 1))


def mean_squared_errors(values: Array, y: Array) -> Array:
    """As the engine defines them: squares in the values' type, sums of doubles, inf where a row is not finite."""
    with np.errstate(all="ignore"):
        scores = np.mean(np.square(values - y.astype(values.dtype)), axis=1, dtype=np.float64)
    return np.where(np.isfinite(scores), scores, np.inf)


def check(evaluator: Evaluator, bound: Bound, wanted: Array, y: Array, n: int) -> float:
    """The share of values (or scores) that are off; SystemExit where they are too many."""
    expected = mean_squared_errors(wanted[:n], y) if evaluator.scores else wanted[:n]
    off = share_off(bound.values(n), expected, evaluator.dtype, evaluator.ieee)
    if off > (MOST_SCORES_OFF if evaluator.scores else MOST_OFF)[evaluator.dtype]:
        raise SystemExit(f"{evaluator.name} ({evaluator.dtype}): {off:.2%} of the values are not numpy's; nothing was timed")
    return off


def timed(sides: dict[str, Callable[[], object]], n_rounds: int) -> dict[str, Timing]:
    """`in_turns`, in which a round of a fast side is several calls; seconds are per call."""
    repeats = {}
    for name, side in sides.items():
        side()
        start = time.process_time()
        side()
        repeats[name] = max(1, round(LEAST_SECONDS / max(time.process_time() - start, 1e-5)))

    def repeated(side: Callable[[], object], times: int) -> Callable[[], object]:
        return lambda: [side() for _ in range(times)] and None

    timings = in_turns({name: repeated(side, repeats[name]) for name, side in sides.items()}, n_rounds)
    return {name: Timing(tuple(s / repeats[name] for s in timing.seconds)) for name, timing in timings.items()}


def cells(
    workload: str, dtype: str, all_rows: Sequence[int], n_trees: int, n_rounds: int, evaluators: Sequence[Evaluator]
) -> Iterator[Measured]:
    """All evaluators of one workload and precision, for each number of rows."""
    trees = workloads.trees(workload, n_trees)
    nodes = np.cumsum([workloads.size(tree) for tree in trees])
    programs = {e.name: e.convert(trees[: max(e.limit(rows) for rows in all_rows)]) for e in evaluators}
    for rows in all_rows:
        x, y = workloads.data(rows)
        cell = Cell(x.astype(dtype), y, np.zeros((n_trees, rows), dtype))
        wanted = workloads.evaluate(trees[:CHECKED_TREES], cell.x)
        bounds, counts, off = {}, {}, {}
        for e in evaluators:
            n = counts[e.name] = min(e.limit(rows), n_trees)
            bounds[e.name] = e.bind(programs[e.name][:n] if isinstance(programs[e.name], list) else programs[e.name], cell)
            off[e.name] = check(e, bounds[e.name], wanted, y, min(n, CHECKED_TREES))
        timings = timed({name: bound.run for name, bound in bounds.items()}, n_rounds)
        for name, timing in timings.items():
            rates = Rates(tuple(float(nodes[counts[name] - 1]) * rows / s / 1e6 for s in timing.seconds))
            yield Measured(workload, dtype, rows, name, counts[name], rates, off[name])


def early_exit(workload: str, rows: int, n_trees: int, n_rounds: int) -> tuple[Line, dict[str, str]]:
    """Wrong candidates/s, f64: `Formulas.validate` against closures of plain Python that stop at the first mismatch."""
    trees = workloads.trees(workload, n_trees)
    programs = [closure(tree) for tree in trees]
    formulas = engine.Formulas(*workloads.flatten(trees).arrays)
    x, y = workloads.data(rows)
    table = x.tolist()

    def by_reference(target: Sequence[float]) -> Array:
        return np.array([passes(program, table, target) for program in programs], np.uint8)

    exact, single = (workloads.evaluate(trees[:100], x.astype(dtype)) for dtype in ("float64", "float32"))
    steady = np.isfinite(exact).all(axis=1) & np.isclose(single, exact, rtol=1e-4, atol=0).all(axis=1)
    planted = exact[np.flatnonzero(steady)[-1]]  # so that one candidate at least is right, well-conditioned on each row
    for target in (planted, y):
        verdicts = formulas.validate(engine.Columns(x, target))
        if not np.array_equal(verdicts, by_reference(target.tolist())):
            raise SystemExit(f"workload {workload}, {rows} rows: the engine and the reference disagree; nothing was timed")
    data, target = engine.Columns(x, y), y.tolist()
    timings = timed({"engine": lambda: formulas.validate(data), "reference": lambda: by_reference(target)}, n_rounds)
    rates = {name: Rates(tuple(n_trees / s for s in timing.seconds)) for name, timing in timings.items()}
    line = ratio_line(
        f"{workload} float64 {rows:,} rows, wrong candidates, early exit, against the reference", 20, rates["engine"],
        rates["reference"],
    )  # fmt: skip
    return line, {name: f"{rate} candidates/s" for name, rate in rates.items()}


@contextmanager
def pinned(n_cores: int) -> Iterator[int]:
    """This process on its last ``n_cores`` cores; yields how many there are."""
    if not hasattr(os, "sched_setaffinity"):
        yield os.cpu_count() or 1
        return
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, set(sorted(allowed)[-n_cores:]))
    try:
        yield min(n_cores, len(allowed))
    finally:
        os.sched_setaffinity(0, allowed)


def two_threads(n_trees: int, n_rounds: int, rows: int = 1_000) -> list[Line]:
    """Wall time of one thread over that of two. Other work on the machine spoils it: mind the range."""
    with pinned(2) as cores:
        if cores < 2:
            print("two threads are not measured: there is one core")
            return []
        formulas = engine.Formulas(*workloads.flatten(workloads.trees("A", n_trees)).arrays)
        x, y = workloads.data(rows)
        data, out = engine.Columns(x, y), np.zeros((n_trees, rows))
        sides: dict[str, Callable[[int], object]] = {
            "stored": lambda n: formulas.predict(data, out=out, n_threads=n),
            "scores only": lambda n: formulas.score(data, ("mse",), n_threads=n),
        }
        lines = []
        for name, side in sides.items():
            seconds: dict[int, list[float]] = {1: [], 2: []}
            for i in range(n_rounds + 1):
                for n in (1, 2):
                    start = time.perf_counter()
                    for _ in range(3):
                        side(n)
                    if i:
                        seconds[n].append(time.perf_counter() - start)
            one, two = (Rates(tuple(1 / s for s in seconds[n])) for n in (1, 2))
            lines.append(ratio_line(f"A float64 {rows:,} rows, {name}, two threads against one, wall time", 1.8, two, one))
        return lines


def memory() -> list[Line]:
    """Peak memory beyond inputs and outputs, of one thread."""
    lines = []
    for copies, rows in ((1, 10_000), (100, 20)):
        megabytes = peak_memory.measure(10_000, rows, copies) / MEGABYTE
        text = f"A float64, {10_000 * copies:,} trees x {rows:,} rows, scores: memory beyond data and scores"
        lines.append(Line(text, 64, megabytes, megabytes, megabytes, megabytes <= 64, " MB"))
    return lines


def plot(measured: Sequence[Measured], path: Path) -> None:
    """Throughput over rows, one panel per workload and precision, one line per evaluator."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    panels = sorted({(m.workload, m.dtype) for m in measured})
    names = list(dict.fromkeys(m.evaluator for m in measured))
    figure, axes = plt.subplots(1, len(panels), figsize=(4 * len(panels), 4.5), sharey=True, squeeze=False)
    for axis, (workload, dtype) in zip(axes[0], panels, strict=True):
        for i, name in enumerate(names):
            key = (workload, dtype, name)
            points = sorted((m.rows, m.rates.median) for m in measured if (m.workload, m.dtype, m.evaluator) == key)
            if points:
                x, y = zip(*points, strict=True)
                axis.loglog(x, y, marker="o", color=f"C{i}", label=name, linewidth=2 if "nssr" in name else 1)
        axis.set(title=f"workload {workload}, {dtype}", xlabel="rows")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7)
    axes[0][0].set_ylabel("M node-evaluations/s, one thread")
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def environment(evaluators: Sequence[Evaluator], options: argparse.Namespace) -> dict[str, Any]:
    return {
        "python": platform.python_version(), "machine": platform.machine(), "numpy": np.__version__,
        "packages": sorted({e.version() for e in evaluators}), "target": engine.target(),
        "trees": options.trees, "rounds": options.rounds,
    }  # fmt: skip


def chosen(options: argparse.Namespace) -> list[Evaluator]:
    """The evaluators to measure; one line for each that is missing."""
    names = {e.name: e.name.split(",")[0] for e in EVALUATORS}
    wanted = set(options.peers.split(",")) if options.peers else set(names.values())
    if wanted - set(names.values()):
        raise SystemExit(f"--peers: no {', '.join(wanted - set(names.values()))}; there are {', '.join(set(names.values()))}")
    asked = [e for e in EVALUATORS if e.package == "nssr" or names[e.name] in wanted]
    for reason in dict.fromkeys(reason for e in asked if (reason := e.missing())):
        print(reason)
    return [e for e in asked if not e.missing()]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--plot", type=Path, help="draw the throughput over rows here")
    parser.add_argument("--rows", default="20,100,1000,10000")
    parser.add_argument("--workloads", default="A,B")
    parser.add_argument("--dtypes", default="f32,f64")
    parser.add_argument("--trees", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--peers", help="only these peers, by name; ours and the reference are always there")
    parser.add_argument("--parts", default=",".join(PARTS), help="what to measure")
    parser.add_argument("--quick", action="store_true", help="1,000 trees, 20 and 1,000 rows, 3 rounds, no memory: to try it out")
    options = parser.parse_args()
    if options.quick:
        options.trees, options.rounds, options.rows = min(options.trees, 1_000), min(options.rounds, 3), "20,1000"
        options.parts = options.parts.replace(",memory", "")
    options.rows = [int(rows) for rows in options.rows.split(",")]
    return options


def main() -> None:
    options = arguments()
    evaluators, parts = chosen(options), options.parts.split(",")
    measured: list[Measured] = []
    lines: list[Line] = []
    try:
        measure(options, parts, evaluators, measured, lines)
    finally:  # what was measured is kept where a later part fails
        lines[:0] = goal_lines(measured)
        print(*lines, sep="\n")
        if options.json:
            figures = {"environment": environment(evaluators, options), "cells": [asdict(m) for m in measured],
                       "table": [asdict(line) for line in lines]}  # fmt: skip
            options.json.write_text(json.dumps(figures, indent=1))
        if options.plot and measured:
            plot(measured, options.plot)


def measure(
    options: argparse.Namespace,
    parts: Sequence[str],
    evaluators: Sequence[Evaluator],
    measured: list[Measured],
    lines: list[Line],
) -> None:
    """Appends to ``measured`` and ``lines`` what ``parts`` ask for, and prints the cells as they come."""
    chosen_workloads, dtypes = options.workloads.split(","), [DTYPES[name] for name in options.dtypes.split(",")]
    with pinned(1):
        for workload, dtype in itertools.product(chosen_workloads, dtypes) if "cells" in parts else ():
            sides = [e for e in evaluators if e.dtype == dtype]
            for m in cells(workload, dtype, options.rows, options.trees, options.rounds, sides):
                measured.append(m)
                print(f"{workload} {dtype} {m.rows:6,} rows  {m.evaluator:24} {m.rates!s:26} M node-evaluations/s"
                      f"  ({m.trees:,} trees, {m.off:.3%} off)", flush=True)  # fmt: skip
        for workload, rows in itertools.product(chosen_workloads, options.rows) if "early" in parts else ():
            line, rates = early_exit(workload, rows, options.trees, options.rounds)
            lines.append(line)
            print(f"{workload} {rows:6,} rows  {', '.join(f'{name} {rate}' for name, rate in rates.items())}", flush=True)
    if "threads" in parts:
        lines += two_threads(options.trees, options.rounds)
    if "memory" in parts:
        lines += memory()


if __name__ == "__main__":
    main()
