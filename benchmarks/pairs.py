"""All pairs of 1,240 columns under four operators: the bank runner, and psrn 0.1.3 on torch.

    python -m benchmarks.pairs [--json FILE] [--rounds 7]

psrn's own network: 20 inputs, operators Add Mul Sub Div Identity, two layers; its first layer makes 1,240 columns, its last one
scores every pair. It gives one mean squared error per candidate and ranks nothing; the bank gives the 100 best (`best_pairs`,
ADD SUB MUL FDIV) from the same columns. The 100 least losses of both must agree before anything is timed. One thread, CPU
time, in turns in one process. The affine loss, equality and digests are the bank's alone and are timed beside.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.rounds import in_turns, ratio
from nssr import engine

INPUTS = 20
OPERATORS = ("ADD", "SUB", "MUL", "FDIV")
K = 100


def task(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (rows, INPUTS) and a target that no pair of the columns gives."""
    x = np.random.default_rng(rows).uniform(-3, 3, (rows, INPUTS))
    return x, np.sin(x[:, 0] * x[:, 1]) * 3 + x[:, 2] * np.exp(-x[:, 3] / 3) + np.cos(x[:, 4])


def measure(rounds: int) -> list[dict[str, Any]]:
    """One row per number of rows and type."""
    import torch
    from psrn.model.models import PSRN

    torch.set_num_threads(1)
    results = []
    for rows in (20, 100):
        for name, kind in (("float32", torch.float32), ("float64", torch.float64)):
            torch.set_default_dtype(kind)  # psrn's sums have torch's default type
            x, y = (torch.tensor(a, dtype=kind) for a in task(rows))
            theirs = ["Add", "Mul", "Sub", "Div", "Identity"]
            network = PSRN(n_variables=INPUTS, operators=theirs, n_symbol_layers=2, device="cpu")
            with torch.no_grad():
                tokens = torch.cat([network.list[0](row.reshape(1, -1)) for row in x]).numpy()
            bank = engine.Bank(tokens, y.double().numpy(), dtype=name)
            n = bank.n_columns
            pairs = n * (n + 1) + 2 * n * n

            def psrn(network: Any = network, x: Any = x, y: Any = y) -> Any:
                with torch.no_grad():
                    return network.score_mse(x, y)

            scores = np.sort(psrn().numpy()[:pairs])[:K] * rows
            ours = bank.best_pairs(OPERATORS, K)
            tolerance = 1e-4 if name == "float32" else 1e-9
            if not np.allclose(scores, ours.loss, rtol=tolerance):
                raise SystemExit(f"{rows} rows, {name}: the best losses disagree; nothing was timed")
            sides: dict[str, Callable[[], object]] = {
                "psrn": psrn,
                "bank": lambda bank=bank: bank.best_pairs(OPERATORS, K),
                "affine": lambda bank=bank: bank.best_pairs(OPERATORS, K, "affine"),
                "matches": lambda bank=bank: bank.matches(OPERATORS),
                "digests": lambda bank=bank: bank.digests("ADD"),
            }
            times = in_turns(sides, rounds)
            middle, low, high = ratio(times["psrn"], times["bank"])
            items = dict.fromkeys(sides, pairs) | {"psrn": network.out_dim, "digests": n * n}
            results.append({
                "rows": rows, "dtype": name, "columns": n, "candidates": pairs, "target": engine.target(),
                **{side: timing.rate(items[side]) for side, timing in times.items()},
                "ratio": middle, "ratio_low": low, "ratio_high": high,
            })  # fmt: skip
            row = results[-1]
            print(f"{rows} rows, {name}: {pairs:,} candidates of {n:,} columns ({row['target']})")
            for side in sides:
                print(f"    {side:8}{row[side]}")
            print(f"    {middle:.0f} times psrn [{low:.0f} to {high:.0f}]", flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    try:
        import psrn  # noqa: F401
        import torch  # noqa: F401
    except ImportError as error:
        print(f"this compares with psrn 0.1.3 on torch: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    results = measure(options.rounds)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
