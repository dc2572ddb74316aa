"""The reference: what a candidate program means, in plain Python over Python numbers.

Slow and obvious on purpose. Every faster way of running a program must agree with this module or say that it cannot.

A candidate is a dict with ``primary_id``, ``secondary_id``, ``tertiary_id``, ``comp_type``, ``routing``,
``null_columns`` and optionally ``constants`` and ``const_mode``. Inputs in ``null_columns`` count as 0; ``routing``
picks inputs by their original index (-1 is the literal 0), and without it all inputs are taken.

============== =============================== ==================================================================
comp_type      routing                         meaning
============== =============================== ==================================================================
none           indices                         ``primary(routed inputs)``
sequential     indices                         ``primary(r, r, ...)`` with ``r = secondary(routed inputs)``
nested         indices                         ``primary(secondary(x), secondary(y), ...)`` over the routed inputs
parallel       two lists of indices            ``tertiary(primary(first route), secondary(second route))``
loop_direct    two indices, [0, 1] by default  ``LOOP(primary, count=second, init=first)``
loop_binary    two indices, [0, 1] by default  ``LOOP(primary, count=second, init=0, step=first)``
============== =============================== ==================================================================
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from nssr.primitives import ABS_TOL, REL_TOL
from nssr.registry import State, apply_constants, execute, pick

Candidate = dict[str, Any]
Example = tuple[Sequence[Any], Any]


def run(state: State, candidate: Candidate, inputs: Sequence[Any]) -> Any:
    """The candidate's value on one row of inputs, its constants applied. Raises whatever a step raises."""
    value = _run_base(state, candidate, inputs)
    return apply_constants(value, candidate.get("constants"), candidate.get("const_mode") or "multiplicative")


def _run_base(state: State, candidate: Candidate, inputs: Sequence[Any]) -> Any:
    """The value before constants. Raises ``ValueError`` for an unknown ``comp_type`` or a function that is missing."""
    null_columns = candidate.get("null_columns") or ()
    row = [0 if column in null_columns else value for column, value in enumerate(inputs)]
    routing = candidate.get("routing")
    primary = candidate["primary_id"]
    match candidate.get("comp_type", "none"):
        case "none":
            return execute(state, primary, _routed(row, routing))
        case "sequential":
            result = execute(state, _slot(candidate, "secondary_id"), _routed(row, routing))
            return execute(state, primary, [result] * _places(state, primary))
        case "nested":
            secondary = _slot(candidate, "secondary_id")
            return execute(state, primary, [execute(state, secondary, [x]) for x in _routed(row, routing)])
        case "parallel":
            first, second = routing if routing is not None else (None, None)
            left = execute(state, primary, _routed(row, first))
            right = execute(state, _slot(candidate, "secondary_id"), _routed(row, second))
            return execute(state, _slot(candidate, "tertiary_id"), [left, right])
        case "loop_direct":
            init, count = _routed(row, [0, 1] if routing is None else routing)
            return execute(state, state["loop_id"], [primary, count, init])
        case "loop_binary":
            step, count = _routed(row, [0, 1] if routing is None else routing)
            return execute(state, state["loop_id"], [primary, count, 0, step])
        case other:
            raise ValueError(f"unknown comp_type {other!r}")


def validate(state: State, candidate: Candidate, examples: Sequence[Example]) -> bool:
    """Whether the candidate gives every example's output, as ``math.isclose`` with the tolerances of the table sees it.

    The first mismatch ends the test; an example on which anything raises is a mismatch. No examples: True.
    """
    try:
        for inputs, expected in examples:
            if not math.isclose(run(state, candidate, inputs), expected, rel_tol=REL_TOL, abs_tol=ABS_TOL):
                return False
    except Exception:  # a program that raises has no value there; an interrupt is no Exception and passes
        return False
    return True


def r_squared(state: State, func_id: int, examples: Sequence[Example]) -> float:
    """The coefficient of determination of a registered function over the examples.

    ``-inf`` where the function raises or gives no finite number on some example, and where there are no examples. When
    all outputs are the same, 1.0 for a function that gives exactly these, else ``-inf``.
    """
    try:
        targets = [float(expected) for _, expected in examples]
        values = [float(execute(state, func_id, list(inputs))) for inputs, _ in examples]
        if not targets or not all(map(math.isfinite, targets + values)):
            return -math.inf
        if values == targets:
            return 1.0
        mean = math.fsum(targets) / len(targets)
        spread = max(abs(t - mean) for t in targets)
        if targets.count(targets[0]) == len(targets) or spread == 0.0:
            return -math.inf
        # In units of the spread, so that squares of very large or small outputs neither overflow nor vanish.
        residual = math.fsum(((t - v) / spread) ** 2 for t, v in zip(targets, values, strict=True))
        total = math.fsum(((t - mean) / spread) ** 2 for t in targets)
        score = 1.0 - residual / total
        return score if math.isfinite(score) else -math.inf
    except Exception:
        return -math.inf


def _routed(row: Sequence[Any], routing: Sequence[int] | None) -> list[Any]:
    return list(row) if routing is None else [pick(row, index) for index in routing]


def _slot(candidate: Candidate, slot: str) -> int:
    func_id = candidate.get(slot)
    if func_id is None:
        raise ValueError(f"a {candidate['comp_type']} candidate needs {slot}")
    return int(func_id)


def _places(state: State, func_id: int) -> int:
    """In how many argument places a sequential result stands: the arity, one for a variadic function."""
    meta = state["metadata"].get(func_id)
    return meta["arity"] if meta is not None and meta["arity"] >= 0 else 1
