"""The formula search as a scikit-learn regressor: measurements in, a formula out.

>>> from nssr import NSSRRegressor
>>> model = NSSRRegressor(max_time=10).fit([[1.0], [2.0], [3.0], [4.0]], [0.5, 2.0, 4.5, 8.0])  # doctest: +SKIP
>>> model.formula_  # doctest: +SKIP
<FoundFormula 0.5*x0**2>

docs/regressor.md is the manual. Everything about input, names, units and libraries is settled here; the search
(`nssr.explore`) is given clean floats.
"""

from __future__ import annotations

import itertools
import math
import numbers
import os
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from nssr import explore, guide, library, stage_order
from nssr.cleaning import NAN_POLICIES, Rows, rows_for_fit, rows_for_predict
from nssr.explore.order import BY_SIZE
from nssr.explore.problem import Found, Problem, Progress, Result
from nssr.explore.tree import Tree, column, columns, graph, with_columns
from nssr.found_formula import FoundFormula
from nssr.interrupt import first_ctrl_c
from nssr.notation import write_graph
from nssr.operation_names import nesting, operations, suggestion
from nssr.units import dimensions

LOSSES = ("squared", "huber", "cauchy")

ROWS_KEPT = 1000
"""Training rows that a fitted regressor keeps, to check what it registers in a library."""


@dataclass(frozen=True)
class FitProgress:
    """How far a fit is: ``front`` so far (the same object while it is the same), ``seconds`` of the search, and how many
    ``candidates`` were tried."""

    front: tuple[Found, ...]
    names: tuple[str, ...]
    places: Mapping[int, Tree]
    seconds: float
    candidates: int

    def formulas(self) -> list[FoundFormula]:
        """The formulas of the front, simplest first. Writing one takes milliseconds, which the search does not have then."""
        return [FoundFormula(with_columns(found.tree, self.places), self.names) for found in self.front]


_LEAST_SHARE = 0.05  # of max_time that the search gets, however long the input took to check


