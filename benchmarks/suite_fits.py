"""The regressors that `benchmarks.formulas` runs: NSSR, and public peers on the same rows with the same seconds.

Each is set up as a user would who wants a law and knows nothing of it: operations that cover textbook formulas, the time as
the only limit, and the package's own choice of the formula to return where that is a sensible one:

- **pyoperon**: its one-stop defaults stop after a million evaluations or 1,000 generations; both are lifted so that time decides.
  Accuracy and length are the objectives, ten steps of Levenberg-Marquardt tune each tree (none by default). The returned one is
  chosen by BIC: the default, description length, prefers short wrong formulas to exact ones on rows without noise.
  The wheel is single precision and ``max_time`` whole seconds; it does not stop when it has the answer.
- **psrn**: on the CPU, with constants, and with two symbol layers over 16 inputs: the three layers over 5 that its command
  has are made for a GPU, and one step of theirs takes minutes on a core. Ends at an MSE of 1e-10, as is its default.
- **gplearn**: has no limit of time, so generations are added while there is time. Its division, logarithm and root are protected;
  the texts given to the judge have ``Abs`` where gplearn takes it.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from benchmarks.suites import Array


@dataclass(frozen=True, slots=True)
class Entry:
    """One formula of a front over x0, x1, ..., as sympy reads it. ``loss`` is the regressor's own."""

    complexity: float
    loss: float
    formula: str


@dataclass(frozen=True, slots=True)
class Job:
    """What a regressor is given. X: (rows, columns), y: (rows,), ``units`` of columns and target ``y``."""

    X: Array
    y: Array
    budget: float
    seed: int
    threads: int
    units: Mapping[str, str] | None = None

    @property
    def names(self) -> list[str]:
        return [f"x{i}" for i in range(self.X.shape[1])]


@dataclass(frozen=True, slots=True)
class Found:
    """A fitted regressor: the text of what it returned and of its front, made when asked for, and its predictions."""

    formula: Callable[[], str]
    predict: Callable[[Array], Array]
    front: Callable[[], list[Entry]] = field(default=list)


@dataclass(frozen=True, slots=True)
class Solver:
    """``ready`` imports what a fit needs, outside of its time; ``fit`` is timed."""

    name: str
    package: str
    module: str
    ready: Callable[[], Any]
    fit: Callable[[Any, Job], Found]
    takes_units: bool = False

    def missing(self) -> str | None:
        """Why it cannot run here, in one sentence."""
        if importlib.util.find_spec(self.module) is None:
            return f"{self.package} is not installed here: pip install {self.package}, or leave out --peer {self.name}"
        try:
            self.ready()
        except (ImportError, AttributeError) as e:
            return f"{self.package} cannot be used here: {e}"
        return None

    def version(self) -> str:
        return importlib.metadata.version(self.package.partition("==")[0])


def _nssr_ready() -> Any:
    import nssr

    return nssr.NSSRRegressor


def _nssr(regressor: Any, job: Job, guide: Any = "auto") -> Found:
    model = regressor(
        guide=guide,
        max_time=job.budget,
        random_state=job.seed,
        n_threads=job.threads,
        units=None if job.units is None else dict(job.units),
    )
    model.fit(job.X, job.y)

    def front() -> list[Entry]:
        table = model.equations_
        rows = zip(table["complexity"], table["loss"], table["formula"], strict=True)
        return [Entry(float(size), float(loss), str(formula.sympy())) for size, loss, formula in rows]

    return Found(lambda: str(model.formula_.sympy()), model.predict, front)


OPERON_SYMBOLS = "add,sub,mul,div,sqrt,square,exp,log,sin,cos,tanh,asin,constant,variable"


def _operon_ready() -> Any:
    from pyoperon.sklearn import SymbolicRegressor

    return SymbolicRegressor


def _operon(regressor: Any, job: Job) -> Found:
    model = regressor(
        allowed_symbols=OPERON_SYMBOLS,
        objectives=["r2", "length"],
        optimizer_iterations=10,
        generations=1_000_000,
        max_evaluations=1_000_000_000,
        model_selection_criterion="bayesian_information_criterion",
        max_time=max(1, round(job.budget)),
        n_threads=job.threads,
        random_state=job.seed + 1,
    )
    model.fit(job.X, job.y)

    def text(tree: Any) -> str:
        return model.get_model_string(tree, 15, job.names).replace("^", "**")

    def front() -> list[Entry]:
        return [Entry(e["complexity"], e["mean_squared_error"], text(e["tree"])) for e in model.pareto_front_]

    return Found(lambda: text(model.model_), lambda X: model.predict(X).astype(float), front)


PSRN_OPERATORS = ["Add", "Mul", "Sub", "Div", "Identity", "Sin", "Cos", "Exp", "Log"]


