"""Killed and interrupted: what was learned stays, at most the task in progress is lost, and the next run goes on."""

from __future__ import annotations

import json
import random
import re
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from command import fingerprint, run, start, write_csv

from nssr import db, registry

FAST = ("--guide", "off")
TRAINED = ("--train-epochs", "1")
LAWS: dict[str, Callable[[float, float, float], float]] = {
    "SUM": lambda a, b, c: a + b,
    "DIFFERENCE": lambda a, b, c: b - c,
    "PRODUCT": lambda a, b, c: a * c,
    "RATIO": lambda a, b, c: a / b,
    "AREA": lambda a, b, c: 2 * a * b,
    "SQUARE": lambda a, b, c: c * c,
    "ENERGY": lambda a, b, c: a * c * c,
    "MIX": lambda a, b, c: a * b + c,
    "SLOPE": lambda a, b, c: (a - b) / c,
    "MORE": lambda a, b, c: c + 1,
}
STOPS_WITHIN_S = 3.0
"""A second is promised, and measured on a quiet machine; tests run on busy ones."""


@pytest.fixture
def place(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    rows = rng.uniform(1, 9, (30, 3)).round(3).tolist()
    tasks = [
        {"name": name, "columns": ["a", "b", "c"], "examples": [[row, law(*row)] for row in rows]}
        for name, law in LAWS.items()
    ]
    Path("targets.json").write_text(json.dumps(tasks))
    Path("few.json").write_text(json.dumps(tasks[:4]))
    return tmp_path


def noise(path: Path, n_columns: int = 500) -> Path:
    """A table whose search takes many seconds."""
    rows = np.random.default_rng(1).normal(size=(60, n_columns + 1)).round(3).tolist()
    return write_csv(path, ",".join([*(f"c{i}" for i in range(n_columns)), "y"]), rows)


class Child:
    """The command as a child whose lines can be waited for."""

    def __init__(self, folder: Path, *arguments: object) -> None:
        self.process = start(arguments, folder, stderr=subprocess.STDOUT)
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(iter(self.process.stdout.readline, ""))

    def wait_for(self, condition: Callable[[], bool], seconds: float = 60.0) -> bool:
        """Whether the condition came true before the child ended."""
        end = time.monotonic() + seconds
        while not condition():
            if self.process.poll() is not None or time.monotonic() > end:
                return False
            time.sleep(0.002)
        return True

    def said(self, text: str) -> Callable[[], bool]:
        return lambda: any(text in line for line in self.lines)

    def registered(self) -> list[str]:
        return re.findall(r"^(\w+): found and registered", "".join(self.lines), re.M)

    def end(self) -> str:
        self.process.wait(timeout=60)
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()
        return "".join(self.lines)

    def interrupt(self) -> tuple[int, float, str]:
        """Ctrl-C: exit status, seconds until the end, everything said."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        status = self.process.wait(timeout=60)
        seconds = time.monotonic() - began
        return status, seconds, self.end()


def sound_library(path: Path) -> set[str]:
    """The names of the learned functions; the library is whole, and each of them runs."""
    raw = sqlite3.connect(path)
    assert raw.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    raw.close()
    conn = db.init_db(path)
    state = registry.load_registry(conn)
    conn.close()
    learned = {e["name"]: i for i, e in state["metadata"].items() if e["composition"] is not None}
    for i in learned.values():
        assert isinstance(registry.execute(state, i, [3.5, 2.5, 1.5][: state["metadata"][i]["arity"]]), float)
    return set(learned)


def sound_checkpoint(path: Path) -> None:
    from nssr import checkpoint

    if path.exists():
        checkpoint.read(path)


# ---- kill -9 ---------------------------------------------------------------------------------------------------------


def killed_again_and_again(capsys, targets: Path, kills: int, longest: float, *options: str) -> None:
    """Kills first as soon as there is a library, then at random times in the search, registration and training."""
    library, rng = targets.parent / "checkpoints" / "symbolic.db", random.Random(1)
    known: set[str] = set()
    for kill in range(kills):
        child = Child(targets.parent, "--targets", targets, "--threads", "1", *options)
        child.wait_for(child.said("searching") if kill else library.exists)
        time.sleep(rng.uniform(0, longest) if kill else 0)
        child.process.kill()
        child.end()
        now = sound_library(library) if library.exists() else set()
        sound_checkpoint(library.parent / "model.pt")
        assert now >= known | set(child.registered())  # what was once said to be registered is there
        known = now
    status, out, err = run(capsys, "--targets", targets, *options)
    assert (status, err) == (0, "")
    assert {name for name in LAWS if f"{name}: known already" in out} == known
    assert sound_library(library) == {task["name"] for task in json.loads(targets.read_text())}
    assert not [path.name for path in library.parent.iterdir() if path.name.endswith(("-wal", "-shm"))]


def test_kill_in_the_search(capsys, place):
    killed_again_and_again(capsys, place / "targets.json", 8, 0.2, *FAST)


def test_kill_in_the_training(capsys, place):
    """With a model: between a registration and its checkpoint the model knows less than the library."""
    killed_again_and_again(capsys, place / "few.json", 3, 1.2, *TRAINED)


# ---- Ctrl-C ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0.15, 0.6, 1.2, 1.8])
def test_ctrl_c_while_it_starts(place, seconds):
    """In the imports, torch's above all: nothing was made yet, or an empty library."""
    child = Child(place, "--checkpoint-dir", "new")
    time.sleep(seconds)
    status, took, out = child.interrupt()
    assert status == 130, out
    assert took < STOPS_WITHIN_S
    lines = out.splitlines()
    assert lines[-1].startswith("nssr: interrupted")
    assert "Traceback" not in out
    assert "Exception" not in out


def test_ctrl_c_in_the_search(capsys, place):
    noise(place / "noise.csv")
    assert run(capsys, "--targets", "few.json", *FAST).status == 0
    before = sound_library(place / "checkpoints/symbolic.db")
    child = Child(place, "--data", "noise.csv", "--name", "NOISE", *FAST)
    assert child.wait_for(child.said("searching NOISE"))
    time.sleep(0.5)
    status, took, out = child.interrupt()
    assert status == 130, out
    assert took < STOPS_WITHIN_S
    assert out.splitlines()[-1] == "nssr: interrupted; what was learned is kept"
    assert "Traceback" not in out
    assert sound_library(place / "checkpoints/symbolic.db") == before
    assert not (place / "checkpoints/symbolic.db-wal").exists()


def test_ctrl_c_in_the_first_training(place):
    child = Child(place, "--guide", "fresh")
    assert child.wait_for(child.said("training on the curriculum"))
    status, took, out = child.interrupt()
    assert status == 130, out
    assert took < STOPS_WITHIN_S
    assert "Traceback" not in out
    assert sound_library(place / "checkpoints/symbolic.db") == set()
    # A training that was hardly begun is begun anew next time, not taken for done.
    assert not (place / "checkpoints/model.pt").exists()


def test_ctrl_c_in_the_training_after_a_discovery(capsys, place):
    """The function is kept, and so is the model with a place for it; the next run goes on from both."""
    write_csv(place / "t.csv", "a,b,y", [(a, b, a * b) for a, b in [(1.5, 2), (2, 5.5), (7, 3), (4, 4.5), (6, 1)]])
    write_csv(place / "u.csv", "a,b,y", [(1.5, 2, 3.5), (2, 5.5, 7.5), (7, 3, 10)])
    assert run(capsys, *TRAINED, "--data", "u.csv", "--name", "FIRST").status == 0
    before = fingerprint(place)
    child = Child(place, "--data", "t.csv", "--name", "AGAIN", "--train-epochs", "1000")
    assert child.wait_for(child.said("training on all that is known"))
    status, took, out = child.interrupt()
    assert status == 130, out
    assert took < STOPS_WITHIN_S
    assert "AGAIN: found and registered" in out  # said before the training, not after it
    assert "Traceback" not in out
    assert "AGAIN" in sound_library(place / "checkpoints/symbolic.db")
    assert fingerprint(place)["checkpoints/model.pt"] != before["checkpoints/model.pt"]
    import torch

    saved = torch.load(place / "checkpoints/model.pt", weights_only=True)
    assert saved["vocab"][-1] == "AGAIN"
    assert saved["optimizer"]["state"]
    status, out, err = run(capsys, "--data", "t.csv", "--name", "AGAIN")
    assert (status, err) == (0, "")
    assert "AGAIN: known already" in out


def test_ctrl_c_in_json(place):
    noise(place / "noise.csv", 60)
    tasks = json.loads((place / "targets.json").read_text())[:2]
    (place / "two.json").write_text(json.dumps([*tasks, {"name": "NOISE", "data": "noise.csv"}]))
    child = start(["--targets", "two.json", "--json", *FAST], place)
    assert child.stderr is not None
    for line in child.stderr:
        if "searching NOISE" in line:
            break
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 130
    assert err.splitlines()[-1] == "nssr: interrupted; what was learned is kept"
    answer = json.loads(out)
    assert answer["status"] == "interrupted"
    assert [result["name"] for result in answer["results"]] == [task["name"] for task in tasks]


def test_an_interrupt_in_process_is_the_callers(capsys, place, monkeypatch):
    """Called as a function it leaves the handler alone, and says 130 as the command does."""
    from nssr import learning

    handler = signal.getsignal(signal.SIGINT)

    def interrupted(*given, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr(learning, "find", interrupted)
    status, _, err = run(capsys, "--targets", "targets.json", *FAST)
    assert status == 130
    assert err == "nssr: interrupted; what was learned is kept\n"
    assert signal.getsignal(signal.SIGINT) is handler
    assert sound_library(place / "checkpoints/symbolic.db") == set()
