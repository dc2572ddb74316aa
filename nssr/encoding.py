"""Examples as numbers the guide can read.

One row of the batch is one *task*; along the sequence axis stand its *examples*, one token each; a token holds the
inputs **and** the output. A token of width ``input_dim`` (32 in the shipped configuration) is laid out as

    [ columns: input_dim - 8 | y: 6 | present: 1 | two-valued: 1 ]

- up to ``(input_dim - 8) // 6`` columns (4): six features each: v / 100, sign(v), log1p|v|, fractional part of v,
  sign(y - v), signed log1p of y - v;
- up to ``(input_dim - 8) // 4`` columns (6): the first four only;
- more columns: several share a slot of four features, which holds their mean;
- y: the same four, then y standardised over the task, then whether y is an integer;
- present: 1 where the token holds an example; two-valued: 1 where y is constant or in {0, 1} over the whole task, which
  tells comparisons and bits from arithmetic.

A width below 14 has no room for that: y keeps its signed logarithm and its standardised value, all columns share what
is left. Logarithms above 4 (values above about 54) are compressed towards 5 and everything is clipped to +-5, so no
input, however large, unbounded or undefined, puts a NaN or a huge number into the tensor.

Why y is here: without it a guide can learn nothing but how often each operation is right. DreamCoder (arXiv 2006.08381)
and CrossBeam (arXiv 2203.10452) feed outputs, and comparisons of input with output, for the same reason.

This module does not know models, programs or the registry, and it loads torch only when a tensor is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from .errors import UserError

if TYPE_CHECKING:
    import torch

ENCODING_VERSION = 1
"""Raised whenever the meaning of a feature changes: weights trained on another encoding are worthless."""

CLIP = 5.0
MIN_INPUT_DIM = 8

_KNEE = 4.0
_FULL, _PLAIN = 6, 4  # features per column, with and without the relation to y
_MAX = float(np.finfo(np.float64).max)

Task: TypeAlias = "Sequence[tuple[Sequence[Any], Any]] | tuple[np.ndarray, np.ndarray]"
"""A list of (inputs, output) pairs, or the same as two arrays: inputs (n, columns) and outputs (n,)."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the features of a token stand, for one width. ``y`` and the flags count from the start of the token."""

    input_dim: int
    y: int
    y_width: int

    @property
    def present(self) -> int:
        return self.input_dim - 2

    @property
    def two_valued(self) -> int:
        return self.input_dim - 1


def layout(input_dim: int) -> Layout:
    """The places of y and of the flags in a token of ``input_dim`` features; refuses widths that hold no column."""
    if input_dim < MIN_INPUT_DIM:
        raise UserError(f"input_dim is {input_dim}; the encoding of an example needs at least {MIN_INPUT_DIM} features")
    y_width = 6 if input_dim >= 6 + _FULL + 2 else 2
    return Layout(input_dim, input_dim - 2 - y_width, y_width)


def present_index(input_dim: int) -> int:
    """Index of the feature that is 1 where a token holds an example and 0 where it is padding."""
    return layout(input_dim).present


def format_examples(
    examples: Task, *, input_dim: int, seq_len: int, generator: np.random.Generator | None = None
) -> torch.Tensor:
    """Encode one task. Returns float32 of shape (1, seq_len, input_dim); see :func:`format_tasks`."""
    return format_tasks([examples], input_dim=input_dim, seq_len=seq_len, generator=generator)


def format_tasks(
    tasks: Sequence[Task], *, input_dim: int, seq_len: int, generator: np.random.Generator | None = None
) -> torch.Tensor:
    """Encode many tasks at once. Returns float32 of shape (len(tasks), seq_len, input_dim).

    A task with more than ``seq_len`` examples is represented by ``seq_len`` of them, spread evenly over the ordered
    outputs. With a ``generator`` each call draws another such subset in another order (so that a guide that sees a task
    repeatedly sees all of it, and does not learn the order); without one the choice is always the same. A task with
    fewer examples leaves tokens of zeros. The y statistics are those of all examples, chosen or not.
    """
    import torch

    return torch.from_numpy(encode(tasks, input_dim=input_dim, seq_len=seq_len, generator=generator))


