"""The library on disk. Every function takes the connection first; nothing is kept in the module.

Writes are whole or absent: each registration is one transaction, so a process killed at any moment leaves a library
that opens. A connection from :func:`init_db` commits by itself; a caller who wants several registrations in one
transaction uses :func:`transaction` (or ``BEGIN``), and the functions here join it.
"""

from __future__ import annotations

import contextlib
import json
import math
import operator
import os
import sqlite3
import time
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nssr import schema
from nssr.errors import UserError
from nssr.primitives import PACKS
from nssr.schema import CONST_MODES, FUNCTION_ARGUMENTS, MAX_NAME, SET_ASIDE

Composition = list[tuple[int, list[int]]]

BUSY_SECONDS = 2.0
"""How long to wait for another process that is writing before refusing."""


def init_db(db_path: str | os.PathLike[str] = "checkpoints/symbolic.db") -> sqlite3.Connection:
    """Open the library at ``db_path``, making it and its directories where there are none; ``":memory:"`` works too.

    Rows come as ``sqlite3.Row``. A library from before versions were recorded is adopted. Raises :class:`UserError`,
    and leaves the file as it was, when it is no database, belongs to another application, was made by a newer NSSR,
    cannot be written, or stays locked by another process for about two seconds.
    """
    path = os.fspath(db_path)
    conn: sqlite3.Connection | None = None
    try:
        if path != ":memory:":
            _prepare_path(path)
            _inspect_log(path)
        conn = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        conn.row_factory = sqlite3.Row
        conn.execute("PRAGMA foreign_keys = ON")
        with transaction(conn):
            _inspect(conn, path)
            _ensure_schema(conn)
        _write_ahead(conn)
    except BaseException as error:
        if conn is not None:
            conn.close()
        if isinstance(error, sqlite3.DatabaseError):
            _refuse(error, path)
        raise
    return conn


@contextmanager
def transaction(conn: sqlite3.Connection) -> Iterator[None]:
    """Do all of the block or nothing of it; inside an open transaction the block is a savepoint of that one.

    Raises :class:`UserError` when the file is locked by another process, read-only, full or damaged.
    """
    joined = conn.in_transaction
    begin, commit, rollback = (
        ("SAVEPOINT nssr", "RELEASE nssr", "ROLLBACK TO nssr") if joined else ("BEGIN IMMEDIATE", "COMMIT", "ROLLBACK")
    )
    try:
        conn.execute(begin)
        try:
            yield
            conn.execute(commit)
        except BaseException:
            if conn.in_transaction:  # a full disk makes SQLite roll back by itself
                conn.execute(rollback)
                if joined:
                    conn.execute(commit)
            raise
    except sqlite3.DatabaseError as error:
        _refuse(error, conn.execute("PRAGMA database_list").fetchone()[2] or ":memory:")
        raise


def add_primitive(conn: sqlite3.Connection, func_id: int, name: str, arity: int) -> None:
    """Store a primitive (layer 0, no composition) under ``func_id``, replacing what has that id or that name.

    ``arity`` is -1 for a variadic primitive. Functions that use the replaced id keep using it. Raises
    ``sqlite3.IntegrityError`` when the name belongs to another id that functions use, ``ValueError`` for a bad name or
    arity.
    """
    check_name(name)
    if arity < -1:
        raise ValueError(f"primitive {name}: arity {arity} is below -1")
    with transaction(conn):
        # Not INSERT OR REPLACE: that deletes the row first, and with it the guarantee for those who use it.
        conn.execute("DELETE FROM functions WHERE name = ? AND id <> ?", (name, func_id))
        conn.execute(
            "INSERT INTO functions (id, name, arity, layer) VALUES (?, ?, ?, 0) ON CONFLICT (id) DO UPDATE SET "
            "name = excluded.name, arity = excluded.arity, layer = 0, composition = NULL, constants = NULL, "
            "const_mode = 'multiplicative'",
            (func_id, name, arity),
        )


