"""The examples run, and what they say about other tools' trees holds: the same values."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parent.parent / "examples"


def main_of(name: str, *needed: str) -> Callable[[list[str]], dict[str, float]]:
    for library in needed:
        pytest.importorskip(library, reason=f"{library} is not installed: pip install 'nssr[examples]'")
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


# Other people's modules may warn about versions of their own dependencies.
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(
    ("name", "needed", "arguments", "share"),
    [
        # Last bits of functions differ between libraries, and a random tree may magnify them without bound.
        ("deap_regression", "deap", ["--compare", "--rows", "50", "--population", "60", "--generations", "4"], 0.99),
        ("gplearn_trees", "gplearn", ["--rows", "50", "--programs", "100", "--rounds", "1"], 0.99),
        ("pyoperon_trees", "pyoperon", ["--rows", "50", "--trees", "100", "--rounds", "1"], 0.98),
    ],
)
def test_example(
    name: str, needed: str, arguments: list[str], share: float, capsys: pytest.CaptureFixture[str]
) -> None:
    result = main_of(name, needed)(arguments)
    assert result["alike"] >= share
    assert "agree" in capsys.readouterr().out
