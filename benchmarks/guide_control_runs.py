"""Networks trained for equal CPU-seconds on the same dreams, and what each is worth: the controls and ablations of the guide."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from rich.console import Console

from benchmarks.guide_controls import DeepSets, OnePass, ShuffledStream
from benchmarks.guide_ranks import Space, ranked_tasks, ratio
from benchmarks.guide_tasks import library
from nssr import pretrained
from nssr.dream_training import DreamSettings, DreamStream, DreamTrainer, dream_optimizer, evaluate, held_out
from nssr.dreams import Dreamer, Part
from nssr.model import create_model
from nssr.optimizer import EMA

SHAPE = {"input_dim": 32, "seq_len": 8}


ADAMW = {"batch_size": 256, "lr": 2e-3, "muon": False}
TOKENS = {**ADAMW, "batch_size": 128}
"""Settings that were best for what they are given to, before Muon."""


def _set(n: int, **changes: Any) -> Any:
    usual = {"d_model": 128, "reading": "set", "dropout": 0.0, "T": 1, "n_recursions": 2}
    return create_model(**{**SHAPE, **usual, "n_functions": n, **changes})


def _tokens(n: int, **changes: Any) -> Any:
    return _set(n, **{"reading": "tokens", **changes})


NETWORKS: dict[str, tuple[Callable[[int], Any], dict[str, Any], type[DreamStream]]] = {
    "set TRM, Muon (shipped)": (_set, {}, DreamStream),
    "set TRM, AdamW": (_set, ADAMW, DreamStream),
    "set TRM, n=1": (lambda n: _set(n, n_recursions=1), {}, DreamStream),
    "set TRM, T=2": (lambda n: _set(n, T=2), {}, DreamStream),
    "set TRM, 2 supervision steps": (_set, {"n_sup": 2}, DreamStream),
    "set TRM, simplest answer only": (_set, {"all_solvers": False}, DreamStream),
    "DeepSets, AdamW": (lambda n: DeepSets(n_functions=n, **SHAPE), ADAMW, DreamStream),
    "DeepSets, Muon": (lambda n: DeepSets(n_functions=n, **SHAPE), {}, DreamStream),
    "token TRM, AdamW (shipped before)": (_tokens, TOKENS, DreamStream),
    "token TRM, Muon": (_tokens, {"batch_size": 256}, DreamStream),
    "one pass of six layers, AdamW": (lambda n: OnePass(n_functions=n, **SHAPE), TOKENS, DreamStream),
    "set TRM, outputs shuffled": (_set, {}, ShuffledStream),
}


def controls(
    seconds: float, seeds: int, n_tasks: int, console: Console, *, only: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Each network, seed by seed: tasks seen, held-out -ln p, rank ratios against the unigram order."""
    from benchmarks.guide import opinion_of, ranks

    _, state = library()
    space = Space(state)
    prior = pretrained.prior(pretrained.load(), pretrained.load().vocabulary)
    found: list[dict[str, Any]] = []
    for seed in range(seeds):
        tasks = ranked_tasks(state, Part.BEHAVIOUR, n_tasks, seed=1000 + seed, space=space)
        joined = np.array([task.kind == 3 for task in tasks])
        held = held_out(state, Part.BEHAVIOUR, 1024, seed=99, **SHAPE)
        for name, (make, changes, stream) in {"untrained": (_set, {}, DreamStream), **NETWORKS}.items():
            if only and not any(word in name for word in only):
                continue
            torch.manual_seed(seed)
            settings = DreamSettings(**changes, seed=seed)
            model = make(space.table.n_functions)
            dreams = stream(Dreamer(state, seed=seed + 1), **SHAPE, seed=seed)
            trainer = DreamTrainer(model, dream_optimizer(model, settings), EMA(model, settings.ema), dreams, settings)
            trainer.measure_features()
            start = time.process_time()
            if name != "untrained":
                trainer.train(seconds, clock=time.process_time)
            row: dict[str, Any] = {
                "network": name, "seed": seed, "weights": sum(p.numel() for p in model.parameters()),
                "cpu_seconds": time.process_time() - start, "tasks": trainer.tasks,
            }  # fmt: skip
            for kind, network in (("average", trainer.ema.model), ("last", model)):
                row[f"nll, {kind}"] = evaluate(network, held)["nll"]
            r = ranks(space, tasks, prior, opinion_of(trainer.ema.model, carries=1))
            rng = np.random.default_rng(0)
            row["unigram/mixed"] = ratio(r["unigram"], r["mixed"], rng)
            row["unigram/mixed, parallel"] = ratio(r["unigram"][joined], r["mixed"][joined], rng)
            found.append(row)
            a, b = row["unigram/mixed"], row["unigram/mixed, parallel"]
            console.print(
                f"{name}, seed {seed}: {row['tasks']:,} tasks in {row['cpu_seconds']:.0f} s, nll {row['nll, average']:.2f} "
                f"({row['nll, last']:.2f} without EMA), unigram/mixed {a[0]:.2f} [{a[1]:.2f}-{a[2]:.2f}], "
                f"parallel {b[0]:.2f} [{b[1]:.2f}-{b[2]:.2f}]"
            )
    return found
