"""The evaluators that `benchmarks.engine` compares: ours, and adapters to public ones.

An `Evaluator` converts trees to its own form and binds them to data, both outside the timed part; what is timed is a call
that makes every value (or score) of every tree. A value that a peer returns in an array of its own is dropped, not copied.

Traps of the peers, each met here:

- numpy, gplearn, bingo: at 10,000 rows of f64 (80 KB an array) their speed is the allocator's. While glibc's thresholds
  have their first values it returns each temporary to the system, and numpy runs at a quarter of its speed, bingo at a
  tenth (to see it: ``MALLOC_TRIM_THRESHOLD_=131072``). Here, as in any process that has freed a large array before, the
  thresholds have grown, which is the harder comparison for us.
- pyoperon: ``Dataset(array)`` is a view, so the array must outlive it. Look-ups by name fail in this wheel, ``Variables``
  works. Nodes are in postfix order with the *second* operand first. ``CalculateFitness`` on a list ends the process, so
  there is no score-only side. The wheel is single precision only.
- bingocpp: there is no square (a * a here); log and sqrt are of |x|, so where IEEE has NaN it may have a number. Arrays must
  be in Fortran order. Its Python package needs mpi4py and more; the compiled module alone needs numpy.
- numexpr: ``float`` in a signature means single precision; constants in the text are doubles and would make everything
  double, so constants enter single-precision runs as arguments, and also where a tree has no column.
- gplearn: its division, log and sqrt are protected and `make_function` refuses others; `_Function` takes numpy's own.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from benchmarks import workloads
from benchmarks.workloads import Array, Tree

ALL = 1 << 30


class Cell(NamedTuple):
    """Data of one measurement: ``x`` (rows, columns), ``y``, and ``out`` (trees, rows), which evaluators share."""

    x: Array
    y: Array
    out: Array


class Bound(NamedTuple):
    """``run`` is timed; ``values(k)`` gives the values (or scores) of the first ``k`` trees, to be checked."""

    run: Callable[[], object]
    values: Callable[[int], Array]


@dataclass(frozen=True, slots=True)
class Evaluator:
    """``trees`` maps rows to the trees that are timed (the entry of the next larger row count holds); all, where it is empty."""

    name: str
    dtype: str
    convert: Callable[[Sequence[Tree]], Any]
    bind: Callable[[Any, Cell], Bound]
    package: str = "numpy"
    module: str = "numpy"
    trees: Mapping[int, int] = field(default_factory=dict)
    scores: bool = False
    ieee: bool = True

    def limit(self, rows: int) -> int:
        fitting = [n for at, n in sorted(self.trees.items()) if at >= rows]
        return fitting[0] if fitting else (min(self.trees.values()) if self.trees else ALL)

    def missing(self) -> str | None:
        """Why it cannot be measured here, in one line."""
        if importlib.util.find_spec(self.module) is None:
            return f"{self.package} is not installed: {self.name.split(',')[0]} is not measured"
        return None

    def version(self) -> str:
        try:
            return f"{self.package} {importlib.metadata.version(self.package)}"
        except importlib.metadata.PackageNotFoundError:
            return self.package


def _ours(name: str, dtype: str, scores: bool) -> Evaluator:
    def bind(flat: workloads.Flat, cell: Cell) -> Bound:
        from nssr import engine

        formulas = engine.Formulas(*flat.arrays)
        data = engine.Columns(cell.x, cell.y, dtype=dtype)
        out = cell.out[: len(flat)]
        if scores:
            return Bound(
                lambda: formulas.score(data, ("mse",), n_threads=1), lambda k: formulas.score(data, ("mse",))["mse"][:k]
            )
        return Bound(lambda: formulas.predict(data, out=out, n_threads=1), lambda k: formulas.predict(data, out=out)[:k])

    return Evaluator(name, dtype, workloads.flatten, bind, "nssr", "nssr", scores=scores)


def _numpy(dtype: str) -> Evaluator:
    def bind(trees: Sequence[Tree], cell: Cell) -> Bound:
        columns = list(np.ascontiguousarray(cell.x.T))
        programs = [workloads.bind(tree, columns) for tree in trees]

        def run() -> None:
            with np.errstate(all="ignore"):
                for program, row in zip(programs, cell.out, strict=False):
                    workloads.run_into(program, row)

        return Bound(run, lambda k: (run(), cell.out[:k])[1])

    return Evaluator("numpy", dtype, list, bind)


def _operon_trees(trees: Sequence[Tree]) -> Any:
    import pyoperon as operon

    kinds = {name: getattr(operon.NodeType, name.capitalize()) for name in (*workloads.BINARY, *workloads.UNARY)}
    hashes = [v.Hash for v in _operon_variables(np.ones((2, workloads.N_VARIABLES), np.float32, order="F"))]

    def nodes(tree: Tree) -> list[Any]:
        if tree[0] == "const":
            return [operon.Node.Constant(tree[1])]
        if tree[0] == "var":
            node = operon.Node(operon.NodeType.Variable, hashes[tree[1]])
            node.Value = 1.0
            return [node]
        return [*(node for operand in reversed(tree[1:]) for node in nodes(operand)), operon.Node(kinds[tree[0]])]

    return [operon.Tree(nodes(tree)).UpdateNodes() for tree in trees]


def _operon_variables(x: Array) -> list[Any]:
    import pyoperon as operon

    dataset = operon.Dataset(x)
    return sorted(dataset.Variables, key=lambda v: v.Index)


def _operon_bind(trees: Any, cell: Cell) -> Bound:
    import pyoperon as operon

    x = np.asfortranarray(cell.x)
    dataset, rows = operon.Dataset(x), operon.Range(0, len(x))
    out = cell.out[: len(trees)]

    def run(_keep_alive: Array = x) -> None:
        operon.EvaluateTrees(trees, dataset, rows, out, 1)

    return Bound(run, lambda k: (run(), out[:k])[1])


_BINGO = {"add": 2, "sub": 3, "mul": 4, "div": 5, "sin": 6, "cos": 7, "exp": 8, "log": 9, "sqrt": 12}
_BINGO_VARIABLE, _BINGO_CONSTANT = 0, 1


def _bingo_arrays(trees: Sequence[Tree]) -> list[tuple[Array, Array]]:
    """One command per node: (operation, operand, operand)."""

    def commands(tree: Tree, stack: list[tuple[int, int, int]], constants: list[float]) -> int:
        if tree[0] == "var":
            stack.append((_BINGO_VARIABLE, tree[1], tree[1]))
        elif tree[0] == "const":
            stack.append((_BINGO_CONSTANT, len(constants), len(constants)))
            constants.append(tree[1])
        else:
            places = [commands(operand, stack, constants) for operand in tree[1:]]
            name = "mul" if tree[0] == "square" else tree[0]
            stack.append((_BINGO[name], places[0], places[-1]))
        return len(stack) - 1

    arrays = []
    for tree in trees:
        stack: list[tuple[int, int, int]] = []
        constants: list[float] = []
        commands(tree, stack, constants)
        arrays.append((np.asfortranarray(stack, dtype=np.int32), np.array(constants).reshape(-1, 1)))
    return arrays


def _bingo_bind(programs: list[tuple[Array, Array]], cell: Cell) -> Bound:
    evaluate = importlib.import_module("bingocpp").evaluation_backend.evaluate
    x = np.asfortranarray(cell.x)

    def run() -> None:
        for stack, constants in programs:
            evaluate(stack, x, constants)

    return Bound(run, lambda k: np.array([evaluate(s, x, c)[:, 0] for s, c in programs[:k]]))


def _numexpr_text(tree: Tree, as_arguments: bool) -> tuple[str, list[float]]:
    """The tree as text, and the constants that are arguments c0, c1, ... of it."""
    constants: list[float] = []

    def text(tree: Tree) -> str:
        if tree[0] == "var":
            return f"x{tree[1]}"
        if tree[0] == "const":
            if not as_arguments:
                return f"({tree[1]!r})"
            constants.append(tree[1])
            return f"c{len(constants) - 1}"
        if tree[0] == "square":
            return f"({text(tree[1])})**2"
        if len(tree) == 2:
            return f"{tree[0]}({text(tree[1])})"
        sign = {"add": "+", "sub": "-", "mul": "*", "div": "/"}[tree[0]]
        return f"({text(tree[1])} {sign} {text(tree[2])})"

    return text(tree), constants


def _numexpr(dtype: str, compiled_before: bool) -> Evaluator:
    def compile_one(text: str, names: list[str]) -> Any:
        import numexpr
        from numexpr.necompiler import double

        with np.errstate(all="ignore"):  # it folds constants
            return numexpr.NumExpr(text, [(name, float if dtype == "float32" else double) for name in names])

    def convert(trees: Sequence[Tree]) -> list[Any]:
        programs = []
        for tree in trees:
            used = sorted({node[1] for node in workloads.postfix(tree) if node[0] == "var"})
            text, constants = _numexpr_text(tree, dtype == "float32" or not used)
            names = [f"x{j}" for j in used] + [f"c{i}" for i in range(len(constants))]
            values = [np.asarray(c, dtype) for c in constants]
            programs.append((compile_one(text, names) if compiled_before else text, names, used, values))
        return programs

    def bind(programs: list[Any], cell: Cell) -> Bound:
        columns = list(np.ascontiguousarray(cell.x.T))

        def one(program: Any) -> Array:
            compiled, names, used, values = program
            if not compiled_before:
                compiled = compile_one(compiled, names)
            return compiled(*(columns[j] for j in used), *values)

        def run() -> None:
            for program in programs:
                one(program)

        return Bound(run, lambda k: np.array([np.broadcast_to(one(p), len(cell.x)) for p in programs[:k]]))

    trees = {100: 200, 10_000: 200} if compiled_before else {10_000: 100}
    name = "numexpr, compiled before" if compiled_before else "numexpr"
    return Evaluator(name, dtype, convert, bind, "numexpr", "numexpr", trees)


def _gplearn_programs(trees: Sequence[Tree]) -> list[Any]:
    from gplearn._program import _Program
    from gplearn.functions import _Function

    functions = {
        name: _Function(ufunc, name, 2 if name in workloads.BINARY else 1) for name, ufunc in workloads.UFUNC.items()
    }

    def prefix(tree: Tree) -> list[Any]:
        if tree[0] in ("var", "const"):
            return [tree[1]]
        return [functions[tree[0]], *(node for operand in tree[1:] for node in prefix(operand))]

    return [
        _Program(list(functions.values()), {}, (2, 6), "half and half", workloads.N_VARIABLES, None, None, 0.05, 0.0, None,
                 program=prefix(tree))
        for tree in trees
    ]  # fmt: skip


def _gplearn_bind(programs: list[Any], cell: Cell) -> Bound:
    x = np.asfortranarray(cell.x)

    def run() -> None:
        with np.errstate(all="ignore"):
            for program in programs:
                program.execute(x)

    def values(k: int) -> Array:
        with np.errstate(all="ignore"):
            return np.array([program.execute(x) for program in programs[:k]])

    return Bound(run, values)


Row = Sequence[float]
Closure = Callable[[Row], float]


def closure(tree: Tree) -> Closure:
    """A function of one row: the documented meanings of the primitives, in plain Python."""
    if tree[0] == "var":
        column = tree[1]
        return lambda row: row[column]
    if tree[0] == "const":
        value = tree[1]
        return lambda row: value
    meaning: Any = workloads.PRIMITIVE[tree[0]].meaning
    operands = [closure(operand) for operand in tree[1:]]
    if len(operands) == 1:
        (a,) = operands
        return lambda row: meaning([a(row)])
    a, b = operands
    return lambda row: meaning([a(row), b(row)])


def passes(program: Closure, rows: Sequence[Row], target: Row, rel_tol: float = 1e-6, abs_tol: float = 1e-9) -> bool:
    """Whether every row is close to the target; stops at the first that is not."""
    for row, wanted in zip(rows, target, strict=True):
        if not math.isclose(program(row), wanted, rel_tol=rel_tol, abs_tol=abs_tol):
            return False
    return True


def _reference_bind(programs: list[Closure], cell: Cell) -> Bound:
    rows = cell.x.tolist()

    def run() -> None:
        for program in programs:
            for row in rows:
                program(row)

    return Bound(run, lambda k: np.array([[program(row) for row in rows] for program in programs[:k]]))


OURS_STORED, OURS_SCORES = "nssr, stored", "nssr, scores only"



def _references(trees: Sequence[Tree]) -> list[Closure]:
    return [closure(tree) for tree in trees]


def _evaluators() -> tuple[Evaluator, ...]:
    e = Evaluator
    bingo_trees, gplearn_trees = {100: 5000, 1000: 3000, 10_000: 1000}, {100: 2000, 1000: 1000, 10_000: 200}
    reference_trees = {20: 500, 100: 100, 1000: 20, 10_000: 2}
    both = [
        evaluator
        for dtype in ("float32", "float64")
        for evaluator in (
            _ours(OURS_STORED, dtype, False),
            _ours(OURS_SCORES, dtype, True),
            _numpy(dtype),
            _numexpr(dtype, True),
            _numexpr(dtype, False),
        )
    ]
    return (
        *both,
        e("pyoperon", "float32", _operon_trees, _operon_bind, "pyoperon", "pyoperon"),
        e("bingo", "float64", _bingo_arrays, _bingo_bind, "bingo-nasa", "bingocpp", bingo_trees, ieee=False),
        e("gplearn", "float64", _gplearn_programs, _gplearn_bind, "gplearn", "gplearn", gplearn_trees),
        e("reference", "float64", _references, _reference_bind, "nssr", "nssr", reference_trees),
    )


EVALUATORS = _evaluators()
