"""Who gets in, with what, and what happens to those who push: every refusal is a problem, nobody else waits, nothing is lost."""

from __future__ import annotations

import gzip
import io
import json
import re
import socket
import threading
import time
import zipfile
from collections.abc import Iterator
from urllib.parse import quote

import httpx
import pytest

from benchmarks.live_service import KEPLER, TOKEN, LiveService, detail, served
from nssr.service.settings import Settings


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveService]:
    with served(tmp_path_factory.mktemp("safety") / "data", "--max-body-mb", "3", "--max-columns", "50", "--queue", "3") as live:
        live.upload("kepler", KEPLER)
        yield live


@pytest.fixture
def stranger(service: LiveService) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, trust_env=False, timeout=60) as client:
        yield client


# ---- the token -------------------------------------------------------------------------------------------------------


PATHS = ["/", "/datasets", "/jobs", "/functions", "/metrics", "/openapi.json", "/library/backup", "/nowhere"]


@pytest.mark.parametrize("path", PATHS)
def test_nothing_without_the_token(stranger: httpx.Client, path: str) -> None:
    answer = stranger.get(path)
    assert "token" in detail(answer, 401)
    assert answer.headers["www-authenticate"] == "Bearer"
    detail(stranger.get(path, headers={"Authorization": "Bearer wrong"}), 401)
    detail(stranger.get(path, headers={"Authorization": f"Basic {TOKEN}"}), 401)
    detail(stranger.get(path, headers={"Cookie": f"nssr-session={TOKEN}"}), 401)


def test_the_page_and_health_are_for_all(stranger: httpx.Client) -> None:
    assert stranger.get("/healthz").status_code == 200
    page = stranger.get("/", headers={"Accept": "text/html"})
    assert page.status_code == 200
    assert TOKEN not in page.text


def test_the_printed_address_sets_a_cookie(stranger: httpx.Client, service: LiveService) -> None:
    answer = stranger.get("/", params={"token": TOKEN}, headers={"Accept": "text/html"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    assert TOKEN not in cookie
    assert stranger.get("/datasets").status_code == 200
    wrong = httpx.get(service.url, params={"token": "wrong"}, headers={"Accept": "text/html"}, trust_env=False)
    assert "set-cookie" not in wrong.headers
    assert TOKEN not in service.log.read_text()


def test_a_login_trades_the_token(stranger: httpx.Client) -> None:
    detail(stranger.post("/login", json={"token": "wrong"}), 401)
    assert stranger.post("/login", json={"token": TOKEN}).status_code == 204
    assert stranger.get("/jobs").status_code == 200


def test_another_sites_page_cannot_use_the_cookie(stranger: httpx.Client, service: LiveService) -> None:
    stranger.post("/login", json={"token": TOKEN})
    host = service.url.removeprefix("http://")
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
        assert "another site" in detail(stranger.delete("/datasets/kepler", headers=headers), 403)
    assert stranger.post("/predict", json={"function": "ADD", "inputs": [[1, 2]]}, headers={"Origin": f"http://{host}"}).json()
    assert "access-control-allow-origin" not in stranger.get("/jobs", headers={"Origin": "https://evil.example"}).headers
    assert "kepler" in [d["name"] for d in service.client.get("/datasets").json()["datasets"]]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "localhost.evil.example", "", "a:b:c"])
def test_a_name_that_is_not_ours(service: LiveService, host: str) -> None:
    detail(service.client.get("/jobs", headers={"Host": host}), 421)


def test_which_hosts_are_ours() -> None:
    from pathlib import Path

    settings = Settings(Path(), "t" * 16, allowed_hosts=frozenset({"lab.example"}))
    for host in ("localhost", "LOCALHOST:8000", "127.0.0.1:1", "[::1]:8000", "192.168.1.5", "lab.example:443", "lab.example."):
        assert settings.knows_host(host), host
    for host in ("lab.example.evil", "xlab.example", "127.0.0.1.evil", "[evil]", "localhost@evil"):
        assert not settings.knows_host(host), host


# ---- headers ---------------------------------------------------------------------------------------------------------


def test_every_answer_is_closed_to_others(service: LiveService, stranger: httpx.Client) -> None:
    for answer in (stranger.get("/healthz"), stranger.get("/jobs"), service.client.get("/nowhere"), service.client.get("/jobs")):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert "server" not in answer.headers


# ---- names -----------------------------------------------------------------------------------------------------------

