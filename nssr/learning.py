"""The learning pipeline: search, simplify, register, grow the vocabulary, train on everything known.

`learn` is the documented entry; `learn_task` does the work and says more. The registry state carries what belongs to a
session beside the functions: ``replay_buffer``, ``ema`` (the averaged weights that searches use), ``config``.
"""

from __future__ import annotations

import logging
import math
import sqlite3
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nssr import db, engine, executor, registry
from nssr.curriculum import curriculum_tasks, library_tasks
from nssr.engine.candidates import COMP_CODES, ROUTE_LENGTH
from nssr.formula import Formula
from nssr.primitives import ABS_TOL, REL_TOL
from nssr.screening import R2_NEAR, Counters, Examples, Found, _spread, split
from nssr.search import _describe_candidate, find, format_examples, preference
from nssr.search_space import column_order, columns_within
from nssr.simplify import Composition, _function_args, _strip_unused_inputs, simplify

if TYPE_CHECKING:
    import torch

    from nssr.model import TRM

log = logging.getLogger("nssr.learning")

CONFIG: dict[str, Any] = {
    "input_dim": 32,
    "seq_len": 8,
    "d_model": 128,
    "n_heads": 8,
    "n_layers": 2,
    "n_recursions": 6,
    "T": 3,
    "n_sup": 16,
    "dropout": 0.1,
    "lr": 1e-4,
    "checkpoint_dir": "checkpoints",
}

SMALL_CONFIG: dict[str, Any] = {**CONFIG, "n_recursions": 2, "T": 1, "n_sup": 1, "dropout": 0.0, "lr": 2e-3, "batch_size": 64}
"""What `main` uses without a GPU: the same weights, less recursion. See docs/decisions.md for what was measured."""

TARGETS: list[tuple[str, list[tuple[list[int], int]]]] = [
    ("NAND", [([a, b], ~(a & b) & 1) for a in (0, 1) for b in (0, 1)]),
    ("XOR", [([a, b], (a | b) & ~(a & b)) for a in (0, 1) for b in (0, 1)]),
]

PRETRAIN_EPOCHS = 20
"""Passes over the curriculum before the first search."""

REPLAY_EPOCHS = 6
"""Passes over everything known after a discovery, in the command; `learn` documents 30, for who has the time."""

REPLAY_EXAMPLES = 32
KNOWN_R2 = 0.99
"""A function that is known by the name asked for explains at least this share of the variance, or it is another one."""
VERIFY_ROUNDS = 3
COUNTEREXAMPLES = 64
KNOWN_ROWS = 2000
"""Rows on which a function that is known already is judged."""
ROUTE_ROWS = 128
MAX_ROUTES = 300_000
"""So many ways of giving columns to a known function are tried, on so many rows."""
REFERENCE_ROUTES = 64
"""The best of those ways are judged by the reference, on so many rows; the first in order of columns is taken."""

Progress = Callable[[str, int, int, str], None]
"""Called with what is being done, how far, of how much, and a remark."""


@dataclass(slots=True)
class Lesson:
    """What came of one task. ``columns`` are the indices of the columns that the function reads, in its order."""

    name: str
    success: bool
    r2: float
    exact: bool = False
    known: bool = False
    same_as: str | None = None
    func_id: int | None = None
    composition: Composition = field(default_factory=list)
    constants: list[float] | None = None
    const_mode: str = "multiplicative"
    columns: list[int] = field(default_factory=list)
    held_out_r2: float = -math.inf
    counters: Counters = field(default_factory=Counters)
    columns_left_out: int = 0
    exhausted: bool = False


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


def _composition_of(state: Mapping[str, Any], candidate: Mapping[str, Any], input_arity: int) -> Composition:
    """`build_composition` with what the registry knows: how often a sequential candidate's result is read."""
    places = max(state["metadata"][candidate["primary_id"]]["arity"], 1)
    return build_composition({**candidate, "primary_places": places}, input_arity, state["loop_id"])


def _init_replay_buffer(state: dict[str, Any]) -> None:
    """Fills ``state["replay_buffer"]`` with the curriculum and a task per learned function, unless it is there."""
    if "replay_buffer" not in state:
        state["replay_buffer"] = curriculum_tasks(state) + library_tasks(state)


