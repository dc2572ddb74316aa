"""The noise floor: when it is reached, what it bounds, and that a search asks about it early."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import suites
from nssr import stage_order
from nssr.explore import plan
from nssr.explore.exact import ExactSearch
from nssr.explore.floor import NoiseFloor
from nssr.explore.front import Front
from nssr.explore.noisy import NoisySearch
from nssr.explore.order import BY_SIZE
from nssr.explore.problem import Problem
from nssr.explore.regression import Scorer
from nssr.explore.rows import Rows
from nssr.explore.search import explore
from nssr.explore.stages import Counters
from nssr.explore.tree import Tree, column, mul, size

RNG = np.random.default_rng(5)
X = RNG.uniform(1, 3, (200, 2))
NOISE = RNG.normal(size=200)
PRODUCT = mul(column(0), column(1))


def floor_of(y: np.ndarray, admitted: list[Tree], n: int = 200, asks: bool = True) -> NoiseFloor:
    """After a look at the best of the formulas; its errors were shown to a thousand polynomials and waves."""
    front = Front(Problem(X[:n], y[:n]), X[:n], y[:n], None)
    front.admit(admitted)
    rng = np.random.default_rng(0)
    powers, waves = rng.integers(-2, 4, (500, 2)), rng.uniform(0.5, 3, (500, 2))
    with np.errstate(all="ignore"):
        columns = np.concatenate([np.exp(np.log(X[:n]) @ powers.T).T, np.sin(X[:n] @ waves.T).T])
    floor = NoiseFloor(front, Rows(X[:n], y[:n], n, 0), np.ones(n), 0, asks, Counters())
    floor.ask(Scorer(columns, np.arange(len(columns))), thorough=True)
    floor.look()
    return floor


def test_errors_that_are_noise_are_the_floor() -> None:
    floor = floor_of(X[:, 0] * X[:, 1] + 0.1 * NOISE, [PRODUCT])
    assert floor.seems_reached
    assert floor.reached
    assert floor.most_nodes < 10


def test_errors_that_a_column_explains_are_not() -> None:
    floor = floor_of(X[:, 0] * X[:, 1] + 0.1 * X[:, 1] ** 2 + 0.03 * NOISE, [PRODUCT])
    assert not floor.seems_reached
    assert floor.most_nodes == np.inf


def test_a_few_huge_errors_hide_nothing() -> None:
    y = X[:, 0] * X[:, 1] + 0.02 * X[:, 1] ** 2 + 0.003 * NOISE
    floor = floor_of(y, [PRODUCT])
    assert not floor.reached
    y[RNG.choice(200, 4, replace=False)] += np.array([-2.2, 2.2, 3.0, -3.2])
    assert not floor_of(y, [PRODUCT]).reached, "the errors pass for noise, their ranks do not"


def test_a_law_without_noise_is_not_taken_for_noise() -> None:
    law = next(p for p in suites.load("laws") if p.name == "Coulomb's law (vector)")
    rows = suites.rows_of(law, 1, 200, 0.0)
    result = explore(Problem(rows.X, rows.y, order=stage_order.order(5), seed=1), max_time=60)
    assert result.exact, "what is found first leaves errors that are large on few rows"


def test_a_small_bank_is_not_enough() -> None:
    floor = floor_of(X[:, 0] * X[:, 1] + 0.1 * NOISE, [PRODUCT])
    floor.ask(Scorer(X.T.copy(), np.arange(2)), thorough=False)
    floor.look()
    assert floor.seems_reached
    assert not floor.reached
    assert floor.most_nodes == np.inf


@pytest.mark.parametrize(
    ("y", "n", "asks"),
    [(X[:, 0] * X[:, 1] + 0.1 * NOISE, 50, True), (X[:, 0] * X[:, 1] + 0.1 * NOISE, 200, False), (NOISE, 200, True)],
    ids=["few rows", "switched off", "errors as large as the target"],
)
def test_what_is_never_called_the_floor(y: np.ndarray, n: int, asks: bool) -> None:
    assert not floor_of(y, [PRODUCT], n, asks).reached


def stages_done(y: np.ndarray, until: str = "") -> list[str]:
    problem = Problem(X, y)
    rows = Rows(X, y, 40, 0)
    front = Front(problem, X, y, None)
    exact = ExactSearch(problem, rows, 2 * 10**9, lambda: None)
    noisy = NoisySearch(problem, front, 2 * 10**9, lambda: None)
    done = []
    for stage in plan.stages(BY_SIZE, exact, noisy, provable=True):
        done.append(stage.name)
        front.admit(stage.work())
        if stage.name == until:
            break
    return done


def test_a_simple_noisy_law_ends_soon() -> None:
    done = stages_done(X[:, 0] / X[:, 1] + 0.02 * NOISE)
    at = done.index("noise floor")
    assert done[at - 1] == "refining"
    assert done[at + 1 :] == ["regressions", "refining", "two terms, affine", "two terms, monomial", "refining"]


def test_what_leaves_more_than_noise_goes_on() -> None:
    done = stages_done(np.sin(5.3 * X[:, 0]) * X[:, 1] + 0.02 * NOISE, until="oscillations")
    assert "peeled polynomials" in done
    assert done[-1] == "oscillations"


def test_a_law_with_numbers_ends_at_the_floor() -> None:
    y = 2.37 * X[:, 0] / X[:, 1] ** 2 + 1.52 * X[:, 1] + 0.01 * NOISE
    result = explore(Problem(X, y), max_time=300)
    assert result.stopped == "noise floor"
    assert result.best.r2 > 0.999
    assert size(result.best.tree) <= 11
