"""How many columns the banks of a search may hold in a byte budget.

A search holds, at its fullest, the banks of the exact search and of the noisy one with the tables made of them; what a column
costs there was measured (`python -m benchmarks.search_memory` asks whether it still holds). Work on a bank comes in pieces
of `PIECE` bytes, so it needs no share of its own.
"""

from __future__ import annotations

BESIDES = 130_000_000
"""Bytes of what does not grow with a bank: code that is loaded on the way, the engine's buffers, formulas, pieces of work."""
PIECE = 16_000_000
_FLOAT = 8
_EXACT, _NOISY, _PARAMETRIC = 10, 15, 8
"""Into how many banks' worth of bare values the budget is divided. A column of the exact search is held three times over and
has places in three tables; one of the noisy search six times, scaled and squared; a parametric bank is gone when its
stage ends."""


def _columns(memory: int, rows: int, parts: int, least: int) -> int:
    """Columns of ``rows`` float64 values that fit into one of ``parts`` of ``memory`` bytes; ``least`` whatever the budget."""
    return max(least, (memory - BESIDES) // (_FLOAT * rows * parts))


def exact_columns(memory: int, rows: int) -> int:
    return _columns(memory, rows, _EXACT, 2_000)


def noisy_columns(memory: int, rows: int) -> int:
    return _columns(memory, rows, _NOISY, 500)


def parametric_columns(memory: int, rows: int) -> int:
    return _columns(memory, rows, _PARAMETRIC, 1_000)


def piece(rows: int) -> int:
    """Columns to be worked on at once."""
    return max(1, PIECE // (_FLOAT * rows))
