"""What a sleep is worth: the place of TOTAL_E = ADD(KE(m, v), PE(m, h)) among five columns, before the sleep that follows the
discovery of KE and PE and after it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks.guide_ranks import RankedTask, Space, with_solvers
from nssr import db, pretrained, registry
from nssr.optimizer import EMA, make_optimizer
from nssr.sleeping import sleep

TABLES = 4
ROWS = 30
EPOCHS = (6, 40)

Places = Callable[[Space, list[RankedTask], Any, Any], dict[str, np.ndarray]]


def discovered() -> dict[str, Any]:
    """The core pack with KE and PE, as a person would have had them found."""
    conn = db.init_db(":memory:")
    state = registry.init_registry(conn, ("core",))
    times = next(i for i, entry in state["metadata"].items() if entry["name"] == "MUL")
    registry.register_learned(conn, state, "KE", 2, [(times, [1, 1]), (times, [0, 2])], [0.5])
    registry.register_learned(conn, state, "PE", 2, [(times, [0, 1])], [9.81])
    return state


def energies(space: Space, seeds: Sequence[int]) -> list[RankedTask]:
    """A table of mass, speed, height and two columns of junk, in any order, for each seed; the target is their total energy."""
    tasks = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        ranges = ((1, 10), (1, 20), (1, 50), (-100, 100), (-100, 100))
        m, v, h, *junk = (np.round(rng.uniform(low, high, ROWS), 2) for low, high in ranges)
        columns = [[m, v, h, *junk][k] for k in rng.permutation(5)]
        y = 0.5 * (m * (v * v)) + 9.81 * (m * h)
        tasks += with_solvers(space, columns, np.column_stack(columns), y[None], [3])
    return tasks


def after_discovery(guide: pretrained.Pretrained, seeds: int, places: Places, console: Console) -> list[dict[str, Any]]:
    """A row for each number of epochs and each seed of the sleep: places before and after, table by table.

    ``places``: `benchmarks.guide.ranks` with the opinion of a model.
    """
    state = discovered()
    space = Space(state)
    tasks = energies(space, range(TABLES))
    names = registry.plain_names(state)
    prior = pretrained.prior(guide, names)
    before = places(space, tasks, prior, pretrained.fitted_to(guide, names))
    rows = []
    for epochs in EPOCHS:
        for seed in range(seeds):
            model = pretrained.fitted_to(guide, names)
            ema = EMA(model)
            sleep(state, model, make_optimizer(model), epochs=epochs, ema=ema, seed=seed)
            after = places(space, tasks, prior, ema.model)
            times = before["mixed"] / after["mixed"]
            rows.append({"epochs": epochs, "seed": seed, "before": before["mixed"].tolist(), "after": after["mixed"].tolist()})
            console.print(
                f"TOTAL_E after {epochs} epochs of sleep, seed {seed}: place {np.median(before['mixed']):.0f} to "
                f"{np.median(after['mixed']):.0f} (medians of {len(tasks)} tables), "
                f"{times.min():.1f} to {times.max():.1f} times earlier"
            )
    return rows
