"""Symbolic regression with DEAP whose evaluation is one NSSR call per generation.

    python examples/deap_regression.py [--compare] [--rows 1000] [--population 500] [--generations 20] [--seed 1]

The search is DEAP's own (`algorithms.eaSimple`): only `toolbox.map` is another, which receives all individuals of a
generation that have no fitness yet, and answers with their errors. ``--compare`` also evaluates each generation as DEAP
does, by compiling each tree to a Python function over numpy arrays, and prints both CPU times and whether the errors agree.
"""

from __future__ import annotations

import argparse
import operator
import random
import statistics
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from deap import algorithms, base, creator, gp, tools

from nssr import engine
from nssr.primitives import BY_NAME, TOKEN_FLOAT, TOKEN_VARIABLE


def protected_division(a: Any, b: Any) -> Any:
    """DEAP's customary division: 1 where the divisor is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.equal(b, 0), 1.0, np.divide(a, b))


def random_constant() -> float:
    return float(random.randint(-1, 1))


def primitive_set(n_columns: int) -> gp.PrimitiveSet:
    pset = gp.PrimitiveSet("MAIN", n_columns, prefix="x")
    pset.addPrimitive(operator.add, 2)
    pset.addPrimitive(operator.sub, 2)
    pset.addPrimitive(operator.mul, 2)
    pset.addPrimitive(protected_division, 2)
    pset.addPrimitive(operator.neg, 1)
    pset.addPrimitive(np.cos, 1, name="cos")
    pset.addPrimitive(np.sin, 1, name="sin")
    pset.addEphemeralConstant("constant", random_constant)
    return pset


OPCODE = {name: BY_NAME[ours].opcode for name, ours in {
    "add": "ADD", "sub": "SUB", "mul": "MUL", "neg": "NEG", "cos": "COS", "sin": "SIN",
}.items()}  # fmt: skip
DIVIDE, SELECT = BY_NAME["FDIV"].opcode, BY_NAME["COND"].opcode
ONE = TOKEN_FLOAT  # constant 0 of the batch


def flatten(trees: Sequence[gp.PrimitiveTree]) -> engine.Formulas:
    """DEAP's prefix trees as flat postfix arrays, all trees end to end.

    A node is one int at first: the token below, the operand from bit 8 on.
    """
    everything: list[int] = []
    constants: list[float] = [1.0]  # what a protected division gives
    offsets = [0]
    for tree in trees:
        values: list[list[int]] = []
        for node in reversed(tree):  # operands are met before their operation, the first one last
            if node.arity == 1:
                values[-1].append(OPCODE[node.name])
            elif node.arity == 2:
                a = values.pop()
                b = values[-1]
                if node.name == "protected_division":  # where b is not 0, a / b, else 1
                    values[-1] = b + a + b + [DIVIDE, ONE, SELECT]
                else:
                    a += b
                    a.append(OPCODE[node.name])
                    values[-1] = a
            elif isinstance(node.value, str):  # an argument: "x3"
                values.append([TOKEN_VARIABLE | int(node.value[1:]) << 8])
            else:
                values.append([TOKEN_FLOAT | len(constants) << 8])
                constants.append(node.value)
        everything += values[0]
        offsets.append(len(everything))
    nodes = np.array(everything, dtype=np.int64)
    return engine.Formulas((nodes & 255).astype(np.int32), (nodes >> 8).astype(np.int32), constants, offsets)


class Evaluator:
    """Errors of trees on fixed data, and the CPU time that they took."""

    def __init__(self, pset: gp.PrimitiveSet, inputs: np.ndarray, target: np.ndarray, compare: bool) -> None:
        self.pset, self.inputs, self.target, self.compare = pset, inputs, target, compare
        self.data = engine.Columns(inputs, target)
        self.ours: list[float] = []
        self.theirs: list[float] = []
        self.n_trees = self.n_alike = 0

    def __call__(self, _: Any, trees: Sequence[gp.PrimitiveTree]) -> list[tuple[float]]:
        """In place of ``map(evaluate, trees)``."""
        start = time.process_time()
        errors = flatten(trees).score(self.data, ("mse",))["mse"] if trees else np.empty(0)
        self.ours.append(time.process_time() - start)
        self.n_trees += len(trees)
        if self.compare:
            start = time.process_time()
            theirs = np.array([self.by_deap(tree) for tree in trees])
            self.theirs.append(time.process_time() - start)
            self.n_alike += int(np.isclose(errors, theirs, rtol=1e-6, atol=1e-12).sum())
        return [(error,) for error in errors.tolist()]

    def by_deap(self, tree: gp.PrimitiveTree) -> float:
        function = gp.compile(tree, self.pset)
        with np.errstate(all="ignore"):
            error = float(np.mean((function(*self.inputs.T) - self.target) ** 2))
        return error if np.isfinite(error) else np.inf


def evolve(inputs: np.ndarray, target: np.ndarray, arguments: argparse.Namespace) -> tuple[Any, Evaluator]:
    """Best tree, and the evaluator with its times."""
    random.seed(arguments.seed)
    if not hasattr(creator, "LeastError"):
        creator.create("LeastError", base.Fitness, weights=(-1.0,))
        creator.create("Tree", gp.PrimitiveTree, fitness=creator.LeastError)
    pset = primitive_set(inputs.shape[1])
    evaluator = Evaluator(pset, inputs, target, arguments.compare)
    toolbox = base.Toolbox()
    toolbox.register("expr", gp.genHalfAndHalf, pset=pset, min_=1, max_=4)
    toolbox.register("individual", tools.initIterate, creator.Tree, toolbox.expr)
    toolbox.register("population", tools.initRepeat, list, toolbox.individual)
    toolbox.register("evaluate", lambda tree: tree)  # eaSimple wants one; `map` does the work
    toolbox.register("map", evaluator)
    toolbox.register("select", tools.selTournament, tournsize=3)
    toolbox.register("mate", gp.cxOnePoint)
    toolbox.register("expr_mut", gp.genFull, min_=0, max_=2)
    toolbox.register("mutate", gp.mutUniform, expr=toolbox.expr_mut, pset=pset)
    for variation in ("mate", "mutate"):
        toolbox.decorate(variation, gp.staticLimit(key=operator.attrgetter("height"), max_value=10))
        toolbox.decorate(variation, gp.staticLimit(key=len, max_value=80))
    best = tools.HallOfFame(1)
    population = toolbox.population(arguments.population)
    algorithms.eaSimple(population, toolbox, 0.5, 0.1, arguments.generations, halloffame=best, verbose=False)
    return best[0], evaluator


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--compare", action="store_true", help="also evaluate as DEAP does")
    for name, value in (("rows", 1000), ("population", 500), ("generations", 20), ("seed", 1)):
        parser.add_argument(f"--{name}", type=int, default=value)
    arguments = parser.parse_args(argv)

    x = np.random.default_rng(0).uniform(-1, 1, (arguments.rows, 1))
    target = (x**4 + x**3 + x**2 + x)[:, 0]
    best, evaluator = evolve(x, target, arguments)
    error = best.fitness.values[0]
    print(f"best of {evaluator.n_trees} trees: mse {error:.3g}: {best}")
    print(f"NSSR: {sum(evaluator.ours):.3f} s of CPU for all evaluations, conversion of the trees included")
    result = {"mse": error, "ours": sum(evaluator.ours)}
    if arguments.compare:
        ratios = [b / a for a, b in zip(evaluator.ours, evaluator.theirs, strict=True) if a > 0]
        result |= {"theirs": sum(evaluator.theirs), "alike": evaluator.n_alike / evaluator.n_trees}
        print(
            f"DEAP: {sum(evaluator.theirs):.3f} s; per generation {statistics.median(ratios):.1f} times ours "
            f"({min(ratios):.1f} to {max(ratios):.1f}); {100 * result['alike']:.2f} % of the errors agree"
        )
    return result


if __name__ == "__main__":
    main()
