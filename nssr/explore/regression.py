"""Closures for noisy targets: the same relations as in `closures`, by least squares over whole banks.

Noise rules out look-ups: nothing agrees to nine digits. But the best a w + S b for every column w and for many targets t at
once is a handful of matrix products: with t and w made orthogonal to S, the error that remains is |t|^2 (1 - cos^2(t, w)).
Rows are weighted by the derivative of the target by y, so that an error counts as what it is in y (the delta method).

A two-term sum a v + b w + c for all pairs comes from one Gram matrix in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nssr.explore.chain import Chain, nudge

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

BITS_PER_NODE = 4.0
"""About log2 of the symbols a formula may hold: what one more node has to gain."""


_ERROR = 0.1
"""Errors of y, in its standard deviation, that logarithms should bear: rows on which these make much of them count less."""

_NEWTON_STEPS, _HALVINGS = 10, 6
LARGEST_LOG = 700.0


@dataclass(frozen=True)
class Target:
    """A chain's target with the weights that make its errors those of y. ``values``, ``weights``: (rows,)."""

    chain: Chain
    values: Floats
    weights: Floats


def delta_weights(t: Floats, moved: Floats, y: Floats, weights: Floats, logarithm: bool) -> Floats:
    """Weights (..., rows) that make squared errors of targets ``t`` those of y; ``moved``: the targets for y + `nudge`.

    Where an error of y makes much of a ``logarithm``, the method's first order says nothing, and the row counts less.
    """
    slope = np.abs((moved - t) / nudge(y))
    if not logarithm:
        return np.asarray(weights / slope**2)
    shrunk = np.nan_to_num(1.0 / (1.0 + (_ERROR * float(np.std(y)) * slope) ** 2))
    return np.asarray(weights / slope**2 * (shrunk / shrunk.mean(axis=-1, keepdims=True)))


def weighted(chain: Chain, y: Floats, weights: Floats, slope_of: Floats, logarithm: bool) -> Target | None:
    """The target of a chain; ``slope_of``: the same chain's target for y moved by a small step."""
    with np.errstate(all="ignore"):
        t, moved = (np.log(np.abs(v)) if logarithm else v for v in (chain.values, slope_of))
        w = delta_weights(t, moved, y, weights, logarithm)
    if not (np.isfinite(t).all() and np.isfinite(w).all()) or w.max() <= 0:
        return None
    if not float(np.ptp(t)) > 0:
        return None
    return Target(chain, t, w)


def least_squares(design: Floats, target: Floats) -> Floats | None:
    """Least squares with columns scaled to one size, or None where something is not finite."""
    if not (np.isfinite(design).all() and np.isfinite(target).all()):
        return None
    size = np.abs(design).max(axis=0)
    size[size == 0] = 1.0
    solution: Floats = np.linalg.lstsq(design / size, target, rcond=1e-14)[0] / size
    return solution


def log_linear(c: Floats, y: Floats, design: Floats, weights: Floats | None) -> tuple[Floats, Floats]:
    """y = +-exp(design @ c) by least squares of y itself, from a first ``c``: the last one and its model (rows,).

    The logarithms of what is hardly more than noise lead exponents astray. Gauss and Newton's method, which here is iteratively
    reweighted least squares with a logarithmic link (P. McCullagh and J. Nelder, Generalized Linear Models, 1989).
    """
    root = np.ones(len(y)) if weights is None else np.sqrt(weights)
    sign = 1.0 if float((root * y) @ np.exp(np.minimum(design @ c, LARGEST_LOG))) >= 0 else -1.0

    def left(c: Floats) -> tuple[float, Floats, Floats]:
        model = sign * np.exp(np.minimum(design @ c, LARGEST_LOG))
        errors = (y - model) * root
        return float(errors @ errors), model, errors

    loss, model, errors = left(c)
    for _ in range(_NEWTON_STEPS):
        step = least_squares(design * (model * root)[:, None], errors)
        if step is None:
            break
        for _ in range(_HALVINGS):
            tried = left(c + step)
            if tried[0] < loss:
                break
            step = step / 2
        else:
            break
        done = loss - tried[0] < 1e-6 * loss
        c, (loss, model, errors) = c + step, tried
        if done:
            break
    return c, model


def working(chain: Chain, weights: Floats, logs: Floats) -> Target | None:
    """The logarithm of y as a step from the best monomial sees it: log m + (y - m) / m, weighted by m squared.

    To first order the errors of what is then fitted to it are those of y, where m is large and where it is small. ``logs`` (rows,
    k): of the inputs, and a column of ones.
    """
    y = chain.values
    with np.errstate(all="ignore"):
        log = np.log(np.abs(y))
        root = np.sqrt(weights) * np.abs(y)
        first = least_squares(logs * root[:, None], log * root)
        if first is None:
            return None
        _, model = log_linear(first, y, logs, weights)
        values, w = np.log(np.abs(model)) + (y - model) / model, weights * model**2
    if not (np.isfinite(values).all() and np.isfinite(w).all() and w.max() > 0):
        return None
    return Target(chain, values, w)


