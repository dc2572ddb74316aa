"""The regressor around the search: parameters, names, what is handed on and what comes out. The search is a double here."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from search_double import constant_or_line, until_cancelled
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning, NotFittedError

import nssr
from nssr import NSSRRegressor, explore, guide, stage_order
from nssr.explore.order import BY_SIZE
from nssr.explore.problem import DEFAULT_OPERATIONS, Problem
from nssr.explore.tree import Tree, add, columns, mul, number
from nssr.found_formula import FoundFormula

ROOT = Path(__file__).resolve().parent.parent
ASKED: list[tuple[Problem, dict[str, Any]]] = []


@pytest.fixture(autouse=True)
def _double(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def noted(problem: Problem, **more: Any) -> Any:
        ASKED.append((problem, more))
        return constant_or_line(problem, **more)

    monkeypatch.setattr(explore, "explore", noted, raising=False)
    yield
    ASKED.clear()


def frame() -> tuple[pd.DataFrame, pd.Series]:
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.uniform(1, 2, (20, 3)), columns=["m", "my col", "h"])
    return X, pd.Series(2 * X["my col"] + 3, name="E")


def asked(X: Any = None, y: Any = None, **parameters: Any) -> Problem:
    """The problem that the search is given."""
    if X is None:
        X, y = frame()
    NSSRRegressor(max_time=0.5, **parameters).fit(X, y)
    return ASKED[-1][0]


# ---- what comes out --------------------------------------------------------------------------------------------------


def test_a_frame_gives_a_formula_in_its_names() -> None:
    X, y = frame()
    model = NSSRRegressor(max_time=1).fit(X, y)
    assert isinstance(model.formula_, FoundFormula)
    assert str(model.formula_.rounded(9)) == "2*`my col` + 3"
    assert model.formula_.used == ("my col",)
    assert model.feature_names_in_.tolist() == list(X.columns)
    assert model.n_features_in_ == 3
    assert model.predict(X) == pytest.approx(y)
    assert model.score(X, y) == pytest.approx(1)
    assert model.formula_.predict(X[["my col"]]) == pytest.approx(y)
    assert (model.stopped_, model.n_dropped_, model.result_.counters) == ("exhausted", 0, {"tried": 3})


def test_columns_of_arrays_are_numbered() -> None:
    X, y = frame()
    for numbered in (X.to_numpy(), X.to_numpy().tolist(), pd.DataFrame(X.to_numpy())):
        model = NSSRRegressor(max_time=1).fit(numbered, y.to_numpy())
        assert model.formula_.names == ("x0", "x1", "x2")
        assert not hasattr(model, "feature_names_in_")
    years = X.set_axis([2019, 2020, 2021], axis=1)
    assert NSSRRegressor(max_time=1).fit(years, y).formula_.names == ("2019", "2020", "2021")


def test_equations_are_the_front() -> None:
    X, y = frame()
    model = NSSRRegressor(max_time=1).fit(X, y + np.linspace(0, 0.1, 20))
    table = model.equations_
    assert list(table.columns) == ["complexity", "loss", "score", "r2", "held_out_r2", "formula"]
    assert table["complexity"].tolist() == [1, 5]
    assert table["score"][0] == 0
    assert table["score"][1] == pytest.approx(np.log(table["loss"][0] / table["loss"][1]) / 4)
    assert all(isinstance(formula, FoundFormula) for formula in table["formula"])
    assert table["formula"][1] == model.formula_


def test_models_can_be_kept_and_cloned(tmp_path: Path) -> None:
    X, y = frame()
    model = NSSRRegressor(max_time=1, operations=["+", "*"], nesting={"sin": {"sin": 0}}).fit(X, y)
    joblib.dump(model, tmp_path / "model")
    for again in (pickle.loads(pickle.dumps(model)), joblib.load(tmp_path / "model")):
        assert again.predict(X).tolist() == model.predict(X).tolist()
        assert again.equations_.equals(model.equations_)
    assert clone(model).get_params() == model.get_params()


def test_nothing_is_there_before_fit() -> None:
    model = NSSRRegressor()
    assert not hasattr(model, "equations_")
    with pytest.raises(NotFittedError):
        model.predict([[1.0]])
    with pytest.raises(NotFittedError):
        model.register("LAW")


def test_predict_says_where_there_is_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = frame()
    model = NSSRRegressor(max_time=1).fit(X, y)
    model.formula_ = FoundFormula(Tree("LOG", (model.formula_.tree,)), model.formula_.names)
    with pytest.warns(RuntimeWarning, match="no finite value on 20 of 20 rows"):
        model.predict(-10 * X)


def test_better_formulas_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    X, y = frame()
    NSSRRegressor(max_time=1, verbose=True).fit(X, y)
    assert "complexity   5" in (printed := capsys.readouterr().out)
    assert "`my col`" in printed
    NSSRRegressor(max_time=1).fit(X, y)
    assert capsys.readouterr().out == ""


# ---- what the search is asked ----------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:No formula with the required column")  # the double knows nothing of required columns
def test_the_search_is_asked_what_was_asked_for() -> None:
    problem = asked()
    assert problem.operations == DEFAULT_OPERATIONS
    assert (problem.weights, problem.max_complexity, problem.dimensions) == (None, None, None)
    assert (problem.learned, problem.costs, problem.nesting, problem.loss) == ((), {}, {}, "squared")
    problem = asked(
        operations=["+", "-", "*", "Sin", "arcsin", "**", "max"],
        max_complexity=12,
        nesting={"sin": {"sin": 0, "+": 2}},
        loss="huber",
        required=["h"],
        units={"m": "kg", "my col": "m", "h": "", "E": "m"},
    )
    assert problem.operations == {"ADD", "SUB", "MUL", "SIN", "ASIN", "POW", "MAX"}
    assert problem.nesting == {"SIN": {"SIN": 0, "ADD": 2}}
    assert (problem.max_complexity, problem.loss, problem.required) == (12, "huber", {2})
    assert problem.dimensions == (((0, 1), (1, 0), (0, 0)), (1, 0))


def test_time_threads_and_memory_are_handed_on() -> None:
    X, y = frame()
    NSSRRegressor(max_time=2, n_threads=3, memory_limit=10**6).fit(X, y)
    more = ASKED[-1][1]
    assert 1.5 < more["max_time"] <= 2
    assert (more["n_threads"], more["memory"]) == (3, 10**6)
    NSSRRegressor(max_time=2).fit(X, y)
    assert 1 <= ASKED[-1][1]["n_threads"] <= (os.cpu_count() or 1)


def test_seeds() -> None:
    assert asked(random_state=5).seed == asked(random_state=5).seed != asked(random_state=6).seed
    assert asked(random_state=None).seed != asked(random_state=None).seed
    assert asked(random_state=np.random.RandomState(5)).seed == asked(random_state=5).seed


def test_excluded_columns_are_not_searched() -> None:
    X, y = frame()
    with pytest.warns(ConvergenceWarning, match="No formula with the required column 'h' was found"):  # nor the double's
        model = NSSRRegressor(max_time=1, excluded=["m"], required=[2]).fit(X, y)
    problem = ASKED[-1][0]
    assert problem.X.tolist() == X[["my col", "h"]].to_numpy().tolist()
    assert problem.required == {1}
    assert columns(model.result_.best.tree) == {1}
    assert str(model.formula_.rounded(9)) == "2*`my col` + 3"
    assert model.predict(X) == pytest.approx(y)
    assert asked(excluded=["h"], units={"m": "kg", "my col": "m", "h": "s", "E": "m"}).dimensions == (
        ((0, 1, 0), (1, 0, 0)),
        (1, 0, 0),
    )


def test_a_guide_becomes_costs() -> None:
    class LikesSines:
        def slot_scores(self, n_functions: int) -> guide.SlotScores:
            p = np.full(n_functions, 0.5 / (n_functions - 1))
            p[nssr.primitives.BY_NAME["SIN"].opcode] = 0.5  # type: ignore[attr-defined]
            return guide.SlotScores(np.log(p), np.log(p), np.log(p), np.log(np.full(4, 0.25)))

    costs = asked(guide=LikesSines()).costs
    assert set(costs) == DEFAULT_OPERATIONS
    assert costs["SIN"] == pytest.approx(1)
    assert costs["COS"] == pytest.approx(np.log2(2 * 41))
    assert asked(guide=None).costs == asked(guide="auto").costs == {}
    assert asked(guide=None).order == BY_SIZE
    assert asked(guide="auto").order == asked(guide=LikesSines()).order == stage_order.order(3)
    uniform = asked(guide=guide.UniformGuide()).costs
    assert len({round(bits, 9) for bits in uniform.values()}) == 1


# ---- libraries -------------------------------------------------------------------------------------------------------


def test_found_formulas_become_functions_that_are_used(tmp_path: Path) -> None:
    path = tmp_path / "lib.db"
    X, y = frame()
    model = NSSRRegressor(max_time=1, library=path).fit(X, y)
    assert ASKED[-1][0].learned == ()
    assert not path.exists()
    func_id = model.register("LINE")
    (line,) = asked(library=path).learned
    assert (line.name, line.arity) == ("LINE", 1)
    assert line.body.op == "ADD"
    assert asked(library=str(path), operations=["sin"]).learned == ()
    problem = asked(library=path, guide=guide.UniformGuide())
    assert set(problem.costs) == DEFAULT_OPERATIONS | {"LINE"}
    with pytest.raises(ValueError, match="'LINE' already"):
        model.register("LINE")
    assert model.register("LINE", tmp_path / "other.db") == func_id
    with pytest.raises(ValueError, match="no library to register in"):
        NSSRRegressor(max_time=1).fit(X, y).register("LINE")


def test_large_data_keep_a_sample_of_rows() -> None:
    X = np.linspace(0, 1, 5001)[:, None]
    model = NSSRRegressor(max_time=1).fit(X, X[:, 0])
    assert 500 < len(model._rows_kept) <= 1000
    assert len(pickle.dumps(model)) < 50_000


# ---- Ctrl-C ----------------------------------------------------------------------------------------------------------


def test_the_first_ctrl_c_returns_the_best_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(problem: Problem, **more: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        return until_cancelled(problem, **more)

    monkeypatch.setattr(explore, "explore", interrupted)
    X, y = frame()
    start = time.monotonic()
    with pytest.warns(UserWarning, match=r"interrupted after 0\.\d s; formula_ is the best found"):
        model = NSSRRegressor(max_time=20).fit(X, y)
    assert time.monotonic() - start < 5
    assert model.stopped_ == "cancelled"
    assert model.predict(X) == pytest.approx(y)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_second_ctrl_c_is_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    def deaf(problem: Problem, **more: Any) -> Any:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)

    monkeypatch.setattr(explore, "explore", deaf)
    with pytest.raises(KeyboardInterrupt):
        NSSRRegressor(max_time=20).fit(*frame())
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_of_the_program_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = frame()
    seen: list[Any] = []
    monkeypatch.setattr(
        explore, "explore", lambda p, **more: (seen.append(signal.getsignal(signal.SIGINT)), constant_or_line(p, **more))[1]
    )

    def own(number: int, frame: Any) -> None: ...

    try:
        signal.signal(signal.SIGINT, own)
        NSSRRegressor(max_time=1).fit(X, y)
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    assert seen == [own]


def test_fit_works_in_any_thread() -> None:
    X, y = frame()
    models: list[NSSRRegressor] = []
    thread = threading.Thread(target=lambda: models.append(NSSRRegressor(max_time=1).fit(X, y)))
    thread.start()
    thread.join()
    assert models[0].predict(X) == pytest.approx(y)


# ---- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"max_time": 0}, "'max_time' parameter of NSSRRegressor must be a float in the range"),
        ({"max_time": -1}, "'max_time' parameter"),
        ({"max_time": "long"}, "'max_time' parameter"),
        ({"max_time": float("nan")}, "'max_time' parameter"),
        ({"n_threads": 0}, "'n_threads' parameter"),
        ({"max_complexity": 0}, "'max_complexity' parameter"),
        ({"max_complexity": 2.5}, "'max_complexity' parameter"),
        ({"memory_limit": 0}, "'memory_limit' parameter"),
        ({"loss": "absolute"}, "'loss' parameter"),
        ({"nan_policy": "ignore"}, "'nan_policy' parameter"),
        ({"random_state": "now"}, "'random_state' parameter"),
        ({"operations": "sin"}, "'operations' parameter"),
        ({"operations": ["sine"]}, "There is no operation 'sine'. Did you mean 'sin'?"),
        ({"operations": ["LOOP"]}, "'LOOP' cannot stand in a formula"),
        ({"operations": ["@"]}, "There is no operation '@'. Choose from ABS"),
        ({"operations": [3]}, "given by its name"),
        ({"operations": []}, "No operation is allowed"),
        ({"nesting": {"sin": 0}}, "must be a dict"),
        ({"nesting": {"sin": {"sin": -1}}}, "0, 1, 2"),
        ({"nesting": {"sin": {"coss": 1}}}, "Did you mean 'cos'"),
        ({"required": ["mm"]}, "required names 'mm', which is no column. Did you mean 'm'?"),
        ({"required": [3]}, "the column 3, but there are only 3"),
        ({"excluded": ["m"], "required": [0]}, "'m' is both required and excluded"),
        ({"excluded": [0, 1, 2]}, "All columns are excluded"),
        ({"units": {"m": "kg"}}, "units lacks 'my col', 'h', 'y'"),
        ({"units": {"m": "kg", "my col": "parsec", "h": "metre", "E": "Jule"}}, "There is no unit 'Jule'"),
        ({"guide": "mine"}, "guide must be"),
        ({"library": 7}, "'library' parameter"),
    ],
)
def test_parameters_that_make_no_sense(parameters: dict[str, Any], words: str) -> None:
    X, y = frame()
    with pytest.raises(ValueError) as caught:
        NSSRRegressor(**parameters).fit(X, y)
    assert words in str(caught.value)


def broken(column: str, row: int, value: float) -> pd.DataFrame:
    X = frame()[0]
    X.loc[row, column] = value
    return X


@pytest.mark.parametrize(
    ("X", "y", "error", "words"),
    [
        (broken("h", 7, np.nan), None, ValueError, "Input X contains NaN in column 'h', row 7"),
        (broken("m", 2, -np.inf), None, ValueError, "Input X contains infinity in column 'm', row 2"),
        (None, [np.nan] + [1.0] * 19, ValueError, "Input y contains NaN in row 0"),
        (None, [1.0] * 18 + [np.inf, np.nan], ValueError, "Input y contains infinity in row 18 (counted from 0), and 1 more"),
        ([[1.0, 2.0]], [1.0], ValueError, "minimum of 2 is required"),
        (np.empty((5, 0)), np.ones(5), ValueError, "0 feature(s)"),
        ([1.0, 2.0], [1.0, 2.0], ValueError, "Expected 2D array, got 1D array"),
        (None, [1.0] * 19, ValueError, "inconsistent numbers of samples: [20, 19]"),
        (None, np.ones((20, 2)), ValueError, "y should be a 1d array"),
        (None, ["a"] * 20, ValueError, "y holds text"),
        (None, np.array(["1"] * 20), ValueError, "y holds text"),
        (None, np.ones(20) + 1j, ValueError, "Complex data not supported"),
        (np.ones((20, 2)) + 1j, None, ValueError, "Complex data not supported"),
        (np.array([["1"], ["2"]]), [1, 2], ValueError, "X holds text"),
        (np.array([["1"], [2.0]], dtype=object), [1, 2], ValueError, "X holds text"),
        (pd.DataFrame({"a": ["x", "y"], "b": [1, 2]}), [1, 2], ValueError, "column 'a' holds text"),
        (pd.DataFrame({"a": pd.Categorical([1, 2])}), [1, 2], ValueError, "column 'a' holds text or categories"),
        (pd.DataFrame({"t": pd.to_datetime(["2020-01-01", "2020-01-02"])}), [1, 2], ValueError, "'t' holds dates"),
        (pd.DataFrame([[1, 2], [3, 4]], columns=["a", "a"]), [1, 2], ValueError, "several columns named 'a'"),
        (pd.DataFrame([[1, 2], [3, 4]], columns=["a", 1]), [1, 2], TypeError, "all input features have string names"),
    ],
)
def test_data_that_cannot_be_searched(X: Any, y: Any, error: type[Exception], words: str) -> None:
    X, y = (frame()[0] if X is None else X), (frame()[1] if y is None else y)
    with pytest.raises(error) as caught:
        NSSRRegressor(max_time=1).fit(X, y)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ([-1.0] + [1.0] * 19, "Negative values in data passed to `sample_weight`: -1.0 in row 0"),
        ([np.nan] + [1.0] * 19, "Input sample_weight contains NaN in row 0"),
        ([0.0] * 20, "All sample weights are zero"),
        ([1.0] + [0.0] * 19, "1 row of 20 can be used"),
        ([1.0] * 3, "inconsistent numbers of samples"),
        (np.ones((20, 1)), "1D array or scalar"),
    ],
)
def test_weights_that_make_no_sense(weights: Any, words: str) -> None:
    with pytest.raises(ValueError) as caught:
        NSSRRegressor(max_time=1).fit(*frame(), sample_weight=weights)
    assert words in str(caught.value)


def test_rows_without_weight_are_left_out() -> None:
    X, y = frame()
    weights = np.arange(20) % 3.0
    NSSRRegressor(max_time=1).fit(X, y, weights)
    problem = ASKED[-1][0]
    assert problem.weights is not None
    assert problem.weights.tolist() == weights[weights > 0].tolist()
    assert problem.X.tolist() == X[weights > 0].to_numpy().tolist()
    assert problem.y.tolist() == y[weights > 0].tolist()


def test_rows_with_missing_cells_can_be_dropped() -> None:
    X, y = frame()
    X.loc[3, "h"], X.loc[5, "m"], y[7] = np.nan, np.inf, np.nan
    weights = np.ones(20)
    weights[9] = np.nan
    model = NSSRRegressor(max_time=1, nan_policy="drop").fit(X, y, weights)
    assert model.n_dropped_ == 4
    assert ASKED[-1][0].y.tolist() == y.drop([3, 5, 7, 9]).tolist()
    predicted = model.predict(X)
    assert np.flatnonzero(np.isnan(predicted)).tolist() == [3, 5]
    with pytest.raises(ValueError, match="0 rows of 20 can be used"):
        NSSRRegressor(max_time=1, nan_policy="drop").fit(X, np.full(20, np.nan))


@pytest.mark.parametrize(
    "columns",
    [
        {"constant": np.ones(20)},
        {"bool": np.arange(20) % 2 == 0},
        {"integer": np.arange(20)},
        {"huge": np.arange(20) * 1e30},
        {"nullable": pd.array(range(20), dtype="Int64")},
        {"short": np.arange(20, dtype=np.float32)},
        {"unsigned": np.arange(20, dtype=np.uint64) + 2**63},
        {"object": pd.Series([1, 2.5] * 10, dtype=object)},
        {"a": np.arange(20.0), "same": np.arange(20.0), "twice": 2 * np.arange(20.0)},
        {"pi": np.arange(20.0), "lambda": np.arange(20) ** 2.0, "": np.arange(20) ** 3.0, "`": np.ones(20), "x\ny": np.ones(20)},
    ],
)
def test_columns_of_all_sorts_are_taken(columns: dict[str, Any]) -> None:
    X = pd.DataFrame(columns)
    y = 3 * X.iloc[:, 0].astype(float) + 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = NSSRRegressor(max_time=1).fit(X, y)
    assert ASKED[-1][0].X.dtype == np.float64
    assert model.predict(X) == pytest.approx(y.to_numpy(), rel=1e-6, abs=1e-9 * y.abs().max())
    assert str(model.formula_)
    assert model.formula_.latex()


def test_a_column_of_targets_is_taken_with_a_warning() -> None:
    X, y = frame()
    with pytest.warns(DataConversionWarning):
        NSSRRegressor(max_time=1).fit(X, y.to_frame())


def test_predict_refuses_what_fit_refuses() -> None:
    X, y = frame()
    model = NSSRRegressor(max_time=1).fit(X, y)
    with pytest.raises(ValueError, match="contains NaN in column 'h', row 1"):
        model.predict(broken("h", 1, np.nan))
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(X[["m", "my col"]])
    with pytest.warns(UserWarning, match="valid feature names"), pytest.raises(ValueError, match="X has 2 features"):
        model.predict(X.to_numpy()[:, :2])
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(X.rename(columns={"h": "height"}))


def test_importing_nssr_stays_light() -> None:
    code = "import sys, nssr; sys.exit(bool({'sklearn', 'pandas', 'pint', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
    code = "import sys; from nssr import NSSRRegressor; sys.exit(bool({'pint', 'torch', 'sympy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
    with pytest.raises(AttributeError, match="no attribute 'Regressor'"):
        _ = nssr.Regressor


def test_constants_of_the_double_print_as_they_are() -> None:
    tree = add(mul(number(1 / 3), Tree("column", (), 0)), number(1e-30))
    assert str(FoundFormula(tree, ("a",))) == "0.3333333333333333*a + 1e-30"
