"""The exemplar prior (ours): a layer's hole filled by PatchMatch from that layer's own pixels alone.

PatchMatch: Barnes, Shechtman, Finkelstein, Goldman, "PatchMatch: A Randomized Correspondence Algorithm for Structural
Image Editing", SIGGRAPH 2009. The search runs in PyPatchMatch; what is ours is that nothing but the layer's own
region can be copied, so the prior is as separated by domain as the attention is (``method.md``).
"""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

from mild.fill.lines import line_guide, lines_through

Rgb = NDArray[np.uint8]
BoolMask = NDArray[np.bool_]

#: Radius of the compared patches, pixels; larger follows larger structures and costs its square.
PATCH_RADIUS = 5
#: Fewer own pixels than this carry no texture worth copying: the hole gets their mean colour instead.
MIN_EXEMPLAR = 64
#: Where a fill continues less of a line than this, it is searched again along the lines, with this weight of theirs.
CONTINUED, LINE_WEIGHT = 0.6, 0.25

# PyPatchMatch keeps one random seed per process.
_lock = threading.Lock()


def exemplar_fill(
    rgb: Rgb, own: BoolMask, hole: BoolMask, *, seed: int = 0, patch_radius: int = PATCH_RADIUS, follow: bool = True
) -> Rgb:
    """Fill ``hole`` with texture found in ``own``.

    Args:
        rgb: uint8 ``[h, w, 3]``.
        own: bool ``[h, w]``, the pixels that may be copied.
        hole: bool ``[h, w]``, the pixels to fill; wins where it overlaps ``own``.
        seed: of the randomised search; the same seed gives the same pixels.
        patch_radius: patches are ``2 * patch_radius + 1`` pixels wide.
        follow: search again where a straight line breaks off behind the hole (see ``lines.py``); off: PatchMatch alone.

    Returns:
        uint8 ``[h, w, 3]``: ``rgb`` outside the hole, the fill inside. Foreign pixels (neither own nor hole) are
        never read.
    """
    own = own & ~hole
    out = rgb.copy()
    if not hole.any():
        return out
    if own.sum() < MIN_EXEMPLAR:
        out[hole] = rgb[own].mean(0).astype(np.uint8) if own.any() else 127
        return out
    window = _window(own | hole, patch_radius)
    given = rgb[window], hole[window], ~(own | hole)[window]
    filled = _inpaint(*given, None, seed, patch_radius)
    lines = lines_through(rgb[window], own[window], hole[window]) if follow else []
    if any(line.continued(filled, hole[window]) < CONTINUED for line in lines):
        guided = _inpaint(*given, line_guide(lines, hole[window].shape), seed, patch_radius)
        before, after = (sum(line.continued(fill, hole[window]) for line in lines) for fill in (filled, guided))
        filled = guided if after > before else filled
    out[window][hole[window]] = filled[hole[window]]
    return out


def _window(mask: BoolMask, margin: int) -> tuple[slice, slice]:
    ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return (
        slice(max(0, int(ys[0]) - margin), int(ys[-1]) + 1 + margin),
        slice(max(0, int(xs[0]) - margin), int(xs[-1]) + 1 + margin),
    )


def _inpaint(
    rgb: Rgb, hole: BoolMask, forbidden: BoolMask, guide: NDArray[np.float32] | None, seed: int, patch_radius: int
) -> Rgb:
    from patchmatch import patch_match

    # A photo narrower than a patch has no source; a mirrored border gives it one.
    pad = max(0, 4 * patch_radius + 2 - min(hole.shape))
    if pad:
        rgb = np.pad(rgb, ((0, pad), (0, pad), (0, 0)), mode="symmetric")
        hole = np.pad(hole, ((0, pad), (0, pad)))
        forbidden = np.pad(forbidden, ((0, pad), (0, pad)), constant_values=True)
    # What may not be copied is also not to be seen: PatchMatch compares patches that straddle the border.
    rgb = np.where(forbidden[..., None], _mean_colour(rgb, ~(hole | forbidden)), rgb).astype(np.uint8)
    with _lock:
        patch_match.set_random_seed(seed & 0xFFFFFFFF)
        if guide is None:
            filled: Rgb = patch_match.inpaint(rgb, hole, global_mask=forbidden, patch_size=patch_radius)
        else:
            places = np.pad(guide, ((0, pad), (0, pad), (0, 0)))
            filled = patch_match.inpaint_regularity(
                rgb, hole, places, global_mask=forbidden, patch_size=patch_radius, guide_weight=LINE_WEIGHT
            )
    return filled[: filled.shape[0] - pad, : filled.shape[1] - pad] if pad else filled


def _mean_colour(rgb: Rgb, where: BoolMask) -> NDArray[np.uint8]:
    return rgb[where].mean(0).astype(np.uint8) if where.any() else np.full(3, 127, np.uint8)
