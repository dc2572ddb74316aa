"""The README keeps its word: its example runs, and its commands print what it shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "README.md").read_text()


def test_the_python_example_runs() -> None:
    block = next(b for b in re.findall(r"```python\n(.*?)```", TEXT, re.S) if "engine" in b)
    lines = block.strip().splitlines()
    names: dict[str, object] = {}
    exec(compile("\n".join(lines[:-3]), "README.md", "exec"), names)
    predict, score, validate = (eval(line.split("#")[0], names) for line in lines[-3:])
    assert predict.shape == (2, 1000)
    assert score["mse"].tolist() == [0.25, 0]
    assert score["r2"][1] == 1
    assert validate.dtype == "uint8"
    assert validate.tolist() == [0, 1]


def test_the_regressor_prints_what_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    block = next(b for b in re.findall(r"```python\n(.*?)```", TEXT, re.S) if "NSSRRegressor" in b)
    exec(compile(block, "README.md", "exec"), {})
    shown = re.search(r"It prints `([^`]+)`", TEXT)
    assert shown is not None
    assert capsys.readouterr().out.strip() == shown[1]


@pytest.mark.parametrize("data", ["falling.csv", "boyle_1662.csv"])
def test_the_commands_print_what_is_shown(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from nssr.main import main

    shown = re.search(rf"\$ \.venv/bin/python -m nssr\.main (--data examples/{data}[^\n]*)\n(.*?)```", TEXT, re.S)
    assert shown is not None
    monkeypatch.chdir(ROOT)
    # Unguided, since training takes longer than all else; what is found does not depend on the guide here.
    assert main([*shown[1].split(), "--checkpoint-dir", str(tmp_path), "--guide", "off"]) == 0
    printed = capsys.readouterr().out
    for line in shown[2].splitlines()[1:]:
        if not line.strip().startswith("composition"):
            assert line in printed
    assert "found and registered" in printed
