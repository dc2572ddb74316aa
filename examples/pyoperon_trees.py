"""Operon's trees evaluated by NSSR: the same values, in one call.

    python examples/pyoperon_trees.py [--rows 1000] [--trees 1000] [--length 20] [--rounds 5] [--seed 1]

Makes random trees with Operon's own generator, turns them into flat postfix arrays and compares values and CPU time with
``pyoperon.EvaluateTrees``, which is compiled and computes in float32; so do we here. Both are one call for all trees and use
one thread. The conversion walks the trees node by node in Python and is timed by itself: a search that keeps its trees in
Operon pays it, one that makes its own flat arrays does not.
"""

from __future__ import annotations

import argparse
import functools
import operator
import statistics
import time
from collections.abc import Sequence

import numpy as np
import pyoperon as op

from nssr import engine
from nssr.primitives import BY_NAME, TOKEN_FLOAT, TOKEN_VARIABLE

# In postfix; a and b stand for the operands, in Operon's order.
EXPANSION = {
    "Add": "a b ADD",
    "Sub": "a b SUB",
    "Mul": "a b MUL",
    "Div": "a b FDIV",
    "Exp": "a EXP",
    "Log": "a LOG",
    "Sin": "a SIN",
    "Cos": "a COS",
    "Tanh": "a TANH",
    "Sqrt": "a SQRT",
    "Square": "a SQUARE",
}
# A node is one int: the token below, the operand from bit 8 on.
SUFFIX = {
    int(getattr(op.NodeType, name)): [BY_NAME[word].opcode for word in text.split() if word in BY_NAME]
    for name, text in EXPANSION.items()
}
MULTIPLY = BY_NAME["MUL"].opcode


def flatten(trees: Sequence[op.Tree], column_of: dict[int, int]) -> engine.Formulas:
    """Operon keeps nodes in postfix order, but the first operand is the nearest one: operands change places.

    A variable's node carries a coefficient, which becomes a constant and a product. ``column_of`` maps hashes of variables.
    """
    everything: list[int] = []
    constants: list[float] = []
    offsets = [0]
    variable, constant = int(op.NodeType.Variable), int(op.NodeType.Constant)
    for tree in trees:
        values: list[list[int]] = []
        for node in tree.Nodes:
            kind = int(node.Type)
            if kind == constant:
                values.append([TOKEN_FLOAT | len(constants) << 8])
                constants.append(node.Value)
            elif kind == variable:
                values.append([TOKEN_FLOAT | len(constants) << 8, TOKEN_VARIABLE | column_of[node.HashValue] << 8, MULTIPLY])
                constants.append(node.Value)
            elif kind not in SUFFIX or node.Arity > 2:
                raise ValueError(f"{node.Name} with {node.Arity} operands has no counterpart here")
            elif node.Arity == 1:
                values[-1] += SUFFIX[kind]
            else:
                first = values.pop()
                values[-1] = first + values[-1] + SUFFIX[kind]
        everything += values[0]
        offsets.append(len(everything))
    nodes = np.array(everything, dtype=np.int64)
    return engine.Formulas((nodes & 255).astype(np.int32), (nodes >> 8).astype(np.int32), constants, offsets)


def random_trees(dataset: op.Dataset, inputs: list[int], n: int, length: int, seed: int) -> list[op.Tree]:
    problem = op.Problem(dataset)
    kinds = [*EXPANSION, "Constant", "Variable"]
    problem.ConfigurePrimitiveSet(functools.reduce(operator.or_, (int(getattr(op.NodeType, kind)) for kind in kinds)))
    primitives = problem.PrimitiveSet  # kept: the generator only points at it
    create = op.BalancedTreeCreator(primitives, inputs, 0.0)
    coefficients = op.NormalCoefficientInitializer()
    coefficients.ParameterizeDistribution(0.0, 1.0)
    random = op.RandomGenerator(seed)
    lengths = np.random.default_rng(seed).integers(3, 2 * length - 2, n)
    trees = []
    for tree_length in lengths.tolist():
        tree = create(random, tree_length, 0, 100)
        coefficients(random, tree)
        trees.append(tree)
    return trees


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in (("rows", 1000), ("trees", 1000), ("length", 20), ("rounds", 5), ("seed", 1)):
        parser.add_argument(f"--{name}", type=int, default=value)
    arguments = parser.parse_args(argv)

    x = np.random.default_rng(arguments.seed).uniform(-3, 3, (arguments.rows, 4)).astype(np.float32)
    matrix = np.asfortranarray(x)  # a name of its own: Operon's data set may look at this memory
    dataset = op.Dataset(matrix)
    variables = sorted(dataset.Variables, key=lambda v: v.Index)
    column_of = {v.Hash: v.Index for v in variables}
    trees = random_trees(dataset, list(column_of), arguments.trees, arguments.length, arguments.seed)
    rows = op.Range(0, arguments.rows)
    data = engine.Columns(x, dtype="float32")
    theirs = np.empty((len(trees), arguments.rows), dtype=np.float32)
    ours = np.empty_like(theirs)
    conversion, seconds, operon_seconds = [], [], []
    for _ in range(arguments.rounds):  # in turns, so that both meet the same machine
        start = time.process_time()
        formulas = flatten(trees, column_of)
        conversion.append(time.process_time() - start)
        start = time.process_time()
        formulas.predict(data, ours)
        seconds.append(time.process_time() - start)
        start = time.process_time()
        op.EvaluateTrees(trees, dataset, rows, theirs.reshape(-1), 1)
        operon_seconds.append(time.process_time() - start)

    # Both compute in float32 with functions of their own, and random trees magnify last bits: a share of rows is compared.
    with np.errstate(invalid="ignore"):
        alike = np.isclose(ours, theirs, rtol=1e-3, atol=1e-4, equal_nan=True) | ~(np.isfinite(ours) | np.isfinite(theirs))
    ratios = [b / a for a, b in zip(seconds, operon_seconds, strict=True)]
    print(f"{len(trees)} trees of {np.mean([t.Length for t in trees]):.0f} nodes on average, {arguments.rows} rows, float32")
    print(f"NSSR {statistics.median(seconds):.4f} s of CPU, and {statistics.median(conversion):.3f} s to convert the trees")
    print(
        f"Operon {statistics.median(operon_seconds):.4f} s: {statistics.median(ratios):.2f} times as long "
        f"({min(ratios):.2f} to {max(ratios):.2f}, {arguments.rounds} rounds); {100 * alike.mean():.2f} % of the values agree"
    )
    return {"ratio": statistics.median(ratios), "alike": float(alike.mean())}


if __name__ == "__main__":
    main()