def _psrn_ready() -> Any:
    from psrn import PSRN_Regressor

    return PSRN_Regressor


def _psrn(regressor: Any, job: Job) -> Found:
    import torch

    from benchmarks import judge

    torch.set_num_threads(job.threads)
    torch.manual_seed(job.seed)
    np.random.seed(job.seed)
    model = regressor(
        variables=job.names,
        use_const=True,
        n_symbol_layers=2,
        use_dr_mask=False,
        device=torch.device("cpu"),
        token_generator_config={"base": {"has_const": True, "tokens": PSRN_OPERATORS}},
        stage_config={
            "default": {
                "operators": PSRN_OPERATORS,
                "time_limit": job.budget,
                "n_psrn_inputs": 16,
                "n_sample_variables": 3,
            },
            "stages": [{}],
        },
    )
    model.fit(job.X, job.y.reshape(-1, 1), n_down_sample=20, top_k=10, prun_ndigit=6, real_time_display=False)
    front = [Entry(float(e[3]), float(e[2]), str(e[0])) for e in model.get_pf(sort_by="reward")]
    if not front:
        raise RuntimeError("psrn returned no formula")
    best = front[0].formula
    return Found(lambda: best, lambda X: judge.values(best, X), lambda: front)


_GPLEARN_TEXT = {
    "add": "({} + {})",
    "sub": "({} - {})",
    "mul": "({} * {})",
    "div": "({} / {})",
    "sqrt": "sqrt(Abs({}))",
    "log": "log(Abs({}))",
    "sin": "sin({})",
    "cos": "cos({})",
    "exp": "exp({})",
}


def _exp(x: Array) -> Array:
    """The exponential up to a value that gplearn can still add and multiply; it refuses functions that overflow."""
    return np.exp(np.minimum(x, 50.0))


def _gplearn_ready() -> Any:
    from gplearn import functions, genetic

    return functions, genetic


def _gplearn(modules: Any, job: Job) -> Found:
    functions, genetic = modules
    exponential = functions.make_function(function=_exp, name="exp", arity=1)
    model = genetic.SymbolicRegressor(
        population_size=1000,
        generations=1,
        function_set=("add", "sub", "mul", "div", "sqrt", "log", "sin", "cos", exponential),
        metric="mse",
        stopping_criteria=1e-20,
        const_range=(-10.0, 10.0),
        warm_start=True,
        low_memory=True,
        n_jobs=job.threads,
        random_state=job.seed,
    )
    end = time.monotonic() + job.budget
    last = 0.0  # seconds of the last generation: one that would end after the time is not begun
    while True:
        began = time.monotonic()
        model.fit(job.X, job.y)
        last = time.monotonic() - began
        if time.monotonic() + last > end or model.run_details_["best_fitness"][-1] <= model.stopping_criteria:
            break
        model.set_params(generations=model.generations + 1)

    def front() -> list[Entry]:
        found: dict[int, Entry] = {}
        for program in model._programs[-1]:
            size, loss = len(program.program), float(program.raw_fitness_)
            if size not in found or loss < found[size].loss:
                found[size] = Entry(size, loss, _gplearn_text(program.program))
        best = np.inf
        kept = []
        for size in sorted(found):
            if found[size].loss < best:
                best = found[size].loss
                kept.append(found[size])
        return kept

    return Found(lambda: _gplearn_text(model._program.program), model.predict, front)


def _gplearn_text(program: list[Any]) -> str:
    """gplearn's prefix list of functions, columns (int) and constants (float) as text; its own text rounds to 3 decimals."""
    stack: list[str] = []
    for node in reversed(program):
        if isinstance(node, (int, np.integer)):
            stack.append(f"x{node}")
        elif isinstance(node, (float, np.floating)):
            stack.append(f"({float(node)!r})")
        else:
            operands = [stack.pop() for _ in range(node.arity)]
            stack.append(_GPLEARN_TEXT[node.name].format(*operands))
    (text,) = stack
    return text


NSSR = Solver("nssr", "nssr", "nssr", _nssr_ready, _nssr, takes_units=True)
BY_SIZE = Solver("nssr-by-size", "nssr", "nssr", _nssr_ready, partial(_nssr, guide=None), takes_units=True)
"""NSSR without its guide."""
PEERS = {
    solver.name: solver
    for solver in (
        BY_SIZE,
        Solver("pyoperon", "pyoperon==0.6.2", "pyoperon", _operon_ready, _operon),
        Solver("psrn", "psrn==0.1.3", "psrn", _psrn_ready, _psrn),
        Solver("gplearn", "gplearn==0.4.3", "gplearn", _gplearn_ready, _gplearn),
    )
}
SOLVERS = {"nssr": NSSR, **PEERS}
