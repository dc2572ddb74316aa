"""What the formula engine must show: ratios to public evaluators, cell by cell, and whether they are reached."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.peers import OURS_SCORES, OURS_STORED


@dataclass(frozen=True, slots=True)
class Rates:
    """Items a second of one side in each round."""

    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)

    def __str__(self) -> str:
        return f"{short(self.median)} [{short(min(self.rounds))}-{short(max(self.rounds))}]"


@dataclass(frozen=True, slots=True)
class Measured:
    """One side in one cell: M node-evaluations/s, the trees that were timed, the share of values that were off."""

    workload: str
    dtype: str
    rows: int
    evaluator: str
    trees: int
    rates: Rates
    off: float


@dataclass(frozen=True, slots=True)
class Goal:
    """One line of the table of what must be shown. ``against`` holds the peers of which the best counts."""

    workload: str
    dtype: str
    rows: int
    ours: str
    against: tuple[str, ...]
    ratio: float

    @property
    def text(self) -> str:
        peers = f"the best of {' and '.join(self.against)}" if len(self.against) > 1 else self.against[0]
        return f"{self.workload} {self.dtype} {self.rows:,} rows, {self.ours.split(', ')[1]}, against {peers}"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table, measured."""

    text: str
    goal: float
    median: float
    low: float
    high: float
    met: bool
    unit: str = "x"

    def __str__(self) -> str:
        figures = f"{short(self.median)}{self.unit} [{short(self.low)}-{short(self.high)}]"
        return f"{self.text:78} goal {short(self.goal):>4}  {figures:26} {'met' if self.met else 'SHORT'}"


def goals() -> list[Goal]:
    """The table: ratio that must be reached in each cell."""
    f32, f64, operon, best32, best64 = "float32", "float64", ("pyoperon",), ("numpy", "pyoperon"), ("bingo", "numpy")
    return [
        Goal("A", f32, 20, OURS_STORED, operon, 20),
        Goal("A", f32, 100, OURS_STORED, operon, 20),
        Goal("A", f32, 1_000, OURS_STORED, operon, 8),
        Goal("A", f32, 1_000, OURS_SCORES, operon, 12),
        Goal("A", f32, 10_000, OURS_STORED, best32, 4),
        Goal("A", f32, 10_000, OURS_SCORES, best32, 7),
        *(Goal("B", f32, rows, OURS_STORED, operon, ratio) for rows, ratio in ((20, 12), (100, 12), (1_000, 4), (10_000, 4))),
        *(Goal("A", f64, rows, OURS_STORED, best64, r) for rows, r in ((20, 18), (100, 13), (1_000, 6), (10_000, 5))),
        *(Goal("B", f64, rows, OURS_STORED, best64, r) for rows, r in ((20, 12), (100, 9), (1_000, 6), (10_000, 4))),
    ]


def short(value: float) -> str:
    """Three digits, no exponent."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def ratio_line(text: str, goal: float, ours: Rates, *theirs: Rates) -> Line:
    """Ours against the best of theirs, round by round."""
    ratios = sorted(mine / max(best) for mine, *best in zip(ours.rounds, *(t.rounds for t in theirs), strict=True))
    middle = statistics.median(ratios)
    return Line(text, goal, middle, ratios[0], ratios[-1], middle >= goal)


def goal_lines(measured: Sequence[Measured]) -> list[Line]:
    found = {(m.workload, m.dtype, m.rows, m.evaluator): m.rates for m in measured}
    lines = []
    for goal in goals():
        sides = [found.get((goal.workload, goal.dtype, goal.rows, name)) for name in (goal.ours, *goal.against)]
        if None not in sides:
            lines.append(ratio_line(goal.text, goal.ratio, *sides))  # type: ignore[arg-type]
    return lines
