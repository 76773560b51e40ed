"""Figures of a layer stack against the layers of the truth."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from mild.lab.bench.items import Item
from mild.lab.bench.metrics.fidelity import psnr, ssim_map
from mild.layers import Layer, LayerStack, alpha_over
from mild.people.order import estimate_order
from mild.people.scene import Box

#: Hidden pixels below which a share of them says nothing; and the share of a person from which occlusion is severe.
LEAST, SEVERE = 16, 0.4
Rgb = NDArray[np.uint8]
Mask = NDArray[np.bool_]


def layer_figures(stack: LayerStack, item: Item, hole: Mask) -> dict[str, float]:
    """Means over the completed people of an answer, and how well the stack recomposes.

    Keys: ``recomposition_psnr`` (dB against the input: every layer over the background layer, without the photo's help
    in the hole); for people whom the truth knows and an erased person touches: ``alpha_iou``, ``hidden_iou`` (of the
    part inside the hole), ``left`` and ``invented`` (of the hidden part: the share that was left empty, and what was
    made where nothing is, in parts of it), ``alpha_sad`` (sum of absolute differences in the hole, thousands of
    pixels), ``completion_psnr`` and ``completion_ssim`` (colour where the truth is opaque in the hole; SSIM of the
    person over grey), ``face_psnr`` (the same of the hidden part of a face whose joints are known). Of people of whom
    :data:`SEVERE` and more is hidden, ``hidden_iou``, ``left`` and ``invented`` also as ``severe.…``.
    """
    found: dict[str, list[float]] = {}
    found["recomposition_psnr"] = [psnr(recomposed(stack), item.photo)]
    truths = {} if item.truth is None else item.truth.people
    for person in item.kept:
        whole = truths.get(person)
        if whole is None:
            continue
        expected = whole[..., 3] > 127
        hidden = expected & hole & ~item.scene.mask_of((person,))
        owned = [layer for layer in stack.people if layer.owner == person]
        # Whom nobody hid needs no layer; whoever got one is judged by it, wanted or not.
        if hidden.sum() < LEAST and not owned:
            continue
        given = _in_frame(owned[0], stack.size) if owned else _visible(item, person)
        alpha = given[..., 3] > 127
        found.setdefault("alpha_iou", []).append(_iou(alpha, expected))
        # What others still cover is in nobody's answer.
        covered = (expected | alpha) & hole
        made: dict[str, float] = {}
        if covered.any():
            made["hidden_iou"] = _iou(alpha & hole, expected & hole)
        if hidden.sum() >= LEAST:
            made["left"] = float((hidden & ~alpha).sum() / hidden.sum())
            made["invented"] = float((alpha & ~expected & hole).sum() / hidden.sum())
        severe = hidden.sum() >= SEVERE * expected.sum()
        for name, value in made.items():
            found.setdefault(name, []).append(value)
            if severe:
                found.setdefault(f"severe.{name}", []).append(value)
        difference = np.abs(given[..., 3].astype(np.float64) - whole[..., 3])[hole].sum() / 255
        found.setdefault("alpha_sad", []).append(float(difference) / 1000)
        if hidden.any():
            found.setdefault("completion_psnr", []).append(psnr(given[..., :3], whole[..., :3], hidden))
        if hidden.sum() >= LEAST:
            over = [np.where(expected[..., None], x[..., :3], np.uint8(127)) for x in (given, whole)]
            found.setdefault("completion_ssim", []).append(float(ssim_map(over[0], over[1])[hidden].mean()))
            face = hidden & _face(item, person)
            if face.sum() >= LEAST:
                found.setdefault("face_psnr", []).append(psnr(given[..., :3], whole[..., :3], face))
    return {name: float(np.mean(values)) for name, values in found.items()}


def _face(item: Item, person: int) -> Mask:
    """Where the face is by the joints of the head (nose, eyes, ears), three of which must be known."""
    out = np.zeros(item.scene.size, bool)
    points = item.scene.person(person).keypoints
    known = points[:5][points[:5, 2] > 0, :2] if points is not None else np.zeros((0, 2))
    if len(known) >= 3:
        centre, radius = known.mean(0), 0.8 * float(np.ptp(known, axis=0).max())
        rows, columns = np.ogrid[: out.shape[0], : out.shape[1]]
        out[...] = (columns - centre[0]) ** 2 + (rows - centre[1]) ** 2 <= radius**2
    return out


def recomposed(stack: LayerStack) -> Rgb:
    """Everybody shown, painted from the layers alone, back to front; outside every layer, the photo."""
    canvas = stack.photo.astype(np.float32)
    frame = Box(0, 0, stack.size[1], stack.size[0])
    for layer in (stack.background, *stack.people):
        alpha_over(canvas, frame, layer.rgba, layer.box)
    return np.clip(np.rint(canvas), 0, 255).astype(np.uint8)


def background_only(stack: LayerStack, hole: Mask) -> Rgb:
    """The photo with the background layer alone in the hole: nobody may be seen there."""
    canvas = stack.photo.astype(np.float32)
    frame = Box(0, 0, stack.size[1], stack.size[0])
    alpha_over(canvas, frame, stack.background.rgba, stack.background.box)
    return np.where(hole[..., None], np.clip(np.rint(canvas), 0, 255).astype(np.uint8), stack.photo)


def order_accuracy(item: Item) -> float | None:
    """Share of pairs that really hide each other whose order perception guesses right from masks and joints.

    A figure of the finder, not of a method; None without layers of truth or without such a pair.
    """
    if item.truth is None or item.truth.order is None or not item.truth.people:
        return None
    guess = estimate_order(item.scene.people, item.scene.size)
    pairs = hiding_pairs(item)
    right = [
        (guess.index(a) > guess.index(b)) == (item.truth.order.index(a) > item.truth.order.index(b)) for a, b in pairs
    ]
    return float(np.mean(right)) if right else None


def hiding_pairs(item: Item) -> Sequence[tuple[int, int]]:
    """Pairs of people whose complete masks overlap by at least 16 pixels."""
    truths = {} if item.truth is None else item.truth.people
    ids = [p.id for p in item.scene.people if p.id in truths]
    solid = {i: truths[i][..., 3] > 127 for i in ids}
    return [(a, b) for a, b in combinations(ids, 2) if int((solid[a] & solid[b]).sum()) >= 16]


def _in_frame(layer: Layer, size: tuple[int, int]) -> NDArray[np.uint8]:
    out = np.zeros((*size, 4), np.uint8)
    out[layer.box.slices] = layer.rgba
    return out


def _visible(item: Item, person: int) -> NDArray[np.uint8]:
    """What there is of a person in the photo: the layer of a method that did not complete them."""
    return np.dstack([item.photo, item.scene.mask_of((person,)).astype(np.uint8) * np.uint8(255)])


def _iou(a: Mask, b: Mask) -> float:
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else 1.0
