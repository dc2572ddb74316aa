"""The noise-column experiment: can NSSR tell the columns that matter from those that do not?

``python -m nssr.experiment_noise`` talks to a running service over HTTP (``--url``, ``--token``), or starts one for itself on a
free port with ``--serve``. Three parts: columns of pure noise (SQUARE, FORCE), columns that mislead (KE with a column that
follows m, PE between junk), and a synthesis (TOTAL_E, to be composed of KE and PE among junk). Exit status 0 only if all five
functions were found exactly, every junk column was ignored, and TOTAL_E is made of KE and PE.
"""

from __future__ import annotations

import argparse
import json as jsonlib
import os
import random
import re
import secrets
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

ROWS = 30
WIDTH = 70
BAR = 30
_ANSWER_S = 900.0
_START_S = 60.0


@dataclass
class _Server:
    """Where requests go; set by `main`."""

    url: str = "http://127.0.0.1:8000"
    token: str | None = None


SERVER = _Server()
RNG = random.Random()


# ---- talking to the service ------------------------------------------------------------------------------------------


def api(method: str, path: str, json: Any = None) -> dict | None:
    """One request; the parsed answer, or None after printing what went wrong (also for an answer without content)."""
    headers = {"Accept": "application/json"}
    if SERVER.token is not None:
        headers["Authorization"] = f"Bearer {SERVER.token}"
    body = None
    if json is not None:
        body, headers["Content-Type"] = jsonlib.dumps(json).encode(), "application/json"
    request = urllib.request.Request(SERVER.url + path, body, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=_ANSWER_S) as response:
            text = response.read()
            return jsonlib.loads(text) if text else None
    except urllib.error.HTTPError as error:
        try:
            detail = jsonlib.loads(error.read())["detail"]
        except (ValueError, KeyError, OSError):
            detail = error.reason
        print(f"  {method} {path}: {error.code}, {detail}")
    except (urllib.error.URLError, OSError, ValueError) as error:
        print(f"  {method} {path}: no answer ({getattr(error, 'reason', error)})")
    return None


def create_dataset(name: str, description: str, examples: list) -> dict:
    """Keeps the examples under ``name`` (another table of that name goes) and shows the first five."""
    path = "/datasets/" + urllib.parse.quote(name)
    there = api("GET", "/datasets") or {"datasets": []}
    if any(dataset["name"] == name for dataset in there["datasets"]):
        api("DELETE", path)
    made = api("POST", "/datasets", {"name": name, "description": description, "examples": examples})
    print(f"  dataset {name}: {len(examples)} examples. {description}")
    for inputs, output in examples[:5]:
        print(f"    {inputs} -> {output}")
    return made or {}


def train_function(
    target_name: str, dataset_name: str, max_depth: int = 5, num_epochs: int = 40, max_search_steps: int = 15
) -> dict:
    """Learns a function from a dataset and waits for it; the job's result, empty where it failed."""
    began = time.monotonic()
    job = api(
        "POST", "/train?wait=true",
        {"target_name": target_name, "dataset_name": dataset_name, "max_depth": max_depth, "num_epochs": num_epochs,
         "max_search_steps": max_search_steps},
    )  # fmt: skip
    seconds = time.monotonic() - began
    if job is None:
        return {}
    if job["state"] != "done":
        print(f"  {target_name}: {job['state']} after {seconds:.1f} s. {job['error'] or ''}")
        return {}
    result: dict = job["result"]
    found = "known already" if result.get("known_before") else "found" if result["found"] else "NOT FOUND"
    r2 = result["r2"]
    print(f"  {target_name}: {found}, R2 {'none' if r2 is None else format(r2, '.6f')}, {seconds:.1f} s, "
          f"{result['vocab_size']} functions known")  # fmt: skip
    if result.get("composition"):
        print(f"    {result['composition']}")
        print(f"    reads {', '.join(result['columns'])}; ignores {', '.join(result['ignored']) or 'nothing'}")
    return result


