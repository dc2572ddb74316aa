"""Fixtures that several rooms' tests share."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest

from nssr import db, engine, registry


@pytest.fixture
def conn() -> Iterator[sqlite3.Connection]:
    with contextlib.closing(db.init_db(":memory:")) as connection:
        yield connection


@pytest.fixture
def state(conn: sqlite3.Connection) -> dict[str, Any]:
    return registry.init_registry(conn, ("core", "science"))


@pytest.fixture(scope="module")
def shared() -> Iterator[dict[str, Any]]:
    """A state for hypothesis tests, which register nothing."""
    with contextlib.closing(db.init_db(":memory:")) as connection:
        yield registry.init_registry(connection, ("core", "science"))


@pytest.fixture(params=engine.targets())
def on_target(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each SIMD target of the machine in turn."""
    before = engine.target()
    engine.set_target(request.param)
    yield request.param
    engine.set_target(before)


@pytest.fixture(scope="module")
def one_torch_thread() -> Iterator[None]:
    """Threads gain nothing at the sizes of the tests, and on a busy machine they wait for each other."""
    import torch

    n = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n)
