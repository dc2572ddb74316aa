"""What a smooth surrogate says of columns that matter only together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nssr import NSSRRegressor
from nssr.explore import Problem
from nssr.explore.coordinates import follows
from nssr.explore.exact import ExactSearch
from nssr.explore.problem import DEFAULT_OPERATIONS
from nssr.explore.rows import Rows
from nssr.explore.smooth import MOST_COLUMNS, Slopes, distances, flatter, likely, pairs, slopes


def table(n_columns: int, rows: int = 200, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(1, 4, (rows, n_columns))


def of(X: np.ndarray, y: np.ndarray) -> Slopes:
    found = slopes(X, flatter(y))
    assert found is not None
    return found


def test_slopes_are_the_gradient() -> None:
    X = table(3)
    y = X[:, 0] * np.sin(X[:, 1]) + 0.5 * X[:, 2] ** 2
    truth = np.column_stack([np.sin(X[:, 1]), X[:, 0] * np.cos(X[:, 1]), X[:, 2]])
    found = slopes(X, y)
    assert found is not None
    assert np.abs(found.gradient - truth).mean(axis=0) == pytest.approx(0, abs=0.02)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([-1, 1]))
def test_the_pair_that_matters_together_comes_first(seed: int, sign: int) -> None:
    X = table(4, seed=seed)
    places = np.random.default_rng(seed).permutation(4)
    a, b, c, d = (X[:, j] for j in places)
    y = c * np.sin(0.7 * (a + sign * b)) + 1 / d
    first = pairs(of(X, y))[0]
    assert ({first.a, first.b}, first.sign) == (set(places[:2].tolist()), sign)
    assert first.left < 0.25


def test_several_pairs_are_put_in_at_once_and_then_one_alone() -> None:
    X = table(6)
    first, *others = likely(of(X, X[:, 0] * X[:, 5] / ((X[:, 1] - X[:, 2]) ** 2 + (X[:, 3] + X[:, 4]) ** 2)))
    assert {(p.a, p.b, p.sign) for p in first} == {(1, 2, -1), (3, 4, 1)}
    assert [len(one) for one in others] == [1, 1]
    assert likely(of(X, X[:, 0] ** 2 + np.sin(3 * X[:, 2]) - 5 / X[:, 5])) == []


@pytest.mark.parametrize(
    ("X", "y"),
    [
        (table(3, rows=10), np.arange(10.0)),
        (table(1), np.sin(table(1)[:, 0])),
        (table(MOST_COLUMNS + 1), np.arange(200.0)),
        (np.column_stack([table(2), np.ones(200)]), np.arange(200.0)),
        (table(2), np.ones(200)),
    ],
    ids=["few rows", "one column", "many columns", "a constant column", "a constant target"],
)
def test_where_nothing_can_be_said_nothing_is(X: np.ndarray, y: np.ndarray) -> None:
    assert slopes(X, y) is None
    search = ExactSearch(Problem(X, y), Rows(X, y, 32, 0), 10**9, lambda: None)
    assert search.likely_pairs() == []
    assert search.counters["likely pairs"] == 0


def test_a_pair_far_ahead_of_all_others_is_a_hint() -> None:
    X = table(5)
    y = X[:, 0] * np.exp(-X[:, 1]) * np.cos(X[:, 2] * (X[:, 3] - X[:, 4]))
    (alone,) = likely(of(X, y))
    assert [(p.a, p.b, p.sign) for p in alone] == [(3, 4, -1)]
    assert alone[0].left > 0.1


def test_more_rows_than_it_looks_at_say_the_same() -> None:
    X = table(3, rows=900)
    assert of(X, np.sin(X[:, 0] - X[:, 1]) * X[:, 2]).gradient.shape == (200, 3)


def test_the_search_puts_a_likely_pair_in_the_place_of_its_columns() -> None:
    X = table(6, seed=3)
    y = X[:, 0] * X[:, 5] * np.sin(0.5 * X[:, 1] * (X[:, 2] - X[:, 3])) ** 2 / (X[:, 4] * (X[:, 2] - X[:, 3]) ** 2)

    def search(operations: frozenset[str]) -> ExactSearch:
        return ExactSearch(Problem(X, y, operations=operations), Rows(X, y, 32, 0), 10**9, lambda: None)

    (tree, *_) = search(DEFAULT_OPERATIONS).likely_pairs()
    Z = table(6, rows=50, seed=4)
    fresh = Z[:, 0] * Z[:, 5] * np.sin(0.5 * Z[:, 1] * (Z[:, 2] - Z[:, 3])) ** 2 / (Z[:, 4] * (Z[:, 2] - Z[:, 3]) ** 2)
    assert Rows(Z, fresh, 1, 0).holding([tree])
    without = search(DEFAULT_OPERATIONS - {"SUB"})
    assert without.likely_pairs() == []
    assert list(search(frozenset({"MUL", "SIN"})).of_likely_pairs()) == []


def test_columns_that_are_coordinates_of_a_distance_are_told() -> None:
    X = table(6)
    r = np.sqrt(X[:, 1] ** 2 + X[:, 2] ** 2 + X[:, 4] ** 2)
    assert distances(of(X, X[:, 0] * np.sin(r) / X[:, 3])) == [(1, 2, 4)]
    rho, s = np.hypot(X[:, 0], X[:, 3]), np.hypot(X[:, 1], X[:, 5])
    assert distances(of(X, np.exp(-rho) / s)) == [(0, 3), (1, 5)]
    assert distances(of(X, X[:, 0] * X[:, 1] + X[:, 2] ** 2 / X[:, 3])) == []


RADIAL = {
    "a ripple": (2, lambda x: np.sin(np.hypot(x[0], x[1])) / np.hypot(x[0], x[1])),
    "Yukawa's potential": (4, lambda x: x[3] * np.exp(-np.linalg.norm(x[:3], axis=0)) / np.linalg.norm(x[:3], axis=0)),
    "a saturated distance": (3, lambda x: np.tanh(np.linalg.norm(x[:3], axis=0))),
}


@pytest.mark.parametrize("name", RADIAL)
def test_functions_of_a_distance_are_found(name: str) -> None:
    columns, law = RADIAL[name]
    X = np.random.default_rng(2).uniform(-3, 3, (200, columns))
    model = NSSRRegressor(max_time=60, random_state=0).fit(X, law(X.T))
    assert model.exact_, str(model.formula_)
    fresh = np.random.default_rng(3).uniform(-3, 3, (100, columns))
    np.testing.assert_allclose(model.predict(fresh), law(fresh.T), rtol=1e-9)
    assert "sqrt(x0**2 + x1**2" in str(model.formula_)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_what_follows_a_column_is_told_from_what_does_not(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 5, 100)
    assert follows(x, np.exp(np.cos(2 * x)) + rng.normal(0, 0.03, 100))
    assert not follows(x, np.cos(2 * x) + rng.normal(0, 1, 100))
    assert not follows(x, rng.permutation(x))
    assert not follows(x, np.ones(100))


def test_a_ripple_is_found_under_noise() -> None:
    rng = np.random.default_rng(5)
    X = rng.uniform(-3, 3, (300, 2))
    r = np.hypot(X[:, 0], X[:, 1])
    model = NSSRRegressor(max_time=60, random_state=0).fit(X, np.sin(r) / r + rng.normal(0, 0.01, 300))
    assert str(model.formula_) == "sin(sqrt(x0**2 + x1**2))/sqrt(x0**2 + x1**2)"
    assert model.stopped_ == "noise floor"


def test_without_squares_and_roots_there_are_no_distances() -> None:
    X = table(2)
    search = ExactSearch(Problem(X, X[:, 0], operations=frozenset({"ADD", "MUL"})), Rows(X, X[:, 0], 32, 0), 10**9, lambda: None)
    assert list(search.of_distances()) == []
