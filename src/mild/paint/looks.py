"""What an eye would see in a filled hole, told without knowing the truth (ours).

Each figure compares the hole with the places in the photo that look like it at a distance, not with its rim: a
quiet place beside a busy one is no fault. They were tested on faults made on purpose, and not yet against blind
votes: so they are in no report, and decide nothing.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.paint.detail import membrane
from mild.people.scene import Box

Rgb = NDArray[np.uint8]
BoolMask = NDArray[np.bool_]
Float = NDArray[np.float32]

#: Longest side, pixels, of what is looked at.
SIDE = 768
#: Blocks, pixels, for which a like place is sought, and how many like places.
BLOCK, ALIKE = 8, 12
#: Levels that do not show, added to both sides of a ratio.
UNSEEN = 1.0
#: Two blocks so like one another (mean difference, levels), of so much texture, are one block copied twice.
SAME, TEXTURED = 3.0, 6.0


def looks(photo: Rgb, result: Rgb, hole: BoolMask) -> dict[str, float]:
    """Figures of a result.

    Args:
        photo, result: uint8 ``[H, W, 3]``, before and after.
        hole: bool ``[H, W]``, what was replaced.

    Returns:
        relief: fine contrast (1 to 4 pixels) over that of like places, 95th percentile; 1 is right, above is embossed.
        fog: coarser contrast (4 to 32 pixels) over that of like places, 25th percentile; below 1 is a haze.
        ghost: edges along the old outline over edges along outlines beside it; above 1 the shape is still there.
        colours: how far the result, beyond a smooth fill, follows who was there; correlation, 0 is right.
        repeats: share of textured blocks that stand in the hole twice.
        An empty dict where there is nothing to compare with.
    """
    box = Box.around(hole)
    crop = box.grow(max(48, max(box.width, box.height) // 2), (hole.shape[0], hole.shape[1]))
    scale = min(1.0, SIDE / max(crop.height, crop.width))
    size = (max(1, round(crop.width * scale)), max(1, round(crop.height * scale)))

    def seen(image: NDArray[np.uint8]) -> Float:
        return np.asarray(cv2.resize(image[crop.slices], size, interpolation=cv2.INTER_AREA), np.float32)

    before, after = seen(photo), seen(result)
    inside = seen(hole.view(np.uint8) * np.uint8(255)) > 127
    if inside.sum() < 4 * BLOCK**2 or (~inside).sum() < 16 * BLOCK**2:
        return {}
    luma = np.asarray(after @ np.asarray([0.299, 0.587, 0.114], np.float32))
    fine, coarse = _band(luma, 0.7, 2.8), _band(luma, 2.8, 16.0)
    relief, fog = _beside_like_places(after, inside, [fine, coarse])
    return {
        "relief": float(np.percentile(relief, 95)),
        "fog": float(np.percentile(fog, 25)),
        "ghost": _outline(luma, inside),
        "colours": _follows(before, after, inside),
        "repeats": _repeats(after, inside),
    }


def _band(luma: Float, low: float, high: float) -> Float:
    """Size of what lies between two blurs, ``[h, w]``."""
    return np.asarray(np.abs(cv2.GaussianBlur(luma, (0, 0), low) - cv2.GaussianBlur(luma, (0, 0), high)), np.float32)


def _blocks(image: Float) -> Float:
    """Means of blocks, ``[h / BLOCK, w / BLOCK(, c)]``."""
    size = (max(1, image.shape[1] // BLOCK), max(1, image.shape[0] // BLOCK))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.float32)


def _beside_like_places(after: Float, inside: BoolMask, bands: list[Float]) -> list[Float]:
    """Of each band and block of the hole: its strength over the median of the outside blocks of the same colour."""
    share = _blocks(inside.astype(np.float32))
    colours = _blocks(np.asarray(cv2.GaussianBlur(after, (0, 0), BLOCK / 2), np.float32))
    within, outside = share > 0.6, share < 0.01
    if not within.any() or outside.sum() < ALIKE:
        return [np.ones(1, np.float32)] * len(bands)
    unlike = np.square(colours[within][:, None] - colours[outside][None]).sum(2)
    like = np.argpartition(unlike, min(ALIKE, unlike.shape[1]) - 1, axis=1)[:, :ALIKE]
    ratios = []
    for band in bands:
        strength = _blocks(band)
        expected = np.median(strength[outside][like], axis=1)
        ratios.append(np.asarray((strength[within] + UNSEEN) / (expected + UNSEEN), np.float32))
    return ratios


def _outline(luma: Float, inside: BoolMask) -> float:
    """Edges across the old outline over those across outlines some pixels further in and out."""
    depth = cv2.distanceTransform(inside.view(np.uint8), cv2.DIST_L2, 5)
    depth = depth - cv2.distanceTransform((~inside).view(np.uint8), cv2.DIST_L2, 5)
    smooth = cv2.GaussianBlur(luma, (0, 0), 1.0)
    # Across the outline: along it a wall's foot may run as it likes.
    out = cv2.GaussianBlur(depth, (0, 0), 2.0)
    nx, ny = cv2.Sobel(out, cv2.CV_32F, 1, 0), cv2.Sobel(out, cv2.CV_32F, 0, 1)
    length = np.maximum(np.hypot(nx, ny), 1e-3)
    across = np.abs(cv2.Sobel(smooth, cv2.CV_32F, 1, 0) * nx + cv2.Sobel(smooth, cv2.CV_32F, 0, 1) * ny) / length

    def strength(low: float, high: float) -> float:
        where = (depth >= low) & (depth < high)
        return float(across[where].mean()) if where.any() else 0.0

    at = strength(-4, 3)
    beside = [strength(low, low + 7) for low in (-18, -11, 4, 11)]
    beside = [value for value in beside if value > 0]
    return (at + 4 * UNSEEN) / (float(np.mean(beside)) + 4 * UNSEEN) if beside else 1.0


def _follows(before: Float, after: Float, inside: BoolMask) -> float:
    """Correlation between what was there and what is there now, both beyond a smooth fill of the hole."""
    smooth = membrane(
        after, (~cv2.dilate(inside.view(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)).astype(np.float32)
    )
    was, now = (cv2.GaussianBlur(image - smooth, (0, 0), 2.0)[inside].ravel() for image in (before, after))
    spread = float(was.std() * now.std())
    return float(((was - was.mean()) * (now - now.mean())).mean() / spread) if spread > 1 else 0.0


def _repeats(after: Float, inside: BoolMask) -> float:
    """Share of the hole's textured blocks that another, not beside it, equals."""
    side = BLOCK + 4
    step = BLOCK // 2
    places = [
        (y, x)
        for y in range(0, inside.shape[0] - side, step)
        for x in range(0, inside.shape[1] - side, step)
        if inside[y : y + side, x : x + side].all()
    ][:1500]
    if len(places) < 2:
        return 0.0
    # At half the size a copy that is shifted by a pixel is still a copy.
    blurred = cv2.GaussianBlur(after, (0, 0), 1.0)
    patches = [blurred[y : y + side, x : x + side] for y, x in places]
    blocks = np.stack([cv2.resize(patch, (6, 6), interpolation=cv2.INTER_AREA).ravel() for patch in patches])
    textured = blocks.reshape(len(blocks), 36, 3).std(1).mean(1) > TEXTURED
    if textured.sum() < 2:
        return 0.0
    blocks, at = blocks[textured], np.asarray(places)[textured]
    square = (blocks**2).sum(1)
    unlike = (square[:, None] + square[None] - 2 * blocks @ blocks.T) / blocks.shape[1]
    apart = np.abs(at[:, None] - at[None]).max(2) >= side
    return float(((unlike < SAME**2) & apart).any(1).mean())
