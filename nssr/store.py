"""What the service keeps on disk beside the library: tables, jobs, their events, and what happened to the library.

One SQLite file. Every change is one transaction, so a process killed at any moment leaves a file that opens; a job that was
running then is found by `Store.open_jobs`. Any thread may call any method: each has a connection of its own, and writers wait
for each other on a lock of this process before SQLite makes them.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nssr.errors import UserError

STATES = ("queued", "running", "done", "failed", "cancelled")
ENDED = ("done", "failed", "cancelled")
FORMAT = 1
"""Kept in ``PRAGMA user_version``."""

BUSY_SECONDS = 5.0
MOST_RESTARTS = 20
EVENTS_KEPT = 2000
"""Events of one job that are kept, first to go the oldest; and jobs whose events are kept at all: the last so many."""
JOBS_WITH_EVENTS = 500

_TABLES = """
CREATE TABLE IF NOT EXISTS datasets (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, description TEXT NOT NULL, columns TEXT NOT NULL,
    target TEXT NOT NULL, rows INTEGER NOT NULL, bytes INTEGER NOT NULL, ranges TEXT NOT NULL, preview TEXT NOT NULL,
    created_at TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS dataset_texts (
    dataset INTEGER PRIMARY KEY REFERENCES datasets (id) ON DELETE CASCADE, csv BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS jobs (
    n INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, state TEXT NOT NULL, spec TEXT NOT NULL,
    dataset INTEGER, attempts INTEGER NOT NULL DEFAULT 0, restarts INTEGER NOT NULL DEFAULT 0,
    cancel INTEGER NOT NULL DEFAULT 0, created_at TEXT NOT NULL,
    started_at TEXT, ended_at TEXT, seconds REAL, error TEXT, result TEXT
);
CREATE INDEX IF NOT EXISTS jobs_by_state ON jobs (state, n);
CREATE TABLE IF NOT EXISTS job_payloads (job TEXT PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE, payload BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS events (
    job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE, seq INTEGER NOT NULL, name TEXT NOT NULL, data TEXT NOT NULL,
    PRIMARY KEY (job, seq)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS history (
    n INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, what TEXT NOT NULL, name TEXT NOT NULL, detail TEXT NOT NULL, job TEXT
);
"""


class Taken(ValueError):
    """A dataset of that name exists."""


class Missing(KeyError):
    """There is no such dataset or job."""


class InUse(ValueError):
    """A job that has not ended reads the dataset."""


class Full(Exception):
    """The queue holds as many jobs as it may."""


@dataclass(frozen=True)
class Event:
    seq: int
    name: str
    data: dict[str, Any]


def now() -> str:
    """UTC, ISO 8601. For people to read; nothing is decided by it, since clocks jump."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Store:
    """The file at ``path``, made where there is none. Raises ``UserError`` where it is not ours or cannot be used."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._local = threading.local()
        self._writing = threading.RLock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            conn = self._connection()
            version = conn.execute("PRAGMA user_version").fetchone()[0]
            tables = {row[0] for row in conn.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if version > FORMAT or (tables and not {"jobs", "datasets", "events"} <= tables):
                raise UserError(f"{path} is not a file of this version of the service; give another --data-dir")
            conn.execute("PRAGMA journal_mode = WAL")
            with self._transaction() as conn:
                for statement in filter(str.strip, _TABLES.split(";")):
                    conn.execute(statement)
                conn.execute(f"PRAGMA user_version = {FORMAT}")
        except (sqlite3.DatabaseError, OSError) as error:
            raise UserError(f"{path} cannot be used ({error}); give another --data-dir, or mend this one") from error

    def _connection(self) -> sqlite3.Connection:
        conn: sqlite3.Connection | None = getattr(self._local, "conn", None)
        if conn is None:
            conn = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)
            conn.row_factory = sqlite3.Row
            conn.execute("PRAGMA foreign_keys = ON")
            conn.execute("PRAGMA trusted_schema = OFF")
            self._local.conn = conn
        return conn

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        conn = self._connection()
        with self._writing:
            conn.execute("BEGIN IMMEDIATE")
            try:
                yield conn
                conn.execute("COMMIT")
            except BaseException:
                if conn.in_transaction:
                    conn.execute("ROLLBACK")
                raise

    # ---- datasets ----------------------------------------------------------------------------------------------------

    def add_dataset(self, facts: Mapping[str, Any], csv: bytes) -> dict[str, Any]:
        """Keeps a table; `Taken` where the name is. ``facts``: name, description, columns, target, rows, ranges, preview."""
        packed = zlib.compress(csv, 1)
        try:
            with self._transaction() as conn:
                row = conn.execute(
                    "INSERT INTO datasets (name, description, columns, target, rows, bytes, ranges, preview, created_at) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
                    (facts["name"], facts["description"], json.dumps(facts["columns"]), facts["target"], facts["rows"], len(csv),
                     json.dumps(facts["ranges"]), json.dumps(facts["preview"]), now()),
                ).fetchone()  # fmt: skip
                conn.execute("INSERT INTO dataset_texts (dataset, csv) VALUES (?, ?)", (row[0], packed))
        except sqlite3.IntegrityError:
            raise Taken(facts["name"]) from None
        return self.dataset(facts["name"])

    def datasets(self) -> list[dict[str, Any]]:
        rows = self._connection().execute(
            "SELECT id, name, description, columns, target, rows, bytes, created_at FROM datasets ORDER BY id DESC"
        )
        return [_dataset(row) for row in rows]

    def dataset(self, name: str) -> dict[str, Any]:
        """With its ranges and preview; `Missing` where there is none."""
        row = self._connection().execute("SELECT * FROM datasets WHERE name = ?", (name,)).fetchone()
        if row is None:
            raise Missing(name)
        return _dataset(row)

    def count_datasets(self) -> int:
        return int(self._connection().execute("SELECT COUNT(*) FROM datasets").fetchone()[0])

    def dataset_bytes(self) -> int:
        """Of all tables together."""
        return int(self._connection().execute("SELECT COALESCE(SUM(bytes), 0) FROM datasets").fetchone()[0])

    def csv(self, dataset: int) -> bytes:
        row = self._connection().execute("SELECT csv FROM dataset_texts WHERE dataset = ?", (dataset,)).fetchone()
        if row is None:
            raise Missing(dataset)
        return zlib.decompress(row[0])

    def delete_dataset(self, name: str) -> None:
        """`InUse` while a job that has not ended reads it."""
        with self._transaction() as conn:
            row = conn.execute("SELECT id FROM datasets WHERE name = ?", (name,)).fetchone()
            if row is None:
                raise Missing(name)
            job = conn.execute(
                "SELECT id FROM jobs WHERE dataset = ? AND state IN ('queued', 'running') LIMIT 1", (row[0],)
            ).fetchone()
            if job is not None:
                raise InUse(job[0])
            conn.execute("DELETE FROM datasets WHERE id = ?", (row[0],))

    # ---- jobs --------------------------------------------------------------------------------------------------------

    def add_job(
        self, kind: str, spec: Mapping[str, Any], *, dataset: str | None, most_queued: int, payload: bytes | None = None
    ) -> dict[str, Any]:
        """A queued job. `Missing` where the dataset is, `Full` where so many wait already."""
        job_id = secrets.token_hex(8)
        with self._transaction() as conn:
            number = None
            if dataset is not None:
                row = conn.execute("SELECT id FROM datasets WHERE name = ?", (dataset,)).fetchone()
                if row is None:
                    raise Missing(dataset)
                number = row[0]
            waiting = conn.execute("SELECT COUNT(*) FROM jobs WHERE state = 'queued'").fetchone()[0]
            if waiting >= most_queued:
                raise Full(waiting)
            conn.execute(
                "INSERT INTO jobs (id, kind, state, spec, dataset, created_at) VALUES (?, ?, 'queued', ?, ?, ?)",
                (job_id, kind, json.dumps(spec), number, now()),
            )
            if payload is not None:
                conn.execute("INSERT INTO job_payloads (job, payload) VALUES (?, ?)", (job_id, zlib.compress(payload, 1)))
            _append(conn, job_id, [("state", {"state": "queued"})])
        return self.job(job_id)

    def job(self, job_id: str) -> dict[str, Any]:
        """The job with its result; `Missing` where there is none."""
        return _job(self._row(job_id), whole=True)

    def _row(self, job_id: str) -> sqlite3.Row:
        row: sqlite3.Row | None = self._connection().execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone()
        if row is None:
            raise Missing(job_id)
        return row

    def state(self, job_id: str) -> str:
        return str(self._row(job_id)["state"])

    def dataset_of(self, job_id: str) -> dict[str, Any] | None:
        """What `dataset` says of the job's, None where it has none or it was deleted since."""
        number = self._row(job_id)["dataset"]
        row = self._connection().execute("SELECT * FROM datasets WHERE id = ?", (number,)).fetchone()
        return None if row is None else _dataset(row)

    def payload(self, job_id: str) -> bytes:
        row = self._connection().execute("SELECT payload FROM job_payloads WHERE job = ?", (job_id,)).fetchone()
        if row is None:
            raise Missing(job_id)
        return zlib.decompress(row[0])

    def jobs(
        self, *, state: str | None = None, kind: str | None = None, limit: int = 50, before: int | None = None
    ) -> tuple[list[dict[str, Any]], int | None]:
        """Jobs without their results, newest first, and the ``before`` of the next page."""
        rows = self._connection().execute(
            "SELECT n, id, kind, state, spec, created_at, started_at, ended_at, seconds, error, "
            "json_extract(result, '$.formula') AS formula "
            "FROM jobs WHERE (?1 IS NULL OR state = ?1) AND (?2 IS NULL OR kind = ?2) AND (?3 IS NULL OR n < ?3) "
            "ORDER BY n DESC LIMIT ?4",
            (state, kind, before, limit + 1),
        ).fetchall()  # fmt: skip
        page = rows[:limit]
        return [_job(row, whole=False) for row in page], page[-1]["n"] if len(rows) > limit else None

    def counts(self) -> dict[str, int]:
        """How many jobs are in each state."""
        found = dict(self._connection().execute("SELECT state, COUNT(*) FROM jobs GROUP BY state").fetchall())
        return {state: int(found.get(state, 0)) for state in STATES}

    def open_jobs(self) -> list[tuple[str, str, str]]:
        """``(id, kind, state)`` of all that have not ended, oldest first."""
        rows = self._connection().execute("SELECT id, kind, state FROM jobs WHERE state IN ('queued', 'running') ORDER BY n")
        return [(row[0], row[1], row[2]) for row in rows]

    def start(self, job_id: str) -> bool:
        """Queued becomes running; False where it is queued no more (it was cancelled)."""
        with self._transaction() as conn:
            changed = conn.execute(
                "UPDATE jobs SET state = 'running', started_at = ?, attempts = attempts + 1 WHERE id = ? AND state = 'queued'",
                (now(), job_id),
            ).rowcount
            if changed:
                _append(conn, job_id, [("state", {"state": "running"})])
        return bool(changed)

    def interrupted(self, job_id: str) -> bool:
        """Whether a process of this job ended before the job did."""
        row = self._connection().execute("SELECT attempts + restarts > 1 FROM jobs WHERE id = ?", (job_id,)).fetchone()
        return row is not None and bool(row[0])

    def requeue(self, job_id: str, most_attempts: int, *, blameless: bool = False) -> str:
        """A job whose process is gone waits again, or fails after so many attempts; its state then.

        ``blameless``: it was the service that stopped or died, so the attempt does not count. One that was running at the end of
        `MOST_RESTARTS` services fails all the same: it may be what ends them.
        """
        with self._transaction() as conn:
            row = conn.execute("SELECT state, attempts, restarts, cancel FROM jobs WHERE id = ?", (job_id,)).fetchone()
            if row is None or row["state"] != "running":
                return str(row["state"]) if row is not None else "gone"
            if row["cancel"]:
                self._end(conn, job_id, "cancelled", None, None, None)
                return "cancelled"
            if not blameless and row["attempts"] >= most_attempts:
                self._end(conn, job_id, "failed", f"its process ended {row['attempts']} times before it was done", None, None)
                return "failed"
            if row["restarts"] >= MOST_RESTARTS:
                self._end(conn, job_id, "failed", f"the service ended {row['restarts']} times while it ran", None, None)
                return "failed"
            again = int(blameless)
            conn.execute(
                "UPDATE jobs SET state = 'queued', started_at = NULL, attempts = attempts - ?1, restarts = restarts + ?1 "
                "WHERE id = ?2",
                (again, job_id),
            )
            _append(conn, job_id, [("state", {"state": "queued"})])
            return "queued"

    def end(
        self, job_id: str, state: str, *, error: str | None = None, result: Any = None, seconds: float | None = None,
        history: Sequence[tuple[str, str, str]] = (),
    ) -> bool:  # fmt: skip
        """A job is over; False where it was before. ``history``: what is to be remembered of it, (what, name, detail)."""
        with self._transaction() as conn:
            return self._end(conn, job_id, state, error, result, seconds, history)

    def _end(
        self, conn: sqlite3.Connection, job_id: str, state: str, error: str | None, result: Any, seconds: float | None,
        history: Sequence[tuple[str, str, str]] = (),
    ) -> bool:  # fmt: skip
        changed = conn.execute(
            "UPDATE jobs SET state = ?, ended_at = ?, error = ?, result = ?, seconds = ? "
            "WHERE id = ? AND state IN ('queued', 'running')",
            (state, now(), error, None if result is None else json.dumps(result, allow_nan=False), seconds, job_id),
        ).rowcount
        if changed:
            conn.execute("DELETE FROM job_payloads WHERE job = ?", (job_id,))
            _append(conn, job_id, [("state", {"state": state})])
            for what, name, detail in history:
                _remember(conn, what, name, detail, job_id)
            conn.execute(
                "DELETE FROM events WHERE job IN (SELECT id FROM jobs WHERE n <= (SELECT MAX(n) FROM jobs) - ? "
                "AND state IN ('done', 'failed', 'cancelled') ORDER BY n DESC LIMIT 20)",
                (JOBS_WITH_EVENTS,),
            )
        return bool(changed)

    def ask_to_cancel(self, job_id: str) -> str:
        """A queued job is cancelled at once, a running one marked; the state it is in then."""
        with self._transaction() as conn:
            row = conn.execute("SELECT state FROM jobs WHERE id = ?", (job_id,)).fetchone()
            if row is None:
                raise Missing(job_id)
            if row["state"] == "queued":
                self._end(conn, job_id, "cancelled", None, None, None)
                return "cancelled"
            conn.execute("UPDATE jobs SET cancel = 1 WHERE id = ?", (job_id,))
            return str(row["state"])

    def cancel_asked(self, job_id: str) -> bool:
        return bool(self._row(job_id)["cancel"])

    # ---- events ------------------------------------------------------------------------------------------------------

    def add_events(self, job_id: str, events: Sequence[tuple[str, dict[str, Any]]]) -> None:
        with self._transaction() as conn:
            _append(conn, job_id, events)

    def events(self, job_id: str, after: int, limit: int = 200) -> list[Event]:
        rows = self._connection().execute(
            "SELECT seq, name, data FROM events WHERE job = ? AND seq > ? ORDER BY seq LIMIT ?", (job_id, after, limit)
        )
        return [Event(row["seq"], row["name"], json.loads(row["data"])) for row in rows]

    # ---- history -----------------------------------------------------------------------------------------------------

    def remember(self, what: str, name: str, detail: str = "", job: str | None = None) -> None:
        with self._transaction() as conn:
            _remember(conn, what, name, detail, job)

    def history(self, limit: int) -> list[dict[str, Any]]:
        rows = self._connection().execute("SELECT at, what, name, detail, job FROM history ORDER BY n DESC LIMIT ?", (limit,))
        return [dict(row) for row in rows]


def _append(conn: sqlite3.Connection, job_id: str, events: Sequence[tuple[str, dict[str, Any]]]) -> None:
    last = conn.execute("SELECT COALESCE(MAX(seq), 0) FROM events WHERE job = ?", (job_id,)).fetchone()[0]
    numbered = [(job_id, last + i, name, json.dumps(data, allow_nan=False)) for i, (name, data) in enumerate(events, 1)]
    conn.executemany("INSERT INTO events (job, seq, name, data) VALUES (?, ?, ?, ?)", numbered)
    conn.execute("DELETE FROM events WHERE job = ? AND seq <= ?", (job_id, last + len(events) - EVENTS_KEPT))


def _remember(conn: sqlite3.Connection, what: str, name: str, detail: str, job: str | None) -> None:
    conn.execute("INSERT INTO history (at, what, name, detail, job) VALUES (?, ?, ?, ?, ?)", (now(), what, name, detail, job))


def _dataset(row: sqlite3.Row) -> dict[str, Any]:
    facts = dict(row)
    for key in ("columns", "ranges", "preview"):
        if key in facts:
            facts[key] = json.loads(facts[key])
    return facts


def _job(row: sqlite3.Row, *, whole: bool) -> dict[str, Any]:
    keys = ["id", "kind", "state", "spec", "created_at", "started_at", "ended_at", "seconds", "error"]
    facts = {key: row[key] for key in keys}
    facts["spec"] = json.loads(facts["spec"])
    if whole:
        facts["result"] = None if row["result"] is None else json.loads(row["result"])
    else:
        facts["formula"] = row["formula"]
    return facts
