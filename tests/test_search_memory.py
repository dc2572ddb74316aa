"""The byte budget of a formula search, and what keeps a long search from filling the memory."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.search_memory import measure
from nssr.explore import memory
from nssr.explore.front import Front
from nssr.explore.problem import Problem
from nssr.explore.tree import Tree, add, column, mul, number


@pytest.mark.parametrize("n_threads", [1, 2])
def test_the_budget_holds(n_threads: int) -> None:
    """Peak of a process of its own; the parametric bank and the third of the exact search are grown in that time."""
    budget = 300_000_000
    used = measure(budget, seconds=10, rows=1000, n_threads=n_threads)
    assert 50_000_000 < used < 1.1 * budget  # less would mean that nothing was searched


def test_banks_grow_with_the_budget() -> None:
    for columns in (memory.exact_columns, memory.noisy_columns, memory.parametric_columns):
        sizes = [columns(budget, 100) for budget in (1, 10**8, 3 * 10**8, 2 * 10**9)]
        assert sizes[0] == sizes[1] < sizes[2] < sizes[3]
    assert memory.exact_columns(2 * 10**9, 32) > 250_000, "the default budget limits no bank of the exact search"
    assert memory.piece(10**9) == 1


def _front() -> Front:
    x = np.random.default_rng(0).uniform(1, 2, (30, 1))
    return Front(Problem(x, 2.5 * x[:, 0]), x, 2.5 * x[:, 0], None)


def test_a_front_remembers_the_shortest_and_the_best_of_each_size(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    trees: list[Tree] = [mul(number(k), column(0)) for k in rng.uniform(1, 4, 300).tolist()]
    trees += [add(tree, number(k)) for tree, k in zip(trees, rng.uniform(-1, 1, 300).tolist(), strict=True)]
    whole = _front()
    whole.admit(trees)
    monkeypatch.setattr("nssr.explore.front.REMEMBERED", 40)
    small = _front()
    for at in range(0, len(trees), 50):
        part = trees[at : at + 50]
        small.admit(part)
        assert set(part) <= small.losses.keys(), "what was just admitted is known"
        assert len(small.losses) <= 2 * 40 + 50
    assert small.pareto() == whole.pareto()
    assert small.shortest(40) == whole.shortest(40)
    small.admit(trees[:50])  # again: what was forgotten counts as new, and changes nothing
    assert small.shortest(40) == whole.shortest(40)


def test_forgetting_keeps_the_best_of_a_size_that_is_not_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nssr.explore.front.REMEMBERED", 3)
    front = _front()
    long = add(mul(number(0.123456789), column(0)), add(number(9.87654321), number(1.2345678)))
    front.admit([long])
    for k in range(2, 12):
        front.admit([mul(number(2.5 + 1.0 / k), column(0)), mul(number(2.5 - 1.0 / k), column(0))])
    assert long in front.losses
    assert front.bits(long) > front.bits(front.shortest(3)[-1])
