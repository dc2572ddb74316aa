"""Targets of which a monomial is left: x exp(-a b / c), x / sqrt(1 - a^2 / b^2), a + b / c, by least squares.

The target meets a simple column, goes through functions that are undone later, and what is left is a number times powers of the
inputs. No bank holds such a formula while it is small; and no column has to be looked for, so thousands of such targets are
fitted at once: weighted normal equations of logarithms, with weights that make errors those of y (the delta method).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from fractions import Fraction
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nssr.explore import writing
from nssr.explore.chain import BINARY, TRANSFORMS, Chain, possible
from nssr.explore.regression import BITS_PER_NODE, delta_weights
from nssr.explore.rows import Rows
from nssr.explore.tree import Tree, column, number

Floats = npt.NDArray[np.float64]

BASES = ("identity", "inverse", "square")
_FACTOR: tuple[tuple[str, ...], ...] = (
    ("minus one",),
    ("plus one",),
    ("log",),
    ("inverse", "plus one", "log"),
    ("plus one", "log"),
    ("square", "minus one"),
    ("asin",),
    ("acos",),
    ("atan",),
    ("atanh",),
)
"""After the target met a factor: 1 + m, exp(m), 1 / (exp(m) - 1), log(1 + m), a root, an angle or tanh of a monomial m."""
_TERM: tuple[tuple[str, ...], ...] = ((), ("log",))
"""After it met a term."""
AFTERS = {"t*v": _FACTOR, "t/v": _FACTOR, "t-v": _TERM, "v-t": _TERM}
_EACH = 3  # of each kind of target, at least
_RIDGE = 1e-10  # of normal equations whose columns are of size one
_KNOWN = 0.8  # of the rows: that share at least must have a value


def targets(
    both: Sequence[tuple[Chain, Chain]], columns: Floats, operations: Collection[str]
) -> Iterator[tuple[Chain, str, tuple[str, ...], Floats, Floats]]:
    """Kinds of targets: the chain before, the operation and the transforms after; (columns, rows) values for y and for y moved.

    ``both``: chains of y and of y moved by `chain.nudge`; ``columns`` (n, rows) are what they meet.
    """
    for chain, moved in both:
        if len(chain.steps) > 1 or (chain.steps and chain.steps[0][0] not in BASES):
            continue
        for op, afters in AFTERS.items():
            if not set(BINARY[op][2]) <= set(operations):
                continue
            for after in afters:
                if possible(after, operations):
                    with np.errstate(all="ignore"):
                        values = [BINARY[op][0](c.values, columns) for c in (chain, moved)]
                        for name in after:
                            values = [TRANSFORMS[name].forward(v) for v in values]
                    yield chain, op, after, values[0], values[1]


class Fits(NamedTuple):
    """Of each of n targets the best c prod x_j^e_j: ``errors`` (n,), weighted and squared, in units of y squared, inf where there
    is none; ``exponents`` (n, columns); ``logs`` and ``weights`` (n, rows), 0 where the target has no logarithm."""

    errors: Floats
    exponents: Floats
    logs: Floats
    weights: Floats


def fit(values: Floats, moved: Floats, y: Floats, weights: Floats, logs: Floats) -> Fits:
    """``values``, ``moved`` (n, rows): targets; ``y``, ``weights`` (rows,); ``logs`` (rows, columns).

    Noise takes some rows to where a transform has no value: they count for nothing, if they are few.
    """
    design = np.column_stack([np.ones(len(y)), logs - logs.mean(axis=0)])
    scale = np.abs(design).max(axis=0)
    scale[scale == 0] = 1.0
    design /= scale
    k = design.shape[1]
    with np.errstate(all="ignore"):
        log = np.log(np.abs(values))
        w = delta_weights(log, np.log(np.abs(moved)), y, weights, logarithm=True)
        known = np.isfinite(log) & np.isfinite(w)
    log, w = np.where(known, log, 0.0), np.where(known, w, 0.0)
    most = w.max(axis=1, keepdims=True)
    usable = (known.mean(axis=1) >= _KNOWN) & (most[:, 0] > 0)
    part = w / np.where(most > 0, most, 1.0)
    gram = (part @ (design[:, :, None] * design[:, None, :]).reshape(len(y), k * k)).reshape(-1, k, k)
    gram += (_RIDGE * np.trace(gram, axis1=1, axis2=2) + np.finfo(float).tiny)[:, None, None] * np.eye(k)
    coefficients = np.linalg.solve(gram, ((part * log) @ design)[:, :, None])[:, :, 0]
    errors = (w * (log - coefficients @ design.T) ** 2).sum(axis=1)
    return Fits(np.where(usable, errors, np.inf), coefficients[:, 1:] / scale[1:], log, w)


def left_monomials(
    both: Sequence[tuple[Chain, Chain]],
    columns: Floats,
    trees: Sequence[Tree],
    costs: Floats,
    rows: Rows,
    weights: Floats,
    operations: Collection[str],
    floor: float,
    count: int,
) -> list[Tree]:
    """Formulas for y from the ``count`` targets of which a monomial seems to be left, in bits, and from a few of every kind.

    ``columns`` (n, rows), with their ``trees`` and ``costs`` in nodes, are what the targets meet.
    """
    found: list[tuple[float, bool, Callable[[], list[Tree]]]] = []
    for chain, op, after, values, moved in targets(both, columns, operations):
        fits = fit(values, moved, rows.y, weights, rows.logs)
        with np.errstate(all="ignore"):
            bits = 0.5 * rows.n * np.log2(np.maximum(fits.errors, floor)) + BITS_PER_NODE * (costs + len(after))
        for rank, v in enumerate(np.argsort(bits, kind="stable")[:count].tolist()):
            if np.isfinite(fits.errors[v]):
                met = chain.combined(op, columns[v], trees[v])
                fitted = fits.exponents[v], fits.logs[v], fits.weights[v]
                found.append((float(bits[v]), rank < _EACH, partial(_written, met, after, *fitted, rows)))
    found.sort(key=lambda one: one[0])
    return [tree for k, (_, kept, write) in enumerate(found) if kept or k < count for tree in write()]


def _written(met: Chain, after: Sequence[str], exponents: Floats, log: Floats, weights: Floats, rows: Rows) -> list[Tree]:
    for name in after:
        met = met.transformed(name)
    return [writing.tidied(met.undone(body)) for body in _bodies(exponents, log, weights, rows)]


def _bodies(exponents: Floats, log: Floats, weights: Floats, rows: Rows) -> list[Tree]:
    """Monomials with exponents that are multiples of a half, of both signs."""
    bodies = []
    for denominator in (1, 2):
        powers = [Fraction(round(float(e) * denominator), denominator) for e in exponents]
        if not any(powers):
            continue
        size = float(np.exp(np.average(log - rows.logs @ np.array([float(p) for p in powers]), weights=weights)))
        if not 1e-280 < size < 1e280:
            continue
        factors = [(column(j), p) for j, p in zip(rows.nonzero, powers, strict=True) if p]
        bodies += [writing.monomial(number(sign * size), factors) for sign in (1.0, -1.0)]
    return list(dict.fromkeys(bodies))
