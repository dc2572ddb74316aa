"""Closures by algebra: polynomials and roots in any variables, factors, exact sums; and the laws that each finds."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nssr import NSSRRegressor
from nssr.explore import substitutions
from nssr.explore.chain import Chain
from nssr.explore.exact import ExactSearch
from nssr.explore.factors import factors
from nssr.explore.polynomials import Polynomials, count, exponents, values
from nssr.explore.problem import DEFAULT_OPERATIONS, Problem
from nssr.explore.pursuit import pursued
from nssr.explore.rows import Rows
from nssr.explore.tree import size

Array = np.ndarray


def rows_of(law: Callable[[Array], Array], columns: int, seed: int = 0, low: float = 1.0, high: float = 4.0) -> Rows:
    X = np.random.default_rng(seed).uniform(low, high, (200, columns))
    return Rows(X, law(X.T), 32, 0)


# ---- polynomials -----------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(1, 3))
def test_a_polynomial_is_one_and_what_is_nearly_one_is_not(seed: int, columns: int, degree: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rows_of(lambda x: x[0], columns, seed)
    polynomials = Polynomials(rows)
    powers = exponents(columns, degree)
    assert len(powers) == count(columns, degree)
    matrix = values(polynomials.X, powers)
    exact = matrix @ rng.normal(size=len(powers))
    near = exact * (1 + 1e-6 * rng.normal(size=len(exact)))
    other = np.exp(polynomials.X[:, 0])
    assert polynomials.fits(np.stack([exact, near, other]), degree).tolist() == [True, False, False]


def test_squares_of_differences_are_written_as_squares() -> None:
    rows = rows_of(lambda x: 3 * (x[0] - x[1]) ** 2 + 0.5 * (x[2] + x[3]) ** 2 + x[0] * x[2], 4)
    trees = Polynomials(rows).polynomial(Chain(rows.y), rows.y)
    assert rows.holding(trees)
    assert min(map(size, trees)) <= 18
    # One square of x0 for two differences: it can go into one of them only.
    rows = rows_of(lambda x: (x[0] - x[1]) ** 2 - 2 * x[0] * x[2] + x[2] ** 2, 3)
    assert rows.holding(Polynomials(rows).polynomial(Chain(rows.y), rows.y))


def test_roots_of_quadratics_have_both_signs() -> None:
    for sign in (1, -1):
        rows = rows_of(lambda x, sign=sign: (-x[1] + sign * np.sqrt(x[1] ** 2 + 4 * x[0] * x[2])) / (2 * x[0]), 3)
        assert rows.holding(Polynomials(rows).root(Chain(rows.y)))
        assert not rows.holding(Polynomials(rows).quotient(Chain(rows.y)))
    rows = rows_of(lambda x: np.exp(x[0] * x[1] / x[2]), 3)
    assert Polynomials(rows).root(Chain(rows.y)) == []


def test_quotients_in_other_variables() -> None:
    rows = rows_of(lambda x: x[0] / (1 + x[1] * np.cos(x[2] - x[3])), 4)
    found = []
    for variables in substitutions.substituted(rows, DEFAULT_OPERATIONS):
        polynomials = Polynomials(rows, variables)
        found += rows.holding(polynomials.quotient(Chain(rows.y)))
    assert found
    rows = rows_of(lambda x: x[0] * np.cos(x[3] / 4) * (x[1] - x[2] / x[1] ** 2), 4)
    turned = Rows(rows.X / [1, 1, 1, 4], rows.y, 32, 0)
    polynomials = Polynomials(turned)
    found = []
    for chain in substitutions.divided(turned, DEFAULT_OPERATIONS):
        found += turned.holding(polynomials.quotient(chain))
    assert found
    assert not list(substitutions.divided(rows, {"ADD", "SUB", "DIV", "COS"}))
    assert not list(substitutions.substituted(rows, {"ADD", "SUB", "MUL", "DIV"}))  # no function may be used
    wide = Rows(np.array([[1.0, 800.0], [2.0, 900.0], [3.0, 950.0]]), np.array([1.0, 2.0, 4.0]), 3, 0)
    assert all(np.isfinite(v).all() for variables in substitutions.substituted(wide, {"EXP", "SUB"}) for _, v in variables)


# ---- factors ---------------------------------------------------------------------------------------------------------


def test_columns_that_are_but_factors_are_told_from_others() -> None:
    rows = rows_of(lambda x: x[0] ** 2 / np.sqrt(x[1]) * (x[2] + np.sin(x[3])), 4)
    found = list(factors(rows))
    assert {0: Fraction(2), 1: Fraction(-1, 2)} in found
    assert all(2 not in one and 3 not in one for one in found)


def test_no_factors_are_promised_where_they_cannot_be_told() -> None:
    noise = np.random.default_rng(0).normal(size=200)
    assert not any(len(one) > 1 for one in factors(rows_of(lambda x: np.exp(noise) + 0 * x[0], 3)))
    assert list(factors(rows_of(lambda x: x[0] - 2.5 - (x[0] == x[0].max()) * (x[0].max() - 2.5), 2))) == []  # log of 0
    twice = np.random.default_rng(1).uniform(1, 4, (50, 1)).repeat(2, axis=1)
    assert list(factors(Rows(twice, twice[:, 0] ** 2 + 1, 20, 0))) == []  # columns that follow each other
    few = np.random.default_rng(2).uniform(1, 4, (8, 6))
    assert list(factors(Rows(few, few[:, 0] ** 2 + 1, 5, 0))) == []


# ---- exact sums ------------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4))
def test_exact_sums_of_random_columns_are_found_and_nothing_else(seed: int, terms: int) -> None:
    rng = np.random.default_rng(seed)
    library = rng.normal(size=(300, 100))
    chosen = rng.choice(300, terms, replace=False)
    exact = rng.uniform(1, 3, terms) @ library[chosen] + 7.0
    targets = np.stack([exact, exact + 1e-5 * rng.normal(size=100), rng.normal(size=100), np.full(100, 2.0)])
    found = pursued(targets, library, np.ones((100, 1)), 10)
    assert [(place, sorted(needed)) for place, needed in found] == [(0, sorted(chosen.tolist()))]


def test_pursuit_survives_columns_that_follow_each_other() -> None:
    x = np.random.default_rng(3).uniform(1, 5, 100)
    library = np.stack([x**k for k in (-3, -2, -1, 1, 2, 3)] + [np.ones(100), 2 * x])
    ((place, needed),) = pursued(np.stack([2 * x**2 - 3 / x + 1]), library, np.ones((100, 1)), 6)
    assert (place, sorted(needed)) == (0, [2, 4])


def test_a_difference_takes_the_place_of_two_columns() -> None:
    """Fermi's golden rule: two frequencies, but only how far they are apart."""
    rows = rows_of(lambda x: x[0] * np.sin(0.5 * x[1] * (x[2] - x[3])) ** 2 / (x[2] - x[3]) ** 2, 4)
    search = ExactSearch(Problem(rows.X, rows.y), rows, 10**9, lambda: None)
    (tree, *_) = search.differences()
    fresh = rows_of(lambda x: x[0] * np.sin(0.5 * x[1] * (x[2] - x[3])) ** 2 / (x[2] - x[3]) ** 2, 4, seed=8)
    assert fresh.holding([tree])
    assert size(tree) <= 22
    other = rows_of(lambda x: np.exp(np.sin(x[0] * x[1]) + x[2] ** 4), 3)
    assert ExactSearch(Problem(other.X, other.y), other, 10**9, lambda: None).differences() == []


