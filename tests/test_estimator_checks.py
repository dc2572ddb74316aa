"""scikit-learn's own checks of estimators."""

from __future__ import annotations

from typing import Any

import pytest
from search_double import constant_or_line
from sklearn.utils.estimator_checks import parametrize_with_checks

from nssr import NSSRRegressor, explore


@pytest.fixture(autouse=True)
def _double(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explore, "explore", constant_or_line, raising=False)


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks([NSSRRegressor(max_time=0.2, n_threads=1)])
def test_scikit_learn(estimator: Any, check: Any) -> None:
    check(estimator)
