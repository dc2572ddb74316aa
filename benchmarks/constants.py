"""Fits of the constants of random formulas: the engine, scipy's least_squares and, where it is installed, pyoperon's LMOptimizer.

    python -m benchmarks.constants [--json FILE]

1,000 random formulas with 1 to 5 constants over 3 columns and 200 rows, all fitted to one noisy target from the same starts.
scipy runs MINPACK's Levenberg-Marquardt (`method="lm"`, its own tolerances, differences for derivatives) on the formula
compiled to numpy; pyoperon its own Levenberg-Marquardt on its own trees, in single precision. Losses are compared first, all
of them evaluated by numpy in double precision. One thread, CPU time, in turns.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import least_squares

from benchmarks.rounds import in_turns, ratio
from nssr import engine
from nssr.primitives import BY_NAME, TOKEN_FLOAT, TOKEN_VARIABLE

N_FORMULAS, ROWS, COLUMNS = 1000, 200, 3
BINARY = {"ADD": "({0}+{1})", "SUB": "({0}-{1})", "MUL": "({0}*{1})", "FDIV": "({0}/{1})"}
UNARY = {"EXP": "exp({0})", "SIN": "sin({0})", "COS": "cos({0})", "TANH": "tanh({0})", "SQRT": "sqrt({0})", "LOG": "log({0})",
         "SQUARE": "square({0})"}  # fmt: skip


@dataclass(frozen=True)
class Formula:
    """``postfix`` holds names of operations, column numbers as ints and starts of constants as floats."""

    postfix: tuple[str | int | float, ...]
    start: np.ndarray
    values: Callable[[Any, np.ndarray], np.ndarray]  # columns, constants -> (rows,)


def data(seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.2, 3.0, (ROWS, COLUMNS))
    y = 2.5 * np.exp(-0.6 * x[:, 0]) + 0.8 * np.sin(1.7 * x[:, 1] + 0.3) * x[:, 2] + rng.normal(0, 0.05, ROWS)
    return x, y


def _tree(rng: random.Random, size: int, n_constants: int) -> list[str | int | float]:
    """A random tree of about ``size`` nodes in postfix order, with that many constants."""
    if n_constants == 0 and (size <= 1 or rng.random() < 0.4):
        return [rng.randrange(COLUMNS)]
    if size <= 2 and n_constants == 1:
        return [round(rng.uniform(0.3, 2.0), 2)]
    if (size > 2 and n_constants and rng.random() < 0.35) or (size <= 2 and n_constants == 0):
        return [*_tree(rng, size - 1, n_constants), rng.choice(sorted(UNARY))]
    left = rng.randint(0, n_constants)
    part = max(1, (size - 1) * (left + 1) // (n_constants + 2))
    return [*_tree(rng, part, left), *_tree(rng, size - 1 - part, n_constants - left), rng.choice(sorted(BINARY))]


def compiled(postfix: tuple[str | int | float, ...]) -> Callable[[Any, np.ndarray], np.ndarray]:
    stack: list[str] = []
    k = 0
    for token in postfix:
        if isinstance(token, str):
            arity = 2 if token in BINARY else 1
            operands = stack[-arity:]
            del stack[-arity:]
            stack.append((BINARY | UNARY)[token].format(*operands))
        elif isinstance(token, int):
            stack.append(f"x[{token}]")
        else:
            stack.append(f"c[{k}]")
            k += 1
    function: Callable[[Any, np.ndarray], np.ndarray] = eval(f"lambda x, c: {stack[0]}", dict(vars(np)))
    return function


def formulas(x: np.ndarray, n: int = N_FORMULAS, seed: int = 0) -> list[Formula]:
    """Different ones that have a finite value in every row and depend on a column."""
    rng = random.Random(seed)
    columns, found, seen = tuple(np.ascontiguousarray(x.T)), [], set()
    while len(found) < n:
        k = rng.randint(1, 5)
        postfix = tuple(_tree(rng, rng.randint(2 * k + 2, 2 * k + 9), k))
        start = np.array([t for t in postfix if isinstance(t, float)])
        if postfix in seen or not any(isinstance(t, int) for t in postfix) or len(start) != k:
            continue
        seen.add(postfix)
        values = compiled(postfix)
        out = values(columns, start)
        if np.shape(out) == (len(x),) and np.isfinite(out).all() and np.ptp(out) > 0 and np.abs(out).max() < 1e6:
            found.append(Formula(postfix, start, values))
    return found


def flat(given: list[Formula]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The four arrays that the engine takes."""
    tokens, operands, constants, offsets = [], [], [], [0]
    for formula in given:
        for token in formula.postfix:
            if isinstance(token, str):
                tokens.append(BY_NAME[token].opcode)
                operands.append(0)
            elif isinstance(token, int):
                tokens.append(TOKEN_VARIABLE)
                operands.append(token)
            else:
                tokens.append(TOKEN_FLOAT)
                operands.append(len(constants))
                constants.append(token)
        offsets.append(len(tokens))
    return np.array(tokens, np.int32), np.array(operands, np.int32), np.array(constants), np.array(offsets, np.int64)


