"""What the guide is worth: ``python -m benchmarks.guide --json FILE``.

Accuracy and calibration of every head (`guide_calibration`); ranks of the first solution under each order, on frozen sets of
dreams that training did not see and on tasks written by hand, with a plot beside the JSON; what a sleep is worth
(`guide_sleep`); the wall-clock of whole searches, forward passes included. With ``--controls SECONDS``, and nothing else,
networks trained for so many CPU-seconds each on the same dreams; with ``--compile``, and nothing else, what torch.compile is
worth. What a rank is stands in `guide_ranks`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks import guide_calibration
from benchmarks.guide_plot import solved_against_candidates
from benchmarks.guide_ranks import RankedTask, Space, rank, ranked_tasks, ratio, uniform, with_solvers
from benchmarks.guide_tasks import library, written_tasks
from nssr import pretrained, registry, search
from nssr.dream_training import held_out
from nssr.dreams import Dreamer, Part
from nssr.encoding import format_tasks
from nssr.guide import SlotScores, mixed
from nssr.model import predict_slots
from nssr.optimizer import EMA, make_optimizer
from nssr.sleeping import sleep

ORDERS = ("uniform", "size", "unigram", "guided", "mixed", "interleaved")
ASKED = ((1, 1), (2, 1), (4, 1), (8, 1), (1, 2), (4, 2))
"""Carries and supervision steps with which the guide is asked; the search takes `search.CARRIES` and one."""
SLEEP_EPOCHS = 40
HEAD_TASKS = 2048
Opinion = Callable[[RankedTask], SlotScores]


def opinion_of(model: Any, seed: int = 0, carries: int = search.CARRIES, steps: int = 1) -> Opinion:
    """What a model says of a task, as the search asks it."""
    generator = torch.Generator().manual_seed(seed)

    def ask(task: RankedTask) -> SlotScores:
        x = format_tasks([(task.x, task.y)], input_dim=model.input_dim, seq_len=model.seq_len)
        o = predict_slots(model, x, n_carries=carries, noise=search.CARRY_NOISE, generator=generator, steps=steps)
        return SlotScores(*(row[0].astype(np.float64) for row in (o.primary, o.secondary, o.tertiary, o.composition)))

    return ask


def ranks(space: Space, tasks: list[RankedTask], prior: SlotScores, ask: Opinion) -> dict[str, np.ndarray]:
    """The rank of each task's first solution under each of `ORDERS`."""
    found: dict[str, list[float]] = {order: [] for order in ORDERS}
    for task in tasks:
        k, counts = task.x.shape[1], space.counts(task.x.shape[1])
        opinion = ask(task)
        scores = {
            "uniform": space.scores(uniform(space.table.n_functions), k), "size": space.size_scores(),
            "unigram": space.scores(prior, k), "guided": space.scores(opinion, k),
            "mixed": space.scores(mixed(opinion, prior, search.PRIOR_SHARE), k),
        }  # fmt: skip
        for order, row in scores.items():
            found[order].append(rank(row, counts, task))
        found["interleaved"].append(2 * min(found["mixed"][-1], found["size"][-1]))
    return {order: np.array(row) for order, row in found.items()}


def summary(r: dict[str, np.ndarray], kinds: np.ndarray, rng: np.random.Generator) -> dict[str, Any]:
    """Ratios with their 95 % intervals, for all tasks and by composition type."""
    out: dict[str, Any] = {}
    names = {"all": kinds >= 0, "none": kinds == 0, "sequential": kinds == 1, "nested": kinds == 2, "parallel": kinds == 3}
    for name, here in names.items():
        if here.sum() < 5:
            continue
        part = {order: row[here] for order, row in r.items()}
        out[name] = {
            "tasks": int(here.sum()),
            "median": {order: float(np.median(row)) for order, row in part.items()},
            "unigram/mixed": ratio(part["unigram"], part["mixed"], rng),
            "unigram/guided": ratio(part["unigram"], part["guided"], rng),
            "uniform/mixed": ratio(part["uniform"], part["mixed"], rng),
            "size/interleaved": ratio(part["size"], part["interleaved"], rng),
            "worse than unigram by 2": float((part["mixed"] > 2 * part["unigram"]).mean()),
            "solved within": {f"1e{e}": float((part["mixed"] <= 10**e).mean()) for e in range(2, 8)},
        }
    return out


def with_junk(space: Space, tasks: list[RankedTask], rng: np.random.Generator) -> list[RankedTask]:
    """The same tasks with columns of junk up to five."""
    out = []
    for task in tasks:
        junk = np.round(rng.uniform(-100, 100, (len(task.x), 5 - task.x.shape[1])), 2)
        x = np.column_stack([task.x, junk])[:, rng.permutation(5)]
        columns = [c.astype(np.int64) if (c == np.round(c)).all() else c for c in x.T]
        out += with_solvers(space, columns, x, task.y[None], [task.kind])
    return out


