"""Reading tables: what is accepted without a word, and what is refused in one clear line."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nssr.errors import UserError
from nssr.table import Table, read_csv, read_targets


@pytest.fixture
def write(tmp_path: Path):
    def _write(content: str | bytes, name: str = "data.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return _write


def refusal(path: Path | str, *args, **kwargs) -> str:
    with pytest.raises(UserError) as caught:
        read_csv(path, *args, **kwargs)
    message = str(caught.value)
    assert "\n" not in message
    return message


PLAIN = [([1, 0.5], 2), ([2, 1.5], 3), ([3, 2.5], 4)]


@pytest.mark.parametrize(
    "content",
    [
        "a,b,y\n1,0.5,2\n2,1.5,3\n3,2.5,4\n",
        "a,b,y\r\n1,0.5,2\r\n2,1.5,3\r\n3,2.5,4",
        "a,b,y\r1,0.5,2\r2,1.5,3\r3,2.5,4\r",
        "\ufeffa;b;y\n1;0.5;2\n2;1.5;3\n3;2.5;4\n\n\n",
        "a\tb\ty\n1\t0.5\t2\n2\t1.5\t3\n3\t2.5\t4\n  \n",
        '"a","b","y"\n"1","0.5","2"\n"2","1.5","3"\n"3","2.5","4"\n',
        " a , b , y \n 1 , 0.5 ,+2\n 2 , +1.5 , 3\n 3 , 25e-1 , 4 \n",
        'a, "b", y\n1, ".5", 2\n2, "1.50", 3\n3, "2.5", 4\n',
        "\n\na,b,y\n1,0.5,2\n2,1.5,3\n3,2.5,4\n",
        "a;b;y\n1;0,5;2\n2;1,5;3\n3;2,5;4\n",
        "a\tb\ty\n1\t0,5\t2\n2\t1,50\t3\n3\t2,5\t4\n",
        "a,b,y\n1\u00a0,0.5,2\n2,1.5,3\n3,2.5,4\n",
    ],
)
def test_same_table_in_many_spellings(write, content):
    table = read_csv(write(content))
    assert (table.names, table.target_name, table.n_rows) == (("a", "b"), "y", 3)
    assert table.examples() == PLAIN
    assert [type(v) for v in [*table.examples()[0][0], table.examples()[0][1]]] == [int, float, int]
    assert [c.dtype for c in table.columns] == [np.int64, np.float64]
    assert table.target.dtype == np.int64


def test_target_by_name_and_order_of_the_rest(write):
    path = write("Ünïcode näme,y, speed (m/s) ,z\n1,2,3,4\n5,6,7,8\n9,10,11,12\n")
    table = read_csv(path, " speed (m/s)")
    assert table.names == ("Ünïcode näme", "y", "z")
    assert table.target_name == "speed (m/s)"
    assert table.examples([2, 0]) == [([9, 10, 12], 11), ([1, 2, 4], 3)]
    assert table.examples(slice(1, 2)) == table.examples(table.target == 7) == [([5, 6, 8], 7)]
    assert table.examples([]) == []


def test_number_types(write):
    rows = ["1,1e3,9223372036854775807,-0,0.1", "-2,2,9223372036854775808,7,1", "+3,-.5,-1,007,2."]
    table = read_csv(write("a,b,c,d,y\n" + "\n".join(rows)))
    assert [c.dtype for c in table.columns] == [np.int64, np.float64, object, np.int64]
    assert table.examples()[1] == ([-2, 2.0, 9223372036854775808, 7], 1.0)
    assert all(type(x[2]) is int for x, _ in table.examples())


def test_types_hold_across_blocks(write, monkeypatch):
    monkeypatch.setattr("nssr.csvfile._BLOCK_CELLS", 8)
    n = 50
    lines = [f"{i},{i if i != 40 else 0.5},{i if i != 45 else 10**30},{i}" for i in range(n)]
    table = read_csv(write("a,b,c,y\n" + "\n".join(lines) + "\n\n\n"))
    assert [c.dtype for c in table.columns] == [np.int64, np.float64, object]
    assert all(type(v) is int for v in table.columns[2].tolist())
    assert table.columns[2][45] == 10**30
    assert table.target.tolist() == list(range(n))
    message = refusal(write("a,b\n" + "1,2\n" * 30 + "1,x\n"))
    assert "line 32, column 'b': 'x' is text" in message


def test_separator_is_found_where_names_hold_others(write):
    table = read_csv(write("speed, km/h;time, s;y\n1,5;2,5;3\n1,5;2,5;3\n1,25;2,5;3\n"))
    assert table.names == ("speed, km/h", "time, s")
    assert table.examples()[2] == ([1.25, 2.5], 3)
    table = read_csv(write('"a;b;c;d",y\n1,2\n1,2\n1,2\n'))
    assert table.names == ("a;b;c;d",)


def test_ambiguous_commas_are_refused(write):
    assert "decimal point" in refusal(write("a;y\n1,234;1\n2,345;2\n3,456;3\n"))
    assert "decimal point" in refusal(write("a;y\n1,5;1\n2,5;2\n3,5;3\n" + "4;4\n" * 60 + "1.234,5;3\n"))
    assert "decimal point" in refusal(write('a,y\n"1,5",1\n"2,5",2\n"3,5",3\n'))
    assert read_csv(write("a;y\n0,234;1\n2,345;2\n3,456;3\n")).columns[0].tolist() == [0.234, 2.345, 3.456]


def test_many_columns(write):
    names = [f"c{j}" for j in range(500)]
    table = read_csv(write("\n".join([",".join(names)] + [",".join(["1"] * 500)] * 20)))
    assert len(table.columns) == 499
    assert table.n_rows == 20


def test_sample(write):
    table = read_csv(write("a,y\n" + "".join(f"{i},{2 * i}\n" for i in range(100))))
    part = table.sample(10, seed=3)
    assert isinstance(part, Table)
    assert part.n_rows == 10
    assert part.examples() == table.sample(10, seed=3).examples()
    assert all(y == 2 * x[0] for x, y in part.examples())
    assert np.all(np.diff(part.columns[0]) > 0)
    assert part.columns[0].dtype == np.int64
    assert table.sample(1000, seed=0) is table


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", ["is empty"]),
        ("\n \n\n", ["is empty"]),
        ("\ufeff", ["is empty"]),
        ("a,b,y\n", ["a header and no rows"]),
        ("a,y\n1,2\n", ["only 1 row;"]),
        ("a,y\n1,2\n3,4\n", ["only 2 rows;"]),
        ("a,y\n1,2\n3,4,5\n6,7\n", ["line 3: 3 cells where the header has 2"]),
        ("a,b,y\n1,2,3\n4,5\n6,7,8\n", ["line 3: 2 cells where the header has 3"]),
        ("a,y\n1,2\n3,4\n\n5,6\n", ["line 4: a blank line"]),
        ("a,y\n1,2\nred,4\n5,6\n", ["line 3, column 'a': 'red' is text"]),
        ("a,y\n1,2\n3,true\n5,6\n", ["line 3, column 'y': 'true' is text"]),
        ("a,y\n1,2\n,4\n5,6\n", ["line 3, column 'a': the cell is empty"]),
        ("a,y\n1,2\n3,  \n5,6\n", ["line 3, column 'y': the cell is empty"]),
        ('a,y\n"1",2\n3,"\n"\n5,6\n', ["line 4, column 'y': the cell is empty"]),
        *((f"a,y\n1,2\n3,{bad}\n5,6\n", ["line 3, column 'y'", f"'{bad}' is no finite number"])
          for bad in ("nan", "NaN", "inf", "Infinity", "-inf", "+INF")),
        ("a,y\n1,2\n3,1e999\n5,6\n", ["line 3, column 'y': '1e999' is too large"]),
        (f"a,y\n1,2\n3,{'9' * 400}\n5,6\n", ["line 3, column 'y'", "is too large"]),
        (f"a,y\n1,2\n3,{'9' * 6000}\n5,6\n", ["line 3, column 'y'"]),
        ("a,y\n1,2\n3,1_000\n5,6\n", ["'1_000' is text"]),
        ("a,y\n1,2\n3,\u0663\n5,6\n", ["line 3", "is text"]),
        ("a,y\n1,2\n3,0x10\n5,6\n", ["'0x10' is text"]),
        ("a,a,y\n1,2,3\n", ["'a' stands twice"]),
        ("a, a ,y\n1,2,3\n", ["'a' stands twice"]),
        ("a,,y\n1,2,3\n", ["column 2 has no name"]),
        ("a,y,\n1,2,\n", ["column 3 has no name"]),
        ("y\n1\n2\n3\n", ["only one column, 'y'"]),
        ("1,2,3\n4,5,6\n7,8,9\n1,2,3\n", ["the first line holds numbers", "names of the columns"]),
        ('a,y\n1,2\n3,"4\n5,6\n', ["line 4", "quote"]),
        ('a,y\n1,2\n3,"4"5\n5,6\n', ["line 3", "quote"]),
        ('a,y\n1,2\n"' + "3" * 200_000 + '",2\n', ["line 3", "field larger than field limit"]),
    ],
)  # fmt: skip
def test_refusals(write, content, expected):
    path = write(content)
    message = refusal(path)
    assert str(path) in message
    for part in expected:
        assert part in message


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a,y\n1,2\n3,\xe9\n", "line 3, byte 10: no UTF-8"),
        (b"a,y\n" + b"1,2\n" * 600_000 + b"3,\xff\n", "line 600002, byte 2400006: no UTF-8"),
        (b"a,y\n1,2\n3,\xc3", "line 3, byte 10: no UTF-8"),
        ("a,y\n1,2\n".encode("utf-16"), "UTF-16"),
        ("a,y\n1,2\n".encode("utf-16-le"), "UTF-16"),
        (b"a,y\n1,2\n3,4\x00\n5,6\n", "byte 11 is NUL"),
        (b"a,y\n" + b"1,2\n" * 600_000 + b"3,4\x00\n", "line 600002, column 'y'"),
        (b"PK\x03\x04rest", "Excel"),
        (bytes(1000), "UTF-16"),
    ],
)
def test_bytes_that_are_no_text(write, content, expected):
    assert expected in refusal(write(content))


def test_target_that_is_not_there(write):
    path = write("mass,Velocity,energy\n1,2,3\n1,2,3\n1,2,3\n")
    message = refusal(path, "velocty")
    assert "did you mean 'Velocity'?" in message
    assert "'mass', 'Velocity', 'energy'" in message
    assert "the columns are" in refusal(path, "q")
    wide = write(",".join(f"col{i}" for i in range(500)) + "\n")
    assert "and 490 more" in refusal(wide, "q")


def test_files_that_cannot_be_read(tmp_path, write):
    assert "no such file" in refusal(tmp_path / "none.csv")
    assert "is a directory" in refusal(tmp_path)
    assert "is a device" in refusal("/dev/null")
    assert "cannot be read" in refusal("a\0b")
    path = write("a,y\n1,2\n")
    path.chmod(0)
    if os.geteuid() != 0:  # root may read everything
        assert "no permission" in refusal(path)


def test_a_pipe_is_read(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    feed = f"import sys; open({str(path)!r}, 'w').write('a,y\\n1,2\\n3,4\\n5,6\\n')"
    with subprocess.Popen([sys.executable, "-c", feed]):
        assert read_csv(path).target.tolist() == [2, 4, 6]


numbers = st.one_of(st.integers(-(10**25), 10**25), st.floats(allow_nan=False, allow_infinity=False))


@given(st.lists(st.tuples(numbers, numbers), min_size=3, max_size=20), st.sampled_from(",;\t"))
def test_round_trip(tmp_path_factory, rows, separator):
    path = tmp_path_factory.getbasetemp() / "round.csv"
    path.write_text("a" + separator + "y\n" + "".join(f"{a!r}{separator}{y!r}\n" for a, y in rows))
    assert read_csv(path).examples() == [([_as(rows, 0, a)], _as(rows, 1, y)) for a, y in rows]


def _as(rows, column, value):
    return float(value) if any(isinstance(row[column], float) for row in rows) else value


@given(st.binary(max_size=200))
def test_any_bytes_give_a_table_or_a_refusal(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "fuzz.csv"
    for data in (content, b"a,y\n1,2\n3,4\n5,6\n" + content):
        path.write_bytes(data)
        with contextlib.suppress(UserError):
            table = read_csv(path)
            assert table.n_rows >= 3
            assert all(np.isfinite(c.astype(float)).all() for c in table.columns)


def test_large_tables_need_little_memory(tmp_path):
    """The text of the file must not lie in memory as Python objects (about 150 MB here)."""
    path, n = tmp_path / "large.csv", 200_000
    values = np.random.default_rng(0).normal(size=n).tolist()
    with path.open("w") as file:
        file.write("a,b,k,y\n")
        file.writelines(f"{v},{2 * v},{i},{v + 1}\n" for i, v in enumerate(values))
    code = (
        "import resource, sys; from nssr.table import read_csv\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "table = read_csv(sys.argv[1]); assert table.n_rows == int(sys.argv[2])\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    run = subprocess.run([sys.executable, "-c", code, str(path), str(n)], capture_output=True, text=True, check=True)
    assert int(run.stdout) < 80 * 1024  # KiB; the columns themselves are 6.4 MB


# ---- JSON tasks ------------------------------------------------------------------------------------------------------


def targets(write, data) -> Path:
    return write(data if isinstance(data, str) else json.dumps(data), "targets.json")


def test_targets(write):
    write("m,v,E\n1,2,3\n4,5,6\n7,8,9.5\n")
    nand = [[[0, 0], 1], [[0, 1], 1], [[1, 0], 1], [[1, 1], 0]]
    tasks = read_targets(
        targets(
            write,
            [
                {"name": "NAND", "examples": nand},
                {"name": "E", "data": "data.csv", "target": "E"},
                {"name": "named", "examples": [[[1, 2.5], 3]] * 3, "columns": ["p", "q"], "target": "r"},
            ],
        )
    )
    assert [task.name for task in tasks] == ["NAND", "E", "named"]
    assert tasks[0].table.examples() == [(x, y) for x, y in nand]
    assert tasks[0].table.names == ("x0", "x1")
    assert tasks[0].table.target_name == "NAND"
    assert tasks[1].table.names == ("m", "v")
    assert tasks[1].table.target.dtype == np.float64
    assert tasks[2].table.names == ("p", "q")
    assert tasks[2].table.target_name == "r"
    assert tasks[2].table.examples()[0] == ([1, 2.5], 3)


ROWS = [[[1], 1], [[2], 2], [[3], 3]]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("{", "line 1, column 2: no valid JSON"),
        ("[" * 100_000, "no JSON that can be read"),
        ({"name": "a"}, "expected a list of tasks"),
        ([], "expected a list of tasks"),
        ([3], "task 1: expected an object"),
        ([{"examples": ROWS}], 'task 1: "name" is missing'),
        ([{"name": "f", "examples": ROWS, "exmples": 1}], "unknown key 'exmples'"),
        ([{"name": "f"}], 'either "examples" or "data"'),
        ([{"name": "f", "examples": ROWS, "data": "x.csv"}], 'either "examples" or "data"'),
        ([{"name": "f", "examples": ROWS[:2]}], "at least 3 pairs"),
        ([{"name": "f", "examples": [*ROWS, [1, 2]]}], "example 4: expected a pair"),
        ([{"name": "f", "examples": [*ROWS, [[], 2]]}], "example 4: expected a pair"),
        ([{"name": "f", "examples": [*ROWS, [[1, 2], 2]]}], "example 4: 2 inputs where the first example has 1"),
        ([{"name": "f", "examples": [*ROWS, [["a"], 2]]}], 'example 4: "a" is not a number'),
        ([{"name": "f", "examples": [*ROWS, [[1], True]]}], "example 4: true is not a number"),
        ([{"name": "f", "examples": [*ROWS, [[1], None]]}], "example 4: null is not a number"),
        ('[{"name": "f", "examples": [[[1], 1], [[1], NaN], [[1], 1]]}]', "example 2: nan is no finite number"),
        ('[{"name": "f", "examples": [[[1], 1], [[1], 1e999], [[1], 1]]}]', "example 2: inf is no finite number"),
        ([{"name": "f", "examples": ROWS, "columns": ["a", "b"]}], "1 different names"),
        ([{"name": "f", "examples": ROWS, "columns": [""]}], "must be a list of names"),
        ([{"name": "f", "examples": ROWS, "target": 3}], "must be the name of a column"),
        ([{"name": "f", "data": "none.csv"}], "no such file"),
        ([{"name": "f", "examples": ROWS}, {"name": "f", "examples": ROWS}], "two tasks are named 'f'"),
        (b"[\xff]".decode("latin-1").encode("latin-1"), "byte 1: no UTF-8"),
    ],
)
def test_targets_refused(write, data, expected):
    path = write(data, "targets.json") if isinstance(data, bytes) else targets(write, data)
    with pytest.raises(UserError) as caught:
        read_targets(path)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
