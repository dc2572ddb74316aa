"""Training the guide on dreams: a live batch, supervised again and again, refilled where a task is done.

Deep supervision as in the paper (arXiv 2510.04871): the carry of a task goes from step to step; a task leaves the batch once the
halt head is surer than one half that every slot is right, or after ``n_sup`` steps, and a fresh dream takes its place, so a batch
mixes ages. Fresh dreams cost less than the network's own arithmetic, so no task is seen twice, and there is nothing to overfit.

What this file does not know: which programs a person will ask for. The weights of `dreams.WEIGHTS` are its only guess.
"""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from nssr.device import mark_step
from nssr.dreams import MOST_SOLVERS, Dreamer, Dreams, Part
from nssr.encoding import format_tasks
from nssr.model import FUNCTION_HEADS, TRM, Carry, fresh_carry
from nssr.optimizer import EMA, make_muon, make_optimizer
from nssr.train import EXPLORE, HALT_WEIGHT, descend, set_rates

POOL_TABLES = 48
"""Tables whose dreams are mixed: neighbours in a batch should not share their inputs."""
PER_TABLE = 1_500
"""Dreams taken from each: nearly all there are. With a quarter of them dreams cost 150 us a task, as much as the network, with
all of them 50; and a guide taught on 560 tables knew new ones as well as those (-ln p 6.49 and 6.46)."""
MOST_EMPTY = 16  # tables without a dream, one after the other


@dataclass(frozen=True, slots=True)
class DreamSettings:
    """``batch_size`` tasks a step, ``n_sup`` supervision steps a task at most; ``lr`` after the warm-up; ``muon``: the optimizer
    is `optimizer.make_muon`'s, not AdamW; ``all_solvers``: the loss is that of all answers known to be right together, not of the
    simplest alone."""

    batch_size: int = 512
    n_sup: int = 1
    lr: float = 4e-3
    muon: bool = True
    weight_decay: float = 0.05
    all_solvers: bool = True
    warm_up: int = 200
    ema: float = 0.999
    seed: int = 0


@dataclass(slots=True)
class Batch:
    """``x`` float32 (batch, seq_len, input_dim); ``solvers`` int64 (batch, MOST_SOLVERS, 4): composition type and functions,
    -1 where a slot is empty; where the type is -1 there is no solver."""

    x: Tensor
    solvers: Tensor

    def put(self, rows: Tensor, other: Batch) -> None:
        self.x[rows], self.solvers[rows] = other.x.to(self.x), other.solvers.to(self.solvers.device)


class NoDreams(RuntimeError):
    """Many tables gave no dream of the kind that is asked for."""


class DreamStream:
    """Encoded dreams without end, mixed over many tables."""

    def __init__(
        self, dreamer: Dreamer, *, input_dim: int, seq_len: int, seed: int = 0, tables: int = POOL_TABLES,
        per_table: int = PER_TABLE,
    ) -> None:  # fmt: skip
        self.tables, self.per_table = tables, per_table
        self.dreamer, self.shape = dreamer, {"input_dim": input_dim, "seq_len": seq_len}
        self.rng = np.random.default_rng(seed)
        self._pool: list[tuple[Dreams, np.ndarray]] = []

    def take(self, n: int) -> Batch:
        """The next ``n`` tasks. Raises `NoDreams` after ``MOST_EMPTY`` tables without any: a function that is asked for may have
        no values on most, or a simpler answer wherever it is right."""
        tasks: list[tuple[np.ndarray, np.ndarray]] = []
        solvers = []
        while len(tasks) < n:
            empty = 0
            while len(self._pool) < self.tables:
                dreams = self.dreamer.dream()
                if len(dreams):
                    self._pool.append((dreams, self.rng.permutation(len(dreams))[: self.per_table]))
                    continue
                empty += 1
                if empty == MOST_EMPTY:
                    raise NoDreams(f"{MOST_EMPTY} tables gave no dream")
            place = int(self.rng.integers(len(self._pool)))
            dreams, left = self._pool[place]
            here, rest = left[: min(8, n - len(tasks))], left[min(8, n - len(tasks)) :]
            self._pool[place] = dreams, rest
            if not len(rest):
                self._pool.pop(place)
            tasks += [(dreams.x, dreams.y[k]) for k in here]
            solvers.append(solver_array(dreams.solvers[here]))
        x = format_tasks(tasks, **self.shape, generator=self.rng)
        return Batch(x, torch.from_numpy(np.concatenate(solvers)))


def solver_array(solvers: np.ndarray) -> np.ndarray:
    """SLOTS (tasks, solvers) as int64 (tasks, solvers, 4)."""
    names = ("comp", "primary", "secondary", "tertiary")
    return np.stack([solvers[name].astype(np.int64) for name in names], axis=-1)


@dataclass(frozen=True, slots=True)
class DreamLoss:
    """``total`` with gradient; ``nll`` (batch,): -ln of the probability of the answers; ``solved`` bool (batch,): the first guess
    of every slot makes an answer."""

    total: Tensor
    nll: Tensor
    solved: Tensor