def test_few_operations_leave_the_search_whole() -> None:
    """No sums may be written: what pursues them has nothing to ask, and the search goes on."""
    rows = rows_of(lambda x: np.exp(x[0] * x[1]) + x[2], 3)
    problem = Problem(rows.X, rows.y, operations=frozenset({"MUL", "DIV"}))
    search = ExactSearch(problem, rows, 10**9, lambda: None)
    parts = (search.stages(1), search.all_pairs(1), search.peels(1), search.sparse_sums(1), search.without_factors(1))
    stages = [*itertools.chain(*parts), *search.quotients_within()]
    assert [tree for stage in stages for tree in stage.work()] == []
    assert {"sparse sums, monomial", "factored"} <= {stage.name for stage in stages}


# ---- laws ------------------------------------------------------------------------------------------------------------

LAWS: dict[str, tuple[int, Callable[[Array], Array]]] = {
    "an inverse square in coordinates": (5, lambda x: x[0] * x[1] * x[2] / (x[2] ** 2 + x[3] ** 2 + x[4] ** 2) ** 1.5),
    "between two points": (
        7, lambda x: x[0] * (x[1] - x[4]) / ((x[1] - x[4]) ** 2 + (x[2] - x[5]) ** 2 + (x[3] - x[6]) ** 2) ** 1.5
    ),
    "a root of a quadratic": (3, lambda x: (x[0] + x[1] + x[2] - np.sqrt((x[0] + x[1] + x[2]) ** 2 - 4 * x[0] * x[1])) / 2),
    "one over a distance": (4, lambda x: x[0] / np.sqrt(x[1] ** 2 + x[2] ** 2 - 2 * x[1] * x[2] * np.cos(x[3]))),
    "aberration": (3, lambda x: np.arccos((np.cos(x[0]) - x[1] / (4 + x[2])) / (1 - x[1] / (4 + x[2]) * np.cos(x[0])))),
    "fall with drag": (4, lambda x: np.sqrt(x[0] * x[1] / x[3]) * np.tanh(x[2] / 4 * np.sqrt(x[1] * x[3] / x[0]))),
}  # fmt: skip


