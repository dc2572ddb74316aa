"""Curves with constants inside that no grid of one constant comes near: peaks, steps, powers, stretched and double exponentials.

Each shape has a valley in its constants that a coarse grid falls into; amplitude and offset are a regression on the shape, and
Levenberg-Marquardt does the rest. Scales are told from the argument's own range.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nssr.explore.bank import LARGEST, SMALLEST
from nssr.explore.polynomials import Variable
from nssr.explore.regression import least_squares
from nssr.explore.tree import Tree, add, div, mul, not_whole, number

Floats = npt.NDArray[np.float64]

_POWERS = tuple(b for k in (0.15, 0.3, 0.45, 0.6, 0.8, 1.25, 1.6, 2.3, 3.2) for b in (k, -k))
_RATES = (0.4, 0.8, 1.5, 2.7, 4.5, 8.0, 14.0, 25.0)
"""Powers of e over the whole range."""
_STRETCHED = (0.4, 0.7, 1.4, 1.9, 2.8, 4.2)
_CENTRES = np.linspace(-0.05, 1.05, 15)
_WIDTHS = (0.03, 0.07, 0.14, 0.28, 0.55)
"""Of peaks and steps, as parts of the range."""
_DELAYS = (0.15, 0.6, 2.2, 8.0, 30.0)
_OF_FAMILY = 5
"""Curves of one family that are fitted."""


class Shape(NamedTuple):
    """A curve: its family, values (rows,), and how it is written."""

    family: str
    values: Floats
    tree: Tree


class Curve(NamedTuple):
    """``left``: the share of the target's variance that amplitudes, one for each shape, and an offset leave."""

    left: float
    shapes: tuple[Shape, ...]
    amplitudes: tuple[float, ...]
    offset: float

    def trees(self) -> list[Tree]:
        """Without and with the offset."""
        parts = [mul(_free(a), s.tree) for a, s in zip(self.amplitudes, self.shapes, strict=True)]
        whole = parts[0] if len(parts) == 1 else add(*parts)
        return [whole, add(whole, _free(self.offset))]


def _free(value: float) -> Tree:
    return number(not_whole(value))


def factors_beside(columns: Sequence[Variable], operations: frozenset[str]) -> list[Variable]:
    """What may stand as a factor beside a curve: columns that vary, and their inverses."""
    found = []
    for tree, x in columns:
        if float(np.ptp(x)) == 0:
            continue
        found.append((tree, x))
        if (x != 0).all() and "DIV" in operations:
            with np.errstate(over="ignore"):
                found.append((div(number(1.0), tree), 1.0 / x))
    return found


def _shapes(m: Floats, tree: Tree, operations: frozenset[str]) -> Iterator[Shape]:
    low, span = float(m.min()), float(np.ptp(m))

    def exp(argument: Tree) -> Tree:
        return Tree("EXP", (argument,))

    if low > 0 and "POW" in operations:
        for b in _POWERS:
            yield Shape("power", m**b, Tree("POW", (tree, _free(b))))
        for k, rate in itertools.product(_STRETCHED, _RATES if "EXP" in operations else ()):
            c = rate / float(m.max()) ** k
            yield Shape("stretched", np.exp(-c * m**k), exp(mul(_free(-c), Tree("POW", (tree, _free(k))))))
    for part, width in itertools.product(_CENTRES, _WIDTHS) if operations.issuperset(("SUB", "SQUARE")) else ():
        centre, s = low + float(part) * span, width * span
        away = Tree("SQUARE", (Tree("SUB", (tree, _free(centre))),))
        z = (m - centre) / s
        if "EXP" in operations:
            yield Shape("bell", np.exp(-0.5 * z * z), exp(mul(_free(-0.5 / s**2), away)))
        if "DIV" in operations:
            yield Shape("resonance", 1.0 / (1.0 + z * z), div(number(1.0), add(mul(_free(1.0 / s**2), away), number(1.0))))
        if "TANH" in operations:
            yield Shape("step", np.tanh(z), Tree("TANH", (add(mul(_free(1.0 / s), tree), _free(-centre / s)),)))
    if "EXP" in operations:
        for rate, sign in itertools.product(_RATES, (-1.0, 1.0)):
            c = sign * rate / span
            for delay in _DELAYS:
                b = delay * float(np.exp(-c * (low if sign < 0 else low + span)))
                yield Shape("delayed", np.exp(-b * np.exp(c * m)), exp(mul(_free(-b), exp(mul(_free(c), tree)))))


def curves(
    y: Floats, weights: Floats, arguments: Sequence[Variable], factors: Sequence[Variable], operations: frozenset[str],
    tick: Callable[[], None],
) -> list[Curve]:  # fmt: skip
    """The curves to begin fits with: of each family, of one shape or two exponentials, those that leave least of ``y`` (rows,).

    ``factors``: what may stand beside a shape.
    """
    w = weights / weights.sum()
    centred = y - y @ w
    variance = float(centred**2 @ w)
    found: list[Curve] = []
    for tree, values in arguments:
        tick()
        with np.errstate(all="ignore"):
            shapes = list(_shapes(values, tree, operations))
            shapes += [Shape(s.family, v * s.values, mul(t, s.tree)) for t, v in factors if t != tree for s in shapes]
        usable = [s for s in shapes if np.isfinite(s.values).all() and SMALLEST < float(np.abs(s.values).max()) < LARGEST]
        if not usable:
            continue
        g = np.stack([s.values for s in usable])
        mean = g @ w
        g = g - mean[:, None]
        inside, with_y = (g * g) @ w, g @ (w * centred)
        with np.errstate(all="ignore"):
            amplitude = with_y / inside
            left = 1.0 - amplitude * with_y / variance
        left[~np.isfinite(left) | (inside <= 1e-20 * mean**2)] = np.inf
        for k in np.argsort(left, kind="stable")[: 20 * _OF_FAMILY].tolist():
            if np.isfinite(left[k]):
                a = float(amplitude[k])
                found.append(Curve(float(left[k]), (usable[k],), (a,), float(y @ w - a * mean[k])))
        if "EXP" in operations:
            found += _double(y, w, variance, values, tree)
    found.sort(key=lambda curve: curve.left)
    kept: list[Curve] = []
    for curve in found:
        family = [s.family for s in curve.shapes]
        if sum([s.family for s in k.shapes] == family for k in kept) < _OF_FAMILY:
            kept.append(curve)
    return kept


def _double(y: Floats, w: Floats, variance: float, m: Floats, tree: Tree) -> list[Curve]:
    """Sums of two exponentials and a constant."""
    span = float(np.ptp(m))
    rates = [sign * rate / span for rate in _RATES for sign in (-1.0, 1.0)]
    root = np.sqrt(w)
    found = []
    for c, d in itertools.combinations(rates, 2):
        with np.errstate(all="ignore"):
            both = [np.exp(c * m), np.exp(d * m)]
        matrix = np.stack([np.ones_like(m), *both], axis=1)
        if not np.abs(matrix).max() < LARGEST:
            continue
        solution = least_squares(matrix * root[:, None], y * root)
        if solution is None:
            continue
        left = float((y - matrix @ solution) ** 2 @ w) / variance
        shapes = [Shape("double", v, Tree("EXP", (mul(_free(k), tree),))) for v, k in zip(both, (c, d), strict=True)]
        found.append(Curve(left, tuple(shapes), (float(solution[1]), float(solution[2])), float(solution[0])))
    return sorted(found, key=lambda curve: curve.left)[:_OF_FAMILY]