def dream_loss(outputs: Mapping[str, Tensor], solvers: Tensor, *, all_solvers: bool) -> DreamLoss:
    """Minus the log of the probability that the search will give to the answer, or to all known answers, and the halt loss."""
    log_p = [outputs["composition_logits"].float().log_softmax(-1)]
    log_p += [outputs[f"{name}_logits"].float().log_softmax(-1) for name in FUNCTION_HEADS]
    there = solvers[..., 0] >= 0
    total = log_p[0].new_zeros(solvers.shape[:2])
    right = there.clone()
    for k, rows in enumerate(log_p):
        slot = solvers[..., k]
        used = slot >= 0
        total = total + torch.where(used, rows.gather(1, slot.clamp(min=0)), torch.zeros_like(total))
        right &= ~used | (slot == rows.argmax(-1, keepdim=True))
    total = total.masked_fill(~there, -math.inf)
    nll = -(total.logsumexp(-1) if all_solvers else total[:, 0])
    solved = right.any(-1)
    halt = F.binary_cross_entropy_with_logits(outputs["halt_logits"][:, 0].float(), solved.float())
    return DreamLoss(nll.mean() + HALT_WEIGHT * halt, nll.detach(), solved)


def schedule(progress: float, step: int, warm_up: int) -> float:
    """Factor of the learning rate: linear warm-up over ``warm_up`` steps, then a cosine of the progress (0 to 1) to 2 %."""
    return min(1.0, (step + 1) / warm_up) * (0.51 + 0.49 * math.cos(math.pi * min(progress, 1.0)))


def dream_optimizer(model: TRM, settings: DreamSettings) -> torch.optim.Optimizer:
    make = make_muon if settings.muon else make_optimizer
    return make(model, settings.lr, weight_decay=settings.weight_decay)