class NSSRRegressor(RegressorMixin, BaseEstimator):
    """Finds a formula for a table of measurements.

    Parameters
    ----------
    max_time : float, default 30
        Seconds that `fit` may take. It ends earlier where a formula holds on all rows to rounding, or down to the noise.
    random_state : int, RandomState or None, default 0
        Draws the rows that are held out or searched on.
    n_threads : int or None, default None
        None stands for all cores this process may use. More come farther in the time; what is found on the way is the same.
    operations : list of str or None
        What a formula may hold: signs and names such as "+", "sin", "square", "pow". None: arithmetic, powers, roots, exp, log,
        trigonometric functions, their inverses and tanh. "abs", "sinh", "cosh", "min" and "max" are there to be asked for.
    max_complexity : int or None
        Most columns, numbers and operations in a formula.
    units : dict or None
        ``{"m": "kg", "v": "m/s", "y": "J"}``, an entry for every column and the target; see `nssr.units.dimensions`.
    library : path or None
        A library of functions. Those that are formulas are used in the search; `register` adds to it.
    guide : "auto", None or a `nssr.guide.Guide`
        What orders the search: "auto" does its parts in an order learned from dreamt laws (`nssr.stage_order`), None from small
        to large. A guide is a prior over operations besides: the likely ones are written with fewer bits.
    nesting : dict or None
        ``{"sin": {"sin": 0}}`` says how often the inner operation may occur anywhere inside the outer one.
    required, excluded : lists of column names or indices, or None
        Columns that must or must not appear in the formula.
    loss : "squared", "huber" or "cauchy"
        The latter two give less weight to rows that lie far off.
    nan_policy : "raise" or "drop"
        What `fit` does about rows with a NaN or infinite cell. With "drop", `predict` gives NaN for such rows.
    memory_limit : int, default 2_000_000_000
        Bytes that the search may take beyond the data; the smallest search takes some 200 MB whatever is asked.
    verbose : bool
        Whether better formulas are printed as they are found.
    callback : callable or None
        Called with a `FitProgress` after every stage of the search. What it raises ends the fit.

    Attributes
    ----------
    formula_ : `nssr.found_formula.FoundFormula`, the chosen formula
    equations_ : pandas DataFrame, the front of formulas, simplest first
    result_ : `nssr.explore.problem.Result` with counters and seconds; ``exact_`` and ``stopped_`` are its own
    n_dropped_ : rows left out for missing cells
    n_features_in_, feature_names_in_ : as in scikit-learn
    """

    _parameter_constraints: dict[str, Any] = {  # noqa: RUF012
        "max_time": [Interval(numbers.Real, 0, None, closed="neither")],
        "random_state": ["random_state"],
        "n_threads": [Interval(numbers.Integral, 1, None, closed="left"), None],
        "operations": [list, tuple, set, frozenset, None],
        "max_complexity": [Interval(numbers.Integral, 1, None, closed="left"), None],
        "units": [Mapping, None],
        "library": [str, os.PathLike, None],
        "guide": "no_validation",  # see _guide
        "nesting": [Mapping, None],
        "required": [list, tuple, set, frozenset, None],
        "excluded": [list, tuple, set, frozenset, None],
        "loss": [StrOptions(set(LOSSES))],
        "nan_policy": [StrOptions(set(NAN_POLICIES))],
        "memory_limit": [Interval(numbers.Integral, 1, None, closed="left")],
        "verbose": ["verbose"],
        "callback": [callable, None],
    }

    def __init__(
        self,
        max_time: float = 30,
        random_state: Any = 0,
        n_threads: int | None = None,
        operations: Iterable[str] | None = None,
        max_complexity: int | None = None,
        units: Mapping[str, str] | None = None,
        library: str | os.PathLike[str] | None = None,
        guide: Any = "auto",
        nesting: Mapping[str, Mapping[str, int]] | None = None,
        required: Iterable[str | int] | None = None,
        excluded: Iterable[str | int] | None = None,
        loss: str = "squared",
        nan_policy: str = "raise",
        memory_limit: int = 2_000_000_000,
        verbose: bool = False,
        callback: Callable[[FitProgress], None] | None = None,
    ) -> None:
        self.max_time = max_time
        self.random_state = random_state
        self.n_threads = n_threads
        self.operations = operations
        self.max_complexity = max_complexity
        self.units = units
        self.library = library
        self.guide = guide
        self.nesting = nesting
        self.required = required
        self.excluded = excluded
        self.loss = loss
        self.nan_policy = nan_policy
        self.memory_limit = memory_limit
        self.verbose = verbose
        self.callback = callback

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> NSSRRegressor:
        """Searches for a formula of y, (rows,), in the columns of X, (rows, columns).

        ``sample_weight``, (rows,), weighs the squared errors; rows of weight 0 are left out. Ctrl-C ends the search with the
        best so far and a warning; a second one is a KeyboardInterrupt. Raises ``ValueError`` or ``TypeError`` as scikit-learn
        does for what cannot be searched: text, complex numbers, missing cells, lengths that differ, fewer than two rows.
        """
        started = time.monotonic()
        self._validate_params()
        rows = rows_for_fit(self, X, y, sample_weight, self.nan_policy)
        problem, kept = self._problem(rows)
        with first_ctrl_c() as interrupted:
            result = explore.explore(
                problem,
                max_time=max(self.max_time - (time.monotonic() - started), _LEAST_SHARE * self.max_time),
                n_threads=self.n_threads or _cores(),
                memory=self.memory_limit,
                cancelled=interrupted,
                on_progress=_reporter(self.callback, rows.names, kept, self.verbose),
            )
            if interrupted():
                seconds = time.monotonic() - started
                warnings.warn(f"fit was interrupted after {seconds:.1f} s; formula_ is the best found until then.", stacklevel=2)
        missing = [rows.names[kept[j]] for j in sorted(problem.required - columns(result.best.tree))]
        if missing:
            asked = ", ".join(map(repr, missing))
            warnings.warn(
                f"No formula with the required {'column' if len(missing) == 1 else 'columns'} {asked} was found in "
                f"{time.monotonic() - started:.1f} s; formula_ is the mean of y.",
                ConvergenceWarning,
                stacklevel=2,
            )
        self._keep(result, rows, kept)
        return self

    def _problem(self, rows: Rows) -> tuple[Problem, list[int]]:
        """What the search is asked, and the columns that it is given."""
        allowed = operations(self.operations)
        excluded = _places("excluded", self.excluded, rows.names)
        required = _places("required", self.required, rows.names)
        both = [rows.names[i] for i in sorted(required & excluded)]
        if both:
            raise ValueError(f"The column {both[0]!r} is both required and excluded; take it out of one of the two.")
        kept = [i for i in range(len(rows.names)) if i not in excluded]
        if not kept:
            raise ValueError("All columns are excluded; a formula needs at least one that it may use.")
        borrowed = library.borrow(self.library, None if self.operations is None else allowed)
        prior = _guide(self.guide)
        problem = Problem(
            X=rows.X if len(kept) == len(rows.names) else np.ascontiguousarray(rows.X[:, kept]),
            y=rows.y,
            weights=rows.weights,
            operations=allowed,
            max_complexity=None if self.max_complexity is None else int(self.max_complexity),
            required=frozenset(kept.index(i) for i in required),
            nesting=nesting(self.nesting),
            loss=self.loss,
            dimensions=None if self.units is None else _dimensions(self.units, rows, kept),
            learned=borrowed.functions,
            order=BY_SIZE if self.guide is None else stage_order.order(len(kept)),
            costs=_costs(prior, borrowed.names, allowed | {f.name for f in borrowed.functions}) if prior is not None else {},
            seed=int(check_random_state(self.random_state).randint(2**31 - 1)),
        )
        return problem, kept

    def _keep(self, result: Result, rows: Rows, kept: list[int]) -> None:
        places = {i: column(j) for i, j in enumerate(kept)}
        front = tuple(replace(found, tree=with_columns(found.tree, places)) for found in result.front)
        self.result_ = replace(result, front=front)
        self.exact_, self.stopped_ = result.exact, result.stopped
        self.n_dropped_ = rows.dropped
        self.formula_ = FoundFormula(self.result_.best.tree, rows.names)
        step = -(-len(rows.X) // ROWS_KEPT)
        self._rows_kept = rows.X[::step].copy()

    @property
    def equations_(self) -> Any:
        """The front as a pandas DataFrame, simplest first: complexity, loss, score, r2, held_out_r2, formula.

        ``loss`` is the weighted mean squared error, ``score`` by how much log(loss) falls per node from the row before (0 in the
        first row, inf where the loss becomes 0), ``formula`` a `FoundFormula`.
        """
        check_is_fitted(self, "result_")
        import pandas as pd

        front = self.result_.front
        return pd.DataFrame(
            {
                "complexity": [found.complexity for found in front],
                "loss": [found.loss for found in front],
                "score": _scores(front),
                "r2": [found.r2 for found in front],
                "held_out_r2": [found.held_out_r2 for found in front],
                "formula": [FoundFormula(found.tree, self.formula_.names) for found in front],
            }
        )

    def predict(self, X: Any) -> npt.NDArray[np.float64]:
        """``formula_`` on every row of X, float64 (rows,). Warns where it has no finite value on some of the rows."""
        check_is_fitted(self, "formula_")
        array = rows_for_predict(self, X, self.formula_.names, self.nan_policy)
        whole = np.isfinite(array).all(axis=1)
        predicted = self.formula_.predict(array)
        predicted[~whole] = np.nan
        lost = int((~np.isfinite(predicted[whole])).sum())
        if lost:
            warnings.warn(
                f"The formula {self.formula_} has no finite value on {lost} of {len(array)} rows.", RuntimeWarning, stacklevel=2
            )
        return predicted

    def register(self, name: str, library_path: str | os.PathLike[str] | None = None) -> int:
        """Stores ``formula_`` in the library as the function ``name`` and returns its id.

        Its arguments are the columns that it reads, in their order. The library is ``library_path``, or the one that the
        regressor was made with; it is made where there is none. See `nssr.library.deposit` for what is raised.
        """
        check_is_fitted(self, "formula_")
        path = library_path if library_path is not None else self.library
        if path is None:
            raise ValueError("There is no library to register in; give NSSRRegressor(library=PATH) or register(name, PATH).")
        return library.deposit(path, name, self.formula_, self._rows_kept)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.nan_policy == "drop"
        tags.non_deterministic = True  # how far a search comes in max_time depends on the machine
        return tags


def _places(what: str, given: Iterable[str | int] | None, names: tuple[str, ...]) -> frozenset[int]:
    """The indices of columns that are given by name or index. Raises ``ValueError`` for those that there are not."""
    found = set()
    for label in given or ():
        if isinstance(label, numbers.Integral) and not isinstance(label, bool):
            if not 0 <= label < len(names):
                raise ValueError(f"{what} names the column {label}, but there are only {len(names)}, counted from 0.")
            found.add(int(label))
        elif label in names:
            found.add(names.index(str(label)))
        else:
            raise ValueError(f"{what} names {label!r}, which is no column.{suggestion(str(label), names)}")
    return frozenset(found)


def _dimensions(units: Mapping[str, str], rows: Rows, kept: list[int]) -> Any:
    """The dimensions of the columns kept and the target; all columns need a unit, so that excluding one is no other task."""
    of_columns, of_target = dimensions(units, rows.names, rows.target)
    return tuple(of_columns[i] for i in kept), of_target


def _guide(given: Any) -> guide.Guide | None:
    if given is None or (isinstance(given, str) and given == "auto"):
        return None
    if not callable(getattr(given, "slot_scores", None)):
        raise ValueError(f'guide must be "auto", None or an object with slot_scores as in nssr.guide.Guide, not {given!r}.')
    prior: guide.Guide = given
    return prior


def _costs(prior: guide.Guide, names: tuple[str, ...], wanted: frozenset[str]) -> dict[str, float]:
    return {name: bits for name, bits in guide.costs(prior, names).items() if name in wanted}


def _cores() -> int:
    """How many cores this process may use, which in a container can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _scores(front: tuple[Found, ...]) -> list[float]:
    scores = [0.0]
    for before, found in itertools.pairwise(front):
        nodes = found.complexity - before.complexity
        if before.loss <= 0 or nodes <= 0:
            scores.append(0.0)
        else:
            scores.append(math.log(before.loss / found.loss) / nodes if found.loss > 0 else math.inf)
    return scores


def _reporter(
    callback: Callable[[FitProgress], None] | None, names: tuple[str, ...], kept: list[int], verbose: bool
) -> Progress | None:
    """Tells the callback, and prints the best of the front when it is a new one; as composed, since algebra would take the
    search's time."""
    if callback is None and not verbose:
        return None
    last: list[Any] = [None]
    places = {i: column(j) for i, j in enumerate(kept)}

    def show(front: tuple[Found, ...], seconds: float, candidates: int) -> None:
        if callback is not None:
            callback(FitProgress(front, names, places, seconds, candidates))
        if verbose and front and front[-1].tree != last[0]:
            best = front[-1]
            last[0] = best.tree
            text = write_graph(graph(with_columns(best.tree, places)), names)[-1].text
            print(f"{seconds:7.1f} s  complexity {best.complexity:3d}  loss {best.loss:.3g}  {text}", flush=True)

    return show


__all__ = ["FitProgress", "NSSRRegressor"]