def _is_duplicate_discovery(state: Mapping[str, Any], candidate: Mapping[str, Any]) -> bool:
    """Whether the replay buffer holds a discovery with the same functions, routing and constants."""
    return _same_discovery(state, candidate) is not None


def _same_discovery(state: Mapping[str, Any], candidate: Mapping[str, Any]) -> str | None:
    fields = ("primary_id", "secondary_id", "tertiary_id", "comp_type", "routing", "constants")

    def plain(value: Any) -> Any:
        return [plain(v) for v in value] if isinstance(value, (list, tuple)) else value

    for task in state.get("replay_buffer", ()):
        other = task.get("candidate")
        if other is not None and all(plain(other.get(f)) == plain(candidate.get(f)) for f in fields):
            return str(task["name"])
    return None


def pretrain(
    state: dict[str, Any],
    model: TRM,
    optimizer: torch.optim.Optimizer,
    *,
    epochs: int | None = None,
    progress: Progress | None = None,
    doing: str = "training on the curriculum",
) -> list[float]:
    """Trains on everything in the replay buffer, batched; mean loss per epoch. Bounded in steps, not in seconds."""
    from nssr.train import train_on_replay

    _init_replay_buffer(state)
    tasks, config = state["replay_buffer"], state.get("config", CONFIG)
    epochs = PRETRAIN_EPOCHS if epochs is None else epochs
    batch_size = config.get("batch_size", 256)
    batches = -(-len(tasks) // batch_size)
    losses = train_on_replay(
        model, optimizer, tasks, input_dim=config["input_dim"], seq_len=config["seq_len"], n_sup=config["n_sup"],
        max_steps=epochs * config["n_sup"] * batches, batch_size=batch_size, ema=state.get("ema"), seed=len(tasks),
        progress=None if progress is None else (lambda step, total, loss: progress(doing, step, total, f"loss {loss:.2f}")),
    )  # fmt: skip
    state["trained"] = True  # only now: a model interrupted in its first training has to start that anew
    return losses


def learn(
    conn: sqlite3.Connection,
    state: dict[str, Any],
    model: TRM,
    optimizer: torch.optim.Optimizer,
    name: str,
    examples: Examples,
    *,
    max_search_steps: int = 10,
    max_depth: int = 3,
    num_epochs: int = 30,
    max_retries: int = 2,
) -> tuple[bool, torch.optim.Optimizer, float]:
    """Learns one function from examples: (success, optimizer, R2). The optimizer is a new one if the vocabulary grew."""
    lesson, optimizer = learn_task(
        conn, state, model, optimizer, name, examples,
        max_search_steps=max_search_steps, max_depth=max_depth, num_epochs=num_epochs, max_retries=max_retries,
    )  # fmt: skip
    return lesson.success, optimizer, lesson.r2


def learn_task(
    conn: sqlite3.Connection,
    state: dict[str, Any],
    model: TRM | None,
    optimizer: torch.optim.Optimizer,
    name: str,
    examples: Examples,
    *,
    max_search_steps: int = 10,
    max_depth: int = 3,
    num_epochs: int = 30,
    max_retries: int = 2,
    n_threads: int = 1,
    whole: engine.Dataset | None = None,
    rows: Callable[[Sequence[int]], Examples] | None = None,
    progress: Progress | None = None,
    announce: Callable[[Lesson], None] | None = None,
    keep: Callable[[torch.optim.Optimizer], None] | None = None,
    train_epochs: int | None = None,
) -> tuple[Lesson, torch.optim.Optimizer]:
    """The six phases: replay buffer, search with retries, duplicates, simplification, registration, replay training.

    ``whole`` is all the data when ``examples`` are a sample of it; ``rows`` gives examples by row number. A discovery that
    fails on rows outside the sample is searched for again with some of them added.

    ``announce`` is called as soon as the lesson is over and registered, before the training that follows. ``keep`` is
    called with the optimizer whenever the model has changed: before and after that training, and after the first one.
    ``train_epochs`` bounds the first training. Functions that another process has put into the library meanwhile are
    taken into ``state``; when one of them has this name, that is the answer.
    """
    examples = plain_examples(examples)
    optimizer = take_in(conn, state, model, optimizer)
    known = known_function(state, name, examples)
    if known is not None:
        return known, optimizer
    first_time = not state.get("trained")
    _init_replay_buffer(state)
    if first_time and model is not None:
        pretrain(state, model, optimizer, epochs=train_epochs, progress=progress)
        if keep is not None:
            keep(optimizer)
    lesson, found = _discover(
        state, model, name, examples, max_search_steps, max_depth, max_retries, n_threads, whole, rows, progress
    )
    if found is None:
        return lesson, optimizer
    lesson.same_as = _same_discovery(state, found.candidate)
    if lesson.same_as is None:
        width = len(examples[0][0])
        composition = _composition_of(state, found.candidate, width)
        constants = found.candidate.get("constants")
        mode = found.candidate.get("const_mode", "multiplicative")
        shorter, arity, used = simplify(state, composition, examples, constants, mode)
        lesson.columns = list(range(width)) if used is None else used
        if lesson.exact and whole is not None and not _holds(state, shorter, lesson.columns, constants, mode, whole):
            # The sample had no row that tells the shorter one from what was found.
            shorter, arity, used = _strip_unused_inputs(state, composition, examples, constants, mode)
            lesson.columns = list(range(width)) if used is None else used
        composition = shorter
        lesson.composition, lesson.constants, lesson.const_mode = composition, constants, mode
        try:
            lesson.func_id = registry.register_learned(conn, state, name, arity, composition, constants, mode)
        except ValueError:
            optimizer = take_in(conn, state, model, optimizer)
            known = known_function(state, name, examples)
            if known is None:  # not that another process was first
                raise
            return known, optimizer
        shown = [([inputs[c] for c in lesson.columns], output) for inputs, output in examples]
        state["replay_buffer"].append(
            {
                "name": name,
                "examples": shown[:REPLAY_EXAMPLES],
                "target": {"primary_id": lesson.func_id, "secondary_id": None, "tertiary_id": None, "comp_type": "none"},
                "candidate": found.candidate,
            }
        )
        lesson.r2 = executor.r_squared(state, lesson.func_id, shown)
        if announce is not None:
            announce(lesson)
        if model is not None:
            from nssr.optimizer import grow

            optimizer = grow(model, optimizer, registry.vocab_size(state), ema=state.get("ema"))
            if keep is not None:
                keep(optimizer)
            pretrain(state, model, optimizer, epochs=num_epochs, progress=progress, doing="training on all that is known")
            if keep is not None:
                keep(optimizer)
    else:
        lesson.func_id = next(i for i, e in state["metadata"].items() if e["name"] == lesson.same_as)
        lesson.columns = _read_columns(found.candidate)
    return lesson, optimizer


def _discover(
    state: dict[str, Any],
    model: TRM | None,
    name: str,
    examples: Examples,
    max_steps: int,
    max_depth: int,
    max_retries: int,
    n_threads: int,
    whole: engine.Dataset | None,
    rows: Callable[[Sequence[int]], Examples] | None,
    progress: Progress | None,
) -> tuple[Lesson, Found | None]:
    config = state.get("config", CONFIG)
    guide = state["ema"].model if state.get("ema") is not None and model is not None else model
    lesson = Lesson(name, False, -math.inf)
    if progress is not None:
        progress(f"searching {name}", 0, max_steps, f"{len(examples)} rows, {len(examples[0][0])} columns")
    for attempt in range(max_retries + 1):
        for _ in range(VERIFY_ROUNDS):
            x = format_examples(examples, input_dim=config["input_dim"], seq_len=config["seq_len"]) if guide else None
            outcome = find(
                state, guide, examples, x, max_steps=max_steps, max_depth=max_depth, n_threads=n_threads,
                temperature_boost=0.5 * attempt, choose=partial(_best_trade, state, examples),
                progress=None if progress is None else (
                    lambda step, steps, c: progress(f"searching {name}", step, steps, f"{c.checked:,} candidates")
                ),
            )  # fmt: skip
            lesson.counters, lesson.exhausted = outcome.counters, outcome.exhausted
            lesson.columns_left_out, lesson.r2 = outcome.columns_left_out, outcome.r2
            found = outcome.found
            wrong = [] if found is None or not found.exact or whole is None else _failing_rows(state, found, whole)
            if not wrong or rows is None:
                break
            examples = [*examples, *plain_examples(rows(wrong))]
        if found is not None and (wrong or not found.exact) and whole is not None:
            lesson.r2 = _r2_on(state, found, whole)
            if not lesson.r2 > R2_NEAR:
                found = None  # right on the sample only
        if found is not None:
            lesson.success, lesson.exact = True, found.exact and not wrong
            lesson.held_out_r2 = _held_out_r2(state, found, examples)
            log.info("%s: %s", name, _describe_candidate(state, found.candidate))
            return lesson, found
        if outcome.exhausted:
            break  # another order cannot find what is not there
    return lesson, None


def plain_examples(examples: Examples) -> list[tuple[list[Any], Any]]:
    """Examples as Python numbers, columns of one type: a column with a float becomes floats, bools become ints.

    ValueError on what is no finite number, on no examples and on rows of different length.
    """
    if not examples:
        raise ValueError("no examples")
    width = len(examples[0][0])
    columns: list[list[Any]] = [[] for _ in range(width + 1)]
    for place, (inputs, output) in enumerate(examples):
        if len(inputs) != width:
            raise ValueError(f"example {place} has {len(inputs)} inputs, the first one has {width}")
        for column, value in zip(columns, [*inputs, output], strict=True):
            if isinstance(value, (bool, np.bool_, np.integer)):
                value = int(value)
            elif isinstance(value, np.floating):
                value = float(value)
            if not isinstance(value, (int, float)) or not -_LARGEST <= value <= _LARGEST:
                raise ValueError(f"example {place} holds {_shown(value)}, which is no finite number that a float can hold")
            column.append(value)
    columns = [[float(v) for v in c] if any(isinstance(v, float) for v in c) else c for c in columns]
    return [(list(row[:-1]), row[-1]) for row in zip(*columns, strict=True)]


_LARGEST = sys.float_info.max


def _shown(value: Any) -> str:
    return "an integer of hundreds of digits" if isinstance(value, int) else repr(value)


def take_in(
    conn: sqlite3.Connection, state: dict[str, Any], model: TRM | None, optimizer: torch.optim.Optimizer
) -> torch.optim.Optimizer:
    """Takes functions that another process has registered since into ``state``, and grows the model with them."""
    if db.count_functions(conn) > registry.vocab_size(state):
        fresh = registry.load_registry(conn)
        state.update({key: fresh[key] for key in ("functions", "metadata", "next_id", "loop_id")})
    if model is not None and model.n_functions < registry.vocab_size(state):
        from nssr.optimizer import grow

        return grow(model, optimizer, registry.vocab_size(state), ema=state.get("ema"))
    if model is not None:
        held = {id(p) for group in optimizer.param_groups for p in group["params"]}
        if any(id(p) not in held for p in model.parameters()):  # an interrupt came between growing and returning it
            from nssr.optimizer import make_optimizer

            return make_optimizer(model, lr=optimizer.param_groups[0]["lr"])
    return optimizer


def known_function(state: dict[str, Any], name: str, examples: Examples) -> Lesson | None:
    """The function of this name, with its R2 on the examples over the columns that suit it best; None if unknown."""
    func_id = next((i for i, e in state["metadata"].items() if e["name"] == name), None)
    if func_id is None or registry.name_is_free(state, name):
        return None
    entry = state["metadata"][func_id]
    best = Lesson(name, False, -math.inf, known=True, func_id=func_id)
    if entry["composition"] is None:
        return best
    best.composition, best.constants = entry["composition"], entry["constants"]
    best.const_mode = entry["const_mode"]
    best.columns = _best_route(state, func_id, examples)
    if len(best.columns) == entry["arity"]:
        some = [examples[i] for i in _spread(range(len(examples)), KNOWN_ROWS)]
        best.r2 = executor.r_squared(state, func_id, [([x[c] for c in best.columns], y) for x, y in some])
        candidate = {"primary_id": func_id, "comp_type": "none", "routing": best.columns}
        best.exact = executor.validate(state, candidate, some)
    best.held_out_r2 = best.r2
    best.success = best.r2 > KNOWN_R2
    return best


def _best_route(state: dict[str, Any], func_id: int, examples: Examples) -> list[int]:
    """The columns to give to a function, in its order, that bring it nearest to the outputs."""
    arity, width = state["metadata"][func_id]["arity"], len(examples[0][0])
    if arity == 0 or arity > ROUTE_LENGTH:
        return list(range(min(arity, width)))
    table = engine.FunctionTable(state["metadata"])
    data = engine.Dataset.from_examples([examples[i] for i in _spread(range(len(examples)), ROUTE_ROWS)])
    slots = np.array([(COMP_CODES["none"], func_id, -1, -1)], dtype=engine.SLOTS)
    columns = column_order([np.array([x[c] for x, _ in examples], dtype=float) for c in range(width)],
                           np.array([y for _, y in examples], dtype=float))  # fmt: skip
    columns = columns[: columns_within(slots, table.arity, width, MAX_ROUTES)]
    source = engine.Enumerator(slots, table.arity, table.commutative, columns)
    best: list[tuple[float, list[int]]] = [(-math.inf, list(range(min(arity, width))))]
    while not source.exhausted:
        records = source.fill(4096)
        r2 = engine.score(engine.ProgramBatch.from_candidates(table, records, data.lanes), data).r2
        r2 = np.nan_to_num(r2, nan=math.inf)  # what the engine is unsure about may be right
        top = np.argsort(-r2, kind="stable")[:REFERENCE_ROUTES]
        routes = [list(candidate["routing"]) for candidate in engine.unpack(records[top], width)]
        best = sorted([*best, *zip(r2[top].tolist(), routes, strict=True)], key=lambda b: -b[0])[:REFERENCE_ROUTES]

    def judged(route: list[int]) -> tuple[float, list[int]]:
        shown = [([x[c] for c in route], y) for x, y in examples[:REFERENCE_ROUTES]]
        return -round(executor.r_squared(state, func_id, shown), 12), route

    return min((route for _, route in best if len(route) == arity), key=judged, default=best[0][1])


def _packed(state: Mapping[str, Any], found: Found, data: engine.Dataset) -> engine.ProgramBatch:
    return engine.ProgramBatch.from_candidates(state, [found.candidate], data.lanes)


def _r2_on(state: Mapping[str, Any], found: Found, data: engine.Dataset) -> float:
    r2 = float(engine.score(_packed(state, found, data), data).r2[0])
    return r2 if math.isfinite(r2) else -math.inf


def _holds(
    state: dict[str, Any],
    composition: Composition,
    columns: Sequence[int],
    constants: Sequence[float] | None,
    mode: str,
    whole: engine.Dataset,
) -> bool:
    """Whether a composition over some of the columns fails on no row of the whole data."""
    width, shift = whole.n_columns, whole.n_columns - len(columns)
    steps = []
    for child, args in composition:
        n = _function_args(state, child)
        moved = [a if a < 0 else columns[a] if a < len(columns) else a + shift for a in args[n:]]
        steps.append((child, [*args[:n], *moved]))
    batch = engine.ProgramBatch.from_compositions(state, [(steps, width, constants, mode)], whole.lanes)
    return bool(engine.validate(batch, whole)[0] != engine.FAIL)


def _failing_rows(state: Mapping[str, Any], found: Found, whole: engine.Dataset) -> list[int]:
    """Some rows of the whole data on which an exact candidate certainly fails."""
    batch = _packed(state, found, whole)
    if engine.validate(batch, whole)[0] != engine.FAIL:
        return []
    values, _ = engine.predict(batch, whole)
    y = whole.target
    assert y is not None
    with np.errstate(invalid="ignore"):
        near = np.maximum(REL_TOL * np.maximum(np.abs(values[0]), np.abs(y)), ABS_TOL)
        bad = ~((np.abs(values[0] - y) <= near) | (values[0] == y))
    rows = np.flatnonzero(bad)
    return [int(r) for r in rows[np.linspace(0, len(rows) - 1, min(len(rows), COUNTEREXAMPLES)).astype(int)]]


def _held_out_r2(state: dict[str, Any], found: Found, examples: Examples) -> float:
    """R2 on the rows that the search kept back."""
    _, hold = split(examples)
    data = engine.Dataset.from_examples([examples[i] for i in hold])
    r2 = float(engine.score(_packed(state, found, data), data).r2[0])
    if math.isfinite(r2):
        return r2
    # A constant target has no variance to explain; an unsure row is the reference's to judge.
    return 1.0 if executor.validate(state, found.candidate, [examples[i] for i in hold]) else r2


def _read_columns(candidate: Mapping[str, Any]) -> list[int]:
    routing = candidate["routing"]
    flat = [i for route in routing for i in route] if candidate["comp_type"] == "parallel" else routing
    return sorted({i for i in flat if i >= 0})


def _best_trade(state: dict[str, Any], examples: Examples, near: list[Found]) -> Found:
    """Of several near misses the one with the shortest description: bits for the residual plus bits for the formula.

    Two-part code length in the manner of the Bayesian information criterion: n log(1 - R2) + log(n) size (Schwarz, 1978,
    Annals of Statistics 6), with one unit of size for each node of the simplified formula.
    """
    width, n = len(examples[0][0]), len(examples)
    nonzero = [c for c in range(width) if all(inputs[c] != 0 for inputs, _ in examples)]

    def cost(found: Found) -> tuple[float, Any]:
        c = found.candidate
        composition = _composition_of(state, c, width)
        formula = Formula.from_composition(
            state, composition, width, constants=c.get("constants"), const_mode=c.get("const_mode", "multiplicative"),
            nonzero=nonzero,
        )  # fmt: skip
        bits = n * math.log(max(1 - found.r2, 1e-15)) + 2 * math.log(n) * formula.size
        return round(bits, 6), preference(state, found)  # many compositions are one formula

    return min(near, key=cost)


def reads_function(state: Mapping[str, Any], composition: Composition) -> list[str]:
    """Names of the functions that a composition calls, iterated ones included."""
    ids = [i for child, args in composition for i in (child, *args[: _function_args(dict(state), child)])]
    return registry.get_names(dict(state), list(dict.fromkeys(ids)))


def checkpoint_path(state: Mapping[str, Any]) -> Path:
    return Path(state.get("config", CONFIG)["checkpoint_dir"]) / "model.pt"


def save_checkpoint(model: TRM, optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Writes weights, averaged weights, optimizer and vocabulary, in one atomic replacement."""
    from nssr import checkpoint

    vocab = registry.plain_names(dict(state))
    checkpoint.save(checkpoint_path(state), model, optimizer, state.get("ema"), vocab, state.get("config", CONFIG))


def load_checkpoint(model: TRM, optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> bool:
    """Loads what `save_checkpoint` wrote; False if there is none or it belongs to another vocabulary.

    UserError if the file is damaged or foreign.
    """
    from nssr import checkpoint

    vocab = registry.plain_names(dict(state))
    loaded = checkpoint.load(checkpoint_path(state), model, optimizer, state.get("ema"), vocab)
    if loaded:
        state["trained"] = True
    return loaded


def _fmt_candidate(state: Mapping[str, Any], c: Mapping[str, Any]) -> str:
    """A candidate for people, with letters for columns: ``ADD(MUL(...))``, ``LOOP(INC, count=b, init=a)``."""
    if not c["comp_type"].startswith("loop"):
        return _describe_candidate(state, c)
    body = state["metadata"][c["primary_id"]]["name"]
    letters = [chr(ord("a") + i) if i >= 0 else "0" for i in (c.get("routing") or [0, 1])]
    if c["comp_type"] == "loop_direct":
        return f"LOOP({body}, count={letters[1]}, init={letters[0]})"
    return f"LOOP({body}, count={letters[1]}, init=0, step={letters[0]})"
