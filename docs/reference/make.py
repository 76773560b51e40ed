"""A hook of mkdocs: pages of the reference that are written from the program itself, so that they cannot go stale."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel


def on_files(files: Any, config: Any) -> Any:
    """Add the generated pages to mkdocs' list of files."""
    from mkdocs.structure.files import File

    for name, text in (("commands", commands()), ("request", request())):
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files


def commands() -> str:
    """Every command and every option, from the command line's own declarations."""
    import typer

    from mild.app.cli import app

    lines = ["# Every command and option", "", "Written from the program; `mild COMMAND --help` says the same."]
    for name in app.COMMANDS:
        group = typer.main.get_command(app.build(name))
        for path, command in _walk(group.commands[name], name):
            lines += ["", f"## mild {path}", "", _plain(command.help or command.short_help or "")]
            rows = [_row(parameter) for parameter in command.params if not getattr(parameter, "hidden", False)]
            if rows:
                lines += ["", "| argument or option | what it does |", "| --- | --- |", *rows]
    return "\n".join(lines) + "\n"


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


def _walk(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Commands below this one, by their whole names. (typer may bring a click of its own: no isinstance.)"""
    if not hasattr(command, "commands"):
        yield path, command
        return
    for name, below in command.commands.items():
        yield from _walk(below, f"{path} {name}")


def _row(parameter: Any) -> str:
    names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts) if name)
    if parameter.param_type_name == "argument":
        names = f"`{(parameter.name or '').upper()}`"
    return f"| {names} | {_cell(getattr(parameter, 'help', None) or '')} |"


def _fields(part: type[BaseModel], before: str = "") -> Iterator[tuple[str, str, str]]:
    for name, field in part.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _fields(kind, f"{before}{name}.")
        else:
            value = repr(field.get_default(call_default_factory=True))
            default = "required" if field.is_required() else f"`{_cell(value)}`"
            yield before + name, default, field.description or ""


def _plain(text: str) -> str:
    return "\n".join(line.strip() for line in text.replace("\f", "").splitlines())


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
