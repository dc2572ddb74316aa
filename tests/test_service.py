"""The service from outside: tables, jobs, events, the library. One live process for all of these tests."""

from __future__ import annotations

import json
import math
import random
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from benchmarks.live_service import KEPLER, ROOT, TOKEN, LiveService, detail, parsed, served


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveService]:
    with served(tmp_path_factory.mktemp("service") / "data") as live:
        yield live


def products(seed: int = 0, factor: float = 1.0) -> list[list[object]]:
    rng = random.Random(seed)
    rows = [[rng.randint(-9, 9), rng.randint(-9, 9)] for _ in range(30)]
    return [[[a, b], factor * a * b if factor != 1.0 else a * b] for a, b in rows]


# ---- tables ----------------------------------------------------------------------------------------------------------


def test_a_table_comes_in_and_goes(service: LiveService) -> None:
    made = service.upload("planets of 1619", description="Kepler")
    assert made.status_code == 201
    assert made.headers["location"] == "/datasets/planets%20of%201619"
    facts = service.client.get(made.headers["location"], params={"rows": 2}).json()
    assert (facts["columns"], facts["target"], facts["rows"]) == (["a"], "T", 6)
    assert facts["preview"] == [[0.389, 87.77], [0.724, 224.7]]
    assert facts["ranges"] == {"a": [0.389, 9.51], "T": [87.77, 10759.2]}
    assert "planets of 1619" in [d["name"] for d in service.client.get("/datasets").json()["datasets"]]
    assert "already" in detail(service.upload("planets of 1619"), 409)
    assert service.client.delete("/datasets/planets of 1619").status_code == 204
    detail(service.client.get("/datasets/planets of 1619"), 404)
    detail(service.client.delete("/datasets/planets of 1619"), 404)


def test_examples_come_in_both_forms(service: LiveService) -> None:
    mixed = [[[1, 2.5], 3], {"inputs": [2, 0.5], "output": 4}, [[3, 1], 5]]
    made = service.examples("both forms", mixed, columns=["n", "r"], target="out")
    assert made.status_code == 201
    facts = service.client.get("/datasets/both forms").json()
    assert facts["preview"] == [[1, 2.5, 3], [2, 0.5, 4], [3, 1.0, 5]]
    assert (facts["columns"], facts["target"]) == (["n", "r"], "out")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "empty"),
        (b"a,b\n1,2\n", "at least 3 rows"),
        (b"a,b\n1,2\n3,x\n5,6\n", "line 3, column 'b'"),
        (b"a,a\n1,2\n3,4\n5,6\n", "stands twice"),
        (b"PK\x03\x04" + bytes(100), "zip"),
        (b"a,b\n1,2\n3,\x00\n5,6\n", "NUL"),
        (b"a;b\n1;nan\n3;4\n5;6\n", "no finite number"),
    ],
)
def test_what_is_no_table_is_refused_with_its_place(service: LiveService, text: bytes, words: str) -> None:
    said = detail(service.upload("no table", text), 422)
    assert words in said
    assert "/" not in said  # no path of the service
    detail(service.client.get("/datasets/no table"), 404)


def test_examples_that_are_none(service: LiveService) -> None:
    assert "example 3" in detail(service.examples("odd", [[[1], 2], [[1], 2], [[1, 2], 3]]), 422)
    bad = service.client.post("/datasets", json={"name": "odd", "examples": [[["1"], 2]] * 3})
    assert bad.json()["errors"]
    detail(bad, 422)
    nan = '{"name": "odd", "examples": [[[1], NaN], [[1], 2], [[1], 2]]}'
    detail(service.client.post("/datasets", content=nan, headers={"Content-Type": "application/json"}), 422)


# ---- learning --------------------------------------------------------------------------------------------------------


