"""The order in which a search does its parts, learned from dreamt laws: what finds most in a second comes first.

    python -m nssr.stage_order --laws 450 --jobs 2 --out FILE.json

dreams laws (`nssr.laws`), lets every part of the search try each by itself, and orders the parts for tables of one, two, ...
columns by the greedy rule for min-sum submodular cover (M. Streeter and D. Golovin, NIPS 2008, at most four times the least mean
time): next is the part with the most laws, not found by those before it, for each second that it takes. The file holds the orders
and what they were learned from; the trials lie beside it, one line of JSON each, and the same command goes on from there.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from nssr.explore.order import BY_SIZE, NEEDS, checked
from nssr.explore.problem import Problem
from nssr.explore.search import Trial, Trials
from nssr.laws import MOST_COLUMNS, dreamt

SHIPPED = Path(__file__).parent / "weights" / "stage_order.json"
FIRST = BY_SIZE[:2]
"""What comes first whatever the table: most laws, with and without noise, and what later parts build on."""
LATER = BY_SIZE[len(FIRST) :]
LAST_RESORTS = ("differences", "factored again")
"""Dear ones, tried where no other part finds the law: they come behind those that do."""
ROWS, FRESH_ROWS = 200, 200
LIMIT_S = 8.0
"""A part that takes longer has not found the law, and took as long."""
_NEIGHBOUR = 0.4  # how much a law of one column more or less says, against one of the same number
_UNSEEN = 0.1  # laws that a part is believed to find for which no dream speaks
_MEMORY = 1_000_000_000


@dataclass(frozen=True)
class Dreamt:
    """What became of one law: its seed, its number of columns, and the trials of the parts that were tried."""

    seed: int
    columns: int
    trials: dict[str, Trial]

    def found(self, part: str) -> bool:
        return part in self.trials and self.trials[part].found

    def next(self) -> str | None:
        """The part to be tried next, None where all have been that say something."""
        left = [part for part in BY_SIZE if part not in self.trials]
        if self.is_first:
            return None
        others = [part for part in left if part not in LAST_RESORTS]
        if others:
            return others[0]
        return left[0] if left and not self.is_found else None

    @property
    def is_found(self) -> bool:
        return any(trial.found for trial in self.trials.values())

    @property
    def is_first(self) -> bool:
        """Found by the first parts, so that it says nothing of the others."""
        return any(self.found(part) for part in FIRST)


@cache
def order(n_columns: int) -> tuple[str, ...]:
    """The learned order of the parts for a table of so many columns."""
    orders = json.loads(SHIPPED.read_text())["orders"]
    return checked(orders[str(min(n_columns, MOST_COLUMNS))])


def tried(seed: int, known: Dreamt | None = None) -> Dreamt:
    """A law, and which parts find it: a formula of theirs holds on rows that no part saw. ``known``: what was tried before."""
    law = dreamt(np.random.default_rng(seed), ROWS + FRESH_ROWS)
    seen, fresh = slice(0, ROWS), slice(ROWS, None)
    done = Dreamt(seed, law.X.shape[1], dict(known.trials) if known else {})
    with threadpool_limits(1):
        trials = Trials(Problem(law.X[seen], law.y[seen], seed=seed), law.X[fresh], law.y[fresh], LIMIT_S, _MEMORY)
        while (part := done.next()) is not None:
            done.trials[part] = trials.of(part)
    return done


def learned(dreams: Sequence[Dreamt], n_columns: int) -> tuple[str, ...]:
    """The greedy order over ``dreams``, those of about ``n_columns`` columns counting most."""
    left = [d for d in dreams if not d.is_first]
    weights = np.array([_NEIGHBOUR ** abs(d.columns - n_columns) for d in left])
    found = {part: np.array([d.found(part) for d in left], dtype=bool) for part in LATER}
    seconds = {part: _seconds(left, part, weights) for part in LATER}
    placed, remaining = list(FIRST), np.ones(len(left), dtype=bool)

    def with_needed(part: str) -> list[str]:
        needed = NEEDS.get(part)
        return [part] if needed is None or needed in placed else [needed, part]

    def rate(run: Sequence[str], remaining: npt.NDArray[np.bool_]) -> float:
        new = np.logical_or.reduce([found[part] for part in run]) & remaining
        return (float(weights[new].sum()) + _UNSEEN * len(run)) / sum(seconds[part] for part in run)

    while len(placed) < len(BY_SIZE):
        runs = [with_needed(part) for part in LATER if part not in placed]
        best = max(runs, key=partial(rate, remaining=remaining))
        placed += best
        for part in best:
            remaining &= ~found[part]
    return checked(placed)


def _seconds(dreams: Sequence[Dreamt], part: str, weights: npt.NDArray[np.float64]) -> float:
    """The weighted mean over the laws that the part was tried on; a second where there is none."""
    tried_on = [k for k, d in enumerate(dreams) if part in d.trials]
    return float(np.average([dreams[k].trials[part].seconds for k in tried_on], weights=weights[tried_on])) if tried_on else 1.0


def summary(dreams: Sequence[Dreamt]) -> dict[str, Any]:
    """The orders for 1 to `MOST_COLUMNS` columns, what each part found and took, and what the orders are worth."""
    left = [d for d in dreams if not d.is_first]
    same = np.ones(len(left))
    orders = {str(k): learned(dreams, k) for k in range(1, MOST_COLUMNS + 1)}
    return {
        "orders": orders,
        "laws": len(dreams),
        "found by the first two parts": len(dreams) - len(left),
        "found by none": sum(not d.is_found for d in left),
        "of the others found, and mean seconds": {
            part: [sum(d.found(part) for d in left), round(_seconds(left, part, same), 3)] for part in LATER
        },
        "mean seconds by size": round(mean_seconds(dreams, lambda _: BY_SIZE), 2),
        "mean seconds as learned": round(mean_seconds(dreams, lambda k: orders[str(k)]), 2),
    }


def mean_seconds(dreams: Sequence[Dreamt], order_of: Callable[[int], Sequence[str]]) -> float:
    """Until a law is found that some part finds, but not the first two, in the order for its number of columns."""
    whole = {part: _seconds(dreams, part, np.ones(len(dreams))) for part in BY_SIZE}
    taken = []
    for d in dreams:
        if d.is_first or not d.is_found:
            continue
        seconds = 0.0
        for part in order_of(d.columns):
            seconds += d.trials[part].seconds if part in d.trials else whole[part]
            if d.found(part):
                break
        taken.append(seconds)
    return float(np.mean(taken)) if taken else 0.0


def _read(path: Path) -> list[Dreamt]:
    """What a record holds; a last line that was cut off is taken out of it."""
    if not path.exists():
        return []
    text = path.read_text()
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        path.write_text(whole)
    lines = [json.loads(line) for line in whole.splitlines()]
    return [Dreamt(d["seed"], d["columns"], {part: Trial(*t) for part, t in d["trials"].items()}) for d in lines]


def _tried(both: tuple[int, Dreamt | None]) -> Dreamt:
    return tried(*both)


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def main(given: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m nssr.stage_order", description="Learn the order of the search's parts.")
    parser.add_argument("--laws", type=int, default=450, help="laws to dream (default: 450)")
    parser.add_argument("--jobs", type=int, default=1, help="laws at once (default: 1)")
    parser.add_argument("--seed", type=int, default=0, help="of the first law (default: 0)")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.json", help="where the orders go; trials beside it")
    options = parser.parse_args(given)
    if options.laws < 1 or options.jobs < 1:
        parser.error("--laws and --jobs must be at least 1")
    if options.out.suffix != ".json" or not options.out.parent.is_dir():
        parser.error(f"--out {options.out} must be a file that ends in .json, in a folder that is there")
    record = options.out.with_suffix(".jsonl")
    try:
        dreams = {d.seed: d for d in _read(record)}
    except (ValueError, KeyError, TypeError) as e:
        parser.error(f"{record} is no record of trials ({e}); give another --out")
    wanted = range(options.seed, options.seed + options.laws)
    left = [(seed, dreams.get(seed)) for seed in wanted if seed not in dreams or dreams[seed].next() is not None]
    start = time.monotonic()
    try:
        with record.open("a") as file, multiprocessing.get_context("spawn").Pool(options.jobs, _ignore_interrupts) as pool:
            for done, dream in enumerate(pool.imap_unordered(_tried, left), 1):
                file.write(json.dumps(asdict(dream)) + "\n")
                file.flush()
                dreams[dream.seed] = dream
                print(f"\r{done} of {len(left)} laws, {time.monotonic() - start:.0f} s", end="", file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        print("\nStopped; the same command goes on.", file=sys.stderr)
        return 130
    chosen = [dreams[seed] for seed in wanted]
    result = summary(chosen)
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"\n{json.dumps({k: v for k, v in result.items() if k != 'orders'}, indent=1)}\n{options.out}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
