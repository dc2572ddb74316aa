"""What all addresses share: the store, the library, the supervisor."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.responses import JSONResponse, Response

from nssr.catalogue import Catalogue
from nssr.jobs.supervisor import Supervisor
from nssr.service.bodies import Job
from nssr.service.settings import Settings
from nssr.store import ENDED, Store

_HIDDEN = ("trees", "names")  # of a fit's result: what `keep` needs and nobody reads
_LOOK_AGAIN_S = 5.0


@dataclass
class Service:
    settings: Settings
    store: Store
    catalogue: Catalogue
    supervisor: Supervisor
    started: float = field(default_factory=time.monotonic)

    def add_job(self, kind: str, spec: dict[str, Any], *, dataset: str | None, payload: bytes | None = None) -> dict[str, Any]:
        return self.store.add_job(kind, spec, dataset=dataset, most_queued=self.settings.queue, payload=payload)


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


Shared = Annotated[Service, Depends(_service)]


def shown(job: dict[str, Any]) -> dict[str, Any]:
    """A job as clients see it."""
    if job.get("result") is not None:
        job = {**job, "result": {k: v for k, v in job["result"].items() if k not in _HIDDEN}}
    return job


async def accepted(request: Request, service: Service, job: dict[str, Any], wait: bool) -> Response:
    """202 with the place of the job; with ``wait`` 200 when it is over, or nothing to a client that has gone."""
    service.supervisor.wake()
    place = {"Location": f"/jobs/{job['id']}"}
    if wait:
        while (state := await asyncio.to_thread(service.store.state, job["id"])) not in ENDED:
            if await request.is_disconnected() or service.supervisor.stopping:
                break
            await service.supervisor.changed(job["id"], _LOOK_AGAIN_S)
        job = await asyncio.to_thread(service.store.job, job["id"])
        if state in ENDED:
            return JSONResponse(shown(job), 200, place)
    return JSONResponse(shown(job), 202, place)


TAKEN_ON: dict[int | str, dict[str, Any]] = {
    202: {
        "description": "The job was taken on; its place is in Location.", "model": Job,
        "headers": {"Location": {"schema": {"type": "string"}}},
    },
    200: {"description": "The job has ended (wait=true).", "model": Job},
}  # fmt: skip
