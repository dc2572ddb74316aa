"""What the library looks like on disk: SQL text and the version that it has, nothing that runs.

Every function, primitive or learned, is one row of one table. A primitive has layer 0 and no composition. A learned
function has its steps, as JSON ``[[child_id, [argument, ...]], ...]``, and a layer one above its highest child's.
Which packs a library has is told by the primitives in it, so there is no second record that could disagree.
"""

from __future__ import annotations

CONST_MODES = {"multiplicative": 1, "additive": 1, "affine": 2}
"""Modes of applying constants, and how many each takes: ``result * k``, ``result + k``, ``a * result + b``."""

FUNCTION_ARGUMENTS = {"LOOP": 1, "WHILE": 2, "ACCUM": 2}
"""How many leading arguments of a step with this primitive are function ids instead of indices of values."""

MAX_NAME = 200
"""Most characters in the name of a function."""

SET_ASIDE = "primitive "
"""Before the name of a primitive whose plain name a learned function has taken, in a session that did without it."""

SCHEMA_VERSION = 2
"""Kept in ``PRAGMA user_version``. A library with a larger number was made by a newer NSSR and is refused.

2: the table of retired ids. A program that does not know it would give such an id to another function.
"""

FUNCTIONS_TABLE = """
CREATE TABLE IF NOT EXISTS functions (
    id          INTEGER PRIMARY KEY,
    name        TEXT    NOT NULL UNIQUE,
    arity       INTEGER NOT NULL,
    layer       INTEGER NOT NULL DEFAULT 0,
    composition TEXT,
    constants   TEXT,
    const_mode  TEXT    NOT NULL DEFAULT 'multiplicative',
    created_at  TIMESTAMP DEFAULT CURRENT_TIMESTAMP
)
"""

LAYER_INDEX = "CREATE INDEX IF NOT EXISTS idx_functions_layer ON functions (layer)"

RETIRED_TABLE = """
CREATE TABLE IF NOT EXISTS retired (
    id         INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    retired_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
)
"""
"""Ids of deleted functions. None is given twice: a process that still has the old function in memory must not store a
composition that means another one."""

REQUIRED_COLUMNS = frozenset({"id", "name", "arity", "layer", "composition"})
"""A table ``functions`` with these is taken for ours, whoever made it."""

OPTIONAL_COLUMNS = {
    "constants": "TEXT",
    "const_mode": "TEXT NOT NULL DEFAULT 'multiplicative'",
    "created_at": "TIMESTAMP",  # SQLite adds no column whose default is the current time
}
"""Columns that an older library may lack, with the declaration under which they are added."""

# True where a composition calls OLD.id: as the child of a step, or as the function that LOOP (first argument), WHILE
# or ACCUM (first two) iterate. Triggers, unlike foreign keys, hold for every program that opens the file.
_IN_USE = """EXISTS (
    SELECT 1
    FROM functions AS user, json_each(user.composition) AS step
    LEFT JOIN functions AS child ON child.id = json_extract(step.value, '$[0]') AND child.composition IS NULL
    WHERE user.id <> OLD.id AND (
        json_extract(step.value, '$[0]') = OLD.id
        OR child.name IN ('LOOP', 'WHILE', 'ACCUM') AND json_extract(step.value, '$[1][0]') = OLD.id
        OR child.name IN ('WHILE', 'ACCUM') AND json_extract(step.value, '$[1][1]') = OLD.id
    )
)"""

KEEP_USED = f"""
CREATE TRIGGER IF NOT EXISTS functions_keep_used BEFORE DELETE ON functions WHEN {_IN_USE}
BEGIN
    SELECT RAISE(ABORT, 'this function is used by others and cannot be deleted');
END
"""

KEEP_ID = f"""
CREATE TRIGGER IF NOT EXISTS functions_keep_id BEFORE UPDATE OF id ON functions WHEN NEW.id <> OLD.id AND {_IN_USE}
BEGIN
    SELECT RAISE(ABORT, 'this function is used by others and cannot change its id');
END
"""

ALL_TABLES = [FUNCTIONS_TABLE, RETIRED_TABLE]
ALL_INDEXES = [LAYER_INDEX]
ALL_TRIGGERS = [KEEP_USED, KEEP_ID]
