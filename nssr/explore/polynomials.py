"""Polynomials and quotients of polynomials: closures that are one linear problem for all coefficients at once.

t = sum c_k m_k over all monomials up to a degree, if there are clearly fewer monomials than rows; y = P/Q from the null space
of (m_k, -y m_l). Degrees grow from small ones, so the first that holds has no factor in common above and below.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from nssr.explore import writing
from nssr.explore.chain import Chain
from nssr.explore.rows import Rows
from nssr.explore.tree import Tree, column, div, number

Floats = npt.NDArray[np.float64]
Exponents = tuple[int, ...]

_SHARE = 0.6  # of the rows: as many monomials at most, so that the others prove the fit
_ROWS = 250  # more would only cost: the caller checks on all rows
_NULL = 1e-11


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


def monomial_tree(powers: Exponents) -> Tree | None:
    return writing.product(writing.power(column(j), e) for j, e in enumerate(powers) if e)


class Polynomials:
    def __init__(self, rows: Rows) -> None:
        few = np.sort(np.random.default_rng(0).permutation(rows.n)[:_ROWS])
        self.places = few
        self.X, self.y = rows.X[few], rows.y[few]
        self.d = rows.X.shape[1]
        self.room = int(_SHARE * len(few))
        self.bases: dict[int, tuple[list[Exponents], Floats, Floats]] = {}

    def basis(self, degree: int) -> tuple[list[Exponents], Floats, Floats]:
        """Exponents, values and an orthonormal basis of the values."""
        if degree not in self.bases:
            powers = exponents(self.d, degree)
            matrix = values(self.X, powers)
            self.bases[degree] = powers, matrix, np.linalg.qr(matrix / np.abs(matrix).max(axis=0))[0]
        return self.bases[degree]

    def degrees(self, most: int) -> Iterator[int]:
        for degree in range(1, most + 1):
            if count(self.d, degree) > self.room:
                return
            yield degree

    def fits(self, targets: Floats, degree: int) -> npt.NDArray[np.bool_]:
        """Which of the targets (n, rows of `places`) are polynomials of at most this degree."""
        _, _, q = self.basis(degree)
        with np.errstate(all="ignore"):
            centred = targets - targets.mean(axis=1, keepdims=True)
            rest = targets - (targets @ q) @ q.T
            size = np.sqrt((centred**2).mean(axis=1))
            return np.asarray(np.abs(rest).max(axis=1) < 1e-9 * size)

    def polynomial(self, chain: Chain, target: Floats, most: int = 8) -> list[Tree]:
        """Formulas for y, if the target is a polynomial of few degrees; to be checked by the caller."""
        target = target[self.places]
        if not np.isfinite(target).all():
            return []
        for degree in self.degrees(most):
            if not self.fits(target[None], degree)[0]:
                continue
            powers, matrix, _ = self.basis(degree)
            coefficients = _sparse(matrix, target)
            if coefficients is None:
                return []
            return [writing.tidied(chain.undone(_sum(coefficients, powers, tolerance))) for tolerance in (1e-6, 1e-8, 0.0)]
        return []

    def quotient(self, most: int = 4) -> list[Tree]:
        """y = P/Q, smallest degrees first."""
        y = self.y
        pairs = sorted(
            itertools.product(range(most + 1), range(1, most + 1)), key=lambda p: (count(self.d, p[0]) + count(self.d, p[1]), p)
        )
        for above, below in pairs:
            n_above, n_below = count(self.d, above), count(self.d, below)
            if n_above + n_below > self.room:
                continue
            powers = exponents(self.d, max(above, below))
            matrix = values(self.X, powers)
            design = np.column_stack([matrix[:, :n_above], -y[:, None] * matrix[:, :n_below]])
            found = _null_vector(design)
            if found is None:
                continue
            top, bottom = found[:n_above], found[n_above:]
            if not bottom.any() or not top.any():
                continue
            trees = []
            for tolerance in (1e-5, 1e-7, 0.0):
                lower, upper = _sum(bottom, powers[:n_below], tolerance), _sum(top, powers[:n_above], tolerance)
                trees.append(writing.tidied(div(upper, lower)))
            return trees
        return []


def _sum(coefficients: Floats, powers: Sequence[Exponents], tolerance: float) -> Tree:
    terms = []
    for c, p in zip(coefficients.tolist(), powers, strict=True):
        if c:
            terms.append((writing.snapped(c, tolerance), monomial_tree(p)))
    return writing.linear(terms) if terms else number(0.0)


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
