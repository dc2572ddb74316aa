"""A service as a person starts it, in a process of its own, for tests and benchmarks that talk to it over HTTP."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

ROOT = Path(__file__).resolve().parent.parent
TOKEN = "token-of-the-tests-0123456789"
START_S = 60.0
KEPLER = b"a,T\n0.389,87.77\n0.724,224.7\n1.0,365.25\n1.524,686.95\n5.2,4332.62\n9.51,10759.2\n"


class LiveService:
    """``client`` sends the token. The process may be killed and started again on the same folder."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder, self.options = folder, options
        self.process: subprocess.Popen[str] | None = None
        self.log = folder.parent / f"{folder.name}.log"
        self.start()

    def start(self) -> None:
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "nssr.server", "--data-dir", str(self.folder), "--port", "0", *self.options],
                cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, "NSSR_TOKEN": TOKEN},
            )  # fmt: skip
        assert self.process.stdout is not None
        for line in self.process.stdout:
            found = re.match(r"Open (http://\S+?)/(\?|$)", line)
            if found:
                self.url = found[1]
                break
        else:
            raise AssertionError(f"the service did not start: {self.log.read_text()[-2000:]}")
        self.client = httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=120, trust_env=False
        )  # fmt: skip
        end = time.monotonic() + START_S
        while True:
            try:
                assert self.client.get("/healthz").json() == {"status": "ok"}
                return
            except httpx.TransportError:
                dead = self.process.poll() is not None
                assert not dead, self.log.read_text()[-2000:]
                assert time.monotonic() < end, self.log.read_text()[-2000:]
                time.sleep(0.05)

    def stop(self, number: int = signal.SIGTERM, wait: float = 60) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        status = self.process.wait(wait)
        self.client.close()
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status

    def memory_mb(self) -> float:
        assert self.process is not None
        return float(psutil.Process(self.process.pid).memory_info().rss) / 1e6

    # ---- what tests often do -----------------------------------------------------------------------------------------

    def upload(self, name: str, text: bytes = KEPLER, **query: str) -> httpx.Response:
        return self.client.post(
            "/datasets/upload", params={"name": name, **query}, content=text, headers={"Content-Type": "text/csv"}
        )  # fmt: skip

    def examples(self, name: str, examples: list[Any], **more: Any) -> httpx.Response:
        return self.client.post("/datasets", json={"name": name, "examples": examples, **more})

    def job(self, job_id: str) -> dict[str, Any]:
        return dict(self.client.get(f"/jobs/{job_id}").json())

    def until(self, job_id: str, *states: str, seconds: float = 60) -> dict[str, Any]:
        """The job once it is in one of the states."""
        end = time.monotonic() + seconds
        while (job := self.job(job_id))["state"] not in states:
            assert time.monotonic() < end, job
            time.sleep(0.05)
        return job

    def events(self, job_id: str, after: int | None = None) -> list[tuple[int, str, dict[str, Any]]]:
        """The whole stream of a job that will end."""
        headers = {} if after is None else {"Last-Event-ID": str(after)}
        with self.client.stream("GET", f"/jobs/{job_id}/events", headers=headers) as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            return list(parsed(response.iter_lines()))


def parsed(lines: Iterator[str]) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Events of a stream: number, name, data."""
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            key, _, value = line.partition(": ")
            fields[key] = value
        elif "data" in fields:
            yield int(fields["id"]), fields["event"], json.loads(fields["data"])
            fields = {}


@contextmanager
def served(folder: Path, *options: str) -> Iterator[LiveService]:
    service = LiveService(folder, *options)
    try:
        yield service
    finally:
        if service.process is not None and service.process.poll() is None:
            service.stop(signal.SIGKILL)


def detail(response: httpx.Response, status: int) -> str:
    """The sentence of a problem of this status (RFC 9457)."""
    assert response.status_code == status, response.text[:500]
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == status
    assert problem["title"]
    assert isinstance(problem["detail"], str)
    assert "\n" not in problem["detail"]
    return str(problem["detail"])
