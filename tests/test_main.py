"""`python -m nssr.main` as a person uses it: what it accepts, what it says, what it keeps."""

from __future__ import annotations

import json
import os
import pty
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command import COMMAND, environment, fingerprint, run, spawn, start, write_csv

from nssr import db, registry
from nssr.session import SAMPLE_ROWS

FAST = ("--guide", "off")
TRAINED = ("--train-epochs", "1")  # a real model, hardly trained


@pytest.fixture
def place(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def force_table(path: Path, n: int = 30, seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    m, a, junk = rng.uniform(1, 10, n).tolist(), rng.uniform(-5, 5, n).tolist(), rng.normal(size=n).tolist()
    return write_csv(path, "mass,junk,acceleration,force",
                     [(x, z, y, x * y) for x, y, z in zip(m, a, junk, strict=True)])  # fmt: skip


def learned(path: Path) -> dict[str, list[int]]:
    """The learned functions of a library, which must be sound, with what each gives for 1, 2, ..."""
    conn = db.init_db(str(path))
    try:
        assert conn.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        state = registry.load_registry(conn)
        mine = [(i, e) for i, e in state["metadata"].items() if e["composition"] is not None]
        return {e["name"]: registry.execute(state, i, list(range(1, e["arity"] + 1))) for i, e in mine}
    finally:
        conn.close()


# ---- the first job ---------------------------------------------------------------------------------------------------


def test_the_main_job_and_the_same_again(capsys, place):
    status, out, err = run(capsys, *TRAINED)
    assert (status, err) == (0, "")
    assert "NAND: found and registered (layer 1" in out
    assert re.search(r"^XOR: found and registered \(layer [12]", out, re.M)
    assert "training on the curriculum" not in out  # the guide that comes with NSSR knows that already
    assert "training on all that is known: 1 of" in out
    assert "Layer 1" in out  # the summary of the library
    assert "\x1b" not in out
    assert set(learned(Path("checkpoints/symbolic.db"))) == {"NAND", "XOR"}
    before = fingerprint(place)
    status, out, err = run(capsys, *TRAINED)
    assert (status, err) == (0, "")
    assert "library checkpoints/symbolic.db: 2 learned functions" in out
    assert "NAND: known already" in out
    assert "XOR: known already" in out
    assert "training" not in out
    assert "searching" not in out
    assert fingerprint(place) == before


def test_the_guide_grows_with_the_library(capsys, place):
    """A model from before other runs, unguided ones, knows fewer functions than the library: it grows."""
    force_table(place / "t.csv")
    assert run(capsys, *TRAINED, "--data", "t.csv").status == 0
    assert run(capsys, *FAST).status == 0
    write_csv(place / "u.csv", "a,b,y", [(i, i * i % 7, i + i * i % 7 + 1) for i in range(9)])
    status, out, _ = run(capsys, *TRAINED, "--data", "u.csv", "--name", "NEXT")
    assert status == 0
    assert "training on the curriculum" not in out
    assert "training on all that is known" in out
    import torch

    saved = torch.load("checkpoints/model.pt", weights_only=True)
    assert saved["vocab"][21:] == ["FORCE", "NAND", "XOR", "NEXT"]
    assert "NEXT: known already" in run(capsys, "--data", "u.csv", "--name", "NEXT").out


def test_a_model_of_another_library(capsys, place):
    force_table(place / "t.csv")
    assert run(capsys, *TRAINED, "--data", "t.csv").status == 0
    status, out, err = run(capsys, *TRAINED, "--data", "t.csv", "--db", "other.db")
    assert (status, err) == (0, "")
    notes = [line for line in out.splitlines() if "belongs to another library" in line]
    assert notes == ["the model in checkpoints/model.pt belongs to another library; this one starts anew"]
    assert "FORCE: found and registered" in out


def test_without_the_guide_there_is_no_torch(place):
    force_table(place / "t.csv")
    arguments = ["--data", "t.csv", "--guide", "off"]
    program = f"import sys; from nssr.main import main; s = main({arguments!r}); sys.exit(s or 'torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], env=environment(), check=True, capture_output=True)
    assert not Path("checkpoints/model.pt").exists()


# ---- results ---------------------------------------------------------------------------------------------------------


def test_what_it_says_about_a_law(capsys, place):
    force_table(place / "t.csv")
    status, out, err = run(capsys, *FAST, "--data", "t.csv", "--name", "Newton's second")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    at = lines.index("Newton's second: found and registered (layer 1, id 21)")
    facts = {line[2:15].strip(): line[15:] for line in lines[at + 1 :]}
    assert facts["formula"] in ("force = mass*acceleration", "force = acceleration*mass")
    assert re.fullmatch(r"MUL\((mass, acceleration|acceleration, mass)\)", facts["composition"])
    assert facts["held out"] == "R2 = 1.000000 (exact on all 30 rows)"
    assert sorted(facts["columns"].split(", ")) == ["acceleration", "mass"]
    assert facts["ignored"] == "junk"


def test_a_fit_with_constants(capsys, place):
    write_csv(place / "t.csv", "v,p", [(v, 1400 / v) for v in np.linspace(12, 48, 25).tolist()])
    status, out, _ = run(capsys, *FAST, "--data", "t.csv", "--json")
    assert status == 0
    (result,) = json.loads(out)["results"]
    assert result["constants"] == [1400.0]
    assert result["exact"]
    assert result["columns"] == ["v"]


def test_not_found(capsys, place):
    rng = np.random.default_rng(0)
    write_csv(place / "t.csv", "a,b,y", rng.normal(size=(40, 3)).tolist())
    status, out, err = run(capsys, *FAST, "--data", "t.csv", "--max-steps", "1", "--max-depth", "2")
    assert (status, err) == (1, "")
    assert re.search(r"^Y: not found among [\d,]+ candidates, the best reached R2 [-0-9.]+$", out, re.M)
    assert learned(Path("checkpoints/symbolic.db")) == {}
    answer = json.loads(run(capsys, *FAST, "--data", "t.csv", "--max-depth", "1", "--json").out)
    assert answer["status"] == "not found"
    assert answer["results"][0]["found"] is False


def test_json_is_one_object_and_nothing_else(place):
    force_table(place / "t.csv")
    status, out, err = spawn(place, "--data", "t.csv", "--json", *FAST)
    assert status == 0
    answer = json.loads(out)
    assert out.count("\n") == 1
    assert answer["status"] == "ok"
    assert answer["library"] == str(Path("checkpoints/symbolic.db"))
    (result,) = answer["results"]
    assert result["name"] == "FORCE"
    assert result["exact"]
    assert result["ignored"] == ["junk"]
    assert result["uses"] == ["MUL"]
    assert "FORCE: found and registered" in err  # what would be on stdout without --json
    known = json.loads(spawn(place, "--data", "t.csv", "--json", "--quiet", *FAST).out)["results"][0]
    assert known["known_before"]
    assert known["formula"] == result["formula"]


def test_quiet(capsys, place):
    force_table(place / "t.csv")
    out = run(capsys, *TRAINED, "--quiet", "--data", "t.csv").out
    assert out.startswith("FORCE: found and registered")
    assert "training" not in out
    out = run(capsys, *FAST, "--quiet").out
    assert [line.split(":")[0] for line in out.splitlines() if line[0] != " "] == ["NAND", "XOR"]


def test_verbose(place):
    force_table(place / "t.csv")
    status, out, err = spawn(place, "--data", "t.csv", "--verbose", *FAST)
    assert status == 0
    assert "FORCE: found" in out
    assert "nssr.learning: FORCE" in err


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_help_and_version(place, arguments):
    status, out, err = spawn(place, *arguments)
    assert (status, err) == (0, "")
    assert out.startswith("usage: nssr" if arguments == ["--help"] else "nssr 0.")
    assert not list(place.iterdir())


def test_nobody_reads_on(place):
    force_table(place / "t.csv")
    read, write = os.pipe()
    os.close(read)
    child = start(["--data", "t.csv", *FAST], place, stdout=write)
    os.close(write)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 141
    assert err == ""


# ---- progress --------------------------------------------------------------------------------------------------------


def on_a_terminal(folder: Path, *arguments: str) -> tuple[int, str]:
    ours, theirs = pty.openpty()
    child = start(arguments, folder, stdin=theirs, stdout=theirs, stderr=theirs, env=environment(TERM="xterm"))
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # Linux says so at the end
            break
        if not part:
            break
        shown += part
    os.close(ours)
    return child.wait(timeout=60), shown.decode()


def test_progress_on_a_terminal(place):
    force_table(place / "t.csv")
    status, shown = on_a_terminal(place, "--data", "t.csv", *FAST)
    assert status == 0
    assert "\x1b[" in shown
    assert "searching FORCE" in shown
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")  # the cursor is back
    result = [line.rstrip("\r") for line in shown.split("\n")]
    assert any(line.endswith("  ignored      junk") for line in result)
    status, shown = on_a_terminal(place, "--data", "none.csv")
    assert status == 2
    assert shown.count("\x1b[?25h") >= shown.count("\x1b[?25l")
    assert "nssr: none.csv: there is no such file" in shown
    status, shown = on_a_terminal(place, "--data", "t.csv", "--quiet", *FAST)
    assert status == 0
    assert "\x1b" not in shown


# ---- tables ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        "\ufeffmass in kg,x,y\n3,2,5\n2,6,8\n5,1,6\n7,3,10\n",
        "mass in kg;x;y\n3;2;5\n2;6;8\n5;1;6\n7;3;10\n",
        "mass in kg\tx\ty\n3\t2\t5\n2\t6\t8\n5\t1\t6\n7\t3\t10\n",
        '"mass in kg", "x","y"\r\n"3","2","5"\r\n"2","6","8"\r\n"5","1","6"\r\n7,3,10\r\n\r\n',
        "mass in kg;x;y\n3,0;2,0;5,0\n2,5;6,5;9,0\n5;1;6\n7;3;10\n",
    ],
    ids=["bom", "semicolons", "tabs", "quotes", "decimal commas"],
)
def test_ways_to_write_a_table(capsys, place, content):
    (place / "t.csv").write_bytes(content.encode())
    status, out, err = run(capsys, *FAST, "--data", "t.csv", "--name", "TOTAL")
    assert (status, err) == (0, "")
    assert re.search(r"formula +y = (`mass in kg` \+ x|x \+ `mass in kg`)$", out, re.M)
    assert learned(Path("checkpoints/symbolic.db")) == {"TOTAL": 3}


