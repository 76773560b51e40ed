"""``mild serve``: the HTTP API."""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mild.errors import MildError, UsageError
from mild.extras import needs

if TYPE_CHECKING:
    from fastapi import FastAPI

    from mild.app.server import Settings

#: Letters of a key; what is shorter can be tried out.
SHORTEST_KEY = 16
LOOPBACK = {"localhost": "localhost", "127.0.0.1": "127.0.0.1", "::1": "[::1]"}
LIMITS = "Limits"


def serve(
    host: Annotated[str, typer.Option("--host", help="Address to listen on; the default is this machine alone.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option("--port", "-p", min=0, max=65535, help="0 takes a free one.")] = 8000,
    state: Annotated[
        Path | None, typer.Option("--state", help="Folder of photos and jobs. [default: the user's state folder]")
    ] = None,
    api_key: Annotated[
        str | None, typer.Option("--api-key", envvar="MILD_API_KEY", help="Ask for this key; better by the variable.")
    ] = None,
    open_to_all: Annotated[bool, typer.Option("--open", help="Listen beyond this machine without a key.")] = False,
    origin: Annotated[
        list[str] | None, typer.Option("--cors-origin", help="A web origin that may call the API; repeatable.")
    ] = None,
    max_megapixels: Annotated[float, typer.Option(min=0.01, rich_help_panel=LIMITS, help="Largest photo.")] = 60.0,
    max_megabytes: Annotated[float, typer.Option(min=0.01, rich_help_panel=LIMITS, help="Largest request.")] = 64.0,
    max_queue: Annotated[int, typer.Option(min=1, rich_help_panel=LIMITS, help="Jobs that may wait.")] = 16,
    max_seconds: Annotated[float, typer.Option(min=1, rich_help_panel=LIMITS, help="Longest job.")] = 900.0,
    idle_seconds: Annotated[float, typer.Option(min=1, rich_help_panel=LIMITS, help="Unload the model after.")] = 600.0,
    grace_seconds: Annotated[
        float, typer.Option(min=0, rich_help_panel=LIMITS, help="Time for the running job when told to stop.")
    ] = 20.0,
    max_gigabytes: Annotated[
        float, typer.Option(min=0.5, rich_help_panel=LIMITS, help="Memory of a process that works on a photo.")
    ] = 8.0,
    keep_hours: Annotated[float, typer.Option(min=0.001, rich_help_panel=LIMITS, help="Delete results after.")] = 24.0,
) -> None:
    """Serve the HTTP API; /docs describes it, with examples. Ctrl-C ends it: the running job is finished first."""
    check_key(api_key, open_to_all=open_to_all)
    if host not in LOOPBACK and api_key is None and not open_to_all:
        raise UsageError(f"Anybody who reaches {host} could use this server: set MILD_API_KEY, or say --open.")
    with needs("The server", "server"):
        from mild.app.server.app import create_app
        from mild.app.server.settings import Settings, default_state
    settings = Settings(
        state=state or default_state(),
        max_bytes=int(max_megabytes * 2**20),
        max_pixels=int(max_megapixels * 1e6),
        max_queue=max_queue,
        max_seconds=max_seconds,
        max_memory=int(max_gigabytes * 2**30),
        task_seconds=min(max_seconds, Settings.task_seconds),
        idle_seconds=idle_seconds,
        grace_seconds=grace_seconds,
        keep_seconds=keep_hours * 3600,
        api_key=api_key,
        hosts=tuple(LOOPBACK.values()) if host in LOOPBACK else (),
        cors_origins=tuple(origin or ()),
    )
    listen(create_app(settings), settings, host, port)


def check_key(api_key: str | None, *, open_to_all: bool = False) -> None:
    """Refuse a key that keeps nobody out.

    Raises:
        UsageError: it is empty, short, or holds what no header can carry.
    """
    if api_key is None:
        return
    if not api_key.strip() or (len(api_key) < SHORTEST_KEY and not open_to_all):
        made = "python -c 'import secrets; print(secrets.token_urlsafe())'"
        what = f"has {len(api_key)} letters" if api_key.strip() else "is empty"
        raise UsageError(f"The API key {what}, and at least {SHORTEST_KEY} are needed; `{made}` makes one.")
    if api_key != api_key.strip() or any(ord(letter) < 32 or ord(letter) == 127 for letter in api_key):
        raise UsageError("The API key begins or ends with a space, or holds a control character; no header carries it.")
    try:
        api_key.encode()
    except UnicodeEncodeError:
        raise UsageError("The API key is not text in UTF-8.") from None


def listen(app: FastAPI, settings: Settings, host: str, port: int, ready: Callable[[str], None] | None = None) -> None:
    """Serve an app until told to stop.

    Args:
        ready: called with the address once it takes connections; by default the address is printed.

    Raises:
        MildError: the address or the state folder is taken.
    """
    import uvicorn

    from mild.app.server.patience import patient
    from mild.app.server.service import Service
    from mild.app.server.state import lock

    lock(settings).close()  # a sentence now, rather than a traceback of the server's start

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            try:
                await super().startup(sockets)
            except OSError as error:
                raise MildError(f"Cannot listen on {host} port {port}: {error.strerror or error}.") from None
            if not self.started:
                return  # the app did not start; uvicorn has said why
            if ready is None:
                typer.echo(f"MILD listens on {address} (describing itself at /docs)", err=True)
            else:
                ready(address)

        def handle_exit(self, sig: int, frame: Any) -> None:
            service = getattr(app.state, "service", None)
            if isinstance(service, Service):
                # Not in the signal handler itself, which must not wait for a lock.
                threading.Thread(target=service.queue.drain, daemon=True).start()
            super().handle_exit(sig, frame)

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    try:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        # Bound, and not yet listening: who comes before the app is ready is refused, rather than left waiting.
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise MildError(f"Cannot listen on {host} port {port}: {error.strerror or error}.") from None
    place = f"[{host}]" if ":" in host else host
    address = f"http://{place}:{listener.getsockname()[1]}"
    config = uvicorn.Config(
        app, log_level="warning", timeout_graceful_shutdown=max(1, round(settings.grace_seconds)), lifespan="on",
        http=patient(settings.client_seconds), limit_concurrency=settings.max_connections, server_header=False,
    )  # fmt: skip
    # uvicorn raises Ctrl-C again once everything is put away; that is how a server is meant to end.
    server = Server(config)
    if threading.current_thread() is threading.main_thread() and hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, server.handle_exit)  # uvicorn sees to the others
    # The loop must have its turn among the threads within a millisecond, and what was imported is never garbage.
    sys.setswitchinterval(0.001)
    gc.collect()
    gc.freeze()
    with listener, suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