def evaluate(dataset_name: str) -> dict:
    """How well every function of the library explains the dataset: the best ones with bars, the best one row by row."""
    job = api("POST", "/test/eval?wait=true", {"dataset_name": dataset_name})
    if job is None or job["result"] is None:
        return {}
    result: dict = job["result"]
    best = result["best_r2"]
    print(f"  {result['best']} explains {result['exact_match']} of {result['rows']} rows; "
          f"best R2 {'none' if best is None else format(best, '.4f')}")  # fmt: skip
    for function in result["functions"][:6]:
        r2 = function["r2"]
        share = max(0.0, min(1.0, r2)) if r2 is not None else 0.0
        bar = "#" * round(BAR * share)
        print(f"    {function['name']:<12} {bar:<{BAR}} {'   none' if r2 is None else format(r2, '7.4f')}")
    for row in result["examples"][:5]:
        print(f"    {row['inputs']} -> {row['predicted']} {'is' if row['match'] else 'IS NOT'} {row['expected']}")
    return result


# ---- showing ---------------------------------------------------------------------------------------------------------


def section(title: str) -> None:
    print(f"\n{'=' * WIDTH}\n{title}\n{'=' * WIDTH}")


def subsection(title: str) -> None:
    print(f"\n{title}\n{'-' * WIDTH}")


def print_functions(funcs: list) -> None:
    """Functions with id, name, arity and layer."""
    for f in funcs:
        arity = "any" if f["arity"] is None else f["arity"]
        print(f"  {f['id']:>4}  {f['name']:<16} arity {arity:<4} layer {f['layer']}")


# ---- the data --------------------------------------------------------------------------------------------------------


def junk() -> float:
    """A number that means nothing."""
    return round(RNG.uniform(-100, 100), 2)


def noisy_correlated(val: float) -> float:
    """A number that follows ``val`` loosely, as a trap for whoever looks at correlations."""
    return val + RNG.uniform(-3, 3)


def _draw(low: float, high: float) -> float:
    return round(RNG.uniform(low, high), 2)


@dataclass(frozen=True)
class _Task:
    """``row`` draws one example; ``noise`` are the columns that the function must ignore; ``parts`` those it must use."""

    name: str
    description: str
    row: Callable[[], tuple[list[float], float]]
    noise: frozenset[str]
    parts: frozenset[str] = frozenset()


def _square() -> tuple[list[float], float]:
    x = _draw(-10, 10)
    return [x, junk(), junk()], x * x


def _force() -> tuple[list[float], float]:
    m, a = _draw(1, 20), _draw(-10, 10)
    return [junk(), m, junk(), a], m * a


def _kinetic() -> tuple[list[float], float]:
    m, v = _draw(1, 20), _draw(1, 15)
    return [m, noisy_correlated(m), v], 0.5 * m * v**2


def _potential() -> tuple[list[float], float]:
    m, h = _draw(1, 20), _draw(1, 50)
    return [junk(), m, h, junk()], m * 9.81 * h


def _total() -> tuple[list[float], float]:
    m, v, h = _draw(1, 20), _draw(1, 15), _draw(1, 50)
    return [m, junk(), v, h, junk()], 0.5 * m * v**2 + m * 9.81 * h


PARTS = (
    (
        "Part 1: columns of pure noise",
        (
            _Task("SQUARE", "x*x, then two columns of junk", _square, frozenset({"x1", "x2"})),
            _Task("FORCE", "m*a, junk before each of them", _force, frozenset({"x0", "x2"})),
        ),
    ),
    (
        "Part 2: columns that mislead",
        (
            _Task("KE", "0.5*m*v^2, and between m and v a column that follows m", _kinetic, frozenset({"x1"})),
            _Task("PE", "m*9.81*h between two columns of junk", _potential, frozenset({"x0", "x3"})),
        ),
    ),
    (
        "Part 3: synthesis among noise",
        (_Task("TOTAL_E", "KE + PE among junk", _total, frozenset({"x1", "x4"}), frozenset({"KE", "PE"})),),
    ),
)


# ---- the experiment --------------------------------------------------------------------------------------------------


