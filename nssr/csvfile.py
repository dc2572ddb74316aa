"""A CSV file as rows of text: its bytes, its separator, its lines, and what makes it no CSV file at all.

The rows come in blocks, so the file is never in memory as a whole; whatever is refused later can still be named by its
line, because the file is split again up to there.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
import stat
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NoReturn

from nssr.errors import UserError

SEPARATOR_NAMES = "comma, semicolon or tab"
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+([eE][+-]?\d+)?", re.ASCII)

_SEPARATORS = (",", ";", "\t")
_SAMPLE_BYTES = 1 << 20
_SAMPLE_ROWS = 50
_BLOCK_CELLS = 1 << 18  # cells converted at once: about 15 MB of text objects
_MAGIC = {b"PK\x03\x04": "a zip or Excel file", b"\x1f\x8b": "a gzip file", b"%PDF": "a PDF"}


class File:
    """The bytes of ``path``, to be read from the start more than once (a pipe is kept in memory)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._kept: bytes | None = None
        try:
            mode = path.stat().st_mode
            if stat.S_ISDIR(mode):
                raise UserError(f"{path} is a directory; name a file")
            if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
                raise UserError(f"{path} is a device; name a file")
            if not stat.S_ISREG(mode):
                self._kept = path.read_bytes()
            else:
                self.open().close()
        except FileNotFoundError:
            raise UserError(f"{path}: there is no such file; check the name and the folder") from None
        except PermissionError:
            raise UserError(f"{path}: no permission to read this file; change its permissions") from None
        except (OSError, ValueError) as error:
            raise UserError(f"{str(path)!r} cannot be read: {getattr(error, 'strerror', None) or error}") from None

    def open(self) -> BinaryIO:
        return self.path.open("rb") if self._kept is None else io.BytesIO(self._kept)

    def refuse_encoding(self) -> NoReturn:
        """Says at which byte the text stops being UTF-8 (the decoder that failed only knows its own block)."""
        decoder = codecs.getincrementaldecoder("utf-8")()
        offset, line = 0, 1
        with self.open() as stream:
            while True:
                block = stream.read(_SAMPLE_BYTES)
                pending = len(decoder.getstate()[0])
                try:
                    decoder.decode(block, final=not block)
                except UnicodeDecodeError as error:
                    line += error.object[pending : error.start].count(b"\n")
                    where = f"line {line}, byte {offset - pending + error.start}"
                    raise UserError(f"{self.path}, {where}: no UTF-8 text; save the file as UTF-8") from None
                offset += len(block)
                line += block.count(b"\n")
                if not block:
                    raise UserError(f"{self.path}: the file changed while it was read; try again")


class Rows:
    """The rows of a file as ``csv`` splits them, with refusals that name the line."""

    def __init__(self, file: File, separator: str) -> None:
        self._file, self._separator = file, separator
        self._first = 0  # rows before the first data row
        self._reader = self._split()

    def _split(self) -> Iterator[list[str]]:
        with self._file.open() as stream:
            text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
            reader = csv.reader(text, delimiter=self._separator, strict=True, skipinitialspace=True)
            try:
                for row in reader:
                    self._line = reader.line_num
                    yield row
            except UnicodeDecodeError:
                self._file.refuse_encoding()
            except csv.Error as error:
                problem = f"{error}; look for a quote that is not closed or stands inside a cell"
                raise UserError(f"{self._file.path}, line {reader.line_num}: {problem}") from None

    def header(self) -> list[str] | None:
        """The first row that is not blank."""
        for row in self._reader:
            self._first += 1
            if not _is_blank(row):
                return row
        return None

    def blocks(self, width: int) -> Iterator[list[list[str]]]:
        """Blocks of rows of ``width`` cells. Blank lines may follow the last row, but not stand between rows."""
        done, ended = 0, False
        while not ended and (block := list(islice(self._reader, max(1, _BLOCK_CELLS // width)))):
            if set(map(len, block)) != {width}:
                for i, row in enumerate(block):
                    if _is_blank(row):
                        if not all(map(_is_blank, block[i:])) or not all(map(_is_blank, self._reader)):
                            self.refuse(done + i, "a blank line stands between the rows; remove it")
                        block, ended = block[:i], True
                        break
                    if len(row) != width:
                        cells = f"{len(row)} cell{'s' * (len(row) != 1)} where the header has {width}"
                        self.refuse(done + i, f"{cells}; every row needs one cell for each column")
            yield block
            done += len(block)

    def refuse(self, row: int, problem: str, *, column: str | None = None) -> NoReturn:
        """Raises with the line on which data row ``row`` ends. A quoted cell may span lines, so they are counted."""
        again = Rows(self._file, self._separator)
        for _ in islice(again._reader, self._first + row + 1):
            pass
        where = f"{self._file.path}, line {again._line}" + (f", column {column!r}" if column is not None else "")
        raise UserError(f"{where}: {problem}")


def _is_blank(row: list[str]) -> bool:
    return not row or (len(row) == 1 and not row[0].strip())


def dialect(file: File) -> tuple[str, bool]:
    """The separator, and whether numbers are written with a decimal comma; refuses what is no text."""
    with file.open() as stream:
        head = stream.read(_SAMPLE_BYTES)
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            raise UserError(f"{file.path} is {kind}, not a CSV file; export the table as CSV (UTF-8)")
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or head[:200].count(0) > len(head[:200]) // 4:
        raise UserError(f"{file.path}: byte 0: no UTF-8 text, it looks like UTF-16; save the file as UTF-8")
    if 0 in head:
        raise UserError(f"{file.path}: byte {head.index(0)} is NUL, so this is no text; save the table as CSV (UTF-8)")
    text = head.decode("utf-8-sig", errors="replace")
    best, best_score, best_cells = ",", (0.0, 0.0, 1), [""]
    for separator in _SEPARATORS:
        rows = _sample_rows(text, separator, cut=len(head) == _SAMPLE_BYTES)
        width = len(rows[0]) if rows else 0
        cells = [cell.strip() for row in rows[1:] for cell in row]
        numbers = sum(bool(NUMBER.fullmatch(cell) or DECIMAL_COMMA.fullmatch(cell)) for cell in cells)
        agree = sum(len(row) == width for row in rows[1:])
        score = (agree / max(1, len(rows) - 1), numbers / max(1, len(cells)), width)
        if width > 1 and score > best_score:
            best, best_score, best_cells = separator, score, cells
    return best, best != "," and _has_decimal_comma(best_cells)


def _sample_rows(text: str, separator: str, *, cut: bool) -> list[list[str]]:
    rows: list[list[str]] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True, skipinitialspace=True)
    try:
        for row in reader:
            if not _is_blank(row):
                rows.append(row)
            if len(rows) > _SAMPLE_ROWS:
                return rows
    except csv.Error:
        cut = False  # the row with the error was not kept
    return rows[:-1] if cut and len(rows) > 1 else rows


def _has_decimal_comma(cells: list[str]) -> bool:
    """True where every comma is a decimal comma for certain: ``3,14`` says so, ``1,234`` alone may mean 1234."""
    with_comma = [cell for cell in cells if "," in cell]
    if not all(DECIMAL_COMMA.fullmatch(cell) for cell in with_comma) or any("." in cell for cell in cells):
        return False
    return any(len(re.split(r"[,eE]", cell)[1]) != 3 or cell.lstrip("+-").startswith("0,") for cell in with_comma)
