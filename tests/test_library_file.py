"""The library as a file: making and opening it, what is refused, several processes, and what survives a kill."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import pytest

from nssr import db, registry, schema
from nssr.errors import UserError

ROOT = Path(__file__).resolve().parents[1]
ADD = 3


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "library.db")


def child(code: str, *args: str) -> subprocess.Popen[str]:
    """A Python process that runs ``code`` with the package importable."""
    command = [sys.executable, "-B", "-c", textwrap.dedent(code), *args]
    return subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out


def raw(path: str, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def refuses(path: str, *words: str) -> None:
    """``init_db`` raises one sentence with these words, and neither the file nor its neighbours change."""
    folder = Path(path).parent
    before = {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file() and not p.name.endswith("-shm")}
    with pytest.raises(UserError) as caught:
        db.init_db(path)
    text = str(caught.value)
    assert all(word in text for word in (*words, path)), text
    assert text.endswith(".")
    assert "\n" not in text
    after = {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file() and not p.name.endswith("-shm")}
    assert after == before


# --- making and opening ---------------------------------------------------------------------------------------------


def test_a_new_library_has_directories_schema_and_version(tmp_path: Path) -> None:
    path = tmp_path / "some" / "where" / "symbolic.db"
    with contextlib.closing(db.init_db(path)) as conn:
        assert conn.row_factory is sqlite3.Row
        assert conn.execute("PRAGMA user_version").fetchone()[0] == schema.SCHEMA_VERSION
        assert conn.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert conn.execute("PRAGMA foreign_keys").fetchone()[0] == 1
        assert [row["name"] for row in conn.execute("PRAGMA table_info(functions)")] == [
            "id",
            "name",
            "arity",
            "layer",
            "composition",
            "constants",
            "const_mode",
            "created_at",
        ]
        assert conn.execute("SELECT 1 FROM sqlite_master WHERE name = 'idx_functions_layer'").fetchone()
        assert (db.count_functions(conn), db.max_layer(conn), db.max_id(conn)) == (0, -1, -1)
        assert db.get_packs(conn) == ()


def test_the_default_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    db.init_db().close()
    assert (tmp_path / "checkpoints" / "symbolic.db").is_file()


def test_opening_again_changes_nothing(path: str) -> None:
    with contextlib.closing(db.init_db(path)) as conn:
        registry.init_registry(conn)
    before = Path(path).read_bytes()
    db.init_db(path).close()
    assert Path(path).read_bytes() == before


def test_an_empty_file_becomes_a_library(path: str) -> None:
    Path(path).touch()
    with contextlib.closing(db.init_db(path)) as conn:
        assert db.count_functions(conn) == 0


def test_an_unversioned_library_is_adopted(path: str) -> None:
    columns = "id INTEGER PRIMARY KEY, name TEXT UNIQUE, arity INTEGER, layer INTEGER, composition TEXT"
    row = "INSERT INTO functions VALUES (0, 'ADD', 2, 0, NULL), (1, 'TWICE', 1, 1, '[[0, [0, 0]]]')"
    raw(path, f"CREATE TABLE functions ({columns})", row)
    with contextlib.closing(db.init_db(path)) as conn:
        assert conn.execute("PRAGMA user_version").fetchone()[0] == schema.SCHEMA_VERSION
        assert db.get_packs(conn) == ("core",)
        state = registry.init_registry(conn)
        assert registry.execute(state, 1, [21]) == 42  # learned before, and its id stays
        assert state["metadata"][2]["name"] == "OR"  # what was missing comes after
        assert db.get_const_mode(conn, 1) == "multiplicative"
        assert db.get_constants(conn, 1) is None


# --- refusals -------------------------------------------------------------------------------------------------------


def test_refuses_what_is_no_database(path: str) -> None:
    Path(path).write_bytes(b"name,arity\n" * 200)
    refuses(path, "not a database")


def test_refuses_a_damaged_database(path: str) -> None:
    db.init_db(path).close()
    content = bytearray(Path(path).read_bytes())
    content[100:200] = b"\xff" * 100
    Path(path).write_bytes(content)
    refuses(path, "damaged")


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_refuses_a_newer_version(path: str, mode: str) -> None:
    raw(
        path,
        f"PRAGMA journal_mode = {mode}",
        schema.FUNCTIONS_TABLE,
        f"PRAGMA user_version = {schema.SCHEMA_VERSION + 1}",
    )
    refuses(path, "newer NSSR", "upgrade")


@pytest.mark.parametrize(
    "table", ["CREATE TABLE users (id INTEGER)", "CREATE TABLE functions (id INTEGER PRIMARY KEY, body TEXT)"]
)
@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_refuses_another_application(path: str, table: str, mode: str) -> None:
    raw(path, f"PRAGMA journal_mode = {mode}", table, "PRAGMA user_version = 7")
    refuses(path, "another application")


def test_refuses_a_newer_version_without_emptying_its_log(path: str) -> None:
    """A log left by a crash stays a log: closing a writable connection would have moved it into the file."""
    crash = """
        import os, sqlite3, sys
        conn = sqlite3.connect(sys.argv[1])
        conn.execute("PRAGMA journal_mode = wal")
        conn.execute("CREATE TABLE functions (id INTEGER PRIMARY KEY, name, arity, layer, composition)")
        conn.execute("PRAGMA user_version = 99")
        conn.commit()
        os._exit(0)
    """
    finish(child(crash, path))
    assert os.path.getsize(path + "-wal") > 0
    refuses(path, "newer NSSR")


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_refuses_what_cannot_be_written(kind: str) -> None:
    open_it = """
        import os, sys
        from nssr import db
        from nssr.errors import UserError
        if os.geteuid() == 0:  # root may write anything
            os.setgroups([])
            os.setuid(65534)
        try:
            db.init_db(sys.argv[1]).close()
        except UserError as error:
            print(error)
    """
    with tempfile.TemporaryDirectory() as folder:  # not tmp_path, into which another user cannot look
        path = Path(folder) / "library.db"
        db.init_db(path).close()
        before = path.read_bytes()
        path.chmod(0o444)
        Path(folder).chmod(0o555 if kind == "directory" else 0o777)
        said = finish(child(open_it, str(path)))
        Path(folder).chmod(0o755)
        assert str(path) in said
        assert "cannot be" in said
        assert path.read_bytes() == before


def test_refuses_paths_that_cannot_be_files(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for bad in (str(tmp_path), str(tmp_path / "file" / "library.db"), "", "a\0b"):
        with pytest.raises(UserError):
            db.init_db(bad)


@pytest.mark.parametrize("new", [True, False], ids=["new", "existing"])
def test_refuses_a_locked_file_after_a_while(path: str, monkeypatch: pytest.MonkeyPatch, new: bool) -> None:
    monkeypatch.setattr(db, "BUSY_SECONDS", 0.3)
    if not new:
        db.init_db(path).close()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        start = time.monotonic()
        refuses(path, "locked by another process")
        assert 0.25 < time.monotonic() - start < 2
        holder.execute("ROLLBACK")
    db.init_db(path).close()


def test_a_lock_at_registration_is_refused_and_nothing_is_stored(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db, "BUSY_SECONDS", 0.2)
    with contextlib.closing(db.init_db(path)) as conn, contextlib.closing(db.init_db(path)) as other:
        state = registry.init_registry(conn)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(UserError, match="locked"):
            registry.register_learned(conn, state, "TWICE", 1, [(ADD, [0, 0])])
        assert registry.vocab_size(state) == 21
        assert state["next_id"] == 21
        other.execute("ROLLBACK")
        assert registry.register_learned(conn, state, "TWICE", 1, [(ADD, [0, 0])]) == 21


# --- several processes ----------------------------------------------------------------------------------------------

REGISTER = """
    import sys
    from nssr import db, registry
    path, prefix, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    conn = db.init_db(path)
    state = registry.init_registry(conn)
    print("ready", flush=True)
    for i in range(count):
        last = registry.register_learned(conn, state, f"{prefix}{i}", 1, [(6, [0])] * 20 + [(3, [0, 20])], [float(i)])
        print(f"{prefix}{i}", flush=True)
