"""A library's functions as trees for the formula search, and formulas that were found as functions of a library.

A function can be borrowed if, with all it is composed of, it is real arithmetic: no loops, bits or comparisons. The other
way is narrower than it looks, because a composition holds no numbers but the constants applied to its last result. So whole
numbers, simple fractions and multiples of pi are composed from 0, INC, ADD, DIV and PI, and any other number inside a formula
becomes a function of its own beside it, "times 2.5" or "plus 2.5", which later formulas share.
"""

from __future__ import annotations

import contextlib
import math
import os
import sqlite3
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from nssr import db, registry
from nssr.errors import UserError
from nssr.explore.problem import Learned
from nssr.explore.tree import Tree, add, column, columns, number, operations, size, sub, with_columns
from nssr.found_formula import FoundFormula
from nssr.notation import COLUMN, NUMBER
from nssr.operation_names import AVAILABLE
from nssr.primitives import BY_NAME, BY_OPCODE, PACKS

LARGEST_BODY = 60
"""Functions of more nodes than this are not borrowed: as one operation of a formula they would explain nothing."""

_LARGEST_WHOLE, _LARGEST_DENOMINATOR = 10_000, 9  # what takes more steps than a person would read is no composition
_VERIFY_REL_TOL = 1e-9


class Borrowed:
    """``functions`` for `Problem.learned`, and the ``names`` of all the library's functions in the order of their ids."""

    def __init__(self, functions: tuple[Learned, ...], names: tuple[str, ...]) -> None:
        self.functions, self.names = functions, names


def borrow(path: str | os.PathLike[str] | None, allowed: frozenset[str] | None = None) -> Borrowed:
    """The functions of the library at ``path`` that are formulas; none where there is no library yet.

    ``allowed`` leaves out those that hold any other operation. Raises ``ValueError`` for a file that is no library.
    """
    if path is None or not os.path.exists(path):
        return Borrowed((), tuple(p.name for pack in ("core", "science") for p in PACKS[pack]))
    with _opened(path) as conn:
        state = registry.load_registry(conn)
    found: dict[Tree, Learned] = {}
    for meta in state["metadata"].values():
        if meta["composition"] is None:
            continue
        body = _body(state, meta, [column(i) for i in range(meta["arity"])])
        if body is None or not columns(body) or not 1 < size(body) <= LARGEST_BODY:
            continue
        if not operations(body) <= (AVAILABLE if allowed is None else allowed):
            continue
        read = sorted(columns(body))
        body = with_columns(body, {old: column(new) for new, old in enumerate(read)})
        found.setdefault(body, Learned(meta["name"], len(read), body))
    return Borrowed(tuple(found.values()), tuple(registry.plain_names(state)))


def _body(state: registry.State, meta: Mapping[str, Any], args: Sequence[Tree]) -> Tree | None:
    """A learned function over the trees ``args``, its constants applied; None where it is no formula or a large one."""
    values = list(args)
    for child, indices in meta["composition"]:
        value = _step(state, child, [number(0) if i == -1 else values[i] if 0 <= i < len(values) else None for i in indices])
        if value is None or size(value) > LARGEST_BODY:
            return None
        values.append(value)
    result, constants, mode = values[-1], meta["constants"], meta["const_mode"]
    if constants and mode != "additive":
        result = Tree("MUL", (number(constants[0]), result))
    if constants and mode != "multiplicative":
        result = add(result, number(constants[-1]))
    return result


def _step(state: registry.State, child: int, given: Sequence[Tree | None]) -> Tree | None:
    meta = state["metadata"][child]
    args = [tree for tree in given[: max(meta["arity"], 0)] if tree is not None]
    if len(args) != meta["arity"]:  # loops have no arity
        return None
    if meta["composition"] is not None:
        return _body(state, meta, args)
    match BY_OPCODE[meta["opcode"]].name:
        case "CONST":
            return args[0]
        case name if args and all(arg.op == NUMBER for arg in args):
            return _folded(name, [arg.value for arg in args])
        case "NULL":
            return number(0)
        case "PI":
            return number(math.pi)
        case "INC":
            return add(args[0], number(1))
        case "DEC":
            return sub(args[0], number(1))
        case name:
            return Tree(name, tuple(args)) if name in AVAILABLE else None


