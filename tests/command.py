"""The command as the tests of `nssr.main` run it: in this process where that is enough, as a process of its own else."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import nssr
from nssr.main import main

COMMAND = [sys.executable, "-m", "nssr.main"]


class Ran(NamedTuple):
    status: int
    out: str
    err: str


def run(capsys, *arguments: object) -> Ran:
    """`main` in this process."""
    capsys.readouterr()
    status = main([str(argument) for argument in arguments])
    return Ran(status, *capsys.readouterr())


def environment(**changes: str) -> dict[str, str]:
    """That of the tests, with this NSSR in front and one thread, so that a busy machine does not slow the child down."""
    here = str(Path(nssr.__file__).parents[1])
    path = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **changes}


def start(arguments: Sequence[object], cwd: Path, *, env: dict[str, str] | None = None, **given) -> subprocess.Popen:
    """The command as a child that Ctrl-C reaches, with its output in pipes (or what ``given`` says)."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **given}
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)], cwd=cwd, env=env or environment(), **options,
        # What runs the tests in the background may have told its children to ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip


def spawn(cwd: Path, *arguments: object, **given) -> Ran:
    """The command as a child, to its end."""
    child = start(arguments, cwd, **given)
    out, err = child.communicate(timeout=120)
    return Ran(child.returncode, out, err)


def fingerprint(folder: Path) -> dict[str, str]:
    """Every file under ``folder`` with the digest of its bytes: new files, a write-ahead log say, show too."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def write_csv(path: Path, header: str, rows: Sequence[Sequence[object]]) -> Path:
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path
