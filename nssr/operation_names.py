"""The operations of formulas by the names and signs that people write, with a suggestion where a name is unknown."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from nssr.explore.problem import DEFAULT_OPERATIONS
from nssr.primitives import BY_NAME

AVAILABLE = DEFAULT_OPERATIONS | {"ABS", "SINH", "COSH", "MIN", "MAX"}
"""The operations that a formula may hold; the default ones, and those to be asked for."""

USUAL = {
    "+": "ADD",
    "-": "SUB",
    "*": "MUL",
    "/": "DIV",
    "**": "POW",
    "^": "POW",
    "plus": "ADD",
    "minus": "SUB",
    "mult": "MUL",
    "divide": "DIV",
    "1/x": "INV",
    "inverse": "INV",
    "negative": "NEG",
    "power": "POW",
    "ln": "LOG",
    "arcsin": "ASIN",
    "arccos": "ACOS",
    "arctan": "ATAN",
    "minimum": "MIN",
    "maximum": "MAX",
}
"""Signs and usual names; a primitive's own name in any case, such as ``sin``, needs no entry."""


def suggestion(wrong: str, known: Iterable[str]) -> str:
    """`` Did you mean 'x'?`` for the known name nearest to a wrong one, or nothing."""
    near = difflib.get_close_matches(wrong, list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def operation(name: Any) -> str:
    """The primitive of a name or sign. Raises ``ValueError`` for one that is unknown or that no formula can hold."""
    if not isinstance(name, str):
        raise ValueError(f"An operation is given by its name, such as 'sin' or '+', not as {name!r}.")
    found = USUAL.get(name.strip().lower(), name.strip().upper())
    if found in AVAILABLE:
        return found
    if found in BY_NAME:
        raise ValueError(
            f"The operation {name!r} cannot stand in a formula over measurements; choose from {', '.join(sorted(AVAILABLE))}."
        )
    known = [*(n.lower() for n in sorted(AVAILABLE)), *sorted(USUAL)]
    near = suggestion(name.strip().lower(), known)
    raise ValueError(f"There is no operation {name!r}.{near or ' Choose from ' + ', '.join(sorted(AVAILABLE)) + '.'}")


def operations(names: Iterable[Any] | None) -> frozenset[str]:
    """The primitives that a formula may hold; None stands for the default. Raises ``ValueError`` where none is left."""
    if names is None:
        return DEFAULT_OPERATIONS
    found = frozenset(operation(name) for name in ([names] if isinstance(names, str) else names))
    if not found:
        raise ValueError("No operation is allowed; name at least one in operations, or leave it at None for the default.")
    return found


def nesting(limits: Mapping[Any, Mapping[Any, Any]] | None) -> dict[str, dict[str, int]]:
    """``{"sin": {"sin": 0}}`` by the primitives' names. Raises ``ValueError`` for what is no such mapping."""
    checked: dict[str, dict[str, int]] = {}
    for outer, inner in (limits or {}).items():
        if not isinstance(inner, Mapping):
            raise ValueError(f"nesting[{outer!r}] must be a dict such as {{'sin': 0}}, got {inner!r}.")
        allowed = checked.setdefault(operation(outer), {})
        for name, times in inner.items():
            if isinstance(times, bool) or not isinstance(times, int) or times < 0:
                raise ValueError(f"nesting[{outer!r}][{name!r}] says how often, so it must be 0, 1, 2, ..., not {times!r}.")
            allowed[operation(name)] = times
    return checked
