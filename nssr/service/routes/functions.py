"""The library: what is in it, what its functions give, how they come and go."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.background import BackgroundTask

from nssr import exchange
from nssr.catalogue import Form
from nssr.service.bodies import Function, Functions, Job, Predict, Prediction, Reset
from nssr.service.core import TAKEN_ON, Service, Shared, accepted
from nssr.service.problems import Problem, documented

router = APIRouter(tags=["library"])

_TYPES = {"json": "application/json", "mathml": "application/mathml+xml"}
_FORMS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The function as text.",
        "content": {kind: {"schema": {}} for kind in ("application/json", "application/mathml+xml", "text/plain")},
    }
}
_FILE: dict[int | str, dict[str, Any]] = {
    200: {"description": "An SQLite file.", "content": {"application/vnd.sqlite3": {"schema": {"type": "string"}}}}
}
_DOCUMENT = {"requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}}


@router.get("/functions", response_model=Functions)
def functions(service: Shared) -> dict[str, Any]:
    """All functions by layer and id."""
    return {"functions": service.catalogue.functions()}


@router.get("/functions/{name:path}/export", responses=_FORMS, response_class=Response)
def export(name: str, service: Shared, format: Annotated[Form, Query()] = "json") -> Response:
    """One function as text: for another library, a paper, or a program."""
    text = service.catalogue.export(name, format)
    return Response(text, media_type=_TYPES.get(format, "text/plain; charset=utf-8"))


@router.get("/functions/{name:path}", response_model=Function)
def function(name: str, service: Shared) -> dict[str, Any]:
    """One function."""
    return service.catalogue.function(name)


@router.delete("/functions/{name:path}", status_code=204, response_class=Response, responses=documented(409))
async def delete(name: str, service: Shared) -> None:
    """Delete a learned function that no other uses, while no job runs."""
    with service.supervisor.held():
        _refuse_while_running(service)
        try:
            await asyncio.to_thread(service.catalogue.delete, name)
        except ValueError as error:
            raise Problem(409, f"{error}.") from None
    await asyncio.to_thread(service.store.remember, "deleted", name)


def _refuse_while_running(service: Service) -> None:
    if service.supervisor.busy_with_library():
        raise Problem(409, "A job that reads the library is running; wait for it or cancel it.")


@router.post("/predict", response_model=Prediction)
def predict(body: Predict, service: Shared) -> dict[str, Any]:
    """Values of a function on rows of numbers."""
    if len(body.inputs) > service.settings.predict_rows:
        raise Problem(422, f"{len(body.inputs):,} rows were given; {service.settings.predict_rows:,} are taken at a time.")
    try:
        return service.catalogue.predict(body.function, body.inputs, service.settings.predict_s)
    except ValueError as error:
        raise Problem(422, f"{error}.") from None


@router.get("/library/export", response_model=dict[str, Any])
def export_all(service: Shared) -> dict[str, Any]:
    """All learned functions, for another library."""
    return exchange.exported(service.catalogue.state())


@router.post(
    "/library/import", status_code=202, response_model=Job, responses={**TAKEN_ON, **documented(429)}, openapi_extra=_DOCUMENT
)
async def import_(request: Request, service: Shared, wait: Annotated[bool, Query()] = False) -> Response:
    """Take in exported functions, once a job of its own has found that each has the values it came with."""
    body = await request.body()
    if not body:
        raise Problem(422, "The body is empty; send what GET /library/export gave.")
    job = await asyncio.to_thread(service.add_job, "import", {"bytes": len(body)}, dataset=None, payload=body)
    return await accepted(request, service, job, wait)


@router.get("/library/backup", response_class=FileResponse, responses=_FILE)
def backup(service: Shared) -> FileResponse:
    """The library as a file, consistent while others write."""
    path = Path(tempfile.mkdtemp(prefix="backup-", dir=service.settings.data_dir / "uploads")) / "symbolic.db"
    service.catalogue.backup(path)

    def forget() -> None:
        path.unlink()
        path.parent.rmdir()

    return FileResponse(
        path, media_type="application/vnd.sqlite3", filename="symbolic.db", background=BackgroundTask(forget)
    )  # fmt: skip


@router.post("/reset", responses=documented(409), response_model=dict[str, str | None])
async def reset(body: Reset, service: Shared) -> Response:
    """The library as it was in the beginning; a copy of the old one stays on the disk of the service."""
    with service.supervisor.held():
        counts = await asyncio.to_thread(service.store.counts)
        if counts["queued"] or counts["running"] or service.supervisor.busy_with_library():
            raise Problem(409, "There are open jobs; wait for them or cancel them.")
        name = await asyncio.to_thread(_reset, service, body.datasets)
    return JSONResponse({"backup": name})


def _reset(service: Service, datasets: bool) -> str | None:
    name = None
    if service.catalogue.counts()["learned"]:
        folder = service.settings.data_dir / "backups"
        folder.mkdir(exist_ok=True)
        number = 1 + max((int(p.stem.split("-")[1]) for p in folder.glob("library-*.db")), default=0)
        name = f"library-{number}.db"
        service.catalogue.backup(folder / name)
    service.catalogue.reset(service.settings.packs)
    if datasets:
        for facts in service.store.datasets():
            service.store.delete_dataset(facts["name"])
    service.store.remember("reset", "library", f"the old one is {name}" if name else "it held no learned function")
    return name
