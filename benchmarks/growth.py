"""Growth: candidates generated and columns kept per second, on one thread; and probes of 200,000 columns.

    python -m benchmarks.growth [--json FILE] [--rounds 5] [--max-cost 7] [--rows 64]

Four columns, the constants 1 and 2, costs as they come. ``science``: all 24 operations; ``rational``: ADD SUB MUL DIV, two
levels deeper. Each with values of all columns, and without those of the last level. At small costs columns and counters
must be those of a plain enumeration in numpy (growth_reference.py) before anything is timed. CPU time, in turns in one
process; a warm-up round comes first, since memory that a virtual machine has never touched costs several times more than
the work. Probes: peel, LOGABS, 32 rows, a table of 200,000 keys; the keys must be those of numpy.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.growth_reference import Reference, disagreement
from benchmarks.rounds import in_turns
from nssr import engine
from nssr.engine import growth

SCIENCE = tuple(name for name in growth.OPERATIONS if name != "FDIV")
RATIONAL = ("ADD", "SUB", "MUL", "DIV")
MEMORY = 4_000_000_000


def leaves(rows: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(0.5, 3, (4, rows))


def check(rows: int) -> None:
    for operations, max_cost in ((SCIENCE, 4), (RATIONAL, 6)):
        x = leaves(rows)[:3]
        difference = disagreement(engine.grow(x, operations, max_cost=max_cost), Reference(x, operations, max_cost=max_cost))
        if difference:
            raise SystemExit(f"growth and numpy disagree, nothing was timed: {difference}")


def measure_growth(rows: int, max_cost: int, rounds: int) -> list[dict[str, Any]]:
    x, sides, seen = leaves(rows), {}, {}
    for name, operations, top in (("science", SCIENCE, max_cost), ("rational", RATIONAL, max_cost + 2)):
        for store_last in (True, False):
            side = f"{name}{'' if store_last else ', last level without values'}"

            def run(operations: Any = operations, top: int = top, store_last: bool = store_last, side: str = side) -> None:
                seen[side] = None  # gives the memory of the round before back
                grown = engine.grow(x, operations, max_cost=top, memory=MEMORY, store_last=store_last)
                seen[side] = (dict(grown.counters), grown.bytes, grown.stopped)

            sides[side] = run
    results = []
    for side, timing in in_turns(sides, rounds).items():
        counters, size, stopped = seen[side]  # type: ignore[misc]
        results.append({
            "side": side, "rows": rows, "target": engine.target(), "counters": counters, "bytes": size, "stopped": stopped,
            "seconds": timing.seconds, "generated": timing.rate(counters["generated"]), "kept": timing.rate(counters["kept"]),
        })  # fmt: skip
        print(f"{side} ({rows} rows, {engine.target()}, {stopped}, {size / 1e6:,.0f} MB)")
        print(f"    generated {counters['generated']:,}: {results[-1]['generated']}")
        print(f"    kept {counters['kept']:,}: {results[-1]['kept']}")
        print(f"    {counters}", flush=True)
    return results


def measure_probes(rounds: int, n: int = 200_000, rows: int = 32) -> list[dict[str, Any]]:
    rng = np.random.default_rng(1)
    values, target = rng.uniform(0.5, 3, (n, rows)), rng.uniform(0.5, 3, rows)
    u1, u2 = rng.normal(size=(2, rows))
    table = engine.ProbeTable(rng.standard_cauchy(n))
    r = np.log(np.abs(target + values))
    if not np.allclose(engine.probe_keys(values, target, "ADD", ["LOGABS"], u1, u2), (r @ u1) / (r @ u2), rtol=1e-8):
        raise SystemExit("keys are not those of numpy; nothing was timed")
    chains: dict[str, tuple[str, list[str]]] = {
        "t + v": ("ADD", []),
        "log|t + v|": ("ADD", ["LOGABS"]),
        "log|t / v|": ("DIV", ["LOGABS"]),
        "asin(sqrt(t - v))": ("SUB", ["SQRT", "ASIN"]),
    }
    sides: dict[str, Callable[[], object]] = {
        name: lambda op=op, chain=chain: table.probe(values, target, op, chain, u1, u2)  # type: ignore[misc]
        for name, (op, chain) in chains.items()
    }
    results = []
    for side, timing in in_turns(sides, rounds).items():
        ms = [1e3 * s for s in timing.seconds]
        results.append({"side": side, "columns": n, "rows": rows, "target": engine.target(), "ms": ms})
        print(f"probe {side}: {1e3 * timing.median:.1f} ms [{min(ms):.1f} to {max(ms):.1f}] for {n:,} columns x {rows} rows")
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--max-cost", type=int, default=7)
    parser.add_argument("--rows", type=int, default=64)
    options = parser.parse_args()
    check(options.rows)
    results = measure_growth(options.rows, options.max_cost, options.rounds) + measure_probes(options.rounds)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
