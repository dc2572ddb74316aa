"""The space of candidates: which functions may stand where, how many candidates each choice has, and in what order.

The space is that of the six composition types over the columns of a task. It is never listed as a whole: a *choice* names
the functions, and `engine.Enumerator` makes the candidates of one choice after another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nssr import engine, primitives
from nssr.engine.candidates import COMP_CODES, ROUTE_LENGTH
from nssr.guide import SlotScores

NONE, SEQUENTIAL, NESTED, PARALLEL = (COMP_CODES[n] for n in ("none", "sequential", "nested", "parallel"))
LOOP_DIRECT, LOOP_BINARY = COMP_CODES["loop_direct"], COMP_CODES["loop_binary"]


def find_id(state: Mapping[str, Any], name: str) -> int | None:
    """The id of a primitive by name, or None if the registry lacks it or it is withheld."""
    for i, entry in state["metadata"].items():
        if entry["name"] == name and entry.get("composition") is None:
            return None if i in state.get("withheld", ()) else i
    return None


def placeable(state: Mapping[str, Any]) -> list[int]:
    """Ids of the functions that can fill a slot: neither NULL nor an iteration, not withheld, of routable arity."""
    out = []
    for i, entry in sorted(state["metadata"].items()):
        primitive = primitives.BY_OPCODE.get(entry["opcode"]) if entry.get("composition") is None else None
        barred = primitive is not None and primitive.rule in (primitives.ZERO, primitives.ITERATION)
        if not barred and i not in state.get("withheld", ()) and 0 <= entry["arity"] <= ROUTE_LENGTH:
            out.append(i)
    return out


def _grid(comp: int, primary: Sequence[int], secondary: Sequence[int] = (-1,), tertiary: Sequence[int] = (-1,)) -> Any:
    p, s, t = np.meshgrid(primary, secondary, tertiary, indexing="ij")
    out = np.empty(p.size, dtype=engine.SLOTS)
    out["comp"], out["primary"], out["secondary"], out["tertiary"] = comp, p.ravel(), s.ravel(), t.ravel()
    return out


def choices(
    state: Mapping[str, Any],
    *,
    max_depth: int = 3,
    primary: Iterable[int] | None = None,
    secondary: Iterable[int] | None = None,
    tertiary: Iterable[int] | None = None,
    identities: bool = True,
) -> npt.NDArray[Any]:
    """All choices of functions, as an engine.SLOTS array: none, sequential, nested, both loops, parallel.

    ``max_depth`` 1 gives single functions only. ``primary`` and so on restrict a slot. ``identities`` drops choices in
    which CONST only repeats a simpler one.
    """
    allowed = placeable(state)
    arity = {i: state["metadata"][i]["arity"] for i in allowed}
    first = [i for i in allowed if primary is None or i in set(primary)]
    second = [i for i in allowed if secondary is None or i in set(secondary)]
    third = [i for i in allowed if (tertiary is None or i in set(tertiary)) and arity[i] == 2]
    parts = [_grid(NONE, first)]
    if max_depth > 1:
        same = find_id(state, "CONST") if identities else None
        outer = [i for i in first if arity[i] >= 1 and i != same]
        parts.append(_grid(SEQUENTIAL, outer, [i for i in second if i != same]))
        parts.append(_grid(NESTED, [i for i in outer if arity[i] > 1], [i for i in second if arity[i] == 1 and i != same]))
        loop = state.get("loop_id")
        if loop is not None and loop not in state.get("withheld", ()):
            parts.append(_grid(LOOP_DIRECT, [i for i in first if arity[i] == 1 and i != same]))
            parts.append(_grid(LOOP_BINARY, [i for i in first if arity[i] == 2]))
        both = _grid(PARALLEL, first, second, third)
        if same is not None:
            both = both[(both["primary"] != same) | (both["secondary"] != same)]
        parts.append(both)
    return np.concatenate(parts)


def route_counts(slots: npt.NDArray[Any], arity: npt.NDArray[np.int32], n_columns: int) -> npt.NDArray[np.float64]:
    """How many candidates each choice has over ``n_columns`` columns, mirror images included. float64 (n,)."""
    arity = np.maximum(arity, 0)
    comp = slots["comp"]
    length = np.select(
        [comp == SEQUENTIAL, comp == PARALLEL, comp >= LOOP_DIRECT],
        [arity[slots["secondary"]], arity[slots["primary"]] + arity[slots["secondary"]], 2],
        arity[slots["primary"]],
    )
    return np.asarray(float(n_columns) ** length, dtype=np.float64)


def log_scores(
    slots: npt.NDArray[Any], scores: SlotScores, arity: npt.NDArray[np.int32], n_columns: int
) -> npt.NDArray[np.float64]:
    """Log-probability of one candidate of each choice: its slots' scores, and every route alike. float64 (n,).

    Loops have no class of their own among the composition types; they count as single functions.
    """
    comp = slots["comp"]
    kind = np.where(comp >= LOOP_DIRECT, 0, comp)
    total = scores.composition[kind] + scores.primary[slots["primary"]]
    total = total + np.where(slots["secondary"] >= 0, scores.secondary[slots["secondary"]], 0.0)
    total = total + np.where(slots["tertiary"] >= 0, scores.tertiary[slots["tertiary"]], 0.0)
    return np.asarray(total - np.log(route_counts(slots, arity, n_columns)))


def column_order(columns: Sequence[npt.NDArray[Any]], y: npt.NDArray[np.float64]) -> list[int]:
    """Columns by how much they seem to matter: the larger rank correlation of value with value and size with size.

    It orders, it does not choose: a column that acts only together with others can look like noise here.
    """
    if len(columns) == 1:
        return [0]

    def ranks(a: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        r = np.unique(a, axis=None, return_inverse=True)[1].astype(float)
        spread = r.std()
        return np.zeros_like(r) if spread == 0 else (r - r.mean()) / spread

    y_rank, y_size = ranks(y), ranks(np.abs(y))
    score = []
    for column in columns:
        x = column.astype(float)
        score.append(max(abs(float(ranks(x) @ y_rank)), abs(float(ranks(np.abs(x)) @ y_size))) / len(y))
    return [int(i) for i in np.argsort(-np.array(score), kind="stable")]


def columns_within(slots: npt.NDArray[Any], arity: npt.NDArray[np.int32], n_columns: int, budget: float) -> int:
    """The largest number of columns, at least one, for which the choices together have at most ``budget`` candidates."""
    while n_columns > 1 and float(route_counts(slots, arity, n_columns).sum()) > budget:
        n_columns -= 1
    return n_columns


def expand(
    table: engine.FunctionTable,
    slots: npt.NDArray[Any],
    input_arity: int,
    null_subsets: Sequence[Sequence[int]],
    max_routings: int = 0,
) -> list[dict[str, Any]]:
    """The candidates of a few choices as dicts, over each subset of kept columns, without repetition."""
    parts = []
    for kept in null_subsets:
        if not kept:
            continue
        source = engine.Enumerator(slots, table.arity, table.commutative, list(kept), max_routings=max_routings)
        while not source.exhausted:
            parts.append(source.fill(4096))
    if not parts:
        return []
    records = np.concatenate(parts)
    return list(engine.unpack(records[engine.deduplicate(records)], input_arity))
