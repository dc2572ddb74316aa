"""``python -m nssr.jobs.worker``: the process of one job.

The order comes as one line of JSON on standard input; events and the outcome go out as lines of JSON on standard output. When
standard input ends, the service is gone, and so is this process: nobody would take its result. SIGINT asks it to stop and to say
what it has so far.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import tempfile
import threading
import warnings
from pathlib import Path
from typing import Any, TextIO

_MEGABYTE = 1 << 20


class _Outbox:
    """Lines to the service; one at a time, from any thread."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._lock = stream, threading.Lock()

    def send(self, **message: Any) -> None:
        line = json.dumps(message, ensure_ascii=False, allow_nan=False)
        with self._lock:
            self._stream.write(line + "\n")
            self._stream.flush()

    def tell(self, name: str, data: dict[str, Any]) -> None:
        self.send(event=name, data=data)


def _end_with_the_service() -> None:
    """Read what is left of standard input, which is nothing, and end when it ends."""
    while os.read(0, 4096):
        pass
    os._exit(1)


def _limit(order: dict[str, Any]) -> None:
    """So much memory of one's own, so large files, no image of the process on the disk when it crashes."""
    memory = int(order["memory_mb"]) * _MEGABYTE
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(5)  # those who only look at a page wait for nobody


def _run(order: dict[str, Any], outbox: _Outbox) -> dict[str, Any]:
    from nssr.jobs import tasks
    from nssr.store import Store
    from nssr.table import read_csv

    folder, spec = Path(order["folder"]), order["spec"]
    store = Store(folder / "service.db")
    if order["kind"] == "import":
        return tasks.take_in(store.payload(order["job"]), folder)
    with tempfile.TemporaryDirectory(prefix="nssr-job-") as place:
        path = Path(place) / "table.csv"
        path.write_bytes(store.csv(order["dataset"]))
        table = read_csv(path, spec.get("target") or order["target"])
    task = {"train": tasks.train, "fit": tasks.fit, "eval": tasks.evaluate}[order["kind"]]
    return task(spec, table, folder, outbox.tell, order["threads"])


def main() -> int:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Whatever a library prints goes to the log; the pipe to the service holds nothing but messages.
    outbox = _Outbox(os.fdopen(os.dup(1), "w", encoding="utf-8"))
    os.dup2(2, 1)
    order = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_the_service, daemon=True).start()
    _limit(order)
    warnings.filterwarnings("ignore", message=".* encountered in ")
    warnings.showwarning = lambda text, *_: outbox.tell("note", {"text": str(text)})
    from nssr.errors import UserError
    from nssr.jobs.tasks import Cancelled

    try:
        outbox.send(result=_run(order, outbox))
    except UserError as refusal:
        outbox.send(error=str(refusal))
    except MemoryError:
        outbox.send(error=f"it needs more than the {order['memory_mb']} MB that a job may have; give fewer rows or columns")
    except Cancelled as cancelled:
        outbox.send(cancelled=True, result=cancelled.result)
    except KeyboardInterrupt:
        outbox.send(cancelled=True, result=None)
    return 0


if __name__ == "__main__":
    sys.exit(main())