"""


def test_a_killed_process_leaves_every_registration_whole(path: str) -> None:
    promised: set[str] = set()
    for generation, lines in enumerate((1, 3, 12, 40)):
        process = child(REGISTER, path, f"g{generation}_", "100000")
        assert process.stdout is not None
        for _ in range(lines):
            line = process.stdout.readline().strip()
            if line != "ready":
                promised.add(line)
        process.send_signal(signal.SIGKILL)
        rest = process.communicate()[0].splitlines()
        promised |= {line for line in rest[:-1] if line != "ready"}  # the last line may be cut short
        with contextlib.closing(db.init_db(path)) as conn:
            assert conn.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
            functions = {f["name"]: f for f in db.get_all_functions(conn)}
            assert promised <= functions.keys()
            state = registry.load_registry(conn)
            assert sorted(state["functions"]) == list(range(len(functions)))
            for name, function in functions.items():
                if function["layer"]:
                    assert function["layer"] == 1
                    assert registry.execute(state, function["id"], [10]) == 21.0 * int(name.split("_")[1])


def test_two_processes_make_and_fill_one_library(path: str) -> None:
    processes = [child(REGISTER, path, prefix, "25") for prefix in "ab"]
    for process in processes:
        finish(process)
    with contextlib.closing(db.init_db(path)) as conn:
        state = registry.load_registry(conn)
        names = registry.get_names(state, range(21, 71))
        assert sorted(names) == sorted(f"{prefix}{i}" for prefix in "ab" for i in range(25))
        assert state["next_id"] == 71
