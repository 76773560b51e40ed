"""Which photos a batch is of: a folder, a list, a manifest, or one of these in an object store."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

from mild.app.batch import store
from mild.errors import UsageError
from mild.photo.formats import FORMATS
from mild.request import EraseRequest

#: Columns of a manifest that are no field of the request.
PHOTO, OUTPUT, SCENE = "photo", "output", "scene"
#: A field of the request that a manifest may give as text, with ``;`` between.
ALSO = "also"
#: Parts of the request whose fields a manifest may name without the part, in the order in which they are looked up.
PARTS = ("selection", "method", "region", "finder")


@dataclass(frozen=True)
class Item:
    """One photo of a batch.

    Attributes:
        name: what the ledger calls it: its path below the source, with ``/`` between.
        source: its path or URI.
        fields: of the request, for this photo alone, part by part; from a manifest.
        output: what the result is called below the output's folder, if the manifest says it.
        stamp: changes when the file does; empty where there is no such file.
        line: of the manifest or list; 0 elsewhere.
        scene: photos of one scene, as the manifest calls it, are shots of the same place; empty: it says nothing.
        shots: other shots of the scene, each its place and its stamp; see :mod:`mild.app.batch.bursts`.
    """

    name: str
    source: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    output: str | None = None
    stamp: str = ""
    line: int = 0
    scene: str = ""
    shots: tuple[tuple[str, str], ...] = ()


def items_of(source: str, include: Iterable[str] = (), exclude: Iterable[str] = ()) -> list[Item]:
    """The photos, in the order of their names (of a list or manifest: in its order).

    Args:
        source: folder, list (one file a line; ``-``: standard input), manifest (``.csv``, ``.jsonl``), photo, or the
            URI of any of them.
        include, exclude: patterns of names (``*.jpg``, ``2024/*``); without ``include`` every photo, by its suffix.

    Raises:
        UsageError: there is nothing of the kind, no photo in it, or a manifest that cannot be understood.
        MildError: it cannot be read.
    """
    include, exclude = tuple(include), tuple(exclude)
    suffix = PurePosixPath(source.rstrip("/")).suffix.lower()
    if store.is_folder(source):
        return _below(source, include, exclude)
    if suffix in FORMATS:
        here = store.stamp(source)
        if not here:
            raise UsageError(f"There is no file {source}.")
        return [Item(PurePosixPath(source).name, absolute(source), stamp=here)]
    if not store.is_uri(source) and source != "-" and not Path(source).exists():
        raise UsageError(f"There is no {source}: name a folder, a list, a manifest, or the URI of an object store.")
    text = sys.stdin.read() if source == "-" else store.text_of(source)
    base = str(Path.cwd()) if source == "-" else _parent(source)
    if suffix == ".csv":
        entries = _csv_entries(text, source)
    elif suffix in (".jsonl", ".ndjson"):
        entries = _json_entries(text, source)
    else:
        lines = ((number, line.strip()) for number, line in enumerate(text.split("\n"), 1))
        entries = [(number, {PHOTO: line}) for number, line in lines if line and not line.startswith("#")]
    found = _named([_item(number, entry, base, source) for number, entry in entries])
    found = [item for item in found if _wanted(item.name, include, exclude, ())]
    if not found:
        raise UsageError(f"{source} names no photo.")
    return found


def _below(folder: str, include: tuple[str, ...], exclude: tuple[str, ...]) -> list[Item]:
    there = store.listed(folder)
    found = [
        Item(name, absolute(place), stamp=here)
        for name, (place, here) in there.items()
        if _wanted(name, include, exclude, FORMATS)
    ]
    if not found:
        other = f"; it holds {len(there)} other file{'s' if len(there) > 1 else ''}" if there else ""
        what = "no photo of that pattern" if include or exclude else "no photo"
        raise UsageError(f"There is {what} in {folder}{other}.")
    return found


def _wanted(name: str, include: tuple[str, ...], exclude: tuple[str, ...], suffixes: Iterable[str]) -> bool:
    def fits(patterns: tuple[str, ...]) -> bool:
        return any(fnmatch(name, pattern) or fnmatch(name.rpartition("/")[2], pattern) for pattern in patterns)

    if fits(exclude):
        return False
    if include:
        return fits(include)
    return not suffixes or PurePosixPath(name).suffix.lower() in suffixes


def _csv_entries(text: str, source: str) -> list[tuple[int, dict[str, Any]]]:
    head = text.partition("\n")[0]
    reader = csv.DictReader(io.StringIO(text), delimiter=max(",;\t", key=head.count))
    if PHOTO not in (reader.fieldnames or ()):
        raise UsageError(f"The first line of {source} must name the columns, one of them {PHOTO}.")
    entries = []
    for entry in reader:
        if None in entry:
            raise UsageError(f"Line {reader.line_num} of {source} has more cells than there are columns.")
        entries.append((reader.line_num, {key: _cell(key, value) for key, value in entry.items() if value}))
    return entries


def _cell(column: str, text: str) -> Any:
    """``3``, ``true``, ``[1, 2]`` as JSON has them; ``1,3`` and ``1;3`` as whole numbers; anything else is text."""
    if column in (PHOTO, OUTPUT, SCENE):
        return text
    if column == ALSO and not text.startswith("["):
        return [one.strip() for one in text.split(";")]
    for attempt in (text, f"[{text}]", f"[{text.replace(';', ',')}]"):
        try:
            return json.loads(attempt)
        except ValueError:
            continue
    return text


def _json_entries(text: str, source: str) -> list[tuple[int, dict[str, Any]]]:
    entries = []
    for number, line in enumerate(text.split("\n"), 1):  # not at what else Unicode calls a line's end
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except ValueError:
            raise UsageError(f"Line {number} of {source} is not JSON.") from None
        if not isinstance(entry, dict) or not isinstance(entry.get(PHOTO), str):
            raise UsageError(f"Line {number} of {source} is no object with a {PHOTO}.")
        entries.append((number, entry))
    return entries


def _item(number: int, entry: dict[str, Any], base: str, source: str) -> Item:
    """A line as an item; its name is its source still."""
    photo, output = entry[PHOTO], entry.get(OUTPUT)
    if not isinstance(photo, str):
        raise UsageError(f"Line {number} of {source} names no photo.")
    if "\\u0000" in json.dumps(entry):
        raise UsageError(f"Line {number} of {source} holds a NUL character, which no name has; is it a text file?")
    place = _placed(photo, base)
    if output is not None and (not isinstance(output, str) or not _inside(output)):
        raise UsageError(f"Line {number} of {source}: the output {output!r} does not lie in the output's folder.")
    fields: dict[str, Any] = {}
    for key, value in entry.items():
        if key in (PHOTO, OUTPUT, SCENE) or value is None:
            continue
        try:
            _sort(fields, key, value)
        except KeyError:
            raise UsageError(f"Line {number} of {source} has {key!r}, which is no field of a request.") from None
    chosen = fields.get("selection", {})
    if isinstance(chosen.get("mask"), str) and not store.is_uri(base):
        chosen["mask"] = str(Path(base) / chosen["mask"])  # beside the manifest, as the photos are
    if isinstance(fields.get(ALSO), str):
        fields[ALSO] = [fields[ALSO]]
    if isinstance(fields.get(ALSO), list):
        fields[ALSO] = [_placed(one, base) if isinstance(one, str) else one for one in fields[ALSO]]
    try:
        EraseRequest.build(**fields)
    except UsageError as error:
        raise UsageError(f"Line {number} of {source}: {error}") from None
    return Item(place, absolute(place), fields, output, line=number, scene=str(entry.get(SCENE) or ""))


def _placed(name: str, base: str) -> str:
    """A name in a manifest: beside it, unless it says where."""
    return name if store.is_uri(name) or Path(name).is_absolute() else f"{base.rstrip('/')}/{name}"


def _sort(fields: dict[str, Any], key: str, value: Any) -> None:
    """Put a field where the request has it: ``selection.people``, ``people``, or a whole part at once."""
    known = EraseRequest.model_fields
    part, _, name = key.rpartition(".")
    if not part and key in known:
        if isinstance(value, dict) and key in PARTS:
            fields[key] = fields.get(key, {}) | value
        else:
            fields[key] = value
        return
    for candidate in [part] if part else PARTS:
        if name in _fields(known[candidate].annotation):
            if name in ("people", "keep") and isinstance(value, int):
                value = [value]
            fields.setdefault(candidate, {})[name] = value
            return
    raise KeyError(key)


def _fields(part: Any) -> set[str]:
    """The names of a part's fields, and of those of its groups, which a request takes by their own names too."""
    groups = [field.annotation for field in part.model_fields.values()]
    return set(part.model_fields).union(*(group.model_fields for group in groups if hasattr(group, "model_fields")))


def _named(items: list[Item]) -> list[Item]:
    """The items, called by their paths below the folder that holds them all."""
    if not items:
        return []
    parents = {_parent(item.source) for item in items}
    try:
        top = os.path.commonpath(parents) if not any(map(store.is_uri, parents)) else _common(sorted(parents))
    except ValueError:  # of several drives
        top = ""
    out: list[Item] = []
    lines: dict[tuple[str, str | None], int] = {}
    for item in items:
        again = lines.setdefault((item.source, item.output), item.line)
        if again != item.line:
            raise UsageError(f"{item.source} is named twice (lines {again} and {item.line}); name it once.")
        name = item.source.removeprefix(top).lstrip("/\\").replace("\\", "/")
        out.append(replace(item, name=name, stamp=store.stamp(item.source)))
    return out


def _common(parents: list[str]) -> str:
    first, last = parents[0].split("/"), parents[-1].split("/")
    same = 0
    while same < min(len(first), len(last)) and first[same] == last[same]:
        same += 1
    return "/".join(first[:same])


def _inside(output: str) -> bool:
    parts = PurePosixPath(output).parts
    return bool(parts) and not output.startswith("/") and ".." not in parts and not Path(output).is_absolute()


def _parent(place: str) -> str:
    return place.rpartition("/")[0] if store.is_uri(place) else str(Path(absolute(place)).parent)


def absolute(place: str) -> str:
    """A URI as it is; a path from the root, its folder's links followed (its own name is the user's)."""
    if store.is_uri(place):
        return place
    path = Path(place)
    return str(path.parent.resolve() / path.name) if path.name else str(path.resolve())
