"""Where fetched weights lie, whether anything may be fetched at all, and what a file is known by."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from platformdirs import user_cache_dir


def cache_dir() -> Path:
    """The folder of fetched weights: ``$MILD_CACHE``, else the user's cache folder of this platform."""
    return Path(os.environ.get("MILD_CACHE") or user_cache_dir("mild", appauthor=False))


def offline() -> bool:
    """Has the user forbidden downloads (``MILD_OFFLINE=1`` or ``HF_HUB_OFFLINE=1``)?"""
    return any(
        os.environ.get(name, "").strip().lower() in {"1", "true", "yes", "on"}
        for name in ("MILD_OFFLINE", "HF_HUB_OFFLINE")
    )


def sha256_of(path: Path) -> str:
    """The sha256 of a file, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
