"""A person's table: a CSV file or a JSON file of tasks, read into typed columns or refused in one clear sentence.

A table is read in blocks of rows and converted column by column, so the text of the whole file never lies in memory.
Integer columns stay integers (they run on exact lanes later); a column with one float in it is a float column. Whatever
cannot be a finite number is refused with the file, the line and the column: a guess here would be a wrong law later.
Nothing in a file is ever evaluated.
"""

from __future__ import annotations

import difflib
import json
import math
import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nssr.csvfile import DECIMAL_COMMA, NUMBER, SEPARATOR_NAMES, File, Rows, dialect
from nssr.errors import UserError

Number = int | float

MIN_ROWS = 3
"""Fewer rows than this determine no law."""

_MAX_INT = int(sys.float_info.max)  # a larger int has no float, so no real function and no score
_NOT_FINITE = {"nan", "inf", "infinity"}
_MAX_CELL = 1000  # characters of one number; Python refuses to convert ints of more than 4300


@dataclass(frozen=True, eq=False)
class Table:
    """Typed columns of equal length.

    ``columns[j]`` holds the values of input ``names[j]``, ``target`` those of ``target_name``; each is ``int64``,
    ``float64``, or ``object`` (Python ints) where an integer column does not fit 64 bits.
    """

    names: tuple[str, ...]
    columns: tuple[np.ndarray, ...]
    target_name: str
    target: np.ndarray

    @property
    def n_rows(self) -> int:
        return len(self.target)

    def examples(self, rows: slice | Sequence[int] | np.ndarray | None = None) -> list[tuple[list[Number], Number]]:
        """``(inputs, output)`` per row, or of ``rows`` only, in plain Python numbers (ints from integer columns)."""
        chosen = slice(None) if rows is None else rows
        if not isinstance(chosen, slice | np.ndarray):
            chosen = np.asarray(chosen, dtype=np.intp)  # an empty list would be an array of floats
        inputs = zip(*(column[chosen].tolist() for column in self.columns), strict=True)
        return [(list(x), y) for x, y in zip(inputs, self.target[chosen].tolist(), strict=True)]

    def sample(self, n: int, seed: int) -> Table:
        """``n`` different rows drawn with ``seed``, in the table's order; the table itself where it has no more."""
        if n >= self.n_rows:
            return self
        rows = np.sort(np.random.default_rng(seed).choice(self.n_rows, size=n, replace=False))
        return Table(self.names, tuple(c[rows] for c in self.columns), self.target_name, self.target[rows])


@dataclass(frozen=True, eq=False)
class Task:
    """One thing to learn: a name and its table."""

    name: str
    table: Table


# ---- CSV -------------------------------------------------------------------------------------------------------------


def read_csv(path: str | Path, target: str | None = None, *, min_rows: int = MIN_ROWS) -> Table:
    """The table in ``path``; ``target`` names the output column (the last one where it is None).

    The first row is the header. Separators are comma, semicolon or tab, found from the first rows; a decimal comma is
    understood where it can mean nothing else. Raises ``UserError`` for anything that is no table of finite numbers.
    """
    file = File(Path(path))
    separator, comma = dialect(file)
    rows = Rows(file, separator)
    names = _header(file, rows)
    goal = _target_index(file, names, target)
    parts: list[list[np.ndarray]] = [[] for _ in names]
    is_float = [False] * len(names)
    done = 0
    for block in rows.blocks(len(names)):
        for j, cells in enumerate(zip(*block, strict=True)):
            try:
                part = _convert(cells, is_float[j], comma)
            except _BadCell as bad:
                rows.refuse(done + bad.index, bad.problem, column=names[j])
            is_float[j] |= part.dtype == np.float64
            parts[j].append(part)
        done += len(block)
    if done < min_rows:
        found = f"only {done} row{'s' * (done > 1)}" if done else "a header and no rows"
        raise UserError(f"{file.path}: the table has {found}; give at least {min_rows} rows of numbers")
    columns = [_join(part) for part in parts]
    inputs = [j for j in range(len(names)) if j != goal]
    return Table(tuple(names[j] for j in inputs), tuple(columns[j] for j in inputs), names[goal], columns[goal])


