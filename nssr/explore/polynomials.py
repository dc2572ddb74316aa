"""Polynomials, their quotients and roots of quadratics: closures that are one linear problem for all coefficients at once.

t = sum c_k m_k over all monomials up to a degree, if there are clearly fewer monomials than rows; t = P/Q from the null space
of (m_k, -t m_l); A t^2 + B t + C = 0 from that of (m_k, t m_k, t^2 m_k). Degrees grow from small ones, so the first that holds
has no factor in common above and below. What the monomials are made of may be any expressions, not columns alone.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nssr.explore import writing
from nssr.explore.chain import Chain
from nssr.explore.rows import Rows
from nssr.explore.tree import Tree, add, column, div, mul, number, sub

Floats = npt.NDArray[np.float64]
Exponents = tuple[int, ...]
Variable = tuple[Tree, Floats]

_SHARE = 0.6  # of the rows: as many monomials at most, so that the others prove the fit
_ROWS = 250  # more would only cost: the caller checks on all rows
_NULL = 1e-11
_MAY_VANISH = 1e-11  # of a squared length: rounding leaves 1e-16
_EQUAL = 1e-9  # relative: coefficients this close are one


def exponents(n_columns: int, degree: int) -> list[Exponents]:
    """Of all monomials up to a total degree, the constant first."""
    found = []
    for total in range(degree + 1):
        for chosen in itertools.combinations_with_replacement(range(n_columns), total):
            found.append(tuple(chosen.count(j) for j in range(n_columns)))
    return found


def count(n_columns: int, degree: int) -> int:
    result = 1
    for k in range(1, degree + 1):
        result = result * (n_columns + k) // k
    return result


def values(X: Floats, powers: Sequence[Exponents]) -> Floats:
    """(rows, monomials)."""
    return np.column_stack([np.prod(X ** np.array(p), axis=1) for p in powers])


class Basis(NamedTuple):
    """Of the monomials up to a degree: ``values`` (rows, monomials); ``directions``, orthonormal, that span the same; ``away``
    (rows, 2), at right angles to all of them."""

    powers: list[Exponents]
    values: Floats
    directions: Floats
    away: Floats


def inputs(rows: Rows) -> list[Variable]:
    """The columns as variables."""
    return [(column(j), rows.X[:, j]) for j in range(rows.X.shape[1])]


class Polynomials:
    """Of ``variables`` (each a tree with its values on all rows), which are the columns unless they are given."""

    def __init__(self, rows: Rows, variables: Sequence[Variable] | None = None) -> None:
        few = np.sort(np.random.default_rng(0).permutation(rows.n)[:_ROWS])
        if variables is None:
            variables = inputs(rows)
        self.places = few
        self.trees = [tree for tree, _ in variables]
        self.X = np.column_stack([v[few] for _, v in variables]) if variables else np.empty((len(few), 0))
        self.y = rows.y[few]
        self.d = len(variables)
        self.room = int(_SHARE * len(few))
        self.bases: dict[int, Basis] = {}

    def basis(self, degree: int) -> Basis:
        if degree not in self.bases:
            powers = exponents(self.d, degree)
            matrix = values(self.X, powers)
            size = np.abs(matrix).max(axis=0)
            q = np.linalg.qr(matrix / np.where(size > 0, size, 1.0))[0]
            away = np.random.default_rng(1).normal(size=(len(self.X), 2))
            for _ in range(2):  # the second time for what rounding left
                away -= q @ (q.T @ away)
            self.bases[degree] = Basis(powers, matrix, q, away / np.linalg.norm(away, axis=0))
        return self.bases[degree]

    def degrees(self, most: int) -> Iterator[int]:
        for degree in range(1, most + 1):
            if count(self.d, degree) > self.room:
                return
            yield degree

    def fits(self, targets: Floats, degree: int) -> npt.NDArray[np.bool_]:
        """Which of the targets (n, rows of `places`) are polynomials of at most this degree."""
        _, _, q, away = self.basis(degree)
        fits = np.zeros(len(targets), dtype=np.bool_)
        with np.errstate(all="ignore"):
            # A polynomial has nothing in these directions: two products tell most targets from one.
            size = np.sqrt(np.einsum("ij,ij->i", targets, targets))
            few = np.flatnonzero(np.abs(targets @ away).max(axis=1) < 1e-8 * size)
            targets = targets[few]
            centred = targets - targets.mean(axis=1, keepdims=True)
            rest = targets - (targets @ q) @ q.T
            size = np.sqrt((centred**2).mean(axis=1))
            fits[few] = np.abs(rest).max(axis=1) < 1e-9 * size
        return fits

    def polynomial(self, chain: Chain, target: Floats, most: int = 8) -> list[Tree]:
        """Formulas for y, if the target is a polynomial of few degrees; to be checked by the caller."""
        target = target[self.places]
        if not np.isfinite(target).all():
            return []
        for degree in self.degrees(most):
            if not self.fits(target[None], degree)[0]:
                continue
            coefficients = _sparse(self.basis(degree).values, target)
            if coefficients is None:
                return []
            return [writing.tidied(chain.undone(self._sum(coefficients, degree, t))) for t in (1e-6, 1e-8, 0.0)]
        return []

    def quotient(self, chain: Chain, most: int = 4) -> list[Tree]:
        """Formulas for y, if the target (on all rows) is P/Q, smallest degrees first."""
        target = chain.values[self.places]
        pairs = sorted(
            (
                (above, below)
                for above, below in itertools.product(range(most + 1), range(1, most + 1))
                if count(self.d, above) + count(self.d, below) <= self.room
            ),
            key=lambda p: (count(self.d, p[0]) + count(self.d, p[1]), p),
        )
        largest = [p for p in pairs if not any(p != q and p[0] <= q[0] and p[1] <= q[1] for q in pairs)]
        if not any(self._may_vanish(target, p) for p in largest):
            return []
        for pair in pairs:
            found = _null_vector(self._design(target, pair))
            if found is None:
                continue
            n_above = count(self.d, pair[0])
            top, bottom = found[:n_above], found[n_above:]
            if bottom.any() and top.any():
                return [
                    writing.tidied(chain.undone(div(self._sum(top, pair[0], t), self._sum(bottom, pair[1], t))))
                    for t in (1e-5, 1e-7, 0.0)
                ]
        return []

    def root(self, chain: Chain, most: int = 4) -> list[Tree]:
        """Formulas for y, if A t^2 + B t + C = 0 of the target (on all rows) for polynomials of one degree."""
        target = chain.values[self.places]
        degrees = [k for k in range(1, most + 1) if 3 * count(self.d, k) <= self.room]
        if not degrees or not self._may_vanish(target, (degrees[-1],) * 3):
            return []
        for degree in degrees:
            found = _null_vector(self._design(target, (degree,) * 3))
            if found is None:
                continue
            parts = found.reshape(3, -1) * np.array([[1.0], [-1.0], [1.0]])
            if not parts[2].any():
                return []  # a quotient
            trees = []
            for t in (1e-5, 1e-7, 0.0):
                trees += [writing.tidied(chain.undone(tree)) for tree in self._roots(parts, degree, t)]
            return trees
        return []

    def _roots(self, parts: Floats, degree: int, tolerance: float) -> tuple[Tree, Tree]:
        """Both roots of A t^2 + B t + C, whose coefficients are in ``parts``: of C, B and A."""
        numbers = np.array([not any(p) for p in self.basis(degree).powers])
        leading = parts[2][np.flatnonzero(parts[2])[0]]
        c, b, a = parts / leading
        if not a[~numbers].any() and not b[~numbers].any():  # a number, and a root on its own
            middle = -float(b[numbers].sum()) / 2
            inside = middle**2 * numbers - c
            inside[np.abs(inside) <= _EQUAL * np.maximum(middle**2 * numbers, np.abs(c))] = 0.0
            size = float(np.abs(inside).max())
            alike = size > 0 and bool((np.abs(np.abs(inside[inside != 0]) - size) <= _EQUAL * size).all())
            scale = size if alike else 1.0
            root = Tree("SQRT", (self._sum(inside / scale, degree, tolerance),))
            root = mul(number(writing.snapped(math.sqrt(scale), tolerance)), root)
            shift = number(writing.snapped(middle, tolerance))
            return add(shift, root), sub(shift, root)
        if not b.any():
            root = Tree("SQRT", (div(self._sum(-c, degree, tolerance), self._sum(a, degree, tolerance)),))
            return root, Tree("NEG", (root,))
        C, B, A = (self._sum(part, degree, tolerance) for part in parts)
        root = Tree("SQRT", (sub(Tree("SQUARE", (B,)), mul(number(4.0), mul(A, C))),))
        twice = mul(number(2.0), A)
        return div(sub(root, B), twice), div(sub(Tree("NEG", (B,)), root), twice)

    def _design(self, target: Floats, degrees: Sequence[int]) -> Floats:
        """(rows, coefficients): monomials up to the first degree, -t times those up to the second, t^2 times the third's."""
        with np.errstate(all="ignore"):
            return np.column_stack([(-target[:, None]) ** k * self.basis(degree).values for k, degree in enumerate(degrees)])

    def _may_vanish(self, target: Floats, degrees: Sequence[int]) -> bool:
        """Whether some combination of the design's columns may be zero; far cheaper than `_null_vector`, and sure of a no."""
        with np.errstate(all="ignore"):
            design = np.column_stack([target[:, None] ** k * self.basis(degree).directions for k, degree in enumerate(degrees)])
            size = np.sqrt(np.einsum("ij,ij->j", design, design))
        if not np.isfinite(size).all() or (size == 0).any():
            return False
        scaled = design / size
        return bool(np.linalg.eigvalsh(scaled.T @ scaled)[0] < _MAY_VANISH)

    def _sum(self, coefficients: Floats, degree: int, tolerance: float) -> Tree:
        powers = self.basis(degree).powers
        of = {p: writing.snapped(c, tolerance) for c, p in zip(coefficients.tolist(), powers, strict=True) if c}
        terms = self._squares(of) + [(c, self._monomial(p)) for p, c in of.items()]
        return writing.linear(terms) if terms else number(0.0)

    def _monomial(self, powers: Exponents) -> Tree | None:
        return writing.product(writing.power(self.trees[j], e) for j, e in enumerate(powers) if e)

    def _squares(self, of: dict[Exponents, float]) -> list[tuple[float, Tree | None]]:
        """Takes a (x - y)^2 or a (x + y)^2 out of the coefficients for every a x^2 -+ 2 a x y + a y^2 among them."""
        found: list[tuple[float, Tree | None]] = []
        for p in [p for p in of if sum(p) == 2 and max(p) == 1]:
            i, j = (k for k, e in enumerate(p) if e)
            x, y = (tuple(2 * (k == place) for k in range(len(p))) for place in (i, j))
            a, c = of.get(x, 0.0), of[p]
            if abs(a - of.get(y, 0.0)) <= _EQUAL * abs(c) and abs(2 * abs(a) - abs(c)) <= _EQUAL * abs(c):
                both = (add if a * c > 0 else sub)(self.trees[i], self.trees[j])
                found.append((a, writing.power(both, 2)))
                for square in (p, x, y):
                    del of[square]
        return found


