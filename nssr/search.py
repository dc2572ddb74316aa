"""The guided search over compositions: what the model thinks likely is tried first, and nothing is left out for good.

Each step asks the model once (a noisy carry gives a second opinion), mixes its slot probabilities with how often the
library uses each function, and takes the next candidates in that order: simple composition types at once, pairs of
functions joined by a third best first. Candidates are flat records; the engine checks them in bulk; a dict is made for
what survives. The functions that return lists of dicts are views of the same generator.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nssr import engine, executor, search_space
from nssr.engine.candidates import COMP_CODES
from nssr.guide import Guide, SlotScores, UnigramGuide, mixed
from nssr.ordering import Lanes
from nssr.screening import R2_NEAR, Counters, Examples, Found, Screen, complexity_score

if TYPE_CHECKING:
    from torch import Tensor

    from nssr.model import TRM

log = logging.getLogger("nssr.search")

COMP_TYPES = ["none", "sequential", "nested", "parallel"]

BATCH = 8192
FIRST_STEP_CANDIDATES = 60_000
MAX_CANDIDATES = 24_000_000
"""Most candidates of one search; columns beyond what this allows are left out, least relevant first."""

LEAST_COLUMNS = 4
"""So many of the most relevant columns are always searched; in a large library the least likely choices go instead."""

SIMPLE_SHARE = 0.25  # of MAX_CANDIDATES for each simple composition type
PRIOR_SHARE = 0.15
"""Share of the prior in every slot, at the temperature at which a search starts; hotter means more of it."""
CARRIES = 4
CARRY_NOISE = 0.1
"""Of the unit-RMS state. At 0.25 the opinion of the guide that comes with NSSR lost 0.07 of its -ln p of 5.38, at 0.1 0.004."""
START_TEMPERATURE = 2.0
TEMPERATURE_DECAY = 0.05


@dataclass(slots=True)
class Outcome:
    """How a search ended: the candidate (None if there is none), R2 of the best, and whether everything was tried."""

    found: Found | None
    r2: float
    exhausted: bool
    counters: Counters
    columns_left_out: int


class ModelGuide:
    """A trained TRM as a `Guide`: each call thinks anew, on several carries of which all but one get noise.

    The executor verifies every guess, so several noisy opinions in one batch are worth more than one long thought; and a model
    that was trained with one supervision step knows less after two.
    """

    def __init__(self, model: TRM, x: Tensor, *, seed: int = 0) -> None:
        import torch

        self.model = model
        self.x = x
        self.generator = torch.Generator(device="cpu").manual_seed(seed)

    def slot_scores(self, n_functions: int) -> SlotScores:
        from nssr.model import predict_slots

        opinion = predict_slots(self.model, self.x, n_carries=CARRIES, noise=CARRY_NOISE, generator=self.generator)
        scores = []
        for i, rows in enumerate((opinion.primary, opinion.secondary, opinion.tertiary, opinion.composition)):
            row = rows[0].astype(np.float64)
            if i < 3:  # a model of an older vocabulary knows nothing of the newest functions
                row = np.concatenate([row, np.full(max(n_functions - len(row), 0), row.min())])[:n_functions]
            scores.append(row - np.logaddexp.reduce(row))
        return SlotScores(*scores)


def guided(
    state: dict[str, Any],
    model: TRM | None,
    examples: Examples,
    x_input: Tensor | None,
    *,
    max_steps: int = 10,
    max_depth: int = 3,
    temperature_boost: float = 0.0,
) -> dict[str, Any] | None:
    """A candidate that explains ``examples``, or None. Without a model the library's own statistics give the order."""
    candidate, _ = _guided_inner(
        state, model, examples, x_input, max_steps=max_steps, max_depth=max_depth, temperature_boost=temperature_boost
    )
    return candidate


def _guided_inner(
    state: dict[str, Any],
    model: TRM | None,
    examples: Examples,
    x_input: Tensor | None,
    *,
    max_steps: int,
    max_depth: int,
    temperature_boost: float,
) -> tuple[dict[str, Any] | None, float]:
    outcome = find(
        state, model, examples, x_input, max_steps=max_steps, max_depth=max_depth, temperature_boost=temperature_boost
    )
    return (outcome.found.candidate if outcome.found else None), outcome.r2


