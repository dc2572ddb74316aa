"""The library in memory: what each function id does when it is called.

State is one plain dict handed to every function here::

    {"functions": {id: callable(inputs) -> result},
     "metadata": {id: {"name", "arity", "layer", "composition", "constants", "const_mode", "opcode"}},
     "next_id": int, "loop_id": int | None, "withheld": {id, ...}}

``composition`` is None for primitives, ``opcode`` is None for learned functions. ``withheld`` holds the primitives that
searches of this session must not use; they can still be executed, because learned functions may rest on them.
"""

from __future__ import annotations

import operator
import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from nssr import db
from nssr.db import Composition
from nssr.errors import UserError
from nssr.primitives import BY_NAME, BY_OPCODE, MAX_INT_BITS, MAX_ITERATIONS, MAX_TOTAL_ITERATIONS, PACKS, Primitive
from nssr.schema import FUNCTION_ARGUMENTS, SET_ASIDE

State = dict[str, Any]
Fn = Callable[[list[Any]], Any]
Execute = Callable[[int, list[Any]], Any]
Factory = Callable[[Execute], Fn]


class _Budget(threading.local):
    """What an outermost loop and the loops inside it may still spend in this thread; None outside of loops."""

    left: int | None = None


def _budget_of(execute_fn: Execute) -> _Budget:
    """The budget that all loops calling back through ``execute_fn`` share: it lives on that function."""
    budget = vars(execute_fn).setdefault("budget", _Budget())
    assert isinstance(budget, _Budget)
    return budget


def _limit(value: Any) -> int:
    limit = operator.index(value)  # TypeError for a float, even a whole one
    if limit > MAX_ITERATIONS:
        raise ValueError(f"a loop was asked for {limit} iterations; at most {MAX_ITERATIONS} are allowed")
    return limit


def _iterate(
    budget: _Budget, limit: int, state: Any, body: Callable[[Any], Any], condition: Callable[[Any], Any] | None = None
) -> tuple[Any, int]:
    """Apply ``body`` while ``condition`` holds, ``limit`` times at most; the last state and how often that was."""
    outermost = budget.left is None
    done = 0
    try:
        if budget.left is None:
            budget.left = MAX_TOTAL_ITERATIONS
        while done < limit and (condition is None or condition(state) != 0):
            if budget.left <= 0:
                raise RuntimeError(f"nested loops ran more than {MAX_TOTAL_ITERATIONS} iterations together")
            budget.left -= 1
            state = body(state)
            if isinstance(state, int) and state.bit_length() > MAX_INT_BITS:
                raise OverflowError(f"a loop's state has more than {MAX_INT_BITS} bits")
            done += 1
    finally:
        if outermost:
            budget.left = None
    return state, done


def _loop_factory(execute_fn: Execute) -> Fn:
    """LOOP: ``[body_id, count, init]`` or ``[body_id, count, init, step]``; a step is the body's second input."""
    budget = _budget_of(execute_fn)

    def loop(inputs: list[Any]) -> Any:
        body, count, init, *step = inputs[:4] if len(inputs) >= 3 else _too_few("LOOP", 3, inputs)
        return _iterate(budget, _limit(count), init, lambda state: execute_fn(body, [state, *step]))[0]

    return loop


def _while_factory(execute_fn: Execute) -> Fn:
    """WHILE: ``[cond_id, body_id, state, limit]``; the state once the condition is 0 or the limit is reached."""
    budget = _budget_of(execute_fn)

    def while_(inputs: list[Any]) -> Any:
        cond, body, init, limit = inputs[:4] if len(inputs) >= 4 else _too_few("WHILE", 4, inputs)
        step, holds = (lambda state: execute_fn(body, [state])), (lambda state: execute_fn(cond, [state]))
        return _iterate(budget, _limit(limit), init, step, holds)[0]

    return while_


def _accum_factory(execute_fn: Execute) -> Fn:
    """ACCUM: ``[cond_id, body_id, state, counter, limit]``; as WHILE, but the result counts the iterations.

    The counter starts where the caller says and must be an int, as counts are.
    """
    budget = _budget_of(execute_fn)

    def accum(inputs: list[Any]) -> Any:
        cond, body, init, counter, limit = inputs[:5] if len(inputs) >= 5 else _too_few("ACCUM", 5, inputs)
        step, holds = (lambda state: execute_fn(body, [state])), (lambda state: execute_fn(cond, [state]))
        start = operator.index(counter)
        return start + _iterate(budget, _limit(limit), init, step, holds)[1]

    return accum