def add_learned(
    conn: sqlite3.Connection,
    func_id: int,
    name: str,
    arity: int,
    composition: Composition,
    constants: Sequence[float] | None = None,
    const_mode: str = "multiplicative",
) -> int:
    """Store a learned function and return its layer, one above the highest layer that it uses.

    ``composition`` is a list of steps ``(child_id, arguments)``. An argument is an index into the inputs (``0`` to
    ``arity - 1``) and the results of earlier steps (``arity`` and up), or -1 for the literal 0; the functions that
    LOOP, WHILE and ACCUM iterate are ids and count as children. Raises ``ValueError``, and stores nothing, when the
    composition is empty, names a function that does not exist or a value that is not there yet, when id or name are
    taken, or when name, arity, constants or mode are not valid. Joins an open transaction, or makes its own.
    """
    check_name(name)
    if arity < 0:
        raise ValueError(f"function {name!r}: arity {arity} is negative")
    # Plain ints: JSON knows no numpy, and a float index is a TypeError.
    steps = [(int(operator.index(child)), [int(operator.index(i)) for i in args]) for child, args in composition]
    if not steps:
        raise ValueError(f"function {name!r}: the composition is empty; it needs at least one step")
    numbers = check_constants(constants, const_mode)
    with transaction(conn):
        taken = conn.execute("SELECT id, name FROM functions WHERE id = ? OR name = ?", (func_id, name)).fetchone()
        if taken is not None:
            raise ValueError(
                f"function {name!r} (id {func_id}): that name or id is taken by {taken[1]!r} (id {taken[0]})"
            )
        layer = 1 + max(_layers_used(conn, name, arity, steps))
        conn.execute(
            "INSERT INTO functions (id, name, arity, layer, composition, constants, const_mode) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (func_id, name, arity, layer, json.dumps(steps), numbers and json.dumps(numbers), const_mode),
        )
    return layer


def rename(conn: sqlite3.Connection, func_id: int, name: str) -> None:
    """Give a function another name; its id, which is what others use, stays. ValueError if the name is taken or bad."""
    check_name(name)
    with transaction(conn):
        if conn.execute("SELECT 1 FROM functions WHERE name = ?", (name,)).fetchone() is not None:
            raise ValueError(f"function {func_id}: the name {name!r} is taken")
        conn.execute("UPDATE functions SET name = ? WHERE id = ?", (name, func_id))


def get_function(conn: sqlite3.Connection, func_id: int) -> dict[str, Any] | None:
    """One function as a dict of its columns with JSON parsed, or None where there is none."""
    rows = _select(conn, "WHERE id = ?", (func_id,))
    return rows[0] if rows else None


def get_composition(conn: sqlite3.Connection, func_id: int) -> Composition:
    """The steps of a learned function; ``[]`` for a primitive or an unknown id."""
    function = get_function(conn, func_id)
    return (function and function["composition"]) or []


def get_constants(conn: sqlite3.Connection, func_id: int) -> list[float] | None:
    """The constants of a function, or None where it has none."""
    function = get_function(conn, func_id)
    return function["constants"] if function else None


def get_const_mode(conn: sqlite3.Connection, func_id: int) -> str:
    """How a function's constants are applied; ``"multiplicative"`` for an unknown id."""
    function = get_function(conn, func_id)
    return function["const_mode"] if function else "multiplicative"


def get_all_functions(conn: sqlite3.Connection) -> list[dict[str, Any]]:
    """Every function, by layer and then id, so that each comes after those it uses."""
    return _select(conn, "ORDER BY layer, id")


def get_functions_by_layer(conn: sqlite3.Connection, layer: int) -> list[dict[str, Any]]:
    """The functions of one layer, by id."""
    return _select(conn, "WHERE layer = ? ORDER BY id", (layer,))


def delete_learned(conn: sqlite3.Connection, func_id: int) -> None:
    """Delete a learned function; its id is never given again. Raises ``ValueError`` for a primitive, an unknown id, and a
    function that others use."""
    with transaction(conn):
        row = conn.execute("SELECT name, composition IS NULL FROM functions WHERE id = ?", (func_id,)).fetchone()
        if row is None:
            raise ValueError(f"there is no function with id {func_id}")
        if row[1]:
            raise ValueError(f"{row[0]} is a primitive, and primitives cannot be deleted")
        try:
            conn.execute("DELETE FROM functions WHERE id = ?", (func_id,))
        except sqlite3.IntegrityError:
            raise ValueError(f"other functions use {row[0]}; delete those first") from None
        conn.execute("INSERT INTO retired (id, name) VALUES (?, ?)", (func_id, row[0]))


def backup(path: str | os.PathLike[str], to: str | os.PathLike[str]) -> None:
    """A copy of the SQLite file at ``path`` that is consistent while others write to it."""
    source = sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS)
    with contextlib.closing(source), contextlib.closing(sqlite3.connect(to)) as copy:
        source.backup(copy)


def get_packs(conn: sqlite3.Connection) -> tuple[str, ...]:
    """The packs that have primitives in the library, in the order of the table of operations."""
    names = {row[0] for row in conn.execute("SELECT name FROM functions WHERE composition IS NULL")}
    names = {name.removeprefix(SET_ASIDE) for name in names}
    return tuple(pack for pack, primitives in PACKS.items() if any(p.name in names for p in primitives))


def count_functions(conn: sqlite3.Connection) -> int:
    """How many functions are stored, primitives included."""
    return int(conn.execute("SELECT COUNT(*) FROM functions").fetchone()[0])


