"""Who starts the processes of jobs, passes on what they say, holds them to their limits, and ends them.

`Supervisor` lives in the service's event loop. What is true stands in the store: a job is running there before its process
starts, and over there before anybody is told. So a service that is killed finds, when it starts again, which jobs were
open; their processes have ended with it, and they wait in the queue once more.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sqlite3
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nssr.store import ENDED, Missing, Store

log = logging.getLogger("nssr.jobs")

MOST_ATTEMPTS = 3
"""A job whose process dies so often (killed, crashed) is not tried again."""

WRITERS = {"train", "import"}
"""Kinds that change the library; one of them runs at a time."""

_TO_STOP_S = 10.0  # from the request to stop until the process is killed
_LINE_LIMIT = 64 << 20
_EVENTS_EVERY_S = 0.15


@dataclass(frozen=True)
class Limits:
    """Of one job: ``seconds`` of wall time, ``memory_mb`` of its own memory, ``threads``; ``workers`` jobs at a time."""

    seconds: float = 600.0
    memory_mb: int = 4000
    threads: int = 1
    workers: int = 1


@dataclass
class _Running:
    process: asyncio.subprocess.Process
    kind: str
    started: float
    outcome: dict[str, Any] | None = None
    stopping_since: float | None = None
    reason: str = ""  # why it was stopped: "cancelled", "time", "memory", "shutdown"
    said: deque[str] = field(default_factory=lambda: deque(maxlen=20))


class Supervisor:
    """The jobs of one service: ``folder`` is its data folder. To be used in its event loop."""

    def __init__(self, store: Store, folder: Path, limits: Limits) -> None:
        self.store, self.folder, self.limits = store, folder, limits
        self.running: dict[str, _Running] = {}
        self.finished: dict[tuple[str, str], int] = {}
        self.seconds: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._changed: dict[str, asyncio.Event] = {}
        self._event_loop: asyncio.AbstractEventLoop | None = None
        self._loop_task: asyncio.Task[None] | None = None
        self._stopping = False
        self._held = 0
        self._kinds: dict[str, str] = {}  # of the jobs that run or whose process is being made

    # ---- life --------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        for job_id, _, state in await asyncio.to_thread(self.store.open_jobs):
            if state == "running":
                now = await asyncio.to_thread(self.store.requeue, job_id, MOST_ATTEMPTS, blameless=True)
                log.info("job %s was running when the service ended: %s", job_id, now)
        self._event_loop = asyncio.get_running_loop()
        self._loop_task = asyncio.create_task(self._loop())

    def stop_soon(self) -> None:
        """The service is about to stop: streams and clients that wait are let go, no job starts. May be called by a signal."""
        self._stopping = True
        if self._event_loop is not None:
            self._event_loop.call_soon_threadsafe(self._let_go)

    def _let_go(self) -> None:
        self._wake.set()
        for job_id in list(self._changed):
            self._tell(job_id)

    async def stop(self, grace: float) -> None:
        """Lets jobs end for ``grace`` seconds; those that do not wait in the queue for the next start of the service."""
        self._stopping = True
        self._let_go()
        end = time.monotonic() + grace
        while self.running and time.monotonic() < end:
            await asyncio.sleep(0.05)
        for job in self.running.values():
            self._ask_to_stop(job, "shutdown")
        deadline = time.monotonic() + 3.0
        while self.running and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        for job in self.running.values():
            _kill(job.process)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)
        if self._loop_task is not None:
            self._loop_task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._loop_task
        self._let_go()

    def wake(self) -> None:
        """There may be something to start."""
        self._wake.set()

    async def changed(self, job_id: str, timeout: float) -> None:
        """Returns when a job has new events or another state, or after ``timeout`` seconds."""
        event = self._changed.setdefault(job_id, asyncio.Event())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(event.wait(), timeout)

    def _tell(self, job_id: str) -> None:
        event = self._changed.pop(job_id, None)
        if event is not None:
            event.set()

    async def cancel(self, job_id: str) -> str:
        """The state of the job after the request; a running one ends within seconds."""
        state = await asyncio.to_thread(self.store.ask_to_cancel, job_id)
        job = self.running.get(job_id)
        if job is not None:
            self._ask_to_stop(job, "cancelled")
        self._tell(job_id)
        return state

    @property
    def stopping(self) -> bool:
        return self._stopping

    def busy_with_library(self) -> bool:
        """Whether a running job reads or writes the library, so that no function may vanish from it."""
        return bool(self._kinds)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """No job starts within the block."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
            self._wake.set()

    # ---- starting ----------------------------------------------------------------------------------------------------

    async def _loop(self) -> None:
        while not self._stopping:
            try:
                await self._start_what_may()
            except sqlite3.Error as error:  # a full or locked disk passes, the queue stays
                log.error("the queue cannot be read or written: %s", error)
                await asyncio.sleep(1.0)
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), 2.0)

    async def _start_what_may(self) -> None:
        for job_id, kind, state in await asyncio.to_thread(self.store.open_jobs):
            if self._stopping or self._held or len(self._kinds) >= self.limits.workers:
                return
            if state != "queued" or (kind in WRITERS and not WRITERS.isdisjoint(self._kinds.values())):
                continue
            if await asyncio.to_thread(self.store.start, job_id):
                self._tell(job_id)
                self._spawn(job_id, kind)

    def _spawn(self, job_id: str, kind: str) -> None:
        self._kinds[job_id] = kind
        task = asyncio.create_task(self._run(job_id, kind))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, job_id: str, kind: str) -> None:
        try:
            order = await asyncio.to_thread(self._order, job_id, kind)
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "nssr.jobs.worker",
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
                limit=_LINE_LIMIT, start_new_session=True, env=_environment(self.limits.threads),
            )  # fmt: skip
            job = self.running[job_id] = _Running(process, kind, time.monotonic())
            # Somebody may have asked for an end while the process was being made, when there was nobody to tell.
            if await asyncio.to_thread(self.store.cancel_asked, job_id):
                self._ask_to_stop(job, "cancelled")
            elif self._stopping:
                self._ask_to_stop(job, "shutdown")
            await self._attend(job_id, job, order)
        except Exception:
            log.exception("job %s could not be attended", job_id)
        finally:
            gone = self.running.pop(job_id, None)
            del self._kinds[job_id]
            if gone is not None:
                _kill(gone.process)
            await self._settle(job_id, gone)
            self._tell(job_id)
            self._wake.set()

    def _order(self, job_id: str, kind: str) -> dict[str, Any]:
        job = self.store.job(job_id)
        table = self.store.dataset_of(job_id) or {}
        return {
            "job": job_id, "kind": kind, "spec": job["spec"], "dataset": table.get("id"), "target": table.get("target"),
            "folder": str(self.folder), "memory_mb": self.limits.memory_mb, "threads": self.limits.threads,
        }  # fmt: skip

    # ---- watching ----------------------------------------------------------------------------------------------------

    async def _attend(self, job_id: str, job: _Running, order: dict[str, Any]) -> None:
        process = job.process
        assert process.stdin is not None
        process.stdin.write(json.dumps(order).encode() + b"\n")
        pending: list[tuple[str, dict[str, Any]]] = []
        readers = asyncio.gather(self._read(job, pending), self._read_log(job))
        ended = asyncio.create_task(process.wait())
        try:
            while not ended.done():
                await asyncio.wait({ended}, timeout=_EVENTS_EVERY_S)
                await self._flush(job_id, pending)
                self._watch(job)
            await asyncio.wait_for(readers, 5)
        except TimeoutError:
            log.warning("job %s left its pipes open", job_id)
        finally:
            readers.cancel()
            ended.cancel()
            await self._flush(job_id, pending)

    async def _read(self, job: _Running, pending: list[tuple[str, dict[str, Any]]]) -> None:
        stream = job.process.stdout
        assert stream is not None
        while line := await stream.readline():
            message = json.loads(line)
            if "event" in message:
                pending.append((message["event"], message["data"]))
            else:
                job.outcome = message

    async def _read_log(self, job: _Running) -> None:
        stream = job.process.stderr
        assert stream is not None
        while line := await stream.readline():
            job.said.append(line.decode(errors="replace").rstrip()[:500])

    async def _flush(self, job_id: str, pending: list[tuple[str, dict[str, Any]]]) -> None:
        if not pending:
            return
        events, pending[:] = list(pending), []
        try:
            await asyncio.to_thread(self.store.add_events, job_id, events)
        except sqlite3.Error as error:  # news may be lost, results may not
            log.warning("events of job %s are lost: %s", job_id, error)
        self._tell(job_id)

    def _watch(self, job: _Running) -> None:
        now = time.monotonic()
        if job.stopping_since is not None:
            if now - job.stopping_since > _TO_STOP_S:
                _kill(job.process)
        elif now - job.started > self.limits.seconds:
            self._ask_to_stop(job, "time")
        elif _resident_mb(job.process.pid) > self.limits.memory_mb:
            job.reason = "memory"
            job.stopping_since = now
            _kill(job.process)

    @staticmethod
    def _ask_to_stop(job: _Running, reason: str) -> None:
        if job.stopping_since is None:
            job.stopping_since, job.reason = time.monotonic(), reason
            with contextlib.suppress(ProcessLookupError):
                job.process.send_signal(signal.SIGINT)

    # ---- ending ------------------------------------------------------------------------------------------------------

    async def _settle(self, job_id: str, job: _Running | None) -> None:
        """Writes down what came of a job. A disk that is full now may not be in a moment: until it is written, it is tried."""
        while True:
            try:
                state = await asyncio.to_thread(self._write_outcome, job_id, job)
                break
            except sqlite3.Error as error:
                log.error("the outcome of job %s cannot be written: %s", job_id, error)
                if self._stopping:
                    return  # still running in the store, so it is done again after the next start
                await asyncio.sleep(0.5)
            except Missing:
                return
        kind = job.kind if job is not None else "unknown"
        if state in ENDED:
            self.finished[kind, state] = self.finished.get((kind, state), 0) + 1
            if job is not None:
                self.seconds[kind] = self.seconds.get(kind, 0.0) + time.monotonic() - job.started

    def _write_outcome(self, job_id: str, job: _Running | None) -> str:
        if job is None:
            return self.store.requeue(job_id, MOST_ATTEMPTS)
        seconds = round(time.monotonic() - job.started, 3)
        outcome = job.outcome or {}
        if "error" in outcome:
            state, error = "failed", outcome["error"]
        elif job.reason == "memory":
            state, error = "failed", f"it took more than the {self.limits.memory_mb} MB that a job may have"
        elif job.reason == "time" and (outcome.get("result") is None or job.kind != "fit"):
            state, error = "failed", f"it took more than the {self.limits.seconds:g} s that a job may have"
        elif outcome.get("cancelled") and job.reason == "cancelled":
            state, error = "cancelled", None
        elif outcome.get("cancelled") and job.reason == "shutdown":
            return self.store.requeue(job_id, MOST_ATTEMPTS, blameless=True)
        elif "result" in outcome and not (outcome.get("cancelled") and outcome["result"] is None):
            state, error = "done", None
        else:
            if job.reason == "cancelled":
                self.store.end(job_id, "cancelled", seconds=seconds)
                return "cancelled"
            log.warning("the process of job %s ended with status %s: %s", job_id, job.process.returncode, " | ".join(job.said))
            return self.store.requeue(job_id, MOST_ATTEMPTS, blameless=job.reason == "shutdown")
        result = outcome.get("result")
        history = _history(job.kind, result, self.store.interrupted(job_id)) if state == "done" else ()
        self.store.end(job_id, state, error=error, result=result, seconds=seconds, history=history)
        log.info("job %s: %s after %.1f s", job_id, state, seconds)
        return state


def _history(kind: str, result: Any, interrupted: bool) -> list[tuple[str, str, str]]:
    """``interrupted``: an earlier process may have learned it and ended before it could say so."""
    news = not result.get("known_before") or (interrupted and not result.get("same_as"))
    if kind == "train" and result.get("found") and news:
        return [("learned", result["name"], result.get("formula") or f"the same as {result.get('same_as')}")]
    if kind == "import":
        return [("imported", name, "known already" if name in result["known"] else "") for name in result["functions"]]
    return []


def _kill(process: asyncio.subprocess.Process) -> None:
    """The process and whatever it has started."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _environment(threads: int) -> dict[str, str]:
    """Without secrets: a job knows nothing of the service's token."""
    kept = {k: v for k, v in os.environ.items() if k != "NSSR_TOKEN"}
    return kept | {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE", "PYTHONUNBUFFERED": "1"}


def _resident_mb(pid: int) -> float:
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)
    except (OSError, IndexError, ValueError):
        return 0.0  # it has ended, or there is no /proc: then the limit that the process set itself holds


__all__ = ["MOST_ATTEMPTS", "WRITERS", "Limits", "Supervisor"]