OF_A_DISTANCE: dict[str, tuple[Callable[[Array], Array], str]] = {
    "1/r": (lambda s: s**-0.5, "1/sqrt(x0**2 + x1**2 + x2**2)"),
    "-1/r": (lambda s: -(s**-0.5), "-1/sqrt(x0**2 + x1**2 + x2**2)"),
    "1/r^3": (lambda s: s**-1.5, "1/(x0**2 + x1**2 + x2**2)**(3/2)"),
    "-1/r^3": (lambda s: -(s**-1.5), "-1/(x0**2 + x1**2 + x2**2)**(3/2)"),
    "r^3": (lambda s: s**1.5, "(x0**2 + x1**2 + x2**2)**(3/2)"),
    "2 r + 1": (lambda s: 2 * np.sqrt(s) + 1, "2*sqrt(x0**2 + x1**2 + x2**2) + 1"),
    "3 - r": (lambda s: 3 - np.sqrt(s), "3 - sqrt(x0**2 + x1**2 + x2**2)"),
    "log r": (lambda s: np.log(np.sqrt(s)), "log(sqrt(x0**2 + x1**2 + x2**2))"),
    "exp(-r)": (lambda s: np.exp(-np.sqrt(s)), "exp(-sqrt(x0**2 + x1**2 + x2**2))"),
}


@pytest.mark.parametrize("name", OF_A_DISTANCE)
def test_powers_of_a_distance_are_written_as_one_would(name: str) -> None:
    law, written = OF_A_DISTANCE[name]
    X = np.random.default_rng(7).uniform(-3, 3, (200, 3))
    model = NSSRRegressor(max_time=60, random_state=0).fit(X, law((X**2).sum(axis=1)))
    assert str(model.formula_) == written


@pytest.mark.parametrize("name", LAWS)
def test_laws_of_geometry_are_found(name: str) -> None:
    columns, law = LAWS[name]
    X = np.random.default_rng(7).uniform(1, 4, (200, columns))
    model = NSSRRegressor(max_time=60, random_state=0).fit(X, law(X.T))
    assert model.exact_, str(model.formula_)
    fresh = np.random.default_rng(8).uniform(1, 4, (100, columns))
    np.testing.assert_allclose(model.predict(fresh), law(fresh.T), rtol=1e-6)
