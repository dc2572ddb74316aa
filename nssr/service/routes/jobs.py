"""Jobs: to learn a function, to find a formula, to judge the library on a table."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import JSONResponse, Response

from nssr import db, library, operation_names
from nssr.found_formula import FoundFormula
from nssr.jobs.tasks import unpacked
from nssr.service.bodies import Evaluate, Fit, Function, Job, Jobs, Keep, Kind, State, Train
from nssr.service.core import TAKEN_ON, Service, Shared, accepted, shown
from nssr.service.problems import Problem, documented
from nssr.service.streams import EventStream, events_of
from nssr.units import dimensions

router = APIRouter(tags=["jobs"])

Wait = Annotated[bool, Query(description="Answer when the job has ended.")]
_EVENTS: dict[int | str, dict[str, Any]] = {
    200: {"description": "Server-sent events.", "content": {"text/event-stream": {"schema": {"type": "string"}}}}
}


def _checked_function_name(name: str) -> str:
    try:
        db.check_name(name.strip())
    except ValueError as error:
        raise Problem(422, f"{error}.") from None
    return name.strip()


@router.post("/train", status_code=202, response_model=Job, responses={**TAKEN_ON, **documented(409, 429)})
async def train(body: Train, request: Request, service: Shared, wait: Wait = False) -> Response:
    """Learn the function ``target_name`` from a table."""
    name = _checked_function_name(body.target_name)
    spec = body.model_dump() | {"target_name": name, "packs": ",".join(service.settings.packs)}
    job = await asyncio.to_thread(service.add_job, "train", spec, dataset=body.dataset_name)
    return await accepted(request, service, job, wait)


@router.post("/fit", status_code=202, response_model=Job, responses={**TAKEN_ON, **documented(429)})
async def fit(body: Fit, request: Request, service: Shared, wait: Wait = False) -> Response:
    """Find a formula for a column of a table."""
    await asyncio.to_thread(_check_fit, body, service)
    spec = body.model_dump() | {"memory_limit": service.settings.jobs.memory_mb * 500_000}
    job = await asyncio.to_thread(service.add_job, "fit", spec, dataset=body.dataset_name)
    return await accepted(request, service, job, wait)


def _check_fit(body: Fit, service: Service) -> None:
    """What can be refused before the job waits in the queue."""
    facts = service.store.dataset(body.dataset_name)
    names = [*facts["columns"], facts["target"]]
    if body.target is not None and body.target not in names:
        raise Problem(422, f"The dataset has no column {body.target!r}; its columns are {', '.join(map(repr, names[:20]))}.")
    longest = 0.9 * service.settings.jobs.seconds
    if body.max_time > longest:
        raise Problem(422, f"max_time may be {longest:g} s at most in this service.")
    if body.operations is not None:
        try:
            operation_names.operations(body.operations)
        except ValueError as error:
            raise Problem(422, str(error)) from None
    if body.units is not None:
        target = body.target or facts["target"]
        try:
            dimensions(body.units, [name for name in names if name != target], target)
        except ValueError as error:
            raise Problem(422, str(error)) from None


@router.post("/test/eval", status_code=202, response_model=Job, responses={**TAKEN_ON, **documented(429)})
async def evaluate(body: Evaluate, request: Request, service: Shared, wait: Wait = False) -> Response:
    """How well every function of the library explains a table."""
    job = await asyncio.to_thread(service.add_job, "eval", body.model_dump(), dataset=body.dataset_name)
    return await accepted(request, service, job, wait)


@router.get("/jobs", response_model=Jobs)
def jobs(
    service: Shared, state: State | None = None, kind: Kind | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50, before: Annotated[int | None, Query(ge=1, lt=2**63)] = None,
) -> dict[str, Any]:  # fmt: skip
    """Jobs without their results, newest first."""
    page, following = service.store.jobs(state=state, kind=kind, limit=limit, before=before)
    return {"jobs": page, "next": following}


@router.get("/jobs/{job_id}", response_model=Job)
def job(job_id: str, service: Shared) -> dict[str, Any]:
    """One job with its result."""
    return shown(service.store.job(job_id))


@router.get("/train/status/{job_id}", response_model=Job)
def status(job_id: str, service: Shared) -> dict[str, Any]:
    """One job with its result."""
    return shown(service.store.job(job_id))


@router.delete("/jobs/{job_id}", response_model=Job)
async def cancel(job_id: str, service: Shared) -> dict[str, Any]:
    """Ask a job to stop; one that has ended stays as it is."""
    await service.supervisor.cancel(job_id)
    return shown(await asyncio.to_thread(service.store.job, job_id))


@router.get("/jobs/{job_id}/events", response_class=EventStream, responses=_EVENTS)
async def events(
    job_id: str, service: Shared, last_event_id: Annotated[str | None, Header(max_length=40)] = None
) -> EventStream:
    """What happens in a job, as server-sent events from the first, or after the one named by Last-Event-ID."""
    await asyncio.to_thread(service.store.state, job_id)  # Missing before the answer begins
    after = int(last_event_id) if last_event_id is not None and last_event_id.isascii() and last_event_id.isdigit() else 0
    return EventStream(events_of(service.store, service.supervisor, job_id, min(after, 2**62)))


@router.post("/jobs/{job_id}/keep", status_code=201, response_model=Function, responses=documented(409))
def keep(job_id: str, body: Keep, service: Shared) -> Response:
    """Make the formula of a finished search a function of the library."""
    name = _checked_function_name(body.name)
    found = service.store.job(job_id)
    result = found["result"]
    if found["kind"] != "fit" or result is None:
        raise Problem(409, "Only a formula search that has ended with a result has a formula to keep.")
    place = result["chosen"] if body.equation is None else body.equation
    if place >= len(result["trees"]):
        raise Problem(422, f"The search has {len(result['trees'])} equations, counted from 0.")
    formula = FoundFormula(unpacked(result["trees"][place]), tuple(result["names"]))
    try:
        library.deposit(service.settings.library, name, formula, _rows_of(service, job_id, result))
    except ValueError as error:
        if "already" in str(error):
            raise Problem(409, str(error)) from None
        raise Problem(422, str(error)) from None
    service.store.remember("kept", name, str(formula), job_id)
    return JSONResponse(service.catalogue.function(name), 201)


def _rows_of(service: Service, job_id: str, result: dict[str, Any]) -> Any:
    """Rows on which the function must have the formula's values: those of the table that are kept for a look at it."""
    table, names = service.store.dataset_of(job_id), result["names"]
    if table is None:
        return np.empty((0, len(names)))
    columns = [*table["columns"], table["target"]]
    return np.array([[row[columns.index(n)] for n in names] for row in table["preview"]], dtype=np.float64)
