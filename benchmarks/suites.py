"""The problems of `benchmarks.formulas`: formulas, the ranges of their variables, and rows drawn from them.

One JSON object a line in ``problems/SUITE.jsonl``: ``name``; ``formula`` in the source's names; ``indexed``, the same in x0,
x1, ..., the columns in order; ``variables`` as [name, low, high, distribution, units?]; ``output_units``; ``target_is_log`` where
the law's logarithm is the target; ``components`` of a vector law, of which the first is ``formula``; ``notes``; ``source``.
Distributions: uniform; log_uniform; integer, both ends included; ``near m``, the variable m plus uniform (low, high).
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

FOLDER = Path(__file__).parent / "problems"
SUITES = ("feynman", "nguyen", "strogatz", "laws", "textbook", "curves", "empirical", "noise-columns")
ROWS = {"noise-columns": 30}
"""Rows where ``--rows`` is not given; elsewhere `DEFAULT_ROWS`."""
DEFAULT_ROWS = 200
TEST_ROWS = 1000

_DRAWS = 200  # times the wanted rows that are drawn before a problem counts as undefined in its range


@dataclass(frozen=True, slots=True)
class Variable:
    name: str
    low: float
    high: float
    distribution: str = "uniform"
    units: str | None = None

    @property
    def positive(self) -> bool:
        """Whether no row has a value below 0; 0 itself is drawn with probability 0, except by integers."""
        return not self.distribution.startswith("near") and (self.low > 0 or (self.low == 0 and self.distribution == "uniform"))

    def draw(self, rng: np.random.Generator, n: int, drawn: Mapping[str, Array], widen: float = 1.0) -> Array:
        """``n`` values; ``widen`` scales the range about its middle, in the logarithm for log_uniform, and keeps its sign."""
        low, high = self.low, self.high
        if self.distribution == "log_uniform":
            low, high = _wider(math.log(low), math.log(high), widen)
            return np.exp(rng.uniform(low, high, n))
        if self.distribution == "integer":
            return rng.integers(int(low), int(high), n, endpoint=True).astype(float)
        low, high = _wider(low, high, widen)
        if self.positive:
            # Formulas are judged for positive variables there, so a wider range must not leave them.
            low = max(low, self.low / 2)
        values = rng.uniform(low, high, n)
        if self.distribution.startswith("near "):
            return drawn[self.distribution.removeprefix("near ")] + values
        return values


def _wider(low: float, high: float, widen: float) -> tuple[float, float]:
    extra = (high - low) * (widen - 1) / 2
    return low - extra, high + extra


@dataclass(frozen=True, slots=True)
class Problem:
    """``indexed`` is the truth in x0, x1, ...; ``target`` that of which rows are made (its logarithm where asked for)."""

    suite: str
    name: str
    formula: str
    indexed: str
    variables: tuple[Variable, ...]
    output_units: str | None
    target_is_log: bool
    source: str

    @property
    def target(self) -> str:
        return f"log({self.indexed})" if self.target_is_log else self.indexed

    @property
    def columns(self) -> list[str]:
        return [f"x{i}" for i in range(len(self.variables))]

    @property
    def positive(self) -> list[bool]:
        return [v.positive for v in self.variables]

    def units(self) -> dict[str, str] | None:
        """Units of the columns and of the target, ``y``, as pint reads them; None where they are not known."""
        texts = [v.units for v in self.variables] + [self.output_units]
        known = [text for text in texts if text]
        if len(known) < len(texts) or self.target_is_log:
            return None
        return dict(zip([*self.columns, "y"], known, strict=True))


def load(suite: str) -> list[Problem]:
    """The problems of a suite in the order of its file."""
    with (FOLDER / f"{suite}.jsonl").open(encoding="utf-8") as file:
        return [_problem(suite, json.loads(line)) for line in file if line.strip()]


def _problem(suite: str, facts: dict[str, Any]) -> Problem:
    return Problem(
        suite,
        facts["name"],
        facts["formula"],
        facts["indexed"],
        tuple(Variable(*v) for v in facts["variables"]),
        facts.get("output_units"),
        bool(facts.get("target_is_log")),
        facts["source"],
    )


FUNCTIONS: dict[str, Any] = {
    name: getattr(np, name)
    for name in ("sqrt", "exp", "log", "sin", "cos", "tan", "sinh", "cosh", "tanh", "pi")
} | {"asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "cot": lambda x: 1 / np.tan(x)}  # fmt: skip


def evaluate(formula: str, X: Array) -> Array:
    """Values of a problem's own formula, (rows,), on the columns of ``X``, (rows, columns); not finite where undefined.

    The formulas are this folder's, in numpy's syntax but for names of functions. What a regressor returns is never
    evaluated by Python: see `benchmarks.judge`.
    """
    names = {f"x{i}": X[:, i] for i in range(X.shape[1])}
    unknown = set(re.findall(r"[A-Za-z_]\w*", re.sub(r"\d[\d.]*[eE][-+]?\d+", "0", formula))) - names.keys() - FUNCTIONS.keys()
    if unknown:
        raise ValueError(f"{formula!r} holds {', '.join(sorted(unknown))}, which no problem may")
    with np.errstate(all="ignore"):
        values = eval(formula, {"__builtins__": {}}, FUNCTIONS | names)
    return np.broadcast_to(np.asarray(values, float), len(X)).copy()


def seed_of(*parts: object) -> int:
    """The same 64 bits for the same parts on every machine, in every process."""
    return int.from_bytes(hashlib.sha256("\0".join(map(str, parts)).encode()).digest()[:8], "big")


def draw(problem: Problem, n: int, seed: int, widen: float = 1.0, formula: str | None = None) -> tuple[Array, Array]:
    """``n`` rows (n, columns) and their targets (n,), all finite: rows where the target is not are drawn again.

    Raises `ValueError` where hardly any row has a finite target.
    """
    rng = np.random.default_rng(seed)
    kept: list[Array] = []
    targets: list[Array] = []
    found = drawn_rows = 0
    while found < n:
        columns: dict[str, Array] = {}
        for variable in problem.variables:
            columns[variable.name] = variable.draw(rng, n, columns, widen)
        X = np.column_stack(list(columns.values()))
        y = evaluate(formula or problem.target, X)
        finite = np.isfinite(y)
        kept.append(X[finite])
        targets.append(y[finite])
        found += int(finite.sum())
        drawn_rows += n
        if found < n and drawn_rows > _DRAWS * n:
            raise ValueError(f"{problem.suite} {problem.name}: the target is finite in only {found} of {drawn_rows} rows")
    return np.concatenate(kept)[:n], np.concatenate(targets)[:n]


@dataclass(frozen=True, slots=True)
class Rows:
    """Training rows, whose target may be noisy, and test rows, whose target never is. X: (rows, columns), y: (rows,)."""

    X: Array
    y: Array
    X_test: Array
    y_test: Array


def rows_of(problem: Problem, seed: int, n: int, noise: float) -> Rows:
    """The rows of one task. ``noise`` times the root mean square of the training target is the deviation of what is added."""
    parts = (problem.suite, problem.name, seed)
    X, y = draw(problem, n, seed_of(*parts, "train"))
    X_test, y_test = draw(problem, TEST_ROWS, seed_of(*parts, "test"))
    if noise:
        rms = float(np.sqrt(np.mean(y**2)))
        y = y + np.random.default_rng(seed_of(*parts, "noise")).normal(0.0, noise * rms, n)
    return Rows(X, y, X_test, y_test)


def wider_rows(problem: Problem, seed: int, n: int = TEST_ROWS) -> tuple[Array, Array]:
    """Rows of about twice the range, on which only a formula that is right, not one that merely fits, agrees with the truth."""
    return draw(problem, n, seed_of(problem.suite, problem.name, seed, "wider"), widen=2.0)


def r2(y: Array, values: Array) -> float:
    """Coefficient of determination; -inf where a value is not finite, so that no mean over rows hides it."""
    if not np.all(np.isfinite(values)):
        return -math.inf
    spread = float(np.sum((y - y.mean()) ** 2))
    missed = float(np.sum((y - values) ** 2))
    return 1 - missed / spread if spread > 0 else (1.0 if missed == 0 else -math.inf)
