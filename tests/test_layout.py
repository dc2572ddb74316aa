"""The house: imports run downwards, files stay small, no room without a name."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "nssr"

# Floor by floor, lowest first. A room may import rooms of lower floors, and nothing else of this package.
FLOORS = [
    {"errors", "interrupt"},
    {"primitives", "schema", "guide", "encoding", "csvfile", "device", "cleaning", "dream_tables", "muon"},
    {"row_reader"},
    {"table", "model", "notation"},
    {"db", "engine", "optimizer", "algebra", "store"},
    {"registry", "checkpoint", "symbolic"},
    {"formula", "executor", "search_space", "explore", "pretrained", "exchange"},
    {"catalogue", "screening", "curriculum", "found_formula", "operation_names", "ordering", "dreams", "laws"},
    {"simplify", "search", "train", "units", "library", "stage_order"},
    {"composing", "regressor", "dream_training"},
    {"judging", "sleeping"},
    {"learning", "console"},
    {"session", "train_command"},
    {"main", "web"},
    {"jobs"},
    {"service"},
    {"server", "experiment_noise"},
    {"cli"},
]
FLOOR = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}


def room_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0] if parts != ("__init__",) else ""


def imports_of(path: Path) -> set[str]:
    """Rooms that a Python or Cython file imports, lazily or not; what only type checkers import does not count."""
    if path.suffix != ".py":
        found = re.findall(r"^(?:from nssr\.(\w+)[\w.]* c?import|from nssr import (\w+))", path.read_text(), re.M)
        return {a or b for a, b in found}
    tree = ast.parse(path.read_text())
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    rooms: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.ImportFrom):
            module = ("nssr." + (node.module or "")).rstrip(".") if node.level else (node.module or "")
            if module == "nssr":
                rooms |= {alias.name for alias in node.names if not alias.name.startswith("__")}
            elif module.startswith("nssr."):
                rooms.add(module.split(".")[1])
        elif isinstance(node, ast.Import):
            rooms |= {a.name.split(".")[1] for a in node.names if a.name.startswith("nssr.")}
    return rooms


SOURCES = sorted([*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.pyx")])


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_run_downwards(path: Path) -> None:
    room = room_of(path)
    if not room:
        return
    assert room in FLOOR, f"{path.name} has no floor: give it one in tests/test_layout.py"
    for other in imports_of(path) - {room}:
        assert FLOOR[other] < FLOOR[room], f"{room} (floor {FLOOR[room]}) imports {other} (floor {FLOOR[other]})"


def test_only_the_bindings_know_python() -> None:
    for path in (ROOT / "csrc").rglob("*"):
        if path.suffix in (".cpp", ".hpp", ".h", ".inl") and path.parent.name != "bind":
            assert not re.search(r"#include [<\"](Python\.h|pybind11|numpy)", path.read_text()), path


def test_files_hold_one_idea() -> None:
    for folder in ("nssr", "csrc", "tests", "benchmarks"):
        for path in (ROOT / folder).rglob("*.*"):
            if path.suffix not in (".py", ".pyx", ".cpp", ".hpp", ".h", ".inl"):
                continue
            if path.suffix == ".cpp" and path.with_suffix(".pyx").exists():
                continue  # made by Cython
            assert len(path.read_text().splitlines()) <= 600, f"{path.relative_to(ROOT)} is longer than 600 lines"
            assert not re.fullmatch(r"(utils?|helpers?|common|misc)", path.stem), f"{path.name} says nothing"


@pytest.mark.parametrize("module", ["nssr", *(f"nssr.{m}" for m in ("engine", "main", "registry", "search", "learning"))])
def test_torch_is_loaded_only_by_those_who_need_it(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_help_loads_neither_torch_nor_numba() -> None:
    code = (
        "import sys, nssr.main\n"
        "try:\n    nssr.main.main(['--help'])\nexcept SystemExit:\n    pass\n"
        "sys.exit('torch' in sys.modules or 'numba' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True).returncode == 0
