"""What a body is made of: the label set of body regions, limbs between keypoints, and maps drawn from them.

The one label set of the program. Whatever parses people (the coarse map below, a human-parsing network) speaks it.
"""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.errors import MildError
from mild.people.scene import BoolMask
from mild.photo.grid import fitted

#: Body regions by label. ``head`` holds hair, face and hats; ``torso`` clothes of the trunk; ``arms`` and ``legs``
#: with their sleeves and trousers; ``feet`` shoes; ``belongings`` what is carried or worn loosely: bags, scarves.
PART_NAMES = ("nothing", "head", "torso", "arms", "hands", "legs", "feet", "belongings")
PARTS: Mapping[str, int] = {name: label for label, name in enumerate(PART_NAMES)}

#: Limbs as pairs of COCO keypoints (numbers of :data:`mild.people.scene.KEYPOINT_NAMES`), one channel of a limb map
#: each.
LIMBS: Mapping[str, tuple[tuple[int, int], ...]] = {
    "head": ((0, 1), (0, 2), (1, 3), (2, 4)),
    "torso": ((5, 6), (11, 12), (5, 11), (6, 12)),
    "left_upper_arm": ((5, 7),),
    "right_upper_arm": ((6, 8),),
    "left_forearm": ((7, 9),),
    "right_forearm": ((8, 10),),
    "left_thigh": ((11, 13),),
    "right_thigh": ((12, 14),),
    "left_shin": ((13, 15),),
    "right_shin": ((14, 16),),
}
#: Left and right exchanged, for mirrored pictures.
MIRRORED = (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15)

_ARMS, _LEGS = ((5, 7), (7, 9), (6, 8), (8, 10)), ((11, 13), (13, 15), (12, 14), (14, 16))
#: How far, in trunk lengths, a part reaches from its bones; and how much further still counts as body.
_RADIUS = {"head": 0.24, "torso": 0.10, "arms": 0.08, "hands": 0.06, "legs": 0.10, "feet": 0.06}
_FAR = 0.45
_KNOWN = 0.1
#: Longest side at which the coarse map is computed; it is coarse anyway, and people may be 5000 pixels tall.
_LONGEST = 256


def checked_keypoints(
    points: NDArray[np.float32] | None, size: tuple[int, int], who: str
) -> NDArray[np.float32] | None:
    """Keypoints ``[17, 3]`` (x, y in pixels, confidence) fit for use, or None when nothing is known of the pose.

    A point outside the photo of ``size = (height, width)`` is moved to its rim and gets confidence 0.

    Raises:
        MildError: another shape, or values that are not numbers.
    """
    if points is None:
        return None
    out = np.array(points, np.float32)
    if out.shape != (17, 3):
        raise MildError(f"The keypoints of {who} have the shape {out.shape}; they must be 17 rows of x, y, confidence.")
    if not np.isfinite(out).all():
        raise MildError(f"The keypoints of {who} hold values that are not numbers; give unknown points confidence 0.")
    limit = np.asarray([size[1] - 1, size[0] - 1], np.float32)
    outside = ((out[:, :2] < 0) | (out[:, :2] > limit)).any(1)
    out[:, :2] = np.clip(out[:, :2], 0, limit)
    out[:, 2] = np.clip(np.where(outside, 0, out[:, 2]), 0, 1)
    return out if (out[:, 2] > 0).any() else None


