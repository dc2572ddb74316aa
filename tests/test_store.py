"""What the service keeps on disk: states and their order, limits, what is forgotten, what a clock cannot change."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from nssr import db
from nssr import store as store_module
from nssr.errors import UserError
from nssr.store import EVENTS_KEPT, MOST_RESTARTS, Full, InUse, Missing, Store, Taken


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "service.db")


def facts(name: str = "table") -> dict[str, Any]:
    return {"name": name, "description": "", "columns": ["a"], "target": "y", "rows": 3, "ranges": {}, "preview": []}


def add(store: Store, dataset: str | None = None, **more: Any) -> str:
    return str(store.add_job("fit", {"k": 1}, dataset=dataset, **{"most_queued": 10, **more})["id"])


def states(store: Store, job: str) -> list[str]:
    return [e.data["state"] for e in store.events(job, 0) if e.name == "state"]


def test_tables(store: Store) -> None:
    made = store.add_dataset(facts(), b"a,y\n1,2\n")
    assert (made["columns"], made["bytes"]) == (["a"], 8)
    assert store.csv(made["id"]) == b"a,y\n1,2\n"
    with pytest.raises(Taken):
        store.add_dataset(facts(), b"")
    assert store.dataset_bytes() == 8
    job = add(store, "table")
    with pytest.raises(InUse, match=job):
        store.delete_dataset("table")
    store.end(job, "done")
    store.delete_dataset("table")
    for call in (store.dataset, store.delete_dataset, lambda _: store.csv(made["id"])):
        with pytest.raises(Missing):
            call("table")


def test_the_life_of_a_job(store: Store) -> None:
    job = add(store)
    assert store.start(job)
    assert not store.start(job)  # it runs already
    store.add_events(job, [("progress", {"step": 1}), ("progress", {"step": 2})])
    assert store.end(job, "done", result={"x": 1}, seconds=2.5, history=[("learned", "F", "x*x")])
    assert not store.end(job, "failed")
    assert not store.start(job)
    whole = store.job(job)
    assert (whole["state"], whole["result"], whole["seconds"]) == ("done", {"x": 1}, 2.5)
    assert [e.seq for e in store.events(job, 0)] == [1, 2, 3, 4, 5]
    assert [e.seq for e in store.events(job, 3)] == [4, 5]
    assert states(store, job) == ["queued", "running", "done"]
    assert store.history(10)[0]["job"] == job


def test_a_job_that_is_tried_again(store: Store) -> None:
    job = add(store)
    for attempt in range(3):
        assert store.start(job)
        assert store.requeue(job, 3) == ("queued" if attempt < 2 else "failed")
    assert "3 times" in store.job(job)["error"]
    other = add(store)
    for _ in range(10):  # the service was stopped ten times: no fault of the job
        store.start(other)
        assert store.requeue(other, 3, blameless=True) == "queued"
    poison = add(store)
    for _ in range(MOST_RESTARTS):
        store.start(poison)
        assert store.requeue(poison, 3, blameless=True) == "queued"
    store.start(poison)
    assert store.requeue(poison, 3, blameless=True) == "failed"
    cancelled = add(store)
    store.start(cancelled)
    assert store.ask_to_cancel(cancelled) == "running"
    assert store.cancel_asked(cancelled)
    assert store.requeue(cancelled, 3) == "cancelled"
    assert store.requeue("no such job", 3) == "gone"


def test_the_queue_has_an_end(store: Store) -> None:
    jobs = [add(store, most_queued=3) for _ in range(3)]
    with pytest.raises(Full):
        add(store, most_queued=3)
    assert store.ask_to_cancel(jobs[0]) == "cancelled"
    add(store, most_queued=3)
    assert store.counts() == {"queued": 3, "running": 0, "done": 0, "failed": 0, "cancelled": 1}
    with pytest.raises(Missing):
        add(store, "no such table")
    with pytest.raises(Missing):
        store.ask_to_cancel("no such job")


def test_payloads_go_with_their_jobs(store: Store) -> None:
    job = add(store, payload=b"x" * 100_000)
    assert store.payload(job) == b"x" * 100_000
    store.end(job, "done")
    with pytest.raises(Missing):
        store.payload(job)


def test_old_events_are_forgotten(store: Store) -> None:
    job = add(store)
    for _ in range(3):
        store.add_events(job, [("progress", {"step": i}) for i in range(EVENTS_KEPT // 2)])
    seqs = [e.seq for e in store.events(job, 0, limit=10**6)]
    assert len(seqs) == EVENTS_KEPT
    assert seqs[-1] == 1 + 3 * (EVENTS_KEPT // 2)


def test_clocks_decide_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that jumps back by a year: the order of jobs, events and history is that of what happened."""
    times = iter([f"20{26 - i}-01-01T00:00:00Z" for i in range(20)])
    monkeypatch.setattr(store_module, "now", lambda: next(times))
    jobs = [add(store) for _ in range(3)]
    store.remember("learned", "first")
    store.remember("learned", "second")
    assert [j["id"] for j in store.jobs()[0]] == jobs[::-1]
    assert [i for i, *_ in store.open_jobs()] == jobs
    assert [h["name"] for h in store.history(2)] == ["second", "first"]


def test_many_threads_write(store: Store) -> None:
    def work(k: int) -> None:
        for i in range(10):
            store.add_dataset(facts(f"{k} {i}"), b"a,y\n")
            store.end(add(store, f"{k} {i}", most_queued=1000), "done")

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.count_datasets() == store.counts()["done"] == 80


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    conn = sqlite3.connect(path)
    conn.execute("CREATE TABLE mine (x)")
    conn.commit()
    conn.close()
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"other\.db"):
        Store(path)
    assert path.read_bytes() == before
    text = tmp_path / "text.db"
    text.write_text("not a database" * 100)
    with pytest.raises(UserError, match="cannot be used"):
        Store(text)


def test_a_copy_is_whole(store: Store, tmp_path: Path) -> None:
    store.add_dataset(facts(), b"a,y\n1,2\n")
    db.backup(store.path, tmp_path / "copy.db")
    assert Store(tmp_path / "copy.db").dataset("table")["rows"] == 3
