"""Shorter programs with the same behaviour on the examples: one known function, fewer steps, fewer columns.

A composition is ``[(function id, argument indices), ...]``; an index counts the inputs first, then the results of the
steps. Everything is checked by the engine in batches; what it is unsure about, the reference decides.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import permutations
from typing import Any

import numpy as np

from nssr import engine, primitives, registry
from nssr.registry import function_args
from nssr.screening import absolute_tolerance

Composition = list[tuple[int, list[int]]]
Examples = Sequence[tuple[Sequence[Any], Any]]

CHECK_ROWS = 2048
MOST_ORDERS = 24


def simplify(
    state: dict[str, Any],
    composition: Composition,
    examples: Examples,
    constants: Sequence[float] | None = None,
    const_mode: str = "multiplicative",
) -> tuple[Composition, int, list[int] | None]:
    """A composition that is no longer, its arity, and the columns it kept (None if it kept all).

    A composition that does not hold on the examples exactly (a fit within noise) is shortened to one of the same values.
    Where it has no value on some example, it is only freed of unused columns.
    """
    some = _thinned(examples)
    if not _validate(state, composition, some, constants, const_mode):
        own = _own_values(state, composition, examples, constants, const_mode)
        if own is None:
            return _strip_unused_inputs(state, composition, some, constants, const_mode)
        examples, some = own, _thinned(own)
    shortest = composition
    if not constants:
        single = _try_single_function(state, some)
        if single is not None and _complexity(state, single) < _complexity(state, composition):
            shortest = single
    shorter = _try_prune(state, shortest, some, constants, const_mode)
    while shorter is not None:
        shortest = shorter
        shorter = _try_prune(state, shortest, some, constants, const_mode)
    if len(some) == len(examples) or _validate(state, shortest, examples, constants, const_mode):
        composition = shortest
    return _strip_unused_inputs(state, composition, some, constants, const_mode)


def _own_values(
    state: dict[str, Any],
    composition: Composition,
    examples: Examples,
    constants: Sequence[float] | None,
    const_mode: str,
) -> Examples | None:
    """The examples with the composition's own values as outputs; None where it has no finite one."""
    data = engine.Dataset.from_examples(examples)
    batch = engine.ProgramBatch.from_compositions(
        state, [(composition, data.n_columns, constants, const_mode)], data.lanes
    )
    values, status = engine.predict(batch, data)
    if status[0] or not np.isfinite(values).all():
        return None
    return [(inputs, float(value)) for (inputs, _), value in zip(examples, values[0], strict=True)]


def _thinned(examples: Examples) -> Examples:
    """At most CHECK_ROWS examples, evenly taken."""
    if len(examples) <= CHECK_ROWS:
        return examples
    return [examples[int(i)] for i in np.linspace(0, len(examples) - 1, CHECK_ROWS).round()]


def _try_single_function(state: dict[str, Any], examples: Examples) -> Composition | None:
    """A learned function that gives the outputs by itself, over the columns in any order; the simplest one, or None."""
    width = len(examples[0][0])
    proposals: list[Composition] = []
    for i, entry in state["metadata"].items():
        if entry["composition"] is None or not 1 <= entry["arity"] <= width:
            continue
        orders = permutations(range(width), entry["arity"])
        proposals += [[(i, list(order))] for order, _ in zip(orders, range(MOST_ORDERS), strict=False)]
    right = _right(state, proposals, examples, None, "multiplicative")
    return min(right, key=lambda c: _complexity(state, c)) if right else None


def _try_prune(
    state: dict[str, Any],
    composition: Composition,
    examples: Examples,
    constants: Sequence[float] | None = None,
    const_mode: str = "multiplicative",
) -> Composition | None:
    """The first composition with one step (not the last) less that still holds, or None.

    Whatever read the removed step's result reads one of its arguments instead; later indices move up.
    """
    width = len(examples[0][0])
    proposals: list[Composition] = []
    for place in range(len(composition) - 1):
        gone = width + place
        child, args = composition[place]
        heirs = [a for a in dict.fromkeys(args[function_args(state, child) :]) if a < gone]
        used = any(gone in rest[function_args(state, c) :] for c, rest in composition[place + 1 :])
        for heir in heirs if used else [-1]:
            steps = []
            for c, rest in composition[:place] + composition[place + 1 :]:
                n = function_args(state, c)
                moved = [heir if a == gone else a - 1 if a > gone else a for a in rest[n:]]
                steps.append((c, rest[:n] + moved))
            proposals.append(steps)
    right = _right(state, proposals, examples, constants, const_mode)
    return right[0] if right else None


def _strip_unused_inputs(
    state: dict[str, Any],
    composition: Composition,
    examples: Examples,
    constants: Sequence[float] | None = None,
    const_mode: str = "multiplicative",
) -> tuple[Composition, int, list[int] | None]:
    """The composition over only the columns that it reads: (composition, arity, columns kept or None for all)."""
    width = len(examples[0][0])
    read = {a for c, args in composition for a in args[function_args(state, c) :] if 0 <= a < width}
    used = sorted(read)
    if len(used) == width or not used:
        return composition, width, None
    place = {old: new for new, old in enumerate(used)}
    shift = width - len(used)
    steps = []
    for c, args in composition:
        n = function_args(state, c)
        steps.append((c, args[:n] + [a if a < 0 else place[a] if a < width else a - shift for a in args[n:]]))
    return steps, len(used), used


def _validate(
    state: dict[str, Any],
    composition: Composition,
    examples: Examples,
    constants: Sequence[float] | None = None,
    const_mode: str = "multiplicative",
) -> bool:
    """Whether the composition, with its constants, gives every example's output."""
    return bool(_right(state, [composition], examples, constants, const_mode))


def _right(
    state: dict[str, Any],
    proposals: Sequence[Composition],
    examples: Examples,
    constants: Sequence[float] | None,
    const_mode: str,
) -> list[Composition]:
    """Those of the proposals that hold on every example, in their order."""
    if not proposals:
        return []
    data = engine.Dataset.from_examples(examples)
    width = data.n_columns
    batch = engine.ProgramBatch.from_compositions(
        state, [(c, width, constants, const_mode) for c in proposals], data.lanes
    )
    assert data.target is not None
    abs_tol = absolute_tolerance(data.target)
    verdicts = engine.validate(batch, data, abs_tol=abs_tol)
    return [
        c
        for c, verdict in zip(proposals, verdicts, strict=True)
        if verdict == engine.PASS
        or (verdict == engine.UNSURE and _reference_says(state, c, examples, constants, const_mode, abs_tol))
    ]


def _reference_says(
    state: dict[str, Any],
    composition: Composition,
    examples: Examples,
    constants: Sequence[float] | None,
    mode: str,
    abs_tol: float,
) -> bool:
    run = registry._make_composed_fn(
        state, composition, lambda i, inputs: registry.execute(state, i, inputs), constants, mode
    )
    try:
        return all(
            math.isclose(run(list(inputs)), output, rel_tol=primitives.REL_TOL, abs_tol=abs_tol)
            for inputs, output in examples
        )
    except (ArithmeticError, TypeError, ValueError, IndexError, RuntimeError):
        return False


def _complexity(state: dict[str, Any], composition: Composition) -> int:
    """100 per step, 10 for the highest layer among the steps, 1 per argument; lower is simpler."""
    layers = [state["metadata"][child]["layer"] for child, _ in composition]
    return 100 * len(composition) + 10 * max(layers, default=0) + sum(len(args) for _, args in composition)
