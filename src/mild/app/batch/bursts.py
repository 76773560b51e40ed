"""Which photos of a batch are shots of one scene, so that what the others saw fills the holes of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mild.app.batch import store
from mild.app.batch.sources import Item
from mild.errors import UsageError
from mild.photo.taken import taken

#: Grouping by folder; anything else is a number of seconds.
FOLDER = "folder"
#: Other shots of a scene that a photo is given, the nearest ones: with itself so many as finders remember at a time.
MOST = 6


def with_shots(items: list[Item], how: str | None) -> list[Item]:
    """The items, each with the nearest other shots of its scene.

    Args:
        how: ``folder``: the photos of a folder are shots of one scene; seconds: so are photos of a folder of which each
            was taken so soon after the one before; None: only what the manifest says.

    Raises:
        UsageError: ``how`` is neither, or such photos' times cannot be read.
    """
    seconds = _seconds(how)
    scenes: dict[str, list[Item]] = {}
    for item in items:
        if item.scene:
            scenes.setdefault(f"scene {item.scene}", []).append(item)
        elif how is not None:
            scenes.setdefault(f"folder {item.name.rpartition('/')[0]}", []).append(item)
    shots: dict[tuple[str, str | None], tuple[tuple[str, str], ...]] = {}
    for name, members in scenes.items():
        together = _bursts(members, seconds) if seconds is not None and name.startswith("folder ") else [members]
        for burst in together:
            for place, item in enumerate(burst):
                shots[item.name, item.output] = tuple((o.source, o.stamp) for o in _nearest(burst, place))
    return [replace(item, shots=shots.get((item.name, item.output), ())) for item in items]


def _seconds(how: str | None) -> float | None:
    if how is None or how == FOLDER:
        return None
    try:
        seconds = float(how)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise UsageError(f"--bursts takes {FOLDER!r}, or how many seconds lie between shots of one scene, not {how!r}.")
    return seconds


def _bursts(items: list[Item], seconds: float) -> list[list[Item]]:
    """Photos in the order in which they were taken, cut where more time lies between two."""
    if any(store.is_uri(item.source) for item in items):
        raise UsageError("--bursts SECONDS reads when photos were taken, which needs files of this machine.")
    timed = [(when, item) for item in items if (when := taken(Path(item.source))) is not None]
    found: list[list[Item]] = []
    last = float("-inf")
    for when, item in sorted(timed, key=lambda one: (one[0], one[1].name)):
        if when - last > seconds:
            found.append([])
        found[-1].append(item)
        last = when
    return found


def _nearest(burst: Sequence[Item], place: int) -> list[Item]:
    others = [other for other in range(len(burst)) if burst[other].source != burst[place].source]
    return [burst[other] for other in sorted(sorted(others, key=lambda other: abs(other - place))[:MOST])]
