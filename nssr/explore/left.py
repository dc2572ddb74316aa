"""Targets of which a monomial is left: x exp(-a b / c), x / sqrt(1 - a^2 / b^2), a + b / c, by least squares.

The target meets a simple column, goes through functions that are undone later, and what is left is a number times powers of the
inputs. No bank holds such a formula while it is small; and no column has to be looked for, so thousands of such targets are
fitted at once: weighted normal equations of logarithms, with weights that make errors those of y (the delta method).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nssr.explore import writing
from nssr.explore.answers import inputs_to, of_both_signs, rounded
from nssr.explore.chain import BINARY, OFFSETS, TRANSFORMS, Chain, possible
from nssr.explore.regression import BITS_PER_NODE, delta_weights
from nssr.explore.rows import Rows
from nssr.explore.tree import Tree

Floats = npt.NDArray[np.float64]

BASES = ("identity", "inverse", "square")
_FACTOR = (*OFFSETS, ("square", "minus one"), ("asin",), ("acos",), ("atan",), ("atanh",))
"""After the target met a factor: besides `OFFSETS` of a monomial m a root of 1 + m, an angle, tanh(m)."""
_TERM: tuple[tuple[str, ...], ...] = ((), ("log",))
"""After it met a term."""
AFTERS = {"t*v": _FACTOR, "t/v": _FACTOR, "t-v": _TERM, "v-t": _TERM}
_EACH = 3  # of each kind of target, at least
_RIDGE = 1e-10  # of normal equations whose columns are of size one
_KNOWN = 0.8  # of the rows: that share at least must have a value


class Targets(NamedTuple):
    """Of one kind, one for each column met. ``values`` (columns, rows), and the same for y ``moved`` by `chain.nudge`."""

    before: Chain
    op: str
    after: tuple[str, ...]
    values: Floats
    moved: Floats

    def chain(self, v: int, tree: Tree) -> Chain:
        """The one that met column ``v``, which is ``tree``."""
        return Chain(self.values[v], (*self.before.steps, (self.op, tree), *((name, None) for name in self.after)))


def targets(both: Sequence[tuple[Chain, Chain]], columns: Floats, operations: Collection[str]) -> Iterator[Targets]:
    """``both``: chains of y and of y moved; ``columns`` (n, rows) are what they meet."""
    for chains in both:
        steps = chains[0].steps
        if len(steps) > 1 or (steps and steps[0][0] not in BASES):
            continue
        for op, afters in AFTERS.items():
            meet, _, needs = BINARY[op]
            if not all(need in operations for need in needs):
                continue
            with np.errstate(all="ignore"):
                met = [meet(c.values, columns) for c in chains]
            for after in afters:
                if not possible(after, operations):
                    continue
                values, moved = met
                with np.errstate(all="ignore"):
                    for name in after:
                        values, moved = TRANSFORMS[name].forward(values), TRANSFORMS[name].forward(moved)
                yield Targets(chains[0], op, after, values, moved)


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
    found: list[tuple[float, bool, Chain, Fits, int]] = []
    for kind in targets(both, columns, operations):
        fits = fit(kind.values, kind.moved, rows.y, weights, rows.logs)
        with np.errstate(all="ignore"):
            bits = 0.5 * rows.n * np.log2(np.maximum(fits.errors, floor)) + BITS_PER_NODE * (costs + len(kind.after))
        for rank, v in enumerate(np.argsort(bits, kind="stable")[:count].tolist()):
            if np.isfinite(fits.errors[v]):
                found.append((float(bits[v]), rank < _EACH, kind.chain(v, trees[v]), fits, v))
    found.sort(key=lambda one: one[0])
    chosen = [one for k, one in enumerate(found) if k < count or one[1]]
    return [writing.tidied(chain.undone(body)) for _, _, chain, fits, v in chosen for body in _bodies(fits, v, rows)]


def _bodies(fits: Fits, v: int, rows: Rows) -> list[Tree]:
    """Monomials for target ``v`` with exponents that are multiples of a half, of both signs."""
    bodies = []
    for denominator in (1, 2):
        powers = rounded(fits.exponents[v], denominator)
        if any(powers):
            rest = fits.logs[v] - rows.logs @ np.array([float(p) for p in powers])
            bodies += of_both_signs(float(np.exp(np.average(rest, weights=fits.weights[v]))), inputs_to(powers, rows))
    return list(dict.fromkeys(bodies))
