"""What the kinds of job do: each takes what was asked and a table, tells of its progress, and returns plain values.

They run in `nssr.jobs.worker`, in a process that may be killed at any moment: whatever they write is whole or absent, and
done again it comes to the same.
"""

from __future__ import annotations

import contextlib
import json
import math
import signal
import time
from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nssr.errors import UserError
from nssr.table import Table

Tell = Callable[[str, dict[str, Any]], None]
"""Called with the name of an event and its data."""

FIT_ROWS = 500
"""Rows of a fit that are shown as predicted against actual."""

EXAMPLE_ROWS = 20
TOP_GUESSES = 8
_FRONT_EVERY_S, _RATE_EVERY_S, _PROGRESS_EVERY_S = 0.4, 0.5, 0.2


class Cancelled(Exception):
    """The work was stopped on request; ``result`` is what there is all the same, or None."""

    def __init__(self, result: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.result = result


class _Listener:
    """The part of a console that sessions use, as events."""

    def __init__(self, tell: Tell, folder: Path) -> None:
        self._tell, self._folder = tell, folder
        self._last: tuple[str, float] = "", -math.inf

    def progress(self, doing: str, step: int, total: int, remark: str) -> None:
        now = time.monotonic()
        if doing != self._last[0] or now - self._last[1] >= _PROGRESS_EVERY_S or step >= total:
            self._last = doing, now
            self._tell("progress", {"doing": doing, "step": step, "total": total, "remark": remark})

    def busy(self, doing: str) -> None:
        self.progress(doing, 0, 1, "")

    def note(self, text: str) -> None:
        self._tell("note", {"text": text.replace(f"{self._folder}/", "")})  # where it lies is nobody's business

    line = note

    def close(self) -> None:
        """There is no moving line to take away."""


class _AtStake:
    """Ctrl-C is a KeyboardInterrupt in a worker from the start, so there is nothing to switch."""

    def something_at_stake(self) -> None:
        """See `nssr.interrupt.Interrupts`."""


# ---- learning a function ---------------------------------------------------------------------------------------------


def train(spec: Mapping[str, Any], table: Table, folder: Path, tell: Tell, threads: int) -> dict[str, Any]:
    """Learns ``spec["target_name"]`` as the command does, in the library of ``folder`` and with the model kept there."""
    from nssr import registry
    from nssr.learning import REPLAY_EPOCHS  # more measured no better (docs/guide.md), and people wait
    from nssr.main import _finite, describe, formula_over
    from nssr.session import Job, Session

    options = Namespace(
        checkpoint_dir=str(folder), db=str(folder / "symbolic.db"), packs=spec.get("packs", "core"), without="", guide="on",
        train_epochs=min(spec["num_epochs"], REPLAY_EPOCHS), max_steps=spec["max_search_steps"], max_depth=spec["max_depth"],
        threads=threads,
        device="auto", compile="auto", seed=spec.get("seed", 0),
    )  # fmt: skip
    job = Job(spec["target_name"], table, "choose another target_name")
    listener: Any = _Listener(tell, folder)
    interrupts: Any = _AtStake()
    facts: dict[str, Any] = {}
    session = Session(options, [job], listener, interrupts)
    try:
        _tell_opinion(session, table, tell)

        def announce(lesson: Any) -> None:
            facts.update(describe(session.state, lesson, table))
            formula = formula_over(session.state, lesson, table)
            facts["mathml"] = None if formula is None else formula.mathml()

        session.learn(job, announce)
        facts["vocab_size"] = registry.vocab_size(session.state)
    except KeyboardInterrupt:
        session.save()
        raise Cancelled(_finite(facts) or None) from None
    finally:
        session.close()
    result: dict[str, Any] = _finite(facts)
    return result


def _tell_opinion(session: Any, table: Table, tell: Tell) -> None:
    """What the guide makes of the table: its likeliest first functions and composition types."""
    if session.model is None:
        return
    import numpy as np

    from nssr import registry
    from nssr.search import COMP_TYPES, ModelGuide, format_examples

    config = session.state["config"]
    examples = table.sample(64, 0).examples()
    x = format_examples(examples, input_dim=config["input_dim"], seq_len=config["seq_len"])
    if x is None:
        return
    guide = session.state["ema"].model if session.state.get("ema") is not None else session.model
    names = registry.plain_names(session.state)
    scores = ModelGuide(guide, x).slot_scores(len(names))

    def top(labels: list[str], logs: Any) -> list[dict[str, Any]]:
        order = np.argsort(-logs)[:TOP_GUESSES]
        return [{"name": labels[i], "probability": round(float(np.exp(logs[i])), 4)} for i in order if i < len(labels)]

    tell("guide", {"functions": top(names, scores.primary), "types": top(list(COMP_TYPES), scores.composition)})


# ---- finding a formula -----------------------------------------------------------------------------------------------


def fit(spec: Mapping[str, Any], table: Table, folder: Path, tell: Tell, threads: int) -> dict[str, Any]:
    """Finds a formula as `nssr.NSSRRegressor` does."""
    import numpy as np
    import pandas as pd

    from nssr.regressor import NSSRRegressor

    # An integer beyond 64 bits is an object for pandas, and a float for a formula.
    frame = pd.DataFrame(
        {name: c.astype(np.float64) if c.dtype == object else c for name, c in zip(table.names, table.columns, strict=True)}
    )
    y = pd.Series(np.asarray(table.target, dtype=np.float64), name=table.target_name)
    reporter = _FitReporter(tell)
    model = NSSRRegressor(
        max_time=spec["max_time"], random_state=spec.get("seed", 0), n_threads=threads, operations=spec.get("operations"),
        max_complexity=spec.get("max_complexity"), units=spec.get("units"), loss=spec.get("loss", "squared"),
        library=folder / "symbolic.db" if spec.get("use_library", True) else None, callback=reporter,
        memory_limit=spec.get("memory_limit", 1_000_000_000),
    )  # fmt: skip
    try:
        model.fit(frame, y)
    except (ValueError, TypeError) as error:
        raise UserError(str(error)) from error
    except KeyboardInterrupt:
        raise Cancelled from None
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # there is a result now, and only to be written down
    result = _fit_result(model, frame, y)
    if model.stopped_ == "cancelled":
        raise Cancelled(result)
    return result


class _FitReporter:
    """Events of a formula search, a few a second at most: writing a formula takes time that the search does not get back."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._front: Any = None
        self._told_front = self._told_rate = -math.inf

    def __call__(self, progress: Any) -> None:
        now = time.monotonic()
        if now - self._told_rate >= _RATE_EVERY_S:
            self._told_rate = now
            per_second = progress.candidates / max(progress.seconds, 1e-9)
            self._tell("rate", {"candidates": progress.candidates, "per_second": round(per_second),
                                "seconds": round(progress.seconds, 3)})  # fmt: skip
        if progress.front is not self._front and now - self._told_front >= _FRONT_EVERY_S:
            self._front, self._told_front = progress.front, now
            self._tell("front", self._shown(progress))

    def _shown(self, progress: Any) -> dict[str, Any]:
        formulas = progress.formulas()
        equations = [
            {"complexity": found.complexity, "loss": _number(found.loss), "r2": _number(found.r2), "formula": str(formula),
             "mathml": formula.mathml()}
            for found, formula in zip(progress.front, formulas, strict=True)
        ]  # fmt: skip
        best = min(range(len(equations)), key=lambda i: progress.front[i].description_length)
        return {"seconds": round(progress.seconds, 3), "best": best, "equations": equations}


def _fit_result(model: Any, frame: Any, y: Any) -> dict[str, Any]:
    import numpy as np

    table = model.equations_
    equations = [
        {
            "complexity": int(row.complexity), "loss": _number(row.loss), "score": _number(row.score), "r2": _number(row.r2),
            "held_out_r2": _number(row.held_out_r2), "formula": str(row.formula), "latex": row.formula.latex(),
            "mathml": row.formula.mathml(),
        }
        for row in table.itertuples()
    ]  # fmt: skip
    rows = np.linspace(0, len(y) - 1, min(len(y), FIT_ROWS)).round().astype(int)
    predicted = model.formula_.predict(frame.iloc[rows])
    chosen = model.result_.chosen
    return {
        "formula": str(model.formula_), "latex": model.formula_.latex(), "mathml": model.formula_.mathml(),
        "exact": bool(model.exact_), "stopped": model.stopped_, "chosen": chosen, "columns": list(model.formula_.used),
        "target": y.name, "equations": equations, "rows": len(y), "seconds": round(model.result_.seconds, 3),
        "fit": {"actual": [_number(v) for v in y.iloc[rows]], "predicted": [_number(v) for v in predicted]},
        "trees": [_packed(formula.tree) for formula in table["formula"]], "names": list(model.formula_.names),
    }  # fmt: skip


def _number(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None


def _packed(tree: Any) -> list[Any]:
    """A tree as lists, to be kept: `unpacked` gives it back."""
    return [tree.op, tree.value] if not tree.args else [tree.op, *map(_packed, tree.args)]


def unpacked(packed: Any) -> Any:
    """The tree that was kept in a result of this service. Only operations that exist are made."""
    from nssr.explore.tree import Tree, column, number
    from nssr.notation import COLUMN, NUMBER
    from nssr.operation_names import AVAILABLE

    op, *rest = packed
    if op == COLUMN:
        return column(int(rest[0]))
    if op == NUMBER:
        return number(float(rest[0]))
    if op not in AVAILABLE:
        raise ValueError(f"{op!r} is no operation of a formula")
    return Tree(op, tuple(unpacked(arg) for arg in rest))


# ---- judging the library on a table ----------------------------------------------------------------------------------


def evaluate(spec: Mapping[str, Any], table: Table, folder: Path, tell: Tell, threads: int) -> dict[str, Any]:
    """Every function of the library on the columns that suit it best, and the best one row by row."""
    from nssr import db, executor, registry
    from nssr.judging import best_route, plain_examples
    from nssr.learning import KNOWN_ROWS

    with contextlib.closing(db.init_db(folder / "symbolic.db")) as conn:
        state = registry.load_registry(conn)
    listener = _Listener(tell, folder)
    examples = plain_examples(table.sample(KNOWN_ROWS, 0).examples())
    width = len(table.names)
    judged = [i for i, e in sorted(state["metadata"].items()) if 1 <= e["arity"] <= width]
    functions: list[dict[str, Any]] = []
    routes: dict[str, tuple[int, list[int]]] = {}
    for place, func_id in enumerate(judged):
        name = registry.get_name(state, func_id)
        listener.progress("judging the library", place, len(judged), name)
        route = best_route(state, func_id, examples)
        routes[name] = func_id, route
        shown = [([x[c] for c in route], y) for x, y in examples]
        right = sum(match for _, match in _outcomes(state, func_id, shown))
        r2 = _number(executor.r_squared(state, func_id, shown))
        functions.append({"name": name, "r2": r2, "exact": right, "columns": [table.names[c] for c in route]})
    functions.sort(key=lambda f: (-f["exact"], math.inf if f["r2"] is None else -f["r2"]))
    result = {"rows": len(examples), "exact_match": 0, "best_r2": None, "best": None, "functions": functions, "examples": []}
    if functions:
        best = functions[0]
        func_id, route = routes[best["name"]]
        some = examples[:EXAMPLE_ROWS]
        outcomes = _outcomes(state, func_id, [([x[c] for c in route], y) for x, y in some])
        rows = [(x, y, got, match) for (x, y), (got, match) in zip(some, outcomes, strict=True)]
        result |= {
            "exact_match": best["exact"], "best": best["name"],
            "best_r2": max((f["r2"] for f in functions if f["r2"] is not None), default=None),
            "examples": [{"inputs": x, "expected": y, "predicted": got, "match": match} for x, y, got, match in rows],
        }  # fmt: skip
    return result


def _outcomes(state: Any, func_id: int, examples: list[tuple[list[Any], Any]]) -> list[tuple[float | None, bool]]:
    """The function's value on each row, None where there is none, and whether it is the output."""
    from nssr import registry
    from nssr.primitives import ABS_TOL, REL_TOL

    found: list[tuple[float | None, bool]] = []
    for inputs, output in examples:
        try:
            value = registry.execute(state, func_id, list(inputs))
        except (ArithmeticError, ValueError, TypeError, IndexError, RuntimeError):
            found.append((None, False))
            continue
        try:
            match = math.isclose(value, output, rel_tol=REL_TOL, abs_tol=ABS_TOL)
            found.append((value if math.isfinite(value) and abs(value) < 1e300 else None, match))
        except (OverflowError, TypeError):
            found.append((None, False))
    return found


# ---- taking functions in ---------------------------------------------------------------------------------------------


def take_in(payload: bytes, folder: Path) -> dict[str, Any]:
    """The functions of an exported document, once each has the values that it came with."""
    from nssr import db, exchange

    try:
        document = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise UserError(f"the document is no JSON: {error}") from None
    with contextlib.closing(db.init_db(folder / "symbolic.db")) as conn:
        names, known = exchange.take_in(conn, document)
    return {"functions": names, "known": known}
