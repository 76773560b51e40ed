"""Where fetched weights lie, and whether anything may be fetched at all."""

from __future__ import annotations

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
