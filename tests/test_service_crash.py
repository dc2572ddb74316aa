"""A service that is killed, starved, locked out and stopped: what was answered stays, what was open is taken up again.

``NSSR_KILLS`` is how often the service and its workers are killed with ``kill -9`` (6 here; 50 for the record).
"""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from benchmarks.live_service import TOKEN, LiveService, detail, parsed, served

KILLS = int(os.environ.get("NSSR_KILLS", "6"))


@pytest.fixture
def service(tmp_path: Path) -> Iterator[LiveService]:
    with served(tmp_path / "data", "--job-threads", "1") as live:
        yield live


def one_step(name: str, factor: float) -> dict[str, Any]:
    step = {"call": "MUL", "functions": [], "arguments": [0, 0]}
    function = {"name": name, "arity": 1, "steps": [step], "constants": [factor], "examples": [[[2], 4 * factor]]}
    return {"format": "nssr-functions", "version": 1, "functions": [function]}


def noisy(rows: int = 60) -> list[Any]:
    rng = random.Random(0)
    return [[[x := rng.uniform(1, 9), z := rng.uniform(1, 9)], x * z**0.3 + rng.gauss(0, 1)] for _ in range(rows)]


def sound(path: Path) -> None:
    conn = sqlite3.connect(path)
    assert conn.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert conn.execute("PRAGMA foreign_key_check").fetchall() == []
    conn.close()


def workers(service: LiveService) -> list[psutil.Process]:
    assert service.process is not None
    found = []
    for process in psutil.Process(service.process.pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if "nssr.jobs.worker" in process.cmdline():
                found.append(process)
    return found


def a_worker(service: LiveService) -> psutil.Process:
    end = time.monotonic() + 30
    while not (found := workers(service)):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found[0]


def every_job(service: LiveService) -> set[str]:
    found: set[str] = set()
    before: dict[str, int] = {}
    while True:
        page = service.client.get("/jobs", params=before).json()
        found |= {job["id"] for job in page["jobs"]}
        if page["next"] is None:
            return found
        before = {"before": page["next"]}


# ---- kill -9 ---------------------------------------------------------------------------------------------------------


class _Writer(threading.Thread):
    """Keeps tables and brings functions in, one after the other, and remembers what was answered."""

    def __init__(self, url: str, round_: int) -> None:
        super().__init__()
        self.url, self.round = url, round_
        self.datasets: list[str] = []
        self.functions: list[str] = []
        self.jobs: list[str] = []

    def run(self) -> None:
        with httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60) as client:
            try:
                for k in range(1000):
                    name = f"r{self.round} k{k}"
                    if client.post("/datasets", json={"name": name, "examples": noisy(5)}).status_code == 201:
                        self.datasets.append(name)
                    if k % 10 == 0:
                        job = client.post("/library/import", json=one_step(f"F{self.round} {k}", k + 1.5))
                        if job.status_code == 202:
                            self.jobs.append(job.json()["id"])
            except httpx.TransportError:
                return  # the service is dead


def test_a_service_that_is_killed_loses_nothing(service: LiveService) -> None:
    rng = random.Random(1)
    datasets: set[str] = set()
    jobs: set[str] = set()
    for round_ in range(KILLS):
        writer = _Writer(service.url, round_)
        writer.start()
        time.sleep(rng.uniform(0.1, 3.0))
        children = workers(service)
        service.stop(signal.SIGKILL)
        writer.join()
        datasets |= set(writer.datasets)
        jobs |= set(writer.jobs)
        _, alive = psutil.wait_procs(children, timeout=10)
        assert alive == []  # workers end with their service
        for name in ("service.db", "symbolic.db"):
            sound(service.folder / name)
        service.start()
    assert len(datasets) > KILLS
    assert datasets <= {d["name"] for d in service.client.get("/datasets").json()["datasets"]}
    listed = every_job(service)
    unheard = listed - jobs  # a kill between what was written and the answer: the service has a job that no client knows
    assert jobs <= listed
    assert len(unheard) <= KILLS
    for job in listed:
        service.until(job, "done", seconds=120)
    taken = [name for job in listed for name in service.job(job)["result"]["functions"]]
    functions = [f["name"] for f in service.client.get("/functions").json()["functions"]]
    # Every job brought one function in, and once: none is lost, none is there twice.
    assert sorted(taken) == sorted(f for f in functions if f.startswith("F"))
    assert len(taken) == len(listed)
    history = service.client.get("/history", params={"limit": 1000}).json()["history"]
    assert sorted((h["name"], h["job"]) for h in history if h["what"] == "imported") == sorted(
        (service.job(job)["result"]["functions"][0], job) for job in listed
    )
    assert not any((service.folder / "uploads").iterdir())


