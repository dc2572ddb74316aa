"""Functions that travel: JSON that another library can take in, checked before any of it joins the vocabulary.

Functions call each other by name, so the ids of two libraries need not agree. Each one carries values on a few rows, its test
vector: what comes in must give them by this library's own primitives, or nothing of the file is taken. Nothing is ever
evaluated as code.
"""

from __future__ import annotations

import math
import random
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nssr import db, registry
from nssr.errors import UserError
from nssr.primitives import PACKS

FORMAT = "nssr-functions"
VERSION = 1
MOST_FUNCTIONS, MOST_STEPS, MOST_ARITY = 10_000, 1_000, 64
EXAMPLES = 8

_REL_TOL = 1e-9


def exported(state: registry.State, only: Iterable[int] | None = None) -> dict[str, Any]:
    """All learned functions, or those of ``only`` with everything they rest on, as plain values, bottom up."""
    metadata = state["metadata"]
    wanted = set(metadata) if only is None else _closure(state, only)
    order = sorted(wanted, key=lambda i: (metadata[i]["layer"], i))
    learned = [_plain(state, i) for i in order if metadata[i]["composition"] is not None]
    return {"format": FORMAT, "version": VERSION, "functions": learned}


def _closure(state: registry.State, ids: Iterable[int]) -> set[int]:
    found: set[int] = set()
    todo = list(ids)
    while todo:
        i = todo.pop()
        if i not in found:
            found.add(i)
            for child, args in state["metadata"][i]["composition"] or ():
                todo += [child, *args[: registry.function_args(state, child)]]
    return found


def _plain(state: registry.State, func_id: int) -> dict[str, Any]:
    entry = state["metadata"][func_id]
    name = {i: e["name"] for i, e in state["metadata"].items()}
    steps = []
    for child, args in entry["composition"]:
        n = registry.function_args(state, child)
        steps.append({"call": name[child], "functions": [name[i] for i in args[:n]], "arguments": list(args[n:])})
    return {
        "name": entry["name"], "arity": entry["arity"], "steps": steps, "constants": entry["constants"],
        "const_mode": entry["const_mode"], "examples": _examples(state, func_id, entry["arity"]),
    }  # fmt: skip


def _examples(state: registry.State, func_id: int, arity: int) -> list[list[Any]]:
    """``[inputs, output]`` on rows where there is a value: small ints and floats."""
    rng = random.Random(func_id)
    found: list[list[Any]] = []
    for attempt in range(8 * EXAMPLES):
        draw = (lambda: rng.randint(0, 6)) if attempt % 2 else (lambda: round(rng.uniform(0.2, 4), 3))
        inputs = [draw() for _ in range(arity)]
        try:
            value = registry.execute(state, func_id, list(inputs))
        except Exception:  # it has no value there, whatever the reason
            continue
        if isinstance(value, int | float) and math.isfinite(value) and abs(value) < 1e300:
            found.append([inputs, value])
        if len(found) == EXAMPLES:
            break
    return found


def take_in(conn: sqlite3.Connection, document: Any) -> tuple[list[str], list[str]]:
    """The functions of a document join the library, all of them or none; the names of all, and of those that were there.

    A function that is there already, by name and meaning, is left as it is. ``UserError`` where the document is not what
    `exported` writes, where a name belongs to something else, and where a function does not have the values it came with.
    """
    functions = _checked(document)
    with db.transaction(conn):
        state = registry.init_registry(conn, _packs(functions))
        known = []
        for function in functions:
            ids = {entry["name"]: i for i, entry in state["metadata"].items()}
            steps = _steps(state, function, ids)
            there = ids.get(function["name"])
            if there is not None:
                if not _agrees(state, there, function):
                    raise UserError(f"the library has another function named {function['name']!r}; nothing was taken in")
                known.append(function["name"])
                continue
            try:
                func_id = registry.register_learned(
                    conn, state, function["name"], function["arity"], steps, function["constants"], function["const_mode"]
                )
            except (ValueError, TypeError, OverflowError) as error:
                raise UserError(f"{function['name']!r} is refused: {error}; nothing was taken in") from None
            if not _agrees(state, func_id, function):
                raise UserError(f"{function['name']!r} does not have the values that it came with; nothing was taken in")
    return [function["name"] for function in functions], known


