"""Curves that people fit every day: found with all their constants, and whole where rows keep them honest."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from nssr.explore import Problem, explore
from nssr.explore.curves import curves
from nssr.explore.problem import DEFAULT_OPERATIONS
from nssr.explore.tree import Tree, column, reference_values, size

Array = np.ndarray
RNG = np.random.default_rng(7)
X = np.sort(RNG.uniform(0.2, 10, 80))
KELVIN = RNG.uniform(280, 380, 80)
exp = np.exp

FITTED: dict[str, Callable[[Array], Array]] = {
    "power and offset": lambda x: 1.7 * x**0.63 + 0.4,
    "peak": lambda x: 3 * exp(-((x - 4.3) ** 2) / 2.88) + 0.5,
    "Weibull": lambda x: 1 - exp(-((x / 3.3) ** 1.7)),
    "two decays": lambda x: 3 * exp(-0.25 * x) + 2 * exp(-1.6 * x),
    "step": lambda x: 1.4 * np.tanh(1.7 * (x - 5)) + 2,
    "Gompertz": lambda x: 6 * exp(-3.1 * exp(-0.35 * x)),
    "resonance on a slope": lambda x: 2.5 / (1 + ((x - 5.1) / 0.8) ** 2) + 0.3,
}


@pytest.mark.parametrize("name", sorted(FITTED))
def test_a_fit_from_where_the_grid_points_is_exact(name: str) -> None:
    """The stage alone: whether Levenberg-Marquardt gets from its starts to the law."""
    from nssr.explore.front import Front
    from nssr.explore.refining import fitted

    y = FITTED[name](X)
    front = Front(Problem(X=X[:, None], y=y), X[:, None], y, None)
    found = curves(y, np.ones(80), [(column(0), X)], [], DEFAULT_OPERATIONS, lambda: None)
    trees = fitted([t for curve in found for t in curve.trees()], front, max_iterations=60)
    front.admit(trees)
    best = min(trees, key=lambda t: front.losses.get(t, np.inf))
    assert front.losses[best] < 1e-18 * front.variance, best
    assert size(best) <= 16


def test_the_search_finds_a_peak_and_writes_it_shortly() -> None:
    result = explore(Problem(X=X[:, None], y=FITTED["peak"](X)), max_time=60)
    assert result.exact
    assert size(result.best.tree) <= 12, result.best.tree
    assert np.allclose(reference_values(result.best.tree, X[:, None] + 0.01), FITTED["peak"](X + 0.01), rtol=1e-8)


def test_a_factor_may_stand_beside_a_curve() -> None:
    u = RNG.uniform(1, 3, 80)
    y = u * np.tanh(1.7 * X - 6) + 0.3
    factors = [(column(1), u)]
    found = curves(y, np.ones(80), [(column(0), X), (column(1), u)], factors, DEFAULT_OPERATIONS, lambda: None)
    best = found[0]
    assert best.shapes[0].family == "step"
    assert "value=1)" in str(best.shapes[0].tree)  # column 1 is in it
    assert best.left < 0.05


def test_without_the_operations_there_are_no_curves() -> None:
    found = curves(X, np.ones(80), [(column(0), X)], [], frozenset({"MUL", "ADD"}), lambda: None)
    assert found == []
    some = curves(X**1.3, np.ones(80), [(column(0), X)], [], frozenset({"MUL", "ADD", "POW"}), lambda: None)
    assert {s.family for curve in some for s in curve.shapes} == {"power"}


def test_of_equivalents_the_plainest_is_written() -> None:
    """1/T of some hundreds: 1/T + T^-5 and asin(cos(1/T)) have the same digits."""
    result = explore(Problem(X=KELVIN[:, None], y=3.2e5 * exp(-4200 / KELVIN)), max_time=20)
    assert result.exact
    assert size(result.best.tree) <= 7, result.best.tree


def test_what_is_returned_has_a_value_on_every_row() -> None:
    """asin(1/x) fits where x is above 1; the rows below choose nothing, but they are the user's."""
    rng = np.random.default_rng(0)
    for seed in range(3):
        x = rng.uniform(0.9, 20, 80)
        y = 5 * (exp(-0.2 * x) - exp(-0.9 * x)) + 0.02 * rng.normal(size=80)
        result = explore(Problem(X=x[:, None], y=y, seed=seed), max_time=4)
        assert all(np.isfinite(reference_values(f.tree, x[:, None])).all() for f in result.front)


def test_a_front_passes_over_formulas_without_a_value() -> None:
    from nssr.explore.search import _Exploration

    x = np.concatenate([np.linspace(1, 5, 60), [0.5]])
    search = _Exploration(Problem(X=x[:, None], y=x**2), 5.0, 1, 10**9, lambda: False, None)
    assert search._has_values(column(0))
    assert not search._has_values(Tree("ASIN", (Tree("INV", (column(0),)),)))
