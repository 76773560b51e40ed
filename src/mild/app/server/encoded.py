"""Files that come as text. It loads nothing: the event loop imports it, and whatever that waits for, all wait for."""

from __future__ import annotations

import base64
import binascii

from mild.errors import UsageError


def unbase64(name: str, text: str) -> bytes:
    """A file in base64, with or without ``data:…,`` in front.

    Raises:
        UsageError: it is none.
    """
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise UsageError(f"{name} is not base64.") from None
