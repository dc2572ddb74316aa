"""Candidates of the guided search, checked by the engine and by the reference with its own early exit.

    python -m benchmarks.validate [--json FILE] [--rows 20,100,1000,10000] [--candidates 100000]

Both sides get the same candidates: the reference the documented dicts, the engine the flat records of its generator; the
engine's time includes lowering and verification, and every candidate that it leaves unsure is decided by the reference
within its time. Both sides must agree on every candidate before anything is timed. One thread.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.rounds import in_turns, ratio
from nssr import db, engine, executor, registry, search_space
from nssr.guide import UnigramGuide

N_CANDIDATES = 100_000
ROWS = 100


def tasks(seed: int = 0, rows: int = ROWS) -> dict[str, list[tuple[list[Any], Any]]]:
    """Tasks that have no solution among the candidates, with int, float and mixed columns."""
    rng = random.Random(seed)
    integer = [[rng.randint(-50, 50) for _ in range(3)] for _ in range(rows)]
    floating = [[round(rng.uniform(0.1, 20), 2) for _ in range(3)] for _ in range(rows)]
    mixed = [[rng.randint(0, 20), round(rng.uniform(-5, 5), 3), rng.randint(-3, 3)] for _ in range(rows)]
    return {
        "integers": [(x, (x[0] * x[1]) ** 2 + 17 * x[2] + 5) for x in integer],
        "floats": [(x, 0.5 * x[0] * x[1] ** 2 + 9.81 * x[0] * x[2]) for x in floating],
        "mixed": [(x, x[0] * x[1] ** 3 + x[2] + 0.25) for x in mixed],
    }


def candidates(state: dict[str, Any], n_columns: int, n: int) -> np.ndarray:
    """The first ``n`` candidates in the order of the guided search: single functions, pairs, loops, then parallel ones."""
    table = engine.FunctionTable(state["metadata"])
    slots = search_space.choices(state)
    prior = UnigramGuide(state["metadata"]).slot_scores(table.n_functions)
    scores = search_space.log_scores(slots, prior, table.arity, n_columns)
    simple = slots["comp"] != search_space.PARALLEL
    order = np.argsort(-(scores + 1e6 * simple), kind="stable")
    return engine.Enumerator(slots[order], table.arity, table.commutative, list(range(n_columns))).fill(n)


class Side:
    """Both ways to check the same candidates of one task."""

    def __init__(self, examples: list[tuple[list[Any], Any]], n: int) -> None:
        self.examples = examples
        self.state = registry.init_registry(db.init_db(":memory:"))
        data = engine.Dataset.from_examples(examples)
        self.records = candidates(self.state, data.n_columns, n)
        self.dicts = engine.unpack(self.records, data.n_columns)
        self.bench = engine.Bench(engine.FunctionTable(self.state["metadata"]), data)

    def by_engine(self) -> np.ndarray:
        verdicts = self.bench.validate(self.records)
        for i in np.flatnonzero(verdicts == engine.UNSURE):
            verdicts[i] = executor.validate(self.state, self.dicts[i], self.examples)
        return verdicts

    def by_reference(self) -> np.ndarray:
        return np.array([executor.validate(self.state, c, self.examples) for c in self.dicts], dtype=np.uint8)


def measure(rounds: int = 7, n: int = N_CANDIDATES, n_rows: int = ROWS) -> list[dict[str, Any]]:
    """One row per task: rates of both sides and their ratio."""
    rows = []
    for name, examples in tasks(rows=n_rows).items():
        side = Side(examples, n)
        if not np.array_equal(side.by_engine(), side.by_reference()):
            raise SystemExit(f"{name}: the engine and the reference disagree; nothing was timed")
        times = in_turns({"engine": side.by_engine, "reference": side.by_reference}, rounds)
        middle, low, high = ratio(times["reference"], times["engine"])
        rows.append({
            "task": name, "candidates": len(side.records), "rows": n_rows, "target": engine.target(),
            "engine": times["engine"].rate(len(side.records)), "reference": times["reference"].rate(len(side.records)),
            "ratio": middle, "ratio_low": low, "ratio_high": high,
        })  # fmt: skip
    return rows


def show(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for row in rows:
        print(f"{row['task']:9} {row['candidates']:,} candidates x {row['rows']:,} rows ({row['target']})")
        print(f"          engine {row['engine']}, reference {row['reference']}")
        print(f"          {row['ratio']:.1f} times the reference [{row['ratio_low']:.1f} to {row['ratio_high']:.1f}]")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--rows", default=str(ROWS), help="numbers of examples, e.g. 20,100,1000,10000")
    parser.add_argument("--candidates", type=int, default=N_CANDIDATES)
    options = parser.parse_args()
    rows = []
    for n_rows in options.rows.split(","):
        rows += show(measure(options.rounds, options.candidates, int(n_rows)))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
