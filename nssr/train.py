"""Training the guide: losses, one batched supervision step, replay, growth of the vocabulary, averaged weights.

Everything goes through :func:`supervision_step`: a batch of tasks, one forward call of the TRM, one optimiser step. A
batch is supervised several times with the carry handed on (deep supervision, arXiv 2510.04871); a task that the model
says it has solved leaves the batch. Batches are what makes this fast: per core, 128 tasks at once train several times
as many tasks a second as one at a time.

No wall clock decides anything here: runs are bounded in steps, and ``should_stop`` lets a caller with a clock end them.
This module knows targets as numbers (ids of functions, index of a composition type), not programs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from .device import mark_step
from .encoding import Task, as_arrays, format_tasks
from .model import FUNCTION_HEADS, TRM, Carry, fresh_carry
from .optimizer import EMA, grow, make_optimizer, resize_optimizer

__all__ = [
    "COMP_TYPE_INDEX", "EMA", "BatchLoss", "StepResult", "TargetBatch", "batch_loss", "compute_loss", "descend", "grow",
    "make_optimizer", "resize_optimizer", "set_rates", "supervision_step", "target_batch", "train_on_examples", "train_on_replay",
]  # fmt: skip

COMP_TYPE_INDEX = {"none": 0, "sequential": 1, "nested": 2, "parallel": 3, "loop_direct": 0, "loop_binary": 0}
"""Class of each composition type. Loops have none of their own: the search enumerates them in its unguided lane."""

UNUSED = -100
"""Target of a slot that the program does not have; such a slot costs nothing."""

HALT_WEIGHT = 0.5
MAX_GRAD_NORM = 1.0
EXPLORE = 0.1
"""Share of tasks that must think for a random number of steps before they may halt, as in the paper's code."""

Progress = Callable[[int, int, float], None]
"""Called after each optimiser step with (steps done, most steps there can be, loss)."""


@dataclass(frozen=True, slots=True)
class TargetBatch:
    """What the heads should say, one entry per task: int64 tensors of shape (batch,), ``UNUSED`` where a slot is
    empty."""

    primary: Tensor
    secondary: Tensor
    tertiary: Tensor
    composition: Tensor

    def __len__(self) -> int:
        return len(self.primary)

    def _each(self, change: Callable[[Tensor], Tensor]) -> TargetBatch:
        return TargetBatch(*(change(t) for t in (self.primary, self.secondary, self.tertiary, self.composition)))

    def rows(self, index: Tensor) -> TargetBatch:
        return self._each(lambda t: t[index])

    def to(self, device: torch.device | str) -> TargetBatch:
        return self._each(lambda t: t.to(device))


def target_batch(targets: Iterable[Mapping[str, Any]], *, n_functions: int | None = None) -> TargetBatch:
    """Targets as tensors. A target has ``primary_id``, ``secondary_id`` and ``tertiary_id`` (None or absent: unused)
    and ``comp_type``. With ``n_functions`` an id beyond the heads is refused here, where CUDA would only abort."""
    columns: list[list[int]] = [[], [], [], []]
    for target in targets:
        for column, slot in zip(columns, FUNCTION_HEADS, strict=False):
            function = target.get(f"{slot}_id")
            if function is not None and n_functions is not None and not 0 <= function < n_functions:
                raise ValueError(f"{slot}_id is {function}, but the heads have {n_functions} rows; grow them first")
            column.append(UNUSED if function is None else int(function))
        comp_type = target.get("comp_type") or "none"
        if comp_type not in COMP_TYPE_INDEX:
            raise ValueError(f"comp_type is {comp_type!r}; known are {', '.join(COMP_TYPE_INDEX)}")
        columns[3].append(COMP_TYPE_INDEX[comp_type])
    return TargetBatch(*(torch.tensor(column, dtype=torch.int64) for column in columns))


@dataclass(frozen=True, slots=True)
class BatchLoss:
    """``total``: scalar with gradient; ``rows``: its share per task before weighting, and ``solved``: whether every
    slot that the program has is guessed right; both (batch,) without gradient."""

    total: Tensor
    rows: Tensor
    solved: Tensor


