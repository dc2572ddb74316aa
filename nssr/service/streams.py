"""Server-sent events of a job: from any place, to clients that may stop reading at any moment (WHATWG HTML, section 9.2)."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator

from starlette.responses import StreamingResponse
from starlette.types import Message, Send

from nssr.jobs.supervisor import Supervisor
from nssr.store import ENDED, Store

HEARTBEAT_S = 10.0
LONGEST_S = 600.0
"""A stream ends after that long; the browser comes back by itself, with the number of the last event it has."""

UNREAD_S = 30.0
"""A client that takes nothing for so long is left alone: what waits for it stands in the store, not in memory."""


class EventStream(StreamingResponse):
    """A stream that gives up on a client that does not read."""

    media_type = "text/event-stream"

    async def stream_response(self, send: Send) -> None:
        async def patient(message: Message) -> None:
            await asyncio.wait_for(send(message), UNREAD_S)

        await super().stream_response(patient)


async def events_of(store: Store, supervisor: Supervisor, job_id: str, after: int) -> AsyncIterator[str]:
    """The job's events as text, until it has ended."""
    yield "retry: 1000\n\n"
    end = time.monotonic() + LONGEST_S
    while time.monotonic() < end and not supervisor.stopping:
        events = await asyncio.to_thread(store.events, job_id, after)
        for event in events:
            after = event.seq
            yield f"id: {event.seq}\nevent: {event.name}\ndata: {json.dumps(event.data)}\n\n"
        if events:
            if events[-1].name == "state" and events[-1].data["state"] in ENDED:
                return
            continue
        if await asyncio.to_thread(store.state, job_id) in ENDED:
            if not await asyncio.to_thread(store.events, job_id, after):
                return  # all was said, or forgotten since
            continue
        waited = time.monotonic()
        await supervisor.changed(job_id, HEARTBEAT_S)
        if time.monotonic() - waited >= HEARTBEAT_S:
            yield ": still here\n\n"


__all__ = ["EventStream", "events_of"]
