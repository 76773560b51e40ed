"""From the denoiser's resolution back to the photo's: structure from the model, texture from the exemplar fill.

All arrays are those of one layer's crop. Colours are float32 0..255 unless said otherwise.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.people.scene import Box

Float = NDArray[np.float32]
BoolMask = NDArray[np.bool_]

#: Gaussian width, canvas pixels, below which the texture is the fill's and above which the colour is the model's.
CROSSOVER = 2.0
#: Steps of colour at the ring up to this many levels are evened out; at twice as many they are left alone.
EDGE = 32.0
#: A step counts from this many standard deviations of the photo's texture beside it.
UNSEEN = 0.5
#: A rim wider than this many pixels is compared on a smaller picture.
FINEST = 4.0
#: The correction fades into the hole over this many times the width that was compared.
FADE = 12.0


def with_texture(fill: Float, model: Float, seen: Float, hole: BoolMask) -> Float:
    """The fill, corrected by what the model changed in its low frequencies.

    Args:
        fill: ``[H, W, 3]``, the exemplar fill as it was searched.
        model: ``[h, w, 3]``, the model's clean layer, at most as large.
        seen: ``[h, w, 3]``, the same fill as the model saw it.
        hole: bool ``[h, w]``, where ``model`` is a prediction.

    Returns:
        ``[H, W, 3]``; equal to ``fill`` where the model changed nothing.
    """
    weight = hole.astype(np.float32)
    # Normalised: what is outside the hole is known and must not pull the correction towards zero.
    blurred = cv2.GaussianBlur((model - seen) * weight[..., None], (0, 0), CROSSOVER)
    share = cv2.GaussianBlur(weight, (0, 0), CROSSOVER)
    correction = np.asarray(blurred / np.maximum(share, 1e-3)[..., None], np.float32)
    return fill + enlarge(correction, (fill.shape[0], fill.shape[1]))


def enlarge(image: Float, size: tuple[int, int]) -> Float:
    """Resize ``[h, w(, c)]`` to ``size = (H, W)``; smooth, as the source has no more to give."""
    if image.shape[:2] == size:
        return image
    return np.asarray(cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_CUBIC), np.float32)


def smooth(image: Float, sigma: float, into: Float | None = None) -> Float:
    """Gaussian blur of ``[h, w(, c)]``; a wide one is done on a smaller image, where nothing is lost by it.

    ``into`` is an array of the same shape for the result, and may be ``image`` itself.
    """
    factor = _factor(sigma)
    if factor == 1:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma, dst=into), np.float32)
    height, width = image.shape[:2]
    size = (-(-width // factor), -(-height // factor))
    small = cv2.GaussianBlur(cv2.resize(image, size, interpolation=cv2.INTER_AREA), (0, 0), sigma / factor)
    return np.asarray(cv2.resize(small, (width, height), dst=into, interpolation=cv2.INTER_LINEAR), np.float32)


def _factor(sigma: float) -> int:
    """How much smaller an image is made for so wide a blur."""
    return int(2 ** np.floor(np.log2(max(1.0, sigma / 3))))


def match_ring(made: Float, photo: NDArray[Any], hole: BoolMask, own: BoolMask, reach: float) -> Float:
    """Shift the colours of a generated region so that they meet the photo's along the border.

    The mean colours just outside (``photo`` in ``own``) and just inside (``made`` in ``hole``), over ``reach`` pixels,
    are compared all along the border. Their difference is spread into the hole as smoothly as it can be, a membrane
    (Perez et al., "Poisson Image Editing", SIGGRAPH 2003, with the made texture as the guidance), and fades there.
    Large differences are left alone: they are edges of the photo that run along the border.

    Returns:
        ``[H, W, 3]``: ``made`` with its hole shifted.
    """
    if not own.any() or not hole.any():
        return made
    sigma = max(1.0, reach)
    # The shift is smooth: of a large hole it is found on a smaller picture.
    factor = max(1, int(sigma / FINEST))
    size = (-(-hole.shape[1] // factor), -(-hole.shape[0] // factor))

    def smaller(image: NDArray[Any]) -> NDArray[Any]:
        return image if factor == 1 else np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))

    small_hole, small_own = (smaller(mask.view(np.uint8) * np.uint8(255)) > 0.99 * 255 for mask in (hole, own))
    if factor == 1:
        small_hole, small_own = hole, own
    box = Box(0, 0, hole.shape[1], hole.shape[0])
    if factor == 1 and _factor(sigma) == 1:
        # A person's hole is often a small part of them; no further than this do the means see.
        box = Box.around(hole).grow(math.ceil(4 * sigma) + 2, (hole.shape[0], hole.shape[1]))
        shift = _shift(made, photo, hole, own, sigma, box)
    else:
        small = Box(0, 0, small_hole.shape[1], small_hole.shape[0])
        shift = _shift(smaller(made), smaller(photo), small_hole, small_own, sigma / factor, small)
        if factor > 1:
            shift = np.asarray(cv2.resize(shift, hole.shape[::-1], interpolation=cv2.INTER_LINEAR))
    out = made.astype(np.float32)
    part = np.ascontiguousarray(hole[box.slices]).view(np.uint8)
    cv2.add(out[box.slices], shift, dst=out[box.slices], mask=part)
    return out


def _shift(made: NDArray[Any], photo: NDArray[Any], hole: BoolMask, own: BoolMask, sigma: float, box: Box) -> Float:
    """What :func:`match_ring` adds in the window ``box``, at the size of its inputs."""
    size = hole.shape
    made, photo = (image[box.slices].astype(np.float32) for image in (made, photo))
    hole, own = np.ascontiguousarray(hole[box.slices]), own[box.slices]
    depth = cv2.distanceTransform(hole.astype(np.uint8), cv2.DIST_L2, 5)
    away = cv2.distanceTransform((~hole).astype(np.uint8), cv2.DIST_L2, 5)
    inside = (hole & (depth <= sigma)).astype(np.float32)
    outside = (own & ~hole & (away <= sigma + 1)).astype(np.float32)

    def mean_near(image: Float, where: Float) -> tuple[Float, Float]:
        share = smooth(where, sigma)
        return smooth(image * where[..., None], sigma), share

    inner, inner_share = mean_near(made, inside)
    outer, outer_share = mean_near(photo, outside)
    mean = outer / np.maximum(outer_share, 1e-4)[..., None]
    jump = mean - inner / np.maximum(inner_share, 1e-4)[..., None]
    # A step drowns in texture; on a plain wall the eye sees a very small one.
    squared, _ = mean_near(np.square(photo), outside)
    grain = _largest(np.sqrt(np.maximum(squared / np.maximum(outer_share, 1e-4)[..., None] - mean**2, 0)))
    step = _largest(np.abs(jump))
    unseen = 1 + UNSEEN * grain
    jump *= (np.clip(step / unseen - 1, 0, 1) * np.clip(2 - step / EDGE, 0, 1))[..., None]
    trust = np.clip(np.minimum(inner_share, outer_share) / 0.02, 0, 1) * (depth <= max(1.5, sigma / 4)) * inside
    values, weights = np.zeros((*size, 3), np.float32), np.zeros(size, np.float32)
    values[box.slices], weights[box.slices] = jump, trust
    shift = membrane(values, weights)[box.slices]
    return np.asarray(shift * np.exp(-depth / (FADE * sigma))[..., None], np.float32)


def _largest(image: Float) -> Float:
    """The largest of the three channels, ``[H, W]``."""
    return np.maximum(np.maximum(image[..., 0], image[..., 1]), image[..., 2])


def membrane(values: Float, trust: Float) -> Float:
    """Smooth interpolation of ``values [H, W, C]`` from where ``trust [H, W]`` is above 0 to everywhere (pull-push).

    Gortler et al., "The Lumigraph", SIGGRAPH 1996, section 3.4: averages are pulled down a pyramid, and pushed back to
    where nothing was known.
    """
    if max(trust.shape) <= 1:
        return values
    size = ((trust.shape[0] + 1) // 2, (trust.shape[1] + 1) // 2)

    def pulled(image: Float) -> Float:
        return np.asarray(cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA), np.float32)

    weight = pulled(trust)
    mean = pulled(values * trust[..., None]).reshape(*size, -1) / np.maximum(weight, 1e-6)[..., None]
    # What a few pixels know for sure, all that lie under the same larger one know.
    below = membrane(np.where(weight[..., None] > 1e-6, mean, 0), np.minimum(1, 4 * weight))
    pushed = cv2.resize(below, trust.shape[::-1], interpolation=cv2.INTER_LINEAR)
    pushed = pushed.reshape(values.shape)
    return np.asarray(pushed + (values - pushed) * trust[..., None], np.float32)
