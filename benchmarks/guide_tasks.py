"""Tasks and a library for the guide's benchmark that were written by hand and never dreamed of or tuned on."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nssr import db, registry


@dataclass(frozen=True, slots=True)
class Task:
    """``columns`` as they are, ``y`` computed in plain Python."""

    name: str
    columns: tuple[np.ndarray, ...]
    y: np.ndarray


def _bits(n: int) -> tuple[np.ndarray, ...]:
    return tuple(np.array(column) for column in zip(*itertools.product((0, 1), repeat=n), strict=True))


def _whole(n: int, seed: int) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    return tuple(rng.integers(-9, 10, 24) for _ in range(n))


def _positive(n: int, seed: int) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    return tuple(np.round(rng.uniform(0.5, 9, 24), 2) for _ in range(n))


def _signed(n: int, seed: int) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    return tuple(np.round(rng.uniform(-5, 5, 24), 2) for _ in range(n))


_WRITTEN: Sequence[tuple[str, tuple[np.ndarray, ...], Callable[..., float]]] = (
    ("nand", _bits(2), lambda a, b: int(not (a and b))),
    ("nor", _bits(2), lambda a, b: int(not (a or b))),
    ("xor", _bits(2), lambda a, b: a ^ b),
    ("xnor", _bits(2), lambda a, b: int(a == b)),
    ("multiplexer", _bits(3), lambda a, b, c: b if a else c),
    ("majority", _bits(3), lambda a, b, c: int(a + b + c >= 2)),
    ("between", _whole(3, 1), lambda a, b, c: int(a < b < c)),
    ("same order", _whole(4, 2), lambda a, b, c, d: int((a < b) == (c < d))),
    ("difference in size", _signed(2, 3), lambda a, b: abs(a - b)),
    ("larger in size", _signed(2, 4), lambda a, b: max(abs(a), abs(b))),
    ("live force", _positive(2, 5), lambda m, v: m * v * v),
    ("potential energy", _positive(3, 6), lambda m, g, h: m * g * h),
    ("heat of a current", _positive(2, 7), lambda i, r: i * i * r),
    ("heat", _positive(4, 8), lambda m, c, t, u: m * c * (t - u)),
    ("square of a distance", _signed(2, 9), lambda x, y: x * x + y * y),
    ("distance", _signed(2, 10), lambda x, y: math.hypot(x, y)),
    ("conductance", _positive(2, 11), lambda a, b: 1 / a + 1 / b),
    ("contrast", _positive(2, 12), lambda a, b: (a - b) / (a + b)),
    ("parallel resistance", _positive(2, 13), lambda a, b: a * b / (a + b)),
    ("growth", _positive(2, 14), lambda a, k: a * math.exp(k)),
    ("geometric mean", _positive(2, 15), lambda a, b: math.sqrt(a * b)),
    ("n (n + 1)", (np.arange(1, 17),), lambda n: n * (n + 1)),
    ("sum of three", _signed(3, 16), lambda a, b, c: a + b + c),
    ("torque", _positive(3, 17), lambda f, r, a: f * r * math.sin(a)),
)


def written_tasks() -> list[Task]:
    """24 tasks: gates, comparisons, energies, distances, series. Two lie outside the space of the search."""
    tasks = []
    for name, columns, law in _WRITTEN:
        y = np.array([float(law(*(c[row].item() for c in columns))) for row in range(len(columns[0]))])
        tasks.append(Task(name, columns, y))
    return tasks


def library(learned: bool = False) -> tuple[Any, dict[str, Any]]:
    """The core and science packs, with ``learned`` also 20 functions that a person might have found: 60 in all."""
    conn = db.init_db(":memory:")
    state = registry.init_registry(conn, ("core", "science"))
    by_name = {entry["name"]: i for i, entry in state["metadata"].items()}
    for name, arity, steps in _LEARNED if learned else ():
        composition = [(by_name[function], route) for function, route in steps]
        by_name[name] = registry.register_learned(conn, state, name, arity, composition)
    return conn, state


_LEARNED: Sequence[tuple[str, int, list[tuple[str, list[int]]]]] = (
    ("LIVE_FORCE", 2, [("SQUARE", [1]), ("MUL", [0, 2])]),
    ("TRIPLE_PRODUCT", 3, [("MUL", [0, 1]), ("MUL", [3, 2])]),
    ("SUM_OF_SQUARES", 2, [("SQUARE", [0]), ("SQUARE", [1]), ("ADD", [2, 3])]),
    ("DIFFERENCE_OF_SQUARES", 2, [("SQUARE", [0]), ("SQUARE", [1]), ("SUB", [2, 3])]),
    ("DISTANCE", 2, [("SUM_OF_SQUARES", [0, 1]), ("SQRT", [2])]),
    ("PARALLEL_SUM", 2, [("MUL", [0, 1]), ("ADD", [0, 1]), ("DIV", [2, 3])]),
    ("CONTRAST", 2, [("SUB", [0, 1]), ("ADD", [0, 1]), ("DIV", [2, 3])]),
    ("GAUSSIAN", 1, [("SQUARE", [0]), ("NEG", [1]), ("EXP", [2])]),
    ("DECAY", 2, [("NEG", [1]), ("EXP", [2]), ("MUL", [0, 3])]),
    ("LOG_RATIO", 2, [("DIV", [0, 1]), ("LOG", [2])]),
    ("LOG_PRODUCT", 2, [("MUL", [0, 1]), ("LOG", [2])]),
    ("GEOMETRIC_MEAN", 2, [("MUL", [0, 1]), ("SQRT", [2])]),
    ("GAP", 2, [("SUB", [0, 1]), ("ABS", [2])]),
    ("INVERSE_SQUARE", 2, [("SQUARE", [1]), ("DIV", [0, 2])]),
    ("SQUARED_SINE", 1, [("SIN", [0]), ("SQUARE", [1])]),
    ("LORENTZ", 1, [("SQUARE", [0]), ("INC", [1]), ("INV", [2])]),
    ("SOFTPLUS", 1, [("EXP", [0]), ("INC", [1]), ("LOG", [2])]),
    ("LOGISTIC", 1, [("NEG", [0]), ("EXP", [1]), ("INC", [2]), ("INV", [3])]),
    ("TRIANGULAR", 1, [("INC", [0]), ("MUL", [0, 1])]),
    ("PROJECTION", 2, [("COS", [1]), ("MUL", [0, 2])]),
    ("RECTIFIED", 1, [("ABS", [0]), ("ADD", [0, 1])]),
)