def _too_few(name: str, needed: int, inputs: Sequence[Any]) -> Any:
    raise IndexError(f"{name} takes {needed} inputs, got {len(inputs)}")


def _plain_factory(primitive: Primitive) -> Factory:
    """The factory of an operation whose meaning stands in the table; the callable ignores surplus inputs."""
    name, arity, meaning = primitive.name, primitive.arity, primitive.meaning
    assert meaning is not None

    def call(inputs: list[Any]) -> Any:
        if len(inputs) < arity:  # COND and NULL would not notice by themselves
            _too_few(name, arity, inputs)
        return meaning(inputs)

    return lambda _execute_fn: call


_LOOPS: dict[str, Factory] = {"LOOP": _loop_factory, "WHILE": _while_factory, "ACCUM": _accum_factory}


def _make_primitives(packs: Iterable[str] = ("core",)) -> dict[str, tuple[int, Factory]]:
    """``{name: (arity, factory)}`` of the packs, in the table's order; ``factory(execute_fn)`` makes the callable."""
    chosen = _check_packs(packs)
    return {
        p.name: (p.arity, _LOOPS[p.name] if p.name in _LOOPS else _plain_factory(p))
        for pack in chosen
        for p in PACKS[pack]
    }


def _check_packs(packs: Iterable[str]) -> tuple[str, ...]:
    """The packs in the order of the table. Raises ``UserError`` for an unknown one."""
    asked = [packs] if isinstance(packs, str) else list(packs)
    for pack in asked:
        if pack not in PACKS:
            raise UserError(f"There is no pack of primitives named {pack!r}; choose from {', '.join(PACKS)}.")
    return tuple(pack for pack in PACKS if pack in asked)


PRIMITIVES = _make_primitives()


def _empty_state() -> State:
    return {"functions": {}, "metadata": {}, "next_id": 0, "loop_id": None}


def execute(state: State, func_id: int, inputs: list[Any]) -> Any:
    """Call the function with this id on a list of inputs. Raises ``ValueError`` for an unknown id.

    Whatever the function raises comes through: too few inputs are an ``IndexError``, bits of a float a ``TypeError``.
    """
    function = state["functions"].get(func_id)
    if function is None:
        raise ValueError(f"there is no function with id {func_id}")
    return function(inputs)


def init_registry(conn: sqlite3.Connection, packs: Iterable[str] = ("core",), without: Iterable[str] = ()) -> State:
    """Make sure that the library has the core and these packs, then load all of it.

    Primitives that are missing get the next free ids; what is there keeps its id, and learned functions stay. Packs the
    library already has are loaded whether asked for or not. ``without`` names primitives that this session's searches
    must not use. Raises ``UserError`` for unknown packs or names, and when a learned function has the name of a
    primitive that would be added.
    """
    asked = _check_packs(["core", *([packs] if isinstance(packs, str) else packs)])
    with db.transaction(conn):
        functions = _all_functions(conn)
        stored = {f["name"]: f for f in functions} | {f["name"].removeprefix(SET_ASIDE): f for f in functions if _is_primitive(f)}
        present = db.get_packs(conn)
        for pack in (p for p in PACKS if p in asked or p in present):
            for primitive in PACKS[pack]:
                known = stored.get(primitive.name)
                if known is None:
                    db.add_primitive(conn, db.max_id(conn) + 1, primitive.name, primitive.arity)
                elif known["composition"] is not None:
                    raise UserError(
                        f"The pack {pack!r} cannot be added: the library already has a learned function named "
                        f"{primitive.name!r} (id {known['id']}); leave the pack out, or start a new library with it."
                    )
        return load_registry(conn, without)


def load_registry(conn: sqlite3.Connection, without: Iterable[str] = ()) -> State:
    """Rebuild the state from the library, with the packs that are in it; writes nothing.

    ``without`` is as in :func:`init_registry`. Raises ``UserError`` when the library holds something that this version
    cannot run.
    """
    state = _empty_state()
    execute_fn = _executor(state)
    for row in _all_functions(conn):
        _install(state, row, execute_fn)
    state["next_id"] = db.max_id(conn) + 1
    state["withheld"] = _withheld(state, without)
    return state


