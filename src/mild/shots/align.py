"""One shot laid over another: features say how, a homography is fitted and checked, and refined where it matters.

SIFT: Lowe, "Distinctive Image Features from Scale-Invariant Keypoints", IJCV 2004. The robust fit is MAGSAC++ (Barath
et al., CVPR 2020), the refinement ECC (Evangelidis, Psarakis, "Parametric Image Alignment Using Enhanced Correlation
Coefficient Maximization", PAMI 2008), all three as OpenCV has them.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.errors import MisfitError
from mild.people.scene import Box
from mild.photo.grid import fitted

Rgb = NDArray[np.uint8]
BoolMask = NDArray[np.bool_]
Matrix = NDArray[np.float64]

#: Longest side, pixels, at which features are found, and at which the fit is refined.
FEATURES_AT, REFINED_AT = 1600, 640
#: Features of a shot at most; a match must be so much nearer than the next one.
MOST, RATIO = 5000, 0.78
#: A fit is believed with so many matches that agree, and so large a part of all.
AGREE, SHARE = 24, 0.25
#: What a shot may be larger or smaller, and how much of the photo it must show.
SCALE, OVERLAP = 4.0, 0.2
#: After the fit, what both show must be as alike as this (correlation of the brightness, 1 = the same).
ALIKE = 0.5


def aligned(photo: Rgb, shot: Rgb, free: BoolMask, shot_free: BoolMask, name: str) -> Matrix:
    """The homography ``[3, 3]`` that takes pixels ``(x, y, 1)`` of the shot to those of the photo.

    Args:
        photo, shot: uint8 ``[H, W, 3]``, of any two sizes.
        free, shot_free: bool ``[H, W]``: where nobody is.
        name: of the shot, for the message.

    Raises:
        MisfitError: it does not show the same scene from the same place.
    """
    refusal = MisfitError(
        f"{name} does not fit the photo: too little of it shows the same place from the same spot; leave it out.", name
    )
    first, second = _features(photo, free), _features(shot, shot_free)
    if min(len(first[0]), len(second[0])) < AGREE:
        raise refusal
    pairs = _pairs(first[1], second[1])
    if len(pairs) < AGREE:
        raise refusal
    here, there = first[0][pairs[:, 0]], second[0][pairs[:, 1]]
    reach = max(2.0, max(photo.shape[:2]) / 500)
    found, inliers = cv2.findHomography(there, here, cv2.USAC_MAGSAC, reach, maxIters=5000, confidence=0.999)
    if found is None or inliers is None or int(inliers.sum()) < max(AGREE, SHARE * len(pairs)):
        raise refusal
    matrix = np.asarray(found, np.float64)
    if not _sane(matrix, shot.shape[:2], photo.shape[:2]):
        raise refusal
    return matrix


def refined(
    photo: Rgb, shot: Rgb, own: BoolMask, shot_free: BoolMask, matrix: Matrix, window: Box, name: str
) -> Matrix:
    """The homography, fitted once more to what is around a window's hole, where a far-off part must not count.

    Args:
        photo: uint8 ``[h, w, 3]``, the window's part of it; ``own``: bool ``[h, w]``, where it can be compared.

    Raises:
        MisfitError: what both show there is not alike.
    """
    size, _ = fitted(window.width, window.height, REFINED_AT, least=8)
    into = np.diag([size[0] / window.width, size[1] / window.height, 1.0]) @ _shift(-window.x0, -window.y0)
    grey = np.asarray(cv2.resize(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA), np.uint8)
    mask = np.asarray(cv2.resize(own.view(np.uint8), size, interpolation=cv2.INTER_NEAREST), np.uint8)
    there = cv2.cvtColor(shot, cv2.COLOR_RGB2GRAY)

    def laid(fit: Matrix) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        seen = cv2.warpPerspective(there, into @ fit, size, flags=cv2.INTER_AREA)
        return np.asarray(seen, np.uint8), valid(shot_free, into @ fit, size).view(np.uint8)

    seen, known = laid(matrix)
    both = mask & known
    before = _correlation(grey, seen, both)
    best = matrix
    if both.sum() >= 400:
        try:
            # The photo is the input, so that what must not be compared can be said of both at once.
            _, warp = cv2.findTransformECC(
                seen, grey, np.eye(3, dtype=np.float32), cv2.MOTION_HOMOGRAPHY,
                (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 60, 1e-5), both, 5,
            )  # fmt: skip
            # It takes pixels of ``seen`` to those of ``grey``.
            fit = np.linalg.inv(into) @ np.asarray(warp, np.float64) @ into @ matrix
            seen, known = laid(fit)
            after = _correlation(grey, seen, mask & known)
            if after > before:
                best, before = fit / fit[2, 2], after
        except cv2.error:
            pass  # It does not converge, on sky for instance: the features' fit stays.
    if before < ALIKE:
        raise MisfitError(f"{name} does not fit the photo around who goes; leave it out.", name)
    return best


def laid_over(shot: Rgb, shot_free: BoolMask, matrix: Matrix, window: Box) -> tuple[Rgb, BoolMask]:
    """The shot as the photo would show it in a window: uint8 ``[h, w, 3]``, and where it is known, bool ``[h, w]``."""
    into = _shift(-window.x0, -window.y0) @ matrix
    size = (window.width, window.height)
    # Smaller than the photo: enlarged smoothly; larger: not so much as to need an area average.
    pixels = cv2.warpPerspective(shot, into, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(pixels, np.uint8), valid(shot_free, into, size)


def valid(free: BoolMask, matrix: Matrix, size: tuple[int, int]) -> BoolMask:
    """Where a warped mask is wholly true, bool ``[h, w]`` of ``size = (w, h)``."""
    there = cv2.warpPerspective(
        free.view(np.uint8) * np.uint8(255), matrix, size, flags=cv2.INTER_LINEAR, borderValue=0
    )
    return np.asarray(there) >= 254


def _features(image: Rgb, free: BoolMask) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Places ``[n, 2]`` in the image's pixels, and descriptors ``[n, 128]`` (root-normalised)."""
    size, _ = fitted(image.shape[1], image.shape[0], FEATURES_AT)
    grey = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA)
    mask = cv2.resize(free.view(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    points, described = cv2.SIFT.create(nfeatures=MOST, contrastThreshold=0.02).detectAndCompute(grey, mask)
    if described is None or not len(points):
        return np.zeros((0, 2), np.float32), np.zeros((0, 128), np.float32)
    places = np.asarray([p.pt for p in points], np.float32) / (size[0] / image.shape[1], size[1] / image.shape[0])
    values = np.asarray(described, np.float32)
    values = np.sqrt(values / np.maximum(values.sum(1, keepdims=True), 1e-6))
    return np.asarray(places, np.float32), np.asarray(values, np.float32)


def _pairs(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.int64]:
    """Numbers ``[n, 2]`` of features that are each other's nearest, and clearly so."""
    matcher = cv2.BFMatcher(cv2.NORM_L2)
    good = [m[0] for m in matcher.knnMatch(first, second, k=2) if len(m) == 2 and m[0].distance < RATIO * m[1].distance]
    back = {m.queryIdx: m.trainIdx for m in matcher.match(second, first)}
    kept = [(m.queryIdx, m.trainIdx) for m in good if back.get(m.trainIdx) == m.queryIdx]
    return np.asarray(kept, np.int64).reshape(-1, 2)


def _sane(matrix: Matrix, shot: tuple[int, ...], photo: tuple[int, ...]) -> bool:
    """Is it a view that a camera could have: not mirrored, folded or torn, of about this size, and over the photo?"""
    height, width = shot
    corners = np.asarray([[0, 0], [width, 0], [width, height], [0, height]], np.float64)
    weight = np.column_stack([corners, np.ones(4)]) @ matrix[2]
    if (weight * np.sign(matrix[2, 2]) <= 1e-6).any() or not np.isfinite(matrix).all():
        return False
    laid = cv2.perspectiveTransform(corners[None].astype(np.float32), matrix)[0]
    if not cv2.isContourConvex(laid):
        return False
    area = float(cv2.contourArea(laid, oriented=True))
    if not (height * width / SCALE**2 < area < height * width * SCALE**2):
        return False
    frame = np.asarray([[0, 0], [photo[1], 0], [photo[1], photo[0]], [0, photo[0]]], np.float32)
    common, _ = cv2.intersectConvexConvex(laid, frame)
    return bool(common >= OVERLAP * photo[0] * photo[1])


def _correlation(a: NDArray[np.uint8], b: NDArray[np.uint8], mask: NDArray[np.uint8]) -> float:
    inside = mask > 0
    if inside.sum() < 64:
        return 0.0
    x, y = a[inside].astype(np.float64), b[inside].astype(np.float64)
    x, y = x - x.mean(), y - y.mean()
    size = np.sqrt((x * x).sum() * (y * y).sum())
    # Two even surfaces are alike, whatever their noise says.
    if x.std() < 4 and y.std() < 4:
        return 1.0
    return float((x * y).sum() / size) if size else 0.0


def _shift(x: float, y: float) -> Matrix:
    return np.asarray([[1, 0, x], [0, 1, y], [0, 0, 1]], np.float64)
