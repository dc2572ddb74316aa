"""The library as plain values, for whoever shows it: what each function is, what it gives, what it looks like elsewhere.

`Catalogue` is a reader: it opens the library for each question and keeps only the text of formulas, which never change, since
functions are not changed and ids not given twice.
"""

from __future__ import annotations

import contextlib
import json
import math
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from nssr import db, registry
from nssr.exchange import exported
from nssr.formula import Formula
from nssr.primitives import BY_OPCODE, PACKS
from nssr.schema import FUNCTION_ARGUMENTS

Form = Literal["json", "text", "latex", "mathml", "python", "sympy", "c"]
FORMATS: tuple[str, ...] = get_args(Form)

LARGEST_INT = 10**300
"""Integers beyond are not put into JSON: most readers make them floats, and Python refuses thousands of digits."""

_PACK_OF = {p.name: pack for pack, primitives in PACKS.items() for p in primitives}
_TEXTS_KEPT = 10_000


class Unknown(KeyError):
    """There is no function of that name."""


class NoSuchForm(ValueError):
    """A function cannot be written in a format."""


class Catalogue:
    """The library at ``path``; it is made, with the primitives of ``packs``, where there is none."""

    def __init__(self, path: Path, packs: Sequence[str] = ("core",)) -> None:
        self.path = path
        self._texts: dict[tuple[int, str], dict[str, Any]] = {}
        self._loaded: tuple[int, registry.State, dict[int, str]] | None = None
        self._lock, self._writing = threading.Lock(), threading.Lock()
        with self._opened() as conn:
            registry.init_registry(conn, packs)
        self._reader = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=db.BUSY_SECONDS, check_same_thread=False
        )
        self._reader.row_factory = sqlite3.Row

    def close(self) -> None:
        self._reader.close()

    def warm_up(self) -> None:
        """Writes all formulas, and loads the algebra that it takes, so that the first to ask does not wait for that."""
        from nssr import symbolic  # noqa: F401

        self.functions()

    @contextlib.contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        with contextlib.closing(db.init_db(self.path)) as conn:
            yield conn

    def state(self) -> registry.State:
        """The registry as it is on disk now; loaded again only when another connection has written since."""
        return self._current()[0]

    def _current(self) -> tuple[registry.State, dict[int, str]]:
        with self._lock:
            version = int(self._reader.execute("PRAGMA data_version").fetchone()[0])
            if self._loaded is None or self._loaded[0] != version:
                created = {f["id"]: f["created_at"] for f in db.get_all_functions(self._reader)}
                self._loaded = version, registry.load_registry(self._reader), created
            return self._loaded[1:]

    # ---- looking -----------------------------------------------------------------------------------------------------

    def functions(self) -> list[dict[str, Any]]:
        """All functions by layer and id."""
        state, created = self._current()
        users = _users(state)
        order = sorted(state["metadata"], key=lambda i: (state["metadata"][i]["layer"], i))
        return [self._facts(state, i, users, created) for i in order]

    def function(self, name: str) -> dict[str, Any]:
        state, created = self._current()
        return self._facts(state, self._id(state, name), _users(state), created)

    def counts(self) -> dict[str, int]:
        state = self.state()
        learned = sum(e["composition"] is not None for e in state["metadata"].values())
        layers = 1 + max((e["layer"] for e in state["metadata"].values()), default=-1)
        vocab = registry.vocab_size(state)
        return {"functions": len(state["metadata"]), "learned": learned, "layers": layers, "vocab_size": vocab}

    @staticmethod
    def _id(state: registry.State, name: str) -> int:
        for i, entry in state["metadata"].items():
            if entry["name"] == name:
                return int(i)
        raise Unknown(name)

    def _facts(
        self, state: registry.State, func_id: int, users: dict[int, set[int]], created: dict[int, str]
    ) -> dict[str, Any]:
        entry = state["metadata"][func_id]
        learned = entry["composition"] is not None
        facts = {
            "id": func_id, "name": entry["name"], "kind": "learned" if learned else "primitive",
            "arity": None if entry["arity"] < 0 else entry["arity"], "layer": entry["layer"], "constants": entry["constants"],
            "uses": registry.get_names(state, sorted(_uses(state, func_id))),
            "used_by": registry.get_names(state, sorted(users.get(func_id, ()))), "created_at": _iso(created.get(func_id)),
        }  # fmt: skip
        if not learned:
            facts["pack"] = _PACK_OF.get(BY_OPCODE[entry["opcode"]].name)
        return facts | (self._written(state, func_id) if learned else dict.fromkeys(_WRITTEN))

    def _written(self, state: registry.State, func_id: int) -> dict[str, Any]:
        key = func_id, state["metadata"][func_id]["name"]
        if key in self._texts:
            return dict(self._texts[key])
        with self._writing:  # one of those who ask for a new function writes it, the others wait
            if key not in self._texts:
                if len(self._texts) >= _TEXTS_KEPT:
                    self._texts.clear()
                formula = formula_of(state, func_id)
                self._texts[key] = {
                    "composition": formula.structure(), "formula": str(formula), "latex": formula.latex(),
                    "mathml": formula.mathml(),
                }  # fmt: skip
            return dict(self._texts[key])

    # ---- using -------------------------------------------------------------------------------------------------------

    def predict(self, name: str, inputs: Sequence[Sequence[Any]], seconds: float) -> dict[str, Any]:
        """Values of a function on rows of numbers, and what went wrong on which row.

        ``ValueError`` for a function that takes functions, and for a row of another length than its arity.
        """
        state = self.state()
        func_id = self._id(state, name)
        entry = state["metadata"][func_id]
        if entry["arity"] < 0 or entry["name"] in FUNCTION_ARGUMENTS:
            raise ValueError(f"{name} takes functions as arguments, so it has no value on numbers alone")
        outputs: list[float | None] = []
        errors: list[dict[str, Any]] = []
        end = time.monotonic() + seconds
        for row, values in enumerate(inputs):
            if len(values) != entry["arity"]:
                raise ValueError(f"row {row} has {len(values)} numbers; {name} takes {entry['arity']}")
            value, problem = (None, "there was no time left") if time.monotonic() > end else _value(state, func_id, values)
            outputs.append(value)
            if problem is not None:
                errors.append({"row": row, "detail": problem})
        return {"outputs": outputs, "errors": errors}

    def export(self, name: str, form: str) -> str:
        """The function as text in one of `FORMATS`; `NoSuchForm` where it has none such."""
        state = self.state()
        func_id = self._id(state, name)
        if form == "json":
            return json.dumps(exported(state, [func_id]), ensure_ascii=False, indent=1)
        if state["metadata"][func_id]["composition"] is None:
            raise NoSuchForm(f"{name} is a primitive; it is its own form, and is exported as json only")
        formula = formula_of(state, func_id)
        try:
            return _WRITERS[form](formula, name)
        except (ValueError, TypeError, NotImplementedError) as error:
            raise NoSuchForm(f"{name} cannot be written as {form}: {error}") from None

    def delete(self, name: str) -> None:
        """`Unknown`, or ``ValueError`` for a primitive and for a function that others use."""
        with self._opened() as conn:
            db.delete_learned(conn, self._id(registry.load_registry(conn), name))

    def backup(self, to: Path) -> None:
        """A copy that is consistent while others write."""
        db.backup(self.path, to)

    def reset(self, packs: Sequence[str]) -> None:
        """Deletes every learned function, those that others use last. Their ids are not given again."""
        with self._opened() as conn, db.transaction(conn):
            for function in reversed(db.get_all_functions(conn)):
                if function["composition"] is not None:
                    db.delete_learned(conn, function["id"])
        with self._opened() as conn:
            registry.init_registry(conn, packs)


