"""Errors as RFC 9457 problem details: one sentence for a person, nothing of the inside.

Handlers for everything that the rooms below raise; a defect is logged with its traceback and told as "internal error".
"""

from __future__ import annotations

import errno
import logging
import sqlite3
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from nssr.catalogue import NoSuchForm, Unknown
from nssr.errors import UserError
from nssr.store import Full, InUse, Missing, Taken

log = logging.getLogger("nssr.service")

MEDIA_TYPE = "application/problem+json"
RETRY_S = {429: "5", 503: "2"}
MOST_ERRORS = 20


class Fault(BaseModel):
    """One of several things that are wrong."""

    where: str
    detail: str


class ProblemDetails(BaseModel):
    """RFC 9457."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[Fault] | None = None


class Problem(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, headers


def answer(
    status: int, detail: str, *, errors: Sequence[Fault] = (), headers: Mapping[str, str] | None = None
) -> Response:
    body: dict[str, Any] = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    if errors:
        body["errors"] = [fault.model_dump() for fault in errors]
    extra = {"Retry-After": RETRY_S[status]} if status in RETRY_S else {}
    return JSONResponse(body, status, {**extra, **(headers or {})}, MEDIA_TYPE)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For ``responses=`` of a route: what may go wrong there."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


ANYWHERE = documented(400, 401, 403, 404, 405, 408, 413, 415, 421, 422, 500, 503, 507)


def trouble_with_files(error: BaseException) -> tuple[int, str] | None:
    """Status and sentence for a disk or a database that cannot be used at the moment; None for anything else."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return 507, "The disk is full; nothing was changed."
        if isinstance(error, sqlite3.Error):
            code = int(getattr(error, "sqlite_errorcode", 0)) & 0xFF
            if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
                return 507, "The disk is full or fails; nothing was changed."
            if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                return 503, "Another program holds the database; nothing was changed. Try again in a moment."
            if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
                return 507, "The database cannot be written; nothing was changed."
        error = error.__cause__  # type: ignore[assignment]
    return None


def install(app: FastAPI) -> None:
    """Makes every exception of the service an answer."""

    def add(kind: type[Exception], handler: Any) -> None:
        app.add_exception_handler(kind, handler)

    add(Problem, lambda request, e: answer(e.status, e.detail, headers=e.headers))
    add(ClientDisconnect, lambda request, e: answer(400, "The client has gone."))
    add(HTTPException, lambda request, e: answer(e.status_code, _sentence(e), headers=e.headers))
    add(RequestValidationError, _invalid)
    add(Missing, lambda request, e: answer(404, f"There is no {_what(request)} {_shown(e)}."))
    add(Unknown, lambda request, e: answer(404, f"There is no function {_shown(e)}."))
    add(Taken, lambda request, e: answer(409, f"There is a dataset named {_shown(e)} already; choose another name."))
    add(InUse, lambda request, e: answer(409, f"The job {e} reads it; wait for that job or cancel it."))
    add(Full, lambda request, e: answer(429, f"{e} jobs wait already; try again when some have ended."))
    add(NoSuchForm, lambda request, e: answer(422, f"{e}."))
    add(UserError, _refused)
    add(sqlite3.Error, _broken)
    add(OSError, _broken)
    add(Exception, _defect)


def _sentence(error: HTTPException) -> str:
    return str(error.detail) if error.detail else HTTPStatus(error.status_code).phrase


def _what(request: Request) -> str:
    return "job" if "/jobs" in request.url.path or "/status" in request.url.path else "dataset"


def _shown(error: Exception) -> str:
    text = repr(error.args[0]) if error.args else "of that name"
    return text if len(text) <= 120 else text[:117] + "..."


def _invalid(request: Request, error: RequestValidationError) -> Response:
    faults = [
        Fault(where=".".join(str(part) for part in fault["loc"])[:200], detail=str(fault["msg"])[:300])
        for fault in error.errors()[:MOST_ERRORS]
    ]
    first = f"{faults[0].where}: {faults[0].detail}" if faults else "the request is not valid"
    return answer(422, first, errors=faults)


def _refused(request: Request, error: UserError) -> Response:
    trouble = trouble_with_files(error)
    return answer(*trouble) if trouble else answer(422, str(error))


def _broken(request: Request, error: Exception) -> Response:
    trouble = trouble_with_files(error)
    return answer(*trouble) if trouble else _defect(request, error)


def _defect(request: Request, error: Exception) -> Response:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return answer(500, "An internal error; the log of the service has its traceback.")
