"""Constants: fitted by Levenberg-Marquardt, then shortened where the data do not tell the difference."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from nssr.engine.constants import fit_constants
from nssr.explore.front import Front
from nssr.explore.tree import Tree, formulas, is_whole, numbers, with_numbers
from nssr.explore.writing import tidied

MAX_CONSTANTS = 8


def free_numbers(tree: Tree) -> list[float]:
    """The numbers that are fitted."""
    return [k for k in numbers(tree) if not is_whole(k)]


def fitted(trees: Sequence[Tree], front: Front, loss: str = "squared", max_iterations: int = 30) -> list[Tree]:
    """The trees with their free numbers fitted to the front's rows; whole numbers stay."""
    ready = [t for t in trees if 1 <= len(free_numbers(t)) <= MAX_CONSTANTS]
    if not ready:
        return []
    scale = 1.0
    if loss != "squared":
        scale = max(1.4826 * float(np.median(np.abs(front.y - np.median(front.y)))) * 0.1, 1e-300)
    fit = fit_constants(
        formulas(ready, whole_fixed=True), front.X, front.y,
        sample_weight=front.weights, max_iterations=max_iterations, loss=loss, loss_scale=scale,
    )  # fmt: skip
    values = iter(fit.constants.tolist())
    return [with_numbers(tree, [k if is_whole(k) else next(values) for k in numbers(tree)]) for tree in ready]


def shortened(tree: Tree, front: Front) -> Tree:
    """The tree with its numbers as short as the description length allows.

    Up to three numbers are rounded together, since one takes up what rounding the other leaves; more, one after the other.
    """
    front.admit([tree])
    if not math.isfinite(front.losses.get(tree, math.inf)):
        return tree
    best = tree
    free = [k for k, value in enumerate(numbers(tree)) if not float(value).is_integer()]
    groups = [free] if len(free) <= 3 else [[k] for k in free]
    for group in groups:
        values = numbers(best)
        choices = [[values[k], *_roundings(values[k])][: (16, 16, 8, 5)[len(group)]] for k in group]
        trials = []
        for chosen in itertools.product(*choices):
            changed = list(values)
            for k, value in zip(group, chosen, strict=True):
                changed[k] = value
            trials.append(with_numbers(best, changed))
        best = front.shortest_of([best, *trials])
    # A factor that became 1 goes, and a number that says nothing, such as an offset that was fitted to noise. Not before the
    # others are short: with all its digits a formula may well be longer than a mere number.
    values = numbers(best)
    fewer = [with_numbers(best, [*values[:k], 0.0, *values[k + 1 :]]) for k in range(len(values)) if not is_whole(values[k])]
    return front.shortest_of([best, *map(tidied, [best, *fewer])])


def _roundings(value: float) -> list[float]:
    """Simple numbers near the value, and the value with three digits and more: fewer would look like a claim."""
    found = []
    for q in (1, 2, 3, 4, 5, 6, 8):
        p = round(value * q)
        if p and abs(p) <= 64 and abs(p / q - value) <= 0.1 * abs(value):
            found.append(p / q)
    found = list(dict.fromkeys(found))
    found.sort(key=lambda k: abs(k - value))
    digits = [float(f"{value:.{d}g}") for d in (3, 4, 5, 6, 7, 8)]
    return list(dict.fromkeys([*found[:4], *digits]))