def _try(task: _Task) -> list[str]:
    """Learns one function; what is not as it must be."""
    subsection(f"{task.name}: {task.description}")
    dataset = f"noise_{task.name.lower()}"
    if not create_dataset(dataset, task.description, [task.row() for _ in range(ROWS)]):
        return ["the dataset was refused"]
    result = train_function(task.name, dataset)
    if not result.get("found"):
        return ["not found"]
    wrong = []
    judged = evaluate(dataset)
    best = [f["name"] for f in judged.get("functions", ()) if f["exact"] == judged["rows"]]
    if task.name not in best and result.get("same_as") not in best:
        wrong.append("not right on every row")
    if set(result["ignored"]) != task.noise:
        wrong.append(f"ignores {', '.join(result['ignored']) or 'nothing'} instead of {', '.join(sorted(task.noise))}")
    if not task.parts <= set(result["uses"]):
        wrong.append(f"is not composed of {' and '.join(sorted(task.parts))}")
    return wrong


def _run() -> bool:
    began = time.monotonic()
    section("Noise-column experiment")
    status = api("GET", "/")
    if status is None:
        print("  no service answers; start one with nssr serve, or give --serve")
        return False
    print(f"  service {status['version']}: {status['functions']} functions, {status['learned']} of them learned")
    outcome: dict[str, list[str]] = {}
    for title, tasks in PARTS:
        section(title)
        for task in tasks:
            outcome[task.name] = _try(task)
    section("Summary")
    functions = (api("GET", "/functions") or {"functions": []})["functions"]
    learned = [f for f in functions if f["kind"] == "learned"]
    print_functions(learned)
    subsection("Compositions")
    for f in learned:
        print(f"  {f['name']} = {f['composition']}")
    subsection("Training history")
    for entry in (api("GET", "/history?limit=20") or {"history": []})["history"]:
        print(f"  {entry['at']}  {entry['what']:<9} {entry['name']:<12} {entry['detail']}")
    subsection("Verdict")
    for name, wrong in outcome.items():
        print(f"  {name:<8} {'as it must be' if not wrong else '; '.join(wrong)}")
    good = sum(not wrong for wrong in outcome.values())
    print(f"\n{good} of {len(outcome)} as they must be, {time.monotonic() - began:.0f} s")
    return good == len(outcome)


@contextmanager
def _served() -> Iterator[None]:
    """A service of one's own on a free port, gone at the end with all it kept."""
    SERVER.token = secrets.token_urlsafe(24)
    with tempfile.TemporaryDirectory(prefix="nssr-experiment-") as folder:
        process = subprocess.Popen(
            [sys.executable, "-m", "nssr.server", "--port", "0", "--data-dir", folder],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={**os.environ, "NSSR_TOKEN": SERVER.token},
        )  # fmt: skip
        try:
            SERVER.url = _address(process)
            yield
        finally:
            process.terminate()
            process.wait(30)


def _address(process: subprocess.Popen) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        found = re.match(r"Open (http://\S+?)/\?", line)
        if found:
            url = found[1]
            end = time.monotonic() + _START_S
            while time.monotonic() < end:
                try:
                    urllib.request.urlopen(url + "/healthz", timeout=5).close()
                    return url
                except OSError:
                    time.sleep(0.1)
    raise SystemExit("the service did not start; try nssr serve to see why")


def main() -> int:
    """The whole experiment; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m nssr.experiment_noise", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--serve", action="store_true", help="start a service of its own, on a free port")
    parser.add_argument("--url", default=SERVER.url, help="of a running service (default: %(default)s)")
    parser.add_argument("--token", help="of that service (default: NSSR_TOKEN)")
    parser.add_argument("--seed", type=int, default=0, help="of the rows and the junk (default: 0)")
    options = parser.parse_args()
    RNG.seed(options.seed)
    SERVER.url, SERVER.token = options.url.rstrip("/"), options.token or os.environ.get("NSSR_TOKEN")
    if not options.serve:
        return 0 if _run() else 1
    with _served():
        return 0 if _run() else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
