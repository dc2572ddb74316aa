"""Checking candidates in bulk: exact solutions, and near misses that one or two constants turn into solutions.

The engine decides; what it is unsure about, the reference decides. Constants are least squares from `engine.fitting`; they
are rounded where the data cannot tell the rounded value from the fitted one. A candidate counts as exact only when it
holds on the rows for search and on the rows kept back.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from nssr import engine, executor

Examples = Sequence[tuple[Sequence[Any], Any]]

FITS = ("scale", "offset", "affine")
R2_NEAR = 0.999
"""A fitted candidate explains at least this share of the variance, or it is no near miss."""

SEARCH_ROWS = 256  # rows that decide; more rows reject hardly more candidates
FIT_ROWS = 48  # rows on which constants are tried before the full fit
KEPT_NEAR_MISSES = 64


@dataclass(slots=True)
class Found:
    """One candidate (the documented dict) that survived, and how: exact on all rows, or a fit with this R2."""

    candidate: dict[str, Any]
    exact: bool
    r2: float


@dataclass(slots=True)
class Counters:
    """What became of the candidates of one search."""

    checked: int = 0
    passed: int = 0
    unsure: int = 0
    fitted: int = 0
    symmetric: int = 0
    cut: int = 0
    extra: dict[str, int] = field(default_factory=dict)


def split(examples: Examples) -> tuple[list[int], list[int]]:
    """Row numbers for search and for the hold-out, which is every third row from the second on.

    Fewer than six rows are too few to keep any back: then both are all rows.
    """
    rows = list(range(len(examples)))
    if len(rows) < 6:
        return rows, rows
    return [i for i in rows if i % 3 != 1], [i for i in rows if i % 3 == 1]


def fits_allowed(y: npt.NDArray[np.float64]) -> tuple[str, ...]:
    """Which constants the target can support: a target of two values is met by too many fits to mean anything."""
    distinct = len(np.unique(y))
    if distinct == 1:
        return ("scale", "offset")
    if distinct < 3 or len(y) < 4:
        return ()
    return FITS if distinct > 3 and len(y) >= 6 else ("scale", "offset")


class Screen:
    """The rows of one task, prepared for the engine, and the functions of one registry state."""

    def __init__(self, state: Mapping[str, Any], examples: Examples, *, n_threads: int = 1) -> None:
        self.state = state
        self.examples = examples
        self.n_threads = n_threads
        self.table = engine.FunctionTable(state["metadata"])
        train, hold = split(examples)
        self.whole = engine.Dataset.from_examples(examples)
        self.train = self._rows(_spread(train, SEARCH_ROWS))
        self.hold = self._rows(_spread(hold, 4 * SEARCH_ROWS))
        self.sample = self._rows(_spread(train, FIT_ROWS))
        self.y = np.array([float(output) for _, output in examples])
        self.fits = fits_allowed(self.y)
        self._checks = engine.Bench(self.table, self.train, n_threads=n_threads)
        self._fits = engine.Bench(self.table, self.sample, n_threads=n_threads)
        self.near: list[Found] = []
        self.best_r2 = -math.inf
        self.counters = Counters()

    def _rows(self, rows: Sequence[int]) -> engine.Dataset:
        columns = [[self.examples[r][0][c] for r in rows] for c in range(len(self.examples[0][0]))]
        # A column keeps the lane that it has over all rows, whichever rows are drawn.
        typed = [
            [float(v) for v in column] if lane == "f" else column
            for column, lane in zip(columns, self.whole.lanes, strict=True)
        ]
        return engine.Dataset.from_columns(typed, [self.examples[r][1] for r in rows])

    def batch(self, records: npt.NDArray[Any]) -> engine.ProgramBatch:
        return engine.ProgramBatch.from_candidates(self.table, records, self.whole.lanes)

    def exact(self, records: npt.NDArray[Any]) -> list[Found]:
        """The candidates among ``records`` (CANDIDATE array) that hold on every row."""
        if not len(records):
            return []
        self.counters.checked += len(records)
        verdict = self._checks.validate(records)
        alive = np.flatnonzero(verdict != engine.FAIL)
        if not len(alive):
            return []
        survivors = records[alive]
        verdict = engine.validate(self.batch(survivors), self.whole, n_threads=self.n_threads)
        found = []
        for record, word in zip(survivors, verdict, strict=True):
            if word == engine.FAIL:
                continue
            candidate = engine.unpack([record], self.whole.n_columns)[0]
            if word == engine.UNSURE:
                self.counters.unsure += 1
                if not executor.validate(self.state, candidate, self.examples):
                    continue
            self.counters.passed += 1
            found.append(Found(candidate, True, 1.0))
        return found

    def fitted(self, records: npt.NDArray[Any]) -> list[Found]:
        """The candidates that constants turn into exact ones; the best of the others are kept in ``near``."""
        if not len(records) or not self.fits:
            return []
        from nssr.engine import fitting

        target = self.sample.target
        assert target is not None
        promising: dict[int, list[str]] = {}
        # Constants never see the rows kept back, which judge the fits that are not exact.
        for start, values, status in self._fits.predictions(records):
            for fit in self.fits:
                r2, _, _ = fitting.fit_rows(values, target, fit)
                r2[status != 0] = -np.inf
                self.best_r2 = max(self.best_r2, float(r2.max()))
                for i in np.flatnonzero(r2 > R2_NEAR):
                    promising.setdefault(start + int(i), []).append(fit)
        found = []
        for i in promising:
            for fit in promising[i]:
                result = self.fit_one(records[i], fit)
                if result is None:
                    continue
                self.counters.fitted += 1
                if result.exact:
                    found.append(result)
                    break  # a scale is simpler than an affine map that does the same
                self.near.append(result)
        if len(self.near) > 8 * KEPT_NEAR_MISSES:
            self._trim()
        return found

    def _trim(self) -> None:
        self.near.sort(key=lambda f: (complexity_score(f.candidate), -f.r2))
        best = sorted(self.near, key=lambda f: -f.r2)[:KEPT_NEAR_MISSES]
        self.near = best + [f for f in self.near[:KEPT_NEAR_MISSES] if f not in best]

    def near_misses(self) -> list[Found]:
        """Fits that are not exact, the best of them."""
        self._trim()
        return self.near

    def fit_one(self, record: Any, fit: str) -> Found | None:
        """One candidate with constants fitted on the rows for search; None if R2 is too low there or on the hold-out."""
        from nssr.engine import fitting

        one = np.array([record], dtype=engine.CANDIDATE)
        values, status = engine.predict(self.batch(one), self.train)
        target = self.train.target
        assert target is not None
        r2, k, k2 = fitting.fit_rows(values, target, fit)
        if status[0] or not r2[0] > R2_NEAR:
            return None
        constants = _constants(fit, float(k[0]), float(k2[0]))
        constants = self._rounded(values[0], target, fit, constants)
        candidate = engine.unpack(one, self.whole.n_columns)[0]
        candidate["constants"] = list(constants)
        candidate["const_mode"] = {"scale": "multiplicative", "offset": "additive", "affine": "affine"}[fit]
        packed = engine.pack([candidate], self.whole.n_columns, {i: int(a) for i, a in enumerate(self.table.arity)})
        batch = self.batch(packed)
        if engine.validate(batch, self.whole)[0] == engine.PASS or executor.validate(self.state, candidate, self.examples):
            return Found(candidate, True, 1.0)
        held = float(engine.score(batch, self.hold).r2[0])
        return Found(candidate, False, held) if held > R2_NEAR else None

    def _rounded(
        self, p: npt.NDArray[np.float64], y: npt.NDArray[np.float64], fit: str, constants: tuple[float, ...]
    ) -> tuple[float, ...]:
        """The shortest constants that the data do not tell from the fitted ones.

        Where the fit is exact up to rounding, any shorter value that stays so. Where there is noise, a value is taken only
        if it is much shorter than what the data determine: 0.5 for 0.50000003 +- 0.00000002, but not 1400 for 1408 +- 2.
        """

        def residual(c: tuple[float, ...]) -> float:
            a, b = {"scale": (c[0], 0.0), "offset": (1.0, c[0]), "affine": (c[0], c[-1])}[fit]
            return float(np.sum((y - (a * p + b)) ** 2))

        base = residual(constants)
        spread = float(np.sum(y * y)) or 1.0
        free = max(len(y) - len(constants), 1)
        noise_free = base <= 1e-20 * spread
        # Up to 2.5 standard errors away: the sum of squares grows by that squared times the variance.
        allowed = 1e-20 * spread if noise_free else base * (1 + 2.5**2 / free)
        best = constants
        for place in range(len(constants)):
            for digits in range(1, 13):
                short = float(f"%.{digits}g" % best[place])
                trial = (*best[:place], short, *best[place + 1 :])
                if residual(trial) > allowed:
                    continue
                if not noise_free:
                    finer = float(f"%.{digits + 2}g" % best[place])
                    coarse = (*best[:place], finer + 10.0 ** -(digits + 2) * abs(finer), *best[place + 1 :])
                    if residual(coarse) <= allowed:  # two more digits would not be determined either: no evidence
                        break
                best = trial
                break
        return best


def _constants(fit: str, k: float, k2: float) -> tuple[float, ...]:
    return {"scale": (k,), "offset": (k2,), "affine": (k, k2)}[fit]


def _spread(rows: Sequence[int], most: int) -> list[int]:
    """At most ``most`` of the rows, evenly over their order."""
    if len(rows) <= most:
        return list(rows)
    return [rows[int(i)] for i in np.linspace(0, len(rows) - 1, most).round()]


def complexity_score(c: Mapping[str, Any]) -> int:
    """Documented score of a candidate; lower is simpler. An affine map counts as two constants."""
    base = {"none": 0, "sequential": 1, "nested": 1, "parallel": 2}.get(c["comp_type"], 3)
    base += (c.get("secondary_id") is not None) + (c.get("tertiary_id") is not None)
    return base + len(c.get("constants") or ())
