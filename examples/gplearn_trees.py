"""gplearn's programs evaluated by NSSR: the same values, in one call.

    python examples/gplearn_trees.py [--rows 1000] [--programs 1000] [--rounds 5] [--seed 1]

Makes random programs with gplearn's own generator, turns their prefix lists into flat postfix arrays and compares values and
CPU time with ``_Program.execute``. gplearn's operations are *protected* (a/b is 1 where |b| <= 0.001, and so on); `EXPANSION`
says each of them in NSSR's operations. A protected operand is needed twice, so it is written twice: the engine computes it
once.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from gplearn._program import _Program
from gplearn.functions import _function_map
from sklearn.utils import check_random_state

from nssr import engine
from nssr.primitives import BY_NAME, TOKEN_FLOAT, TOKEN_VARIABLE

# In postfix; a and b stand for the operands, a number for itself.
EXPANSION: dict[str, str] = {
    "add": "a b ADD",
    "sub": "a b SUB",
    "mul": "a b MUL",
    "div": "b ABS 0.001 GT a b FDIV 1 COND",
    "sqrt": "a ABS SQRT",
    "log": "a ABS 0.001 GT a ABS LOG 0 COND",
    "neg": "a NEG",
    "inv": "a ABS 0.001 GT 1 a FDIV 0 COND",
    "abs": "a ABS",
    "max": "a b MAX",
    "min": "a b MIN",
    "sin": "a SIN",
    "cos": "a COS",
    "tan": "a TAN",
}


CONSTANTS = [0.0, 1.0, 0.001]  # those of the expansions


def _compiled() -> dict[str, Callable[..., list[int]]]:
    """Per operation a function from its operands' code to its own. A node is one int: token below, operand from bit 8 on."""
    functions = {}
    for name, text in EXPANSION.items():
        terms = []
        for word in text.split():
            if word in ("a", "b"):
                terms.append(word)
            else:
                constant = word not in BY_NAME
                terms.append(f"[{TOKEN_FLOAT | CONSTANTS.index(float(word)) << 8 if constant else BY_NAME[word].opcode}]")
        arguments = "a, b" if "b" in terms else "a"
        functions[name] = eval(f"lambda {arguments}: {' + '.join(terms).replace('] + [', ', ')}")
    return functions


OPERATIONS = _compiled()


def flatten(programs: Sequence[list[Any]]) -> engine.Formulas:
    """gplearn's prefix lists (functions, columns as int, constants as float) as flat postfix arrays."""
    everything: list[int] = []
    constants = list(CONSTANTS)
    offsets = [0]
    for program in programs:
        values: list[list[int]] = []
        for node in reversed(program):  # operands are met before their operation, the first one last
            if isinstance(node, int):
                values.append([TOKEN_VARIABLE | node << 8])
            elif isinstance(node, float):
                values.append([TOKEN_FLOAT | len(constants) << 8])
                constants.append(node)
            elif node.arity == 1:
                values[-1] = OPERATIONS[node.name](values[-1])
            else:
                a = values.pop()
                values[-1] = OPERATIONS[node.name](a, values[-1])
        everything += values[0]
        offsets.append(len(everything))
    nodes = np.array(everything, dtype=np.int64)
    return engine.Formulas((nodes & 255).astype(np.int32), (nodes >> 8).astype(np.int32), constants, offsets)


def random_programs(n: int, n_columns: int, seed: int) -> list[_Program]:
    random_state = check_random_state(seed)
    functions = [_function_map[name] for name in EXPANSION]
    arities: dict[int, list[Any]] = {}
    for function in functions:
        arities.setdefault(function.arity, []).append(function)
    return [
        _Program(
            function_set=functions,
            arities=arities,
            init_depth=(2, 6),
            init_method="half and half",
            n_features=n_columns,
            const_range=(-1.0, 1.0),
            metric=None,
            p_point_replace=0.05,
            parsimony_coefficient=0.001,
            random_state=random_state,
        )
        for _ in range(n)
    ]


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in (("rows", 1000), ("programs", 1000), ("rounds", 5), ("seed", 1)):
        parser.add_argument(f"--{name}", type=int, default=value)
    arguments = parser.parse_args(argv)

    x = np.random.default_rng(arguments.seed).uniform(-3, 3, (arguments.rows, 4))
    programs = random_programs(arguments.programs, x.shape[1], arguments.seed)
    lists = [p.program for p in programs]
    data = engine.Columns(x)
    ours, theirs, conversion = [], [], []
    for _ in range(arguments.rounds):  # in turns, so that both meet the same machine
        start = time.process_time()
        formulas = flatten(lists)
        conversion.append(time.process_time() - start)
        values = formulas.predict(data)
        ours.append(time.process_time() - start)
        start = time.process_time()
        with np.errstate(all="ignore"):
            expected = [p.execute(x) for p in programs]
        theirs.append(time.process_time() - start)
    alike = np.isclose(values, expected, rtol=1e-9, atol=1e-9, equal_nan=True).all(axis=1)
    ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
    print(f"{len(programs)} programs of {np.mean([len(p) for p in lists]):.0f} nodes on average, {arguments.rows} rows")
    print(f"NSSR {statistics.median(ours):.3f} s of CPU, {statistics.median(conversion):.3f} of them to convert the programs")
    print(
        f"gplearn {statistics.median(theirs):.3f} s: {statistics.median(ratios):.1f} times as long "
        f"({min(ratios):.1f} to {max(ratios):.1f}, {arguments.rounds} rounds); "
        f"{100 * alike.mean():.2f} % of the programs agree on every row"
    )
    return {"ratio": statistics.median(ratios), "alike": float(alike.mean())}


if __name__ == "__main__":
    main()