def _folded(name: str, values: list[float]) -> Tree | None:
    """A primitive over numbers as a number; None where it is not finite, or iterates."""
    meaning = BY_NAME[name].meaning
    if meaning is None:
        return None
    try:
        value = float(meaning(values))
    except (ArithmeticError, TypeError, ValueError):
        return None
    return number(value) if math.isfinite(value) else None


def deposit(path: str | os.PathLike[str], name: str, formula: FoundFormula, rows: npt.NDArray[np.float64]) -> int:
    """Stores a formula as the function ``name`` of the columns that it reads, in their order, and returns its id.

    The library is made where there is none, and given the ``science`` primitives where it lacks them. Before anything is
    kept, the registry must give the formula's values on ``rows``, float64 (rows, all columns). Raises ``ValueError`` for a
    formula without columns, a name that is taken or bad, and for values that differ; then nothing is stored.
    """
    read = sorted(columns(formula.tree))
    if not read:
        raise ValueError(f"The formula {formula} is a constant, and a function of no columns cannot be registered.")
    with _opened(path) as conn:
        state = registry.init_registry(conn, ("core", "science"))
        if not registry.name_is_free(state, name):
            raise ValueError(f"The library has a function named {name!r} already; choose another name.")
        with db.transaction(conn):
            writer = _Writer(conn, state, {old: new for new, old in enumerate(read)})
            tree, constants, mode = _split(formula.tree)
            last = writer.value(tree)
            if not writer.steps or last != writer.arity + len(writer.steps) - 1:
                writer.step("CONST", last)
            func_id = registry.register_learned(conn, state, name, len(read), writer.steps, constants, mode)
            _verify(state, func_id, formula, rows, read)
    return func_id


def _split(tree: Tree) -> tuple[Tree, list[float] | None, str]:
    """The tree without the constants that are applied last, these, and their mode."""
    inner, offset = _without_constant(tree, "ADD")
    if offset is None:
        inner, scale = _without_constant(tree, "MUL")
        return inner, None if scale is None else [scale], "multiplicative"
    innermost, scale = _without_constant(inner, "MUL")
    return (inner, [offset], "additive") if scale is None else (innermost, [scale, offset], "affine")


def _without_constant(tree: Tree, op: str) -> tuple[Tree, float | None]:
    """``(u, k)`` of ``u op k`` or ``k op u``, or of ``u - k`` where ``op`` is ADD; ``(tree, None)`` of anything else."""
    if op == "ADD" and tree.op == "SUB" and tree.args[1].op == NUMBER and columns(tree.args[0]):
        return tree.args[0], -tree.args[1].value
    if tree.op == op:
        for i, arg in enumerate(tree.args):
            if arg.op == NUMBER and columns(tree.args[1 - i]):
                return tree.args[1 - i], arg.value
    return tree, None


def _verify(
    state: registry.State, func_id: int, formula: FoundFormula, rows: npt.NDArray[np.float64], read: Sequence[int]
) -> None:
    wanted = formula.predict(rows)
    scale = float(np.max(np.abs(wanted), initial=0.0))
    for row, value in zip(rows[:, list(read)].tolist(), wanted.tolist(), strict=True):
        try:
            got = float(registry.execute(state, func_id, row))
        except (ArithmeticError, ValueError, TypeError) as error:
            raise ValueError(f"The formula {formula} cannot be registered: on the row {row} it raises {error}.") from None
        if not math.isclose(got, value, rel_tol=_VERIFY_REL_TOL, abs_tol=1e-12 * scale):
            raise ValueError(
                f"The formula {formula} cannot be registered: as a function of the library it is {got!r} on the row {row}, "
                f"where the formula is {value!r}."
            )


