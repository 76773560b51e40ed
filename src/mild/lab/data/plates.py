"""The clean plate of a static camera: frames in, the place without whoever moved out, and what changed in a frame.

The plate is the temporal median (Gloyer et al. 1995): whatever covers a pixel for less than half of the time vanishes.
Shadows are told from people by the classic test of Cucchiara et al. (2003): a shadow darkens and keeps the colour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.errors import MildError, UsageError
from mild.people.scene import BoolMask
from mild.photo import Photo

Rgb = NDArray[np.uint8]
#: Levels of 255 by which a frame may be lighter or darker than the plate as a whole; beyond, the light has changed.
MOST_LIGHT = 16.0
#: Pixels by which a frame may be shifted against the plate before it counts as moved.
MOST_SHIFT = 0.75


@dataclass(frozen=True)
class Frames:
    """Frames of one size.

    Attributes:
        pixels: uint8 ``[N, H, W, 3]``.
        names: of the frames: file name, or number in the video.
        numbers: their place in time.
        problems: one sentence per frame that could not be used.
    """

    pixels: Rgb
    names: tuple[str, ...]
    numbers: tuple[int, ...]
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plate:
    """A clean plate.

    Attributes:
        pixels: uint8 ``[H, W, 3]``.
        support: float32 ``[H, W]``, share of the frames that show the plate's colour there. Where it is low, somebody
            stood for long, or leaves and water move.
        noise: float32 ``[H, W]``, standard deviation of the camera's noise, levels of 255 (from the median deviation).
    """

    pixels: Rgb
    support: NDArray[np.float32]
    noise: NDArray[np.float32]


@dataclass(frozen=True)
class Change:
    """What differs between a frame and the plate.

    Attributes:
        moved: bool ``[H, W]``, what was not there before: people and what they carry or push.
        shadow: uint8 ``[H, W]``, light that is missing beside it.
        plate: uint8 ``[H, W, 3]``, the plate in this frame's light.
        light: the frame's lightness against the plate's, levels of 255.
    """

    moved: BoolMask
    shadow: NDArray[np.uint8]
    plate: Rgb
    light: float


def read_frames(source: Path, most: int = 150, longest: int = 1024) -> Frames:
    """At most ``most`` frames, evenly spread, of a video or a folder of photos (in the order of their names).

    Raises:
        UsageError: there is no such video or folder.
        MildError: fewer than five frames can be read.
    """
    frames = _of_folder(source, most, longest) if source.is_dir() else _of_video(source, most, longest)
    if len(frames.names) < 5:
        why = f" ({frames.problems[0]})" if frames.problems else ""
        raise MildError(f"Only {len(frames.names)} frames of {source} can be used{why}; a clean plate needs five.")
    return frames


def clean_plate(frames: Rgb, rows: int = 64) -> Plate:
    """The temporal median of frames ``[N, H, W, 3]``, worked out in bands of ``rows`` rows (the upper one of an even
    number's two middle values)."""
    height, width = frames.shape[1:3]
    pixels = np.empty((height, width, 3), np.uint8)
    support, noise = np.empty((height, width), np.float32), np.empty((height, width), np.float32)
    half = len(frames) // 2
    for y in range(0, height, rows):
        # Time last and 16 bits: so numpy parts the values of a pixel several times as fast.
        band = np.ascontiguousarray(np.moveaxis(frames[:, y : y + rows], 0, -1)).astype(np.int16)
        middle = np.partition(band, half, axis=-1)[..., half]
        pixels[y : y + rows] = middle
        off = np.abs(band - middle[..., None]).max(2)
        sigma = (1.4826 * np.partition(off, half, axis=-1)[..., half]).astype(np.float32)
        noise[y : y + rows] = sigma
        support[y : y + rows] = (off <= np.clip(4 * sigma, 12, 30)[..., None]).mean(-1)
    return Plate(pixels, support, noise)


def shift(frame: Rgb, plate: Rgb) -> float:
    """Pixels by which a frame is shifted against the plate (phase correlation, Guizar-Sicairos et al. 2008)."""
    from skimage.registration import phase_cross_correlation

    side = max(frame.shape[:2])
    factor = min(1.0, 512 / side)
    edges = [_edges(picture, factor) for picture in (plate, frame)]
    found, _, _ = phase_cross_correlation(*edges, upsample_factor=20)
    return float(np.hypot(*found)) / factor


def change(frame: Rgb, plate: Plate) -> Change:
    """What moved in a frame, and its shadows."""
    base = plate.pixels.astype(np.int16)
    difference = frame.astype(np.int16) - base
    # A camera that meters anew, or a cloud: the plate follows, as far as one level per channel goes.
    level = np.median(difference.reshape(-1, 3), axis=0)
    still = np.abs(difference - level).max(-1) < 30
    if still.any():
        level = np.median(difference[still], axis=0)
    adjusted = np.clip(base + np.rint(level).astype(np.int16), 0, 255).astype(np.uint8)
    soft = cv2.GaussianBlur(frame, (0, 0), 0.8).astype(np.float32)
    ground = cv2.GaussianBlur(adjusted, (0, 0), 0.8).astype(np.float32)
    off = np.abs(soft - ground).max(-1)
    noise = cv2.GaussianBlur(plate.noise, (0, 0), 1.0)
    weak, strong = off > np.clip(4 * noise, 14, 40), off > np.clip(8 * noise, 32, 80)
    solid = (weak & (_shade(soft, ground, 0.03) == 0)).astype(np.uint8)
    solid = cv2.morphologyEx(solid, cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))
    count, labels = cv2.connectedComponents(solid)
    sure = np.bincount(labels[strong], minlength=count) >= 12
    sure[0] = False
    moved = _filled(sure[labels])
    # The rim: half covered pixels, and the camera's sharpening beyond them.
    near = cv2.dilate(moved.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    rim = near & (off > np.clip(2 * noise, 6, 20))
    moved = cv2.dilate((moved | rim).astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))) > 0
    return Change(moved, _shadow(frame, adjusted, moved), adjusted, float(level.mean()))


