"""`nssr serve` and `nssr backup` as commands: what they refuse, and that the rest of `nssr` is as it was."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.live_service import KEPLER, served
from nssr import cli, server
from nssr.service.settings import is_loopback

ROOT = Path(__file__).resolve().parent.parent


def refused(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    assert server.main(options) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("nssr: ")
    assert said.err.count("\n") == 1
    return said.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--port", "99999"], "65535"),
        (["--prot", "1"], "did you mean --port?"),
        (["--no-auth", "--host", "0.0.0.0"], "--no-auth on 0.0.0.0"),
        (["--no-auth", "--token", "0123456789abcdef"], "cannot be given together"),
        (["--token", "short"], "16 characters"),
        (["--token", "with blanks 0123456789"], "16 characters"),
        (["--packs", "core,sience"], "no pack 'sience'"),
        (["--jobs", "0"], "from 1 to"),
        (["--host", "256.1.1.1", "--port", "0"], "nothing can listen"),
        (["table.csv"], "table.csv"),
    ],
)
def test_what_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path, options: list[str], words: str) -> None:
    assert words in refused(capsys, "--data-dir", str(tmp_path / "d"), *options)
    assert not (tmp_path / "d").exists()


def test_a_port_that_is_taken(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        assert port in refused(capsys, "--data-dir", str(tmp_path / "d"), "--port", port)


def test_a_folder_that_is_not_ours(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "service.db").write_bytes(b"no database at all, but long enough to look like something" * 20)
    before = (tmp_path / "service.db").read_bytes()
    assert "service.db" in refused(capsys, "--data-dir", str(tmp_path), "--port", "0")
    assert (tmp_path / "service.db").read_bytes() == before


def test_loopback() -> None:
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "127.8.8.8", "::1", "[::1]")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.1.1", "example.org", "localhost.example.org")))


def test_without_a_token_on_loopback(tmp_path: Path) -> None:
    with served(tmp_path / "data", "--no-auth") as service:
        service.client.headers.pop("Authorization")
        assert service.client.get("/datasets").json() == {"datasets": []}
        assert service.client.delete("/datasets/x", headers={"Origin": "http://evil.example"}).status_code == 403
        assert service.stop(signal.SIGINT) == 0


def test_a_copy_while_it_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with served(tmp_path / "data") as service:
        service.upload("kepler", KEPLER)
        copy = tmp_path / "copy"
        assert cli.backup([str(tmp_path / "data"), str(copy)]) == 0
        names = capsys.readouterr().out.split()
        assert names == [str(copy / "service.db"), str(copy / "symbolic.db")]
        service.client.delete("/datasets/kepler")
    with served(copy) as restored:
        assert [d["name"] for d in restored.client.get("/datasets").json()["datasets"]] == ["kepler"]
    conn = sqlite3.connect(copy / "symbolic.db")
    assert conn.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    conn.close()


def test_words_of_the_command(tmp_path: Path) -> None:
    def nssr(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "nssr.cli", *words]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "NO_COLOR": "1"})

    assert "--data-dir" in nssr("serve", "--help").stdout
    assert "--minutes" in nssr("train", "--help").stdout
    assert "--targets" in nssr("--help").stdout
    assert nssr("--version").stdout.startswith("nssr ")
    lost = nssr("backup", str(tmp_path), str(tmp_path / "copy"))
    assert (lost.returncode, lost.stderr.count("\n")) == (2, 1)
    assert nssr("backup").returncode == 2
    assert nssr("sreve").returncode == 2


def test_help_loads_no_web_framework() -> None:
    code = (
        "import sys, nssr.server\n"
        "try:\n    nssr.server.main(['--help'])\nexcept SystemExit:\n    pass\n"
        "sys.exit(any(m in sys.modules for m in ('fastapi', 'uvicorn', 'torch', 'numba')))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True).returncode == 0
