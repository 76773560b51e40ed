"""From the landmark net's soft masks to exclusive masks in the photo's resolution.

Two people who touch both claim the pixels between them. A claimed pixel goes to whoever's skeleton is nearer, in units
of the body's size, and to whoever's net is surer: score = log p - (d / 0.1)^2 / 2 + 6 h, where d = 1 is about a body
length, and h is 1 on one's own head and falls off around it. Of a mask drawn with others in view log p is all there is.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.people.finders.blaze_candidates import Candidate
from mild.people.finders.blaze_split import face_bones
from mild.people.scene import BoolMask, Box
from mild.photo.grid import fitted

#: Bones by BlazePose point numbers: trunk, arms, legs, feet, hands, neck, head.
BONES = (
    (11, 12), (11, 23), (12, 24), (23, 24), (11, 13), (13, 15), (12, 14), (14, 16), (23, 25), (25, 27), (24, 26),
    (26, 28), (27, 31), (28, 32), (15, 19), (16, 20), (0, 11), (0, 12), (7, 0), (8, 0),
)  # fmt: skip
#: Pieces below this share of the largest piece are dropped.
SPECK = 0.02
_SPECK_GRID = 1024
_REACH = 0.10
#: What lying on one's own head says.
_OWN_HEAD = 6.0
_GRID = 384
_BLOCK_PIXELS = 1 << 22


@dataclass(frozen=True)
class Claim:
    """What one person claims: a window of the photo, the pixels ``[h, w]``, and the score on a coarser grid of it."""

    box: Box
    mask: BoolMask
    score: NDArray[np.float32]


def claim(candidate: Candidate, size: tuple[int, int], scale: float) -> Claim | None:
    """The candidate's claim on a photo of ``size = (H, W)``, or None when the mask is empty there.

    Args:
        scale: pixels of the picture that the nets saw per pixel of the photo, at most 1.
    """
    to_net = compose(candidate.landmarks.to_net, scale)
    back = cv2.invertAffineTransform(to_net)
    y, x = np.nonzero(candidate.mask > 0.3)
    if not len(y):
        return None
    reach = np.stack([x, y], 1) @ back[:, :2].T + back[:, 2]
    step = float(np.hypot(*back[:, 0]))
    low, high = np.floor(reach.min(0) - step - 1), np.ceil(reach.max(0) + step + 2)
    box = Box(int(low[0]), int(low[1]), int(high[0]), int(high[1])).intersect(Box(0, 0, size[1], size[0]))
    if box.width <= 0 or box.height <= 0:
        return None
    # Eight bits are plenty for a threshold, and a quarter of the memory on photos of a hundred megapixels.
    soft = np.rint(candidate.mask * 255).astype(np.uint8)
    mask = _sample(soft, to_net, box, (box.width, box.height), cv2.INTER_CUBIC) > 127
    if not mask.any():
        return None
    tight = Box.around(mask)
    mask = np.ascontiguousarray(mask[tight.slices])
    box = Box(box.x0 + tight.x0, box.y0 + tight.y0, box.x0 + tight.x1, box.y0 + tight.y1)
    return Claim(box, mask, _score(candidate, box, scale))


def settle(claims: list[Claim]) -> list[BoolMask]:
    """Exclusive masks, each in the window of its claim; one may come out empty."""
    masks = [c.mask.copy() for c in claims]
    for i, a in enumerate(claims):
        for j in range(i + 1, len(claims)):
            b = claims[j]
            common = a.box.intersect(b.box)
            if common.width <= 0 or common.height <= 0:
                continue
            rows = max(1, _BLOCK_PIXELS // common.width)
            for y in range(common.y0, common.y1, rows):
                block = Box(common.x0, y, common.x1, min(common.y1, y + rows))
                in_a, in_b = _inside(block, a.box), _inside(block, b.box)
                both = a.mask[in_a] & b.mask[in_b]
                if not both.any():
                    continue
                # Scores order the claimants of a pixel totally, so deciding pair by pair finds the best of any number.
                a_wins = _score_in(a, block) >= _score_in(b, block)
                masks[i][in_a] &= ~(both & ~a_wins)
                masks[j][in_b] &= ~(both & a_wins)
    return masks


def without_specks(mask: BoolMask, share: float = SPECK) -> BoolMask:
    """The mask ``[h, w]`` without pieces smaller than ``share`` of the largest: lamps, chair legs, rags of a cut."""
    step = -(-max(mask.shape) // _SPECK_GRID)  # big masks are looked at in blocks of step x step pixels
    if step > 1:
        padded = np.pad(mask, [(0, -n % step) for n in mask.shape])
        small = np.asarray(padded.reshape(padded.shape[0] // step, step, -1, step).any((1, 3)), np.uint8)
    else:
        small = mask.astype(np.uint8)
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(small, connectivity=8)
    if count <= 2:
        return mask
    areas = stats[1:, cv2.CC_STAT_AREA]
    keep = np.concatenate([[False], areas >= share * areas.max()])[pieces]
    if step > 1:
        keep = np.repeat(np.repeat(keep, step, 0), step, 1)[: mask.shape[0], : mask.shape[1]]
    out: BoolMask = mask & keep
    return out


def compose(to_net: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    """From photo pixels to the net: pixel p of the photo lies at (p + 1/2) scale - 1/2 of the smaller picture."""
    out = to_net.copy()
    out[:, :2] = to_net[:, :2] * scale
    out[:, 2] = to_net[:, 2] + to_net[:, :2] @ np.full(2, scale / 2 - 0.5)
    return out


def _sample(
    net_map: NDArray[np.uint8], to_net: NDArray[np.float64], box: Box, grid: tuple[int, int], how: int
) -> NDArray[np.uint8]:
    """A map of the net's frame on a grid ``(width, height)`` over a window of the photo."""
    step = np.array([box.width / grid[0], box.height / grid[1]])
    affine = to_net.copy()
    affine[:, :2] = to_net[:, :2] * step
    affine[:, 2] = to_net[:, 2] + to_net[:, :2] @ (np.array([box.x0, box.y0]) + step / 2 - 0.5)
    return np.asarray(cv2.warpAffine(net_map, affine, grid, flags=how | cv2.WARP_INVERSE_MAP), np.uint8)