class _Writer:
    """The steps of one composition; each different subtree is one step."""

    def __init__(self, conn: sqlite3.Connection, state: registry.State, places: Mapping[int, int]) -> None:
        self._conn, self._state, self._places = conn, state, places
        self.arity = len(places)
        self.steps: list[tuple[int, list[int]]] = []
        self._known: dict[tuple[int, tuple[int, ...]], int] = {}
        self._ids = {
            BY_OPCODE[meta["opcode"]].name: i for i, meta in state["metadata"].items() if meta["opcode"] is not None
        }

    def value(self, tree: Tree) -> int:
        """The index of a tree's value; -1, the literal 0, for the number 0."""
        if tree.op == COLUMN:
            return self._places[int(tree.value)]
        if tree.op == NUMBER:
            return self._number(tree.value)
        for op, word in (("MUL", "times"), ("ADD", "plus")):
            rest, constant = _without_constant(tree, op)
            if constant is not None and not _is_composable(constant):
                return self._step(self._with_constant(word, constant), self.value(rest))
        return self.step(tree.op, *(self.value(arg) for arg in tree.args))

    def step(self, name: str, *args: int) -> int:
        return self._step(self._ids[name], *args)

    def _step(self, func_id: int, *args: int) -> int:
        key = (func_id, args)
        if key not in self._known:
            self._known[key] = self.arity + len(self.steps)
            self.steps.append((func_id, list(args)))
        return self._known[key]

    def _number(self, value: float) -> int:
        ratio = _ratio(value)
        if ratio is not None:
            whole = self._whole(ratio.numerator)
            return whole if ratio.denominator == 1 else self.step("DIV", whole, self._whole(ratio.denominator))
        ratio = _ratio(value / math.pi)
        if ratio is not None and _is_composable(value):
            return self.step("PI") if ratio == 1 else self.step("MUL", self._number(float(ratio)), self.step("PI"))
        return self._step(self._with_constant("plus", value), -1)

    def _whole(self, value: int) -> int:
        if value < 0:
            return self.step("NEG", self._whole(-value))
        if value == 0:
            return -1
        if value % 2 or value == 1:
            return self.step("INC", self._whole(value - 1))
        half = self._whole(value // 2)
        return self.step("ADD", half, half)

    def _with_constant(self, word: str, value: float) -> int:
        """The id of the function "times VALUE" or "plus VALUE", which is made where the library has none."""
        name = f"{word} {value!r}"
        mode = "multiplicative" if word == "times" else "additive"
        wanted = ([(self._ids["CONST"], [0])], [value], mode)
        for func_id, meta in self._state["metadata"].items():
            if meta["name"] == name and meta["composition"] is not None:
                steps = [(child, list(args)) for child, args in meta["composition"]]
                if (steps, meta["constants"], meta["const_mode"]) == wanted and meta["arity"] == 1:
                    return int(func_id)
        return registry.register_learned(self._conn, self._state, name, 1, *wanted)


def _ratio(value: float) -> Fraction | None:
    """The simple fraction that ``value`` is the nearest float of."""
    if not math.isfinite(value) or abs(value) > _LARGEST_WHOLE:
        return None
    ratio = Fraction(value).limit_denominator(_LARGEST_DENOMINATOR)
    return ratio if ratio.numerator / ratio.denominator == value and (value == 0) == (ratio == 0) else None


def _is_composable(value: float) -> bool:
    """Whether the number can be composed from 0 and PI without rounding it."""
    if _ratio(value) is not None:
        return True
    ratio = _ratio(value / math.pi)
    return ratio is not None and (ratio.numerator / ratio.denominator) * math.pi == value


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str]) -> Any:
    try:
        with contextlib.closing(db.init_db(path)) as conn:
            yield conn
    except UserError as error:
        raise ValueError(str(error)) from None


__all__ = ["Borrowed", "borrow", "deposit"]
