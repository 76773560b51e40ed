"""What every request passes first: name, key, size; and the count of what was answered."""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mild.app.server.metrics import Metrics
from mild.app.server.problems import Problem, document
from mild.app.server.settings import Settings

#: Answered without a key: they hold no data.
_OPEN = ("/health", "/", "/docs", "/openapi.json")
#: Bytes of a body in a second, on the whole; slower clients are let go once their patience is used up.
_SLOWEST = 8192


class Guard:
    """ASGI middleware; refusals are problem documents."""

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics) -> None:
        self._app, self._settings, self._metrics = app, settings, metrics
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500
        started = False

        async def counted(message: Message) -> None:
            nonlocal status, started
            if message["type"] == "http.response.start":
                status, started = message["status"], True
                message["headers"] = [
                    *message.get("headers", []),
                    (b"x-content-type-options", b"nosniff"),
                    (b"cache-control", b"no-store"),
                ]
            await send(message)

        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        held = _Held()
        try:
            try:
                self._check(scope, headers)
                await self._app(scope, self._limited(receive, held), counted)
            except Problem as problem:
                if started:
                    raise
                await document(problem.status, problem.detail, problem.headers)(scope, receive, counted)
            except asyncio.CancelledError:
                # The grace of a server that is stopping is over.
                if started:
                    raise
                await document(503, "The server is stopping; try again shortly.", {"Retry-After": "30"})(
                    scope, receive, counted
                )
        finally:
            self._held -= held.bytes
            route: Any = scope.get("route")
            self._metrics.requests.labels(scope["method"], getattr(route, "path", "-"), str(status)).inc()

    def _check(self, scope: Scope, headers: dict[str, str]) -> None:
        settings = self._settings
        if settings.hosts:
            host = _name(headers.get("host", ""))
            if host not in settings.hosts:
                raise Problem(403, "The server does not answer to this host name.")
            origin = headers.get("origin", "")
            # A web page elsewhere may send (though not read): it must not start jobs on this machine either. Another
            # port of this machine is elsewhere, too.
            own = f"{scope.get('scheme', 'http')}://{headers.get('host', '')}"
            if origin and origin != own and origin not in settings.cors_origins:
                raise Problem(403, "Requests from other web pages are not answered.")
        is_open = scope["path"] in _OPEN or scope["path"].startswith(("/docs/", *settings.open_prefixes))
        if settings.api_key is not None and not is_open and scope["method"] != "OPTIONS":
            given = headers.get("x-api-key") or _bearer(headers.get("authorization", ""))
            # Headers are bytes; whoever has a key with letters beyond ASCII sends them in UTF-8.
            if not secrets.compare_digest(given.encode("latin-1"), settings.api_key.encode()):
                raise Problem(
                    401, "This server asks for an API key in the header X-API-Key.", {"WWW-Authenticate": "Bearer"}
                )
        length = headers.get("content-length", "0")
        if not length.isascii() or not length.isdigit():
            raise Problem(400, "The header Content-Length is not a number.")
        if len(length) > 18 or int(length) > settings.max_bytes:
            raise self._too_large()

    def _limited(self, receive: Receive, held: _Held) -> Receive:
        """Counts what really comes (a length may be missing or a lie), and lets go of a client that stops sending, or
        sends less than :data:`_SLOWEST` for long: a byte now and then would hold a place for ever."""
        complete = False
        begun = time.monotonic()

        async def limited() -> Message:
            nonlocal complete
            if complete:
                return await receive()  # waits for the client to go away, as long as the answer takes
            patience = self._settings.client_seconds
            left = begun + patience + held.bytes / _SLOWEST - time.monotonic()
            try:
                message = await asyncio.wait_for(receive(), max(0.0, min(patience, left)))
            except TimeoutError:
                raise Problem(408, "Nothing more of the request came.", {"Connection": "close"}) from None
            complete = not message.get("more_body", False)
            size = len(message.get("body", b""))
            held.bytes += size
            self._held += size
            if held.bytes > self._settings.max_bytes:
                raise self._too_large()
            if self._held > self._settings.max_held:
                raise Problem(503, "Too much is being sent at once; try again shortly.", {"Retry-After": "5"})
            return message

        return limited

    def _too_large(self) -> Problem:
        return Problem(413, f"The request is larger than the {self._settings.max_bytes} bytes taken here.")


class _Held:
    """Bytes of a request's body that are held."""

    bytes = 0


def _bearer(header: str) -> str:
    scheme, _, key = header.partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def _name(host: str) -> str:
    """A host without its port."""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]
