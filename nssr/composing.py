"""Candidates as compositions: from what a search returns to the steps that the library stores, and back to words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nssr import registry
from nssr.registry import function_args
from nssr.search import _describe_candidate
from nssr.simplify import Composition


def build_composition(
    candidate: Mapping[str, Any], input_arity: int, loop_id: int | None
) -> list[tuple[int, list[int]]]:
    """The candidate as storable steps. Indices count the inputs, then the results; -1 is the literal 0."""
    kind, routing = candidate["comp_type"], candidate.get("routing")
    primary, secondary = candidate["primary_id"], candidate.get("secondary_id")
    nulls = set(candidate.get("null_columns") or ())

    def route(given: Sequence[int] | None) -> list[int]:
        return [-1 if i in nulls else int(i) for i in (range(input_arity) if given is None else given)]

    if kind == "parallel":
        first, second = routing if routing is not None else (None, None)
        return [
            (primary, route(first)),
            (secondary, route(second)),
            (candidate["tertiary_id"], [input_arity, input_arity + 1]),
        ]
    if kind in ("loop_direct", "loop_binary"):
        start, count = route([0, 1] if routing is None else routing)[:2]
        return [(loop_id, [primary, count, start] if kind == "loop_direct" else [primary, count, -1, start])]  # type: ignore[list-item]
    if kind == "sequential":
        return [(secondary, route(routing)), (primary, [input_arity] * candidate.get("primary_places", 1))]
    if kind == "nested":
        columns = route(routing)
        steps = [(secondary, [c]) for c in columns]
        return [*steps, (primary, [input_arity + i for i in range(len(columns))])]
    return [(primary, route(routing))]


def composition_of(state: Mapping[str, Any], candidate: Mapping[str, Any], input_arity: int) -> Composition:
    """`build_composition` with what the registry knows: how often a sequential candidate's result is read."""
    places = max(state["metadata"][candidate["primary_id"]]["arity"], 1)
    return build_composition({**candidate, "primary_places": places}, input_arity, state["loop_id"])


def read_columns(candidate: Mapping[str, Any]) -> list[int]:
    routing = candidate["routing"]
    flat = [i for route in routing for i in route] if candidate["comp_type"] == "parallel" else routing
    return sorted({i for i in flat if i >= 0})


def reads_function(state: Mapping[str, Any], composition: Composition) -> list[str]:
    """Names of the functions that a composition calls, iterated ones included."""
    ids = [i for child, args in composition for i in (child, *args[: function_args(state, child)])]
    return registry.get_names(dict(state), list(dict.fromkeys(ids)))


def _fmt_candidate(state: Mapping[str, Any], c: Mapping[str, Any]) -> str:
    """A candidate for people, with letters for columns: ``ADD(MUL(...))``, ``LOOP(INC, count=b, init=a)``."""
    if not c["comp_type"].startswith("loop"):
        return _describe_candidate(state, c)
    body = state["metadata"][c["primary_id"]]["name"]
    letters = [chr(ord("a") + i) if i >= 0 else "0" for i in (c.get("routing") or [0, 1])]
    if c["comp_type"] == "loop_direct":
        return f"LOOP({body}, count={letters[1]}, init={letters[0]})"
    return f"LOOP({body}, count={letters[1]}, init=0, step={letters[0]})"
