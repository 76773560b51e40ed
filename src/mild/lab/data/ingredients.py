"""The licensed photos that training sets are composed from: backgrounds without people, and cut-out people.

A folder holds ``manifest.jsonl`` (one line per photo: kind, file, shard, licence, credit, split) and the tars it
names. Everything is read from the tars in place; nothing is unpacked. A line without ``shard`` names a plain file.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mild.errors import MildError

Split = Literal["train", "test"]


@dataclass(frozen=True)
class Ingredients:
    """The photos of one split.

    Attributes:
        root: folder of ``manifest.jsonl`` and the tars.
        backgrounds: manifest lines of photos without people; close-ups last and few of them.
        people: manifest lines of RGBA cut-outs that are whole enough to serve as ground truth for a person.
        occluders: manifest lines of all cut-outs whose outline can serve as a hole.
    """

    root: Path
    backgrounds: tuple[dict[str, Any], ...]
    people: tuple[dict[str, Any], ...]
    occluders: tuple[dict[str, Any], ...]

    @classmethod
    def open(cls, root: str | Path, split: Split) -> Ingredients:
        """Read the manifest; raises :class:`MildError` when the folder has none."""
        root = Path(root)
        entries = of_split(read_manifest(root)[0], split)
        persons = [e for e in entries if e["kind"] == "person" and min(e["size"]) >= 48]
        whole = [e for e in persons if e.get("full_body") and not e.get("truncated") and not e.get("occluded")]
        return cls(
            root,
            tuple(e for e in entries if e["kind"] == "background"),
            tuple(e for e in whole if max(e["size"]) >= 120),
            tuple(persons),
        )

    def rgb(self, entry: dict[str, Any]) -> NDArray[np.uint8]:
        """Decode a background: uint8 ``[H, W, 3]``."""
        return np.asarray(self.image(entry).convert("RGB"))

    def rgba(self, entry: dict[str, Any]) -> NDArray[np.uint8]:
        """Decode a cut-out: uint8 ``[H, W, 4]``, straight alpha."""
        return np.asarray(self.image(entry).convert("RGBA"))

    def image(self, entry: dict[str, Any]) -> Image.Image:
        """Opened, not yet decoded; raises :class:`MildError` when it is not there or no picture."""
        tar = self.root / entry["shard"] if entry.get("shard") else None
        # An unpacked tar serves as well.
        if tar is None or (not tar.exists() and (self.root / entry["file"]).is_file()):
            try:
                return Image.open(io.BytesIO((self.root / entry["file"]).read_bytes()))
            except (OSError, ValueError) as error:
                why = getattr(error, "strerror", None) or "it is damaged"
                raise MildError(f"The photo {entry['file']} cannot be read ({why}).") from None
        if not tar.is_file():
            raise MildError(f"{self.root} has no {entry['shard']}, which the manifest names; put it there.")
        handle, members = _tar(tar)
        member = members.get(entry["file"])
        data = handle.extractfile(member) if member is not None else None
        if data is None:
            raise MildError(f"{entry['shard']} holds no {entry['file']}; the manifest and the tar do not match.")
        try:
            return Image.open(io.BytesIO(data.read()))
        except (OSError, ValueError):
            raise MildError(f"The photo {entry['file']} cannot be read; it is damaged.") from None


def group_of(entry: Mapping[str, Any]) -> str:
    """The original photo a manifest line was made from; whatever shares it must be in one split.

    A line may say it (``group``); else it is read from where the file came from: COCO's number, a panorama's name, the
    last two parts of a path (tiles of one wallpaper share it); failing that the file itself.
    """
    if entry.get("group"):
        return str(entry["group"])
    texts = [str(entry.get(field) or "") for field in ("source_image", "source", "origin", "file")]
    for text in texts:
        number = re.search(r"(?<!\d)\d{12}(?!\d)", text)
        if number:
            return f"coco/{number[0]}"
    for text in (texts[1], texts[2].partition(" ")[2], texts[3]):
        path = re.search(r"[^:]+\.(?:hdr|jpe?g|png|webp|tiff?|bmp)$", text, re.IGNORECASE)
        if path:
            parts = path[0].rpartition(".")[0].split("/")
            return parts[-1] if path[0].lower().endswith(".hdr") else "/".join(parts[-2:])
    return texts[3]


def read_manifest(root: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """The usable lines of a manifest, and one sentence for each line that is not.

    Raises:
        MildError: there is no manifest.
    """
    manifest = root / "manifest.jsonl"
    if not manifest.is_file():
        raise MildError(f"{root} has no manifest.jsonl; name the folder with the training photos.")
    entries: list[dict[str, Any]] = []
    problems: list[str] = []
    for number, line in enumerate(manifest.read_text("utf-8", errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except ValueError:
            entry = None
        if not isinstance(entry, dict):
            problems.append(f"Line {number} of manifest.jsonl is not a JSON object.")
            continue
        missing = [name for name in ("kind", "file", "split", "size") if not entry.get(name)]
        if missing:
            problems.append(f"Line {number} of manifest.jsonl ({entry.get('file', '?')}) has no {missing[0]}.")
        elif not str(entry.get("licence") or "").strip():
            problems.append(f"{entry['file']} has no licence; without one it cannot be used.")
        else:
            entries.append(entry)
    return entries, problems


def of_split(entries: list[dict[str, Any]], split: Split) -> list[dict[str, Any]]:
    """The lines of one split, without leaks.

    Where lines of one original photo are in both splits (views of one panorama, a person and the background beside
    them), the train lines stay and the test lines are left out: what was trained on can never be tested on.
    """
    if split == "train":
        return [entry for entry in entries if entry["split"] == "train"]
    known = {group_of(entry) for entry in entries if entry["split"] == "train"}
    return [entry for entry in entries if entry["split"] == split and group_of(entry) not in known]


@lru_cache(maxsize=16)
def _tar(path: Path) -> tuple[tarfile.TarFile, dict[str, tarfile.TarInfo]]:
    # Stays open: members are read at random for as long as the process lives.
    handle = tarfile.open(path)  # noqa: SIM115
    return handle, {member.name.removeprefix("./"): member for member in handle.getmembers() if member.isfile()}
