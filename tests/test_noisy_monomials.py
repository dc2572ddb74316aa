"""Monomials under noise: for thousands of targets at once, refined where logarithms mislead, beside functions in sums."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nssr.explore.answers import Writer
from nssr.explore.chain import Chain, nudge
from nssr.explore.closures import MONOMIAL, Hit
from nssr.explore.front import Front
from nssr.explore.left import fit, left_monomials
from nssr.explore.noisy import NoisySearch
from nssr.explore.problem import DEFAULT_OPERATIONS, Problem
from nssr.explore.regression import Scorer, delta_weights, working
from nssr.explore.rows import Rows
from nssr.explore.sparse import supports
from nssr.explore.stages import Kind
from nssr.explore.tree import Tree, column, columns, reference_values


def agrees(tree: Tree, X: np.ndarray, law: np.ndarray) -> bool:
    """Up to a number, which is fitted later."""
    ratio = np.array(reference_values(tree, X)) / law
    return bool(np.isfinite(ratio).all() and np.ptp(ratio) < 1e-6 * abs(ratio[0]))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), d=st.integers(1, 4))
def test_many_fits_are_the_least_squares_of_each(seed: int, d: int) -> None:
    rng = np.random.default_rng(seed)
    X = rng.uniform(0.5, 3, (40, d))
    y, weights = rng.normal(1.0, 0.5, 40), rng.uniform(0.5, 2, 40)
    values = np.stack([y, y + 2, y * X[:, 0], np.where(y < np.quantile(y, 0.1), np.nan, y), np.where(y < y.mean(), np.nan, y)])
    moved = values + nudge(y)
    fits = fit(values, moved, y, weights, np.log(X))
    design = np.column_stack([np.ones(40), np.log(X)])
    for t, after, error, exponents in zip(values[:4], moved, fits.errors, fits.exponents, strict=False):
        known = np.isfinite(t)
        log = np.log(np.abs(t))
        w = np.where(known, delta_weights(log, np.log(np.abs(after)), y, weights, logarithm=True), 0.0)
        root, log = np.sqrt(w), np.where(known, log, 0.0)
        c = np.linalg.lstsq(design * root[:, None], log * root, rcond=None)[0]
        np.testing.assert_allclose(exponents, c[1:], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(error, np.sum((root * (log - design @ c)) ** 2), rtol=1e-6)
    assert fits.errors[4] == np.inf, "half of the rows have no value"


def test_weights_of_logarithms_end_where_errors_begin() -> None:
    y = np.array([-3.0, 1e-6, 0.001, 0.5, 4.0])
    log, moved = np.log(np.abs(y)), np.log(np.abs(y + nudge(y)))
    w = delta_weights(log, moved, y, np.ones(5), logarithm=True)
    plain = delta_weights(y, y + nudge(y), y, np.ones(5), logarithm=False)
    np.testing.assert_allclose(plain, 1.0, rtol=1e-6)
    assert w[1] < 1e-8 * w[4]
    assert w[4] / w[0] == pytest.approx((4 / 3) ** 2, rel=0.02)


def test_an_exponential_of_a_monomial_is_left_though_noise_makes_rows_negative() -> None:
    rng = np.random.default_rng(0)
    X = rng.uniform(1, 4, (200, 4))
    law = X[:, 0] * np.exp(-X[:, 1] * X[:, 2] / X[:, 3])
    y = law + 0.05 * np.sqrt(np.mean(law**2)) * rng.normal(size=200)
    assert (y < 0).any()
    rows = Rows(X, y, 200, 0)
    both = [(Chain(y), Chain(y + nudge(y)))]
    leaves = [column(j) for j in range(4)]
    found = left_monomials(both, X.T, leaves, np.ones(4), rows, np.ones(200), DEFAULT_OPERATIONS, 1e-20, 5)
    front = Front(Problem(X, y), X, y, None)
    front.admit(found)
    best = front.shortest(1)[0]
    assert np.corrcoef(reference_values(best, X), law)[0, 1] > 0.999
    assert columns(best) == {0, 1, 2, 3}
    few = left_monomials(both, X.T, leaves, np.ones(4), rows, np.ones(200), DEFAULT_OPERATIONS - {"EXP"}, 1e-20, 5)
    assert few
    assert not any("EXP" in repr(tree) for tree in few)


def test_exponents_of_a_law_with_many_small_values_are_found_under_noise() -> None:
    rng = np.random.default_rng(1)
    X = rng.uniform(1, 5, (200, 4))
    law = X[:, 0] ** 2 * X[:, 1] ** 2 / (X[:, 2] * X[:, 3] ** 3)
    y = law + 0.1 * np.sqrt(np.mean(law**2)) * rng.normal(size=200)
    writer = Writer(Rows(X, y, 200, 0), np.ones(200))
    written = writer.written(Hit(Chain(y), MONOMIAL, ()), noisy=True)
    assert any(agrees(tree, X, law) for tree in written)


def test_terms_that_are_a_monomial_times_a_function_are_found_in_sums() -> None:
    rng = np.random.default_rng(2)
    X = rng.uniform(1, 5, (200, 5))
    law = X[:, 0] * (X[:, 1] + X[:, 2] * X[:, 3] * np.sin(X[:, 4]))
    y = law + 0.01 * np.sqrt(np.mean(law**2)) * rng.normal(size=200)
    problem = Problem(X, y)
    front = Front(problem, X, y, None)
    search = NoisySearch(problem, front, 2 * 10**9, lambda: None)
    for stage in search.stages(0):
        if stage.name == "sums":
            front.admit(stage.work())
            break
    best = front.shortest(1)[0]
    assert np.corrcoef(reference_values(best, X), law)[0, 1] > 0.99999


def test_the_step_from_the_best_monomial_shows_what_is_left_in_units_of_y() -> None:
    """A factor beside a monomial whose values span orders of magnitude: logarithms of y rank it behind hundreds of columns."""
    rng = np.random.default_rng(3)
    X = rng.uniform(1, 4, (200, 3))
    factor = X[:, 1] ** 2 + X[:, 2] ** 2
    law = factor / X[:, 0] ** 5
    y = law + 0.05 * np.sqrt(np.mean(law**2)) * rng.normal(size=200)
    logs = np.column_stack([np.ones(200), np.log(X)])
    target = working(Chain(y), np.ones(200), logs)
    assert target is not None
    others = np.abs(rng.normal(size=(300, 200))) + 0.1
    scorer = Scorer(np.log(np.concatenate([factor[None], others])), np.arange(301))
    errors = scorer.errors([target], logs)[:, 0]
    assert errors.argmin() == 0
    noise = np.sum((y - law) ** 2)
    assert 0.8 * noise < errors[0] < 1.3 * noise
    assert working(Chain(np.where(y > 0, y, 0.0)), np.ones(200), logs) is None, "a logarithm of zero"


def test_of_sums_that_leave_almost_the_same_the_one_that_is_shorter_comes_first() -> None:
    rng = np.random.default_rng(5)
    x, z = rng.uniform(1, 4, (2, 120))
    y = 2 * x + 3 * np.sin(z) + 0.1 * rng.normal(size=120)
    dictionary = np.stack([np.ones(120), x * np.tanh(5 * x), x, np.sin(z), np.cos(z), z**2])
    long_first = supports(y, np.ones(120), dictionary, np.zeros(6))
    assert {(1, 3), (2, 3)} <= set(long_first), "both are told"
    bits = np.array([0.0, 15.0, 4.0, 9.0, 9.0, 7.0])
    assert next(chosen for chosen in supports(y, np.ones(120), dictionary, bits) if len(chosen) == 2) == (2, 3)
    bits[2] = 40.0
    assert next(chosen for chosen in supports(y, np.ones(120), dictionary, bits) if len(chosen) == 2) == (1, 3)


def test_fits_change_nothing_in_the_front() -> None:
    """They may be done in a thread while the front takes in what came before."""
    rng = np.random.default_rng(4)
    X = rng.uniform(1, 3, (80, 2))
    y = X[:, 0] * np.sin(X[:, 1]) + 0.01 * rng.normal(size=80)
    problem = Problem(X, y)
    front = Front(problem, X, y, None)
    search = NoisySearch(problem, front, 2 * 10**9, lambda: None)
    done = []
    for stage in search.stages(0):
        if stage.kind is Kind.FIT:
            stage.work()
            done.append(stage.name)
            assert not front.losses
            assert not front._bits
    assert {"regressions", "monomials left", "sums", "sums over sums"} <= set(done)
