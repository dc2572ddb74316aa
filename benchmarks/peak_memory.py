"""Memory that scoring needs beyond its inputs and outputs, in a process of its own:

    python -m benchmarks.peak_memory --trees 10000 --rows 10000 [--copies 1] [--dtype float64] [--threads 1]

The peak of the resident set during `engine.Formulas(...).score(...)`, less what was resident before
and less the scores. Inputs (flat arrays, X, y) are made and touched before; the columns' padded copy counts as an input,
the formulas' arrays are not copied. A first call on one tree loads code and starts threads. The peak is reset before
(Linux: ``clear_refs``); where that cannot be done, ``ru_maxrss`` is read, which may hide a need below an earlier peak.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np

from benchmarks import workloads
from nssr import engine

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def _resident(field: str) -> int:
    """``VmRSS`` (now) or ``VmHWM`` (peak), in bytes."""
    if STATUS.exists():
        (kilobytes,) = re.findall(rf"^{field}:\s+(\d+) kB", STATUS.read_text(), re.M)
        return int(kilobytes) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _reset_peak() -> None:
    if CLEAR.exists():
        CLEAR.write_text("5")


def extra_bytes(n_trees: int, rows: int, copies: int, dtype: str, n_threads: int) -> int:
    """Bytes beyond inputs and outputs of scoring ``n_trees * copies`` trees of workload A."""
    flat = workloads.flatten(workloads.trees("A", n_trees))
    if copies > 1:
        flat = workloads.multiply(flat, copies)
    x, y = workloads.data(rows)
    data = engine.Columns(x, y, dtype=dtype)
    first = workloads.flatten(workloads.trees("A", 1))
    engine.Formulas(*first.arrays).score(engine.Columns(x[:20], y[:20], dtype=dtype), ("mse",), n_threads=n_threads)
    _reset_peak()
    before = _resident("VmRSS")
    scores = engine.Formulas(*flat.arrays).score(data, ("mse",), n_threads=n_threads)
    return _resident("VmHWM") - before - sum(np.asarray(values).nbytes for values in scores.values())


def in_a_process(n_trees: int, rows: int, copies: int = 1, dtype: str = "float64", n_threads: int = 1) -> int:
    """`extra_bytes`, measured by a fresh interpreter."""
    options = {"trees": n_trees, "rows": rows, "copies": copies, "dtype": dtype, "threads": n_threads}
    command = [sys.executable, "-m", "benchmarks.peak_memory", *(f"--{name}={value}" for name, value in options.items())]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(json.loads(done.stdout)["extra_bytes"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trees", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--copies", type=int, default=1, help="times as many trees, drawn anew on the same shapes")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float64")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    print(json.dumps({"extra_bytes": extra_bytes(given.trees, given.rows, given.copies, given.dtype, given.threads)}))


if __name__ == "__main__":
    main()
