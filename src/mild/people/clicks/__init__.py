"""What a click or a box means, by a click segmenter (SAM 2.1, EdgeTAM, EfficientSAM) when one is on this machine.

A photo is encoded once and asked as often as points are added: the last few photos' encodings are kept.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mild.errors import MildError
from mild.models import assets, registry
from mild.models.contracts import ClickContract
from mild.people.clicks.layouts import LAYOUTS, Clicker, Encoded
from mild.people.finders.detr import enlarged
from mild.people.scene import BoolMask, Box
from mild.photo import Photo

#: Photos whose encodings are kept.
MOST = 2
_encoded: OrderedDict[tuple[str, str], Encoded] = OrderedDict()
_lock = threading.Lock()
_log = logging.getLogger("mild")


@dataclass(frozen=True)
class Clicks:
    """Points of one thing, pixels of the photo: on it, and on what is not part of it; or a box around it; or both."""

    on: Sequence[tuple[int, int]] = ()
    off: Sequence[tuple[int, int]] = ()
    box: Box | None = None


def available() -> bool:
    """Is there a click segmenter on this machine?"""
    return bool(assets.installed("click", default=True))


def cut_out(photo: Photo, clicks: Clicks) -> tuple[BoolMask, str] | None:
    """The mask ``[H, W]`` of what is clicked or framed and the model that said so; None where there is no model that
    works, or it sees nothing there."""
    for name in assets.installed("click", default=True):
        try:
            clicker = _clicker(name)
            mask = _asked(photo, name, clicker, clicks)
        except MildError as error:
            _log.warning("%s Another way is used.", error)
            continue
        return (mask, name) if mask.any() else None
    return None


def _asked(photo: Photo, name: str, clicker: Clicker, clicks: Clicks) -> BoolMask:
    key = (photo.sha256, name)
    with _lock:
        encoded = _encoded.pop(key, None)
        if encoded is None:
            encoded = clicker.encode(photo.pixels)
        _encoded[key] = encoded
        while len(_encoded) > MOST:
            _encoded.popitem(last=False)
    fy, fx = encoded.scale
    # Pixel centres of the photo in the net's pixels.
    on, off = (_scaled(points, fy, fx) for points in (clicks.on, clicks.off))
    box = clicks.box
    corners = None if box is None else np.array([box.x0 * fx, box.y0 * fy, box.x1 * fx, box.y1 * fy], np.float32)
    masks, scores = clicker.ask(encoded, on, off, corners)
    if masks.ndim != 3 or len(masks) != len(scores) or not np.isfinite(scores).all():
        raise MildError(f"The click segmenter '{name}' gave arrays of shapes {masks.shape} and {scores.shape}.")
    best = masks[int(np.argmax(scores))]
    used = best[: round(best.shape[0] * encoded.used[0]), : round(best.shape[1] * encoded.used[1])]
    return enlarged(used, photo.size)


def _scaled(points: Sequence[tuple[int, int]], fy: float, fx: float) -> NDArray[np.float32]:
    found = np.asarray(points, np.float32).reshape(-1, 2)
    return np.asarray((found + 0.5) * np.asarray([fx, fy], np.float32), np.float32)


@lru_cache(maxsize=1)
def _clicker(name: str) -> Clicker:
    spec = registry.spec(name)
    if not isinstance(spec.contract, ClickContract):
        raise MildError(f"The model '{name}' is no click segmenter.")
    return LAYOUTS[spec.contract.layout](assets.ensure(name), [file.name for file in spec.files])


def forget() -> None:
    """Let go of the model and of every encoding."""
    _clicker.cache_clear()
    with _lock:
        _encoded.clear()
