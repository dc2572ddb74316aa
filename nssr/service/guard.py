"""Who may come in, and with how much: an ASGI layer around the service.

In this order: as many requests as may be at once, a Host that is ours, the token, the kind and size of the body, counted
while it is read, and the seconds that a client may take to send the next piece. Every answer leaves with headers that tell a
browser to load nothing from elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import logging
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nssr.service.problems import Problem, answer
from nssr.service.settings import Settings

access = logging.getLogger("nssr.access")

COOKIE = "nssr-session"
PUBLIC = ("/healthz", "/login")
UPLOAD = "/datasets/upload"

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = [
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
]

_SLOWEST = 10_000  # bytes a second, on average
_DRAIN_S = 10.0
_SAFE = ("GET", "HEAD", "OPTIONS")


def cookie_of(token: str) -> str:
    """What the cookie holds: whoever reads it learns nothing of the token."""
    return hashlib.sha256(b"cookie of " + token.encode()).hexdigest()


class Guard:
    """``observe`` is called with method, scope, status and seconds when an answer is over."""

    def __init__(self, app: ASGIApp, settings: Settings, observe: Callable[[str, Scope, int, float], None]) -> None:
        self.app, self.settings, self.observe = app, settings, observe
        self._cookie = cookie_of(settings.token) if settings.token is not None else ""
        self._now = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = time.monotonic(), 0
        body = _Body(receive, self._body_limit(scope), self.settings.read_timeout_s)

        async def secured(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                if body.refused is not None and message["status"] != body.refused.status:
                    return  # what the application makes of a body that was cut off; ours follows
                status = message["status"]
                close = [(b"connection", b"close")] if body.unread(scope) else []
                message = {**message, "headers": [*message.get("headers", ()), *self._headers(scope), *close]}
            elif body.refused is not None and status == 0:
                return
            elif not message.get("more_body", False) and body.unread(scope):
                await body.drain()  # the head of the answer is out, so a client that looks can stop sending
            await send(message)

        self._now += 1
        try:
            headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
            self._check(scope, headers)
            with contextlib.suppress(Problem):  # the body's, where nobody answered it: below
                await self.app(scope, body.receive, secured)
            if body.refused is not None and status == 0:
                raise body.refused
        except Problem as refusal:
            headers = {"WWW-Authenticate": "Bearer"} if refusal.status == 401 else {}
            body.refused = None
            await answer(refusal.status, refusal.detail, headers=headers)(scope, receive, secured)
        finally:
            self._now -= 1
            seconds = time.monotonic() - began
            self.observe(scope["method"], scope, status, seconds)
            # Without the query, which may hold a token.
            access.info("%s %s %d %.0f ms", scope["method"], scope["path"][:300], status, 1000 * seconds)

    @staticmethod
    def _headers(scope: Scope) -> list[tuple[bytes, bytes]]:
        cache = b"no-cache" if scope["path"].startswith("/static/") else b"no-store"  # modules of two versions must not mix
        return [*HEADERS, (b"cache-control", cache)]

    # ---- checks ------------------------------------------------------------------------------------------------------

    def _check(self, scope: Scope, headers: dict[str, str]) -> None:
        if self._now > self.settings.requests and scope["path"] != "/healthz":
            raise Problem(503, f"{self.settings.requests} requests are open already; try again in a moment.")
        if not self.settings.knows_host(headers.get("host", "")):
            raise Problem(421, "The Host header names another service; start this one with --allow-host for other names.")
        self._check_token(scope, headers)
        if scope["method"] not in _SAFE:
            self._check_body(scope, headers)
            length = headers.get("content-length", "0")
            if length.isascii() and length.isdigit() and int(length[:20]) > self._body_limit(scope):
                raise Problem(413, _too_large(self._body_limit(scope)))

    def _check_token(self, scope: Scope, headers: dict[str, str]) -> None:
        path = scope["path"]
        page = path == "/" and "text/html" in headers.get("accept", "")
        if path in PUBLIC or path.startswith("/static/") or page:
            return
        if self.settings.token is None:
            self._check_origin(scope, headers)
            return
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            if hmac.compare_digest(given.strip().encode(), self.settings.token.encode()):
                return
            raise Problem(401, "The bearer token is not that of this service.")
        if hmac.compare_digest(_cookie(headers, COOKIE).encode(), self._cookie.encode()):
            self._check_origin(scope, headers)
            return
        raise Problem(401, "Give the token that the service printed: Authorization: Bearer TOKEN, or log in on the page.")

    @staticmethod
    def _check_origin(scope: Scope, headers: dict[str, str]) -> None:
        """A browser brings the cookie wherever the request comes from, so writes must come from our own page."""
        if scope["method"] in _SAFE:
            return
        origin = headers.get("origin")
        elsewhere = origin is not None and urlsplit(origin).netloc != headers.get("host", "")
        if elsewhere or headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            raise Problem(403, "The request comes from another site's page.")

    @staticmethod
    def _check_body(scope: Scope, headers: dict[str, str]) -> None:
        has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
        if headers.get("content-encoding", "identity") != "identity":
            raise Problem(415, "Compressed bodies are not taken; send the text as it is.")
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        wanted = "text/csv" if scope["path"] == UPLOAD else "application/json"
        if has_body and kind != wanted:
            raise Problem(415, f"The body must be {wanted}, and its Content-Type say so.")

    def _body_limit(self, scope: Scope) -> int:
        return (self.settings.body_mb if scope["path"] == UPLOAD else self.settings.json_mb) << 20


class _Body:
    """A request's body, counted and timed as it comes."""

    def __init__(self, receive: Receive, limit: int, timeout: float) -> None:
        self._receive, self._limit, self._timeout = receive, limit, timeout
        self._read, self._complete, self._began = 0, False, time.monotonic()
        self.refused: Problem | None = None

    async def receive(self) -> Message:
        if self._complete:
            return await self._receive()  # waits for the client to go
        try:
            message = await asyncio.wait_for(self._receive(), self._timeout)
        except TimeoutError:
            raise self._refuse(408, f"No more of the body came for {self._timeout:g} s.") from None
        if message["type"] == "http.request":
            self._read += len(message.get("body", b""))
            self._complete = not message.get("more_body", False)
            if self._read > self._limit:
                raise self._refuse(413, _too_large(self._limit))
            if not self._complete and time.monotonic() - self._began > self._timeout + self._read / _SLOWEST:
                raise self._refuse(408, f"The body came at less than {_SLOWEST // 1000} kB a second.")
        return message

    def _refuse(self, status: int, detail: str) -> Problem:
        self.refused = Problem(status, detail)
        return self.refused

    async def drain(self) -> None:
        """Takes what is still under way, for a while: a connection closed upon unread data is reset, and the client would
        never see the answer."""
        end = time.monotonic() + _DRAIN_S
        while not self._complete and (seconds := end - time.monotonic()) > 0:
            try:
                message = await asyncio.wait_for(self._receive(), seconds)
            except TimeoutError:
                return
            self._complete = message["type"] != "http.request" or not message.get("more_body", False)

    def unread(self, scope: Scope) -> bool:
        """Whether some of the body may still be under way, so that the connection is of no more use."""
        return scope["method"] not in _SAFE and not self._complete


def _too_large(limit: int) -> str:
    return f"The body is larger than the {limit >> 20} MB that are taken here."


def _cookie(headers: dict[str, str], name: str) -> str:
    for part in headers.get("cookie", "").split(";"):
        key, _, value = part.strip().partition("=")
        if key == name:
            return value
    return ""


__all__ = ["CONTENT_SECURITY_POLICY", "COOKIE", "PUBLIC", "UPLOAD", "Guard", "cookie_of"]
