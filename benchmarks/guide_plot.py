"""Solved tasks against candidates tried, one panel a set of tasks, one line an order of candidates."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

LINES = {
    "interleaved": ("guide and size in turns, as the search", "C3", "-"),
    "mixed": ("guide", "C0", "-"),
    "unigram": ("unigram", "C2", "--"),
    "size": ("by size", "C1", "--"),
    "uniform": ("uniform", "0.6", ":"),
}


def solved_against_candidates(sets: Mapping[str, Mapping[str, Any]], path: Path) -> bool:
    """Writes ``path`` (PNG) from the ranks of each set; False, and no file, without matplotlib."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return False
    columns = 2
    rows = -(-len(sets) // columns)
    figure = Figure(figsize=(11, 3.8 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    for place, (name, found) in enumerate(sets.items()):
        axes = figure.add_subplot(rows, columns, place + 1)
        for order, (label, colour, style) in LINES.items():
            ranks = np.sort(np.asarray(found["ranks"][order], dtype=np.float64))
            share = np.arange(1, len(ranks) + 1) / len(ranks)
            axes.step(ranks, share, where="post", label=label, color=colour, linestyle=style)
        axes.set(xscale="log", xlim=(1, None), ylim=(0, 1), title=f"{name} ({len(ranks)} tasks)")
        axes.set(xlabel="candidates tried", ylabel="share of tasks solved")
        axes.grid(alpha=0.3)
    figure.axes[0].legend(loc="upper left", fontsize="small")
    figure.savefig(path, dpi=110)
    return True
