"""scikit-learn's own checks of estimators: strictly over a stand-in for the search, and over the search as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from search_double import constant_or_line
from sklearn.utils.estimator_checks import parametrize_with_checks

from nssr import NSSRRegressor, explore, regressor
from nssr.explore.budget import Budget

EXPECTED_FAILURES = {
    "check_sample_weight_equivalence_on_dense_data": "a row that is there twice may be held out once, and is more evidence "
    "for a longer formula; a weight of two only doubles its error",
}


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks([NSSRRegressor(max_time=0.2, n_threads=1)])
def test_what_surrounds_the_search(estimator: Any, check: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explore, "explore", constant_or_line)
    check(estimator)


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks(
    [NSSRRegressor(max_time=0.2, n_threads=1)], expected_failed_checks=lambda estimator: EXPECTED_FAILURES
)
def test_with_the_search(estimator: Any, check: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # Some checks fit twice and compare. A clock that counts how often it is asked ends both searches after the same work.
    asked: dict[int, int] = {}

    def seconds(budget: Budget) -> float:
        asked[id(budget)] = asked.get(id(budget), 0) + 1
        return 0.0004 * asked[id(budget)]

    def begin(budget: Budget, max_time: float, cancelled: Callable[[], bool]) -> None:
        asked[id(budget)] = 0
        original(budget, max_time, cancelled)

    original = Budget.__init__
    monkeypatch.setattr(Budget, "__init__", begin)
    monkeypatch.setattr(Budget, "seconds", seconds)
    monkeypatch.setattr(regressor, "_LEAST_SHARE", 1.0)  # nor is the time before the search, checking the input, counted
    check(estimator)
