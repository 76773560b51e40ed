"""The picture that shows who was found: numbered, coloured outlines over the photo."""

from __future__ import annotations

import colorsys
from collections.abc import Collection

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.people.scene import Box, Person, Scene

Colour = tuple[int, int, int]


def colour_of(number: int) -> Colour:
    """A clear RGB colour for a number, 0..255; neighbours differ most (golden-ratio steps around the hue circle)."""
    hue = (0.58 + (number - 1) * 0.618034) % 1
    # Yellow and green look lighter than blue at the same value.
    return tuple(round(255 * v) for v in colorsys.hsv_to_rgb(hue, 0.85, 0.95 if 0.1 < hue < 0.5 else 1.0))  # type: ignore[return-value]


def draw_overlay(scene: Scene, chosen: Collection[int] = ()) -> NDArray[np.uint8]:
    """The photo ``[H, W, 3]`` with everybody's outline and number; those in ``chosen`` are filled and framed in red.

    Uncertain finds have a dashed outline and a question mark after the number. Line and letter sizes follow the photo's
    size, so that numbers can be read on a 400 px picture and on a shrunk 6000 px one.
    """
    canvas = scene.photo.pixels.copy()
    height, width = scene.size
    line = max(1, round(max(height, width) / 350))
    for number in scene.order:
        person = scene.person(number)
        window = canvas[person.box.slices]
        strength = 0.5 if number in chosen else 0.12
        for channel, value in enumerate(colour_of(number)):
            tinted = np.rint(np.arange(256) * (1 - strength) + value * strength).astype(np.uint8)
            plane = window[..., channel]
            plane[person.mask] = tinted[plane[person.mask]]
    for number in scene.order:
        _outline(canvas, scene.person(number), line)
    taken: list[Box] = []
    for person in scene.people:
        taken.append(_label(canvas, person, taken, person.id in chosen))
    return canvas


def _outline(canvas: NDArray[np.uint8], person: Person, line: int) -> None:
    mask = np.pad(person.mask, 1).astype(np.uint8)
    shift = (person.box.x0 - 1, person.box.y0 - 1)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE, offset=shift)
    colour = colour_of(person.id)
    for contour in contours:
        if person.sure:
            cv2.drawContours(canvas, [contour], -1, (0, 0, 0), line + 2, cv2.LINE_AA)
            cv2.drawContours(canvas, [contour], -1, colour, line, cv2.LINE_AA)
        else:
            dash = 6 * line
            for start in range(0, len(contour), 2 * dash):
                piece = contour[start : start + dash]
                cv2.polylines(canvas, [piece], False, (0, 0, 0), line + 2, cv2.LINE_AA)
                cv2.polylines(canvas, [piece], False, colour, line, cv2.LINE_AA)


def _label(canvas: NDArray[np.uint8], person: Person, taken: list[Box], chosen: bool) -> Box:
    """Draw the number in a plate inside the person, away from other plates; return the plate."""
    height, width = canvas.shape[:2]
    font = cv2.FONT_HERSHEY_SIMPLEX
    tall = float(np.clip(max(height, width) / 32, 13, 400))  # letter height wanted, px
    text = f"{person.id}{'' if person.sure else '?'}"
    thick = max(1, round(tall / 8))
    (_, unit), _ = cv2.getTextSize("0", font, 1.0, 1)
    size = tall / unit
    (wide, high), _ = cv2.getTextSize(text, font, size, thick)
    pad = max(2, round(tall / 4))
    plate_width, plate_height = wide + 2 * pad, high + 2 * pad
    x, y = _anchor(person)
    left = int(np.clip(x - plate_width // 2, 0, max(0, width - plate_width)))
    top = int(np.clip(y - plate_height // 2, 0, max(0, height - plate_height)))
    plate = Box(left, top, left + plate_width, top + plate_height)
    for _ in range(8):
        hit = next((t for t in taken if t.intersect(plate).width > 0 and t.intersect(plate).height > 0), None)
        if hit is None or hit.y1 + plate_height > height:
            break
        plate = Box(left, hit.y1, left + plate_width, hit.y1 + plate_height)
    colour = colour_of(person.id)
    light = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 128
    ink = (0, 0, 0) if light else (255, 255, 255)
    cv2.rectangle(canvas, (plate.x0, plate.y0), (plate.x1 - 1, plate.y1 - 1), colour, -1)
    frame, frame_width = ((255, 0, 0), max(2, thick)) if chosen else (ink, max(1, thick // 2))
    cv2.rectangle(canvas, (plate.x0, plate.y0), (plate.x1 - 1, plate.y1 - 1), frame, frame_width)
    cv2.putText(canvas, text, (plate.x0 + pad, plate.y0 + pad + high), font, size, ink, thick, cv2.LINE_AA)
    return plate


def _anchor(person: Person) -> tuple[int, int]:
    """A point well inside the upper half of the mask: the chest of an upright person."""
    mask = person.mask[: max(1, (person.box.height + 1) // 2)]
    if not mask.any():
        mask = person.mask
    shrink = min(1.0, 256 / max(mask.shape))
    size = (max(1, round(mask.shape[1] * shrink)), max(1, round(mask.shape[0] * shrink)))
    small = cv2.resize(mask.astype(np.uint8) * 255, size, interpolation=cv2.INTER_AREA)
    depth = cv2.distanceTransform(np.pad((small > 127).astype(np.uint8), 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return person.box.x0 + round((int(x) + 0.5) / shrink), person.box.y0 + round((int(y) + 0.5) / shrink)
