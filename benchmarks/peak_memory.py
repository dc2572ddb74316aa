"""Memory that scoring needs beyond its inputs and outputs, in a process of its own:

    python -m benchmarks.peak_memory [--trees 10000] [--rows 10000] [--copies 1] [--dtype float64] [--threads 1]

The peak of the resident set during `engine.Formulas(...).score(...)`, less what was resident before and less the scores.
Inputs are the flat arrays and `engine.Columns` (a padded copy). Nothing is called before, so code that is loaded late counts.

Traps: drawing trees leaves freed memory that stays resident, which the measured call would take without a trace. So
another process draws them, the measured one only loads arrays, and it returns its free memory first. The peak must be
reset before the call (Linux: ``clear_refs``); elsewhere ``ru_maxrss`` is read, in which an earlier peak may hide the need.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks import workloads
from nssr import engine

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def resident(field: str) -> int:
    """``VmRSS`` (now) or ``VmHWM`` (peak), in bytes."""
    if STATUS.exists():
        (kilobytes,) = re.findall(rf"^{field}:\s+(\d+) kB", STATUS.read_text(), re.M)
        return int(kilobytes) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def settle() -> None:
    """Returns free memory to the system and resets the peak, where that can be done."""
    if CLEAR.exists():
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
        CLEAR.write_text("5")


def extra_bytes(folder: Path, dtype: str, n_threads: int) -> int:
    """Bytes beyond inputs and outputs of scoring the trees in ``folder``; to be called once in a process."""
    arrays = [np.load(folder / f"{i}.npy") for i in range(4)]
    data = engine.Columns(np.load(folder / "x.npy"), np.load(folder / "y.npy"), dtype=dtype)
    settle()
    before = resident("VmRSS")
    scores = engine.Formulas(*arrays).score(data, ("mse",), n_threads=n_threads)
    return resident("VmHWM") - before - sum(values.nbytes for values in scores.values())


def measure(n_trees: int, rows: int, copies: int = 1, dtype: str = "float64", n_threads: int = 1) -> int:
    """`extra_bytes` of ``n_trees * copies`` trees of workload A, measured by a fresh interpreter."""
    flat = workloads.flatten(workloads.trees("A", n_trees))
    if copies > 1:
        flat = workloads.multiply(flat, copies)
    with tempfile.TemporaryDirectory() as folder:
        named = {"x": workloads.data(rows)[0], "y": workloads.data(rows)[1]} | {str(i): a for i, a in enumerate(flat.arrays)}
        for name, array in named.items():
            np.save(Path(folder) / f"{name}.npy", array)
        options = ["--load", folder, "--dtype", dtype, "--threads", str(n_threads)]
        command = [sys.executable, "-m", "benchmarks.peak_memory", *options]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return int(json.loads(done.stdout)["extra_bytes"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trees", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--copies", type=int, default=1, help="times as many trees, drawn anew on the same shapes")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float64")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--load", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.load:
        extra = extra_bytes(given.load, given.dtype, given.threads)
    else:
        extra = measure(given.trees, given.rows, given.copies, given.dtype, given.threads)
    print(json.dumps({"extra_bytes": extra}))


if __name__ == "__main__":
    main()