class Scorer:
    """Columns (n, rows) with their squares, ready to be regressed on."""

    def __init__(self, columns: Floats, ids: Indices) -> None:
        finite = np.isfinite(columns).all(axis=1) & (np.abs(columns).max(axis=1) < 1e60)
        self.columns, self.ids = np.ascontiguousarray(columns[finite]), ids[finite]
        # Columns to one size: squares of large ones would drown the rounding of small ones.
        self.size = np.abs(self.columns).max(axis=1, keepdims=True)
        self.size[self.size == 0] = 1.0
        self.columns /= self.size
        self.squares = self.columns**2

    def __len__(self) -> int:
        return len(self.ids)

    def first(self, n: int) -> Scorer:
        """The first ``n`` columns; nothing is copied."""
        part = copy(self)
        part.columns, part.ids, part.size, part.squares = self.columns[:n], self.ids[:n], self.size[:n], self.squares[:n]
        return part

    def errors(self, targets: Sequence[Target], basis: Floats) -> Floats:
        """(columns, targets): the weighted squared error, in units of y squared, of the best a w + S b."""
        n = len(targets)
        result = np.empty((len(self), n))
        t_all = np.empty((self.columns.shape[1], n))
        w_all = np.empty_like(t_all)
        left = np.empty(n)
        qs = []
        for k, target in enumerate(targets):
            root = np.sqrt(target.weights)
            q, _ = np.linalg.qr(root[:, None] * basis)
            t = root * target.values
            for _ in range(2):
                t = t - q @ (q.T @ t)
            left[k] = t @ t
            t_all[:, k] = root * t
            w_all[:, k] = target.weights
            qs.append(root[:, None] * q)
        result[:] = self.columns @ t_all
        np.square(result, out=result)
        rest = self.squares @ w_all
        width = qs[0].shape[1]
        inside = self.columns @ np.concatenate(qs, axis=1)
        spans = np.square(inside).reshape(len(self), n, width).sum(axis=2)
        with np.errstate(all="ignore"):
            own = rest - spans
            gain = np.where(own > 1e-9 * rest, result / own, 0.0)
        return np.maximum(left - gain, 0.0)

    def pair_errors(self, target: Target, others: Floats, basis: Floats) -> Floats:
        """(columns, others): the squared error of the best a w + b v + S c with every v of ``others`` (m, rows)."""
        root = np.sqrt(target.weights)
        q, _ = np.linalg.qr(root[:, None] * basis)

        def orthogonal(columns: Floats) -> tuple[Floats, npt.NDArray[np.bool_]]:
            columns = columns * root
            before = np.sqrt((columns * columns).sum(axis=1, keepdims=True))
            columns = columns - (columns @ q) @ q.T
            size = np.sqrt((columns * columns).sum(axis=1, keepdims=True))
            return columns / np.maximum(size, 1e-300), (size < 1e-7 * before)[:, 0]

        w, flat = orthogonal(self.columns)
        v, lost = orthogonal(others)
        t = root * target.values
        t = t - q @ (q.T @ t)
        cross = w @ v.T
        tw, tv = w @ t, v @ t
        with np.errstate(all="ignore"):
            own = 1.0 - cross**2
            gain = (tw[:, None] ** 2 + tv**2 - 2 * tw[:, None] * tv * cross) / own
            gain = np.where((own > 1e-6) & ~flat[:, None] & ~lost, gain, 0.0)
        return np.maximum(t @ t - gain, 0.0)


def most_promising(
    errors: Floats, costs: Floats, extra: Floats, n_rows: int, floor: float, count: int, each: int, most: float = np.inf
) -> Indices:
    """Flat places of entries of least description length: the ``count`` best of all, and the ``each`` best of every target.

    ``errors`` (columns, targets); ``costs`` (columns,) and ``extra`` (targets,) in nodes. The weights of a target may rest on
    a few rows and its errors then promise too much, so no target may take all places. ``most``: no entry has more
    bits, n/2 log2 of its squared error among them.
    """
    with np.errstate(all="ignore"):
        bits = 0.5 * n_rows * np.log2(np.maximum(errors, floor)) + BITS_PER_NODE * (costs[:, None] + extra)
    bits[~np.isfinite(bits)] = np.inf
    n = bits.shape[1]
    flat = bits.ravel()
    count, each = min(count, flat.size), min(each, len(bits))
    best = np.argpartition(flat, count - 1)[:count]
    own = np.argpartition(bits, each - 1, axis=0)[:each]
    best = np.union1d(best, (own * n + np.arange(n)).ravel())
    best = best[flat[best] <= most]
    chosen: Indices = best[np.argsort(flat[best], kind="stable")]
    return chosen
