"""Checking candidates in bulk: exact solutions, and near misses that one or two constants turn into solutions.

The engine decides; what it is unsure about, the reference decides. Constants are least squares from `engine.fitting`; they
are rounded where the data cannot tell the rounded value from the fitted one. A candidate counts as exact only when it
holds on the rows for search and on the rows kept back.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from nssr import engine, executor, primitives

Examples = Sequence[tuple[Sequence[Any], Any]]

FITS = ("scale", "offset", "affine")
R2_NEAR = 0.999
"""A fitted candidate explains at least this share of the variance, or it is no near miss."""

NOISE_FREE = 1e-20  # of the outputs' sum of squares: what is left below that is rounding
SEARCH_ROWS = 256  # rows that decide; more rows reject hardly more candidates
FIT_ROWS = 48  # rows on which constants are tried before the full fit
KEPT_NEAR_MISSES = 64
NEAR_PER_KIND = 6
"""Near misses that are looked at among those of one composition type, outermost function and fit, unless better ones
follow. Where one column says nearly everything, a tenth of all candidates are near misses."""


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


def absolute_tolerance(y: npt.NDArray[np.float64]) -> float:
    """How far a value may be from an output near zero: 1e-9, or less where all outputs are smaller than 1.

    Outputs of the size of 1e-12 would otherwise be explained by any number that is small enough, zero above all.
    """
    largest = float(np.abs(y).max(initial=0.0))
    return primitives.ABS_TOL * min(1.0, largest) if largest > 0 else primitives.ABS_TOL


class Screen:
    """The rows of one task, prepared for the engine, and the functions of one registry state."""

    def __init__(self, state: dict[str, Any], examples: Examples, *, n_threads: int = 1) -> None:
        self.state = state
        self.examples = examples
        self.n_threads = n_threads
        self.table = engine.FunctionTable(state["metadata"])
        self.columns = _columns(examples)
        self.whole = engine.Dataset.from_examples(examples)
        train, hold = split(examples)
        self._train_rows, self._hold_rows = _spread(train, SEARCH_ROWS), _spread(hold, 4 * SEARCH_ROWS)
        self.train = self._rows(self._train_rows, self.whole.lanes)
        self.hold = self._rows(self._hold_rows, self.whole.lanes)
        self.sample = self._rows(_spread(train, FIT_ROWS), self.whole.lanes)
        self.y = np.array([float(output) for _, output in examples])
        self.abs_tol = absolute_tolerance(self.y)
        self.fits = fits_allowed(self.y)
        self._constant = bool(np.all(self.y == self.y[0]))
        sizes = [float(np.abs(c).max()) for c in (*self.columns, self.y)]
        # Sums of squares of such numbers would vanish or overflow.
        self._extreme = not all(size == 0.0 or 1e-4 < size < 1e50 for size in sizes)
        self._checks = engine.Bench(self.table, self.train, n_threads=n_threads)
        self._fits = engine.Bench(self.table, self.sample, n_threads=n_threads)
        self._floats = "f" * self.whole.n_columns
        sample = self._rows(_spread(train, FIT_ROWS), self._floats)
        self._float_fits = engine.Bench(self.table, sample, n_threads=n_threads)
        self.near: list[Found] = []
        self._best_of: dict[tuple[int, int, str], list[float]] = {}
        self._maybe_exact = _share_of_rounding(self.sample.target, self.abs_tol)
        self.best_r2 = -math.inf
        self.counters = Counters()

    def _rows(self, rows: Sequence[int], lanes: str) -> engine.Dataset:
        columns = [[self.examples[r][0][c] for r in rows] for c in range(len(self.examples[0][0]))]
        # A column keeps the lane that it has over all rows, whichever rows are drawn.
        typed = [
            [float(v) for v in column] if lane == "f" else column for column, lane in zip(columns, lanes, strict=True)
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
        batch = self.batch(survivors)
        verdict = engine.validate(batch, self.whole, abs_tol=self.abs_tol, n_threads=self.n_threads)
        found = []
        for record, word in zip(survivors, verdict, strict=True):
            if word == engine.FAIL:
                continue
            candidate = engine.unpack([record], self.whole.n_columns)[0]
            if word == engine.UNSURE:
                self.counters.unsure += 1
                if not self._reference_agrees(candidate):
                    continue
            self.counters.passed += 1
            found.append(Found(candidate, True, 1.0))
        return found

    def _reference_agrees(self, candidate: dict[str, Any]) -> bool:
        if not executor.validate(self.state, candidate, self.examples):
            return False
        return self.abs_tol == primitives.ABS_TOL or all(
            math.isclose(
                executor.run(self.state, candidate, list(inputs)), output, rel_tol=primitives.REL_TOL, abs_tol=self.abs_tol
            )
            for inputs, output in self.examples
        )

    def fitted(self, records: npt.NDArray[Any]) -> list[Found]:
        """The candidates that constants turn into exact ones; the best of the others are kept in ``near``."""
        if not len(records) or not self.fits:
            return []
        target = self.sample.target
        assert target is not None
        promising: dict[int, list[str]] = {}
        comp, outermost = records["comp"], np.where(records["tertiary"] >= 0, records["tertiary"], records["primary"])
        # Constants never see the rows kept back, which judge the fits that are not exact.
        for start, values, status in self._fits.predictions(records):
            doubtful = np.flatnonzero(status == 2)
            if len(doubtful) and "i" in self.whole.lanes:  # an int left its range: constants can be fitted to floats
                for at, rows, words in self._float_fits.predictions(records[start + doubtful]):
                    doubted = doubtful[at : at + len(rows)]
                    values[doubted], status[doubted] = rows, words
            for fit in self.fits:
                r2, _, _ = self._fit(values, target, fit)
                r2[status != 0] = -np.inf
                self.best_r2 = max(self.best_r2, float(r2.max()))
                for place in map(int, np.flatnonzero(r2 > R2_NEAR)):
                    kind = int(comp[start + place]), int(outermost[start + place]), fit
                    if 1 - r2[place] <= self._maybe_exact or self._competes(kind, float(r2[place])):
                        promising.setdefault(start + place, []).append(fit)
        found = []
        for i in promising:
            last = None
            for fit in promising[i]:
                result = self.fit_one(records[i], fit)
                if result is None or (last is not None and result.candidate == last.candidate):
                    continue
                last = result
                self.counters.fitted += 1
                if result.exact:
                    found.append(result)
                    break  # a scale is simpler than an affine map that does the same
                self.near.append(result)
        if len(self.near) > 8 * KEPT_NEAR_MISSES:
            self._trim()
        return found

    def _competes(self, kind: tuple[int, int, str], r2: float) -> bool:
        """Whether a near miss is among the best NEAR_PER_KIND of its kind so far."""
        best = self._best_of.setdefault(kind, [])
        if len(best) < NEAR_PER_KIND:
            heapq.heappush(best, r2)
            return True
        return r2 > best[0] and heapq.heapreplace(best, r2) is not None

    def _trim(self) -> None:
        self.near.sort(key=lambda f: (complexity_score(f.candidate), -f.r2))
        best = sorted(self.near, key=lambda f: -f.r2)[:KEPT_NEAR_MISSES]
        self.near = best + [f for f in self.near[:KEPT_NEAR_MISSES] if f not in best]

    def near_misses(self) -> list[Found]:
        """Fits that are not exact, the best of them."""
        self._trim()
        return self.near

    def _fit(
        self, values: npt.NDArray[np.float64], y: npt.NDArray[np.float64], fit: str
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """`fitting.fit_rows`, also where the target is constant and where numbers are very large or very small."""
        from nssr.engine import fitting

        if self._constant:  # no variance to explain: only a constant will do
            first = values[:, 0]
            with np.errstate(all="ignore"):
                k = y[0] / first if fit == "scale" else np.ones(len(values))
                k2 = y[0] - first if fit == "offset" else np.zeros(len(values))
            right = (values == values[:, :1]).all(axis=1) & np.isfinite(k) & (k != 0) & np.isfinite(k2)
            return np.where(right, 1.0, -np.inf), k, k2
        if not self._extreme:
            return fitting.fit_rows(values, y, fit)
        if fit == "offset":  # its tolerance is absolute; an affine map does the same
            return np.full(len(values), -np.inf), np.ones(len(values)), np.zeros(len(values))
        with np.errstate(all="ignore"):
            size = np.abs(values).max(axis=1, keepdims=True)
            size[~((size > 0) & np.isfinite(size))] = 1.0
            scale = float(np.abs(y).max()) or 1.0
            r2, k, k2 = fitting.fit_rows(values / size, y / scale, fit)
            return r2, k * scale / size[:, 0], k2 * scale

    def fit_one(self, record: Any, fit: str) -> Found | None:
        """One candidate with constants fitted on the rows for search; None if R2 is too low there or on the hold-out.

        Constants that change nothing which the data could show are left out: the candidate then has fewer, or none.
        """
        one = np.array([record], dtype=engine.CANDIDATE)
        values, status = engine.predict(self.batch(one), self.train)
        if status[0] == 2:
            floats = engine.ProgramBatch.from_candidates(self.table, one, self._floats)
            values, status = engine.predict(floats, self._rows(self._train_rows, self._floats))
        target = self.train.target
        assert target is not None
        r2, k, k2 = self._fit(values, target, fit)
        if status[0] or not r2[0] > R2_NEAR:
            return None
        fit, constants = _without_identities(values[0], target, fit, _constants(fit, float(k[0]), float(k2[0])))
        candidate = engine.unpack(one, self.whole.n_columns)[0]
        if constants:
            fit, constants = _plain(fit, self._rounded(values[0], target, fit, constants))
        if constants:
            candidate["constants"] = list(constants)
            candidate["const_mode"] = {"scale": "multiplicative", "offset": "additive", "affine": "affine"}[fit]
        packed = engine.pack([candidate], self.whole.n_columns, {i: int(a) for i, a in enumerate(self.table.arity)})
        batch = self.batch(packed)
        verdict = engine.validate(batch, self.whole, abs_tol=self.abs_tol)[0]
        if verdict == engine.PASS or (verdict == engine.UNSURE and self._reference_agrees(candidate)):
            return Found(candidate, True, 1.0)
        held = float(engine.score(batch, self.hold).r2[0])
        if math.isnan(held):
            floats = engine.ProgramBatch.from_candidates(self.table, packed, self._floats)
            held = float(engine.score(floats, self._rows(self._hold_rows, self._floats)).r2[0])
        return Found(candidate, False, held) if held > R2_NEAR else None

    def _rounded(
        self, p: npt.NDArray[np.float64], y: npt.NDArray[np.float64], fit: str, constants: tuple[float, ...]
    ) -> tuple[float, ...]:
        """The shortest constants that the data do not tell from the fitted ones.

        Where the fit is exact up to rounding, any shorter value that stays so. Where there is noise, a value is taken only
        if it is much shorter than what the data determine: 0.5 for 0.50000003 +- 0.00000002, but not 1400 for 1408 +- 2.
        """

        def residual(c: tuple[float, ...]) -> float:
            return _residual(p, y, fit, c)

        base = residual(constants)
        spread = _residual(p, y, "scale", (0.0,))
        free = max(len(y) - len(constants), 1)
        noise_free = base <= NOISE_FREE * spread
        # Up to 2.5 standard errors away: the sum of squares grows by that squared times the variance.
        allowed = NOISE_FREE * spread if noise_free else base * (1 + 2.5**2 / free)
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


def _columns(examples: Examples) -> list[npt.NDArray[np.float64]]:
    """The inputs column by column. ValueError if rows differ in length or a number is beyond the range of a float."""
    if not examples:
        raise ValueError("no examples")
    width = len(examples[0][0])
    if not width or any(len(inputs) != width for inputs, _ in examples):
        raise ValueError("the examples have no inputs, or different numbers of them")
    out = []
    for c in range(width):
        try:
            out.append(np.array([inputs[c] for inputs, _ in examples], dtype=np.float64))
        except OverflowError:
            raise ValueError(f"column {c} holds an integer beyond the range of a float") from None
    return out


def _residual(p: npt.NDArray[np.float64], y: npt.NDArray[np.float64], fit: str, c: tuple[float, ...]) -> float:
    """Sum of squares that a fit with these constants leaves, in units of the largest output squared."""
    scale = float(np.abs(y).max()) or 1.0
    a = c[0] if fit in ("scale", "affine") else 1.0
    b = c[-1] if fit in ("offset", "affine") else 0.0
    with np.errstate(all="ignore"):
        total = float(np.sum(((y - (a * p + b)) / scale) ** 2))
    return total if math.isfinite(total) else math.inf


def _without_identities(
    p: npt.NDArray[np.float64], y: npt.NDArray[np.float64], fit: str, constants: tuple[float, ...]
) -> tuple[str, tuple[float, ...]]:
    """The fit without a factor of 1 or a summand of 0, where the data do not tell it from what was fitted.

    A constant less may cost what one that means nothing would explain: two of its standard errors. Where the constants
    are so near to 1 and 0 that no other truth is likely, it may cost three, and two constants less four.
    """
    base, spread = _residual(p, y, fit, constants), _residual(p, y, "scale", (0.0,))
    factor = constants[0] if fit != "offset" else 1.0
    summand = constants[-1] if fit != "scale" else 0.0
    near = abs(factor - 1) < 1e-4 and abs(summand) < 1e-4 * float(np.abs(y).max())
    errors = (4.0 if fit == "affine" else 3.0) if near else 2.0
    allowed = max(NOISE_FREE * spread, base * (1 + errors**2 / max(len(y) - len(constants), 1)))
    while fit != "none":
        plainer = ("offset", (float(np.mean(y - p)),)) if fit == "affine" else ("none", ())
        if not _residual(p, y, *plainer) <= allowed:
            break
        fit, constants = plainer
    return fit, constants


def _plain(fit: str, c: tuple[float, ...]) -> tuple[str, tuple[float, ...]]:
    """The same map with no factor that is 1 and no summand that is 0."""
    if fit == "affine" and c[0] == 1.0:
        fit, c = "offset", c[1:]
    elif fit == "affine" and c[1] == 0.0:
        fit, c = "scale", c[:1]
    return ("none", ()) if (fit, c) in (("scale", (1.0,)), ("offset", (0.0,))) else (fit, c)


def _share_of_rounding(y: npt.NDArray[np.float64] | None, abs_tol: float) -> float:
    """The largest 1 - R2 on these outputs of a candidate that may be exact within the tolerances, ten times over."""
    assert y is not None
    with np.errstate(all="ignore"):
        near = np.maximum(primitives.REL_TOL * np.abs(y), abs_tol)
        share = 10 * float(np.sum(near**2) / np.sum((y - y.mean()) ** 2))
    return share if math.isfinite(share) else math.inf


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