def register_learned(
    conn: sqlite3.Connection,
    state: State,
    name: str,
    arity: int,
    composition: Composition,
    constants: Sequence[float] | None = None,
    const_mode: str = "multiplicative",
) -> int:
    """Store a new function in the library, then in ``state``, and return its id.

    One transaction: when anything fails, file and memory are as before. (Inside a transaction of the caller's, rolling
    that back calls for a new :func:`load_registry`.) Functions that another process has registered meanwhile are taken
    into ``state`` as well, since ids are shared. Raises ``ValueError`` when the name is taken or an argument is not
    valid (see :func:`nssr.db.add_learned`). The name of a withheld primitive is free: the primitive keeps its id and is
    called ``primitive NAME`` from then on, so a library grown without ADD may learn its own.
    """
    db.check_name(name)
    namesake = next((i for i, meta in state["metadata"].items() if meta["name"] == name), None)
    if namesake is not None and not name_is_free(state, name):
        raise ValueError(f"there is a function named {name!r} already; choose another name")
    with db.transaction(conn):
        if namesake is not None:
            db.rename(conn, namesake, SET_ASIDE + name)
        # Under the write lock nobody else can take the id between looking and storing.
        func_id = max(db.max_id(conn) + 1, int(state["next_id"]))
        db.add_learned(conn, func_id, name, arity, composition, constants, const_mode)
        rows = [row for row in _all_functions(conn) if row["id"] not in state["functions"]]
    if namesake is not None:
        state["metadata"][namesake]["name"] = SET_ASIDE + name
    execute_fn = _executor(state)
    for row in rows:
        _install(state, row, execute_fn)
    return func_id


def name_is_free(state: State, name: str) -> bool:
    """Whether a learned function could have this name: nothing has it, or only a primitive that is withheld and iterates
    nothing."""
    found = next((i for i, meta in state["metadata"].items() if meta["name"] == name), None)
    if found is None:
        return True
    is_primitive = state["metadata"][found]["opcode"] is not None
    return is_primitive and found in state.get("withheld", ()) and name not in FUNCTION_ARGUMENTS


def plain_names(state: State) -> list[str]:
    """A name for every id, primitives under that of their operation: what a model's vocabulary is called.

    The id of a deleted function keeps its place, so that the others keep theirs, under a name that no function can have.
    """
    names = [f"deleted\n{i}" for i in range(vocab_size(state))]
    for i, meta in state["metadata"].items():
        names[i] = meta["name"].removeprefix(SET_ASIDE) if meta["opcode"] is not None else meta["name"]
    return names


def _make_composed_fn(
    state: State,
    composition: Composition,
    execute_fn: Execute,
    constants: Sequence[float] | None = None,
    const_mode: str = "multiplicative",
    *,
    arity: int | None = None,
) -> Fn:
    """The callable that runs a composition step by step and applies the constants to the last step's result.

    Each argument of a step is an index into the inputs followed by the results so far, or -1 for the literal 0; the
    functions that LOOP, WHILE and ACCUM iterate are given by id. With ``arity`` the callable raises ``IndexError`` for
    fewer inputs and drops surplus ones, which would shift the indices; without it all inputs count.
    """
    steps = [
        (child, list(args), function_args(state, child)) for child, args in composition
    ]
    if not steps:
        raise ValueError("the composition is empty; it needs at least one step")
    numbers = db.check_constants(constants, const_mode)

    def composed(inputs: list[Any]) -> Any:
        if arity is not None and len(inputs) < arity:
            _too_few("the function", arity, inputs)
        available = list(inputs[:arity])
        for child, args, n_functions in steps:
            values = [pick(available, index) for index in args[n_functions:]]
            available.append(execute_fn(child, args[:n_functions] + values))
        return apply_constants(available[-1], numbers, const_mode)

    return composed


def pick(values: Sequence[Any], index: int) -> Any:
    """``values[index]``, or the literal 0 for -1; other negative indices raise ``IndexError`` as too large ones do."""
    if index == -1:
        return 0
    if index < 0:
        raise IndexError(f"argument {index} is neither an index nor -1")
    return values[index]


