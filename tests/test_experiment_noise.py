"""The noise-column experiment: its pieces, and all of it against a service of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.live_service import TOKEN, served
from nssr import experiment_noise as experiment

ROOT = Path(__file__).resolve().parent.parent


def run(*options: str) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if k != "NSSR_TOKEN"}
    return subprocess.run(
        [sys.executable, "-m", "nssr.experiment_noise", *options], cwd=ROOT, capture_output=True, text=True, timeout=400, env=env
    )


def test_the_whole_experiment() -> None:
    done = run("--serve", "--seed", "3")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    verdict = done.stdout.split("Verdict")[1]
    assert re.findall(r"(\w+) +as it must be\n", verdict) == ["SQUARE", "FORCE", "KE", "PE", "TOTAL_E"]
    compositions = done.stdout.split("Compositions")[1]
    assert re.search(r"TOTAL_E = ADD\((KE\(.*?\), PE|PE\(.*?\), KE)", compositions)
    assert done.stderr == ""


def test_no_service_is_no_success() -> None:
    done = run("--url", "http://127.0.0.1:9")
    assert done.returncode == 1
    assert "no service answers" in done.stdout
    assert "Traceback" not in done.stderr


def test_what_was_not_found_is_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A function of noise alone: the experiment says so."""
    nothing = experiment._Task("NOTHING", "noise", lambda: ([experiment.junk()], experiment.junk()), frozenset())
    monkeypatch.setattr(experiment, "PARTS", (("Part", (nothing,)),))
    with served(tmp_path / "data") as service:
        monkeypatch.setattr(experiment, "SERVER", experiment._Server(service.url, TOKEN))
        assert experiment._run() is False
        first = experiment.create_dataset("twice", "once", [[[1, 2], 3]] * 3)
        again = experiment.create_dataset("twice", "again", [[[1, 2], 3]] * 3)
        assert (again["description"], first["name"]) == ("again", "twice")
        assert experiment.api("GET", "/nowhere") is None
    said = capsys.readouterr().out
    assert "NOTHING: NOT FOUND" in said
    assert "0 of 1 as they must be" in said
    assert "GET /nowhere: 404" in said


def test_numbers_that_mean_nothing() -> None:
    values = [experiment.junk() for _ in range(1000)]
    assert all(-100 <= v <= 100 and v == round(v, 2) for v in values)
    assert max(values) - min(values) > 150
    near = [experiment.noisy_correlated(7.0) for _ in range(1000)]
    assert all(4 <= v <= 10 for v in near)
    assert max(near) - min(near) > 5


def test_functions_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    loop = {"id": 18, "name": "LOOP", "arity": None, "layer": 0}
    experiment.print_functions([{"id": 21, "name": "KE", "arity": 2, "layer": 1}, loop])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["21", "KE", "arity", "2", "layer", "1"]
    assert lines[1].split() == ["18", "LOOP", "arity", "any", "layer", "0"]
