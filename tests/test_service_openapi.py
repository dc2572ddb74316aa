"""Schemathesis against the live service: whatever the OpenAPI document allows, and much that it does not, gets a documented
answer."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from benchmarks.live_service import TOKEN, LiveService, served


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveService]:
    with served(tmp_path_factory.mktemp("openapi") / "data", "--queue", "4", "--job-seconds", "5") as live:
        live.upload("kepler")
        yield live


CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance,
    response_headers_conformance,
]  # fmt: skip
EXAMPLES = int(os.environ.get("NSSR_API_EXAMPLES", "12"))


def test_every_answer_is_documented(service: LiveService) -> None:
    document = service.client.get("/openapi.json").json()
    operations = [found.ok() for found in schemathesis.openapi.from_dict(document).get_all_operations()]
    assert len(operations) >= 28

    statuses: Counter[int] = Counter()
    for operation, mode in itertools.product(operations, GenerationMode):
        if mode is GenerationMode.NEGATIVE and not (operation.body or operation.query):
            continue  # there is nothing to be wrong but the name in the address

        @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy(generation_mode=mode))
        def answered(case: Any) -> None:
            if case.query and case.query.get("wait"):
                case.query = {**case.query, "wait": "false"}  # a job would be waited for, each time
            response = case.call_and_validate(
                base_url=service.url, headers={"Authorization": f"Bearer {TOKEN}"}, checks=CHECKS, timeout=60
            )  # fmt: skip
            statuses[response.status_code] += 1

        answered()
    assert {200, 202, 404, 422} <= statuses.keys()  # it was not all refused at the door
    assert statuses[422] > 5 * EXAMPLES
    assert service.client.get("/healthz").status_code == 200


def test_the_document_names_every_address(service: LiveService) -> None:
    document = service.client.get("/openapi.json").json()
    operations = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    promised = {
        ("GET", "/"), ("POST", "/datasets"), ("GET", "/datasets"), ("GET", "/datasets/{name}"), ("DELETE", "/datasets/{name}"),
        ("POST", "/datasets/upload"), ("POST", "/train"), ("GET", "/train/status/{job_id}"), ("POST", "/test/eval"),
        ("POST", "/predict"), ("GET", "/functions"), ("GET", "/functions/{name}"), ("DELETE", "/functions/{name}"),
        ("GET", "/history"), ("POST", "/reset"), ("POST", "/fit"), ("GET", "/jobs"), ("GET", "/jobs/{job_id}"),
        ("DELETE", "/jobs/{job_id}"), ("GET", "/jobs/{job_id}/events"), ("GET", "/functions/{name}/export"),
        ("GET", "/healthz"), ("GET", "/metrics"), ("POST", "/jobs/{job_id}/keep"), ("GET", "/library/export"),
        ("POST", "/library/import"), ("GET", "/library/backup"), ("POST", "/login"),
    }  # fmt: skip
    assert promised <= operations
    assert document["openapi"].startswith("3.1")
