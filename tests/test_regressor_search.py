"""The regressor with the search as it is: laws in, laws out, and odd tables end without a warning."""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sympy
from sklearn.exceptions import ConvergenceWarning

from nssr import NSSRRegressor
from nssr.regressor import FitProgress

RNG = np.random.default_rng(3)
TABLE = pd.DataFrame(RNG.uniform(1, 5, (200, 3)), columns=["m", "v", "a b"])
NOISE = RNG.normal(size=200)


@pytest.mark.parametrize(
    ("y", "law"),
    [
        (0.5 * TABLE["m"] * TABLE["v"] ** 2, "m*v**2/2"),
        (TABLE["m"] * np.exp(-TABLE["v"]), "m*exp(-v)"),
        (np.sqrt(TABLE["v"] / TABLE["m"]), "sqrt(v/m)"),
    ],
)
def test_a_law_is_found_exactly(y: pd.Series, law: str) -> None:
    start = time.monotonic()
    model = NSSRRegressor(max_time=20, n_threads=1).fit(TABLE, y)
    assert time.monotonic() - start < 15
    assert model.exact_
    assert model.stopped_ == "exact"
    positive = {sympy.Symbol(name): sympy.Symbol(name, positive=True) for name in ("m", "v")}
    difference = model.formula_.sympy() - sympy.sympify(law)
    assert sympy.nsimplify(sympy.simplify(difference.subs(positive)), tolerance=1e-9) == 0
    assert model.score(TABLE, y) == pytest.approx(1)
    losses = model.equations_["loss"].to_numpy()
    assert (losses[1:] <= losses[:-1] * (1 + 1e-9)).all()


def test_the_same_seed_finds_the_same() -> None:
    y = TABLE["m"] * TABLE["a b"]
    first, second = (NSSRRegressor(max_time=10, n_threads=1).fit(TABLE, y) for _ in range(2))
    assert first.formula_ == second.formula_


@pytest.mark.parametrize(
    ("X", "y"),
    [
        (TABLE.to_numpy(), np.full(200, 3.25)),
        (TABLE.to_numpy(), np.zeros(200)),
        (np.c_[TABLE, np.ones(200), np.zeros(200)], 2 * TABLE["m"]),
        (np.c_[TABLE, TABLE], TABLE["m"] * TABLE["v"]),
        (np.c_[TABLE, 2 * TABLE + 1], TABLE["m"] * TABLE["v"]),
        (TABLE.to_numpy() * np.array([1e30, 1, 1e-30]), TABLE["m"] * TABLE["a b"]),
        (TABLE.to_numpy(), TABLE["m"] ** 2 * 1e-150),
        (TABLE.to_numpy() > 2, TABLE["m"] > 2),
        (np.array([[1.0], [2.0]]), np.array([1, 4])),
        (TABLE.to_numpy(), NOISE),
    ],
)
def test_odd_tables_end(X: Any, y: Any) -> None:
    start = time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = NSSRRegressor(max_time=1, n_threads=1).fit(X, y)
    assert time.monotonic() - start < 10  # that it ends; how closely it keeps max_time is for the search's own tests
    assert np.isfinite(model.predict(X)).all()
    assert len(model.equations_) >= 1


def test_noise_is_not_explained() -> None:
    model = NSSRRegressor(max_time=1, n_threads=1).fit(TABLE, NOISE)
    assert model.formula_.size <= 3
    assert not model.exact_


def test_a_registered_law_comes_back_from_the_library(tmp_path: Path) -> None:
    y = np.exp(1.37 * TABLE["v"] / TABLE["m"])
    model = NSSRRegressor(max_time=10, n_threads=1, library=tmp_path / "laws.db").fit(TABLE, y)
    assert model.exact_
    model.register("LAW")
    again = NSSRRegressor(max_time=10, n_threads=1, library=tmp_path / "laws.db").fit(TABLE, y)
    assert again.predict(TABLE) == pytest.approx(y.to_numpy())


def test_ctrl_c_ends_the_search() -> None:
    timer = threading.Timer(0.7, os.kill, (os.getpid(), signal.SIGINT))
    start = time.monotonic()
    timer.start()
    with pytest.warns(UserWarning, match="interrupted"):
        model = NSSRRegressor(max_time=15, n_threads=1).fit(TABLE, NOISE)
    assert time.monotonic() - start < 5
    assert model.stopped_ == "cancelled"
    assert np.isfinite(model.predict(TABLE)).all()


def test_a_callback_sees_the_front_grow() -> None:
    """Until there is a good formula; what it raises then ends the fit."""
    rng = np.random.default_rng(0)
    X = rng.uniform(1, 3, (60, 3))
    y = X[:, 2] * np.exp(-X[:, 0]) + 0.05 * rng.normal(size=60)
    seen: list[FitProgress] = []

    class Enough(Exception):
        pass

    def watch(progress: FitProgress) -> None:
        seen.append(progress)
        if progress.front[-1].r2 > 0.85 and progress.candidates > 1000:
            raise Enough

    model = NSSRRegressor(max_time=120, excluded=[1], callback=watch)
    with pytest.raises(Enough):
        model.fit(X, y)
    assert [p.seconds for p in seen] == sorted(p.seconds for p in seen)
    assert [p.candidates for p in seen] == sorted(p.candidates for p in seen)
    best = seen[-1].formulas()[-1]
    assert best.names == ("x0", "x1", "x2")
    assert set(best.used) <= {"x0", "x2"}
    assert np.corrcoef(y, best.predict(X))[0, 1] > 0.9
    assert model.get_params()["callback"] == watch


def test_required_columns_that_no_formula_was_found_with_are_told() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    y = X[:, 0] + rng.normal(size=60)
    with pytest.warns(ConvergenceWarning, match="No formula with the required columns 'x1', 'x2' was found in .* s"):
        model = NSSRRegressor(max_time=1e-6, required=["x1", "x2"]).fit(X, y)
    assert model.predict(X) == pytest.approx(np.full(60, y.mean()))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = NSSRRegressor(max_time=3, required=["x2"]).fit(X, y)
    assert "x2" in str(model.formula_)
