"""The page on which a person looks at every sample and accepts or rejects it with a key, and what they decided.

The page is one HTML file beside its pictures; it works from the disk, fetches nothing, and keeps what was decided in
the browser until it is saved as ``decisions.json``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.errors import MildError, UsageError
from mild.files import write_atomically
from mild.lab.data.sample import Sample
from mild.people.overlay import draw_overlay

#: Format of the decisions file.
FORMAT = "mild-decisions/1"
Choice = Literal["accept", "reject"]
#: Folder of the page in a set's folder.
FOLDER = "review"
_SIDE = 900


@dataclass(frozen=True)
class PageEntry:
    """One sample on the page: its key, its picture (a name in the page's folder), and a line about it."""

    key: str
    picture: str
    caption: str


def entry_of(sample: Sample) -> PageEntry:
    """What the page says of a sample."""
    count, tags = len(sample.people), sample.tags
    said = [f"{count} {'person' if count == 1 else 'people'}", tags.scenario]
    if tags.occlusion:
        said.append(f"about {100 * tags.occlusion:.0f} % of somebody hidden")
    if tags.entangled:
        said.append("belongings")
    if tags.contrast < 100:
        said.append(f"contrast {tags.contrast:.0f}")
    if sample.truth != "none":
        said.append("left: the photo, right: nobody")
    said += [f"{source.file} ({source.licence})" for source in sample.sources[:2]]
    return PageEntry(sample.key, f"{sample.key}.jpg", " · ".join(said))


def preview(sample: Sample) -> NDArray[np.uint8]:
    """The photo with everybody's outline and number (filled: to go); beside it the truth without them, if known."""
    scene = sample.scene()
    # A sample's people are all meant: none is drawn as doubtful.
    picture = draw_overlay(scene, sample.erased)
    if sample.truth != "none":
        picture = np.concatenate([picture, sample.erased_truth()], 1)
    factor = _SIDE * (2 if sample.truth != "none" else 1) / max(picture.shape[:2])
    if factor < 1:
        picture = np.asarray(cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8)
    return picture


def write_preview(folder: Path, sample: Sample) -> PageEntry:
    """The sample's picture in the page's folder, and its entry."""
    entry = entry_of(sample)
    bgr = np.ascontiguousarray(preview(sample)[..., ::-1])
    ok, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 88])
    if not ok:
        raise MildError(f"The preview of {sample.key} could not be made.")
    _write(folder / entry.picture, data.tobytes())
    return entry


def write_page(folder: Path, title: str, entries: Sequence[PageEntry]) -> Path:
    """``index.html`` in this folder, beside the pictures."""
    page = resources.files("mild.lab.data").joinpath("review.html").read_text("utf-8")
    mark = hashlib.sha256("\n".join(entry.key for entry in entries).encode()).hexdigest()[:16]
    said = {"title": title, "mark": mark, "entries": [vars(entry) for entry in entries]}
    # Inside a script element only "</" and "<!--" could end it.
    text = json.dumps(said, ensure_ascii=False).replace("<", "\\u003c")
    place = '<script type="application/json" id="set">{}</script>'
    path = folder / "index.html"
    _write(path, page.replace(place, place.replace("{}", text)).encode())
    return path


def read_decisions(path: Path) -> dict[str, Choice]:
    """Key of a sample to what was decided.

    Raises:
        UsageError: it cannot be read, or is no file of decisions.
    """
    try:
        data = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UsageError(f"The decisions {path} cannot be read ({error.strerror or error}).") from None
    except (ValueError, RecursionError):
        raise UsageError(f"The decisions {path} are not a JSON file; save them on the review page.") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT or not isinstance(data.get("decisions"), dict):
        raise UsageError(f"The file {path} holds no decisions ({FORMAT}); save them on the review page.")
    for key, choice in data["decisions"].items():
        if choice not in get_args(Choice):
            raise UsageError(f"The decisions {path.name} say {choice!r} of {key}; it must be accept or reject.")
    return dict(data["decisions"])


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda handle: handle.write(data))
    except OSError as error:
        raise MildError(f"The file {path} could not be written ({error.strerror or error}).") from None