def apply_constants(value: Any, constants: Sequence[float] | None, const_mode: str = "multiplicative") -> Any:
    """``value * k``, ``value + k`` or ``a * value + b`` with float constants; ``value`` itself where there are none."""
    numbers = db.check_constants(constants, const_mode)
    if numbers is None:
        return value
    if const_mode == "multiplicative":
        return value * numbers[0]
    if const_mode == "additive":
        return value + numbers[0]
    return value * numbers[0] + numbers[1]


def vocab_size(state: State) -> int:
    """How many functions were registered: the width of a model's output heads, where a deleted function keeps its place."""
    return int(state["next_id"])


def get_name(state: State, func_id: int) -> str:
    """The name of a function. Raises ``ValueError`` for an unknown id."""
    if func_id not in state["metadata"]:
        raise ValueError(f"there is no function with id {func_id}")
    return str(state["metadata"][func_id]["name"])


def get_names(state: State, func_ids: Iterable[int]) -> list[str]:
    """The names of several functions, in the order asked."""
    return [get_name(state, func_id) for func_id in func_ids]


def _executor(state: State) -> Execute:
    """The way back into the registry that loops and compositions are given, so that they need not know the state."""

    def _exec(func_id: int, inputs: list[Any]) -> Any:
        return execute(state, func_id, inputs)

    return _exec


def _all_functions(conn: sqlite3.Connection) -> list[dict[str, Any]]:
    try:
        return db.get_all_functions(conn)
    except (ValueError, TypeError) as error:
        raise UserError(f"The library is damaged: a composition or constants cannot be read ({error}).") from error


def _is_primitive(row: Mapping[str, Any]) -> bool:
    return row["composition"] is None


def _primitive_name(state: Mapping[str, Any], func_id: int) -> str:
    """The name of a primitive; empty for learned and unknown functions, which may bear any name."""
    meta = state["metadata"].get(func_id)
    return str(meta["name"]) if meta is not None and meta["opcode"] is not None else ""


def function_args(state: Mapping[str, Any], child: int) -> int:
    """How many leading arguments of a step with this child are function ids, not indices."""
    return FUNCTION_ARGUMENTS.get(_primitive_name(state, child), 0)


def _install(state: State, row: dict[str, Any], execute_fn: Execute) -> None:
    """Put one stored function into the state; those it uses must be there."""
    func_id, name, arity, steps = row["id"], row["name"], row["arity"], row["composition"]
    opcode: int | None = None
    if steps is None:
        operation = name.removeprefix(SET_ASIDE)
        if operation not in BY_NAME:
            raise UserError(
                f"The library has a primitive {name!r} (id {func_id}) that this version does not know; upgrade NSSR."
            )
        arity, factory = _ALL_PRIMITIVES[operation]
        function, opcode = factory(execute_fn), BY_NAME[operation].opcode
    else:
        try:
            for child, args in steps:
                get_names(state, [child, *args[: function_args(state, child)]])
            function = _make_composed_fn(state, steps, execute_fn, row["constants"], row["const_mode"], arity=arity)
        except (ValueError, TypeError) as error:
            raise UserError(f"The library is damaged: function {name!r} (id {func_id}): {error}.") from error
    state["functions"][func_id] = function
    state["metadata"][func_id] = {
        "name": name,
        "arity": arity,
        "layer": row["layer"],
        "composition": steps,
        "constants": row["constants"],
        "const_mode": row["const_mode"],
        "opcode": opcode,
    }
    state["next_id"] = max(state["next_id"], func_id + 1)
    if name == "LOOP" and opcode is not None:
        state["loop_id"] = func_id


_ALL_PRIMITIVES = _make_primitives(PACKS)


def _withheld(state: State, without: Iterable[str]) -> set[int]:
    ids = {BY_OPCODE[meta["opcode"]].name: i for i, meta in state["metadata"].items() if meta["opcode"] is not None}
    names = [without] if isinstance(without, str) else list(without)
    for name in names:
        if name not in ids:
            raise UserError(f"There is no primitive {name!r} to do without; choose from {', '.join(ids)}.")
    return {ids[name] for name in names}
