"""Random trees of three columns, for tests that need formulas of any shape."""

from __future__ import annotations

import random

from nssr.explore.tree import Tree, column, number
from nssr.primitives import BY_NAME


def random_tree(rng: random.Random, nodes: int, operations: str) -> Tree:
    """A tree of exactly so many nodes over operations such as "ADD ADD SIN"; repeated ones are likelier."""
    if nodes <= 1:
        columns = [column(i) for i in range(3)]
        return rng.choice([*columns, number(rng.choice([1, 2, 3, 0.5, -1.5, rng.uniform(-3, 3)]))])
    name = rng.choice([op for op in operations.split() if BY_NAME[op].arity < nodes])
    if BY_NAME[name].arity == 1:
        return Tree(name, (random_tree(rng, nodes - 1, operations),))
    left = rng.randint(1, nodes - 2)
    return Tree(name, (random_tree(rng, left, operations), random_tree(rng, nodes - 1 - left, operations)))