def find(
    state: dict[str, Any],
    model: TRM | None,
    examples: Examples,
    x_input: Tensor | None,
    *,
    max_steps: int = 10,
    max_depth: int = 3,
    temperature_boost: float = 0.0,
    n_threads: int = 1,
    order: Sequence[str] = ("guided", "size"),
    choose: Callable[[list[Found]], Found] | None = None,
    progress: Callable[[int, int, Counters], None] | None = None,
) -> Outcome:
    """The whole search, with its counters.

    The simplest exact candidate of the first step that has one is returned (exact with fitted constants counts); else,
    when the steps are over, a near miss with R2 above 0.999 on the rows kept back, chosen by ``choose`` (default: the
    simplest, then the best). ``progress`` is called with step, steps and counters. ``order``: the lanes of `Lanes` that take
    turns; without a model the library's own statistics guide.
    """
    screen = Screen(state, examples, n_threads=n_threads)
    table = screen.table
    n_functions = table.n_functions
    simple = search_space.choices(state, max_depth=max_depth, tertiary=())
    joined = search_space.Joined(state, table, max_depth=max_depth)
    relevance = search_space.column_order(screen.columns, screen.y)

    def widths(number: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return search_space.widths_of_lengths(number, len(relevance), MAX_CANDIDATES, LEAST_COLUMNS)

    mirrored = joined.mirrored_of_length
    screen.counters.symmetric += int((mirrored * widths(mirrored).astype(float) ** np.arange(len(mirrored))).sum())
    width = widths(joined.of_length)
    narrowest = int(width[joined.of_length > 0].min(initial=len(relevance)))
    lanes = Lanes(joined, width)
    budget = float(MAX_CANDIDATES)
    guide: Guide | None = ModelGuide(model, x_input) if model is not None and x_input is not None else None
    prior = UnigramGuide(state["metadata"])
    for step in range(max(max_steps, 1)):
        # One temperature for all slots would change no order, so it sets how much of the prior is mixed in.
        temperature = max(START_TEMPERATURE + temperature_boost - TEMPERATURE_DECAY * step, 0.1)
        scores = prior.slot_scores(n_functions)
        if guide is not None:
            opinion = guide.slot_scores(n_functions)
            scores = mixed(opinion, scores, min(PRIOR_SHARE * temperature / START_TEMPERATURE, 0.9))
            _log_trm_step(state, step, opinion, opinion.composition, n_functions)
        found: list[Found] = []
        if step == 0:
            for comp in np.unique(simple["comp"]):
                part = simple[simple["comp"] == comp]
                n = search_space.widths(part, table.arity, len(relevance), SIMPLE_SHARE * MAX_CANDIDATES, LEAST_COLUMNS)
                narrowest = int(n.min(initial=narrowest))
                found += _run(screen, part, relevance, n)
        if not found and lanes and budget > 0:
            quota = FIRST_STEP_CANDIDATES * 2.0**step
            if step == max(max_steps, 1) - 1 and max_steps >= 10:
                quota = budget  # a full-length search leaves nothing untried that its budget allows
            quota = min(quota, budget)
            for lane in order:
                if found:
                    break
                share = quota / len(order)
                for chosen, columns in lanes.guided(scores, share) if lane == "guided" else lanes.by_size(share):
                    budget -= float(search_space.route_counts(chosen, table.arity, columns).sum())
                    found += _run(screen, chosen, relevance, columns)
                    if found:
                        break
        if progress is not None:
            progress(step + 1, max_steps, screen.counters)
        if found:
            best = _tidy(table, min(found, key=lambda f: preference(state, f)))
            return Outcome(best, best.r2, not lanes, screen.counters, len(relevance) - narrowest)
        if not lanes or budget <= 0:
            break
    near = screen.near_misses()
    _log_near_misses(state, [f.candidate for f in near], examples)
    outcome = Outcome(None, screen.best_r2, not lanes, screen.counters, len(relevance) - narrowest)
    if near:
        outcome.found = _tidy(table, choose(near) if choose else min(near, key=lambda f: (preference(state, f), -f.r2)))
        outcome.r2 = outcome.found.r2
    return outcome


def _run(
    screen: Screen, slots: npt.NDArray[Any], columns: Sequence[int], width: npt.NDArray[np.int64]
) -> list[Found]:
    """Checks every candidate of the choices over the first ``width`` columns; what is exact, with or without constants."""
    found: list[Found] = []
    buffer = np.empty(BATCH, dtype=engine.CANDIDATE)
    for n in np.unique(width):
        source = engine.Enumerator(slots[width == n], screen.table.arity, screen.table.commutative, columns[:n])
        while not source.exhausted:
            records = source.fill(BATCH, buffer)
            found += screen.exact(records)
            if not found:
                found += screen.fitted(records)
        screen.counters.symmetric += source.n_symmetric
        screen.counters.cut += source.n_cut
    return found


def preference(state: Mapping[str, Any], f: Found) -> tuple[int, int, int, int, int]:
    """Simplest first: documented score, then nodes of the expression (CONST adds none), then layers, then columns; of
    what is left, columns in their own order."""
    c = f.candidate
    routes = [i for route in (c["routing"] if c["comp_type"] == "parallel" else [c["routing"]]) for i in route]
    parts = [state["metadata"][c[k]] for k in ("primary_id", "secondary_id", "tertiary_id") if c[k] is not None]
    nodes = len(routes) + sum(entry["name"] != "CONST" for entry in parts)
    inversions = sum(a > b for place, a in enumerate(routes) for b in routes[place:])
    return complexity_score(c), nodes, sum(entry["layer"] for entry in parts), len(set(routes)), inversions


def _tidy(table: engine.FunctionTable, found: Found) -> Found:
    """The candidate with the operands of commutative functions in the order of the columns."""
    c = found.candidate
    if c["comp_type"] == "parallel":
        first, second = c["routing"]
        c["routing"] = (_in_order(table, c["primary_id"], first), _in_order(table, c["secondary_id"], second))
    elif c["comp_type"] in ("none", "nested", "sequential"):
        reader = c["secondary_id"] if c["comp_type"] == "sequential" else c["primary_id"]
        c["routing"] = _in_order(table, reader, c["routing"])
    return found


def _in_order(table: engine.FunctionTable, func_id: int, route: Sequence[int]) -> list[int]:
    return sorted(route) if len(route) == 2 and table.commutative[func_id] else list(route)


def _log_trm_step(
    state: Mapping[str, Any], step: int, logits: SlotScores, comp_logits: npt.NDArray[np.float64], n_functions: int
) -> None:
    """Logs what the model thinks most likely in each slot. Scores are natural-log probabilities."""
    if not log.isEnabledFor(logging.DEBUG):
        return
    names = state["metadata"]
    for slot in ("primary", "secondary", "tertiary"):
        row = getattr(logits, slot)[:n_functions]
        top = [int(i) for i in np.argsort(-row)[:5] if int(i) in names]
        log.debug("step %d, %s: %s", step, slot, ", ".join(f"{names[i]['name']} {math.exp(row[i]):.2f}" for i in top))
    kinds = zip(COMP_TYPES, comp_logits, strict=True)
    log.debug("step %d, composition: %s", step, ", ".join(f"{name} {math.exp(v):.2f}" for name, v in kinds))


def _log_near_misses(
    state: Mapping[str, Any], near_misses: Sequence[dict[str, Any]], examples: Examples, top_n: int = 5
) -> None:
    """Logs the candidates that came nearest, with their R2 over all examples."""
    if not near_misses or not log.isEnabledFor(logging.INFO):
        return
    lanes = engine.Dataset.from_examples(examples)
    r2 = engine.score(engine.ProgramBatch.from_candidates(state, near_misses, lanes.lanes), lanes).r2
    for i in np.argsort(-np.nan_to_num(r2, nan=-np.inf))[:top_n]:
        log.info("near miss: %s, R2 %.6f", _describe_candidate(state, near_misses[i]), r2[i])


def _describe_candidate(state: Mapping[str, Any], cand: Mapping[str, Any]) -> str:
    """One line for people: functions, routes, constants."""
    name = {i: entry["name"] for i, entry in state["metadata"].items()}.__getitem__
    p, s, t = cand["primary_id"], cand.get("secondary_id"), cand.get("tertiary_id")
    routing = cand.get("routing")
    kind = cand["comp_type"]
    if kind == "parallel":
        text = f"{name(t)}({name(p)}(...), {name(s)}(...))"
    elif kind == "sequential":
        text = f"{name(p)}({name(s)}(...))"
    elif kind == "nested":
        text = f"{name(p)}({name(s)}(each))"
    elif kind == "loop_direct":
        text = f"LOOP({name(p)})"
    elif kind == "loop_binary":
        text = f"LOOP({name(p)}, from 0)"
    else:
        text = name(p)
    if routing is not None:
        text += f" on {routing}"
    if cand.get("constants"):
        text += f" with {cand.get('const_mode', 'multiplicative')} {cand['constants']}"
    return text


def _null_column_subsets(input_arity: int, max_null: int = 0) -> list[list[int]]:
    """Subsets of columns to keep: all, singles, pairs from 3 columns on, triples from 4 on.

    ``max_null`` above 0 keeps only subsets that erase at most so many columns.
    """
    everything = list(range(input_arity))
    subsets = [everything]
    for size in (1, 2, 3):
        if size < input_arity and (size == 1 or input_arity > size):
            subsets += [list(kept) for kept in combinations(everything, size)]
    return [kept for kept in subsets if not max_null or input_arity - len(kept) <= max_null]


def _find_null_id(state: Mapping[str, Any]) -> int | None:
    """The id of NULL, or None."""
    return search_space.find_id(state, "NULL")


def _generate_candidates(
    state: dict[str, Any],
    tops: Mapping[str, Sequence[int]],
    comp_top: Sequence[int | str],
    max_depth: int,
    input_arity: int,
    null_subsets: Sequence[Sequence[int]],
    null_id: int | None,
) -> list[dict[str, Any]]:
    """Candidates from the most likely functions of each slot, as dicts: a view for a few, the search uses records.

    ``tops`` maps primary, secondary and tertiary to function ids; ``comp_top`` lists composition types. Depth 3 adds
    every learned function to the slots. At most 30 routings are made of each parallel choice and subset.
    """
    learned = [i for i, e in state["metadata"].items() if e.get("composition") is not None] if max_depth > 2 else []
    wanted = {COMP_CODES[COMP_TYPES[c] if isinstance(c, int) else c] for c in comp_top} | {0}
    barred = {null_id, state.get("loop_id")}
    lists = {slot: [i for i in [*tops[slot], *learned] if i not in barred] for slot in ("primary", "secondary", "tertiary")}
    slots = search_space.choices(
        state, max_depth=max_depth, primary=lists["primary"], secondary=lists["secondary"], tertiary=lists["tertiary"]
    )
    slots = slots[np.isin(slots["comp"], list(wanted)) | (slots["comp"] >= search_space.LOOP_DIRECT)]
    table = engine.FunctionTable(state["metadata"])
    parallel = slots["comp"] == search_space.PARALLEL
    return [
        *search_space.expand(table, slots[~parallel], input_arity, null_subsets),
        *search_space.expand(table, slots[parallel], input_arity, null_subsets, 30),
    ]


def _add_composition_candidates(
    candidates: list[dict[str, Any]],
    state: dict[str, Any],
    pid: int,
    sid: int,
    comp: str,
    input_arity: int,
    null_subsets: Sequence[Sequence[int]],
) -> None:
    """Appends the sequential or nested candidates of two functions."""
    slots = np.array([(COMP_CODES[comp], pid, sid, -1)], dtype=engine.SLOTS)
    candidates += search_space.expand(engine.FunctionTable(state["metadata"]), slots, input_arity, null_subsets)


def _add_parallel_candidates(
    candidates: list[dict[str, Any]],
    state: dict[str, Any],
    pid: int,
    sid: int,
    tid: int,
    input_arity: int,
    comp: str,
    null_subsets: Sequence[Sequence[int]],
    max_routings: int = 30,
) -> None:
    """Appends ``tid(pid(route), sid(route))``, at most ``max_routings`` for each subset of columns."""
    slots = np.array([(COMP_CODES[comp], pid, sid, tid)], dtype=engine.SLOTS)
    table = engine.FunctionTable(state["metadata"])
    candidates += search_space.expand(table, slots, input_arity, null_subsets, max_routings)


def _try_fit_constants(
    state: dict[str, Any], cand: dict[str, Any], examples: Examples, r2_threshold: float = 0.999
) -> dict[str, Any] | None:
    """The candidate with one fitted constant, a scale or else an offset, if R2 then exceeds the threshold; else None."""
    try:
        produced = [float(executor.run(state, cand, list(inputs))) for inputs, _ in examples]
    except (ArithmeticError, TypeError, ValueError, IndexError, RuntimeError):
        return None
    expected = [float(output) for _, output in examples]
    scale, offset = _fit_scale(produced, expected), _fit_offset(produced, expected)
    if scale is not None and _r2(expected, [scale * p for p in produced]) > r2_threshold:
        return {**cand, "constants": [scale], "const_mode": "multiplicative"}
    if offset is not None and _r2(expected, [p + offset for p in produced]) > r2_threshold:
        return {**cand, "constants": [offset], "const_mode": "additive"}
    return None


def _try_fit_any(state: dict[str, Any], candidates: Sequence[dict[str, Any]], examples: Examples) -> dict[str, Any] | None:
    """The first of the candidates that one constant turns into a solution."""
    for cand in candidates:
        fitted = _try_fit_constants(state, cand, examples, R2_NEAR)
        if fitted is not None:
            return fitted
    return None


def _fit_scale(produced: Sequence[float], expected: Sequence[float]) -> float | None:
    """Least-squares ``k`` of ``expected = k * produced``; None where produced is nearly zero."""
    from nssr.engine import fitting

    k = fitting.fit_scale(np.array(produced, dtype=float), np.array(expected, dtype=float))
    return k if math.isfinite(k) else None


def _fit_offset(produced: Sequence[float], expected: Sequence[float]) -> float | None:
    """``k`` of ``expected = produced + k``; None unless all differences agree within 1e-6."""
    from nssr.engine import fitting

    k = fitting.fit_offset(np.array(produced, dtype=float), np.array(expected, dtype=float))
    return k if math.isfinite(k) else None


def _r2(actual: Sequence[float], predicted: Sequence[float]) -> float:
    """Coefficient of determination; 1.0 if neither varies nor differs, -inf if only the target does not vary."""
    from nssr.engine import fitting

    return fitting.r2(np.array(actual, dtype=float), np.array(predicted, dtype=float))


def _candidate(
    primary_id: int,
    secondary_id: int | None = None,
    tertiary_id: int | None = None,
    *,
    comp_type: str = "none",
    routing: Any = None,
    null_columns: Sequence[int] | None = None,
) -> dict[str, Any]:
    """A candidate dict."""
    return {
        "primary_id": primary_id,
        "secondary_id": secondary_id,
        "tertiary_id": tertiary_id,
        "comp_type": comp_type,
        "routing": routing,
        "null_columns": list(null_columns) if null_columns else None,
    }


_complexity_score = complexity_score


def _cand_key(c: Mapping[str, Any]) -> tuple[Any, ...]:
    """A hashable key of everything that makes a candidate what it is."""

    def frozen(value: Any) -> Any:
        return tuple(frozen(v) for v in value) if isinstance(value, (list, tuple)) else value

    fields = ("primary_id", "secondary_id", "tertiary_id", "comp_type", "routing", "null_columns")
    return tuple(frozen(c.get(name)) for name in fields)


def format_examples(examples: Examples, *, input_dim: int, seq_len: int) -> Tensor:
    """One task's examples as the model's input, float32 (1, seq_len, input_dim). See `nssr.encoding`."""
    from nssr import encoding

    return encoding.format_examples(examples, input_dim=input_dim, seq_len=seq_len)
