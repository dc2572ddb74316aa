"""Networks trained for equal CPU-seconds on the same dreams, and what each is worth: the controls and ablations of the guide."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from rich.console import Console

from benchmarks.guide_controls import DeepSets, OnePass, ShuffledStream
from benchmarks.guide_ranks import Space, ranked_tasks, ratio
from benchmarks.guide_tasks import library
from nssr import pretrained
from nssr.dream_training import DreamSettings, DreamStream, DreamTrainer, evaluate, held_out
from nssr.dreams import Dreamer, Part
from nssr.model import create_model
from nssr.optimizer import EMA, make_optimizer

SHAPE = {"input_dim": 32, "seq_len": 8}


def _trm(n: int, **changes: Any) -> Any:
    return create_model(**{**SHAPE, "d_model": 128, "n_functions": n, "dropout": 0.0, "T": 1, "n_recursions": 2, **changes})


NETWORKS: dict[str, tuple[Callable[[int], Any], dict[str, Any], type[DreamStream]]] = {
    "TRM, T=1 n=2 (shipped)": (_trm, {"batch_size": 128}, DreamStream),
    "TRM, T=1 n=1": (lambda n: _trm(n, n_recursions=1), {"batch_size": 128}, DreamStream),
    "TRM, T=2 n=2": (lambda n: _trm(n, T=2), {"batch_size": 128}, DreamStream),
    "TRM, 2 supervision steps": (_trm, {"batch_size": 128, "n_sup": 2}, DreamStream),
    "TRM, simplest answer only": (_trm, {"batch_size": 128, "all_solvers": False}, DreamStream),
    "DeepSets, equal size": (lambda n: DeepSets(n_functions=n, **SHAPE), {"batch_size": 256}, DreamStream),
    "one pass of six layers": (lambda n: OnePass(n_functions=n, **SHAPE), {"batch_size": 128}, DreamStream),
    "TRM, outputs shuffled": (_trm, {"batch_size": 128}, ShuffledStream),
}


def controls(seconds: float, seeds: int, n_tasks: int, console: Console) -> list[dict[str, Any]]:
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
        for name, (make, changes, stream) in {"untrained": (_trm, {}, DreamStream), **NETWORKS}.items():
            torch.manual_seed(seed)
            settings = DreamSettings(**changes, seed=seed)
            model = make(space.table.n_functions)
            dreams = stream(Dreamer(state, seed=seed + 1), **SHAPE, seed=seed)
            optimizer = make_optimizer(model, lr=settings.lr, weight_decay=settings.weight_decay)
            trainer = DreamTrainer(model, optimizer, EMA(model, settings.ema), dreams, settings)
            trainer.measure_features()
            start = time.process_time()
            if name != "untrained":
                trainer.train(seconds)
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
