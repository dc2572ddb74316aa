"""Targets: what is left of y after invertible steps, and how a formula for that becomes one for y.

A step is a function of the target, (1/t, log t, t^2, ...), or the target combined with a known expression (t - v, t v, v / t,
...). A chain of steps turns y into a target; undone from the last to the first, it turns a formula for the target into one for y.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nssr.explore.tree import Tree, add, div, mul, number, sub

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Transform:
    """``forward`` of arrays; ``inverse`` of trees; ``needs``: what a formula then holds beside arithmetic."""

    name: str
    forward: Callable[[Floats], Floats]
    inverse: Callable[[Tree], Tree]
    needs: tuple[str, ...]


def _apply(op: str) -> Callable[[Tree], Tree]:
    return lambda tree: Tree(op, (tree,))


def _inverse(tree: Tree) -> Tree:
    return div(number(1.0), tree)


def _one_over_root(tree: Tree) -> Tree:
    return _inverse(Tree("SQRT", (tree,)))


def _root_cubed(tree: Tree) -> Tree:
    return mul(tree, Tree("SQRT", (tree,)))


def _one_over_root_cubed(tree: Tree) -> Tree:
    return _inverse(_root_cubed(tree))


TRANSFORMS = {
    t.name: t
    for t in (
        Transform("identity", lambda t: t, lambda tree: tree, ()),
        Transform("inverse", np.reciprocal, _inverse, ("DIV",)),
        Transform("square", np.square, _apply("SQRT"), ("SQRT",)),
        Transform("negative square", np.square, lambda tree: Tree("NEG", (Tree("SQRT", (tree,)),)), ("SQRT", "NEG")),
        Transform("inverse square", lambda t: t**-2.0, _one_over_root, ("SQRT", "DIV")),
        # 1/r^2 along a direction is x/r^3, and r^2 a polynomial of the coordinates.
        Transform("-2/3", lambda t: t ** (-2.0 / 3.0), _one_over_root_cubed, ("SQRT", "DIV", "MUL")),
        Transform("2/3", lambda t: t ** (2.0 / 3.0), _root_cubed, ("SQRT", "MUL")),
        Transform("negative", np.negative, _apply("NEG"), ("NEG",)),
        Transform("root", np.sqrt, _apply("SQUARE"), ("SQUARE",)),
        Transform("log", np.log, _apply("EXP"), ("EXP",)),
        Transform("exp", np.exp, _apply("LOG"), ("LOG",)),
        Transform("asin", np.arcsin, _apply("SIN"), ("SIN",)),
        Transform("acos", np.arccos, _apply("COS"), ("COS",)),
        Transform("atan", np.arctan, _apply("TAN"), ("TAN",)),
        Transform("atanh", np.arctanh, _apply("TANH"), ("TANH",)),
        Transform("sin", np.sin, _apply("ASIN"), ("ASIN",)),
        Transform("cos", np.cos, _apply("ACOS"), ("ACOS",)),
        Transform("tan", np.tan, _apply("ATAN"), ("ATAN",)),
        Transform("minus one", lambda t: t - 1.0, lambda tree: add(tree, number(1.0)), ("ADD",)),
        Transform("plus one", lambda t: t + 1.0, lambda tree: sub(tree, number(1.0)), ("SUB",)),
    )
}

OFFSETS: tuple[tuple[str, ...], ...] = (
    ("minus one",),
    ("plus one",),
    ("log",),
    ("inverse", "plus one", "log"),
    ("plus one", "log"),
)
"""What takes 1 + m, m - 1, exp(m), 1 / (exp(m) - 1) and log(1 + m) to m or its size."""

POWERS = frozenset(("inverse", "square", "negative square", "inverse square", "-2/3", "2/3", "root"))

BINARY: dict[str, tuple[Callable[[Floats, Floats], Floats], Callable[[Tree, Tree], Tree], tuple[str, ...]]] = {
    # t and v to the new target; the new target's tree and v's tree to t's tree
    "t*v": (np.multiply, lambda r, v: div(r, v), ("DIV",)),
    "t/v": (np.divide, lambda r, v: mul(r, v), ("MUL",)),
    "t-v": (np.subtract, lambda r, v: add(r, v), ("ADD",)),
    "v-t": (lambda t, v: v - t, lambda r, v: sub(v, r), ("SUB",)),
    "t+v": (np.add, lambda r, v: sub(r, v), ("SUB",)),
    "v/t": (lambda t, v: v / t, lambda r, v: div(v, r), ("DIV",)),
}


def possible(names: Iterable[str], operations: Collection[str]) -> bool:
    """Whether all these transforms can be undone with the operations that a formula may hold."""
    return all(need in operations for name in names for need in TRANSFORMS[name].needs)


def nudge(y: Floats) -> Floats:
    """A step from y so small that the quotient of differences is a derivative."""
    return np.asarray(1e-6 * np.maximum(np.abs(y), 1e-3 * np.abs(y).max()))


@dataclass(frozen=True)
class Chain:
    """``values``: the target, float64 (rows,), after ``steps``: (transform, None) or (name in BINARY, tree of v)."""

    values: Floats
    steps: tuple[tuple[str, Tree | None], ...] = ()

    @property
    def is_power(self) -> bool:
        """Whether the last step is a power: on a logarithm that is a factor, so such a target asks nothing new."""
        return bool(self.steps) and self.steps[-1][0] in POWERS

    @property
    def usable(self) -> bool:
        """Whether the target is finite on every row and no constant."""
        return bool(np.isfinite(self.values).all()) and float(np.ptp(self.values)) > 0

    def transformed(self, *names: str) -> Chain:
        """One transform after another; the identity is no step."""
        chain = self
        with np.errstate(all="ignore"):
            for name in names:
                if name != "identity":
                    chain = Chain(TRANSFORMS[name].forward(chain.values), (*chain.steps, (name, None)))
        return chain

    def combined(self, name: str, values: Floats, tree: Tree) -> Chain:
        with np.errstate(all="ignore"):
            return Chain(BINARY[name][0](self.values, values), (*self.steps, (name, tree)))

    def undone(self, tree: Tree) -> Tree:
        """A formula for y from one for the target."""
        for name, v in reversed(self.steps):
            tree = TRANSFORMS[name].inverse(tree) if v is None else BINARY[name][1](tree, v)
        return tree
