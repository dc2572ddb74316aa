"""The service as a process of its own, and a browser that looks at its page."""

from __future__ import annotations

import contextlib
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

CHROMIUM = next(
    (p for p in ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome") if Path(p).exists()), None
)
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
ADDRESS = re.compile(r"http://[\w.\[\]:]+\S*")
STARTS_WITHIN = 60


def _address(process: subprocess.Popen[bytes]) -> str:
    """The address that the server prints, once it answers there. Raises ``RuntimeError`` with what it printed instead."""
    assert process.stdout is not None
    said = ""
    end = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < end and process.poll() is None:
        if select.select([process.stdout], [], [], 0.2)[0]:
            said += os.read(process.stdout.fileno(), 65536).decode(errors="replace")
        if (found := ADDRESS.search(said)) and "\n" in said[found.start() :]:
            return found.group()
    raise RuntimeError(f"The server did not print its address:\n{said}")


@contextlib.contextmanager
def served(data_dir: Path, *arguments: str) -> Iterator[str]:
    """The address, with its token, of a service that runs over ``data_dir``."""
    command = [sys.executable, "-m", "nssr.server", "--data-dir", str(data_dir), "--port", "0", *arguments]
    log = data_dir.parent / "server.log"
    with open(log, "wb") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, cwd=data_dir.parent, env={**os.environ, "PYTHONUNBUFFERED": "1"}
        )
    try:
        try:
            yield _address(process)
        except RuntimeError as error:
            raise RuntimeError(f"{error}\n{log.read_text(errors='replace')[-4000:]}") from None
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdout is not None
        process.stdout.close()