def mirrored_keypoints(points: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """Keypoints ``[17, 3]`` of the picture of this width after a left-right flip."""
    out = points[list(MIRRORED)].copy()
    out[:, 0] = width - 1 - out[:, 0]
    return out


def limb_map(points: NDArray[np.float32], size: tuple[int, int], thickness: int = 1) -> NDArray[np.float32]:
    """The skeleton as float32 ``[len(LIMBS), h, w]`` in 0..1, one channel per limb.

    Args:
        points: ``[17, 3]`` in pixels of ``size = (h, w)``; they may lie beyond it. A limb has the value of the less
            confident of its two ends.
    """
    out = np.zeros((len(LIMBS), *size), np.float32)
    for channel, pairs in zip(out, LIMBS.values(), strict=True):
        for a, b in pairs:
            value = float(min(points[a, 2], points[b, 2]))
            if value > 0:
                line = np.zeros(size, np.uint8)
                cv2.line(line, _fixed(points[a]), _fixed(points[b]), 255, thickness, cv2.LINE_AA, 4)
                np.maximum(channel, line * (value / 255), out=channel)
    return out


def coarse_parts(mask: BoolMask, points: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Body regions ``[h, w]`` of a mask by its nearest bone: an approximation, not parsing.

    It knows nothing of what is in the picture: clothes, hair and skin are told apart by where they are. What is far
    from every bone is ``belongings`` when the whole pose is known, ``nothing`` (unknown) when it is not.

    Args:
        mask: bool ``[h, w]``, the visible person.
        points: ``[17, 3]``, x, y in pixels of the mask's window and confidence.
    """
    height, width = mask.shape
    size, shrink = fitted(height, width, _LONGEST)
    points = points * np.asarray([size[1] / width, size[0] / height, 1], np.float32)
    trunk = trunk_length(points)
    if trunk is None:
        return np.zeros(mask.shape, np.uint8)
    nearest = np.full(size, _FAR * trunk, np.float32)
    whole = bool((points[5:, 2] > _KNOWN).all())
    labels = np.full(size, PARTS["belongings" if whole else "nothing"], np.uint8)
    for name, drawn in _bones(points, size).items():
        if drawn.any():
            distance = cv2.distanceTransform(1 - drawn, cv2.DIST_L2, 5) - _RADIUS[name] * trunk
            closer = distance < nearest
            nearest[closer], labels[closer] = distance[closer], PARTS[name]
    if shrink < 1:
        labels = np.asarray(cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)
    return np.where(mask, labels, 0).astype(np.uint8)


def trunk_length(points: NDArray[np.float32]) -> float | None:
    """Shoulders to hips in pixels; failing that a share of the known points' extent; None with fewer than three."""
    known = points[:, 2] > _KNOWN
    if known.sum() < 3:
        return None
    extent = float(np.ptp(points[known, :2], axis=0).max())
    if known[[5, 6, 11, 12]].all():
        # Seen from above or bent over the trunk shortens; the body does not.
        return max(float(np.hypot(*(points[5:7, :2].mean(0) - points[11:13, :2].mean(0)))), 0.15 * extent, 1.0)
    return max(0.3 * extent, 1.0)


def _bones(points: NDArray[np.float32], size: tuple[int, int]) -> dict[str, NDArray[np.uint8]]:
    """For each part a drawing uint8 ``[h, w]``, 1 on its bones."""
    drawn = {name: np.zeros(size, np.uint8) for name in _RADIUS}
    known = points[:, 2] > _KNOWN

    def line(part: str, a: NDArray[np.float32], b: NDArray[np.float32]) -> None:
        cv2.line(drawn[part], _fixed(a), _fixed(b), 1, 1, cv2.LINE_8, 4)

    trunk = [i for i in (5, 6, 12, 11) if known[i]]
    if len(trunk) > 2:
        corners = np.asarray([_fixed(points[i]) for i in trunk], np.int32)
        cv2.fillConvexPoly(drawn["torso"], cv2.convexHull(corners), 1, cv2.LINE_8, 4)
    for part, pairs in (("head", LIMBS["head"]), ("torso", LIMBS["torso"]), ("arms", _ARMS), ("legs", _LEGS)):
        for a, b in pairs:
            if known[a] and known[b]:
                line(part, points[a], points[b])
    for i in range(5):
        if known[i]:
            line("head", points[i], points[i])
    # Hands and feet have no keypoints of their own: they go on from the forearm, and below the ankle.
    for part, ends, reach in (("hands", ((7, 9), (8, 10)), 0.4), ("feet", ((13, 15), (14, 16)), 0.2)):
        for a, b in ends:
            if known[b]:
                way = points[b] - points[a] if known[a] else np.zeros(3, np.float32)
                line(part, points[b] + 0.15 * way, points[b] + reach * way)
    return drawn


def _fixed(point: NDArray[np.float32]) -> tuple[int, int]:
    """OpenCV's fixed-point coordinates with four fractional bits, kept within what it can draw."""
    x, y = np.clip(point[:2], -8000, 8000)
    return round(float(x) * 16), round(float(y) * 16)
