"""Looking the ingredients over before a set is made: whatever is wrong is named, and left out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mild.errors import MildError
from mild.lab.data.ingredients import Ingredients, Split, of_split, read_manifest


@dataclass(frozen=True)
class Inspection:
    """What was found.

    Attributes:
        left_out: files that must not be used.
        problems: one sentence each.
    """

    left_out: frozenset[str]
    problems: tuple[str, ...]


def inspect(root: str | Path, split: Split) -> Inspection:
    """Decode every background and every cut-out of a split.

    Raises:
        MildError: there is no manifest.
    """
    root = Path(root)
    entries, problems = read_manifest(root)
    photos = Ingredients(root, (), (), ())
    left_out: set[str] = set()
    for entry in of_split(entries, split):
        if entry["kind"] not in ("background", "person"):
            continue
        wrong = _wrong(photos, entry)
        if wrong:
            left_out.add(entry["file"])
            problems.append(wrong)
    # A tar that is not there is one problem, not one of each of its photos.
    return Inspection(frozenset(left_out), tuple(dict.fromkeys(problems)))


def _wrong(photos: Ingredients, entry: dict[str, Any]) -> str | None:
    """What is wrong with one ingredient, in one sentence."""
    name = entry["file"]
    try:
        image = photos.image(entry)
        said = tuple(entry["size"])
        if image.size != said:
            return f"{name} is {image.width} x {image.height}, but the manifest says {said[0]} x {said[1]}."
        if entry["kind"] == "background":
            image.load()
            return None
        if "A" not in image.getbands():
            return f"{name} has no transparency; a person must be a cut-out (RGBA)."
        alpha = np.asarray(image.getchannel("A"))
        if (alpha > 127).sum() < 64:
            return f"{name} is empty: its alpha shows nobody."
    except MildError as error:
        return str(error)
    except (OSError, ValueError, SyntaxError, TypeError, Image.DecompressionBombError):
        return f"The photo {name} cannot be read; it is damaged."
    points = entry.get("keypoints")
    if points and (len(points) != 17 or any(len(p) != 3 or p[2] not in (0, 1, 2) for p in points)):
        return f"The keypoints of {name} are not 17 x [x, y, 0|1|2]."
    return None
