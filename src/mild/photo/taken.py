"""When a photo was taken, as its file says."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from PIL import Image

#: EXIF: the part about the shot; in it the time, and the digits after its seconds' point.
_PART, _WHEN, _DIGITS = 0x8769, 0x9003, 0x9291


def taken(path: Path) -> float | None:
    """Seconds since 1970 by the camera's own clock; None where the file says nothing that can be read."""
    try:
        with Image.open(path) as image:
            said = image.getexif().get_ifd(_PART)
        when = datetime.strptime(str(said.get(_WHEN, "")).strip("\0 "), "%Y:%m:%d %H:%M:%S")
    except Exception:  # whatever is wrong with the file is told when it is opened as a photo
        return None
    digits = str(said.get(_DIGITS, "")).strip("\0 ")
    fraction = float(f"0.{digits}") if digits.isascii() and digits.isdigit() else 0.0
    # Only differences are used, so any zone will do.
    return (when - datetime(1970, 1, 1)).total_seconds() + fraction
