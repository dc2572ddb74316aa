"""scikit-learn's own checks of estimators, with the search as it is."""

from __future__ import annotations

from typing import Any

import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

from nssr import NSSRRegressor

EXPECTED_FAILURES = {
    "check_sample_weight_equivalence_on_dense_data": "a row that is there twice may be held out once, and is more evidence "
    "for a longer formula; a weight of two only doubles its error",
}


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks(
    [NSSRRegressor(max_time=0.2, n_threads=1)], expected_failed_checks=lambda estimator: EXPECTED_FAILURES
)
def test_scikit_learn(estimator: Any, check: Any) -> None:
    if check.func.__name__ == "check_regressors_train":  # the one that wants a good fit
        estimator = clone(estimator).set_params(max_time=2)
    check(estimator)
