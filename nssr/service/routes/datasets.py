"""Tables."""

from __future__ import annotations

import asyncio
import shutil
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response

from nssr.service import tables
from nssr.service.bodies import Dataset, DatasetInFull, Datasets, Name, NewDataset
from nssr.service.core import Shared
from nssr.service.problems import documented

router = APIRouter(tags=["tables"])

_CSV = {"requestBody": {"required": True, "content": {"text/csv": {"schema": {"type": "string"}}}}}


def _created(facts: dict[str, Any]) -> Response:
    return JSONResponse(Dataset(**facts).model_dump(), 201, {"Location": f"/datasets/{quote(facts['name'])}"})


@router.post("/datasets", status_code=201, response_model=Dataset, responses=documented(409))
def add_examples(body: NewDataset, service: Shared) -> Response:
    """Keep a table of examples under a name."""
    name = tables.checked_name(body.name)
    return _created(
        tables.add_examples(
            service.store, service.settings, name, body.description, body.examples, body.columns, body.target
        )
    )  # fmt: skip


@router.post("/datasets/upload", status_code=201, response_model=Dataset, responses=documented(409), openapi_extra=_CSV)
async def upload(
    request: Request, service: Shared, name: Annotated[Name, Query()],
    description: Annotated[str, Query(max_length=10_000)] = "", target: Annotated[Name | None, Query()] = None,
) -> Response:  # fmt: skip
    """Keep a CSV file with a header line under a name; the last column is the target unless told."""
    name = tables.checked_name(name)
    path = await tables.receive(request.stream(), service.settings.data_dir / "uploads")
    try:
        facts = await asyncio.to_thread(
            tables.add_csv, service.store, service.settings, path, name, description, target
        )  # fmt: skip
    finally:
        shutil.rmtree(path.parent, ignore_errors=True)
    return _created(facts)


@router.get("/datasets", response_model=Datasets)
def datasets(service: Shared) -> dict[str, Any]:
    """All tables, newest first."""
    return {"datasets": service.store.datasets()}


@router.get("/datasets/{name}", response_model=DatasetInFull)
def dataset(name: str, service: Shared, rows: Annotated[int, Query(ge=0, le=tables.PREVIEW_ROWS)] = 20) -> dict[str, Any]:
    """One table with its first rows."""
    facts = service.store.dataset(name)
    return {**facts, "preview": facts["preview"][:rows]}


@router.delete("/datasets/{name}", status_code=204, response_class=Response, responses=documented(409))
def delete(name: str, service: Shared) -> None:
    """Forget a table that no open job reads."""
    service.store.delete_dataset(name)