def _packs(functions: Sequence[Mapping[str, Any]]) -> list[str]:
    called = {name for f in functions for step in f["steps"] for name in (step["call"], *step["functions"])}
    own = {f["name"] for f in functions}
    return [pack for pack, primitives in PACKS.items() if pack == "core" or any(p.name in called - own for p in primitives)]


def _steps(state: registry.State, function: Mapping[str, Any], ids: Mapping[str, int]) -> db.Composition:
    steps: db.Composition = []
    for step in function["steps"]:
        for name in (step["call"], *step["functions"]):
            if name not in ids:
                raise UserError(f"{function['name']!r} calls {name!r}, which is neither in the file before it nor in the library")
        child = ids[step["call"]]
        if len(step["functions"]) != registry.function_args(state, child):
            raise UserError(f"{function['name']!r}: {step['call']} takes {registry.function_args(state, child)} functions")
        steps.append((child, [*(ids[name] for name in step["functions"]), *step["arguments"]]))
    return steps


def _agrees(state: registry.State, func_id: int, function: Mapping[str, Any]) -> bool:
    if state["metadata"][func_id]["arity"] != function["arity"]:
        return False
    for inputs, output in function["examples"]:
        try:
            value = registry.execute(state, func_id, list(inputs))
        except Exception:
            return False
        if not isinstance(value, int | float) or not math.isclose(value, output, rel_tol=_REL_TOL, abs_tol=1e-12):
            return False
    return True


def _checked(document: Any) -> list[dict[str, Any]]:
    """The functions of a document, every field of the type it must have."""
    if not isinstance(document, dict) or document.get("format") != FORMAT or document.get("version") != VERSION:
        raise UserError(f"this is no {FORMAT!r} document of version {VERSION}, as the library export writes it")
    functions = document.get("functions")
    if not isinstance(functions, list) or not 0 < len(functions) <= MOST_FUNCTIONS:
        raise UserError(f"the document must hold a list of 1 to {MOST_FUNCTIONS} functions")
    return [_checked_function(i, f) for i, f in enumerate(functions)]


def _checked_function(place: int, given: Any) -> dict[str, Any]:
    def require(holds: bool, what: str) -> None:
        if not holds:
            raise UserError(f"function {place} of the document: {what}")

    require(isinstance(given, dict), "it is no object")
    name, arity, steps = given.get("name"), given.get("arity"), given.get("steps")
    require(isinstance(name, str), "it has no name")
    try:
        db.check_name(name)
    except ValueError as error:
        require(False, str(error))
    require(_is_int(arity) and 0 <= arity <= MOST_ARITY, f"its arity must be 0 to {MOST_ARITY}")
    require(isinstance(steps, list) and 0 < len(steps) <= MOST_STEPS, f"it must have 1 to {MOST_STEPS} steps")
    for step in steps:
        require(isinstance(step, dict) and isinstance(step.get("call"), str), "a step must name the function that it calls")
        functions, arguments = step.get("functions", []), step.get("arguments")
        require(isinstance(functions, list) and all(isinstance(f, str) for f in functions), "functions are given by name")
        require(isinstance(arguments, list) and len(arguments) <= MOST_ARITY and all(map(_is_int, arguments)),
                "the arguments of a step are indices")  # fmt: skip
        step.setdefault("functions", [])
    constants, mode = given.get("constants"), given.get("const_mode", "multiplicative")
    require(constants is None or (isinstance(constants, list) and all(map(_is_number, constants))), "constants are numbers")
    require(isinstance(mode, str), "const_mode is text")
    examples = given.get("examples")
    require(isinstance(examples, list) and len(examples) <= 100, "its examples are missing")
    for example in examples:
        fine = isinstance(example, list) and len(example) == 2 and isinstance(example[0], list) and _is_number(example[1])
        require(fine and len(example[0]) == arity and all(map(_is_number, example[0])), "an example is [inputs, output]")
    return {"name": name, "arity": arity, "steps": steps, "constants": constants, "const_mode": mode, "examples": examples}


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**6


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e300 < value < 1e300