def after_sleep(state: dict[str, Any], guide: pretrained.Pretrained, epochs: int, seed: int = 1) -> Any:
    """The guide in a library with learned functions, after the sleep that follows discoveries."""
    model = pretrained.fitted_to(guide, registry.plain_names(state))
    ema = EMA(model)
    sleep(state, model, make_optimizer(model), epochs=epochs, ema=ema, seed=seed)
    return ema.model


def wall_clock(state: dict[str, Any], model: Any, n: int, seed: int) -> list[dict[str, float]]:
    """Seconds of whole searches in spaces of at least 10^7 candidates: with the guide in two lanes, and by size."""
    space = Space(state)
    total = float(space.counts(5).sum())
    dreamer = Dreamer(state, seed=seed, part=Part.BEHAVIOUR, scaled=0.0, n_columns=5)
    rng = np.random.default_rng(seed)
    found: list[dict[str, float]] = []
    while len(found) < n:
        dreams, columns = dreamer.dream_with_columns()
        joined = np.flatnonzero(dreams.labels["comp"] == 3)
        for k in rng.permutation(joined)[:2].tolist():
            examples = [([c[row].item() for c in columns], float(dreams.y[k, row])) for row in range(len(dreams.x))]
            seconds: dict[str, float] = {"space": total}
            for name, order in (("guided", ("guided", "size")), ("size", ("size",))):
                start = time.perf_counter()
                x = None
                if name == "guided":
                    x = format_tasks([examples], input_dim=model.input_dim, seq_len=model.seq_len)
                outcome = search.find(state, model if x is not None else None, examples, x, order=order)
                seconds[name] = time.perf_counter() - start
                seconds[f"{name} found"] = float(outcome.found is not None and outcome.found.exact)
            found.append(seconds)
    return found[:n]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    parser.add_argument("--json", required=True, metavar="FILE", help="where the figures go")
    parser.add_argument("--guide", metavar="FILE", help="a guide.safetensors (default: NSSR's own)")
    parser.add_argument("--tasks", type=int, default=200, help="tasks of each set and seed (default: 200)")
    parser.add_argument("--seeds", type=int, default=3, help="seeds (default: 3)")
    parser.add_argument("--searches", type=int, default=20, help="whole searches of each seed, or 0 (default: 20)")
    parser.add_argument("--controls", type=float, default=0.0, metavar="SECONDS", help="train the controls for so long each")
    parser.add_argument("--networks", default="", metavar="WORDS", help="only controls whose names hold one of these")
    parser.add_argument("--compile", action="store_true", help="measure torch.compile on this device, and nothing else")
    options = parser.parse_args()
    torch.set_num_threads(1)
    console = Console()
    guide = pretrained.load(options.guide)
    result: dict[str, Any] = {"guide": {k: v for k, v in guide.card.items() if k != "label_counts"}, "sets": {}}
    if options.compile:
        from benchmarks.guide_compile import compiled_against_eager

        result["compile"] = compiled_against_eager(guide, console)
    elif options.controls:
        from benchmarks.guide_control_runs import controls

        result["controls"] = controls(
            options.controls, options.seeds, options.tasks, console, only=[w.strip() for w in options.networks.split(",") if w]
        )
    else:
        _measure(result, guide, options, console)
    Path(options.json).write_text(json.dumps(result, indent=1) + "\n")
    return 0