def field(
    candidate: Candidate, box: Box, grid: tuple[int, int], scale: float
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Soft mask 0..1, distance from the skeleton in body lengths, and 0..1 how surely it is the head, all ``[h, w]``,
    on a grid over a window.

    Args:
        box: the window, in pixels of the photo.
        grid: ``(width, height)`` of the grid.
        scale: as in :func:`claim`.
    """
    soft = _sample(
        np.rint(candidate.mask * 255).astype(np.uint8),
        compose(candidate.landmarks.to_net, scale),
        box,
        grid,
        cv2.INTER_LINEAR,
    )
    step = np.array([box.width / grid[0], box.height / grid[1]])
    body = body_length(candidate) / scale / float(step.mean())
    # The skeleton may leave the window; a margin keeps the distances right, a bound keeps lost points harmless.
    pad = min(_GRID, int(0.3 * body) + 1)
    off = np.full((grid[1] + 2 * pad, grid[0] + 2 * pad), 255, np.uint8)
    for bone in bones_of(candidate):
        ends = np.clip(((bone + 0.5) / scale - (box.x0, box.y0)) / step - 0.5 + pad, -4 * _GRID, 8 * _GRID)
        first, second = ((round(float(x)), round(float(y))) for x, y in ends)
        cv2.line(off, first, second, 0, max(1, int(0.02 * body)))
    distance = cv2.distanceTransform(off, cv2.DIST_L2, 3)[pad : pad + grid[1], pad : pad + grid[0]]
    head = _head(candidate, box, grid, scale)
    return (soft / np.float32(255)).astype(np.float32), (distance / max(body, 1e-3)).astype(np.float32), head


def _head(candidate: Candidate, box: Box, grid: tuple[int, int], scale: float) -> NDArray[np.float32]:
    if candidate.head is None:
        return np.zeros((grid[1], grid[0]), np.float32)
    x, y, radius = (v / scale for v in candidate.head)
    across = ((np.arange(grid[0]) + 0.5) * box.width / grid[0] + box.x0 - x) / radius
    down = ((np.arange(grid[1]) + 0.5) * box.height / grid[1] + box.y0 - y) / radius
    return np.exp(-((across[None] ** 2 + down[:, None] ** 2) ** 2)).astype(np.float32)


def claim_score(
    soft: NDArray[np.float32], distance: NDArray[np.float32], head: NDArray[np.float32], outlined: bool = False
) -> NDArray[np.float32]:
    """How strongly somebody claims the pixels of a :func:`field`; ``outlined``: see :class:`Candidate`."""
    likely = np.log(soft + 1e-3)
    if outlined:
        return likely.astype(np.float32)
    near = likely - 0.5 * (np.minimum(distance, 2) / _REACH) ** 2
    return (near + _OWN_HEAD * head).astype(np.float32)


def _score(candidate: Candidate, box: Box, scale: float) -> NDArray[np.float32]:
    grid, _ = fitted(box.width, box.height, _GRID)
    return claim_score(*field(candidate, box, grid, scale), outlined=candidate.outlined)


def bones_of(candidate: Candidate) -> list[NDArray[np.float64]]:
    """The skeleton as line segments ``[2, 2]`` in pixels of the picture that the nets saw."""
    if candidate.face is not None:
        return face_bones(candidate.face)
    if candidate.bones is not None:
        return list(candidate.bones)
    marks = candidate.landmarks
    seen = [(i, j) for i, j in BONES if min(marks.visibility[i], marks.visibility[j]) > 0.3]
    return [marks.points[[i, j]].astype(np.float64) for i, j in seen]


def body_length(candidate: Candidate) -> float:
    """About the height of the whole body, in pixels of the picture that the nets saw."""
    if candidate.face is not None:
        return 7 * candidate.face.size
    return candidate.landmarks.region.side / 2.2


def _score_in(claim: Claim, block: Box) -> NDArray[np.float32]:
    """The claim's score in a window of the photo, ``[h, w]``."""
    height, width = claim.score.shape
    step = np.array([width / claim.box.width, height / claim.box.height])
    shift = (np.array([block.x0 - claim.box.x0, block.y0 - claim.box.y0]) + 0.5) * step - 0.5
    affine = np.array([[step[0], 0, shift[0]], [0, step[1], shift[1]]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = (block.width, block.height)
    return np.asarray(cv2.warpAffine(claim.score, affine, size, flags=flags, borderMode=cv2.BORDER_REPLICATE))


def _inside(block: Box, frame: Box) -> tuple[slice, slice]:
    return (
        slice(block.y0 - frame.y0, block.y1 - frame.y0),
        slice(block.x0 - frame.x0, block.x1 - frame.x0),
    )
