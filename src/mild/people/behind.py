"""Joints of somebody of whom others hide a part, looked for in what is theirs alone.

A finder looks at the photo as it is, where whoever stands in front has limbs, too, and gives some of them to the one
behind. A layer knows better: which pixels are the person's own, and where they may go on. So the landmark net is shown
nothing else (grey), with the hole filled from the border of what is theirs, and once more in a mirror.
"""

from __future__ import annotations

from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.people.body import mirrored_keypoints
from mild.people.finders.blaze_nets import BODY_POINTS, BlazeNets, Landmarks, Picture
from mild.people.finders.boxes import Place
from mild.people.finders.looks import Look, regions_of
from mild.people.finders.search import GREY
from mild.people.pose import coco_keypoints
from mild.people.scene import BoolMask, Box

T = TypeVar("T", bound=np.generic)

#: Long side of what the net is shown of a layer, pixels; it sees 256 of a somewhat larger region.
SIDE = 256
#: How far the fill looks, pixels (Telea 2004).
_RADIUS = 3


def joints(nets: BlazeNets, rgb: NDArray[np.uint8], own: BoolMask, hole: BoolMask) -> NDArray[np.float32] | None:
    """COCO keypoints ``[17, 3]`` (x, y in pixels of the layer, confidence 0..1), hidden ones too.

    Args:
        rgb: uint8 ``[h, w, 3]``; only where ``own`` is looked at.
        own: bool ``[h, w]``, the person's visible pixels.
        hole: bool ``[h, w]``, where they may go on.

    Returns:
        None where nothing is the person's own, or the net sees no body. What lies outside ``[h, w]`` has confidence 0.
    """
    height, width = own.shape
    scale = min(1.0, SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    # Of the person's own pixels alone, so that nothing of others mixes with them along the border.
    seen = _shrunk(np.asarray(cv2.copyTo(rgb, own.view(np.uint8)), np.uint8), size)
    mine, gap = _shrunk(_bytes(own), size), _shrunk(_bytes(hole), size) > 0
    theirs = mine > 127
    if not theirs.any():
        return None
    mean = np.rint(seen * (np.float32(255) / np.maximum(mine, 128))[..., None])
    colour = np.where(theirs[..., None], np.minimum(mean, 255), GREY).astype(np.uint8)
    straight = _seen(nets, colour, theirs, gap & ~theirs)
    turned = _seen(nets, _turned(colour), _turned(theirs), _turned(gap & ~theirs))
    if straight is None or turned is None:
        return None
    points = (straight + mirrored_keypoints(turned, size[0])) / np.float32(2)
    factor = np.asarray([width / size[0], height / size[1]], np.float32)
    points[:, :2] = (points[:, :2] + 0.5) * factor - 0.5
    return points


def _seen(nets: BlazeNets, rgb: NDArray[np.uint8], own: BoolMask, hole: BoolMask) -> NDArray[np.float32] | None:
    """The best look at one of the two pictures, as COCO keypoints in its pixels."""
    height, width = own.shape
    filled = np.asarray(cv2.inpaint(rgb, _bytes(hole), _RADIUS, cv2.INPAINT_TELEA), np.uint8)
    down, right = height // 2, width // 2
    shown = cv2.copyMakeBorder(filled, down, down, right, right, cv2.BORDER_CONSTANT, value=(GREY, GREY, GREY))
    landmarks = best_look(nets, Picture(np.asarray(shown, np.uint8)), Box.around(own).offset(Box(right, down, 0, 0)))
    if landmarks is None:
        return None
    return coco_keypoints(landmarks - np.asarray([right, down, 0], np.float32), (height, width))


def best_look(nets: BlazeNets, picture: Picture, box: Box) -> NDArray[np.float32] | None:
    """The landmarks ``[33, 3]`` (x, y in pixels of the picture, visibility) of the look that fits a box best; None
    where the net draws nothing."""
    place = Place((box.x0, box.y0, box.x1, box.y1), ())
    best = max((Look.at(nets, picture, r, place) for r in regions_of(place, picture.height)), key=lambda k: k.quality)
    if best.fit == 0:
        return None
    marks: Landmarks = best.marks
    return np.concatenate([marks.points[:BODY_POINTS], marks.visibility[:BODY_POINTS, None]], 1).astype(np.float32)


def _shrunk(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _turned(image: NDArray[T]) -> NDArray[T]:
    return np.ascontiguousarray(image[:, ::-1])


def _bytes(mask: BoolMask) -> NDArray[np.uint8]:
    return mask.view(np.uint8) * np.uint8(255)
