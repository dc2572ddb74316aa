"""Oscillations: a e sin(w m + p) + d for envelopes e, arguments m, and any frequency, phase and offset.

The loss has a valley in w for every wave that fits between the rows, so Levenberg-Marquardt needs a start inside one. Hence a
grid of frequencies, a sixth of a wave over the whole range apart, up to one wave for two rows; amplitude, phase and offset by
least squares for each, which is the generalised Lomb-Scargle periodogram (M. Zechmeister and M. Kuerster, Astronomy and
Astrophysics 496, 2009), here for many envelopes and targets in a few matrix products.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nssr.explore.bank import LARGEST, SMALLEST
from nssr.explore.curves import factors_beside
from nssr.explore.tree import NUMBER, Tree, add, column, mul, number

Floats = npt.NDArray[np.float64]

MOST_ROWS = 200
"""More rows would only make the grid finer."""
_STEPS = 6.0  # of the frequency, for one more wave over the whole range
_FEWEST = 8  # different values of an argument
_DECAYS = (0.5, 1.0, 1.7, 2.6, 4.0, 6.0, 9.0, 13.0)
"""Powers of e over the whole range: an envelope that is half or twice as steep is still in the valley."""
_TOGETHER = 2  # columns of which envelopes are also products
_RIGHT = 0.1  # radians from a multiple of a right angle
_DEPENDENT = 1e-6  # of the product of two variances: less is left of their determinant where the columns follow each other


class Wave(NamedTuple):
    """``left``: the share of the target's variance that it leaves; places of target, argument and envelope; the parameters."""

    left: float
    target: int
    argument: int
    envelope: int
    amplitude: float
    frequency: float
    phase: float
    offset: float

    def trees(self, argument: Tree, envelope: Tree | None, base: Tree | None, operations: frozenset[str]) -> list[Tree]:
        """The wave with a phase, and as a mere sine and cosine, which least squares may turn into it; on top of ``base``, or
        with and without the offset."""
        turned = mul(number(self.frequency), argument)
        shapes = [
            Tree(name, (angle,))
            for name, by in (("SIN", 0.0), ("COS", np.pi / 2))
            for angle in (add(turned, number(self.phase - by)), turned)
            if name in operations
        ]
        waves = [mul(number(self.amplitude), s if envelope is None else mul(envelope, s)) for s in shapes]
        if base is not None:
            return [add(base, wave) for wave in waves]
        return waves + [add(wave, number(self.offset)) for wave in waves]


def envelopes(X: Floats, operations: frozenset[str]) -> tuple[Floats, list[Tree | None]]:
    """Envelopes (n, rows) and how they are written, the constant one (None) first: columns, their inverses, powers of e, and of
    few columns products of these."""
    plain: list[tuple[Tree | None, Floats]] = [(None, np.ones(len(X)))]
    plain += factors_beside([(column(j), x) for j, x in enumerate(X.T)], operations)
    values, trees = [x for _, x in plain], [tree for tree, _ in plain]
    for j, x in enumerate(X.T):
        span = float(np.ptp(x))
        if span > 0 and "EXP" in operations:
            for rate in [sign * k / span for k in _DECAYS for sign in (-1.0, 1.0)]:
                power = Tree("EXP", (mul(number(rate), column(j)),))
                for tree, beside in plain if X.shape[1] <= _TOGETHER else plain[:1]:
                    with np.errstate(all="ignore"):
                        values.append(beside * np.exp(rate * x))
                    trees.append(power if tree is None else mul(tree, power))
    grown = np.stack(values)
    size = np.abs(grown).max(axis=1)
    usable = np.flatnonzero((size < LARGEST) & (size > SMALLEST))
    return grown[usable], [trees[k] for k in usable]


