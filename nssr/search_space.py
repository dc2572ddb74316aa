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
    which CONST only repeats a simpler one. The parallel ones grow with the cube of the library: a search asks for none
    (``tertiary=()``), and for `Joined` instead.
    """
    allowed = placeable(state)
    arity = {i: state["metadata"][i]["arity"] for i in allowed}
    first, second, third = (
        allowed if given is None else sorted(set(given).intersection(allowed)) for given in (primary, secondary, tertiary)
    )
    third = [i for i in third if arity[i] == 2]
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


class Joined:
    """The choices that join two functions by a third: a product of three lists, never listed as a whole.

    A *pair* is a place in the first list times the length of the second plus a place in that; a choice is a pair times the
    number of joining functions plus the place of one. All are in the order of `choices`. Those of which `mirrored` leaves
    one out, and CONST of two columns, are no choices.
    """

    def __init__(self, state: Mapping[str, Any], table: engine.FunctionTable, *, max_depth: int = 3) -> None:
        allowed = placeable(state) if max_depth > 1 else []
        self.functions = np.array(allowed, dtype=np.int64)
        arity = np.maximum(table.arity, 0)
        self.joining = np.array([i for i in allowed if arity[i] == 2], dtype=np.int64)
        self.swaps = table.commutative[self.joining].astype(bool)  # (joining,): those whose mirror images are left out
        n = len(self.functions)
        first, second = (axis.ravel() for axis in np.indices((n, n)))
        a = arity[self.functions].astype(np.int64)
        self.length = a[first] + a[second]  # (pairs,), as `route_lengths` has it
        self.mirror = first > second  # (pairs,)
        same = find_id(state, "CONST")
        self.barred = np.zeros(n * n, dtype=np.bool_)
        if same is not None:
            self.barred |= (self.functions[first] == same) & (self.functions[second] == same)
        longest = int(self.length.max(initial=0)) + 1
        usable, upper = self.length[~self.barred], self.length[~self.barred & ~self.mirror]
        swapping = int(self.swaps.sum())
        pairs, upper = (np.bincount(lengths, minlength=longest) for lengths in (usable, upper))
        self.of_length = upper * swapping + pairs * (len(self.joining) - swapping)  # choices, by length of route
        self.mirrored_of_length = (pairs - upper) * swapping

    def __len__(self) -> int:
        return int(self.of_length.sum())

    def slots(self, pairs: npt.NDArray[np.int64], joining: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """SLOTS (n,) of choices given as pairs and places of joining functions, int64 (n,) each."""
        out = np.empty(len(pairs), dtype=engine.SLOTS)
        n = max(len(self.functions), 1)
        out["comp"] = PARALLEL
        out["primary"], out["secondary"] = self.functions[pairs // n], self.functions[pairs % n]
        out["tertiary"] = self.joining[joining]
        return out


def route_lengths(slots: npt.NDArray[Any], arity: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """How many columns a candidate of each choice names. int64 (n,)."""
    arity = np.maximum(arity, 0)
    comp = slots["comp"]
    length = np.select(
        [comp == SEQUENTIAL, comp == PARALLEL, comp >= LOOP_DIRECT],
        [arity[slots["secondary"]], arity[slots["primary"]] + arity[slots["secondary"]], 2],
        arity[slots["primary"]],
    )
    return np.asarray(length, dtype=np.int64)


def route_counts(
    slots: npt.NDArray[Any], arity: npt.NDArray[np.int32], n_columns: int | npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """How many candidates each choice has, mirror images included. float64 (n,).

    ``n_columns`` is the number of columns, one for all choices or one for each (`widths`).
    """
    return np.asarray(np.asarray(n_columns, dtype=np.float64) ** route_lengths(slots, arity), dtype=np.float64)


def mirrored(slots: npt.NDArray[Any], commutative: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Choices that join two functions by a commutative third in the order that `engine.Enumerator` leaves to the
    mirror image, the choice with both functions exchanged. bool (n,)."""
    swaps = (slots["comp"] == PARALLEL) & (slots["primary"] > slots["secondary"])
    return np.asarray(swaps & commutative[np.maximum(slots["tertiary"], 0)].astype(bool))


