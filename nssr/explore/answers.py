"""From a hit, which names columns, to formulas: coefficients, exponents, signs, and the chain undone.

Coefficients come from least squares over all rows. Where the data are exact they are snapped to simple numbers that lie within
rounding; where they are noisy to exponents that are multiples of a half, and the fit of the constants is left to `refining`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from nssr.explore import writing
from nssr.explore.chain import Chain, nudge
from nssr.explore.closures import AFFINE, EXPONENTIAL, MONOMIAL, Hit
from nssr.explore.regression import LARGEST_LOG, least_squares, log_linear
from nssr.explore.rows import Rows
from nssr.explore.tree import Tree, column, number

Floats = npt.NDArray[np.float64]

Factors = list[tuple[Tree, Fraction | float]]


class Writer:
    """Writes hits out over the rows of ``rows``."""

    def __init__(self, rows: Rows, weights: Floats | None = None) -> None:
        self.rows, self.weights = rows, weights

    def exact(self, hits: Sequence[Hit]) -> list[Tree]:
        """Formulas that hold on every row."""
        return self.rows.holding([tree for hit in hits for tree in self.written(hit, noisy=False)])

    def target(self, chain: Chain, y: Floats | None = None) -> Floats:
        """The chain's target on all rows (of another y, where one is given)."""
        values = iter(self.rows.values([v for _, v in chain.steps if v is not None]))
        whole = Chain(self.rows.y if y is None else y)
        for name, v in chain.steps:
            whole = whole.transformed(name) if v is None else whole.combined(name, next(values), v)
        return whole.values

    def written(self, hit: Hit, *, noisy: bool) -> list[Tree]:
        t = self.target(hit.chain)
        w = self.rows.values(hit.terms)
        if not (np.isfinite(t).all() and np.isfinite(w).all()):
            return []
        with np.errstate(all="ignore"):
            root = np.ones(len(t))
            if noisy:
                step = nudge(self.rows.y)
                moved = self.target(hit.chain, self.rows.y + step)
                a, b = (t, moved) if hit.family == AFFINE else (np.log(np.abs(t)), np.log(np.abs(moved)))
                root = step / np.abs(b - a)
                if self.weights is not None:
                    root = root * np.sqrt(self.weights)
                if not np.isfinite(root).all():
                    return []
            if hit.family == AFFINE:
                body = self._affine(t, w, hit.terms, root, noisy)
            else:
                body = self._monomial(t, w, hit.terms, hit.family, root, noisy, plain=not hit.chain.steps)
        return [writing.tidied(hit.chain.undone(tree)) for tree in body]

    def _affine(self, t: Floats, w: Floats, terms: Sequence[Tree], root: Floats, noisy: bool) -> list[Tree]:
        design = np.column_stack([*w, np.ones(len(t))])
        c = least_squares(design * root[:, None], t * root)
        if c is None:
            return []
        if noisy:
            through_origin = least_squares(design[:, :-1] * root[:, None], t * root) if len(terms) else None
            trees = [writing.linear([(float(k), tree) for k, tree in zip(c, (*terms, None), strict=True)])]
            if through_origin is not None:
                trees.append(writing.linear([(float(k), tree) for k, tree in zip(through_origin, terms, strict=True)]))
            return trees
        size = np.abs(t).max()
        c = np.where(np.abs(c) * np.abs(design).max(axis=0) < 1e-9 * size, 0.0, c)
        trees = []
        for tolerance in (1e-7, 0.0):
            parts = [(writing.snapped(float(k), tolerance), tree) for k, tree in zip(c, (*terms, None), strict=True)]
            trees.append(writing.linear(parts))
        return trees

    def _monomial(
        self, t: Floats, w: Floats, terms: Sequence[Tree], family: str, root: Floats, noisy: bool, *, plain: bool
    ) -> list[Tree]:
        """``plain``: t is y itself, so its errors are as large on every row."""
        log = np.log(np.abs(t))
        if family == MONOMIAL:  # a root of what is negative on every row is one of its opposite
            terms = [_flipped(tree) if (values < 0).all() else tree for tree, values in zip(terms, w, strict=True)]
        inside = w if family == EXPONENTIAL else np.log(np.abs(w))
        design = np.column_stack([*inside, self.rows.logs, np.ones(len(t))])
        c = least_squares(design * root[:, None], log * root)
        if c is None:
            return []
        if not noisy:
            return self._powers(log, inside, terms, family, [writing.snapped_exponent(float(k)) for k in c[:-1]], 1e-8)
        trees = []
        to_y = plain and family == MONOMIAL
        fits = [c, log_linear(c, t, design, self.weights)[0]] if to_y else [c]
        for c, denominator in itertools.product(fits, (1, 2)):
            powers: list[Fraction | float] = [*rounded(c[:-1], denominator)]
            if family == EXPONENTIAL:  # what multiplies w is no exponent: fitted again with the powers held
                fixed = log - self.rows.logs @ np.array([float(p) for p in powers[len(terms) :]])
                again = least_squares(np.column_stack([*inside, np.ones(len(t))]) * root[:, None], fixed * root)
                if again is None:
                    continue
                powers[: len(terms)] = [float(k) for k in again[:-1]]
            elif any(p == 0 for p in powers[: len(terms)]):
                continue
            trees += self._powers(log, inside, terms, family, powers, 0.0)
            if to_y:
                model = np.exp(np.minimum(design[:, :-1] @ np.array([float(p) for p in powers]), LARGEST_LOG))
                w = np.ones(len(t)) if self.weights is None else self.weights
                size = float((w * t) @ model / ((w * model) @ model))  # of the errors of y, not of its logarithm
                if np.isfinite(size) and size:
                    factors = [*zip(terms, powers, strict=False), *inputs_to(powers[len(terms) :], self.rows)]
                    trees.append(writing.monomial(number(size), factors))
        return list(dict.fromkeys(trees))

    def _powers(
        self, log: Floats, inside: Floats, terms: Sequence[Tree], family: str, powers: list[Fraction | float], tolerance: float
    ) -> list[Tree]:
        n = len(terms)
        factors = inputs_to(powers[n:], self.rows)
        rest = log - self.rows.logs @ np.array([float(e) for e in powers[n:]])
        if family == MONOMIAL:
            factors = [*zip(terms, powers[:n], strict=True), *factors]
            for k, e in enumerate(powers[:n]):
                rest = rest - float(e) * inside[k]
            return of_both_signs(float(np.exp(np.median(rest))), factors, tolerance)
        trees = []
        for snapping in (1e-7, 0.0) if tolerance else (0.0,):
            exponent: list[tuple[float, Tree | None]] = []
            moved, left = list(factors), rest
            for k, (value, tree) in enumerate(zip(powers[:n], terms, strict=True)):
                if tree.op == "LOG" and tree.args[0].op == "ABS":
                    e = writing.snapped_exponent(float(value))
                    moved.append((tree.args[0].args[0], e))
                    left = left - float(e) * inside[k]
                else:
                    a = writing.snapped(float(value), snapping)
                    exponent.append((a, tree))
                    left = left - a * inside[k]
            moved.insert(0, (Tree("EXP", (writing.linear(exponent),)), Fraction(1)))
            trees += of_both_signs(float(np.exp(np.median(left))), moved, tolerance)
        return trees


def rounded(exponents: Iterable[float], denominator: int) -> list[Fraction]:
    """To multiples of one over ``denominator``."""
    return [Fraction(round(float(k) * denominator), denominator) for k in exponents]


def inputs_to(powers: Sequence[Fraction | float], rows: Rows) -> Factors:
    """The inputs that have logarithms, each with its power; without those to the power of 0."""
    return [(column(j), e) for j, e in zip(rows.nonzero, powers, strict=True) if e != 0]


def of_both_signs(size: float, factors: Factors, tolerance: float = 0.0) -> list[Tree]:
    """``size`` and its opposite times the factors, where squares of it are numbers still."""
    if not 1e-280 < size < 1e280:
        return []
    return [writing.monomial(writing.named_number(sign * size, tolerance), factors) for sign in (1.0, -1.0)]


def _flipped(tree: Tree) -> Tree:
    return Tree("SUB", tree.args[::-1]) if tree.op == "SUB" else Tree("NEG", (tree,))