def max_layer(conn: sqlite3.Connection) -> int:
    """The highest layer, or -1 in an empty library."""
    return int(conn.execute("SELECT COALESCE(MAX(layer), -1) FROM functions").fetchone()[0])


def max_id(conn: sqlite3.Connection) -> int:
    """The largest id that a function has or had, or -1 in an empty library."""
    ids = "SELECT id FROM functions UNION ALL SELECT id FROM retired"
    return int(conn.execute(f"SELECT COALESCE(MAX(id), -1) FROM ({ids})").fetchone()[0])


def print_summary(conn: sqlite3.Connection) -> None:
    """Print the library layer by layer; a learned function shows its steps, with ``x0`` inputs and ``s1`` results."""
    names = dict(conn.execute("SELECT id, name FROM functions").fetchall())
    top = max_layer(conn)
    packs = ", ".join(get_packs(conn)) or "none"
    print(f"Library: {count_functions(conn)} functions, {top + 1} layers, packs: {packs}")
    for layer in range(top + 1):
        functions = get_functions_by_layer(conn, layer)
        print(f"\nLayer {layer} ({len(functions)})")
        width = max((len(f["name"]) for f in functions), default=0)
        for function in functions:
            arity = "any" if function["arity"] == -1 else str(function["arity"])
            line = f"  {function['id']:>4}  {function['name']:<{width}}  arity {arity:<3}"
            print(f"{line}  {_describe(function, names)}".rstrip())


def check_name(name: str) -> None:
    """Raise ``ValueError`` unless ``name`` can name a function: 1 to 200 characters, no controls, not only blanks."""
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"{name!r} is no name for a function: it must be text and not blank")
    if len(name) > MAX_NAME:
        raise ValueError(f"the name {name[:40]!r}... has {len(name)} characters; at most {MAX_NAME} are allowed")
    if any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in name):
        raise ValueError(f"the name {name!r} holds a control character or line break; leave it out")


def check_constants(constants: Sequence[float] | None, const_mode: str) -> list[float] | None:
    """The constants as floats, None where there are none. Raises ``ValueError`` for what no mode can apply."""
    if const_mode not in CONST_MODES:
        raise ValueError(f"unknown const_mode {const_mode!r}; use one of {', '.join(CONST_MODES)}")
    if constants is None or len(constants) == 0:
        return None
    if len(constants) != CONST_MODES[const_mode]:
        raise ValueError(f"const_mode {const_mode!r} takes {CONST_MODES[const_mode]} constants, got {len(constants)}")
    try:
        numbers = [float(k) for k in constants]
    except OverflowError:
        raise ValueError(f"constants {list(constants)!r} do not fit a float") from None
    if not all(map(math.isfinite, numbers)):
        raise ValueError(f"constants {numbers!r} must be finite")
    return numbers


def _row_to_dict(row: sqlite3.Row) -> dict[str, Any]:
    """A plain dict of the row, with ``composition`` and ``constants`` parsed. Raises ``ValueError`` for bad JSON."""
    function = dict(row)
    if function["composition"] is not None:
        function["composition"] = [(child, list(args)) for child, args in json.loads(function["composition"])]
    function["const_mode"] = function["const_mode"] or "multiplicative"  # an adopted table may hold NULL
    if function["constants"] is not None:
        function["constants"] = [float(k) for k in json.loads(function["constants"])]
    return function


def _select(conn: sqlite3.Connection, rest: str, values: tuple[Any, ...] = ()) -> list[dict[str, Any]]:
    cursor = conn.cursor()
    cursor.row_factory = sqlite3.Row  # whatever the caller's connection has
    return [_row_to_dict(row) for row in cursor.execute(f"SELECT * FROM functions {rest}", values)]


def _layers_used(conn: sqlite3.Connection, name: str, arity: int, steps: Composition) -> list[int]:
    """The layer of every function that the steps call. Raises ``ValueError`` for one that is missing."""
    layers: list[int] = []
    for position, (child, args) in enumerate(steps):
        where = f"function {name!r}, step {position}"
        row = conn.execute("SELECT name, composition IS NULL FROM functions WHERE id = ?", (child,)).fetchone()
        n_functions = FUNCTION_ARGUMENTS.get(row[0], 0) if row is not None and row[1] else 0
        if len(args) < n_functions:
            raise ValueError(f"{where}: {row[0]} takes {n_functions} function ids before its values, got {args}")
        for used in [child, *args[:n_functions]]:
            layer = conn.execute("SELECT layer FROM functions WHERE id = ?", (used,)).fetchone()
            if layer is None:
                raise ValueError(f"{where}: there is no function with id {used}")
            layers.append(int(layer[0]))
        for index in args[n_functions:]:
            if not -1 <= index < arity + position:
                raise ValueError(f"{where}: argument {index} is outside -1 to {arity + position - 1}")
    return layers


