"""Sleep: what the guide does after a discovery, so that it proposes the new function where it helps.

Wake finds a function, sleep teaches when to use it (DreamCoder, K. Ellis et al., arXiv 2006.08381): half of each batch are dreams
whose answers hold a learned function, the newest ones most; the rest are dreams of the whole library and what was asked for
before, so that nothing is forgotten. Bounded in steps, so what is learnt does not depend on the machine's speed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from nssr.dream_training import Batch, DreamStream, NoDreams, dream_loss, schedule
from nssr.dreams import MOST_SOLVERS, Dreamer, Part
from nssr.encoding import format_tasks
from nssr.model import TRM, fresh_carry
from nssr.optimizer import EMA
from nssr.train import descend, set_rates, target_batch

BATCH = 64
STEPS_PER_EPOCH = 8
LEARNING_RATE = 2e-3
WARM_UP = 8
TABLES, PER_TABLE = 4, 384  # of each kind of dream at a time: a short sleep cannot wait for a large pool, but should see many

Progress = Callable[[int, int, float], None]


def sleep(
    state: Mapping[str, Any],
    model: TRM,
    optimizer: torch.optim.Optimizer,
    *,
    epochs: int,
    ema: EMA | None = None,
    progress: Progress | None = None,
    seed: int = 0,
) -> list[float]:
    """``epochs * STEPS_PER_EPOCH`` steps of ``BATCH`` tasks each; the mean loss of each epoch.

    The optimizer's moments are gone on from; its learning rates are as before afterwards. The average forgets the weights before,
    so that the search hears of the new function at once.
    """
    learned = [i for i, entry in sorted(state["metadata"].items()) if entry.get("composition") is not None]
    shape = {"input_dim": model.input_dim, "seq_len": model.seq_len}
    shape |= {"seed": seed, "tables": TABLES, "per_table": PER_TABLE}
    everything = DreamStream(Dreamer(state, seed=seed, part=Part.ALL), **shape)
    # The newest function alone, and all of them.
    needing = [
        DreamStream(Dreamer(state, seed=seed + 1 + k, part=Part.ALL, needing=ids), **shape)
        for k, ids in enumerate((learned[-1:], learned))
        if ids
    ]
    before = _replay(state, model)
    rng = np.random.default_rng(seed)
    steps = epochs * STEPS_PER_EPOCH
    rates = [group["lr"] for group in optimizer.param_groups]
    was_training = model.training
    losses: list[float] = []
    if ema is not None:
        ema.step = 0
    model.train()
    try:
        for step in range(steps):
            parts = _of_all(needing)
            if before is not None:
                rows = torch.from_numpy(rng.integers(0, len(before.x), BATCH // 8))
                parts.append(Batch(before.x[rows], before.solvers[rows]))
            parts.append(everything.take(BATCH - sum(len(part.x) for part in parts)))
            x, solvers = (torch.cat([getattr(p, name) for p in parts]).to(model.device) for name in ("x", "solvers"))
            set_rates(optimizer, [LEARNING_RATE] * len(rates), schedule(step / steps, step, WARM_UP))
            _, outputs = model(fresh_carry(len(x), x.shape[1], model.d_model, device=model.device), x)
            loss = dream_loss(outputs, solvers, all_solvers=True).total
            descend(model, optimizer, loss, ema)
            losses.append(float(loss.detach()))
            if progress is not None:
                progress(step + 1, steps, losses[-1])
    finally:
        set_rates(optimizer, rates)
        model.train(was_training)
    return [float(np.mean(losses[at : at + STEPS_PER_EPOCH])) for at in range(0, len(losses), STEPS_PER_EPOCH)]


def _of_all(streams: list[DreamStream]) -> list[Batch]:
    """A quarter of a batch of each stream; those that have no dreams leave the list, and their part to the others."""
    parts = []
    for stream in list(streams):
        try:
            parts.append(stream.take(BATCH // 4))
        except NoDreams:
            streams.remove(stream)
    return parts


def _replay(state: Mapping[str, Any], model: TRM) -> Batch | None:
    """The replay buffer as one batch; None if it is empty."""
    tasks = state.get("replay_buffer", ())
    if not tasks:
        return None
    targets = target_batch((task["target"] for task in tasks), n_functions=model.n_functions)
    solvers = torch.full((len(tasks), MOST_SOLVERS, 4), -1)
    answer = torch.stack([targets.composition, targets.primary, targets.secondary, targets.tertiary], dim=-1)
    solvers[:, 0] = answer.clamp(min=-1)  # an unused slot is -1 here
    x = format_tasks([task["examples"] for task in tasks], input_dim=model.input_dim, seq_len=model.seq_len)
    return Batch(x, solvers)
