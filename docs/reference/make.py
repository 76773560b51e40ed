"""A hook of mkdocs: the page of the reference that is written from the program itself, so that it cannot go stale."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel


def on_files(files: Any, config: Any) -> Any:
    """Add the generated page to mkdocs' list of files."""
    from mkdocs.structure.files import File

    files.append(File.generated(config, "reference/request.md", content=request()))
    return files


def request() -> str:
    """Every field of a request, with its default and its meaning."""
    from mild.request import EraseRequest

    lines = [
        "# Every field of a request",
        "",
        "One job, as JSON: `--save-request`, `--request`, the body of the API.",
    ]
    lines += ["Written from `mild.request.EraseRequest`.", "", "| field | default | meaning |", "| --- | --- | --- |"]
    lines += [f"| `{name}` | {default} | {_cell(text)} |" for name, default, text in _fields(EraseRequest)]
    return "\n".join(lines) + "\n"


def _fields(part: type[BaseModel], before: str = "") -> Iterator[tuple[str, str, str]]:
    for name, field in part.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _fields(kind, f"{before}{name}.")
        else:
            value = repr(field.get_default(call_default_factory=True))
            default = "required" if field.is_required() else f"`{_cell(value)}`"
            yield before + name, default, field.description or ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