def _describe(function: dict[str, Any], names: dict[int, str]) -> str:
    """``AND(x0, x1) -> NOT(s1)``, then the constants; empty for a primitive."""
    arity = function["arity"]

    def value(index: int) -> str:
        return "0" if index == -1 else f"x{index}" if index < arity else f"s{index - arity + 1}"

    def call(child: int, args: list[int]) -> str:
        name = names.get(child, f"#{child}")
        n = FUNCTION_ARGUMENTS.get(name, 0)
        return f"{name}({', '.join([names.get(i, f'#{i}') for i in args[:n]] + [value(i) for i in args[n:]])})"

    text = " -> ".join(call(child, args) for child, args in function["composition"] or [])
    match function["constants"], function["const_mode"]:
        case [k], "additive":
            return f"{text}, then + {k:g}"
        case [a, b], _:
            return f"{text}, then * {a:g} + {b:g}"
        case [k], _:
            return f"{text}, then * {k:g}"
    return text


def _prepare_path(path: str) -> None:
    if not path or "\0" in path:
        raise UserError(f"{path!r} is no path for a library; give the name of a file.")
    if os.path.isdir(path):
        raise UserError(f"The library {path} is a directory; give the path of a file in it.")
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"The library {path} cannot be made: {error}; choose another place.") from error


def _inspect_log(path: str) -> None:
    """Inspect through a log that a crash left: a writable connection would move it into the file when it closes."""
    log = os.path.realpath(path) + "-wal"
    if not os.path.exists(log) or os.path.getsize(log) == 0:
        return
    conn = sqlite3.connect(Path(path).absolute().as_uri() + "?mode=ro", uri=True, timeout=BUSY_SECONDS)
    try:
        _inspect(conn, path)
    finally:
        conn.close()


def _inspect(conn: sqlite3.Connection, path: str) -> None:
    """Raise ``UserError`` unless the file is empty or a library that this version understands."""
    version = int(conn.execute("PRAGMA user_version").fetchone()[0])
    tables = [row[0] for row in conn.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")]
    columns = {row[1] for row in conn.execute("PRAGMA table_info(functions)")}
    if tables and not columns >= schema.REQUIRED_COLUMNS:
        raise UserError(f"The file {path} is a database of another application; give another path for the library.")
    if version > schema.SCHEMA_VERSION:
        raise UserError(
            f"The library {path} was made by a newer NSSR (its format is {version}, this one reads up to "
            f"{schema.SCHEMA_VERSION}); upgrade NSSR or give another path."
        )


def _ensure_schema(conn: sqlite3.Connection) -> None:
    """Make or complete the tables; runs inside the transaction that inspected them."""
    for statement in schema.ALL_TABLES:
        conn.execute(statement)
    conn.execute("DELETE FROM functions WHERE FALSE")  # changes nothing, but fails where nothing can be written
    columns = {row[1] for row in conn.execute("PRAGMA table_info(functions)")}
    for column, declaration in schema.OPTIONAL_COLUMNS.items():
        if column not in columns:
            conn.execute(f"ALTER TABLE functions ADD COLUMN {column} {declaration}")
    for statement in schema.ALL_INDEXES + schema.ALL_TRIGGERS:
        conn.execute(statement)
    if conn.execute("PRAGMA user_version").fetchone()[0] != schema.SCHEMA_VERSION:
        conn.execute(f"PRAGMA user_version = {schema.SCHEMA_VERSION}")


def _write_ahead(conn: sqlite3.Connection) -> None:
    """Switch to the write-ahead log, so that readers and one writer do not wait for each other."""
    # When another process is in the file, the switch fails at once: SQLite's own patience does not cover it.
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            conn.execute("PRAGMA journal_mode = WAL").fetchone()
            return
        except sqlite3.OperationalError as error:
            if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _code(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)) & 0xFF  # the rest of the bits say details


def _refuse(error: sqlite3.DatabaseError, path: str) -> None:
    """Raise ``UserError`` for trouble with the file at ``path``; return when ``error`` is of another kind."""
    match _code(error):
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            text = "is locked by another process; wait for that process or end it, then try again"
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            text = "cannot be written; give yourself write permission for it and its directory, or choose another path"
        case sqlite3.SQLITE_CANTOPEN:
            text = "cannot be opened; check that you may write to its directory, or choose another path"
        case sqlite3.SQLITE_NOTADB:
            text = "is not a database; give another path, or move that file away"
        case sqlite3.SQLITE_CORRUPT:
            text = f"is damaged ({error}); restore it from a copy"
        case sqlite3.SQLITE_FULL:
            text = "cannot be written because the disk is full; free some space and try again"
        case sqlite3.SQLITE_IOERR:
            text = f"cannot be read or written ({error}); check the disk"
        case _:
            return
    raise UserError(f"The library {path} {text}.") from error
