"""A plate: the place without anybody, from a video in which people move; ``--also`` takes it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.errors import MildError, UsageError
from mild.people.find import find_people
from mild.people.scene import Box
from mild.photo import Photo
from mild.request import Finder
from mild.shots.align import aligned, laid_over
from mild.shots.evidence import free_of

Rgb = NDArray[np.uint8]

#: A pixel is known from so many frames in which nobody was found there; with fewer, found people count too.
ENOUGH = 3
#: Rows of all frames that are sorted at once: memory stays that of one band.
BAND = 64


def plate(
    path: Path, finder: Finder, frames: int = 25, tell: Callable[[float], None] = lambda share: None
) -> tuple[Rgb, float]:
    """The median of what stays, uint8 ``[H, W, 3]``; and the part of it, 0..1, that was seen without a find in front.

    Frames are laid over the middle one, so a hand may hold the camera; a frame that does not fit is left out.

    Args:
        path: a video of any kind that OpenCV reads.
        frames: how many of it are looked at, evenly from its beginning to its end.
        tell: hears the part that is done.

    Raises:
        UsageError: there is no such file, or too few frames show one place.
        MildError: it cannot be read as a video.
    """
    looked = read_frames(path, frames)
    middle = looked[len(looked) // 2]
    height, width = middle.shape[:2]
    frame = Box(0, 0, width, height)
    still = free_of(find_people(Photo.from_array(middle), finder))
    stack, known = [], []
    for number, pixels in enumerate(looked):
        tell(number / len(looked))
        free = free_of(find_people(Photo.from_array(pixels), finder))
        if not _moved(pixels, middle, free & still):
            stack.append(pixels)
            known.append(free)
            continue
        try:
            matrix = aligned(middle, pixels, still, free, "")
        except UsageError:
            continue
        laid, there = laid_over(pixels, np.ones(free.shape, bool), matrix, frame)
        stack.append(laid)
        known.append(there & laid_over(pixels, free, matrix, frame)[1])
    if len(stack) < ENOUGH:
        raise UsageError(
            f"Fewer than {ENOUGH} frames of {path} show the same place: a plate needs a camera that stays."
        )
    out = np.empty_like(middle)
    seen = np.sum(known, 0)
    for top in range(0, height, BAND):
        rows = slice(top, top + BAND)
        values = np.stack([image[rows] for image in stack]).astype(np.float32)
        hidden = ~np.stack([mask[rows] for mask in known])
        hidden[:, seen[rows] < ENOUGH] = False
        values[hidden] = np.nan
        out[rows] = np.rint(np.nanmedian(values, 0)).astype(np.uint8)
    tell(1.0)
    return out, float((seen >= ENOUGH).mean())


def read_frames(path: Path, count: int) -> list[Rgb]:
    """So many frames of a video, evenly, uint8 ``[H, W, 3]`` each.

    Raises:
        UsageError: no such file.
        MildError: no video, or one with a single frame.
    """
    if path.is_dir():
        raise UsageError(f"{path} is a folder, not a video.")
    if not path.is_file():
        raise UsageError(f"There is no file {path}.")
    video = cv2.VideoCapture(str(path))
    try:
        total = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
        if not video.isOpened() or total < 2:
            raise MildError(f"{path} cannot be read as a video.")
        wanted = {round(i * (total - 1) / (count - 1)) for i in range(count)}
        found: list[Rgb] = []
        for number in range(total):
            if not video.grab():
                break
            if number in wanted:
                good, image = video.retrieve()
                if good:
                    found.append(np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8))
    finally:
        video.release()
    if len(found) < 2:
        raise MildError(f"{path} cannot be read as a video.")
    return found


def _moved(a: Rgb, b: Rgb, where: NDArray[np.bool_]) -> bool:
    """Did the camera move between two frames? Phase correlation of their brightness says by how many pixels."""
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) * where for image in (a, b)]
    window = cv2.createHanningWindow(grey[0].shape[::-1], cv2.CV_32F)
    (x, y), _ = cv2.phaseCorrelate(grey[0], grey[1], window)
    return bool(abs(x) > 0.3 or abs(y) > 0.3)
