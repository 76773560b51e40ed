"""Every option of every command as Markdown: ``python -m mild.app.cli.reference > docs/options.md``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from mild.app.cli import app


def reference() -> str:
    """The page, made of the same texts as ``--help``."""
    lines = [
        "# All options",
        "",
        "Made by `python -m mild.app.cli.reference`; what the commands do and how they behave is in [cli.md](cli.md).",
        "",
    ]
    for name in app.COMMANDS:
        for path, command in leaves(app.build(name).commands[name], name):
            lines += _section(path, command)
    return "\n".join(lines)


def leaves(command: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command at or below this one that is no group: the words that call it, and itself."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield path, command
    for name, one in (inner or {}).items():
        yield from leaves(one, *path, name)


def _section(path: tuple[str, ...], command: Any) -> list[str]:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    named = " ".join(p.metavar or p.name.upper() for p in arguments)
    first = (command.help or "").strip().partition("\n\n")[0]
    lines = [f"## `mild {' '.join(path)}{f' {named}' if named else ''}`", "", _plain(first), ""]
    options = [p for p in command.params if p.param_type_name == "option" and not p.hidden]
    if options or arguments:
        lines += ["| | |", "| --- | --- |"]
        lines += [f"| {p.metavar or p.name.upper()} | {_plain(p.help or '')} |" for p in arguments]
        for option in options:
            names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
            lines.append(f"| {names} | {_plain(option.help or '')}{_default(option)} |")
        lines.append("")
    return lines


def _default(option: Any) -> str:
    """What typer shows by itself: the default of an option whose text names none."""
    value = option.default
    if "[default" in (option.help or "") or (option.is_flag and not option.secondary_opts):
        return ""
    if option.required:
        return " [required]"
    if value is None or callable(value) or value in ((), []) or value == "":
        return ""
    if option.is_flag:
        value = (option.opts if value else option.secondary_opts)[0].removeprefix("--")
    return f" [default: {getattr(value, 'value', value)}]"


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", text.replace("\\[", "[")).replace("|", "\\|").strip()


if __name__ == "__main__":
    print(reference(), end="")