def encode(
    tasks: Sequence[Task], *, input_dim: int, seq_len: int, generator: np.random.Generator | None = None
) -> np.ndarray:
    """:func:`format_tasks` without torch: a float32 array of shape (len(tasks), seq_len, input_dim)."""
    places = layout(input_dim)
    if seq_len < 1:
        raise UserError(f"seq_len is {seq_len}; the encoding needs room for at least one example")
    if generator is not None and not isinstance(generator, np.random.Generator):
        raise TypeError(f"generator must be a numpy.random.Generator, not {type(generator).__name__}")
    out = np.zeros((len(tasks), seq_len, input_dim))
    alike: dict[tuple[int, ...], list[int]] = {}
    arrays = [as_arrays(task) for task in tasks]
    for row, (x, _) in enumerate(arrays):
        alike.setdefault(x.shape, []).append(row)
    # Tasks with as many examples and columns are encoded together.
    for (n, _), rows in alike.items():
        if not n:
            continue
        x, y = (np.stack([arrays[row][part] for row in rows]) for part in (0, 1))
        statistics = _task_statistics(y)
        chosen = _choose(y, seq_len, generator)
        x, y = np.take_along_axis(x, chosen[..., None], axis=1), np.take_along_axis(y, chosen, axis=1)
        out[rows, : y.shape[1], : places.y] = _column_features(x, y, places.y)
        out[rows, : y.shape[1], places.y :] = _output_features(y, statistics, places)
    return np.clip(out, -CLIP, CLIP, out=out).astype(np.float32)


def as_arrays(task: Task) -> tuple[np.ndarray, np.ndarray]:
    """A task as two finite float64 arrays, (n, columns) and (n,), ready for repeated encoding."""
    if isinstance(task, tuple) and len(task) == 2 and isinstance(task[0], np.ndarray) and task[0].ndim == 2:
        return _numbers(task[0], _input_name), _outputs(task[1])
    rows = [pair[0] for pair in task]
    for i, row in enumerate(rows):
        if not hasattr(row, "__len__"):
            raise UserError(f"the inputs of example {i} are {row!r}, not a list of numbers")
        if len(row) != len(rows[0]):
            raise UserError(f"example {i} has {len(row)} inputs where example 0 has {len(rows[0])}")
    width = len(rows[0]) if rows else 0
    return _numbers(rows, _input_name).reshape(len(rows), width), _outputs([pair[1] for pair in task])


def _outputs(values: Any) -> np.ndarray:
    y = _numbers(values, _output_name)
    if y.ndim != 1:
        raise UserError("the output of an example must be one number, not a list")
    return y


def _output_name(index: tuple[int, ...]) -> str:
    return f"the output of example {index[0]}"


def _input_name(index: tuple[int, ...]) -> str:
    return f"input {index[1]} of example {index[0]}"


def _numbers(values: Any, name: Callable[[tuple[int, ...]], str]) -> np.ndarray:
    """``values`` as finite float64: NaN becomes 0, and what is beyond the range of a float its largest value."""
    try:
        array = np.asarray(values)
        if array.dtype.kind not in "biuf":
            raise TypeError
        array = array.astype(np.float64, copy=False)
    except (OverflowError, TypeError, ValueError):
        cells = np.asarray(values, dtype=object)
        array = np.empty(cells.shape)
        for index in np.ndindex(cells.shape):
            array[index] = _number(cells[index], index, name)
    return array if np.isfinite(array).all() else np.nan_to_num(array, nan=0.0, posinf=_MAX, neginf=-_MAX)


def _number(value: Any, index: tuple[int, ...], name: Callable[[tuple[int, ...]], str]) -> float:
    if isinstance(value, str | bytes):
        raise UserError(f"{name(index)} is {value!r}, which is not a number")
    try:
        return float(value)
    except OverflowError:
        return _MAX if value > 0 else -_MAX
    except (TypeError, ValueError):
        raise UserError(f"{name(index)} is {value!r}, which is not a real number") from None


