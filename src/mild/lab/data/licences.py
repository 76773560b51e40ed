"""Under which licence each photo is, and whom to thank: from a table, a COCO file, or one statement for all."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from mild.errors import UsageError
from mild.lab.data.ingredients import group_of
from mild.lab.data.sample import Source

#: Names under which tables keep each field; the first that is there counts.
_FIELDS: Mapping[str, tuple[str, ...]] = {
    "file": ("file", "file_name", "filename", "photo", "name"),
    "licence": ("licence", "license", "license_name"),
    "credit": ("credit", "author", "attribution"),
    "origin": ("origin", "source", "url"),
    "group": ("group",),
}


@dataclass(frozen=True)
class Licence:
    """What is known of one photo; an empty ``licence`` means that it must not be used.

    Attributes:
        licence, credit, origin: as in :class:`~mild.lab.data.sample.Source`.
        group: the original photo, when several files were made from one; empty: the file itself.
    """

    licence: str
    credit: str = ""
    origin: str = ""
    group: str = ""

    def source(self, file: str) -> Source:
        # A photo of COCO is known by its number wherever it turns up, as among the ingredients of composed sets.
        known = group_of({"file": file, "origin": self.origin})
        group = self.group or (known if known.startswith("coco/") else file)
        return Source(file, "photo", self.licence, self.credit, self.origin, group)


@dataclass(frozen=True)
class Licences:
    """Licences by photo.

    Attributes:
        table: file (path below the photos' folder, or name alone) to licence.
        everybody: for photos that no table lists; None: those have none.
    """

    table: Mapping[str, Licence]
    everybody: Licence | None = None

    def of(self, file: str, also: Licence | None = None) -> Licence | None:
        """The photo's licence, or None.

        A line of the table comes first (an empty licence there means none), then ``also`` (what the set itself says),
        then what holds for all.
        """
        found = self.table.get(file) or self.table.get(PurePosixPath(file).name)
        if found is None:
            found = also if also is not None and also.licence.strip() else self.everybody
        return found if found is not None and found.licence.strip() else None


def read_licences(path: Path | None, everybody: Licence | None = None) -> Licences:
    """Licences from a CSV (comma, semicolon or tab) or JSON file, and what holds for photos it does not list.

    The CSV has a line of names: ``file``, ``licence`` and, if known, ``credit``, ``origin``, ``group``. The JSON is a
    list of objects with these fields, or one object from file to licence or to such an object.

    Raises:
        UsageError: it cannot be read, or lacks these fields.
    """
    if path is None:
        return Licences({}, everybody)
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise UsageError(f"The licences {path} cannot be read ({why}).") from None
    rows = _of_json(text, path) if path.suffix.lower() == ".json" else _of_csv(text, path)
    table: dict[str, Licence] = {}
    for row in rows:
        fields = {name: _first(row, names) for name, names in _FIELDS.items()}
        file = fields.pop("file")
        if file:
            table[str(PurePosixPath(file.replace("\\", "/")))] = Licence(**fields)
    return Licences(table, everybody)


def _of_csv(text: str, path: Path) -> Iterable[Mapping[str, Any]]:
    head = text.partition("\n")[0]
    mark = max(",;\t", key=head.count)
    rows = list(csv.DictReader(io.StringIO(text), delimiter=mark))
    names = {name.strip().lower() for name in head.strip().split(mark)}
    for field in ("file", "licence"):
        if not names & set(_FIELDS[field]):
            raise UsageError(f"The licences {path.name} have no column '{field}'; their first line must name it.")
    return rows


def _of_json(text: str, path: Path) -> Iterable[Mapping[str, Any]]:
    try:
        data = json.loads(text)
    except ValueError:
        raise UsageError(f"The licences {path.name} are not JSON.") from None
    if isinstance(data, dict):
        data = [
            {**value, "file": file} if isinstance(value, dict) else {"file": file, "licence": value}
            for file, value in data.items()
        ]
    if not isinstance(data, list) or not all(isinstance(row, dict) for row in data):
        raise UsageError(f"The licences {path.name} must be a list of objects, or an object from file to licence.")
    return data


def _first(row: Mapping[str, Any], names: tuple[str, ...]) -> str:
    lower = {str(key).strip().lower(): value for key, value in row.items()}
    return next((str(lower[name]).strip() for name in names if lower.get(name) not in (None, "")), "")
