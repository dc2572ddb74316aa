"""Tables that come in: a CSV file on its way to the store, or examples in JSON, read once to be sure that a job can."""

from __future__ import annotations

import csv
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nssr.csvfile import File, Rows, dialect
from nssr.errors import UserError
from nssr.service.problems import Problem
from nssr.service.settings import Settings
from nssr.store import Store
from nssr.table import Table, examples_table, read_csv

PREVIEW_ROWS = 100
FILE = "table.csv"  # what messages call it, whatever the file of a person is named


def checked_name(name: str) -> str:
    """The name of a dataset; a `Problem` for one that could not stand in an address, or would be a riddle to read."""
    name = name.strip()
    if not name or not name.isprintable() or "/" in name or "\\" in name or name in (".", ".."):
        raise Problem(422, "The name of a dataset is text of 1 to 200 printable characters without / and \\.")
    return name


async def receive(stream: AsyncIterator[bytes], folder: Path) -> Path:
    """The body of a request as a file of its own."""
    place = Path(tempfile.mkdtemp(prefix="upload-", dir=folder)) / FILE
    try:
        with place.open("wb") as file:
            async for piece in stream:
                file.write(piece)
    except BaseException:
        shutil.rmtree(place.parent, ignore_errors=True)
        raise
    return place


def add_csv(store: Store, settings: Settings, path: Path, name: str, description: str, target: str | None) -> dict[str, Any]:
    """Keeps the CSV file at ``path``. `UserError` or `Problem` for what is no table, or too large a one."""
    try:
        _refuse_large(path, settings)
        table = read_csv(path, target)
    except UserError as error:
        raise UserError(str(error).replace(f"{path.parent}/", "")) from error.__cause__
    text = path.read_bytes()
    if store.count_datasets() >= settings.datasets:
        raise Problem(507, f"There are {settings.datasets:,} datasets already; delete some.")
    if store.dataset_bytes() + len(text) > settings.table_mb << 20:
        raise Problem(507, f"All datasets together may have {settings.table_mb:,} MB; delete some.")
    return store.add_dataset(_facts(name, description, table), text)


def add_examples(
    store: Store, settings: Settings, name: str, description: str, examples: Sequence[Any], columns: list[str] | None, target: str
) -> dict[str, Any]:
    """Keeps pairs of inputs and output."""
    pairs = [[list(e[0]), e[1]] if isinstance(e, tuple) else [e.inputs, e.output] for e in examples]
    entry: dict[str, Any] = {"examples": pairs} | ({} if columns is None else {"columns": columns})
    table = examples_table("the dataset", entry, target)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / FILE
        with path.open("w", newline="", encoding="utf-8") as file:
            out = csv.writer(file)
            out.writerow([*table.names, target])
            out.writerows([*map(_text, inputs), _text(output)] for inputs, output in table.examples())
        return add_csv(store, settings, path, name, description, target)


def _text(value: int | float) -> str:
    return repr(value)  # 2.0 stays a float, 2 an integer


def _refuse_large(path: Path, settings: Settings) -> None:
    """Before anything is converted: so many lines and columns are enough to know."""
    file = File(path)
    separator, _ = dialect(file)
    header = Rows(file, separator).header() or []
    if len(header) - 1 > settings.columns:
        raise Problem(422, f"The table has {len(header):,} columns; {settings.columns:,} inputs and a target are taken here.")
    with path.open("rb") as stream:
        lines = sum(block.count(b"\n") for block in iter(lambda: stream.read(1 << 20), b""))
    if lines > settings.rows + 1:
        raise Problem(422, f"The table has {lines:,} lines; {settings.rows:,} rows are taken here.")


def _facts(name: str, description: str, table: Table) -> dict[str, Any]:
    """What the store keeps of a table beside its text."""
    rows = table.examples(slice(0, PREVIEW_ROWS))
    columns = zip((*table.names, table.target_name), (*table.columns, table.target), strict=True)
    return {
        "name": name, "description": description, "columns": list(table.names), "target": table.target_name,
        "rows": table.n_rows, "preview": [[*inputs, output] for inputs, output in rows],
        "ranges": {n: [float(np.min(c)), float(np.max(c))] for n, c in columns},
    }  # fmt: skip
