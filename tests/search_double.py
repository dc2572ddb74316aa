"""Stands in for the search where only what surrounds it is tested: a constant and the best line, at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from nssr.explore.problem import Found, Problem, Progress, Result
from nssr.explore.tree import Tree, add, column, mul, number, reference_values, size


def constant_or_line(
    problem: Problem,
    *,
    max_time: float,
    n_threads: int = 1,
    memory: int = 2_000_000_000,
    cancelled: Callable[[], bool] = lambda: False,
    on_progress: Progress | None = None,
) -> Result:
    """Least squares in one column, the best of them, after the weighted mean."""
    X, y, weights = problem.X, problem.y, problem.weights
    assert (X.dtype, y.dtype, X.ndim) == (np.float64, np.float64, 2)
    assert X.shape[0] == y.shape[0] >= 2
    assert np.isfinite(np.concatenate([X.ravel(), y])).all()
    assert weights is None or bool(((weights > 0) & np.isfinite(weights)).all())
    assert max_time > 0
    assert n_threads >= 1
    w = np.ones(len(y)) if weights is None else weights
    mean = float(np.average(y, weights=w))
    trees = [number(mean)]
    best = np.inf
    for i in range(X.shape[1]):
        scale = float(np.max(np.abs(X[:, i]))) or 1.0
        design = np.stack([X[:, i] / scale, np.ones(len(y))], axis=1) * np.sqrt(w)[:, None]
        (slope, offset), *_ = np.linalg.lstsq(design, y * np.sqrt(w), rcond=None)
        loss = float(np.average((X[:, i] / scale * slope + offset - y) ** 2, weights=w))
        if loss < best:
            best = loss
            line = add(mul(number(slope / scale), column(i)), number(offset))
    front = tuple(_found(tree, X, y, w) for tree in [*trees, line])
    if on_progress is not None:
        on_progress(front, 0.01, 1)
    return Result(front, 1, front[1].loss == 0, "exhausted", 0.01, {"tried": X.shape[1]})


def _found(tree: Tree, X: Any, y: Any, w: Any) -> Found:
    errors = (np.array(reference_values(tree, X)) - y) ** 2
    loss = float(np.average(errors, weights=w))
    spread = float(np.average((y - np.average(y, weights=w)) ** 2, weights=w))
    return Found(tree, size(tree), loss, 1 - loss / spread if spread else 0.0, float("nan"), 0.0)


def until_cancelled(problem: Problem, *, cancelled: Callable[[], bool], max_time: float, **more: Any) -> Result:
    """Does nothing until it is told to stop, or its time is over."""
    end = time.monotonic() + max_time
    while not cancelled() and time.monotonic() < end:
        time.sleep(0.005)
    result = constant_or_line(problem, max_time=max_time, **more)
    return Result(result.front, 1, False, "cancelled" if cancelled() else "time", max_time, {})