def _sparse(matrix: Floats, target: Floats) -> Floats | None:
    """Coefficients with those gone that no row needs."""
    size = np.abs(matrix).max(axis=0)
    kept = np.ones(matrix.shape[1], dtype=bool)
    coefficients = np.zeros(matrix.shape[1])
    scale = np.abs(target).max()
    for _ in range(4):
        part = matrix[:, kept] / size[kept]
        solution = np.linalg.lstsq(part, target, rcond=1e-14)[0]
        coefficients[:] = 0.0
        coefficients[kept] = solution
        smaller = np.abs(coefficients) > 1e-8 * scale
        if smaller.sum() == kept.sum():
            break
        kept = smaller
        if not kept.any():
            return None
    result: Floats = coefficients / size
    return result


def _null_vector(design: Floats) -> Floats | None:
    """The vector that the design maps to zero, if there is exactly one direction of them; its largest entry of Q made 1."""
    size = np.abs(design).max(axis=0)
    if not np.isfinite(size).all() or (size == 0).any():
        return None
    scaled = design / size
    _, singular, right = np.linalg.svd(scaled, full_matrices=False)
    null = singular < _NULL * singular[0]
    if null.sum() != 1 or singular[-2] < 1e3 * singular[-1]:
        return None
    vector = right[-1]
    vector = np.where(np.abs(vector) < 1e-7 * np.abs(vector).max(), 0.0, vector) / size
    simplest = np.abs(vector[vector != 0])
    result: Floats = vector / simplest.min() * np.sign(vector[np.flatnonzero(vector)[0]])
    return result
