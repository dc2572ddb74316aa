"""What the command refuses: one line that says what, where and what to do, status 2, and every file as it was."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from command import fingerprint, run, spawn, write_csv

from nssr import schema

ROWS = "1,2,3\n2,5,7\n4,1,5\n8,3,11\n"
GOOD = "a,b,y\n" + ROWS


@pytest.fixture(scope="module")
def learned(tmp_path_factory) -> Path:
    """A folder with a library that knows SUM, and a checkpoint."""
    from nssr.main import main

    folder = tmp_path_factory.mktemp("learned")
    (folder / "good.csv").write_text(GOOD)
    arguments = ["--data", folder / "good.csv", "--name", "SUM", "--checkpoint-dir", folder, "--train-epochs", 1]
    assert main(["--quiet", *map(str, arguments)]) == 0
    assert {path.name for path in folder.iterdir()} == {"good.csv", "symbolic.db", "model.pt"}
    return folder


@pytest.fixture
def place(learned: Path, tmp_path: Path, monkeypatch) -> Path:
    """A copy of it, to work in; ``--checkpoint-dir .`` is meant."""
    folder = tmp_path / "place"
    shutil.copytree(learned, folder)
    monkeypatch.chdir(folder)
    return folder


def refused(capsys, folder: Path, *arguments: object, default_place: bool = True) -> str:
    """The one line of a refusal, checked for all that refusals have in common."""
    before = fingerprint(folder)
    given = [*(["--checkpoint-dir", "."] if default_place else []), *arguments]
    status, out, err = run(capsys, *given)
    assert status == 2, err
    assert out == ""
    assert err.startswith("nssr: ")
    assert err.endswith("\n")
    assert err.count("\n") == 1
    assert fingerprint(folder) == before
    return err


# ---- tables ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("a,b,y\n1,2,3\n2,hello,4\n3,4,5\n", ["line 3", "'b'", "'hello' is text"]),
        ("a,b,y\n1,2,3\n2,,4\n3,4,5\n", ["line 3", "'b'", "empty"]),
        ("a,b,y\n1,2,3\n2,NaN,4\n3,4,5\n", ["line 3", "'b'", "no finite number"]),
        ("a,b,y\n1,2,3\n2,3,-inf\n3,4,5\n", ["line 3", "'y'", "no finite number"]),
        ("a,b,y\n1,2,3\n2,3,1e999\n3,4,5\n", ["line 3", "'y'", "too large"]),
        ("a,b,y\n1,2,3\n4,5,6\n", ["only 2 rows", "at least 3"]),
        ("a,b,y\n", ["no rows", "at least 3"]),
        ("", ["empty"]),
        ("a,b,y\n1,2,3\n4,5\n6,7,8\n", ["line 3", "2 cells where the header has 3"]),
        ("a,b,y\n1,2,3\n4,5,6,7\n6,7,8\n", ["line 3", "4 cells where the header has 3"]),
        ("a,a,y\n" + ROWS, ["'a' stands twice", "rename"]),
        ("1,2,3\n" + ROWS, ["first line holds numbers"]),
        ("y\n1\n2\n3\n", ["only one column"]),
        (b"a,b,y\n1,2,3\n4,\xff\xfe,6\n7,8,9\n", ["line 3", "no UTF-8 text", "save the file as UTF-8"]),
        (GOOD.encode("utf-16"), ["UTF-16", "save the file as UTF-8"]),
        (b"\x00\x01\x02" * 100, ["no "]),
        (b"PK\x03\x04" + b"x" * 100, ["Excel", "export the table as CSV"]),
        ('a,b,y\n1,2,3\n4,"5,6\n7,8,9\n', ["quote"]),
    ],
)  # fmt: skip
def test_a_table_that_is_none(capsys, place, content, says):
    (place / "t.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    line = refused(capsys, place, "--data", "t.csv")
    assert "t.csv" in line
    for part in says:
        assert part in line


def test_a_target_that_is_no_column(capsys, place):
    line = refused(capsys, place, "--data", "good.csv", "--target", "Y")
    assert "did you mean 'y'?" in line
    assert "the columns are 'a', 'b', 'y'" in line


def test_a_file_that_is_not_there(capsys, place):
    assert "there is no such file" in refused(capsys, place, "--data", "none.csv")
    assert "is a directory" in refused(capsys, place, "--data", ".")
    assert "there is no such file" in refused(capsys, place, "--targets", "none.json")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("[{]", ["line 1", "no valid JSON"]),
        ("{}", ["expected a list of tasks"]),
        ("[]", ["expected a list of tasks"]),
        ('[{"examples": [[[1], 1], [[2], 2], [[3], 3]]}]', ["task 1", '"name"']),
        ('[{"name": "F"}]', ["task 1", "examples", "data"]),
        ('[{"name": "F", "examples": [[[1], 1]]}]', ["task 1", "at least 3"]),
        ('[{"name": "F", "examples": [[[1], 1], [[2, 3], 2], [[3], 3]]}]', ["example 2", "2 inputs"]),
        ('[{"name": "F", "examples": [[[1], 1], [[NaN], 2], [[3], 3]]}]', ["example 2", "finite"]),
        ('[{"name": "F", "data": "none.csv"}]', ["none.csv", "no such file"]),
        ('[{"name": "F", "data": "good.csv"}, {"name": "F", "data": "good.csv"}]', ["two tasks are named 'F'"]),
        ('[{"name": "ADD", "data": "good.csv"}]', ["ADD is the name of a primitive", "rename that task in t.json"]),
        ('[{"name": " ", "data": "good.csv"}]', ['"name"']),
        ('[{"name": "a\\u0007b", "data": "good.csv"}]', ["control character", "rename that task in t.json"]),
        ('[{"name": "NEW", "data": "good.csv"}, {"name": "SUM", "examples": [[[1], 9], [[2], 2], [[3], 7]]}]',
         ["function named SUM already", "rename that task in t.json"]),
    ],
)  # fmt: skip
def test_targets_that_are_none(capsys, place, content, says):
    (place / "t.json").write_text(content)
    line = refused(capsys, place, "--targets", "t.json")
    for part in says:
        assert part in line


# ---- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--dta", "x.csv"], "there is no option --dta; did you mean --data?"),
        (["--xyzzy"], "there is no option --xyzzy; see --help"),
        (["good.csv"], "a table is given with --data good.csv"),
        (["--data"], "--data: expected one argument"),
        (["--max-steps", "0"], "--max-steps: '0' is no whole number from 1"),
        (["--max-steps", "-3"], "--max-steps: '-3' is no whole number from 1"),
        (["--max-steps", "ten"], "--max-steps: 'ten' is no whole number from 1"),
        (["--max-steps", "9" * 5000], "is no whole number from 1"),
        (["--max-depth", "1.5"], "--max-depth: '1.5' is no whole number"),
        (["--threads", "0"], "--threads: '0' is no whole number from 1"),
        (["--seed", "-1"], "--seed: '-1' is no whole number from 0"),
        (["--train-epochs", "0"], "--train-epochs: '0' is no whole number"),
        (["--compile", "maybe"], "--compile: invalid choice: 'maybe'"),
        (["--guide", "maybe"], "--guide: invalid choice: 'maybe'"),
        (["--device", "tpu"], "unknown device 'tpu'; choose auto, cpu or cuda"),
        (["--data", "good.csv", "--targets", "t.json"], "--data and --targets cannot be given together"),
        (["--target", "y"], "give --data FILE.csv too"),
        (["--name", "F"], "give --data FILE.csv too"),
        (["--without", "ADD,NOPE"], "--without: there is no primitive 'NOPE'; choose from OR, AND"),
        (["--without", "mul"], "there is no primitive 'mul'; did you mean MUL?"),
        (["--packs", "magic"], "there is no pack 'magic'; choose from core, science, ieee"),
        (["--data", "good.csv", "--name", "MUL"], "MUL is the name of a primitive; choose another --name"),
        (["--data", "good.csv", "--name", "  "], "must be text and not blank; choose another --name"),
        (["--data", "good.csv", "--name", "x" * 201], "has 201 characters; at most 200"),
        (["--data", "good.csv", "--name", "a\x1b[31mb"], "control character"),
        (["--data", "good.csv", "--name", "a\nb"], "control character"),
        (["--data", "good.csv", "--name", "SIN", "--packs", "science"], "SIN is the name of a primitive"),
    ],
)
def test_options_that_are_none(capsys, place, arguments, says):
    assert says in refused(capsys, place, *arguments)


def test_a_name_that_is_taken_by_something_else(capsys, place):
    write_csv(place / "other.csv", "a,b,y", [(1, 2, 30), (2, 5, -7), (4, 1, 50), (8, 3, 1)])
    line = refused(capsys, place, "--data", "other.csv", "--name", "SUM")
    assert "there is a function" in line or "has a function named SUM already" in line
    assert "does not explain this data" in line
    assert "choose another --name" in line
    # Nor is a pack added on the way to such a refusal.
    refused(capsys, place, "--data", "other.csv", "--name", "SUM", "--packs", "science")


def test_the_name_of_a_column_that_is_a_primitive(capsys, place):
    write_csv(place / "t.csv", "a,b,add", [(1, 2, 3), (2, 5, 7), (4, 1, 5)])
    assert "ADD is the name of a primitive; choose a --name" in refused(capsys, place, "--data", "t.csv")


def test_cuda_where_there_is_none(capsys, place):
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    line = refused(capsys, place, "--data", "good.csv", "--name", "NEW", "--device", "cuda")
    assert "use --device cpu" in line


def test_a_refusal_in_json(capsys, place):
    before = fingerprint(place)
    for arguments in (["--data", "none.csv"], ["--max-steps", "x"], ["--without", "NOPE"]):
        status, out, err = run(capsys, "--json", "--checkpoint-dir", ".", *arguments)
        assert status == 2
        assert err.count("\n") == 1
        answer = json.loads(out)
        assert answer["status"] == "refused"
        assert answer["results"] == []
        assert err == f"nssr: {answer['message']}\n"
    assert fingerprint(place) == before


def test_nothing_is_made_by_a_refusal(capsys, tmp_path, monkeypatch):
    """Where there was no library yet, there is none afterwards."""
    monkeypatch.chdir(tmp_path)
    Path("good.csv").write_text(GOOD)
    for arguments in (
        ["--data", "none.csv"], ["--data", "good.csv", "--name", "ADD"], ["--data", "good.csv", "--without", "SIN"],
        ["--data", "good.csv", "--device", "tpu"], ["--data", "good.csv", "--packs", "magic"],
    ):  # fmt: skip
        refused(capsys, tmp_path, *arguments, default_place=False)
    assert [path.name for path in tmp_path.iterdir()] == ["good.csv"]


# ---- library ---------------------------------------------------------------------------------------------------------


def test_a_library_that_is_no_database(capsys, place):
    line = refused(capsys, place, "--data", "good.csv", "--db", "good.csv")
    assert "good.csv is not a database; give another path" in line


def test_a_library_that_is_a_directory(capsys, place):
    (place / "folder").mkdir()
    assert "is a directory" in refused(capsys, place, "--data", "good.csv", "--db", "folder")


def test_a_library_of_another_application(capsys, place):
    with sqlite3.connect("other.db") as conn:
        conn.execute("CREATE TABLE accounts (id INTEGER)")
    conn.close()
    assert "another application" in refused(capsys, place, "--data", "good.csv", "--db", "other.db")


def test_a_library_from_the_future(capsys, place):
    conn = sqlite3.connect("symbolic.db")
    conn.execute(f"PRAGMA user_version = {schema.SCHEMA_VERSION + 1}")
    conn.commit()
    conn.close()
    line = refused(capsys, place, "--data", "good.csv")
    assert "newer NSSR" in line
    assert "upgrade NSSR" in line


def test_a_library_that_is_damaged(capsys, place):
    content = bytearray((place / "symbolic.db").read_bytes())
    content[4096:] = b"\x5a" * (len(content) - 4096)  # all pages but the first
    (place / "symbolic.db").write_bytes(content)
    line = refused(capsys, place, "--data", "good.csv")
    assert "restore it from a copy" in line


def test_a_library_with_a_composition_that_makes_no_sense(capsys, place):
    conn = sqlite3.connect("symbolic.db")
    conn.execute("UPDATE functions SET composition = '[[999, [0]]]' WHERE name = 'SUM'")
    conn.commit()
    conn.close()
    line = refused(capsys, place, "--data", "good.csv")
    assert "damaged" in line
    assert "SUM" in line


def test_a_library_that_is_locked(capsys, place):
    before = fingerprint(place)
    other = sqlite3.connect("symbolic.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        status, out, err = run(capsys, "--data", "good.csv", "--name", "NEW", "--checkpoint-dir", ".")
    finally:
        other.execute("ROLLBACK")
        other.close()
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "locked by another process" in err
    assert fingerprint(place) == before


@contextmanager
def read_only(path: Path) -> Iterator[None]:
    """A file that cannot be written; the owner of all files can write any, but not one that is marked immutable."""
    if os.geteuid() == 0:
        change = shutil.which("chattr")
        if change is None or subprocess.run([change, "+i", path], capture_output=True, check=False).returncode:
            pytest.skip("root can write every file here")
        try:
            yield
        finally:
            subprocess.run([change, "-i", path], check=True)
    else:
        path.chmod(0o444)
        yield


def test_a_library_that_is_read_only(capsys, place):
    with read_only(place / "symbolic.db"):
        line = refused(capsys, place, "--data", "good.csv", "--name", "NEW")
    assert "cannot be written; give yourself write permission" in line


# ---- checkpoint ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.999])
def test_a_checkpoint_that_is_truncated(capsys, place, share):
    content = (place / "model.pt").read_bytes()
    (place / "model.pt").write_bytes(content[: int(share * len(content))])
    line = refused(capsys, place, "--data", "good.csv")  # though SUM is known, and nothing would be trained
    assert "model.pt is damaged or no guide of NSSR" in line
    assert "move it away" in line


def test_a_checkpoint_with_a_flipped_byte(capsys, place):
    content = bytearray((place / "model.pt").read_bytes())
    content[len(content) // 2] ^= 0xFF
    (place / "model.pt").write_bytes(content)
    assert "model.pt is damaged" in refused(capsys, place, "--data", "good.csv")


def test_a_checkpoint_of_something_else(capsys, place):
    import torch

    path = place / "model.pt"
    torch.save({"weights": torch.zeros(3)}, path)
    assert "is no guide of NSSR" in refused(capsys, place, "--data", "good.csv")
    path.unlink()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "hello")
    assert "no guide of NSSR" in refused(capsys, place, "--data", "good.csv")
    path.write_text("hello")
    assert "no guide of NSSR" in refused(capsys, place, "--data", "good.csv")
    path.unlink()
    path.mkdir()
    assert "model.pt" in refused(capsys, place, "--data", "good.csv")


@pytest.mark.parametrize(("key", "value"), [("vocab", None), ("vocab", []), ("model", {}), ("architecture", {"d_model": 7})])
def test_a_checkpoint_whose_parts_do_not_fit(capsys, place, key, value):
    import torch

    saved = torch.load(place / "model.pt", weights_only=True)
    torch.save({**saved, key: value}, place / "model.pt")
    line = refused(capsys, place, "--data", "good.csv")
    assert "model.pt" in line
    # A library that does not exist yet does not come into being through it.
    refused(capsys, place, "--data", "good.csv", "--db", "new.db")


def test_a_place_where_nothing_can_be_written(capsys, place):
    (place / "file").write_text("")
    for folder in ("file", "file/below"):
        line = refused(capsys, place, "--data", "good.csv", "--checkpoint-dir", folder, default_place=False)
        assert f"--checkpoint-dir: nothing can be written to {folder}" in line
        assert "choose another directory" in line
    if Path("/sys/kernel").is_dir():
        assert "nothing can be written" in refused(
            capsys, place, "--data", "good.csv", "--checkpoint-dir", "/sys/kernel/nssr", default_place=False
        )


# ---- the whole process -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [["--data", "none.csv"], ["--dta"], ["--db", "good.csv", "--data", "good.csv", "--guide", "off"]],
)
def test_no_traceback(place, arguments):
    before = fingerprint(place)
    status, out, err = spawn(place, "--checkpoint-dir", ".", *arguments)
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert fingerprint(place) == before


def test_letters_that_the_terminal_lacks(place):
    from command import environment

    (place / "größe.csv").write_text("größe,y\n1,2\n")
    status, out, err = spawn(
        place, "--data", "größe.csv", env=environment(PYTHONIOENCODING="ascii", PYTHONUTF8="0", LC_ALL="C")
    )
    assert (status, out) == (2, "")
    assert "only 1 row" in err


def test_an_instruction_set_that_is_not_there(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "nssr.main", "--guide", "off", "--checkpoint-dir", str(tmp_path)],
        env={**os.environ, "NSSR_TARGET": "sse9"}, capture_output=True, text=True,
    )  # fmt: skip
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "sse9" in result.stderr
    assert not list(tmp_path.iterdir())
