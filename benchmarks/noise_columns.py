"""Functions among columns that mean nothing: the noise experiment of the documents, by the command a person would type.

``python -m benchmarks.noise_columns [--seeds 5] [--json FILE]`` writes tables of 30 rows with junk columns, runs
``python -m nssr.main --data ...`` on each in a library of its own, and then, in one library per seed, on the total energy
after both of its parts are known. It tells whether each function was found exactly (checked on rows of its own too),
whether exactly the junk was named as ignored, and the seconds of wall time of the whole command. Exit status 0 only if all of
it holds and no run took longer than the limit.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from nssr import db, registry

ROWS = 30
UNSEEN = 200
LIMIT_S = 20.0
ROOT = Path(__file__).resolve().parent.parent

Row = dict[str, float]


@dataclass(frozen=True, slots=True)
class Task:
    """A function with its columns in order; those without a part in it start with ``junk``."""

    name: str
    columns: tuple[str, ...]
    function: Callable[[Row], float]
    uses: tuple[str, ...] = ()

    @property
    def junk(self) -> set[str]:
        return {c for c in self.columns if c.startswith("junk")}

    def row(self, rng: random.Random) -> Row:
        values = {"x": (-10, 10), "m": (1, 20), "a": (-10, 10), "v": (1, 15), "h": (1, 50)}
        row = {c: round(rng.uniform(*values[c]), 2) for c in self.columns if c in values}
        for c in self.junk:
            row[c] = row["m"] + rng.uniform(-3, 3) if c == "junk_like_m" else round(rng.uniform(-100, 100), 2)
        return row


ALONE = (
    Task("SQUARE", ("x", "junk_1", "junk_2"), lambda r: r["x"] * r["x"]),
    Task("FORCE", ("junk_1", "m", "junk_2", "a"), lambda r: r["m"] * r["a"]),
    Task("KE", ("m", "junk_like_m", "v"), lambda r: 0.5 * r["m"] * r["v"] ** 2),
    Task("PE", ("junk_1", "m", "h", "junk_2"), lambda r: r["m"] * 9.81 * r["h"]),
)
TOTAL = Task(
    "TOTAL_E",
    ("m", "junk_1", "v", "h", "junk_2"),
    lambda r: 0.5 * r["m"] * r["v"] ** 2 + r["m"] * 9.81 * r["h"],
    uses=("KE", "PE"),
)


@dataclass(slots=True)
class Run:
    """One run of the command."""

    seed: int
    name: str
    exact: bool
    ignored: bool
    uses: bool
    seconds: float
    formula: str

    @property
    def good(self) -> bool:
        return self.exact and self.ignored and self.uses and self.seconds <= LIMIT_S


def learn(task: Task, seed: int, folder: Path, library: Path) -> Run:
    """Writes the table, runs the command, and judges what is then in the library."""
    rng = random.Random(f"{task.name} {seed}")
    table = folder / f"{task.name.lower()}.csv"
    with table.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow([*task.columns, "y"])
        for _ in range(ROWS):
            row = task.row(rng)
            out.writerow([*(row[c] for c in task.columns), task.function(row)])
    command = [
        sys.executable, "-m", "nssr.main", "--data", str(table), "--target", "y", "--name", task.name,
        "--checkpoint-dir", str(library), "--seed", str(seed), "--json", "--quiet",
    ]  # fmt: skip
    start = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "NO_COLOR": "1"})
    seconds = time.monotonic() - start
    if done.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(command)}: exit status {done.returncode}\n{done.stderr}")
    (facts,) = json.loads(done.stdout)["results"]
    if not facts["found"]:
        return Run(seed, task.name, False, False, False, seconds, "not found")
    return Run(
        seed,
        task.name,
        bool(facts["exact"]) and _holds(library, facts, task, rng),
        set(facts["ignored"]) == task.junk,
        set(task.uses) <= set(facts["uses"]),
        seconds,
        facts["formula"],
    )


def _holds(library: Path, facts: dict, task: Task, rng: random.Random) -> bool:
    """Whether the registered function is right on rows that nobody has seen."""
    conn = db.init_db(str(library / "symbolic.db"))
    try:
        state = registry.load_registry(conn)
        rows = [task.row(rng) for _ in range(UNSEEN)]
        return all(
            math.isclose(
                registry.execute(state, facts["id"], [r[c] for c in facts["columns"]]), task.function(r), rel_tol=1e-6
            )
            for r in rows
        )
    finally:
        conn.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seeds", type=int, default=5, help="tables of each kind (default: 5)")
    parser.add_argument("--json", metavar="FILE", help="write the results there too")
    options = parser.parse_args()
    runs: list[Run] = []
    print(f"{'task':8} {'seed':>4}  {'exact':5} {'ignored':7} {'uses':4} {'seconds':>7}  formula")
    for seed in range(options.seeds):
        with tempfile.TemporaryDirectory(prefix="nssr-noise-") as name:
            folder = Path(name)
            # Each in a fresh library; the total energy in the one that has both of its parts.
            for task in (*ALONE, TOTAL):
                shared = task.name in ("PE", "TOTAL_E")
                run = learn(task, seed, folder, folder / ("KE" if shared else task.name))
                runs.append(run)
                words = ["yes" if v else "NO" for v in (run.exact, run.ignored, run.uses)]
                told = f"{words[0]:5} {words[1]:7} {words[2]:4} {run.seconds:7.1f}  {run.formula}"
                print(f"{run.name:8} {seed:>4}  {told}", flush=True)
    times = [r.seconds for r in runs]
    good = sum(r.good for r in runs)
    print(f"{good} of {len(runs)} as they must be; seconds: median {statistics.median(times):.1f}, most {max(times):.1f}")
    if options.json:
        report = {"rows": ROWS, "limit_s": LIMIT_S, "runs": [asdict(r) | {"good": r.good} for r in runs]}
        Path(options.json).write_text(json.dumps(report, indent=1) + "\n")
    return 0 if good == len(runs) and runs else 1


if __name__ == "__main__":
    sys.exit(main())
