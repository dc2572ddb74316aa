"""Other programs' view of the engine: the installed package, the C interface, its C++ face."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nssr import __version__, engine
from nssr.primitives import BY_NAME, TOKEN_FLOAT, TOKEN_VARIABLE

ROOT = Path(__file__).resolve().parent.parent
CMAKE_PACKAGE = pytest.importorskip("cmake")
CMAKE = Path(CMAKE_PACKAGE.CMAKE_BIN_DIR) / "cmake"
NINJA = Path(pytest.importorskip("ninja").BIN_DIR) / "ninja"
CC, CXX = shutil.which("cc"), shutil.which("c++")
STRICT = ["-pedantic", "-Wall", "-Wextra", "-Werror"]

pytestmark = pytest.mark.skipif(CC is None or CXX is None, reason="there is no C or C++ compiler")


def call(*command: object) -> str:
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="session")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, installed: from the build that made the Python module, where that is there, else from a build of its own."""
    build = ROOT / "build" / f"cmake-{sys.implementation.cache_tag}"
    target = tmp_path_factory.mktemp("prefix")
    cache = build / "CMakeCache.txt"
    if not cache.exists() or f"CMAKE_HOME_DIRECTORY:INTERNAL={ROOT}\n" not in cache.read_text():
        build = tmp_path_factory.mktemp("core")
        # One instruction set and little optimisation: this is about the package.
        call(CMAKE, "-S", ROOT, "-B", build, "-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={NINJA}", "-DNSSR_PYTHON=OFF",
             "-DNSSR_TARGETS=", "-DCMAKE_CXX_FLAGS_RELEASE=-O1")  # fmt: skip
    call(CMAKE, "--build", build, "--target", "nssr_core", "--parallel", os.cpu_count() or 1)
    call(CMAKE, "--install", build, "--prefix", target)
    return target


def compiled(prefix: Path, source: Path, folder: Path) -> Path:
    """A test program, made without CMake: headers and library are all it takes."""
    program = folder / source.stem
    compiler, standard = (CC, "-std=c99") if source.suffix == ".c" else (CXX, "-std=c++17")
    obj = program.with_suffix(".o")
    call(compiler, standard, *STRICT, f"-I{prefix}/include", "-c", source, "-o", obj)
    (library,) = prefix.glob("lib*/libnssr.a")
    call(CC, obj, library, "-lstdc++", "-lm", "-pthread", "-o", program)
    return program


def test_the_package_holds_what_it_should(prefix: Path) -> None:
    files = {str(path.relative_to(prefix)) for path in prefix.rglob("*") if path.is_file()}
    headers = {f for f in files if f.startswith("include/")}
    assert headers == {"include/nssr/nssr.h", "include/nssr/nssr.hpp", "include/nssr/opcodes.def"}
    assert any(re.fullmatch(r"lib\w*/cmake/nssr/nssr-config-version\.cmake", f) for f in files)
    for path in prefix.rglob("*.cmake"):
        assert str(ROOT) not in path.read_text(), f"{path.name} points into the source tree"


def test_the_core_needs_no_python(tmp_path: Path) -> None:
    call(CMAKE, "-S", ROOT, "-B", tmp_path, "-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={NINJA}", "-DNSSR_PYTHON=OFF")
    cache = (tmp_path / "CMakeCache.txt").read_text()
    assert "Python_EXECUTABLE" not in cache
    assert "pybind11" not in cache
    assert f"nssr_VERSION:STATIC={__version__}" in cache or f"CMAKE_PROJECT_VERSION:STATIC={__version__}" in cache


def test_another_project_finds_it(prefix: Path, tmp_path: Path) -> None:
    call(CMAKE, "-S", ROOT / "examples" / "cpp", "-B", tmp_path, "-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={NINJA}",
         f"-DCMAKE_PREFIX_PATH={prefix}", "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Werror")  # fmt: skip
    call(CMAKE, "--build", tmp_path)
    printed = call(tmp_path / "random_formulas")
    assert re.search(r"R2 1\.0{9}  .*v", printed), printed
    table = ROOT / "examples" / "boyle_1662.csv"
    printed = call(tmp_path / "random_formulas", table, 2000, 2)
    assert "2000 formulas x 25 rows" in printed
    failed = subprocess.run([tmp_path / "random_formulas", "missing.csv"], capture_output=True, text=True)
    assert failed.returncode == 2
    assert "missing.csv" in failed.stderr


def test_a_c_program_scores(prefix: Path, tmp_path: Path) -> None:
    printed = call(compiled(prefix, ROOT / "examples" / "c" / "score.c", tmp_path))
    assert "formula 1: mse" in printed


def test_every_refusal_has_its_code_and_words(prefix: Path, tmp_path: Path) -> None:
    printed = call(compiled(prefix, ROOT / "csrc" / "tests" / "refusals.c", tmp_path))
    assert re.search(rf"(\d+) of \1 cases as expected, version {re.escape(__version__)}", printed), printed


def test_the_face_for_cpp(prefix: Path, tmp_path: Path) -> None:
    assert "all as expected" in call(compiled(prefix, ROOT / "csrc" / "tests" / "face.cpp", tmp_path))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_c_and_python_give_the_same_bits(prefix: Path, tmp_path: Path, dtype: str) -> None:
    rng = np.random.default_rng(5)
    x, y, weight = rng.normal(size=(77, 3)), rng.normal(size=77), rng.uniform(0, 2, 77)
    names = ("ADD", "MUL", "FDIV", "SUB", "MAX")
    tokens, operands, offsets = [], [], [0]
    for i in range(300):
        tokens += [TOKEN_VARIABLE, TOKEN_FLOAT, BY_NAME[names[i % 5]].opcode, BY_NAME["SIN" if i % 3 else "EXP"].opcode]
        operands += [i % 3, i % 7, 0, 0]
        offsets.append(len(tokens))
    constants = rng.normal(size=7)
    flat = (np.array(tokens, np.int32), np.array(operands, np.int32), constants, np.array(offsets, np.int64))
    head = [0 if dtype == "float64" else 1, 2, *x.shape, len(tokens), len(constants), 300]
    given, answer = tmp_path / "given", tmp_path / "answer"
    arrays = [np.array(head, np.int64), *flat, x.T.copy(), y, weight]
    given.write_bytes(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays))
    program = compiled(prefix, ROOT / "csrc" / "tests" / "score_file.c", tmp_path)
    call(program, given, answer)

    data, formulas = engine.Columns(x, y, weight, dtype=dtype), engine.Formulas(*flat)
    scores = formulas.score(data)
    wanted = [formulas.predict(data), *(scores[s] for s in ("sse", "mse", "mae", "r2", "correlation", "affine_r2"))]
    wanted.append(formulas.validate(data))
    got = answer.read_bytes()
    assert len(got) == sum(a.nbytes for a in wanted)
    for array in wanted:
        np.testing.assert_array_equal(np.frombuffer(got[: array.nbytes], array.dtype).reshape(array.shape), array)
        got = got[array.nbytes :]