def log_scores(
    slots: npt.NDArray[Any],
    scores: SlotScores,
    arity: npt.NDArray[np.int32],
    n_columns: int | npt.NDArray[np.int64],
    commutative: npt.NDArray[Any] | None = None,
) -> npt.NDArray[np.float64]:
    """Log-probability of one candidate of each choice: its slots' scores, and every route alike. float64 (n,).

    Loops have no class of their own among the composition types; they count as single functions. With ``commutative``
    (by function id) a choice that stands for its mirror image too scores as the better of the two.
    """
    comp, first, second, third = slots["comp"], slots["primary"], slots["secondary"], slots["tertiary"]
    kind = np.where(comp >= LOOP_DIRECT, 0, comp)
    pair = scores.primary[first] + np.where(second >= 0, scores.secondary[second], 0.0)
    if commutative is not None:
        both = (comp == PARALLEL) & commutative[np.maximum(third, 0)].astype(bool)
        pair = np.where(both, np.maximum(pair, scores.primary[second] + scores.secondary[first]), pair)
    total = scores.composition[kind] + pair + np.where(third >= 0, scores.tertiary[third], 0.0)
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


MOST_AT_LEAST = 65536  # candidates that one choice may have in spite of the budget


def widths(
    slots: npt.NDArray[Any], arity: npt.NDArray[np.int32], n_columns: int, budget: float, least: int = 1
) -> npt.NDArray[np.int64]:
    """How many of the columns each choice may use, so that all have at most ``budget`` candidates together. int64 (n,).

    Choices with routes of one length share a number of columns. Short routes come first and leave what they do not need
    to longer ones: functions of many arguments must not take columns away from sums and products. A choice gets
    ``least`` columns whatever the budget says, fewer only where it would have more than MOST_AT_LEAST candidates then.
    """
    length = route_lengths(slots, arity)
    return widths_of_lengths(np.bincount(length), n_columns, budget, least)[length]


def widths_of_lengths(
    number: npt.NDArray[np.int64], n_columns: int, budget: float, least: int = 1
) -> npt.NDArray[np.int64]:
    """`widths` by length of route, of which there are ``number`` choices each. int64 (lengths,)."""
    out = np.full(len(number), n_columns, dtype=np.int64)
    lengths = np.flatnonzero(number)
    for place, n in enumerate(lengths.tolist()):
        # Longer routes keep one column each, whatever shorter ones could use.
        share = min(budget * 2 / (len(lengths) - place + 1), budget - number[n + 1 :].sum())
        floor = max(w for w in range(1, min(least, n_columns) + 1) if w == 1 or w**n <= MOST_AT_LEAST)
        width = n_columns
        while width > floor and number[n] * float(width) ** n > share:
            width -= 1
        out[n] = width
        budget = max(budget - number[n] * float(width) ** n, 0.0)
    return out


def expand(
    table: engine.FunctionTable,
    slots: npt.NDArray[Any],
    input_arity: int,
    null_subsets: Sequence[Sequence[int]],
    max_routings: int = 0,
) -> list[dict[str, Any]]:
    """The candidates of a few choices as dicts, over each subset of kept columns, without repetition.

    Mirror images are not skipped: the choice that stands for both need not be among the few.
    """
    parts = []
    for kept in null_subsets:
        if not kept:
            continue
        source = engine.Enumerator(
            slots, table.arity, table.commutative, list(kept), symmetry=False, max_routings=max_routings
        )
        while not source.exhausted:
            parts.append(source.fill(4096))
    if not parts:
        return []
    records = np.concatenate(parts)
    return list(engine.unpack(records[engine.deduplicate(records)], input_arity))
