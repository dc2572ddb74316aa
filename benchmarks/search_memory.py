"""Memory that a formula search needs, against its budget, each budget in a process of its own:

    python -m benchmarks.search_memory [--budgets 3e8 1e9 2e9] [--seconds 30] [--rows 1000] [--threads 1]

A law of five columns that is not found, so that every bank is filled until time is over. Seen is the peak of the resident
set less what was resident before, when all code was loaded; the budget is what `explore` was given.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

import numpy as np
import sklearn.gaussian_process
from rich.console import Console
from rich.table import Table

from benchmarks.peak_memory import resident, settle
from nssr.explore import Problem, explore

LOADED = (sklearn.gaussian_process,)  # the search loads it on the way


def unsolvable(rows: int) -> Problem:
    """A law far beyond every bank: nothing ends the search early."""
    X = np.random.default_rng(0).uniform(1, 3, (rows, 5))
    a, b, c, d, e = X.T
    return Problem(X, np.sin(np.exp(a) * b) + np.tanh(c**d) * np.log(e + a * b**2))


def peak(budget: int, seconds: float, rows: int, n_threads: int = 1) -> int:
    """Bytes that a search added to this process; to be called once in it."""
    problem = unsolvable(rows)
    settle()
    before = resident("VmRSS")
    explore(problem, max_time=seconds, memory=budget, n_threads=n_threads)
    return resident("VmHWM") - before


def measure(budget: int, seconds: float, rows: int, n_threads: int = 1) -> int:
    """`peak` in a fresh interpreter."""
    options = ["--one", str(budget), "--seconds", str(seconds), "--rows", str(rows), "--threads", str(n_threads)]
    command = [sys.executable, "-m", "benchmarks.search_memory", *options]
    return int(json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budgets", type=float, nargs="+", default=[3e8, 1e9, 2e9])
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(peak(given.one, given.seconds, given.rows, given.threads)))
        return
    table = Table("budget, MB", "peak, MB", "of it")
    for budget in given.budgets:
        used = measure(int(budget), given.seconds, given.rows, given.threads)
        table.add_row(f"{budget / 1e6:.0f}", f"{used / 1e6:.0f}", f"{used / budget:.0%}")
    Console().print(table)


if __name__ == "__main__":
    main()
