"""What every request passes first: name, key, size; and the count of what was answered."""

from __future__ import annotations

import secrets
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mild.app.server.metrics import Metrics
from mild.app.server.problems import Problem, document
from mild.app.server.settings import Settings

_OPEN = ("/health", "/")


class Guard:
    """ASGI middleware; refusals are problem documents."""

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics) -> None:
        self._app, self._settings, self._metrics = app, settings, metrics

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
        try:
            try:
                self._check(scope, headers)
                await self._app(scope, self._limited(receive), counted)
            except Problem as problem:
                if started:
                    raise
                await document(problem.status, problem.detail, problem.headers)(scope, receive, counted)
        finally:
            route: Any = scope.get("route")
            self._metrics.requests.labels(scope["method"], getattr(route, "path", "-"), str(status)).inc()

    def _check(self, scope: Scope, headers: dict[str, str]) -> None:
        settings = self._settings
        if settings.hosts:
            host = _name(headers.get("host", ""))
            if host not in settings.hosts:
                raise Problem(403, "The server does not answer to this host name.")
            origin = headers.get("origin", "")
            # A web page elsewhere may send (though not read): it must not start jobs on this machine either.
            if (
                origin
                and _name(origin.partition("://")[2]) not in settings.hosts
                and origin not in settings.cors_origins
            ):
                raise Problem(403, "Requests from other web pages are not answered.")
        is_open = scope["path"] in _OPEN or scope["path"].startswith(settings.open_prefixes)
        if settings.api_key is not None and not is_open and scope["method"] != "OPTIONS":
            given = headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")
            if not secrets.compare_digest(given.encode(), settings.api_key.encode()):
                raise Problem(
                    401, "This server asks for an API key in the header X-API-Key.", {"WWW-Authenticate": "Bearer"}
                )
        length = headers.get("content-length", "0")
        if not length.isascii() or not length.isdigit():
            raise Problem(400, "The header Content-Length is not a number.")
        if int(length) > settings.max_bytes:
            raise self._too_large()

    def _limited(self, receive: Receive) -> Receive:
        """Counts what really comes: a length may be missing or a lie."""
        got = 0

        async def limited() -> Message:
            nonlocal got
            message = await receive()
            got += len(message.get("body", b""))
            if got > self._settings.max_bytes:
                raise self._too_large()
            return message

        return limited

    def _too_large(self) -> Problem:
        return Problem(413, f"The request is larger than the {self._settings.max_bytes} bytes taken here.")


def _name(host: str) -> str:
    """A host without its port."""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]
