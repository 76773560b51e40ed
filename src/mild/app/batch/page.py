"""``batch.html``: what became of every photo, to look at and to mark for redoing; it fetches nothing from anywhere.

One file beside a folder of small pictures. All entries are in the page; a hundred are shown at a time, and pictures are
read from the disk when they come into view.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from mild.app.batch.worker import Setup
from mild.files import write_bytes

TEMPLATE = "page.html"
_STATES = ("failed", "done", "copied", "skipped")


def write_page(path: Path, setup: Setup, source: str, entries: Sequence[dict[str, Any]]) -> None:
    """Write the page of a ledger's entries.

    Raises:
        MildError: it cannot be written.
    """
    requests: dict[str, int] = {}
    listed = []
    for entry in sorted(entries, key=lambda entry: (entry["status"] != "failed", entry["output"])):
        fields = json.dumps(entry.get("fields", {}), sort_keys=True)
        people = [
            [p["id"], *p["box"], int(p["sure"]), int(p["gone"]), p.get("role", "")] for p in entry.get("people", ())
        ]
        listed.append(
            [
                entry["output"],
                _STATES.index(entry["status"]),
                entry.get("number", 0),
                entry.get("picture") or 0,
                people,
                entry.get("seconds", 0),
                " ".join([entry.get("error") or entry.get("why") or _seen(entry), *entry.get("notes", ())]).strip(),
                entry.get("source", ""),
                requests.setdefault(fields, len(requests)),
            ]
        )
    data = {
        "entries": listed,
        "requests": [json.loads(text) for text in requests],
        "states": _STATES,
        "pictures": setup.pictures,
        "dry": setup.dry,
        "source": source,
    }
    text = resources.files(__package__).joinpath(TEMPLATE).read_text("utf-8")
    # No "</script>" may stand in a script.
    inside = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    write_bytes(path, text.replace("{{data}}", inside).encode("utf-8", "backslashreplace"))


def _seen(entry: dict[str, Any]) -> str:
    """What other shots gave."""
    if not entry.get("also"):
        return ""
    shots, left = len(entry["also"]), len(entry.get("refused", ()))
    told = f"{100 * entry.get('seen', 0):.0f} % of the background seen in {shots} other shot{'s' if shots > 1 else ''}"
    return told + (f"; {left} did not fit" if left else "")
