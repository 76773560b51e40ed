"""The mark of an edit: what a machine can read of how this picture came about.

IPTC's digital source type (https://cv.iptc.org/newscodes/digitalsourcetype/), IPTC 2025.1's name and version of the AI
system, and an entry in XMP's history; EXIF's and PNG's ``Software`` name the program.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Any

from mild.photo.allowed import EXIF, EXT, MM, TIFF, XAP
from mild.photo.xmp import Array, Name, Value, Xmp, read_xmp, write_xmp

_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
#: A photo of which a trained model made a part; one that was made whole by one; one edited without.
COMPOSITE, MADE, EDITED = (
    _TYPES + name for name in ("compositeWithTrainedAlgorithmicMedia", "trainedAlgorithmicMedia", "humanEdits")
)
_EVENT = "http://ns.adobe.com/xap/1.0/sType/ResourceEvent#"


@dataclass(frozen=True)
class Mark:
    """What is said of the edit.

    Attributes:
        version: MILD's version.
        model: the model that made pixels, or None when only the photo's own were copied.
        when: the time in ISO 8601, or None for a file that shall not depend on it.
    """

    version: str
    model: str | None = None
    when: str | None = None

    @classmethod
    def now(cls, model: str | None) -> Mark:
        """A mark without a time, so that the same job gives the same file; with ``SOURCE_DATE_EPOCH``, if it is set."""
        from mild import __version__

        epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(int(epoch))) if epoch.isdigit() else None
        return cls(__version__, model, when)

    @property
    def software(self) -> str:
        return f"MILD {self.version}"

    @property
    def source_type(self) -> str:
        return COMPOSITE if self.model else EDITED

    def report(self) -> dict[str, Any]:
        """For the account of a job."""
        return {"DigitalSourceType": self.source_type, "Software": self.software}

    def as_dict(self) -> dict[str, Any]:
        """For a description from which :meth:`of_dict` makes the mark again."""
        return {**self.report(), "version": self.version, "model": self.model, "when": self.when}

    @classmethod
    def of_dict(cls, said: Any) -> Mark | None:
        """The mark of a description, which a stranger may have written; None when there is none."""
        if not isinstance(said, dict) or not isinstance(said.get("version"), str):
            return None
        texts = [
            str(said.get(key) or "")[:200].encode("utf-8", "replace").decode() for key in ("version", "model", "when")
        ]
        version, model, when = ("".join(letter for letter in text if letter.isprintable()) for text in texts)
        return cls(version, model or None, when or None)


def packet(mark: Mark, source: bytes | None = None) -> bytes:
    """The mark by itself, as an XMP packet, for what holds no other metadata.

    Args:
        source: XMP of the photo that was edited; one that says that a model made all of it goes on saying so.
    """
    said = (read_xmp(source) if source else None) or Xmp()
    kept = {name: value for name, value in said.properties.items() if name == (EXT, "DigitalSourceType")}
    written = write_xmp(marked(Xmp(kept, said.prefixes), mark))
    assert written is not None
    return written


def marked(xmp: Xmp, mark: Mark | None) -> Xmp:
    """The packet with the mark, or (None) without claims that the edit made false."""
    found: dict[Name, Value] = dict(xmp.properties)
    found.pop((MM, "InstanceID"), None)  # it named the unedited file
    inherited = found.get((EXT, "DigitalSourceType"))
    made = isinstance(inherited, str) and inherited.rsplit("/", 1)[-1] in (
        "trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia",
    )  # fmt: skip
    found.pop((EXT, "DigitalSourceType"), None)
    if made and isinstance(inherited, str):
        found[EXT, "DigitalSourceType"] = _TYPES + inherited.rsplit("/", 1)[-1]
    if mark is None:
        return Xmp(found, xmp.prefixes)
    found.setdefault((EXT, "DigitalSourceType"), mark.source_type)
    if mark.model:
        found[EXT, "AISystemUsed"] = f"MILD ({mark.model})"
        found[EXT, "AISystemVersionUsed"] = mark.version
    for name in ((TIFF, "Software"), (EXIF, "Software")):
        if name in found:
            found[name] = mark.software
    found.setdefault((XAP, "CreatorTool"), mark.software)
    event = {"action": "edited", "softwareAgent": mark.software, "changed": "/"}
    event["parameters"] = (
        f"people erased; the place they left was filled by the model {mark.model}"
        if mark.model
        else "people erased; the place they left was filled with the photo's own texture"
    )
    if mark.when:
        event["when"] = found[XAP, "MetadataDate"] = found[XAP, "ModifyDate"] = mark.when
    before = found.get((MM, "History"))
    entry: tuple[None, Value] = (None, {(_EVENT, key): text for key, text in event.items()})
    items = before.items if isinstance(before, Array) else ()
    found[MM, "History"] = Array("Seq", (*items, entry))
    return Xmp(found, xmp.prefixes)
