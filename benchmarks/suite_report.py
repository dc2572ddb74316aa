"""What came out of the formula suites: one line a task, a table with the files side by side, and a plot."""

from __future__ import annotations

import importlib.util
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.suite_runner import Record


def line(record: Record) -> str:
    """One task in one line."""
    head = f"{record['name']} (seed {record['seed']})"
    if record["error"]:
        return f"{head}: {record['error']}"
    solved = "solved" if record["recovered"] else "on the front" if record["recovered_front"] else "not solved"
    apart = ", agrees numerically" if record["recovered_numeric"] and not record["recovered"] else ""
    return f"{head}: {solved} in {record['seconds']:.1f} s{apart} ({record['how']}): {record['formula'][:120]}"


def _count(key: str) -> Callable[[Sequence[Record]], str]:
    return lambda records: f"{sum(bool(r[key]) for r in records)} of {len(records)}"


def _solved_seconds(records: Sequence[Record]) -> str:
    """Median and quartiles of the wall seconds of the fits that returned the law."""
    seconds = sorted(r["seconds"] for r in records if r["recovered"])
    if not seconds:
        return "-"
    if len(seconds) == 1:
        return f"{seconds[0]:.2f}"
    low, middle, high = statistics.quantiles(seconds, n=4, method="inclusive")
    return f"{middle:.2f} [{low:.2f} to {high:.2f}]"


def _median_r2(records: Sequence[Record]) -> str:
    """A fit without a score counts as below all others."""
    scores = [r["test_r2"] if r["test_r2"] is not None else float("-inf") for r in records]
    return f"{statistics.median(scores):.6f}" if scores else "-"


def _names(chosen: Sequence[Record], records: Sequence[Record]) -> str:
    """Names of problems; where there are several seeds, with the number of seeds that it happened in."""
    seeds = len({r["seed"] for r in records})
    counts: dict[str, int] = {}
    for record in chosen:
        counts[record["name"]] = counts.get(record["name"], 0) + 1
    return ", ".join(name if seeds == 1 else f"{name} ({n}/{seeds})" for name, n in counts.items()) or "-"


ROWS: tuple[tuple[str, Callable[[Sequence[Record]], str]], ...] = (
    ("solved, returned", _count("recovered")),
    ("solved, on the front", _count("recovered_front")),
    ("agrees numerically (apart)", _count("recovered_numeric")),
    ("seconds to the solution", _solved_seconds),
    ("median test R2", _median_r2),
    ("not solved", lambda rs: _names([r for r in rs if not r["recovered"] and not r["error"]], rs)),
    ("failed", lambda rs: _names([r for r in rs if r["error"]], rs)),
)


def _heading(path: str, records: Sequence[Record]) -> str:
    if not records:
        return f"{path}\n(empty)"
    r = records[0]
    noise = f", noise {r['noise']:g}" if r["noise"] else ""
    units = ", units" if r["units"] else ""
    return f"{r['solver']} on {r['suite']}{noise}{units}\n{r['rows']} rows, {r['budget']:g} s, {r['threads']} thread(s)\n{path}"


def show(files: Sequence[tuple[str, Sequence[Record]]], console: Console) -> None:
    """The table; files are its columns."""
    table = Table(show_lines=True)
    table.add_column("")
    for path, records in files:
        table.add_column(_heading(path, records), overflow="fold")
    for title, value in ROWS:
        table.add_row(title, *(value(records) for _, records in files))
    console.print(table)


def plot(records: Sequence[Record], path: Path) -> str:
    """Solved tasks against wall seconds, as a picture beside ``path``; a sentence that says where, or why there is none."""
    if importlib.util.find_spec("matplotlib") is None:
        return "No plot: matplotlib is not installed (pip install matplotlib)."
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    seconds = sorted(r["seconds"] for r in records if r["recovered"])
    picture = path.with_suffix(".png")
    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    if seconds:
        last = max(seconds[-1], records[0]["budget"])
        axes.step([seconds[0], *seconds, last], [0, *range(1, len(seconds) + 1), len(seconds)], where="post")
        axes.set_xscale("log")
    axes.set(xlabel="wall seconds of the fit", ylabel=f"solved, of {len(records)}", ylim=(0, max(1, len(records)) * 1.02))
    axes.set_title(_heading("", records).strip().replace("\n", ", ") if records else "")
    figure.savefig(picture, dpi=120)
    pyplot.close(figure)
    return f"Plot: {picture}"
