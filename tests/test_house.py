"""The house as `docs/road.md` says it is: its table of rooms is read, and every import is held against it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "mild"


def rooms() -> dict[str, int]:
    """Room -> its place in the table of rooms."""
    text = (ROOT / "docs" / "road.md").read_text("utf-8").split("## The rooms", 1)[1].split("\n## ", 1)[0]
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return {name: place for place, row in enumerate(rows) for name in re.findall(r"`(\w+)`", row)}


def modules() -> dict[str, Path]:
    """Dotted name -> file, of every module of the package."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path, known: dict[str, Path]) -> set[str]:
    """Our own modules that a file imports anywhere, in functions and for the type checker, too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {name if name in known else node.module for name in whole}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name for name in names if name.startswith("mild.")}


def room_of(module: str) -> str:
    return module.split(".")[1]


def test_every_module_lives_in_a_room_of_the_table() -> None:
    assert {room_of(name) for name in modules() if "." in name} - {"__main__"} == set(rooms())


def test_no_import_runs_back_up() -> None:
    place, known = rooms(), modules()
    wrong = [
        f"{name} imports {other}"
        for name, path in known.items()
        if "." in name and room_of(name) != "__main__"
        for other in imports(path, known)
        if place[room_of(other)] > place[room_of(name)]
    ]
    assert wrong == []


def test_the_laboratory_and_the_ways_in_are_not_needed_by_the_house() -> None:
    known = modules()
    wrong = [
        f"{name} imports {other}"
        for name, path in known.items()
        if name.count(".") and room_of(name) not in ("app", "lab", "__main__")
        for other in imports(path, known)
        if room_of(other) in ("app", "lab")
    ]
    assert wrong == []


def test_there_is_no_circle_of_modules() -> None:
    known = modules()
    arrows = {name: imports(path, known) & set(known) - {name} for name, path in known.items()}
    done: set[str] = set()
    while ready := {name for name, needs in arrows.items() if name not in done and needs <= done}:
        done |= ready
    # Packages that only re-export may be imported by their own modules.
    circle = {name for name in arrows if name not in done}
    assert circle == set(), {name: sorted(arrows[name] & circle) for name in sorted(circle)}


def test_files_named_in_the_road_exist() -> None:
    text = (ROOT / "docs" / "road.md").read_text("utf-8")
    named = set(re.findall(r"`([\w/]+\.py)`", text))
    assert named and all((PACKAGE / name).is_file() for name in named)