_WRITTEN = ("composition", "formula", "latex", "mathml")


def formula_of(state: registry.State, func_id: int) -> Formula:
    entry = state["metadata"][func_id]
    return Formula.from_composition(
        state, entry["composition"], entry["arity"], constants=entry["constants"], const_mode=entry["const_mode"]
    )


def _uses(state: registry.State, func_id: int) -> set[int]:
    """The functions that a composition calls, and those that its loops iterate."""
    used: set[int] = set()
    for child, args in state["metadata"][func_id]["composition"] or ():
        used |= {child, *args[: registry.function_args(state, child)]}
    return used


def _users(state: registry.State) -> dict[int, set[int]]:
    users: dict[int, set[int]] = {}
    for i in state["metadata"]:
        for used in _uses(state, i):
            users.setdefault(used, set()).add(i)
    return users


def _value(state: registry.State, func_id: int, values: Sequence[Any]) -> tuple[Any, str | None]:
    try:
        value = registry.execute(state, func_id, list(values))
    except (ArithmeticError, ValueError, TypeError, IndexError, RuntimeError) as error:
        return None, str(error) or type(error).__name__
    if isinstance(value, int) and abs(value) > LARGEST_INT:
        return None, "the value is an integer of more than 300 digits"
    if not isinstance(value, int | float) or not math.isfinite(value):
        return None, f"the value is {value}, which is no finite number"
    return value, None


def _iso(created: str | None) -> str | None:
    return None if created is None else created.replace(" ", "T") + "Z"


def _python(formula: Formula, name: str) -> str:
    """A function of floats. It is text for people to run where they like; nothing here runs it."""
    arguments = ", ".join(formula.names)
    safe = "".join(c if c.isascii() and c.isalnum() else "_" for c in name)
    return f"import math\n\n\ndef f_{safe}({arguments}):\n    return {_only_arithmetic(formula)}\n"


def _only_arithmetic(formula: Formula) -> str:
    from sympy.printing.pycode import pycode

    return str(pycode(_real(formula)))


def _real(formula: Formula) -> Any:
    """The sympy expression; ``ValueError`` where it holds what is no operation of real numbers."""
    from sympy.core.function import AppliedUndef

    expression = formula.sympy()
    strange = expression.atoms(AppliedUndef)
    if strange:
        raise ValueError(f"it holds {min(str(f.func) for f in strange)}, which is no arithmetic of real numbers")
    return expression


def _c(formula: Formula, name: str) -> str:
    from sympy.printing.c import ccode

    arguments = ", ".join(f"double {n}" for n in formula.names)
    safe = "".join(c if c.isascii() and c.isalnum() else "_" for c in name)
    return f"#include <math.h>\n\ndouble f_{safe}({arguments or 'void'}) {{\n    return {ccode(_real(formula))};\n}}\n"


_WRITERS: dict[str, Callable[[Formula, str], str]] = {
    "text": lambda formula, name: str(formula) + "\n",
    "latex": lambda formula, name: formula.latex() + "\n",
    "mathml": lambda formula, name: formula.mathml() + "\n",
    "sympy": lambda formula, name: str(_real(formula)) + "\n",
    "python": _python,
    "c": _c,
}

__all__ = ["FORMATS", "Catalogue", "Form", "NoSuchForm", "Unknown", "formula_of"]
