"""How much each head of the guide knows, and whether it knows how much: top-k accuracy, reliability bins, calibration error.

A head is right where its choice stands in that slot of any known answer of a task (a dream keeps up to eight). The expected
calibration error is that of C. Guo et al., "On Calibration of Modern Neural Networks" (arXiv 1706.04599): choices are sorted into
ten bins by how probable the head calls them, and the error is the mean distance between that and how often they are right.
The halt head's probability is that the first choices of all slots together make a known answer.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from rich.table import Table

from nssr import search
from nssr.dream_training import Batch
from nssr.model import TRM, predict_slots

HEADS = ("composition", "primary", "secondary", "tertiary")
TOP = (1, 3, 10)
BINS = 10
_AT_ONCE = 256

Floats = npt.NDArray[np.float64]


def reliability(confidence: Floats, right: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """``confidence`` and ``right``, both (n,): the calibration error, and of each bin that holds any its bounds, how many, their
    mean confidence and the share that is right."""
    place = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    bins = []
    for k in range(BINS):
        here = place == k
        if here.any():
            mean, share = float(confidence[here].mean()), float(right[here].mean())
            bins.append({"from": k / BINS, "to": (k + 1) / BINS, "n": int(here.sum()), "confidence": mean, "right": share})
    error = sum(b["n"] * abs(b["confidence"] - b["right"]) for b in bins) / max(len(confidence), 1)
    return {"expected_calibration_error": error, "bins": bins}


def heads(model: TRM, batch: Batch) -> dict[str, Any]:
    """Every head on held-out tasks, asked as the search asks."""
    generator = torch.Generator().manual_seed(0)
    parts = [
        predict_slots(
            model, batch.x[at : at + _AT_ONCE], n_carries=search.CARRIES, noise=search.CARRY_NOISE, generator=generator
        )
        for at in range(0, len(batch.x), _AT_ONCE)
    ]
    opinion = {name: np.concatenate([getattr(part, name) for part in parts]).astype(np.float64) for name in (*HEADS, "halt")}
    solvers = batch.solvers.numpy()
    there = solvers[..., 0] >= 0
    together = there.copy()
    found: dict[str, Any] = {}
    for slot, name in enumerate(HEADS):
        log_p = opinion[name]
        label = solvers[..., slot]
        used = there & (label >= 0)
        rank = (log_p[:, None, :] > np.take_along_axis(log_p, np.maximum(label, 0), axis=1)[..., None]).sum(axis=2)
        together &= ~used | (label == log_p.argmax(axis=1)[:, None])
        asked = used.any(axis=1)
        best = np.where(used, rank, log_p.shape[1]).min(axis=1)[asked]
        found[name] = {"tasks": len(best), **reliability(np.exp(log_p.max(axis=1))[asked], best == 0)}
        found[name] |= {f"top{k}": float((best < k).mean()) if len(best) else None for k in TOP}
    found["halt"] = {"tasks": len(there), **reliability(opinion["halt"], together.any(axis=1))}
    return found


def show(console: Console, name: str, found: dict[str, Any]) -> None:
    table = Table(title=f"heads, {name}")
    for column in ("head", "tasks", *(f"top {k}" for k in TOP), "calibration error", "confidence: right (n)"):
        table.add_column(column, justify="right")
    for head, row in found.items():
        bins = "\n".join(f"{b['confidence']:.2f}: {b['right']:.2f} ({b['n']})" for b in row["bins"])
        top = ["" if row.get(f"top{k}") is None else f"{row[f'top{k}']:.1%}" for k in TOP]
        table.add_row(head, str(row["tasks"]), *top, f"{row['expected_calibration_error']:.3f}", bins)
    console.print(table)