class DreamTrainer:
    """Model, average and optimizer, taught by a stream of dreams."""

    def __init__(
        self, model: TRM, optimizer: torch.optim.Optimizer, ema: EMA, stream: DreamStream, settings: DreamSettings
    ) -> None:
        self.model, self.optimizer, self.ema, self.stream, self.settings = model, optimizer, ema, stream, settings
        self.step, self.tasks = 0, 0
        self.rates = [group["lr"] for group in optimizer.param_groups]
        self._rng = torch.Generator().manual_seed(settings.seed)
        self._batch: Batch | None = None
        self._carry: Carry | None = None
        self._minimum: Tensor | None = None

    def measure_features(self, n: int = 4096) -> None:
        """Sets the statistics by which the model normalises its features, from ``n`` dreams."""
        x = self.stream.take(n).x
        present = x[x[..., self.model._present] > 0.5]
        self.model.set_feature_statistics(present.mean(0), present.std(0))
        self.ema.model.set_feature_statistics(present.mean(0), present.std(0))

    def supervise(self, progress: float) -> DreamLoss:
        """One supervision step of the live batch; ``progress`` of the whole training, 0 to 1, sets the learning rate."""
        model, settings = self.model, self.settings
        batch, carry = self._refilled()
        set_rates(self.optimizer, self.rates, schedule(progress, self.step, settings.warm_up))
        mark_step(model.device)
        model.train()
        with self._precision():
            carry, outputs = model(carry, batch.x)
        loss = dream_loss(outputs, batch.solvers, all_solvers=settings.all_solvers)
        descend(model, self.optimizer, loss.total, self.ema)
        halt = outputs["halt_logits"].detach()[:, 0].float() > 0
        assert self._minimum is not None
        carry.halted = (carry.steps >= settings.n_sup) | (halt & (carry.steps >= self._minimum))
        self._carry = carry
        self.step += 1
        return loss

    def _precision(self) -> AbstractContextManager[Any]:
        """bfloat16 products where the hardware has them: on CUDA, and on CPUs with the instruction (1.3 times as fast)."""
        kind = self.model.device.type
        if kind == "cuda" or (kind == "cpu" and torch.cpu._is_avx512_bf16_supported()):
            return torch.autocast(kind, torch.bfloat16)
        return nullcontext()

    def _refilled(self) -> tuple[Batch, Carry]:
        """The live batch with fresh dreams in place of those that are done."""
        model, n = self.model, self.settings.batch_size
        if self._batch is None or self._carry is None or self._minimum is None:
            fresh = self.stream.take(n)
            self._batch = Batch(fresh.x.to(model.device), fresh.solvers.to(model.device))
            self._carry = fresh_carry(n, fresh.x.shape[1], model.d_model, device=model.device)
            self._minimum = self._least(n)
            self.tasks += n
            return self._batch, self._carry
        rows = self._carry.halted.nonzero()[:, 0]
        if len(rows):
            self._batch.put(rows, self.stream.take(len(rows)))
            carry = self._carry
            carry.y[rows], carry.z[rows], carry.steps[rows], carry.halted[rows] = 0.0, 0.0, 0, False
            self._minimum[rows] = self._least(len(rows))
            self.tasks += len(rows)
        return self._batch, self._carry

    def _least(self, n: int) -> Tensor:
        """Steps that a task makes before it may halt: one, but some must think on, so that the head sees what that brings."""
        explored = torch.rand(n, generator=self._rng) < EXPLORE
        drawn = torch.randint(2, max(self.settings.n_sup, 2) + 1, (n,), generator=self._rng)
        return torch.where(explored, drawn, torch.ones_like(drawn)).to(self.model.device)

    def train(
        self, seconds: float, *, report: Callable[[dict[str, Any]], None] | None = None, every: float = 10.0,
        should_stop: Callable[[], bool] = lambda: False, start: float = 0.0, clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """Trains for ``seconds`` of ``clock``, of which ``start`` are over already; reports plain values every so often."""
        begun = last = clock()
        nll: list[float] = []
        solved: list[float] = []
        seen = self.tasks
        while (now := clock()) - begun + start < seconds and not should_stop():
            loss = self.supervise((now - begun + start) / seconds)
            nll.append(float(loss.nll.mean()))
            solved.append(float(loss.solved.float().mean()))
            if report is not None and clock() - last >= every:
                took, last = clock() - last, clock()
                report({
                    "seconds": last - begun + start, "step": self.step, "tasks": self.tasks,
                    "tasks_per_second": (self.tasks - seen) / took, "nll": float(np.mean(nll)),
                    "solved": float(np.mean(solved)), "lr": self.optimizer.param_groups[0]["lr"],
                })  # fmt: skip
                nll, solved, seen = [], [], self.tasks


def held_out(state: Mapping[str, Any], part: Part, n: int, *, seed: int, input_dim: int, seq_len: int) -> Batch:
    """A frozen set of ``n`` dreams that training does not see: a few from each table, no behaviour more than four times."""
    dreamer = Dreamer(state, seed=seed, part=part, scaled=0.0)
    rng = np.random.default_rng(seed)
    tasks: list[tuple[np.ndarray, np.ndarray]] = []
    solvers = []
    known: Counter[int] = Counter()
    while len(tasks) < n:
        dreams = dreamer.dream()
        fresh = [k for k in rng.permutation(len(dreams)).tolist() if known[int(dreams.behaviour[k])] < 4][:24]
        known.update(int(dreams.behaviour[k]) for k in fresh)
        tasks += [(dreams.x, dreams.y[k]) for k in fresh]
        solvers.append(solver_array(dreams.solvers[fresh]))
    x = format_tasks(tasks[:n], input_dim=input_dim, seq_len=seq_len)
    return Batch(x, torch.from_numpy(np.concatenate(solvers)[:n]))


@torch.no_grad()
def evaluate(model: TRM, batch: Batch, *, steps: int = 1) -> dict[str, float]:
    """Mean -ln of the probability of all known answers, the share that is solved at once, and the top 1 and 3 of each head."""
    was_training = model.training
    model.train(False)
    carry = fresh_carry(len(batch.x), batch.x.shape[1], model.d_model, device=model.device)
    outputs: dict[str, Tensor] = {}
    for _ in range(steps):
        carry, outputs = model(carry, batch.x.to(model.device))
    model.train(was_training)
    solvers = batch.solvers.to(model.device)
    loss = dream_loss(outputs, solvers, all_solvers=True)
    found = {"nll": float(loss.nll.mean()), "solved": float(loss.solved.float().mean())}
    for k, name in enumerate(("composition", *FUNCTION_HEADS)):
        label = solvers[:, 0, k]
        used = label >= 0
        rank = (outputs[f"{name}_logits"] > outputs[f"{name}_logits"].gather(1, label.clamp(min=0)[:, None])).sum(1)
        for top in (1, 3):
            found[f"{name}_top{top}"] = float((rank[used] < top).float().mean())
    return found


class Log:
    """What a training says of itself: lines of JSON, and TensorBoard's events where that is installed."""

    def __init__(self, folder: Path) -> None:
        self._file = (folder / "log.jsonl").open("a", encoding="utf-8")
        self._events: Any = None
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return  # an optional extra; the lines of JSON hold the same
        self._events = SummaryWriter(str(folder))

    def write(self, kind: str, facts: Mapping[str, Any], step: int) -> None:
        self._file.write(json.dumps({"kind": kind, **facts}) + "\n")
        self._file.flush()
        if self._events is not None:
            for name, value in facts.items():
                if isinstance(value, (int, float)):
                    self._events.add_scalar(f"{kind}/{name}", value, step)

    def close(self) -> None:
        self._file.close()
        if self._events is not None:
            self._events.close()


__all__ = [
    "MOST_SOLVERS", "Batch", "DreamLoss", "DreamSettings", "DreamStream", "DreamTrainer", "Log", "dream_loss", "dream_optimizer",
    "evaluate", "held_out", "schedule", "solver_array",
]  # fmt: skip