def test_a_function_is_learned_used_exported_and_deleted(service: LiveService) -> None:
    service.examples("products", products(), columns=["a", "b"])
    answer = service.client.post("/train", json={"target_name": "TIMES", "dataset_name": "products", "num_epochs": 1})
    assert answer.status_code == 202
    job_id = answer.json()["id"]
    assert answer.headers["location"] == f"/jobs/{job_id}"
    events = service.events(job_id)  # live, until the job is over
    assert [n for n, *_ in events] == list(range(1, len(events) + 1))
    assert [d["state"] for _, name, d in events if name == "state"] == ["queued", "running", "done"]
    guesses = next(d for _, name, d in events if name == "guide")
    assert guesses["functions"][0]["name"] == "MUL"
    assert all(0 <= g["probability"] <= 1 for g in guesses["functions"])
    assert service.events(job_id, after=events[-2][0]) == events[-1:]
    job = service.job(job_id)
    assert job == service.client.get(f"/train/status/{job_id}").json()
    result = job["result"]
    assert (result["found"], result["exact"], result["formula"]) == (True, True, "a*b")
    assert result["mathml"].startswith("<math")

    function = service.client.get("/functions/TIMES").json()
    assert (function["kind"], function["arity"], function["uses"], function["used_by"]) == ("learned", 2, ["MUL"], [])
    assert "TIMES" in service.client.get("/functions/MUL").json()["used_by"]
    predicted = service.client.post("/predict", json={"function": "TIMES", "inputs": [[6, 7], [2.5, 4], [10**200, 10**200]]})
    assert predicted.json()["outputs"] == [42, 10.0, None]
    assert [e["row"] for e in predicted.json()["errors"]] == [2]
    for form, words in (("text", "x0*x1"), ("c", "double f_TIMES"), ("python", "return x0*x1"), ("latex", "x_{0}")):
        exported = service.client.get("/functions/TIMES/export", params={"format": form})
        assert words in exported.text, form
    again = service.client.post("/train?wait=true", json={"target_name": "TIMES", "dataset_name": "products"})
    assert again.status_code == 200
    assert again.json()["result"]["known_before"] is True
    judged = service.client.post("/test/eval?wait=true", json={"dataset_name": "products"}).json()["result"]
    assert judged["exact_match"] == judged["rows"] == 30
    assert judged["best"] in ("MUL", "TIMES")
    assert [f["r2"] for f in judged["functions"][:2]] == [1.0, 1.0]
    assert all(row["match"] for row in judged["examples"])
    history = service.client.get("/history").json()["history"]
    assert ("learned", "TIMES", job_id) in [(h["what"], h["name"], h["job"]) for h in history]
    assert service.client.delete("/functions/TIMES").status_code == 204
    detail(service.client.get("/functions/TIMES"), 404)


def test_the_library_keeps_what_is_in_use(service: LiveService) -> None:
    assert "primitive" in detail(service.client.delete("/functions/ADD"), 409)
    document = {
        "format": "nssr-functions", "version": 1,
        "functions": [
            {"name": "TWICE", "arity": 1, "steps": [{"call": "ADD", "functions": [], "arguments": [0, 0]}],
             "constants": None, "const_mode": "multiplicative", "examples": [[[2], 4], [[0.5], 1.0]]},
            {"name": "FOURFOLD", "arity": 1, "steps": [{"call": "TWICE", "functions": [], "arguments": [0]},
                                                       {"call": "TWICE", "functions": [], "arguments": [1]}],
             "constants": None, "const_mode": "multiplicative", "examples": [[[2], 8]]},
        ],
    }  # fmt: skip
    taken = service.client.post("/library/import?wait=true", json=document)
    assert taken.json()["result"] == {"functions": ["TWICE", "FOURFOLD"], "known": []}
    assert "use TWICE" in detail(service.client.delete("/functions/TWICE"), 409)
    exported = service.client.get("/library/export").json()
    assert {"TWICE", "FOURFOLD"} <= {f["name"] for f in exported["functions"]}
    for name in ("FOURFOLD", "TWICE"):
        assert service.client.delete(f"/functions/{name}").status_code == 204
    assert service.client.post("/library/import?wait=true", json=exported).json()["state"] == "done"
    bad = json.loads(json.dumps(document).replace('"FOURFOLD"', '"WRONG"').replace("[[[2], 8]]", "[[[2], 9]]"))
    refused = service.client.post("/library/import?wait=true", json=bad).json()
    assert refused["state"] == "failed"
    assert "'WRONG' does not have the values" in refused["error"]
    detail(service.client.get("/functions/WRONG"), 404)