def _header(file: File, rows: Rows) -> list[str]:
    row = rows.header()
    if row is None:
        raise UserError(f"{file.path} is empty; give a header line and rows of numbers")
    names = [re.sub(r"[\r\n]+", " ", cell).strip() for cell in row]
    if all(NUMBER.fullmatch(name) for name in names):
        raise UserError(f"{file.path}: the first line holds numbers; put a line with the names of the columns above it")
    if len(names) == 1:
        found = f"only one column, {names[0]!r}"
        raise UserError(f"{file.path}: {found}; give input columns beside the target, separated by {SEPARATOR_NAMES}")
    for j, name in enumerate(names):
        if not name:
            raise UserError(f"{file.path}: column {j + 1} has no name in the header; name it, or remove the column")
    double = [name for name, count in Counter(names).items() if count > 1]
    if double:
        raise UserError(f"{file.path}: the column name {double[0]!r} stands twice in the header; rename one of them")
    return names


def _target_index(file: File, names: list[str], target: str | None) -> int:
    if target is None:
        return len(names) - 1
    if target.strip() in names:
        return names.index(target.strip())
    folded = {name.casefold(): name for name in reversed(names)}
    near = difflib.get_close_matches(target.strip().casefold(), folded, n=1)
    listed = ", ".join(map(repr, names[:10])) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
    advice = f"did you mean {folded[near[0]]!r}? " if near else ""
    raise UserError(f"{file.path}: there is no column {target!r}; {advice}the columns are {listed}")


class _BadCell(Exception):
    """The cell at ``index`` of a block is no finite number."""

    def __init__(self, index: int, problem: str) -> None:
        super().__init__(problem)
        self.index, self.problem = index, problem


def _convert(cells: Sequence[str], is_float: bool, comma: bool) -> np.ndarray:
    """One column of one block as an array; ``is_float`` where an earlier block of the column was float."""
    text = "\n".join(cells)
    plain: Sequence[str] = cells
    if comma and "," in text and "." not in text:
        plain = text.replace(",", ".").split("\n")
    # Python's own numbers may hold underscores and the digits of any script; a table's may not.
    if text.isascii() and "_" not in text and not (comma and "." in text) and len(plain) == len(cells):
        if not is_float:
            try:
                return np.fromiter(map(int, plain), np.int64, len(cells))
            except (OverflowError, ValueError):
                pass
        try:
            values = np.fromiter(map(float, plain), np.float64, len(cells))
            if np.isfinite(values).all() and (is_float or any(c in text for c in ".,eE")):
                return values
        except ValueError:
            pass
    return _array([_number(i, cell, comma) for i, cell in enumerate(cells)])


def _number(index: int, cell: str, comma: bool) -> Number:
    """The slow and exact way for one cell; raises ``_BadCell``."""
    text = cell.strip()
    shown = repr(text if len(text) <= 40 else text[:37] + "...")
    if comma and "." not in text and DECIMAL_COMMA.fullmatch(text):
        text = text.replace(",", ".")
    if not text:
        raise _BadCell(index, "the cell is empty; fill it, or remove the row or the column")
    if text.lstrip("+-").casefold() in _NOT_FINITE:
        raise _BadCell(index, f"{shown} is no finite number; remove the row, or write a number")
    if not NUMBER.fullmatch(text) or (comma and "." in cell) or len(text) > _MAX_CELL:
        advice = "write a number, or remove the column"
        if DECIMAL_COMMA.fullmatch(text) or (comma and "." in cell):
            advice = "a comma in a number is ambiguous here, write numbers with a decimal point"
        raise _BadCell(index, f"{shown} is text, not a number; {advice}")
    value = float(text)
    if math.isinf(value):
        raise _BadCell(index, f"{shown} is too large for a floating-point number; write it in another unit")
    return int(text) if re.fullmatch(r"[+-]?\d+", text) else value


def _array(values: list[Number]) -> np.ndarray:
    """int64 for ints that fit, ``object`` for ints that do not, float64 where one value is a float."""
    if any(isinstance(value, float) for value in values):
        return np.array(values, dtype=np.float64)
    fits = all(-(2**63) <= value < 2**63 for value in values)
    return np.array(values, dtype=np.int64 if fits else object)


def _join(parts: list[np.ndarray]) -> np.ndarray:
    """The blocks of one column under one type."""
    if any(part.dtype == np.float64 for part in parts):
        return np.concatenate([part.astype(np.float64, copy=False) for part in parts])
    return np.concatenate(parts)


# ---- JSON ------------------------------------------------------------------------------------------------------------

_TASK_KEYS = {"name", "description", "examples", "columns", "data", "target"}