def _shadow(frame: Rgb, plate: Rgb, moved: BoolMask) -> NDArray[np.uint8]:
    """Light that is missing beside what moved; seen in blurred pictures, for soft shadows are fainter than noise."""
    # What moved must not blur into its surroundings.
    free = (~moved).astype(np.float32)
    weight = cv2.GaussianBlur(free, (0, 0), 2.5)[..., None] + 1e-3
    soft, ground = (cv2.GaussianBlur(picture * free[..., None], (0, 0), 2.5) / weight for picture in (frame, plate))
    shade = np.where(moved, 0, _shade(soft, ground, 0.025))
    dark = cv2.morphologyEx((shade > 0).astype(np.uint8), cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    count, labels = cv2.connectedComponents(dark)
    # Shadows of nobody (clouds, flicker) are none of the people's.
    reach = cv2.dilate(moved.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    touching = np.bincount(labels[reach], minlength=count) > 0
    touching[0] = False
    return np.where(touching[labels], np.rint(255 * shade), 0).astype(np.uint8)


def _shade(frame: NDArray[np.float32], plate: NDArray[np.float32], least: float) -> NDArray[np.float32]:
    """Share of the light that is missing where a pixel is a darker version of the plate's colour; less than ``least``
    and elsewhere 0."""
    ratio = (frame.sum(-1) + 1) / (plate.sum(-1) + 1)
    colour = np.abs(frame / (frame.sum(-1, keepdims=True) + 1) - plate / (plate.sum(-1, keepdims=True) + 1)).max(-1)
    like = (ratio > 0.45) & (ratio < 1 - least) & (colour < 0.025) & (plate.max(-1) > 40)
    return np.where(like, 1 - ratio, 0).astype(np.float32)


def _filled(mask: BoolMask) -> BoolMask:
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    holes = np.zeros(mask.shape, np.uint8)
    largest = 0.002 * mask.size
    for contour in contours:
        # Small holes only: what shows through a crook of an arm is not the person.
        if cv2.contourArea(contour) < largest:
            cv2.drawContours(holes, [contour], -1, 1, -1)
    return mask | (holes > 0) & (
        cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((11, 11), np.uint8)) > 0
    )


def _edges(picture: Rgb, factor: float) -> NDArray[np.float32]:
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    if factor < 1:
        grey = np.asarray(cv2.resize(grey, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.float32)
    slope = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    window = np.outer(np.hanning(grey.shape[0]), np.hanning(grey.shape[1]))
    # Where somebody walks the slopes are strong, too; their root keeps the standing background in the majority.
    return np.asarray(np.sqrt(slope) * window, np.float32)


def _of_video(path: Path, most: int, longest: int) -> Frames:
    if not path.is_file():
        raise UsageError(f"There is no video or folder {path}.")
    video = cv2.VideoCapture(str(path))
    try:
        # What a header says of the number of frames may be wrong; so they are counted (decoding is not needed).
        total = 0
        while video.grab():
            total += 1
        if not total:
            raise MildError(f"{path} cannot be read as a video; name a video or a folder of photos.")
        wanted = sorted({round(i) for i in np.linspace(0, total - 1, min(most, total))})
        video.release()
        video = cv2.VideoCapture(str(path))
        pictures: list[Rgb] = []
        numbers: list[int] = []
        chosen = set(wanted)
        for number in range(total):
            if not video.grab():
                break
            if number in chosen:
                ok, frame = video.retrieve()
                if ok:
                    pictures.append(_sized(np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8), longest))
                    numbers.append(number)
    finally:
        video.release()
    lost = len(wanted) - len(numbers)
    problems = (f"{lost} frames of {path.name} could not be decoded.",) if lost else ()
    return Frames(_stack(pictures), tuple(f"{n:06d}" for n in numbers), tuple(numbers), problems)


def _of_folder(folder: Path, most: int, longest: int) -> Frames:
    from mild.photo.formats import FORMATS

    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in FORMATS and not p.name.startswith("."))
    if not files:
        raise UsageError(f"There are no photos in {folder}.")
    chosen = [files[round(i)] for i in np.linspace(0, len(files) - 1, min(most, len(files)))]
    read: list[tuple[int, Path, Rgb]] = []
    problems = []
    for number, file in enumerate(chosen):
        try:
            read.append((number, file, _sized(np.asarray(Photo.open(file).pixels), longest)))
        except MildError as error:
            problems.append(str(error))
    sizes = [picture.shape for _, _, picture in read]
    usual = max(sizes, key=sizes.count) if sizes else ()
    for _, file, picture in read:
        if picture.shape != usual:
            problems.append(f"{file.name} is {picture.shape[1]} x {picture.shape[0]}, unlike the others.")
    fitting = [row for row in read if row[2].shape == usual]
    names = tuple(file.stem for _, file, _ in fitting)
    return Frames(_stack([p for _, _, p in fitting]), names, tuple(n for n, _, _ in fitting), tuple(problems))


def _sized(picture: Rgb, longest: int) -> Rgb:
    factor = longest / max(picture.shape[:2])
    if factor >= 1:
        return picture
    return np.asarray(cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8)


def _stack(pictures: Sequence[Rgb]) -> Rgb:
    return np.stack(pictures) if pictures else np.zeros((0, 1, 1, 3), np.uint8)
