"""Adds the page to the server: static files and example photos, nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Response
from fastapi.responses import RedirectResponse

from mild.app.server.problems import Problem
from mild.request import Finder

#: Where the page lives; all of it may be read without a key, since it holds nothing of anybody's.
PREFIX = "/studio/"
INDEX = "index.html"
_MEDIA = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_PHOTOS = {".jpg": "image/jpeg", ".webp": "image/webp"}
#: Nothing but our own files, and pictures made in the page: whatever goes wrong, nothing leaves the machine.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}


@dataclass(frozen=True)
class Example:
    """An example photo: its file's name, which says its kind, and where it lies."""

    name: str
    file: Traversable


def files() -> dict[str, tuple[bytes, str]]:
    """Every file of the page: its name below :data:`PREFIX`, content and media type."""
    found: dict[str, tuple[bytes, str]] = {}

    def walk(folder: Traversable, prefix: str) -> None:
        for entry in folder.iterdir():
            if entry.is_dir():
                walk(entry, f"{prefix}{entry.name}/")
            elif (suffix := Path(entry.name).suffix) in _MEDIA:
                found[prefix + entry.name] = (entry.read_bytes(), _MEDIA[suffix])

    walk(resources.files("mild.app.studio") / "page", "")
    return found


def examples() -> list[Example]:
    """The example photos of the package, and those of a checkout.

    The latter are under another licence than the program. Photos are offered only where they lie together with the
    notice that says under which one they are.
    """
    folders: tuple[Traversable, ...] = (
        resources.files("mild.app.studio") / "examples",
        Path(__file__).resolve().parents[4] / "examples",
    )
    found = [file for folder in folders if (folder / "NOTICE").is_file() for file in folder.iterdir()]
    photos = (Example(file.name, file) for file in found if Path(file.name).suffix in _PHOTOS)
    return sorted(photos, key=lambda example: example.name)


def _finder() -> dict[str, Any]:
    """Can people be searched for here, and what would have to be fetched for that (megabytes, licence)?"""
    from mild.models import assets
    from mild.people.find import missing

    if (needed := missing(Finder.model_validate({}))) is None:
        return {"ready": True}
    wanted = assets.finder_wanted() or [needed]
    size = {
        "kept": round(sum(spec.size for spec in wanted) / 1e6),
        "download": round(sum(spec.download for spec in wanted) / 1e6),
    }
    names, licences = (
        ", ".join(dict.fromkeys(words)) for words in zip(*((s.name, s.licence) for s in wanted), strict=True)
    )
    return {"ready": False, "name": names, "licence": licences, **size}


def add_studio(app: FastAPI) -> None:
    """Serve the page at :data:`PREFIX`, and send whoever asks for ``/`` there."""
    page, photos = files(), {example.name: example for example in examples()}

    @app.get("/", include_in_schema=False)
    async def root() -> Response:
        return RedirectResponse(PREFIX)

    @app.get("/studio", include_in_schema=False)
    async def without_slash() -> Response:
        return RedirectResponse(PREFIX)

    # Below /v1, where a key is asked for, unlike the page's own files.
    @app.get("/v1/studio/finder", include_in_schema=False)
    def finder() -> dict[str, Any]:
        return _finder()

    @app.post("/v1/studio/finder", include_in_schema=False)
    def fetch_finder() -> dict[str, Any]:
        from mild.models import assets
        from mild.people.find import missing

        if missing(Finder.model_validate({})) is not None:
            assets.fetch_finder()
        return _finder()

    @app.get(PREFIX + "examples", include_in_schema=False)
    async def names() -> list[str]:
        return list(photos)

    @app.get(PREFIX + "examples/{name}", include_in_schema=False)
    def photo(name: str) -> Response:
        if name not in photos:
            raise Problem(404, "There is no example photo of this name.")
        return Response(photos[name].file.read_bytes(), media_type=_PHOTOS[Path(name).suffix])

    @app.get(PREFIX + "{name:path}", include_in_schema=False)
    async def file(name: str) -> Response:
        if (name or INDEX) not in page:
            raise Problem(404, "There is nothing at this address.")
        content, media = page[name or INDEX]
        return Response(content, media_type=media, headers=_HEADERS)