def test_odd_names(capsys, place):
    """Letters of any kind, operators and markup are shown as they are; what a terminal would obey is not."""
    names = ["Größe [m]", "速度", "a+b", "[red]x[/red]", "\x1b[31mred"]
    rows = np.random.default_rng(0).integers(1, 50, (12, 5)).tolist()
    write_csv(place / "t.csv", ",".join([*names, "y \U0001f600"]), [(*r, r[0] * r[4]) for r in rows])
    status, out, err = run(capsys, *FAST, "--data", "t.csv", "--name", "odd")
    assert (status, err) == (0, "")
    assert "\x1b" not in out
    assert "\\x1b[31mred" in out
    assert "  ignored      速度, a+b, [red]x[/red]\n" in out
    assert "y \U0001f600 = " in out
    status, shown = on_a_terminal(place, *FAST, "--data", "t.csv", "--name", "odd2")
    assert status == 0
    assert "[red]x[/red]" in shown
    assert "\x1b[31mred" not in shown


def test_integers_stay_integers(capsys, place):
    """Bitwise functions take no floats: they can be found only while the columns are ints."""
    rows = [(i * 37 % 64, i * 11 % 64, (i * 37 % 64) & (i * 11 % 64)) for i in range(20)]
    write_csv(place / "t.csv", "a,b,y", rows)
    status, out, _ = run(capsys, *FAST, "--data", "t.csv", "--json", "--name", "MASK")
    assert status == 0
    assert json.loads(out)["results"][0]["uses"] == ["AND"]