def test_a_worker_that_is_killed_is_tried_again(service: LiveService) -> None:
    done = []
    for k in range(max(1, KILLS // 2)):
        job = service.client.post("/library/import", json=one_step(f"G{k}", k + 0.5)).json()
        a_worker(service).kill()
        done.append(job["id"])
        service.until(job["id"], "done")
    names = {f["name"] for f in service.client.get("/functions").json()["functions"]}
    assert {f"G{k}" for k in range(len(done))} <= names
    service.examples("noisy", noisy())
    doomed = service.client.post("/fit", json={"dataset_name": "noisy", "max_time": 60}).json()
    killed: set[int] = set()
    while service.job(doomed["id"])["state"] in ("queued", "running"):
        for process in workers(service):
            if process.pid not in killed:
                killed.add(process.pid)
                process.kill()
        time.sleep(0.02)
    job = service.job(doomed["id"])
    assert (job["state"], len(killed)) == ("failed", 3)
    assert "3 times" in job["error"]
    states = [d["state"] for _, name, d in service.events(doomed["id"]) if name == "state"]
    assert states == ["queued", "running"] * 3 + ["failed"]


def test_what_was_learned_is_remembered_though_its_job_could_not_say_so(service: LiveService) -> None:
    """The worst moment: the function is in the library, and the service dies before the job is done."""
    service.examples("squares", [[[x], x * x] for x in range(2, 12)])
    order = {"target_name": "SQUARED", "dataset_name": "squares", "num_epochs": 1}
    job = service.client.post("/train", params={"wait": "true"}, json=order).json()
    assert job["result"]["found"]
    assert not job["result"]["known_before"]
    assert service.stop(signal.SIGTERM) == 0
    with contextlib.closing(sqlite3.connect(service.folder / "service.db")) as conn, conn:
        conn.execute("UPDATE jobs SET state = 'running', ended_at = NULL, result = NULL WHERE id = ?", (job["id"],))
        assert conn.execute("DELETE FROM history WHERE name = 'SQUARED'").rowcount == 1
    service.start()
    service.until(job["id"], "done", seconds=60)
    assert service.job(job["id"])["result"]["known_before"]
    history = service.client.get("/history").json()["history"]
    assert [h["job"] for h in history if (h["what"], h["name"]) == ("learned", "SQUARED")] == [job["id"]]
    again = service.client.post("/train", params={"wait": "true"}, json=order).json()
    assert again["result"]["known_before"]
    assert len(service.client.get("/history").json()["history"]) == len(history)  # known before, and nothing interrupted it


def test_a_stopped_service_takes_its_jobs_up_again(tmp_path: Path) -> None:
    with served(tmp_path / "data", "--grace", "0") as service:
        service.examples("noisy", noisy())
        first = service.client.post("/fit", json={"dataset_name": "noisy", "max_time": 4}).json()["id"]
        second = service.client.post("/library/import", json=one_step("LATER", 2.5)).json()["id"]
        ended: list[str] = []
        connected = threading.Event()

        def watch() -> None:
            headers = {"Authorization": f"Bearer {TOKEN}"}
            with httpx.stream("GET", f"{service.url}/jobs/{first}/events", headers=headers, timeout=60) as response:
                for _, name, _ in parsed(response.iter_lines()):
                    ended.append(name)
                    connected.set()

        watcher = threading.Thread(target=watch)
        watcher.start()
        service.until(first, "running")
        a_worker(service)
        assert connected.wait(30)
        assert service.stop(signal.SIGTERM) == 0
        watcher.join(30)
        assert "state" in ended  # the stream was ended, not left open
        service.start()
        assert service.until(first, "done")["result"]["equations"]
        assert service.until(second, "done")["result"] == {"functions": ["LATER"], "known": []}


# ---- limits of a job -------------------------------------------------------------------------------------------------


def test_a_search_that_is_out_of_time_says_what_it_has(tmp_path: Path) -> None:
    with served(tmp_path / "data", "--job-seconds", "6") as service:
        service.examples("noisy", noisy())
        job = service.client.post("/fit?wait=true", json={"dataset_name": "noisy", "max_time": 5.4}).json()
        assert (job["state"], job["error"]) == ("done", None)
        assert job["result"]["equations"]


def test_a_job_that_needs_too_much_memory_fails_alone(tmp_path: Path) -> None:
    with served(tmp_path / "data", "--job-memory-mb", "256") as service:  # torch alone is more
        service.examples("noisy", noisy())
        asked = {"target_name": "N", "dataset_name": "noisy", "max_search_steps": 1000}
        job = service.client.post("/train?wait=true", json=asked).json()
        assert job["state"] == "failed"
        assert "MB" in job["error"]
        assert service.client.get("/healthz").status_code == 200


# ---- the disk and the database ---------------------------------------------------------------------------------------


def test_a_full_disk_is_said_and_nothing_is_lost(service: LiveService) -> None:
    """A limit on the size of files, set on the running process: writes fail as they do on a full disk."""
    assert service.process is not None
    service.examples("before", noisy())
    large = [0, 0]
    for name in ("service.db-wal", "service.db", "symbolic.db", "symbolic.db-wal"):
        path = service.folder / name
        large[0] = max(large[0], path.stat().st_size if path.exists() else 0)
    unlimited = resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, (large[0] + 4096, unlimited[1]))
    rows = ["a,b", *(f"{i}.{i * 7919 % 1000},{i * 104729 % 99991}" for i in range(60_000))]
    try:
        answer = service.upload("too much", "\n".join(rows).encode())
        assert "disk" in detail(answer, 507)
        assert service.client.get("/datasets/before").status_code == 200
        detail(service.client.get("/datasets/too much"), 404)
    finally:
        resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, unlimited)
    assert service.upload("too much", "\n".join(rows).encode()).status_code == 201
    sound(service.folder / "service.db")


