"""The page that describes the API, with every file it needs: a browser that shows it asks nobody else for anything."""

from __future__ import annotations

from importlib import resources

from fastapi import FastAPI, Response
from fastapi.responses import RedirectResponse

from mild.app.server.problems import Problem

PREFIX = "/docs/"
_MEDIA = {".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css"}
_HEADERS = {
    # Swagger UI sets styles on its elements, and draws its arrows from `data:` addresses.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def install(app: FastAPI) -> None:
    """Serve the page at :data:`PREFIX`."""
    folder = resources.files("mild.app.server") / "docs"
    files = {entry.name: entry for entry in folder.iterdir() if entry.is_file()}

    @app.get("/docs", include_in_schema=False)
    async def without_slash() -> Response:
        return RedirectResponse(PREFIX)

    @app.get(PREFIX + "{name}", include_in_schema=False)
    @app.get(PREFIX, include_in_schema=False)
    def file(name: str = "index.html") -> Response:
        media = _MEDIA.get("." + name.rpartition(".")[2])
        if name not in files or media is None:
            raise Problem(404, "There is nothing at this address.")
        return Response(files[name].read_bytes(), media_type=media, headers=_HEADERS)
