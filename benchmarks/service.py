"""The service under load: many clients for a minute while jobs run, and what became of everything that it answered.

    python -m benchmarks.service [--clients 64] [--seconds 60] [--json FILE]

Each client is a person at the page or a script: it reads (functions, a table, jobs, the state), asks for values, and now and
then brings a function in, or has a formula searched for, with pauses of 0.1 to 1 s between. Counted are the answers by status,
the milliseconds of reads, the memory of the service, and the jobs and functions that should be there at the end. Exit status 0
only with no answer 5xx, nothing lost, and the rest within the limits below.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.live_service import TOKEN, LiveService, served

P99_MS = 100.0
GROWTH = 0.10
SETTLED_S = 15.0  # until then caches fill
READS = ("/functions", "/datasets/kepler", "/jobs?limit=20", "/", "/history?limit=20", "/functions/ADD")


@dataclass
class Seen:
    statuses: Counter[int] = field(default_factory=Counter)
    reads_ms: list[float] = field(default_factory=list)
    predicts_ms: list[float] = field(default_factory=list)
    jobs: dict[str, str] = field(default_factory=dict)  # id: the function that it should leave, or nothing
    wrong: list[str] = field(default_factory=list)


async def client(k: int, url: str, end: float, seen: Seen) -> None:
    rng = random.Random(k)
    made = 0
    headers = {"Authorization": f"Bearer {TOKEN}"}
    # Without certificates, which this takes 30 ms to load: the first seconds would measure that.
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60, trust_env=False, verify=False) as http:
        await asyncio.sleep(rng.uniform(0, 1))  # people do not all come at the same moment
        while time.monotonic() < end:
            what = rng.random()
            began = time.monotonic()
            if what < 0.75:
                answer = await http.get(rng.choice(READS))
                seen.reads_ms.append(1000 * (time.monotonic() - began))
            elif what < 0.95:
                a, b = rng.randint(-99, 99), rng.randint(-99, 99)
                answer = await http.post("/predict", json={"function": "MUL", "inputs": [[a, b]] * 20})
                seen.predicts_ms.append(1000 * (time.monotonic() - began))
                if answer.status_code == 200 and answer.json()["outputs"] != [a * b] * 20:
                    seen.wrong.append(f"MUL({a}, {b})")
            elif what < 0.985:
                name = f"C{k} {made}"
                made += 1
                step = {"call": "MUL", "functions": [], "arguments": [0, 0]}
                function = {"name": name, "arity": 1, "steps": [step], "constants": [k + 1.5], "examples": [[[2], 4 * k + 6.0]]}
                document = {"format": "nssr-functions", "version": 1, "functions": [function]}
                answer = await http.post("/library/import", json=document)
                if answer.status_code == 202:
                    seen.jobs[answer.json()["id"]] = name
            else:
                answer = await http.post("/fit", json={"dataset_name": "kepler", "max_time": 2})
                if answer.status_code == 202:
                    seen.jobs[answer.json()["id"]] = ""
            seen.statuses[answer.status_code] += 1
            await asyncio.sleep(rng.uniform(0.1, 1.0))


async def load(service: LiveService, clients: int, seconds: float) -> tuple[Seen, list[float]]:
    """What the clients saw, and the service's resident MB every second."""
    seen, memory = Seen(), []
    assert service.process is not None
    process = psutil.Process(service.process.pid)
    end = time.monotonic() + seconds

    async def watch() -> None:
        while time.monotonic() < end:
            memory.append(process.memory_info().rss / 1e6)
            await asyncio.sleep(1)

    await asyncio.gather(watch(), *(client(k, service.url, end, seen) for k in range(clients)))
    return seen, memory


def lost(service: LiveService, seen: Seen) -> list[str]:
    """Jobs that did not end well, and functions that they should have left."""
    problems = []
    for job, name in seen.jobs.items():
        ended = service.until(job, "done", "failed", "cancelled", seconds=900)
        if ended["state"] != "done":
            problems.append(f"job {job}: {ended['state']} {ended['error']}")
        elif name and service.client.get(f"/functions/{name}").status_code != 200:
            problems.append(f"function {name}")
    return problems


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, served(Path(folder) / "data") as service:
        service.upload("kepler")
        seen, memory = asyncio.run(load(service, options.clients, options.seconds))
        gone = lost(service, seen)
    reads = sorted(seen.reads_ms)
    after = [m for second, m in enumerate(memory) if second >= min(SETTLED_S, options.seconds / 3)]
    figures: dict[str, Any] = {
        "clients": options.clients, "seconds": options.seconds, "answers": sum(seen.statuses.values()),
        "statuses": dict(sorted(seen.statuses.items())), "jobs": len(seen.jobs), "lost": gone, "wrong": seen.wrong,
        "read_ms": {"median": statistics.median(reads), "p99": reads[int(0.99 * len(reads))], "most": reads[-1]},
        "predict_ms_median": statistics.median(seen.predicts_ms), "memory_mb": [min(after), max(after)],
    }  # fmt: skip
    print(f"{figures['answers']} answers to {options.clients} clients in {options.seconds:g} s: {figures['statuses']}")
    print("reads: median {median:.1f} ms, p99 {p99:.1f} ms, most {most:.1f} ms".format(**figures["read_ms"]))
    print(f"{len(seen.jobs)} jobs taken on, lost or failed: {len(gone)} {gone[:3]}; wrong values: {len(seen.wrong)}")
    print(f"memory of the service after the start: {min(after):.0f} to {max(after):.0f} MB")
    if options.json:
        Path(options.json).write_text(json.dumps(figures, indent=1) + "\n")
    fine = not gone and not seen.wrong and not any(status >= 500 for status in seen.statuses)
    fine &= figures["read_ms"]["p99"] < P99_MS and max(after) < (1 + GROWTH) * min(after)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
