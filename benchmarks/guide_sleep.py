"""What a sleep is worth: the place of TOTAL_E = ADD(KE(m, v), PE(m, h)) among five columns, before the sleep that follows the
discovery of KE and PE and after it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks.guide_ranks import RankedTask, Space, with_solvers
from nssr import db, pretrained, registry

TABLES = 4
ROWS = 30
EPOCHS = (6, 40)


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


def after_discovery(guide: pretrained.Pretrained, seeds: int, console: Console) -> list[dict[str, Any]]:
    """A row for each number of epochs and each seed of the sleep: places before and after, table by table."""
    from benchmarks.guide import after_sleep, opinion_of, ranks

    state = discovered()
    space = Space(state)
    tasks = energies(space, range(TABLES))
    names = registry.plain_names(state)
    prior = pretrained.prior(guide, names)

    def places(model: Any) -> np.ndarray:
        return ranks(space, tasks, prior, opinion_of(model))["mixed"]

    before = places(pretrained.fitted_to(guide, names))
    rows = []
    for epochs in EPOCHS:
        for seed in range(seeds):
            after = places(after_sleep(state, guide, epochs, seed))
            times = before / after
            rows.append({"epochs": epochs, "seed": seed, "before": before.tolist(), "after": after.tolist()})
            console.print(
                f"TOTAL_E after {epochs} epochs of sleep, seed {seed}: place {np.median(before):.0f} to {np.median(after):.0f} "
                f"(medians of {len(tasks)} tables), {times.min():.1f} to {times.max():.1f} times earlier"
            )
    return rows