def by_scipy(given: list[Formula], x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    columns, fitted = tuple(np.ascontiguousarray(x.T)), []
    for formula in given:
        try:
            fitted.append(least_squares(lambda c, f=formula: f.values(columns, c) - y, formula.start, method="lm").x)
        except ValueError:  # it has met a value that is not finite
            fitted.append(formula.start)
    return fitted


def operon_side(given: list[Formula], x: np.ndarray, y: np.ndarray, max_iterations: int) -> Callable[[], list[np.ndarray]]:
    """pyoperon's LMOptimizer on the same trees, built beforehand. Its operands are in reverse order, so its constants are too."""
    import pyoperon

    data = np.asfortranarray(np.column_stack([x, y]).astype(np.float32))  # not copied by Dataset
    dataset = pyoperon.Dataset(data)
    variables = dataset.Variables
    names = {"FDIV": "Div"}
    trees, orders = [], []
    for formula in given:
        stack: list[list[tuple[Any, int]]] = []
        k = 0
        for token in formula.postfix:
            if isinstance(token, str):
                node = getattr(pyoperon.Node, names.get(token, token.capitalize()))()
                parts = [stack.pop() for _ in range(2 if token in BINARY else 1)]  # the last operand first
                stack.append([*(leaf for part in parts for leaf in part), (node, -1)])
            elif isinstance(token, int):
                node = pyoperon.Node(pyoperon.NodeType.Variable, variables[token].Hash)
                node.Value, node.Optimize = 1.0, False
                stack.append([(node, -1)])
            else:
                stack.append([(pyoperon.Node.Constant(token), k)])
                k += 1
        trees.append(pyoperon.Tree([node for node, _ in stack[0]]).UpdateNodes())
        orders.append(np.array([i for _, i in stack[0] if i >= 0]))
    starts = [np.array(tree.GetCoefficients(), np.float32) for tree in trees]
    problem = pyoperon.Problem(dataset)
    problem.TrainingRange = problem.TestRange = pyoperon.Range(0, len(x))
    problem.Target = variables[x.shape[1]]
    problem.InputHashes = [v.Hash for v in variables[: x.shape[1]]]
    table = pyoperon.DispatchTable()
    inner = pyoperon.LMOptimizer(table, problem, max_iter=max_iterations)
    optimizer, generator = pyoperon.CoefficientOptimizer(inner), pyoperon.RandomGenerator(1)
    columns = tuple(np.ascontiguousarray(x.T))
    same = [np.allclose(pyoperon.Evaluate(t, dataset, pyoperon.Range(0, len(x))), f.values(columns, f.start), rtol=1e-2)
            for t, f in zip(trees, given, strict=True)]  # fmt: skip
    if np.mean(same) < 0.95:
        raise SystemExit(f"pyoperon's trees are not the same formulas: {np.mean(same):.0%} agree")

    def side() -> list[np.ndarray]:
        fitted = []
        for tree, order, start in zip(trees, orders, starts, strict=True):
            tree.SetCoefficients(start)  # in place: a copy of a tree made here crashes the optimizer (0.6.2)
            found = np.array(optimizer(generator, tree)[0].GetCoefficients())
            out = np.empty(len(order))
            out[order] = found
            fitted.append(out)
        return fitted

    # The optimizer holds addresses of these, not references.
    side.keep = (variables, data, dataset, problem, table, inner)  # type: ignore[attr-defined]
    return side


def losses(given: list[Formula], fitted: list[np.ndarray], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Mean squared residuals; infinite where they are not finite."""
    columns = tuple(np.ascontiguousarray(x.T))
    out = np.array([np.mean((f.values(columns, c) - y) ** 2) for f, c in zip(given, fitted, strict=True)])
    return np.where(np.isfinite(out), out, np.inf)


def measure(rounds: int = 7, n: int = N_FORMULAS, max_iterations: int = 30) -> dict[str, Any]:
    x, y = data()
    given = formulas(x, n)
    arrays = flat(given)
    sides: dict[str, Callable[[], list[np.ndarray]]] = {
        "engine": lambda: np.split(
            engine.fit_constants(*arrays, x, y, max_iterations=max_iterations).constants, np.cumsum([len(f.start) for f in given])
        )[:-1],
        "scipy": lambda: by_scipy(given, x, y),
    }
    if importlib.util.find_spec("pyoperon"):
        sides["pyoperon"] = operon_side(given, x, y, max_iterations)
    result: dict[str, Any] = {"formulas": n, "rows": ROWS, "max_iterations": max_iterations, "target": engine.target()}
    found = {name: losses(given, side(), x, y) for name, side in sides.items()}
    start = losses(given, [f.start for f in given], x, y)
    for name in sides:
        if name != "engine":
            result[f"no_worse_than_{name}"] = float(np.mean(found["engine"] <= 1.001 * found[name]))
            result[f"{name}_no_worse"] = float(np.mean(found[name] <= 1.001 * found["engine"]))
    result["median_loss"] = {name: float(np.median(v)) for name, v in (found | {"start": start}).items()}
    times = in_turns(sides, rounds)
    result["rate"] = {name: t.rate(n) for name, t in times.items()}
    result["ratio"] = {name: ratio(t, times["engine"]) for name, t in times.items() if name != "engine"}
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--formulas", type=int, default=N_FORMULAS)
    parser.add_argument("--iterations", type=int, default=30, help="the engine's max_iterations")
    options = parser.parse_args()
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        result = measure(options.rounds, options.formulas, options.iterations)
    print(json.dumps(result, indent=1))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