NAMES = [
    "../../etc/passwd", "..", ".", "a/b", "a\\b", "nul\x00", "line\nbreak", "x" * 201, "x" * 10_000, " ", "\u202eevil",
    "%2e%2e%2f", "'; DROP TABLE datasets; --", "<script>alert(1)</script>", "na\u00efve \u03b1", "\ud7ff", "CON",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_names_are_labels(service: LiveService, name: str) -> None:
    """A name is refused in a sentence, or is a name like any other; it reaches neither the disk nor the SQL."""
    before = sorted(p.name for p in service.folder.rglob("*") if not p.name.startswith(("service.db", "symbolic.db")))
    for answer in (service.upload(name), service.examples(name, [[[1], 2], [[2], 4], [[3], 6]])):
        assert answer.status_code in (201, 409, 422), answer.text
        if answer.status_code == 422:
            detail(answer, 422)
    there = [d["name"] for d in service.client.get("/datasets").json()["datasets"]]
    if name.strip() in there:
        assert service.client.get(f"/datasets/{quote(name.strip(), safe='')}").json()["name"] == name.strip()
        assert service.client.delete(f"/datasets/{quote(name.strip(), safe='')}").status_code == 204
    assert "kepler" in there
    assert before == sorted(p.name for p in service.folder.rglob("*") if not p.name.startswith(("service.db", "symbolic.db")))


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_names_that_there_are_not(service: LiveService, name: str) -> None:
    part = quote(name, safe="")
    for path in (f"/datasets/{part}", f"/functions/{part}", f"/jobs/{part}", f"/jobs/{part}/events", f"/functions/{part}/export"):
        assert service.client.get(path).status_code in (200, 404, 422), path  # /jobs/.. is /
    for path in ("/static/../../pyproject.toml", "/static/%2e%2e/%2e%2e/pyproject.toml", "/static/..%5c..%5cpyproject.toml"):
        assert "build-system" not in service.client.get(path).text
    refused = service.client.post("/train", json={"target_name": name, "dataset_name": name})
    assert refused.status_code in (404, 422)


# ---- bodies ----------------------------------------------------------------------------------------------------------


def test_bodies_of_other_kinds(service: LiveService) -> None:
    def post(path: str, content: bytes, **headers: str) -> httpx.Response:
        return service.client.post(path, content=content, headers={k.replace("_", "-"): v for k, v in headers.items()})

    detail(post("/datasets", b"name=x", Content_Type="application/x-www-form-urlencoded"), 415)
    detail(post("/fit", b"{}", Content_Type="text/plain"), 415)
    detail(post("/datasets/upload?name=z", b"{}", Content_Type="application/json"), 415)
    detail(post("/fit", b"{", Content_Type="application/json"), 422)
    detail(post("/fit", b"[" * 100_000, Content_Type="application/json"), 400)
    detail(post("/fit", b"\xff\xfe", Content_Type="application/json"), 422)
    detail(post("/fit", b"", Content_Type="application/json"), 422)
    packed = gzip.compress(b"a,b\n" + b"1,2\n" * 10_000_000, 9)
    detail(post("/datasets/upload?name=z", packed, Content_Type="text/csv", Content_Encoding="gzip"), 415)
    assert "gzip" in detail(post("/datasets/upload?name=z", packed, Content_Type="text/csv"), 422)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.csv", b"a,b\n" + b"1,2\n" * 1_000_000)
    assert "zip" in detail(post("/datasets/upload?name=z", archive.getvalue(), Content_Type="text/csv"), 422)


def test_large_bodies_end_early(service: LiveService) -> None:
    text = b"a,b\n" + b"1,2\n" * 1_000_000
    assert "3 MB" in detail(service.upload("large", text), 413)
    sent = 0

    def endless() -> Iterator[bytes]:  # of unknown length: counted as it comes
        nonlocal sent
        yield b"a,b\n"
        while sent < 1 << 30:
            sent += 1 << 20
            yield b"1,2\n" * (1 << 18)

    answer = service.client.post("/datasets/upload?name=endless", content=endless(), headers={"Content-Type": "text/csv"})
    assert "3 MB" in detail(answer, 413)
    assert service.memory_mb() < 400  # none of that gigabyte was kept
    detail(service.client.post("/predict", json={"function": "ADD", "inputs": [[1, 2]] * 600_000}), 413)
    assert service.client.get("/healthz").status_code == 200
    assert not any((service.folder / "uploads").iterdir())


def test_wide_and_long_tables(service: LiveService) -> None:
    wide = ",".join(f"c{i}" for i in range(200_000)).encode() + b"\n"
    assert "columns" in detail(service.upload("wide", wide + b"1,2\n"), 422)
    rows = [[list(range(60)), 1]] * 3
    assert "columns" in detail(service.examples("wide", rows), 422)
    assert "10,000" in detail(service.client.post("/predict", json={"function": "INC", "inputs": [[1]] * 10_001}), 422)


def test_a_value_that_would_take_forever_does_not(service: LiveService) -> None:
    """Loops within loops have an end by their fuel, a request by its seconds."""
    loop = {"call": "LOOP", "functions": ["INC"], "arguments": [0, 0]}
    functions = [{"name": "SLOW0", "arity": 1, "steps": [loop], "constants": None, "examples": [[[3], 6]]}]
    for k in range(1, 4):
        inner = {"call": "LOOP", "functions": [f"SLOW{k - 1}"], "arguments": [0, 0]}
        functions.append({"name": f"SLOW{k}", "arity": 1, "steps": [inner], "constants": None, "examples": []})
    document = {"format": "nssr-functions", "version": 1, "functions": functions}
    assert service.client.post("/library/import?wait=true", json=document).json()["state"] == "done"
    began = time.monotonic()
    answer = service.client.post("/predict", json={"function": "SLOW3", "inputs": [[900]] * 1000}).json()
    assert time.monotonic() - began < 60
    assert len(answer["errors"]) > 900


# ---- slow clients ----------------------------------------------------------------------------------------------------


def _connect(service: LiveService) -> socket.socket:
    host, port = re.match(r"http://(.+):(\d+)", service.url).groups()  # type: ignore[union-attr]
    return socket.create_connection((host, int(port)), timeout=60)


def test_slow_clients_hold_up_nobody(service: LiveService) -> None:
    """Heads that never end, bodies that never come, events that nobody reads: a hundred of them, and others are served."""
    head = f"Host: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
    job = service.client.post("/fit?wait=true", json={"dataset_name": "kepler", "max_time": 1}).json()
    slow = []
    for k in range(102):
        sock = _connect(service)
        if k % 3 == 0:
            sock.sendall(b"GET /jobs HTTP/1.1\r\nHost: local")
        elif k % 3 == 1:
            kind = "Content-Type: text/csv\r\nContent-Length: 1000\r\n"
            sock.sendall(f"POST /datasets/upload?name=slow HTTP/1.1\r\n{head}{kind}\r\na,b\n".encode())
        else:
            sock.sendall(f"GET /jobs/{job['id']}/events HTTP/1.1\r\n{head}\r\n".encode())
        slow.append(sock)
    times = []
    for _ in range(50):
        began = time.monotonic()
        assert service.client.get("/functions").status_code == 200
        times.append(time.monotonic() - began)
    assert sorted(times)[25] < 2
    slow[0].settimeout(40)
    assert slow[0].recv(100) == b""  # the head never came
    slow[1].settimeout(40)
    assert b" 408 " in slow[1].recv(10_000)
    for sock in slow:
        sock.close()
    assert service.client.get("/").json()["datasets"] >= 1


def test_a_full_queue_says_when_to_come_again(service: LiveService) -> None:
    spec = {"dataset_name": "kepler", "max_time": 60}
    answers = [service.client.post("/fit", json=spec) for _ in range(6)]
    taken = [a.json()["id"] for a in answers if a.status_code == 202]
    assert 3 <= len(taken) <= 4  # one runs, three wait
    full = [a for a in answers if a.status_code != 202]
    assert "wait already" in detail(full[0], 429)
    assert int(full[0].headers["retry-after"]) > 0
    for job in taken:
        service.client.delete(f"/jobs/{job}")
    for job in taken:
        service.until(job, "cancelled", "done")


def test_many_at_once_are_answered(service: LiveService) -> None:
    statuses: list[int] = []

    def ask() -> None:
        with httpx.Client(base_url=service.url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60) as client:
            statuses.extend(client.get(path).status_code for path in ("/functions", "/jobs", "/datasets", "/") * 3)

    threads = [threading.Thread(target=ask) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 32 * 12


def test_the_log_is_lines_of_json(service: LiveService) -> None:
    service.client.get("/datasets/two%0Alines%1b[31m")
    for line in service.log.read_text().splitlines():
        entry = json.loads(line)
        assert {"time", "level", "logger", "message"} <= entry.keys()
        assert entry["level"] != "error", entry