def test_very_large_integers(capsys, place):
    rows = [(10**20 + i, i, 10**20 + 2 * i) for i in range(8)]
    write_csv(place / "t.csv", "a,b,y", rows)
    status, out, err = run(capsys, *FAST, "--data", "t.csv", "--name", "BIG")
    assert (status, err) == (0, "")
    assert "BIG: found" in out
    assert "BIG: known already" in run(capsys, *FAST, "--data", "t.csv", "--name", "BIG").out


def test_extreme_values(capsys, place):
    """Overflow in the search is the search's affair."""
    rng = np.random.default_rng(0)
    rows = [(x * 1e200, y * 1e-200, x * 1e200 + 1) for x, y in rng.normal(size=(20, 2)).tolist()]
    write_csv(place / "t.csv", "a,b,y", rows)
    status, _, err = run(capsys, *FAST, "--data", "t.csv", "--max-steps", "1")
    assert status in (0, 1)
    assert err == ""


def test_constant_columns(capsys, place):
    write_csv(place / "t.csv", "a,b,y", [(i, 3, 0) for i in range(8)])
    status, _, err = run(capsys, *FAST, "--data", "t.csv", "--name", "ZERO")
    assert (status, err) == (0, "")
    assert "ZERO: known already" in run(capsys, *FAST, "--data", "t.csv", "--name", "ZERO").out


