"""The learning pipeline: search, simplify, register, grow the vocabulary, train on everything known.

`learn` is the documented entry; `learn_task` does the work and says more. The registry state carries what belongs to a
session beside the functions: ``replay_buffer``, ``ema`` (the averaged weights that searches use), ``config``.
"""

from __future__ import annotations

import logging
import math
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nssr import db, engine, executor, registry
from nssr.composing import _fmt_candidate, build_composition, composition_of, read_columns, reads_function
from nssr.curriculum import curriculum_tasks, library_tasks
from nssr.judging import best_route, best_trade, failing_rows, held_out_r2, holds_on, plain_examples, r2_on
from nssr.screening import R2_NEAR, Counters, Examples, Found, _spread
from nssr.search import _describe_candidate, find, format_examples
from nssr.simplify import Composition, _strip_unused_inputs, simplify

if TYPE_CHECKING:
    import torch

    from nssr.model import TRM

__all__ = [
    "CONFIG", "TARGETS", "Lesson", "_fmt_candidate", "_init_replay_buffer", "_is_duplicate_discovery", "build_composition",
    "curriculum_tasks", "known_function", "learn", "learn_task", "load_checkpoint", "plain_examples", "pretrain",
    "reads_function", "save_checkpoint",
]  # fmt: skip

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

SMALL_CONFIG: dict[str, Any] = {
    **CONFIG, "reading": "set", "n_recursions": 2, "T": 1, "n_sup": 1, "dropout": 0.0, "lr": 2e-3, "batch_size": 64,
}  # fmt: skip
"""What the command uses: examples read as a set, little recursion. See docs/decisions.md for what was measured."""

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
KNOWN_ROWS = 2000
"""Rows on which a function that is known already is judged."""

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


def _of_training(doing: str, progress: Progress | None) -> Callable[[int, int, float], None] | None:
    """What a training tells of its steps, told on."""
    return None if progress is None else (lambda step, total, loss: progress(doing, step, total, f"loss {loss:.2f}"))


def pretrain(
    state: dict[str, Any],
    model: TRM,
    optimizer: torch.optim.Optimizer,
    *,
    epochs: int | None = None,
    progress: Progress | None = None,
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
        progress=_of_training("training on the curriculum", progress),
    )  # fmt: skip
    state["trained"] = True  # only now: a model interrupted in its first training has to start that anew
    return losses


def _sleep(
    state: dict[str, Any], model: TRM, optimizer: torch.optim.Optimizer, epochs: int, progress: Progress | None
) -> None:
    from nssr.sleeping import sleep

    _init_replay_buffer(state)
    sleep(
        state, model, optimizer, epochs=epochs, ema=state.get("ema"), seed=registry.vocab_size(state),
        progress=_of_training("training on all that is known", progress),
    )  # fmt: skip


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
        composition = composition_of(state, found.candidate, width)
        constants = found.candidate.get("constants")
        mode = found.candidate.get("const_mode", "multiplicative")
        shorter, arity, used = simplify(state, composition, examples, constants, mode)
        lesson.columns = list(range(width)) if used is None else used
        if lesson.exact and whole is not None and not holds_on(state, shorter, lesson.columns, constants, mode, whole):
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
            _sleep(state, model, optimizer, num_epochs, progress)
            if keep is not None:
                keep(optimizer)
    else:
        lesson.func_id = next(i for i, e in state["metadata"].items() if e["name"] == lesson.same_as)
        lesson.columns = read_columns(found.candidate)
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
                temperature_boost=0.5 * attempt, choose=partial(best_trade, state, examples),
                progress=None if progress is None else (
                    lambda step, steps, c: progress(f"searching {name}", step, steps, f"{c.checked:,} candidates")
                ),
            )  # fmt: skip
            lesson.counters, lesson.exhausted = outcome.counters, outcome.exhausted
            lesson.columns_left_out, lesson.r2 = outcome.columns_left_out, outcome.r2
            found = outcome.found
            wrong = [] if found is None or not found.exact or whole is None else failing_rows(state, found, whole, rows)
            if not wrong or rows is None:
                break
            examples = [*examples, *plain_examples(rows(wrong))]
        if found is not None and (wrong or not found.exact) and whole is not None:
            lesson.r2 = r2_on(state, found, whole)
            if not lesson.r2 > R2_NEAR:
                found = None  # right on the sample only
        if found is not None:
            lesson.success, lesson.exact = True, found.exact and not wrong
            lesson.held_out_r2 = held_out_r2(state, found, examples)
            log.info("%s: %s", name, _describe_candidate(state, found.candidate))
            return lesson, found
        if outcome.exhausted:
            break  # another order cannot find what is not there
    return lesson, None


def take_in(
    conn: sqlite3.Connection, state: dict[str, Any], model: TRM | None, optimizer: torch.optim.Optimizer
) -> torch.optim.Optimizer:
    """Takes functions that another process has registered since into ``state``, and grows the model with them."""
    if db.max_id(conn) >= registry.vocab_size(state):
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
    best.columns = best_route(state, func_id, examples)
    if len(best.columns) == entry["arity"]:
        some = [examples[i] for i in _spread(range(len(examples)), KNOWN_ROWS)]
        best.r2 = executor.r_squared(state, func_id, [([x[c] for c in best.columns], y) for x, y in some])
        candidate = {"primary_id": func_id, "comp_type": "none", "routing": best.columns}
        best.exact = executor.validate(state, candidate, some)
    best.held_out_r2 = best.r2
    best.success = best.r2 > KNOWN_R2
    return best


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