def test_a_copy_of_the_library_opens(service: LiveService, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    copy.write_bytes(service.client.get("/library/backup").content)
    conn = sqlite3.connect(copy)
    assert conn.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    names = {row[0] for row in conn.execute("SELECT name FROM functions")}
    conn.close()
    assert names == {f["name"] for f in service.client.get("/functions").json()["functions"]}


# ---- formulas --------------------------------------------------------------------------------------------------------


def test_a_law_is_found_watched_and_kept(service: LiveService) -> None:
    """The example of the README."""
    service.upload("planets", (ROOT / "examples" / "kepler_1619.csv").read_bytes())
    answer = service.client.post("/fit", json={"dataset_name": "planets", "max_time": 8})
    job_id = answer.json()["id"]
    seen: list[tuple[int, str, dict]] = []
    with service.client.stream("GET", f"/jobs/{job_id}/events") as response:
        for event in parsed(response.iter_lines()):
            seen.append(event)
            if event[1] == "front":
                break  # as if the connection had broken
    front = seen[-1][2]
    assert front["equations"][front["best"]]["mathml"].startswith("<math")
    rest = service.events(job_id, after=seen[-1][0])
    assert rest[0][0] == seen[-1][0] + 1
    assert rest[-1][1:] == ("state", {"state": "done"})
    assert any(name == "rate" and d["candidates"] > 100 for _, name, d in [*seen, *rest])
    result = service.job(job_id)["result"]
    chosen = result["equations"][result["chosen"]]
    assert chosen["formula"] == result["formula"]
    assert f'"formula":"{result["formula"]}"' in (ROOT / "README.md").read_text()
    assert chosen["r2"] > 0.9999
    assert math.isclose(result["fit"]["predicted"][2], 365.25, rel_tol=0.01)
    assert "trees" not in result
    kept = service.client.post(f"/jobs/{job_id}/keep", json={"name": "PERIOD"})
    assert kept.status_code == 201
    assert kept.json()["arity"] == 1
    value = service.client.post("/predict", json={"function": "PERIOD", "inputs": [[4.0]]}).json()["outputs"][0]
    assert math.isclose(value, 8 * 366, rel_tol=0.01)
    assert "already" in detail(service.client.post(f"/jobs/{job_id}/keep", json={"name": "PERIOD"}), 409)
    detail(service.client.post(f"/jobs/{job_id}/keep", json={"name": "OTHER", "equation": 99}), 422)
    assert service.client.get("/jobs?kind=fit&limit=1").json()["jobs"][0]["formula"] == result["formula"]


def test_a_cancelled_search_keeps_the_best(service: LiveService) -> None:
    rng = random.Random(0)
    rows = [[[rng.uniform(1, 9), rng.uniform(1, 9)], rng.gauss(0, 1)] for _ in range(60)]
    rows = [[x, x[0] * math.exp(0.1 * x[1]) + y] for x, y in rows]
    service.examples("noisy", rows)
    job = service.client.post("/fit", json={"dataset_name": "noisy", "max_time": 300}).json()
    with service.client.stream("GET", f"/jobs/{job['id']}/events") as response:
        next(e for e in parsed(response.iter_lines()) if e[1] == "front" and e[2]["best"] > 0)
    assert "reads it" in detail(service.client.delete("/datasets/noisy"), 409)
    assert "running" in detail(service.client.delete("/functions/PERIOD"), 409)
    assert service.client.delete(f"/jobs/{job['id']}").status_code == 200
    ended = service.until(job["id"], "cancelled")
    assert ended["result"]["stopped"] == "cancelled"
    assert ended["result"]["equations"]
    assert service.client.delete(f"/jobs/{job['id']}").json()["state"] == "cancelled"  # again: as it is
    last = len(ended["result"]["equations"]) - 1
    kept = service.client.post(f"/jobs/{job['id']}/keep", json={"name": "CUT_SHORT", "equation": last})
    assert kept.status_code == 201, (kept.text, ended["result"]["formula"])


@pytest.mark.parametrize(
    ("spec", "status", "words"),
    [
        ({"dataset_name": "nowhere"}, 404, "no dataset 'nowhere'"),
        ({"dataset_name": "kepler", "target": "b"}, 422, "no column 'b'"),
        ({"dataset_name": "kepler", "operations": ["sine"]}, 422, "sine"),
        ({"dataset_name": "kepler", "units": {"q": "m"}}, 422, "units"),
        ({"dataset_name": "kepler", "units": {"a": "parsnip", "T": "day"}}, 422, "parsnip"),
        ({"dataset_name": "kepler", "max_time": 0}, 422, "max_time"),
        ({"dataset_name": "kepler", "max_time": 10**4}, 422, "at most"),
        ({"dataset_name": "kepler", "max_tim": 1}, 422, "max_tim"),
        ({"dataset_name": "kepler", "max_time": "10"}, 422, "max_time"),
    ],
)
def test_a_search_that_cannot_be(service: LiveService, spec: dict, status: int, words: str) -> None:
    service.upload("kepler", KEPLER)
    assert words in detail(service.client.post("/fit", json=spec), status)


def test_a_job_says_in_a_sentence_why_it_failed(service: LiveService) -> None:
    service.upload("kepler", KEPLER)
    named = service.client.post("/train?wait=true", json={"target_name": "ADD", "dataset_name": "kepler"}).json()
    assert (named["state"], "primitive" in named["error"]) == ("failed", True)


# ---- several at once -------------------------------------------------------------------------------------------------


def test_eight_clients_lose_nothing(service: LiveService) -> None:
    """Each keeps a table, brings a function of its own into the library and uses it; two of them learn one as well."""
    outcomes: dict[int, tuple[str, list[float]]] = {}
    learned: dict[int, tuple[str, bool]] = {}

    def one(k: int) -> None:
        with httpx.Client(base_url=service.url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=300) as client:
            client.post("/datasets", json={"name": f"client {k}", "examples": products(k, factor=k + 2.0)})
            if k < 2:
                asked = {"target_name": f"LEARNED{k}", "dataset_name": f"client {k}", "num_epochs": 1, "max_depth": 1}
                job = client.post("/train?wait=true", json=asked).json()
                learned[k] = job["state"], job["result"]["exact"]
            step = {"call": "MUL", "functions": [], "arguments": [0, 0]}
            function = {"name": f"P{k}", "arity": 1, "steps": [step], "constants": [k + 1.0], "examples": [[[2], 4 * k + 4]]}
            document = {"format": "nssr-functions", "version": 1, "functions": [function]}
            job = client.post("/library/import?wait=true", json=document).json()
            value = client.post("/predict", json={"function": f"P{k}", "inputs": [[3]]}).json()["outputs"]
            outcomes[k] = job["state"], value

    threads = [threading.Thread(target=one, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == {k: ("done", [9.0 * k + 9]) for k in range(8)}
    assert learned == {k: ("done", True) for k in range(2)}
    there = {f["name"]: f["id"] for f in service.client.get("/functions").json()["functions"]}
    assert {*(f"P{k}" for k in range(8)), "LEARNED0", "LEARNED1"} <= there.keys()
    assert len(set(there.values())) == len(there)


# ---- the service itself ----------------------------------------------------------------------------------------------


def test_state_and_figures(service: LiveService) -> None:
    status = service.client.get("/").json()
    assert status["name"] == "nssr"
    assert status["functions"] == len(service.client.get("/functions").json()["functions"])
    text = service.client.get("/metrics").text
    assert 'nssr_jobs{state="running"} 0.0' in text
    assert 'nssr_requests_total{method="GET",route="/functions",status="200"}' in text
    assert "process_resident_memory_bytes" in text
    assert "products" not in text  # names of people's data are no labels
    page = httpx.get(service.url, headers={"Accept": "text/html"}, trust_env=False)
    assert page.text.lstrip().lower().startswith("<!doctype html>")


def test_pages_of_jobs(service: LiveService) -> None:
    ids: list[str] = []
    query: dict[str, int] = {"limit": 3}
    while True:
        page = service.client.get("/jobs", params=query).json()
        ids += [job["id"] for job in page["jobs"]]
        if page["next"] is None:
            break
        query["before"] = page["next"]
    assert len(ids) == len(set(ids)) == sum(service.client.get("/").json()["jobs"].values())


def test_a_reset_leaves_a_copy(service: LiveService) -> None:
    """The last test of this file: the library is as it was in the beginning."""
    detail(service.client.post("/reset", json={}), 422)
    learned = service.client.get("/").json()["learned"]
    assert learned > 0
    copy = service.client.post("/reset", json={"confirm": "reset"}).json()["backup"]
    assert service.client.get("/").json()["learned"] == 0
    conn = sqlite3.connect(service.folder / "backups" / copy)
    assert conn.execute("SELECT COUNT(*) FROM functions WHERE composition IS NOT NULL").fetchone() == (learned,)
    conn.close()
    assert service.client.get("/datasets").json()["datasets"]
    assert service.client.get("/history").json()["history"][0]["what"] == "reset"