def _choose(y: np.ndarray, seq_len: int, generator: np.random.Generator | None) -> np.ndarray:
    """Which examples become tokens, in which order: indices (tasks, at most seq_len) into y (tasks, n)."""
    tasks, n = y.shape
    if n <= seq_len:
        chosen = np.broadcast_to(np.arange(n), (tasks, n))
    else:
        by_output = np.argsort(y, axis=1, kind="stable")
        if generator is None:
            return np.sort(by_output[:, np.round(np.linspace(0, n - 1, seq_len)).astype(np.int64)], axis=1)
        edges = np.linspace(0, n, seq_len + 1).astype(np.int64)  # whole numbers, so no example is drawn twice
        chosen = np.take_along_axis(by_output, generator.integers(edges[:-1], edges[1:], (tasks, seq_len)), axis=1)
    return chosen if generator is None else generator.permuted(chosen, axis=1)


def _task_statistics(y: np.ndarray) -> np.ndarray:
    """Of outputs (tasks, n): (tasks, 4), scale, mean and standard deviation of y / scale, and two-valued."""
    scale = np.maximum(np.abs(y).max(axis=1), 1e-300)  # the mean of the largest floats would overflow
    scaled = y / scale[:, None]
    mean, deviation = scaled.mean(axis=1), scaled.std(axis=1)
    deviation[deviation < 1e-12] = 0.0  # rounding, not spread
    two_valued = ((y == 0) | (y == 1)).all(axis=1) | (y == y[:, :1]).all(axis=1)
    return np.stack([scale, mean, deviation, two_valued], axis=1)


def _logarithm(magnitude: np.ndarray) -> np.ndarray:
    """log1p, exact up to the knee and compressed above it, so that every magnitude stays below 5 and none collide."""
    log = np.log1p(magnitude)
    over = np.maximum(log - _KNEE, 0.0)
    return np.minimum(log, _KNEE) + over / (over + 12.0)


def _value_features(v: np.ndarray) -> np.ndarray:
    """The documented four, in a new last axis: v / 100, sign, log1p of the magnitude, fractional part."""
    return np.stack([np.clip(v / 100.0, -CLIP, CLIP), np.sign(v), _logarithm(np.abs(v)), v - np.trunc(v)], axis=-1)


def _column_features(x: np.ndarray, y: np.ndarray, room: int) -> np.ndarray:
    """Features (tasks, n, room) of the columns x (tasks, n, width), given the outputs y (tasks, n)."""
    tasks, n, width = x.shape
    out = np.zeros((tasks, n, room))
    if width == 0:
        return out
    features = _value_features(x)
    if width * _FULL <= room:
        with np.errstate(over="ignore"):
            difference = np.nan_to_num(y[..., None] - x, posinf=_MAX, neginf=-_MAX)
        sign = np.sign(difference)
        relation = np.stack([sign, sign * _logarithm(np.abs(difference))], axis=-1)
        features = np.concatenate([features, relation], axis=-1)
    elif width * _PLAIN > room:
        slots = room // _PLAIN
        features = np.stack([features[:, :, slot::slots].mean(axis=2) for slot in range(slots)], axis=2)
    flat = features.reshape(tasks, n, -1)
    out[..., : flat.shape[-1]] = flat
    return out


def _output_features(y: np.ndarray, statistics: np.ndarray, places: Layout) -> np.ndarray:
    """Features of y and the flags, (tasks, n, y_width + 2)."""
    scale, mean, deviation, two_valued = (statistics[:, k, None] for k in range(4))
    safe = np.where(deviation > 0, deviation, 1.0)
    standardised = np.where(deviation > 0, (y / scale - mean) / safe, 0.0)
    if places.y_width == 2:
        parts = [np.sign(y) * _logarithm(np.abs(y)), standardised]
    else:
        parts = [*np.moveaxis(_value_features(y), -1, 0), standardised, (y == np.trunc(y)).astype(np.float64)]
    return np.stack([*parts, np.ones_like(y), np.broadcast_to(two_valued, y.shape)], axis=-1)