def batch_loss(
    outputs: Mapping[str, Tensor],
    targets: TargetBatch,
    *,
    weight: Tensor | None = None,
    entropy_weight: float = 0.0,
    halt_weight: float = HALT_WEIGHT,
) -> BatchLoss:
    """Loss of a batch: per task, minus the log-probability that the search will give to the target program, plus the
    halt loss; averaged with ``weight`` (batch,), by default evenly.

    A slot that the program does not have costs nothing. The documented design gave it a dummy class at a tenth of the
    weight, which teaches the heads a function that was never meant; and it paid an entropy bonus on the very
    distributions the search ranks by, which flattens them. ``entropy_weight`` brings the bonus back. The halt head
    learns whether every slot is right.
    """
    labels = {name: getattr(targets, name) for name in (*FUNCTION_HEADS, "composition")}
    rows = torch.zeros_like(outputs["halt_logits"][:, 0], dtype=torch.float32)
    solved = torch.ones_like(rows, dtype=torch.bool)
    for name, label in labels.items():
        logits = outputs[f"{name}_logits"].float()
        rows = rows + F.cross_entropy(logits, label, ignore_index=UNUSED, reduction="none")
        solved &= (logits.argmax(dim=-1) == label) | (label == UNUSED)
        if entropy_weight and name in FUNCTION_HEADS:
            log_p = logits.log_softmax(dim=-1)
            rows = rows + entropy_weight * (log_p.exp() * log_p).sum(dim=-1)
    halt = outputs["halt_logits"][:, 0].float()
    rows = rows + halt_weight * F.binary_cross_entropy_with_logits(halt, solved.float(), reduction="none")
    total = rows.mean() if weight is None else (rows * weight).sum() / weight.sum().clamp(min=1e-9)
    return BatchLoss(total, rows.detach(), solved)


def compute_loss(outputs: dict[str, Tensor], target: dict, batch_size: int, *, entropy_weight: float = 0.0) -> Tensor:
    """Loss of ``batch_size`` rows that all have the one target program; see :func:`batch_loss`. Returns a scalar."""
    targets = target_batch([target] * batch_size).to(outputs["halt_logits"].device)
    return batch_loss(outputs, targets, entropy_weight=entropy_weight).total


@dataclass(frozen=True, slots=True)
class StepResult:
    """Of one supervision step: the carry, the loss, and per row whether all slots were right and the halt
    probability."""

    carry: Carry
    loss: float
    solved: Tensor
    halt: Tensor


def descend(model: TRM, optimizer: torch.optim.Optimizer, loss: Tensor, ema: EMA | None = None) -> None:
    """One backward pass and one optimiser step. Gradients are clipped to norm 1; a step whose gradient is not finite is left out
    instead of ruining the weights."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    norm = clip_grad_norm_(model.parameters(), MAX_GRAD_NORM)
    if torch.isfinite(norm):
        optimizer.step()
        if ema is not None:
            ema.update(model)


def set_rates(optimizer: torch.optim.Optimizer, rates: Sequence[float], factor: float = 1.0) -> None:
    """The learning rates of the optimizer's groups: ``rates``, times a factor."""
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate * factor


def supervision_step(
    model: TRM,
    optimizer: torch.optim.Optimizer,
    carry: Carry,
    x: Tensor,
    targets: TargetBatch,
    *,
    weight: Tensor | None = None,
    ema: EMA | None = None,
) -> StepResult:
    """One forward pass, one backward pass and one optimiser step for a batch x (batch, seq_len, input_dim) of tasks."""
    mark_step(x.device)
    carry, outputs = model(carry, x)
    loss = batch_loss(outputs, targets, weight=weight)
    descend(model, optimizer, loss.total, ema)
    halt = outputs["halt_logits"].detach()[:, 0].float().sigmoid()
    return StepResult(carry, float(loss.total.detach()), loss.solved, halt)