def waves(
    targets: Floats, weights: Floats, arguments: Floats, shapes: Floats, tick: Callable[[], None]
) -> list[Wave]:
    """The best frequency for each target, argument and envelope, best first.

    ``targets`` (t, rows), ``weights`` (rows,), ``arguments`` (m, rows), ``shapes`` (e, rows): the envelopes' values.
    """
    rows = np.linspace(0, targets.shape[1] - 1, min(MOST_ROWS, targets.shape[1])).astype(int)
    targets, arguments, shapes = (np.ascontiguousarray(part[:, rows]) for part in (targets, arguments, shapes))
    w = weights[rows] / weights[rows].sum()
    mean = targets @ w
    centred = targets - mean[:, None]
    variance = (centred**2) @ w
    size = np.abs(shapes).max(axis=1)
    e = shapes / size[:, None]
    of_e, of_ee = (e * w).T, (e * e * w).T  # (rows, e)
    of_te = (centred[:, None] * (e * w)[None]).reshape(-1, len(w)).T  # (rows, t e)
    total = of_ee.sum(axis=0)
    found = []
    for place, m in enumerate(arguments):
        tick()
        span = float(np.ptp(m))
        if span == 0 or len(np.unique(m)) < _FEWEST:
            continue
        middle = float(m.min()) + span / 2
        frequency = 2 * np.pi / (_STEPS * span) * np.arange(1, int(_STEPS * len(w) / 2) + 1)
        theta = frequency[:, None] * (m - middle)
        s, c = np.sin(theta), np.cos(theta)
        mean_s, mean_c = s @ of_e, c @ of_e  # (f, e)
        ss, sc = (s * s) @ of_ee, (s * c) @ of_ee
        ss, sc, cc = ss - mean_s**2, sc - mean_s * mean_c, total - ss - mean_c**2
        shape = len(frequency), len(targets), len(e)
        ts, tc = (s @ of_te).reshape(shape), (c @ of_te).reshape(shape)
        determinant = ss * cc - sc**2
        with np.errstate(all="ignore"):
            left = ts**2 * cc[:, None] - 2 * ts * tc * sc[:, None] + tc**2 * ss[:, None]
            left = 1.0 - left / determinant[:, None] / variance[None, :, None]
        left[np.broadcast_to((determinant <= _DEPENDENT * ss * cc)[:, None], shape) | ~np.isfinite(left)] = np.inf
        best = left.argmin(axis=0)  # (t, e)
        for t, k in np.ndindex(*best.shape):
            f = best[t, k]
            if not np.isfinite(left[f, t, k]):
                continue
            of_s = (ts[f, t, k] * cc[f, k] - tc[f, t, k] * sc[f, k]) / determinant[f, k]
            of_c = (tc[f, t, k] * ss[f, k] - ts[f, t, k] * sc[f, k]) / determinant[f, k]
            turn = float(np.arctan2(of_c, of_s)) - float(frequency[f]) * middle
            offset = mean[t] - of_s * mean_s[f, k] - of_c * mean_c[f, k]
            phase = (turn + np.pi) % (2 * np.pi) - np.pi
            amplitude = float(np.hypot(of_s, of_c) / size[k])
            found.append(Wave(float(left[f, t, k]), t, place, k, amplitude, float(frequency[f]), phase, float(offset)))
    return sorted(found)


def without_phases(tree: Tree) -> Tree:
    """The tree with phases near a multiple of a right angle gone: sin(u + 1.57) is cos(u)."""
    args = tuple(without_phases(arg) for arg in tree.args)
    if tree.op in ("SIN", "COS") and args[0].op == "ADD" and args[0].args[1].op == NUMBER:
        angle, phase = args[0].args
        quarters = round(phase.value / (np.pi / 2))
        if abs(phase.value - quarters * np.pi / 2) < _RIGHT:
            turn = (quarters + (tree.op == "COS")) % 4  # quarters of a turn from a sine
            plain = Tree("COS" if turn % 2 else "SIN", (angle,))
            return plain if turn < 2 else mul(number(-1.0), plain)
    return Tree(tree.op, args, tree.value)


def distinct(found: Sequence[Wave], count: int) -> list[Wave]:
    """The best ``count`` waves, at most three of each envelope of a target and at most four of each argument."""
    kept: list[Wave] = []
    for wave in found:
        of_envelope = sum(k.target == wave.target and k.envelope == wave.envelope for k in kept)
        of_argument = sum(k.target == wave.target and k.argument == wave.argument for k in kept)
        if of_envelope < 3 and of_argument < 4:
            kept.append(wave)
        if len(kept) == count:
            break
    return kept
