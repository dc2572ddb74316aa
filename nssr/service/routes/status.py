"""The service itself: its page, its state, its health."""

from __future__ import annotations

import asyncio
import hmac
import time
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse, JSONResponse, RedirectResponse, Response

from nssr import __version__
from nssr.service.bodies import Health, History, Login, Status
from nssr.service.core import Service, Shared
from nssr.service.guard import COOKIE, cookie_of
from nssr.service.metrics import CONTENT_TYPE
from nssr.service.problems import Problem

router = APIRouter(tags=["service"])

PAGE = Path(__file__).resolve().parents[2] / "web" / "static"

_GUESSING_S = 0.5  # until a wrong token is answered
_TWO_FACES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The page or the state.", "content": {"text/html": {"schema": {"type": "string"}}}},
    303: {"description": "The token was right; the cookie is set."},
}
_TEXT: dict[int | str, dict[str, Any]] = {
    200: {"description": "Prometheus' text format.", "content": {"text/plain": {"schema": {"type": "string"}}}}
}


def _let_in(response: Response, service: Service) -> Response:
    if service.settings.token is not None:
        response.set_cookie(
            COOKIE, cookie_of(service.settings.token), httponly=True, samesite="strict", path="/", max_age=30 * 86_400
        )  # fmt: skip
    return response


def _is_token(service: Service, given: str) -> bool:
    return service.settings.token is None or hmac.compare_digest(given.encode(), service.settings.token.encode())


@router.get("/", response_model=Status, responses=_TWO_FACES)
async def root(request: Request, service: Shared, token: Annotated[str | None, Query(max_length=1000)] = None) -> Response:
    """The page for browsers; the state of the service as JSON for those who ask for it."""
    if "text/html" in request.headers.get("accept", ""):
        if token is not None:  # the address that was printed: the token leaves the address bar
            response = RedirectResponse("/", 303)
            if _is_token(service, token):
                return _let_in(response, service)
            await asyncio.sleep(_GUESSING_S)
            return response
        return FileResponse(PAGE / "index.html", media_type="text/html")
    return JSONResponse(await asyncio.to_thread(_status, service))


def _status(service: Service) -> dict[str, Any]:
    settings = service.settings
    return {
        "name": "nssr", "version": __version__, **service.catalogue.counts(), "datasets": service.store.count_datasets(),
        "jobs": service.store.counts(), "uptime_s": round(time.monotonic() - service.started, 1),
        "limits": {
            "body_mb": settings.body_mb, "rows": settings.rows, "columns": settings.columns, "queue": settings.queue,
            "job_seconds": settings.jobs.seconds, "job_memory_mb": settings.jobs.memory_mb, "jobs_at_once": settings.jobs.workers,
        },
    }  # fmt: skip


@router.post("/login", status_code=204, response_class=Response)
async def login(body: Login, service: Shared) -> Response:
    """Trade the token for the cookie of the page."""
    if not _is_token(service, body.token):
        await asyncio.sleep(_GUESSING_S)
        raise Problem(401, "That is not the token of this service.", {"WWW-Authenticate": "Bearer"})
    return _let_in(Response(status_code=204), service)


@router.get("/healthz", response_model=Health)
async def health() -> dict[str, str]:
    """Whether the service answers; needs no token."""
    return {"status": "ok"}


@router.get("/metrics", response_class=Response, responses=_TEXT)
def metrics(request: Request) -> Response:
    """Figures for Prometheus."""
    return Response(request.app.state.metrics.text(), headers={"Content-Type": CONTENT_TYPE})


@router.get("/history", response_model=History)
def history(service: Shared, limit: Annotated[int, Query(ge=1, le=1000)] = 200) -> dict[str, Any]:
    """What happened to the library, newest first."""
    return {"history": service.store.history(limit)}