class _Run:
    """One training run: the optimizer's learning rates, the number of steps done, and who wants to hear of them.

    The rates follow a linear warm-up over a twentieth of the steps (at most 50) and a cosine down to a tenth; on
    leaving the run, however it is left, the optimizer has its own rates back and the model its mode.
    """

    def __init__(
        self,
        model: TRM,
        optimizer: torch.optim.Optimizer,
        total: int,
        *,
        scheduled: bool,
        ema: EMA | None,
        progress: Progress | None,
        should_stop: Callable[[], bool] | None,
    ) -> None:
        self.model, self.optimizer, self.total, self.ema = model, optimizer, total, ema
        self.scheduled, self.progress, self.should_stop = scheduled, progress, should_stop
        self.done = 0

    def __enter__(self) -> _Run:
        self.was_training = self.model.training
        self.base_rates = [group["lr"] for group in self.optimizer.param_groups]
        self.model.train()
        return self

    def __exit__(self, *_: object) -> None:
        set_rates(self.optimizer, self.base_rates)
        self.model.train(self.was_training)

    def _rate(self) -> float:
        warm_up = max(1, min(50, self.total // 20))
        fallen = max(0, self.done - warm_up) / max(1, self.total - warm_up)
        return min(1.0, (self.done + 1) / warm_up) * (0.55 + 0.45 * math.cos(math.pi * fallen))

    def step(self, carry: Carry, x: Tensor, targets: TargetBatch, weight: Tensor) -> StepResult | None:
        """One supervision step, or None when the run is over."""
        if self.done >= self.total or (self.should_stop is not None and self.should_stop()):
            return None
        if self.scheduled:
            set_rates(self.optimizer, self.base_rates, self._rate())
        result = supervision_step(self.model, self.optimizer, carry, x, targets, weight=weight, ema=self.ema)
        self.done += 1
        if self.progress is not None:
            self.progress(self.done, self.total, result.loss)
        return result

    def supervise(self, x: Tensor, targets: TargetBatch, weight: Tensor, n_sup: int, minimum: Tensor) -> float | None:
        """Up to ``n_sup`` supervision steps on one batch; the mean loss over tasks and steps, None if there was no
        step.

        A task leaves the batch once the halt head is surer than one half that it is solved, but not before the number
        of steps in ``minimum`` (batch,).
        """
        carry = fresh_carry(len(x), x.shape[1], self.model.d_model, device=x.device)
        total = count = 0.0
        for _ in range(n_sup):
            result = self.step(carry, x, targets, weight)
            if result is None:
                break
            n_active = float(weight.sum())
            total, count = total + n_active * result.loss, count + n_active
            carry = result.carry
            carry.halted = carry.halted | (weight == 0) | ((result.halt > 0.5) & (carry.steps >= minimum))
            active = (~carry.halted).nonzero()[:, 0]
            if not len(active):
                break
            keep, weight = _filled(active, _size(len(active), len(x), self.model.is_compiled))
            x, targets, carry, minimum = x[keep], targets.rows(keep), carry.rows(keep), minimum[keep]
        return total / count if count else None


def _size(active: int, n: int, static_shapes: bool) -> int:
    """Rows of the next batch. Compiled blocks are made anew for every size, so there it shrinks by halves only."""
    if not static_shapes:
        return active
    while n // 2 >= max(active, 2):
        n //= 2
    return n


def _filled(rows: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """``rows`` (indices), filled up to ``size`` with repetitions of the first, and weights: 1, and 0 for the
    filling."""
    weight = torch.zeros(size, device=rows.device)
    weight[: len(rows)] = 1.0
    return torch.cat([rows, rows[:1].expand(size - len(rows))]), weight


def train_on_examples(
    model: TRM,
    optimizer: torch.optim.Optimizer,
    examples: Task,
    target: dict,
    *,
    input_dim: int,
    seq_len: int,
    num_epochs: int = 30,
    n_sup: int = 16,
    ema: EMA | None = None,
    progress: Progress | None = None,
    seed: int = 0,
    should_stop: Callable[[], bool] | None = None,
) -> list[float]:
    """Teach the model one task. Each epoch starts with a fresh carry and another choice of examples, and makes up to
    ``n_sup`` supervision steps, fewer once the halt head is surer than one half. Returns the mean loss of each epoch.

    To teach many tasks, give them to :func:`train_on_replay` together: one after the other is slower by the size of the
    batch, and later tasks overwrite earlier ones.
    """
    run = _Run(
        model, optimizer, num_epochs * n_sup, scheduled=False, ema=ema, progress=progress, should_stop=should_stop
    )
    with run:
        return _train(
            run, [(examples, target)], input_dim=input_dim, seq_len=seq_len, epochs=num_epochs, n_sup=n_sup,
            batch_size=1, patience=None, explore=0.0, seed=seed,
        )  # fmt: skip


def train_on_replay(
    model: TRM,
    optimizer: torch.optim.Optimizer,
    replay_buffer: Sequence[Mapping[str, Any]],
    *,
    input_dim: int,
    seq_len: int,
    epochs_per_task: int = 2,
    n_sup: int = 16,
    max_steps: int | None = None,
    batch_size: int = 256,
    patience: int | None = 5,
    ema: EMA | None = None,
    progress: Progress | None = None,
    seed: int = 0,
    should_stop: Callable[[], bool] | None = None,
) -> list[float]:
    """Teach the model every task of a buffer of dicts with ``examples`` and ``target`` (a ``name`` is not needed).

    One epoch shows every task once, in shuffled batches of up to ``batch_size``, each supervised up to ``n_sup``
    times. There are at most ``len(replay_buffer) * epochs_per_task`` epochs and ``max_steps`` optimiser steps;
    training ends before when ``patience`` epochs in a row brought nothing, or when ``should_stop()`` is true (asked
    before each step). Warm-up and cosine follow the most steps there can be. Returns the mean loss of each epoch.
    """
    tasks = [(task["examples"], task["target"]) for task in replay_buffer]
    if not tasks:
        return []
    epochs = len(tasks) * epochs_per_task
    total = epochs * n_sup * -(-len(tasks) // batch_size)
    total = total if max_steps is None else min(total, max_steps)
    with _Run(model, optimizer, total, scheduled=True, ema=ema, progress=progress, should_stop=should_stop) as run:
        return _train(
            run, tasks, input_dim=input_dim, seq_len=seq_len, epochs=epochs, n_sup=n_sup, batch_size=batch_size,
            patience=patience, explore=EXPLORE, seed=seed,
        )  # fmt: skip


def _train(
    run: _Run,
    tasks: Sequence[tuple[Task, Mapping[str, Any]]],
    *,
    input_dim: int,
    seq_len: int,
    epochs: int,
    n_sup: int,
    batch_size: int,
    patience: int | None,
    explore: float,
    seed: int,
) -> list[float]:
    """Epochs over shuffled batches until the run is over or ``patience`` epochs brought nothing. ``explore``: share of
    tasks that make a random number of steps before they may halt, so that the head sees what more thinking does."""
    model, rng = run.model, np.random.default_rng(seed)
    # Examples become arrays once; which of them are shown, and in which order, is drawn anew every epoch.
    arrays = [as_arrays(examples) for examples, _ in tasks]
    targets = target_batch((target for _, target in tasks), n_functions=model.n_functions).to(model.device)
    n_batches = -(-len(tasks) // batch_size)
    size = -(-len(tasks) // n_batches)
    losses: list[float] = []
    best, stale = math.inf, 0
    while len(losses) < epochs and (patience is None or stale < patience):
        total, seen = 0.0, 0
        for chosen in np.array_split(rng.permutation(len(tasks)), n_batches):
            rows, weight = _filled(torch.from_numpy(chosen), max(size, 2) if model.is_compiled else len(chosen))
            x = format_tasks([arrays[i] for i in rows], input_dim=input_dim, seq_len=seq_len, generator=rng)
            thinking = np.where(rng.random(len(rows)) < explore, rng.integers(2, max(n_sup, 2) + 1, len(rows)), 1)
            x, weight, minimum = (t.to(model.device) for t in (x, weight, torch.from_numpy(thinking)))
            loss = run.supervise(x, targets.rows(rows.to(model.device)), weight, n_sup, minimum)
            if loss is None:
                break
            total, seen = total + loss * len(chosen), seen + len(chosen)
        if not seen:
            break
        losses.append(total / seen)
        stale = 0 if losses[-1] < best * (1 - 1e-3) else stale + 1
        best = min(best, losses[-1])
    return losses


if __name__ == "__main__":
    import runpy

    # The command stands on a higher floor than this file, whose name people know.
    runpy.run_module("nssr.train_command", run_name="__main__")