def read_targets(path: str | Path) -> list[Task]:
    """The tasks of a JSON file: a list of ``{"name", "examples": [[[inputs], output], ...]}`` or ``{"name", "data"}``.

    ``data`` names a CSV file, relative to the JSON file, and ``target`` its output column (the last by default). With
    examples, ``columns`` names the inputs (``x0``, ``x1``, ... by default) and ``target`` the output (the task's name).
    Raises ``UserError`` with the task and the example at fault.
    """
    file = File(Path(path))
    try:
        with file.open() as stream:
            data = json.loads(stream.read().decode("utf-8-sig"))
    except UnicodeDecodeError:
        file.refuse_encoding()
    except json.JSONDecodeError as error:
        where = f"{file.path}, line {error.lineno}, column {error.colno}"
        raise UserError(f"{where}: no valid JSON ({error.msg}); correct it there") from None
    except (RecursionError, ValueError) as error:
        raise UserError(f"{file.path}: no JSON that can be read ({error})") from None
    if not isinstance(data, list) or not data:
        raise UserError(f'{file.path}: expected a list of tasks, [{{"name": ..., "examples": ...}}, ...]')
    tasks = [_task(file.path, i, entry) for i, entry in enumerate(data)]
    double = [name for name, count in Counter(task.name for task in tasks).items() if count > 1]
    if double:
        raise UserError(f"{file.path}: two tasks are named {double[0]!r}; rename one of them")
    return tasks


def _task(path: Path, index: int, entry: Any) -> Task:
    where = f"{path}, task {index + 1}"
    if not isinstance(entry, dict):
        raise UserError(f'{where}: expected an object with "name" and "examples" or "data"')
    name = entry.get("name")
    if not isinstance(name, str) or not name.strip():
        raise UserError(f'{where}: "name" is missing or empty; give the task a name')
    where += f" ({name!r})"
    for key in entry:
        if key not in _TASK_KEYS:
            raise UserError(f"{where}: unknown key {key!r}; the keys are {', '.join(sorted(_TASK_KEYS))}")
    target = entry.get("target")
    if target is not None and not isinstance(target, str):
        raise UserError(f'{where}: "target" must be the name of a column')
    if ("examples" in entry) == ("data" in entry):
        raise UserError(f'{where}: give either "examples" or "data"')
    if "data" in entry:
        if not isinstance(entry["data"], str) or "columns" in entry:
            raise UserError(f'{where}: "data" must be the name of a CSV file, whose header names the columns')
        return Task(name.strip(), read_csv(path.parent / entry["data"], target))
    return Task(name.strip(), examples_table(where, entry, target or name.strip()))


def examples_table(where: str, entry: dict[str, Any], target: str) -> Table:
    """The table of ``entry["examples"]``, pairs ``[[inputs], output]``, and ``entry["columns"]``, the names of the inputs.

    ``UserError``, beginning with ``where``, for what is no such list of finite numbers.
    """
    examples = entry["examples"]
    if not isinstance(examples, list) or len(examples) < MIN_ROWS:
        raise UserError(f'{where}: "examples" must be a list of at least {MIN_ROWS} pairs [[inputs], output]')
    width = None
    for i, pair in enumerate(examples):
        here = f"{where}, example {i + 1}"
        if not (isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], list) and pair[0]):
            raise UserError(f"{here}: expected a pair [[inputs], output] with at least one input")
        width = width or len(pair[0])
        if len(pair[0]) != width:
            raise UserError(f"{here}: {len(pair[0])} inputs where the first example has {width}")
        for value in [*pair[0], pair[1]]:
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise UserError(f"{here}: {json.dumps(value)[:40]} is not a number; write 0 and 1 for false and true")
            if not -_MAX_INT <= value <= _MAX_INT:  # nan fails every comparison
                raise UserError(f"{here}: {str(value)[:40]} is no finite number that a float can hold")
    names = entry.get("columns", [f"x{j}" for j in range(width or 0)])
    if not isinstance(names, list) or not all(isinstance(name, str) and name.strip() for name in names):
        raise UserError(f'{where}: "columns" must be a list of names')
    names = [name.strip() for name in names]
    if len(names) != width or len(set(names)) != width:
        raise UserError(f'{where}: "columns" must hold {width} different names, one for each input')
    columns = tuple(_array([pair[0][j] for pair in examples]) for j in range(len(names)))
    return Table(tuple(names), columns, target, _array([pair[1] for pair in examples]))
