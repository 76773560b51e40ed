"""``mild studio``: the server with the page, and a browser that shows it."""

from __future__ import annotations

import os
import socket
import threading
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from mild.errors import MildError, UsageError
from mild.extras import needs

#: Always the same, so that the page's address can be kept; where another program has it, a free one is taken.
PORT = 8765


def studio(
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")] = True,
    port: Annotated[int, typer.Option("--port", "-p", min=0, max=65535, help="0 takes a free one.")] = PORT,
    host: Annotated[str, typer.Option("--host", help="Address to listen on; the default is this machine alone.")] = (
        "127.0.0.1"
    ),
    api_key: Annotated[
        str | None, typer.Option("--api-key", envvar="MILD_API_KEY", help="The page asks for this key.")
    ] = None,
    state: Annotated[
        Path | None, typer.Option("--state", help="Folder of photos and results. [default: the user's state folder]")
    ] = None,
    max_megapixels: Annotated[float, typer.Option(min=0.01, help="Largest photo.")] = 60.0,
    keep_hours: Annotated[float, typer.Option(min=0.01, help="Delete photos and results after.")] = 24.0,
) -> None:
    """Erase people in the browser. Everything stays on this machine; Ctrl-C ends it."""
    with needs("The studio", "server"):
        from mild.app.cli.serve import LOOPBACK, check_key, listen
        from mild.app.server.app import create_app
        from mild.app.server.settings import Settings, default_state
        from mild.app.server.state import lock
        from mild.app.studio.page import PREFIX, add_studio
    check_key(api_key)
    if host not in LOOPBACK and api_key is None:
        raise UsageError(f"Anybody who reaches {host} could use this studio: set MILD_API_KEY.")
    settings = Settings(
        # Not the folder of `mild serve`: both may run at once.
        state=state or default_state().with_name("studio"),
        max_pixels=int(max_megapixels * 1e6),
        keep_seconds=keep_hours * 3600,
        api_key=api_key,
        hosts=tuple(LOOPBACK.values()) if host in LOOPBACK else (),
        open_prefixes=("/studio",),
    )
    note = settings.state / "address"

    try:
        lock(settings).close()
    except UsageError:
        raise
    except MildError:
        # Started twice, as one does with a program that has no window: show the one that runs.
        if not os.path.isfile(note):  # noqa: PTH113  (nor where it may not be looked at)
            raise
        typer.echo(f"The studio runs already, at {note.read_text()}.", err=True)
        if browser:
            webbrowser.open(note.read_text())
        return

    def ready(address: str) -> None:
        note.write_text(address + PREFIX)
        typer.echo(f"The studio is at {address}{PREFIX} (Ctrl-C ends it).", err=True)
        if browser:
            # Beside the server: some browsers make their starter wait.
            threading.Thread(target=webbrowser.open, args=(address + PREFIX,), daemon=True).start()

    app = create_app(settings)
    add_studio(app)
    try:
        listen(app, settings, host, port if port != PORT or _free(host, port) else 0, ready)
    finally:
        note.unlink(missing_ok=True)


def _free(host: str, port: int) -> bool:
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError:
        return False
    return True
