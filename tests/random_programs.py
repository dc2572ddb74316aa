"""Random typed programs and data for the differential tests, and a reference that tells why the engine may be unsure."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from nssr import db, primitives, registry

INTS = [0, 1, 2, 3, -1, -2, 5, 7, 12, 100, 999, 1000, 1001, 2**31, -(2**31), 2**53, 2**53 + 1, -(2**53) - 1]
INTS += [2**62, 2**63 - 1, -(2**63)]
FLOATS = [0.0, -0.0, 0.5, 1.0, -1.5, 3.0, 1e-9, 1e16, -1e300, 1e308, float("inf"), float("-inf"), float("nan")]
ITERATING = {"LOOP": 1, "WHILE": 2, "ACCUM": 2}


def column(rng: random.Random, lane: str, n: int) -> list[Any]:
    """A column of one lane: mostly small values, sometimes the edges."""
    wild = rng.random() < 0.3
    if lane == "i":
        low, high = rng.choice([(0, 1), (-5, 5), (0, 12), (-100, 100)])
        return [rng.choice(INTS) if wild and rng.random() < 0.4 else rng.randint(low, high) for _ in range(n)]
    return [rng.choice(FLOATS) if wild and rng.random() < 0.4 else round(rng.uniform(-8, 8), 2) for _ in range(n)]


def rows(rng: random.Random, lanes: str, n: int) -> list[list[Any]]:
    return [list(row) for row in zip(*(column(rng, lane, n) for lane in lanes), strict=True)]


def steps(rng: random.Random, state: dict[str, Any], arity: int, n_steps: int) -> list[tuple[int, list[int]]]:
    """A random composition: any function, any argument, loops over any body, now and then too few arguments."""
    ids = sorted(state["metadata"])
    out: list[tuple[int, list[int]]] = []
    for place in range(n_steps):
        child = rng.choice(ids) if rng.random() < 0.8 else rng.choice([18, 18, 19, 20])
        entry = state["metadata"][child]

        def value(place: int = place) -> int:
            return -1 if rng.random() < 0.08 else rng.randrange(arity + place)

        n_functions = ITERATING.get(entry["name"], 0) if entry["composition"] is None else 0
        if n_functions:
            bodies = [rng.choice(ids) for _ in range(n_functions)]
            n_values = {"LOOP": rng.choice([2, 3]), "WHILE": 2, "ACCUM": 3}[entry["name"]]
            out.append((child, bodies + [value() for _ in range(n_values)]))
        else:
            n_args = max(entry["arity"], 0) + (rng.random() < 0.05) - (rng.random() < 0.03 and entry["arity"] > 1)
            out.append((child, [value() for _ in range(n_args)]))
    return out


def constants(rng: random.Random) -> tuple[list[float] | None, str]:
    kind = rng.random()
    if kind < 0.7:
        return None, "multiplicative"
    if kind < 0.8:
        return [rng.choice([0.5, -2.0, 3.25])], "multiplicative"
    if kind < 0.9:
        return [rng.choice([0.5, -2.0, 3.25])], "additive"
    return [rng.choice([0.5, -2.0]), 0.125], "affine"


def library(seed: int, packs: Sequence[str] = ("core", "science")) -> dict[str, Any]:
    """A registry with a few learned functions on top of each other."""
    rng = random.Random(seed)
    conn = db.init_db(":memory:")
    state = registry.init_registry(conn, packs)
    for i in range(8):
        arity = rng.randint(1, 3)
        k, mode = constants(rng)
        registry.register_learned(conn, state, f"F{i}", arity, steps(rng, state, arity, rng.randint(1, 3)), k, mode)
    return state


class Reference:
    """Runs a composition row by row and remembers what would entitle the engine to say unsure.

    ``big``: on this row an int beyond 2**53 came up. ``mixed``: the types depend on the row: a choice between an int and
    a float, or a loop whose body changes the type of its state. ``untyped``: a body raises when it is probed, so on this
    row nothing shows its type; a loop of no rounds has a value all the same.
    """

    def __init__(self, state: dict[str, Any]) -> None:
        self.state = {**state, "functions": dict(state["functions"])}
        self.big = self.mixed = self.untyped = False
        registry_execute = lambda i, inputs: registry.execute(self.state, i, inputs)  # noqa: E731
        for i, entry in state["metadata"].items():
            if entry["composition"] is not None:
                self.state["functions"][i] = registry._make_composed_fn(
                    self.state, entry["composition"], registry_execute, entry["constants"], entry["const_mode"],
                    arity=entry["arity"],
                )  # fmt: skip
            else:
                self.state["functions"][i] = self._watched(i, primitives.BY_OPCODE[entry["opcode"]], registry_execute)

    def _watched(self, func_id: int, primitive: primitives.Primitive, execute: Any) -> Any:
        _, factory = registry._make_primitives(("core", "science"))[primitive.name]
        plain = factory(execute)

        def watch(inputs: list[Any]) -> Any:
            values = inputs[ITERATING.get(primitive.name, 0) :]
            self.big |= any(isinstance(v, int) and abs(v) > 2**53 for v in values)
            pair = {"COND": inputs[1:3], "MIN": inputs[:2], "MAX": inputs[:2]}.get(primitive.name, [])
            self.mixed |= len({type(v) for v in pair}) > 1
            if primitive.rule == primitives.ITERATION:
                self._probe(primitive.name, inputs, execute)
            result = plain(inputs)
            self.big |= isinstance(result, int) and abs(result) > 2**53
            return result

        return watch

    def _probe(self, name: str, inputs: list[Any], execute: Any) -> None:
        """One round of the body, whatever the count says, only to learn the type that it gives."""
        try:
            body = inputs[0] if name == "LOOP" else inputs[1]
            start = inputs[2]
            after = execute(body, [start, *(inputs[3:4] if name == "LOOP" else [])])
            self.mixed |= type(after) is not type(start)
        except Exception:
            self.untyped = True

    def types_can_vary(self, composition: Any, lanes: str) -> bool:
        """Whether some operation in reach can give an int here and a float there: nothing dynamic shows it on a row that
        raises before it comes to that."""
        reach, todo = set(), [c for c, _ in composition] + [a for _, args in composition for a in args[:2]]
        floats = "f" in lanes
        while todo:
            i = todo.pop()
            entry = self.state["metadata"].get(i)
            if entry is None or i in reach:
                continue
            reach.add(i)
            floats |= bool(entry["constants"])
            if entry["composition"] is not None:
                todo += [c for c, _ in entry["composition"]] + [a for _, args in entry["composition"] for a in args[:2]]
            else:
                floats |= primitives.BY_OPCODE[entry["opcode"]].rule in (primitives.DIVISION, primitives.REAL)
        names = {self.state["metadata"][i]["name"] for i in reach}
        return floats and bool(names & {"COND", "MIN", "MAX", "LOOP", "WHILE", "ACCUM"})

    def run(self, composition: Any, inputs: list[Any], k: Any, mode: str) -> tuple[Any, bool]:
        """The value and True, or None and False where the row raises."""
        self.mixed = self.untyped = False
        self.big = any(isinstance(v, int) and abs(v) > 2**53 for v in inputs)
        fn = registry._make_composed_fn(
            self.state, composition, lambda i, values: registry.execute(self.state, i, values), k, mode, arity=len(inputs)
        )
        try:
            return fn(list(inputs)), True
        except Exception:
            return None, False