def test_five_hundred_columns(capsys, place):
    x = np.random.default_rng(0).normal(size=(60, 500)).round(3).tolist()
    write_csv(place / "t.csv", ",".join([f"c{i}" for i in range(500)] + ["y"]), [(*r, r[17] * r[400]) for r in x])
    status, out, err = run(capsys, *FAST, "--data", "t.csv", "--name", "PAIR")
    assert (status, err) == (0, "")
    assert re.search(r"formula +y = (c17\*c400|c400\*c17)$", out, re.M)
    assert re.search(r"ignored +c0, c1, c2, .* and 486 more$", out, re.M)
    assert "PAIR: known already" in run(capsys, *FAST, "--data", "t.csv", "--name", "PAIR").out


def test_a_million_rows(place):
    n = 10**6
    rng = np.random.default_rng(0)
    m, a, junk = rng.uniform(1, 10, n).round(6), rng.uniform(-5, 5, n).round(6), rng.integers(0, 1000, n)
    with open(place / "t.csv", "w") as file:
        file.write("m,junk,a,constant,f\n")
        file.writelines(
            f"{x},{z},{y},1,{x * y!r}\n" for x, y, z in zip(m.tolist(), a.tolist(), junk.tolist(), strict=True)
        )
    child = subprocess.Popen(
        [*COMMAND, "--data", "t.csv", "--json", *FAST], env=environment(), stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert child.stdout is not None
    answer = json.loads(child.stdout.read())
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    child.stdout.close()
    assert child.returncode == 0
    (result,) = answer["results"]
    assert result["exact"]
    assert result["rows"] == n > SAMPLE_ROWS
    assert sorted(result["columns"]) == ["a", "m"]
    assert usage.ru_maxrss / (1024 if sys.platform == "darwin" else 1) < 1.5e6


# ---- several tasks ---------------------------------------------------------------------------------------------------


def test_targets_in_order(capsys, place):
    force_table(place / "force.csv")
    pairs = [(1, 2), (2, 5), (7, 3), (4, 4), (6, 1), (9, 8)]
    tasks = [
        {"name": "FORCE", "data": "force.csv"},
        {"name": "PLUS", "examples": [[[a, b], a + b] for a, b in pairs]},
        {"name": "LAST", "columns": ["left", "right"], "target": "out", "examples": [[[a, b], a - b] for a, b in pairs]},
    ]
    Path("t.json").write_text(json.dumps(tasks))
    status, out, err = run(capsys, *FAST, "--targets", "t.json")
    assert (status, err) == (0, "")
    assert re.findall(r"^(\w+): found and registered", out, re.M) == ["FORCE", "PLUS", "LAST"]
    assert "out = left - right" in out
    assert learned(Path("checkpoints/symbolic.db")) == {"FORCE": 2, "PLUS": 3, "LAST": -1}


def test_one_of_several_is_not_found(capsys, place):
    rng = np.random.default_rng(0)
    noise = [[[a, b], y] for a, b, y in rng.normal(size=(30, 3)).tolist()]
    plus = [[[a, b], a + b] for a, b in ((1, 2), (2, 5), (7, 3))]
    Path("t.json").write_text(json.dumps([{"name": "N", "examples": noise}, {"name": "PLUS", "examples": plus}]))
    status, out, _ = run(capsys, *FAST, "--targets", "t.json", "--max-steps", "1")
    assert status == 1
    assert "N: not found" in out
    assert "PLUS: found" in out


def test_without(capsys, place):
    """Addition from increments, then multiplication from that addition."""
    pairs = [(a, b) for a in range(6) for b in range(6)]
    write_csv(place / "add.csv", "a,b,y", [(a, b, a + b) for a, b in pairs])
    write_csv(place / "mul.csv", "a,b,y", [(a, b, a * b) for a, b in pairs])
    without = ("--without", "ADD, SUB,MUL")
    status, out, _ = run(capsys, *FAST, *without, "--data", "add.csv", "--name", "PLUS", "--json")
    assert status == 0
    plus = json.loads(out)["results"][0]
    assert sorted(plus["uses"]) == ["INC", "LOOP"]
    status, out, _ = run(capsys, *FAST, *without, "--data", "mul.csv", "--name", "TIMES", "--json")
    assert status == 0
    times = json.loads(out)["results"][0]
    assert sorted(times["uses"]) == ["LOOP", "PLUS"]
    assert not {"ADD", "SUB", "MUL"} & {*plus["uses"], *times["uses"]}


def test_packs(capsys, place):
    x = np.linspace(0.1, 3, 20).tolist()
    write_csv(place / "t.csv", "x,y", [(v, float(np.sin(v))) for v in x])
    status, out, _ = run(capsys, *FAST, "--packs", "science", "--data", "t.csv", "--name", "WAVE", "--json")
    assert status == 0
    assert json.loads(out)["results"][0]["uses"] == ["SIN"]
    assert run(capsys, *FAST, "--data", "t.csv", "--name", "WAVE").status == 0  # the library brings its packs


# ---- other processes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [FAST, TRAINED], ids=["unguided", "guided"])
def test_two_at_once(capsys, place, arguments):
    """Both end well, and the library has what either found, once."""
    pairs = [(1, 2), (2, 5), (7, 3), (4, 4), (6, 1), (9, 8)]
    laws = {"PLUS": lambda a, b: a + b, "TIMES": lambda a, b: a * b, "OURS": lambda a, b: a - b}
    for who, other in (("first", "PLUS"), ("second", "TIMES")):
        tasks = [{"name": n, "examples": [[[a, b], laws[n](a, b)] for a, b in pairs]} for n in (other, "OURS")]
        Path(f"{who}.json").write_text(json.dumps(tasks))
    given = [["--targets", f"{who}.json", "--threads", "1", *arguments] for who in ("first", "second")]
    children = [start(each, place) for each in given]
    ends = [child.communicate(timeout=120) for child in children]
    for child, (out, err) in zip(children, ends, strict=True):
        assert child.returncode == 0, err
        assert err == ""
        assert "OURS: " in out
    assert learned(Path("checkpoints/symbolic.db")) == {"PLUS": 3, "TIMES": 2, "OURS": -1}
    for each in given:
        status, out, err = run(capsys, *each)
        assert (status, err) == (0, "")
        assert out.count("known already") == 2


def test_a_function_that_another_process_learned_meanwhile(capsys, place, monkeypatch):
    """Between the search and the registration, the narrowest place: the other one's function counts."""
    from nssr import learning

    write_csv(place / "t.csv", "a,b,y", [(1, 2, 3), (2, 5, 7), (7, 3, 10), (4, 4, 8)])
    search = learning.find

    def find_while_another_registers(*given, **named):
        monkeypatch.setattr(learning, "find", search)
        assert spawn(place, "--data", "t.csv", "--name", "SUM", *FAST).status == 0
        return search(*given, **named)

    monkeypatch.setattr(learning, "find", find_while_another_registers)
    status, out, err = run(capsys, "--data", "t.csv", "--name", "SUM", *TRAINED)
    assert (status, err) == (0, "")
    assert "SUM: known already" in out
    assert learned(Path("checkpoints/symbolic.db")) == {"SUM": 3}


def test_the_library_is_closed_afterwards(capsys, place):
    force_table(place / "t.csv")
    run(capsys, *FAST, "--data", "t.csv")
    assert sorted(path.name for path in Path("checkpoints").iterdir()) == ["symbolic.db"]
    conn = sqlite3.connect("checkpoints/symbolic.db")
    conn.execute("BEGIN EXCLUSIVE")
    conn.close()


def test_a_fresh_model_learns_the_curriculum_first(capsys, place):
    status, out, err = run(capsys, *TRAINED, "--guide", "fresh")
    assert (status, err) == (0, "")
    assert "training on the curriculum: 1 of" in out


def test_a_model_of_an_older_kind_is_refused_in_one_line_and_the_search_goes_on(capsys, place):
    from nssr import checkpoint, learning
    from nssr.model import create_model

    sizes = {name: learning.SMALL_CONFIG[name] for name in ("input_dim", "seq_len", "d_model", "n_heads", "n_layers")}
    checkpoint.save("checkpoints/model.pt", create_model(**sizes, n_functions=2), None, None, ["OR", "AND"])
    status, out, err = run(capsys, *TRAINED)
    assert (status, err) == (0, "")
    notes = [line for line in out.splitlines() if "reads its examples" in line]
    assert notes == [
        "checkpoints/model.pt holds a guide that reads its examples as tokens, not as set as this one does; this one starts anew"
    ]
    assert checkpoint.read("checkpoints/model.pt")["architecture"]["reading"] == "set"


def test_a_shipped_guide_that_cannot_be_used_is_named_and_the_search_goes_on(capsys, place, monkeypatch):
    from nssr import pretrained

    broken = place / "broken.safetensors"
    broken.write_bytes(pretrained.SHIPPED.read_bytes()[:1000])
    broken.with_suffix(".json").write_text(pretrained.card_path(pretrained.SHIPPED).read_text())
    monkeypatch.setattr(pretrained, "SHIPPED", broken)
    status, out, _ = run(capsys, *TRAINED)
    assert status == 0
    assert "broken.safetensors is damaged or no safetensors file; the model starts untrained" in out