def _measure(result: dict[str, Any], guide: pretrained.Pretrained, options: argparse.Namespace, console: Console) -> None:
    from benchmarks.guide_sleep import after_discovery

    _, plain = library()
    _, grown = library(learned=True)
    spaces = {"plain": Space(plain), "grown": Space(grown)}
    models = {
        "plain": pretrained.fitted_to(guide, registry.plain_names(plain)), "grown": after_sleep(grown, guide, SLEEP_EPOCHS)
    }  # fmt: skip
    priors = {k: pretrained.prior(guide, registry.plain_names(s)) for k, s in (("plain", plain), ("grown", grown))}
    learned = [i for i, entry in grown["metadata"].items() if entry["composition"] is not None]
    model, shape = models["plain"], {"input_dim": models["plain"].input_dim, "seq_len": models["plain"].seq_len}
    result["heads"] = {}
    for part in (Part.BEHAVIOUR, Part.STRUCTURE):
        name = f"held out by {part.name.lower()}"
        result["heads"][name] = guide_calibration.heads(model, held_out(plain, part, HEAD_TASKS, seed=4000, **shape))
        guide_calibration.show(console, name, result["heads"][name])
    tasks: dict[str, tuple[str, list[RankedTask]]] = {}
    for seed in range(options.seeds):
        n, rng = options.tasks, np.random.default_rng(seed)
        behaviour = ranked_tasks(plain, Part.BEHAVIOUR, n, seed=1000 + seed, space=spaces["plain"])
        drawn = {
            "held out by behaviour": ("plain", behaviour),
            "held out by structure": ("plain", ranked_tasks(plain, Part.STRUCTURE, n, seed=2000 + seed, space=spaces["plain"])),
            "needs a learned function": (
                "grown", ranked_tasks(grown, Part.BEHAVIOUR, n // 2, seed=3000 + seed, space=spaces["grown"], needing=learned)
            ),
            "junk columns": ("plain", with_junk(spaces["plain"], [t for t in behaviour if t.x.shape[1] < 5][: n // 4], rng)),
        }  # fmt: skip
        for name, (where, some) in drawn.items():
            tasks.setdefault(name, (where, []))[1].extend(some)
        console.print(f"sets of seed {seed} drawn")
    rng = np.random.default_rng(0)
    for name, (where, some) in tasks.items():
        found = ranks(spaces[where], some, priors[where], opinion_of(models[where]))
        result["sets"][name] = summary(found, np.array([t.kind for t in some]), rng)
        result["sets"][name]["ranks"] = {order: row.tolist() for order, row in found.items()}
        _show(console, name, result["sets"][name])
    result["asked"] = []
    for carries, steps in ASKED:
        found = ranks(spaces["plain"], tasks["held out by behaviour"][1], priors["plain"], opinion_of(model, 0, carries, steps))
        r = ratio(found["unigram"], found["mixed"], rng)
        result["asked"].append({"carries": carries, "steps": steps, "unigram/mixed": r})
        console.print(f"asked with {carries} carries, {steps} steps: unigram/mixed {r[0]:.1f} [{r[1]:.1f}-{r[2]:.1f}]")
    plot = Path(options.json).with_suffix(".png")
    if not solved_against_candidates(result["sets"], plot):
        console.print("no plot: matplotlib is not installed")
    written = {}
    for task in written_tasks():
        x = np.column_stack([c.astype(float) for c in task.columns])
        ranked = with_solvers(spaces["plain"], task.columns, x, task.y[None], [3])
        if not ranked:
            written[task.name] = None
            continue
        found = ranks(spaces["plain"], ranked, priors["plain"], opinion_of(models["plain"]))
        written[task.name] = {order: float(row[0]) for order, row in found.items()}
    result["written by hand"] = written
    there = [r for r in written.values() if r is not None]
    r = ratio(np.array([t["unigram"] for t in there]), np.array([t["mixed"] for t in there]), rng)
    solved = sum(t["interleaved"] <= 1e6 for t in there)
    result["written by hand, unigram/mixed"] = r
    console.print(f"written by hand: unigram/mixed {r[0]:.2f} [{r[1]:.2f}-{r[2]:.2f}], {solved} of {len(written)} within 1e6")
    for name, row in written.items():
        console.print(f"  {name}: " + ("outside the space" if row is None else f"{row['mixed']:.0f} ({row['unigram']:.0f})"))
    result["total energy after sleep"] = after_discovery(guide, options.seeds, console)
    if not options.searches:
        return
    clock = [one for seed in range(options.seeds) for one in wall_clock(grown, models["grown"], options.searches, 5000 + seed)]
    result["wall clock"] = clock
    both = [c for c in clock if c["guided found"] and c["size found"]]
    speed = np.array([c["size"] / c["guided"] for c in both])
    low, high = np.quantile([np.median(rng.choice(speed, len(speed))) for _ in range(2000)], [0.025, 0.975])
    console.print(
        f"whole searches in {clock[0]['space']:.3g} candidates: {np.median(speed):.2f} [{low:.2f}-{high:.2f}] times as fast as "
        f"by size (median of {len(both)}); found {sum(c['guided found'] for c in clock):.0f} and "
        f"{sum(c['size found'] for c in clock):.0f} of {len(clock)}"
    )


def _show(console: Console, name: str, found: dict[str, Any]) -> None:
    table = Table(title=name)
    for column in ("tasks", "median guided", "unigram", "size", "unigram/mixed", "uniform/mixed", "worse by 2", "within 1e4"):
        table.add_column(column, justify="right")
    for kind, row in found.items():
        if kind == "ranks":
            continue
        m = row["median"]
        cells = [f"{m['mixed']:.0f}", f"{m['unigram']:.0f}", f"{m['size']:.0f}"]
        cells += [f"{row[k][0]:.1f} [{row[k][1]:.1f}-{row[k][2]:.1f}]" for k in ("unigram/mixed", "uniform/mixed")]
        cells += [f"{row['worse than unigram by 2']:.1%}", f"{row['solved within']['1e4']:.0%}"]
        table.add_row(f"{kind} {row['tasks']}", *cells)
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
