"""The application: rooms put together, routes, errors, the guard around all of it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.staticfiles import StaticFiles
from starlette.types import ASGIApp

from nssr import __version__
from nssr.catalogue import Catalogue
from nssr.jobs.supervisor import Supervisor
from nssr.service import problems
from nssr.service.core import Service
from nssr.service.guard import PUBLIC, Guard
from nssr.service.metrics import Metrics
from nssr.service.routes import datasets, functions, jobs, status
from nssr.service.settings import Settings
from nssr.store import Store


def create_app(settings: Settings) -> tuple[ASGIApp, Service]:
    """The application for ``settings``, and what it shares. ``UserError`` where its folder cannot be used."""
    uploads = settings.data_dir / "uploads"
    store = Store(settings.data_dir / "service.db")
    shutil.rmtree(uploads, ignore_errors=True)  # what a service that was killed had not finished reading
    uploads.mkdir(parents=True, exist_ok=True)
    catalogue = Catalogue(settings.library, settings.packs)
    service = Service(settings, store, catalogue, Supervisor(store, settings.data_dir, settings.jobs))
    metrics = Metrics(lambda: _facts(service))

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        await service.supervisor.start()
        warming = asyncio.create_task(asyncio.to_thread(catalogue.warm_up))
        yield
        await asyncio.wait({warming})
        await service.supervisor.stop(settings.grace_s)
        catalogue.close()

    app = FastAPI(
        title="NSSR", version=__version__, summary="Formulas and functions from tables", lifespan=life,
        docs_url=None, redoc_url=None, responses=problems.ANYWHERE, redirect_slashes=False,
    )  # fmt: skip
    app.state.service, app.state.metrics = service, metrics
    problems.install(app)
    for part in (status, datasets, jobs, functions):
        app.include_router(part.router)
    app.mount("/static", StaticFiles(directory=status.PAGE, check_dir=False))
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return Guard(app, settings, metrics.observe), service


def _facts(service: Service) -> dict[str, dict[tuple[str, ...], float]]:
    counts = service.catalogue.counts()
    supervisor = service.supervisor
    return {
        "jobs": {(state,): n for state, n in service.store.counts().items()},
        "functions": {("learned",): counts["learned"], ("primitive",): counts["functions"] - counts["learned"]},
        "finished": {(kind, state): n for (kind, state), n in supervisor.finished.items()},
        "seconds": {(kind,): seconds for kind, seconds in supervisor.seconds.items()},
    }


def _openapi(app: FastAPI) -> dict[str, Any]:
    """FastAPI's document, with our errors in place of its own, and the token."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
        schemas = document["components"]["schemas"]
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        for model in (problems.Fault, problems.ProblemDetails):
            schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
            schema.pop("$defs", None)
            schemas[model.__name__] = schema
        document["components"]["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"bearer": []}]
        for path, operations in document["paths"].items():
            for operation in operations.values():
                if path in PUBLIC:
                    operation["security"] = []
        app.openapi_schema = document
    return app.openapi_schema
