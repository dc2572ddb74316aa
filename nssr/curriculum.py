"""Tasks with known answers, to teach the guide before its first search and to keep what it learnt alive.

Each primitive comes plain and with junk columns; each composition type comes with a few compositions; each function of
the library comes with inputs drawn for it. A task is ``{"name", "examples", "target"}`` with the target's slots.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from nssr import executor, primitives

SEED = 777
EXAMPLES = 10
ATTEMPTS = 50

Draw = Callable[[random.Random], Any]

_INTEGERS: Draw = lambda rng: rng.randint(-20, 20)  # noqa: E731
_BITS: Draw = lambda rng: rng.randint(0, 15)  # noqa: E731
_TRUTH: Draw = lambda rng: rng.randint(0, 1)  # noqa: E731
_REALS: Draw = lambda rng: round(rng.uniform(-10, 10), 2)  # noqa: E731
_POSITIVE: Draw = lambda rng: round(rng.uniform(0.1, 10), 2)  # noqa: E731
_JUNK: Draw = lambda rng: round(rng.uniform(-100, 100), 2)  # noqa: E731

_SEQUENTIAL = [("INC", "MUL"), ("DEC", "ADD"), ("NOT", "AND"), ("NOT", "OR"), ("INC", "SUB"), ("DEC", "DIV"), ("NOT", "EQ")]
_NESTED = [("ADD", "INC"), ("MUL", "INC"), ("SUB", "DEC"), ("MUL", "DEC"), ("AND", "NOT"), ("OR", "NOT"), ("DIV", "INC")]
_PARALLEL = [
    ("ADD", "INC", "MUL"), ("MUL", "ADD", "SUB"), ("SUB", "MUL", "CONST"), ("AND", "OR", "NOT"), ("ADD", "MUL", "MUL"),
    ("DIV", "ADD", "CONST"), ("MUL", "MUL", "CONST"), ("NEQ", "AND", "EQ"), ("COND", "LT", "ADD"), ("ADD", "MUL", "DIV"),
    ("SUB", "INC", "DIV"), ("OR", "AND", "AND"), ("MUL", "LT", "ADD"), ("ADD", "DIV", "CONST"), ("LT", "ADD", "MUL"),
]  # fmt: skip


def curriculum_tasks(state: dict[str, Any]) -> list[dict[str, Any]]:
    """The curriculum for this registry: the same tasks whenever the registry is the same.

    Withheld primitives have no task. A noisy variant names its real columns under ``routing``.
    """
    rng = random.Random(SEED)
    withheld = state.get("withheld", ())
    ids = {
        primitives.BY_OPCODE[e["opcode"]].name: i
        for i, e in state["metadata"].items()
        if e["composition"] is None and i not in withheld
    }
    tasks: list[dict[str, Any]] = []
    for i, entry in sorted(state["metadata"].items()):
        if entry["composition"] is not None or i not in ids.values():
            continue
        primitive = primitives.BY_OPCODE[entry["opcode"]]
        if primitive.rule in (primitives.ITERATION, primitives.ZERO) or primitive.arity < 1:
            continue
        target = _target(i)
        for draw in _domains(primitive.rule):
            tasks += _pair(state, rng, primitive.name, target, primitive.arity, draw)
    for outer, inner in _SEQUENTIAL:
        if outer in ids and inner in ids:
            target = _target(ids[outer], ids[inner], comp_type="sequential")
            tasks += _composed(state, rng, f"{outer}({inner})", target, state["metadata"][ids[inner]]["arity"])
    for outer, inner in _NESTED:
        if outer in ids and inner in ids:
            target = _target(ids[outer], ids[inner], comp_type="nested")
            tasks += _composed(state, rng, f"{outer}({inner} each)", target, 2)
    for combine, left, right in _PARALLEL:
        if all(name in ids for name in (combine, left, right)) and state["metadata"][ids[combine]]["arity"] == 2:
            target = _target(ids[left], ids[right], ids[combine], comp_type="parallel")
            tasks += _composed(state, rng, f"{combine}({left}, {right})", target, 3)
    return tasks


def library_tasks(state: dict[str, Any]) -> list[dict[str, Any]]:
    """One task for each learned function, on inputs drawn for it: the guide should know when to use it."""
    rng = random.Random(SEED + 1)
    tasks: list[dict[str, Any]] = []
    for i, entry in sorted(state["metadata"].items()):
        if entry["composition"] is None:
            continue
        for draw in (_TRUTH, _BITS, _REALS, _POSITIVE):
            task = _task(state, rng, entry["name"], _target(i), entry["arity"], draw)
            if task is not None:
                tasks.append(task)
                break
    return tasks


def _target(
    primary: int, secondary: int | None = None, tertiary: int | None = None, comp_type: str = "none"
) -> dict[str, Any]:
    return {"primary_id": primary, "secondary_id": secondary, "tertiary_id": tertiary, "comp_type": comp_type}


def _domains(rule: str) -> list[Draw]:
    if rule == primitives.BITWISE:
        return [_BITS, _TRUTH]
    if rule in (primitives.COMPARISON, primitives.SELECTION):
        return [_INTEGERS, _REALS]
    if rule == primitives.REAL:
        return [_POSITIVE, _REALS]
    return [_INTEGERS, _REALS]


def _composed(
    state: dict[str, Any], rng: random.Random, name: str, target: dict[str, Any], n_columns: int
) -> list[dict[str, Any]]:
    bits = any(
        target[slot] is not None
        and primitives.BY_OPCODE[state["metadata"][target[slot]]["opcode"]].rule == primitives.BITWISE
        for slot in ("primary_id", "secondary_id", "tertiary_id")
    )
    tasks = []
    for draw in ([_BITS, _TRUTH] if bits else [_INTEGERS, _REALS]):
        tasks += _pair(state, rng, name, target, n_columns, draw)
    return tasks


def _pair(
    state: dict[str, Any], rng: random.Random, name: str, target: dict[str, Any], n_columns: int, draw: Draw
) -> list[dict[str, Any]]:
    """The task plain, and with two junk columns around its own."""
    plain = _task(state, rng, name, target, n_columns, draw)
    if plain is None:
        return []
    kept = sorted(rng.sample(range(n_columns + 2), n_columns))
    noisy = []
    for inputs, output in plain["examples"]:
        row = [_JUNK(rng) for _ in range(n_columns + 2)]
        for place, value in zip(kept, inputs, strict=True):
            row[place] = value
        noisy.append((row, output))
    return [plain, {"name": f"{name} with junk", "examples": noisy, "target": target, "routing": kept}]


def _task(
    state: dict[str, Any], rng: random.Random, name: str, target: dict[str, Any], n_columns: int, draw: Draw
) -> dict[str, Any] | None:
    """Examples of a target on drawn inputs; None if it has no value on almost all of them."""
    routing = _routing(state, target, n_columns)
    candidate = {**target, "routing": routing, "null_columns": None}
    examples: list[tuple[list[Any], Any]] = []
    for _ in range(ATTEMPTS):
        inputs = [draw(rng) for _ in range(n_columns)]
        try:
            output = executor.run(state, candidate, list(inputs))
        except (ArithmeticError, TypeError, ValueError, IndexError, RuntimeError):
            continue
        if abs(output) < 1e9:
            examples.append((inputs, output))
        if len(examples) == EXAMPLES:
            return {"name": name, "examples": examples, "target": target}
    return None


def _routing(state: dict[str, Any], target: dict[str, Any], n_columns: int) -> Any:
    """Which columns each function of the target reads: the first ones first, the last ones second."""

    def arity(slot: str) -> int:
        return int(state["metadata"][target[slot]]["arity"])

    if target["comp_type"] == "parallel":
        first: Sequence[int] = range(arity("primary_id"))
        return (list(first), list(range(n_columns - arity("secondary_id"), n_columns)))
    return None
