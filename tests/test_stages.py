"""Stages: done in order whatever the number of threads, and given up together."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from nssr.explore import Found, Problem, Result, explore
from nssr.explore.budget import Budget, Stopped
from nssr.explore.stages import Kind, Stage, Stages
from nssr.explore.tree import Tree, number


def _named(k: int, kind: Kind = Kind.FIT, pause: float = 0.0) -> Stage:
    def work() -> list[Tree]:
        time.sleep(pause)
        return [number(float(k))]

    return Stage(str(k), kind, work)


@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_results_come_in_order_though_later_stages_are_done_sooner(n_threads: int) -> None:
    stages = Stages(Budget(60, lambda: False), n_threads)
    work = (_named(k, pause=0.02 if k % 3 == 0 else 0.0) for k in range(12))
    assert [(stage.name, found) for stage, found in stages.done(work)] == [(str(k), [number(float(k))]) for k in range(12)]


@pytest.mark.parametrize("n_threads", [1, 3])
def test_a_stage_that_works_alone_sees_all_before_it_taken(n_threads: int) -> None:
    taken: list[str] = []
    seen: list[list[str]] = []

    def alone() -> list[Tree]:
        seen.append(list(taken))
        return []

    def plan() -> Iterator[Stage]:
        for k in range(6):
            yield _named(k, pause=0.005)
            if k % 3 == 2:
                yield Stage("alone", Kind.ALONE, alone)

    for stage, _ in Stages(Budget(60, lambda: False), n_threads).done(plan()):
        taken.append(stage.name)
    assert seen == [["0", "1", "2"], ["0", "1", "2", "alone", "3", "4", "5"]]


@pytest.mark.parametrize("n_threads", [1, 3])
def test_errors_of_a_stage_reach_the_one_who_asks(n_threads: int) -> None:
    def bad() -> list[Tree]:
        raise ZeroDivisionError("of the stage")

    done = Stages(Budget(60, lambda: False), n_threads).done(iter([_named(0), Stage("bad", Kind.FIT, bad), _named(2)]))
    assert next(done)[0].name == "0"
    with pytest.raises(ZeroDivisionError, match="of the stage"):
        next(done)


def test_who_stops_asking_ends_what_was_begun_early() -> None:
    stages = Stages(Budget(60, lambda: False), 3)
    began, ended = threading.Event(), []

    def endless() -> list[Tree]:
        began.set()
        try:
            while True:
                stages.tick()
                time.sleep(0.001)
        except Stopped:
            ended.append(True)
            raise

    done = stages.done(iter([_named(0, pause=0.01), Stage("endless", Kind.FIT, endless), _named(2), _named(3)]))
    assert next(done)[0].name == "0"
    assert began.wait(10)
    done.close()
    assert ended == [True]
    stages.tick()  # the next plan may go on


def test_time_ends_stages_in_every_thread() -> None:
    stages = Stages(Budget(0.2, lambda: False), 2)

    def endless() -> list[Tree]:
        while True:
            stages.tick()
            time.sleep(0.001)

    with pytest.raises(Stopped):
        list(stages.done(Stage(str(k), Kind.FIT, endless) for k in range(4)))


def _until_the_third_front(problem: Problem, n_threads: int) -> Result:
    fronts: list[tuple[Found, ...]] = []

    def keep(front: tuple[Found, ...], *_: float) -> None:
        if not fronts or fronts[-1] is not front:
            fronts.append(front)

    return explore(
        problem,
        max_time=120,
        n_threads=n_threads,
        cancelled=lambda: len(fronts) >= 3,
        on_progress=keep,
    )


def test_a_search_finds_the_same_with_any_number_of_threads() -> None:
    rng = np.random.default_rng(2)
    X = rng.uniform(1, 3, (80, 3))
    law = X[:, 0] * np.sin(X[:, 1]) + X[:, 2] ** 2
    noisy = Problem(X, law + 0.05 * rng.normal(size=80))
    exact = Problem(X, law / (X[:, 0] + X[:, 1]))
    one, two, four = (_until_the_third_front(noisy, n) for n in (1, 2, 4))
    assert one.stopped == "cancelled"
    assert one.front == two.front == four.front
    one, three = (explore(exact, max_time=60, n_threads=n) for n in (1, 3))
    assert one.exact
    assert one.best.tree == three.best.tree