def test_a_locked_database_is_said_and_readers_are_served(service: LiveService) -> None:
    service.examples("before", noisy())
    other = sqlite3.connect(service.folder / "service.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        answers: list[httpx.Response] = []
        writer = threading.Thread(target=lambda: answers.append(service.examples("after", noisy())))
        writer.start()
        began = time.monotonic()
        reads = 0
        while writer.is_alive() and time.monotonic() - began < 30:
            assert service.client.get("/datasets/before").status_code == 200
            reads += 1
        writer.join()
        assert "another program" in detail(answers[0], 503).lower()
        assert answers[0].headers["retry-after"]
        assert reads > 10
    finally:
        other.execute("ROLLBACK")
        other.close()
    assert service.examples("after", noisy()).status_code == 201


def test_a_locked_library_is_said(service: LiveService) -> None:
    service.client.post("/library/import?wait=true", json=one_step("HERE", 2.5))
    other = sqlite3.connect(service.folder / "symbolic.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        assert service.client.get("/functions/HERE").status_code == 200
        detail(service.client.delete("/functions/HERE"), 503)
    finally:
        other.execute("ROLLBACK")
        other.close()
    assert service.client.delete("/functions/HERE").status_code == 204


def test_a_job_can_be_cancelled_at_any_moment(service: LiveService) -> None:
    """While it waits, while its process is made, while it loads, while it works."""
    service.examples("noisy", noisy())
    for delay in (0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0):
        job = service.client.post("/fit", json={"dataset_name": "noisy", "max_time": 60}).json()["id"]
        time.sleep(delay)
        service.client.delete(f"/jobs/{job}")
        assert service.until(job, "cancelled", "done", seconds=20)["state"] == "cancelled"
