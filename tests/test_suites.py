"""The formula suites: their problems and rows, the judge, and a runner that loses nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("gplearn")

from benchmarks import formulas, judge, suite_report, suite_runner, suites
from benchmarks.judge_process import Judge
from benchmarks.suite_fits import SOLVERS, Job

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = suite_runner.Settings("noise-columns", 30, 0.0, 1.0, 1, False, "gplearn", 5.0)


def problem(suite: str, name: str) -> suites.Problem:
    (found,) = (p for p in suites.load(suite) if p.name == name)
    return found


def case(suite: str, name: str) -> judge.Case:
    p = problem(suite, name)
    return judge.Case(p.target, tuple(p.positive), suites.rows_of(p, 0, 20, 0).X_test, suites.wider_rows(p, 0)[0])


@pytest.mark.parametrize("suite", suites.SUITES)
def test_every_problem_gives_finite_rows_that_vary(suite: str) -> None:
    problems = suites.load(suite)
    assert len({p.name for p in problems}) == len(problems)
    for p in problems:
        rows = suites.rows_of(p, 0, 50, 0)
        assert rows.X.shape == (50, len(p.variables))
        assert rows.X_test.shape == (suites.TEST_ROWS, len(p.variables))
        for y in (rows.y, rows.y_test, suites.wider_rows(p, 0, 50)[1]):
            assert np.all(np.isfinite(y))
            assert np.ptp(y) > 0, p.name
        assert p.source
        truth = judge.values(p.target, rows.X)
        np.testing.assert_allclose(truth, rows.y, rtol=1e-9, atol=1e-9 * np.abs(rows.y).max(), err_msg=p.name)


def test_the_sizes_of_the_suites() -> None:
    sizes = {suite: len(suites.load(suite)) for suite in suites.SUITES}
    known = {"feynman": 100, "nguyen": 13, "strogatz": 14, "laws": 60, "textbook": 34, "curves": 32, "empirical": 10}
    known |= {"noise-columns": 7}
    assert sizes == known


def test_rows_depend_on_suite_name_and_seed_alone() -> None:
    p = problem("feynman", "I.6.2b")
    first, again, other = (suites.rows_of(p, seed, 40, 0) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.X, again.X)
    np.testing.assert_array_equal(first.y_test, again.y_test)
    assert not np.array_equal(first.X, other.X)
    assert not np.array_equal(first.X, suites.rows_of(replace(p, name="another"), 0, 40, 0).X)
    assert not np.isin(first.X[:, 0], first.X_test[:, 0]).any()
    # Written down, so that figures of one day can be compared with those of another.
    assert first.X[0, 0] == pytest.approx(2.664494205123446, abs=1e-12)


def test_noise_is_on_the_training_target_alone_and_of_the_size_asked_for() -> None:
    p = problem("feynman", "I.12.1")
    clean, noisy = (suites.rows_of(p, 0, 5000, noise) for noise in (0, 0.1))
    np.testing.assert_array_equal(clean.X, noisy.X)
    np.testing.assert_array_equal(clean.y_test, noisy.y_test)
    share = np.std(noisy.y - clean.y) / np.sqrt(np.mean(clean.y**2))
    assert share == pytest.approx(0.1, rel=0.05)


def test_a_column_near_another_follows_it() -> None:
    X = suites.rows_of(problem("noise-columns", "KE"), 0, 200, 0).X
    assert np.abs(X[:, 1] - X[:, 0]).max() <= 3
    assert np.corrcoef(X[:, 0], X[:, 1])[0, 1] > 0.9


def test_rows_without_a_finite_target_are_drawn_again_or_reported() -> None:
    p = problem("nguyen", "Nguyen-1")
    X, _ = suites.draw(p, 100, 1, formula="sqrt(x0)")
    assert X.min() >= 0
    with pytest.raises(ValueError, match="finite in only 0"):
        suites.draw(p, 10, 1, formula="sqrt(-1 - x0**2)")
    with pytest.raises(ValueError, match="which no problem may"):
        suites.evaluate("open(x0)", X)


def test_units_of_all_feynman_problems_are_known() -> None:
    units = problem("feynman", "I.9.18").units()
    assert units is not None
    assert units["y"] == "m**1 * s**-2 * kg**1"
    assert units["x2"] == "m**3 * s**-2 * kg**-1"
    assert all(p.units() for p in suites.load("feynman"))
    assert not any(p.units() for p in suites.load("nguyen"))


THE_LAW = [
    ("feynman", "I.6.2b", "0.3989423*exp(-0.5*((x1 - x2)/x0)**2)/x0"),
    ("feynman", "I.6.2b", "0.3991*exp(-0.49981*(x1/x0 - x2/x0)**2)/x0 + 0.00001*x1"),
    ("feynman", "I.15.3t", "(x3*x1**2 - x0*x2)/(x1*sqrt(x1**2 - x2**2))"),
    ("feynman", "I.34.14", "x2*sqrt((x0 + x1)/(x0 - x1))"),
    ("feynman", "I.30.3", "x0*(1 - cos(x1*x2))/(1 - cos(x1))"),
    ("feynman", "I.41.16", "0.016126*x0**3*x2/(x4**2*(exp(0.1591549*x0*x2/(x1*x3)) - 1))"),
    ("feynman", "II.24.17", "3.14159265*sqrt(0.101321184*x0**2/x1**2 - 1/x2**2)"),
    ("feynman", "II.35.18", "0.5*x0/cosh(x3*x4/(x1*x2))"),
    ("feynman", "III.8.54", "0.5 - 0.5*cos(12.5663706*x0*x1/x2)"),
    ("empirical", "newton", "log(x1*x2) - 2*log(x0) - 23.43"),
    ("empirical", "planck", "3*log(x0) - log(exp(4.7992e-11*x0/x1) - 1) - 113"),
    ("empirical", "leavitt", "15.65 - 0.90506975*log(x0)"),
    ("empirical", "bode", "log(0.3*exp(0.693147180559945*x0) + 0.4)"),
    ("empirical", "rydberg", "log(-4.46672743846855e-6*x0/(x0 - x1**2/x0))"),
    ("noise-columns", "TOTAL_E", "0.5000003*x0*x2**2 + 9.8100021*x0*x3"),
    ("strogatz", "shearflow1", "cos(x0)/tan(x1)"),
    ("nguyen", "Nguyen-7", "log((x0 + 1.0)*(x0**2 + 1))"),
    ("nguyen", "Nguyen-10", "sin(x0 + x1) + sin(x0 - x1)"),
    ("nguyen", "Nguyen-11", "exp(x1*log(x0))"),
    ("noise-columns", "KE", "0.4998*x0*x2**2"),
]
NOT_THE_LAW = [
    ("feynman", "II.36.38", "x0*x1/(x2*x3)"),
    ("feynman", "I.37.4", "x0 + x1 + 2.003*sqrt(x0*x1)*cos(x2)"),
    ("feynman", "I.16.6", "x1 + x2"),
    ("strogatz", "bacres1", "20 - x0 - x0*x1/(1 + 0.5*x0**2) + 0.01*x0"),
    ("strogatz", "bacres1", "20 - x0 - 2*x1/x0"),
    ("strogatz", "lv1", "x0*(3 - x0 - 2*x1) + 0.0008*x1"),
    ("nguyen", "Nguyen-3", "x0**4 + x0**3 + x0**2 + x0"),
    ("nguyen", "Nguyen-5", "sin(x0**2)*cos(x0) + 0.001*x0"),
    ("empirical", "newton", "log(x1) + 1.001*log(x2) - 2*log(x0) - 23.43"),
    ("empirical", "planck", "3*log(x0) - log(exp(4.77e-11*x0/x1) - 1) - 113"),
    ("noise-columns", "KE", "0.5*x1*x2**2"),
    ("noise-columns", "TOTAL_E", "9.807*x0*x3 + 0.5*x0*x2**2"),
]


@pytest.mark.parametrize(("suite", "name", "formula"), THE_LAW)
def test_the_law_in_another_form_is_recovered(suite: str, name: str, formula: str) -> None:
    verdict = judge.judge(formula, case(suite, name))
    assert verdict.recovered, verdict


@pytest.mark.parametrize(("suite", "name", "formula"), NOT_THE_LAW)
def test_a_near_miss_is_not(suite: str, name: str, formula: str) -> None:
    verdict = judge.judge(formula, case(suite, name))
    assert not verdict.recovered, verdict
    assert not verdict.numeric, verdict


@pytest.mark.parametrize("formula", ["0.5*x0*x2**2 + 17.25", "3*x0*x2**2", "-0.1234*x0*x2**2"])
def test_a_constant_offset_or_ratio_is_allowed_but_a_test_r2_is_asked_for(formula: str) -> None:
    ke = case("noise-columns", "KE")
    verdict = judge.judge(formula, ke, test_r2=0.9)
    assert verdict.recovered
    assert verdict.numeric
    assert not judge.judge(formula, ke, test_r2=0.5).recovered
    assert judge.judge("3*x0*x2**2", ke).how.startswith("test R2")
    both = judge.judge("3.1*x0*x2**2 - 7", ke, test_r2=0.9)
    assert not both.recovered  # an offset and a ratio at once are not
    assert not both.numeric


def test_numeric_agreement_is_kept_apart() -> None:
    """Constants right to 3 decimals make the law, not agreement to 1e-6; and a sum that agrees to 1e-9 is no law."""
    verdict = judge.judge("0.4998*x0*x2**2", case("noise-columns", "KE"))
    assert verdict.recovered
    verdict = judge.judge("0.5*x0*x2**2 + 9.8097*x0*x3", case("noise-columns", "TOTAL_E"))
    assert verdict.recovered
    assert not verdict.numeric
    verdict = judge.judge("sin(x0**2)*cos(x0) - 1 + 0.000000001234*sin(37*x0)*x0", case("nguyen", "Nguyen-5"))
    assert verdict.numeric


@pytest.mark.parametrize(
    ("value", "kept"), [("0.49981", "1/2"), ("9.8096", "981/100"), ("0.00012345", "123/1000000"), ("1/3", "333/1000")]
)
def test_rounding_is_to_three_decimals_and_small_constants_do_not_vanish(value: str, kept: str) -> None:
    import sympy

    assert judge.rounded(sympy.sympify(value)) == sympy.Rational(kept)


@pytest.mark.parametrize("text", ["__import__('os')", "x0.real", "x9", "x0 +", "y", "lambda: 1", "x0[0]", "open"])
def test_what_is_no_formula_over_the_columns_is_not_evaluated(text: str) -> None:
    verdict = judge.judge(text, case("nguyen", "Nguyen-1"))
    assert verdict.how.startswith("unreadable")
    assert not verdict.recovered


def test_the_judge_keeps_to_its_time_and_goes_on() -> None:
    deep = "x0"
    for _ in range(3):
        deep = f"sin(1.1*({deep})**2 + x0*cos({deep}))"
    with Judge(case("nguyen", "Nguyen-1"), seconds=1.5) as process:
        assert process.verdict("x0**3 + x0*(x0 + 1)").recovered
        start = time.monotonic()
        slow = process.verdict(f"x0**3 + x0*(x0 + 1) + 0.0001234*({deep})")  # near enough to be simplified, which takes minutes
        assert time.monotonic() - start < 4
        assert not slow.recovered
        assert slow.how.endswith("out of time")
        assert process.verdict("x0**3 + x0*(x0 + 1)").recovered


def test_gplearn_texts_have_its_values() -> None:
    p = problem("noise-columns", "SQUARE")
    rows = suites.rows_of(p, 0, 30, 0)
    solver = SOLVERS["gplearn"]
    found = solver.fit(solver.ready(), Job(rows.X, rows.y, 0.2, 1, 1))
    np.testing.assert_allclose(judge.values(found.formula(), rows.X), found.predict(rows.X), rtol=1e-9)
    front = found.front()
    assert [e.complexity for e in front] == sorted({e.complexity for e in front})


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "benchmarks.formulas", *map(str, arguments)]


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    try:
        status = formulas.main([str(a) for a in arguments])
    except SystemExit as e:
        status = int(str(e.code))
    return status, *capsys.readouterr()


def test_a_run_is_recorded_resumed_and_refused_with_other_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "squares.jsonl"
    given = ["--suite", "noise-columns", "--peer", "gplearn", "--budget", 20, "--out", out]  # ends when it has it
    status, table, _ = run(capsys, *given, "--only", "SQUARE")
    assert status == 0
    assert "1 of 1" in table
    (record,) = suite_runner.read(out)
    assert record["recovered"]
    assert record["recovered_front"]
    assert record["recovered_numeric"]
    assert record["rows"] == 30
    assert 0 < record["seconds"] < 10
    assert record["cpu_seconds"] > 0
    assert record["test_r2"] == pytest.approx(1)
    assert record["front"]
    assert record["error"] is None
    first = out.read_text()
    out.write_text(first + '{"suite": "noise-col')  # as a run leaves it that was killed while writing
    assert run(capsys, *given, "--only", "SQUARE")[0] == 0
    assert out.read_text() == first
    status, table, errors = run(capsys, *given, "--only", "SQUARE", "--noise", 0.1)
    assert (status, table) == (2, "")
    assert errors.count("\n") == 1
    assert "was made with noise 0.0, not 0.1" in errors
    status, table, _ = run(capsys, "--report", out, out)
    assert status == 0
    assert table.count("1 of 1") == 6


def test_a_worker_that_dies_is_recorded_and_the_others_go_on(tmp_path: Path) -> None:
    """Killed from outside in the middle of its fit, as the kernel does when memory is short."""
    out = tmp_path / "killed.jsonl"
    tasks = formulas.tasks("noise-columns", 1, "SQUARE,KE")

    def kill_one() -> None:
        import psutil

        end = time.monotonic() + 20
        while time.monotonic() < end:
            for child in psutil.Process().children(recursive=True):
                if child.name().startswith("python") and os.getpgid(child.pid) == child.pid and child.pid != os.getpid():
                    os.kill(child.pid, signal.SIGKILL)
                    return
            time.sleep(0.02)

    thread = threading.Thread(target=kill_one)
    thread.start()
    suite_runner.run(tasks, SETTINGS, out)
    thread.join()
    killed, other = suite_runner.read(out)
    assert killed["error"] == "died with signal SIGKILL"
    assert killed["name"] == "SQUARE"
    assert not killed["recovered"]
    assert other["error"] is None
    assert "died" in suite_report.line(killed)


def test_a_worker_that_overruns_is_ended_and_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite_runner, "OVERRUN_S", -29.0)
    out = tmp_path / "overrun.jsonl"
    suite_runner.run(formulas.tasks("noise-columns", 1, "KE"), replace(SETTINGS, budget=30.0), out)
    (record,) = suite_runner.read(out)
    assert record["error"].startswith("overran")


def test_ctrl_c_ends_the_workers_and_keeps_what_is_done(tmp_path: Path) -> None:
    import psutil

    out = tmp_path / "stopped.jsonl"
    given = command("--suite", "noise-columns", "--peer", "gplearn", "--budget", 60, "--out", out, "--only", "TOTAL_E")
    child = subprocess.Popen(
        given, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    end = time.monotonic() + 20
    workers: list[psutil.Process] = []
    while not workers and time.monotonic() < end:
        time.sleep(0.1)
        workers = [c for c in psutil.Process(child.pid).children() if os.getpgid(c.pid) == c.pid]
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=20)
    assert child.returncode == 130
    assert errors.strip().splitlines()[-1].startswith("Stopped.")
    assert "Traceback" not in errors
    assert workers
    assert not any(worker.is_running() for worker in workers)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--suite", "feyman", "--out", "a.jsonl"], "did you mean 'feynman'?"),
        (["--suite", "nguyen", "--out", "a.jsonl", "--peer", "operon"], "did you mean 'pyoperon'?"),
        (["--suite", "nguyen", "--out", "a.jsonl", "--only", "Nguyen13"], "no problem of nguyen 'Nguyen13'"),
        (["--suite", "nguyen", "--out", "a.jsonl", "--budgets", "3"], "--budgets"),
        (["--suite", "nguyen", "--out", "a.jsonl", "--budget", "soon"], "'soon' is not a number"),
        (["--suite", "nguyen", "--out", "a.jsonl", "--noise", "-1"], "-1 must be at least 0"),
        (["--suite", "nguyen", "--out", "a.jsonl", "--peer", "gplearn", "--units"], "takes no units"),
        (["--suite", "nguyen", "--out", "a.txt"], "ends in .jsonl"),
        (["--suite", "nguyen"], "--suite and --out are needed"),
        (["--report", "not-there.jsonl"], "not-there.jsonl"),
    ],
)
def test_a_mistake_gets_one_line(
    given: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, errors = run(capsys, *given)
    assert (status, out) == (2, "")
    assert errors.count("\n") == 1
    assert told in errors
    assert not list(tmp_path.iterdir())


def test_a_sample_is_the_same_every_time() -> None:
    names = [p.name for p, _ in formulas.tasks("feynman", 1, sample=30)]
    assert len(names) == 30
    assert names == [p.name for p, seed in formulas.tasks("feynman", 2, sample=30) if seed == 0]


def test_a_file_of_something_else_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other.jsonl"
    other.write_text(json.dumps({"a": 1}) + "\nnot JSON\n")
    before = other.read_bytes()
    status, _, errors = run(capsys, "--suite", "nguyen", "--peer", "gplearn", "--out", other)
    assert status == 2
    assert "is no record of this benchmark" in errors
    assert other.read_bytes() == before
