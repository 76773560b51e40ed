"""Making a cut-out look as if it had been photographed in the scene: light, colour, sharpness, noise, JPEG."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Rgb = NDArray[np.uint8]
Lab = NDArray[np.float32]


@dataclass(frozen=True)
class Tone:
    """What a scene's pixels look like, measured once.

    Attributes:
        mean, spread: of lightness, 0..100.
        dark, bright: the 1st and 99th percentile of lightness.
        cast: mean of a and b.
        chroma: mean distance from grey.
        blur: standard deviation in pixels of the blur of the sharpest edges.
        noise: standard deviation of the sensor noise, levels of 255.
        sunny: whether cast shadows would be hard.
    """

    mean: float
    spread: float
    dark: float
    bright: float
    cast: tuple[float, float]
    chroma: float
    blur: float
    noise: float
    sunny: bool

    @property
    def grey(self) -> bool:
        """A black-and-white photo."""
        return self.chroma < 2.0


def measured(rgb: Rgb) -> Tone:
    """The tone of a scene uint8 ``[H, W, 3]``."""
    side = max(rgb.shape[:2])
    small = cv2.resize(rgb, None, fx=96 / side, fy=96 / side, interpolation=cv2.INTER_AREA)
    lab = to_lab(np.asarray(small, np.uint8)).reshape(-1, 3)
    dark, bright = (float(v) for v in np.percentile(lab[:, 0], (1, 99)))
    mean, spread = float(lab[:, 0].mean()), float(lab[:, 0].std())
    chroma = float(np.hypot(lab[:, 1], lab[:, 2]).mean())
    grey = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)
    return Tone(
        mean,
        spread,
        dark,
        bright,
        (float(lab[:, 1].mean()), float(lab[:, 2].mean())),
        chroma,
        blur_of(grey),
        noise_of(grey),
        sunny=mean > 45 and bright > 88 and spread > 17 and chroma > 7,
    )


def to_lab(rgb: Rgb) -> Lab:
    """CIELAB, L 0..100, float32 ``[h, w, 3]``."""
    return np.asarray(cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32)


def from_lab(lab: Lab) -> Rgb:
    rgb = cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)
    return np.clip(np.rint(rgb * 255), 0, 255).astype(np.uint8)


def blur_of(grey: NDArray[np.uint8], mask: NDArray[np.bool_] | None = None) -> float:
    """Blur of the strongest edges in pixels: of an edge blurred by s, slope over curvature is proportional to s."""
    values = grey.astype(np.float32)
    slope = np.hypot(cv2.Sobel(values, cv2.CV_32F, 1, 0, scale=0.125), cv2.Sobel(values, cv2.CV_32F, 0, 1, scale=0.125))
    curve = np.abs(cv2.Laplacian(values, cv2.CV_32F))
    if mask is not None:
        slope, curve = slope[mask], curve[mask]
    if slope.size < 64:
        return 0.5
    return float(np.clip(0.75 * np.percentile(slope, 98) / max(1.0, float(np.percentile(curve, 98))) + 0.1, 0.3, 4.0))


def noise_of(grey: NDArray[np.uint8]) -> float:
    """Sensor noise from the flatter half of the picture: the median of what a small blur takes away."""
    values = grey.astype(np.float32)
    rest = np.abs(values - cv2.GaussianBlur(values, (0, 0), 1.0))
    slope = np.abs(cv2.GaussianBlur(values, (0, 0), 2.0) - cv2.GaussianBlur(values, (0, 0), 4.0))
    flat = slope <= np.median(slope)
    return float(np.clip(np.median(rest[flat]) / 0.6745 * 1.1, 0, 8))


def harmonised(rgb: Rgb, solid: NDArray[np.bool_], tone: Tone, around: Lab, light: float, strength: float) -> Rgb:
    """The colours of a person moved towards the place they stand in.

    Args:
        rgb: uint8 ``[h, w, 3]``, colours going on past the outline.
        solid: bool ``[h, w]``, the person.
        tone: of the whole scene.
        around: Lab of the scene's pixels around the person, ``[n, 3]``.
        light: from the left (-1) to the right (1); that side gets lighter.
        strength: 0 leaves the colours, 1 is the usual amount.
    """
    lab = to_lab(rgb)
    own = lab[solid]
    mean, spread = own.mean(0), float(own[:, 0].std()) + 1e-3
    near = np.asarray(around.mean(0) if len(around) else (tone.mean, *tone.cast), np.float32)
    # Lightness: towards the surroundings, more so in the dark, and with the scene's contrast.
    pull = strength * (0.3 if tone.mean > 35 else 0.55)
    goal = 0.5 * float(near[0]) + 0.5 * tone.mean
    shift = float(np.clip(pull * (goal - mean[0]), -26, 14))
    gain = float(np.clip((max(tone.spread, 6) / spread) ** (0.5 * strength), 0.75, 1.2))
    lightness = (lab[..., 0] - mean[0]) * gain + mean[0] + shift
    side = np.linspace(-1, 1, rgb.shape[1], dtype=np.float32)[None]
    lightness += 3.5 * strength * light * side
    ceiling = max(tone.bright + 4, 30.0)
    over = lightness > ceiling - 8
    lightness[over] = ceiling - 8 + 8 * np.tanh((lightness[over] - ceiling + 8) / 8)
    lab[..., 0] = np.clip(lightness, min(tone.dark, 12.0) * 0.7, 100)
    # Colour: a grey scene takes all of it away; others tint a little and pull the saturation.
    if tone.grey:
        lab[..., 1:] = np.asarray(tone.cast, np.float32)
    else:
        level = float(np.clip((tone.chroma / 16) ** (0.35 * strength), 0.65, 1.15))
        tint = np.clip(0.3 * strength * (0.5 * near[1:] + 0.5 * np.asarray(tone.cast, np.float32)), -7, 7)
        lab[..., 1:] = lab[..., 1:] * level + tint
    return from_lab(lab)


def camouflaged(rgb: Rgb, solid: NDArray[np.bool_], around: Lab, amount: float, head: float = 0.16) -> Rgb:
    """Clothes recoloured towards the surroundings; head and bare skin keep their colours.

    Args:
        amount: 0..1, how far the clothes' mean colour goes.
        head: share of the height, from the top, that is left alone.
    """
    if not len(around):
        return rgb
    lab = to_lab(rgb)
    ycc = cv2.cvtColor(rgb, cv2.COLOR_RGB2YCrCb)
    skin = (ycc[..., 1] > 136) & (ycc[..., 1] < 175) & (ycc[..., 2] > 78) & (ycc[..., 2] < 124)
    clothes = (solid & ~skin).astype(np.float32)
    clothes[: round(head * rgb.shape[0])] = 0
    if clothes.sum() < 30:
        return rgb
    # Normalised by the outline, so that the recolouring does not fade towards it and leave a rim.
    soft = max(0.8, 0.006 * rgb.shape[0])
    person = cv2.GaussianBlur(solid.astype(np.float32), (0, 0), 3 * soft)
    fine = cv2.GaussianBlur(clothes, (0, 0), soft) + 0.02 * cv2.GaussianBlur(clothes, (0, 0), 3 * soft)
    weight = (fine / (cv2.GaussianBlur(solid.astype(np.float32), (0, 0), soft) + 0.02 * person + 1e-5))[..., None]
    weight = np.clip(weight, 0, 1)
    # Trousers and shirt are recoloured apart: each band of the body towards the same goal.
    goal = around.mean(0)
    rows = clothes.sum(1)
    row_mean = (lab * clothes[..., None]).sum(1) / np.maximum(rows, 1)[:, None]
    row_weight = cv2.GaussianBlur(rows[:, None], (0, 0), 0.05 * len(rows) + 1)
    smooth = cv2.GaussianBlur(row_mean * rows[:, None], (0, 0), 0.05 * len(rows) + 1) / np.maximum(row_weight, 1e-3)
    moved = (lab - smooth[:, None]) * np.asarray((0.85, 0.5, 0.5), np.float32) + goal
    return from_lab(np.asarray(lab + weight * amount * (moved - lab), np.float32))


def sharpened_as(rgb: Rgb, alpha: NDArray[np.uint8], tone: Tone) -> tuple[Rgb, NDArray[np.uint8]]:
    """Blurred until the person is no sharper than the scene."""
    own = blur_of(np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8), alpha > 200)
    extra = float(np.sqrt(max(0.0, tone.blur**2 - own**2)))
    if extra < 0.35:
        return rgb, alpha
    extra = min(extra, 3.0)
    return (
        np.asarray(cv2.GaussianBlur(rgb, (0, 0), extra), np.uint8),
        np.asarray(cv2.GaussianBlur(alpha, (0, 0), extra, borderType=cv2.BORDER_REPLICATE), np.uint8),
    )


def noised(rng: Generator, rgb: Rgb, sigma: float) -> Rgb:
    """Gaussian noise of this standard deviation, mostly the same in all channels."""
    if sigma < 0.4:
        return rgb
    grain = rng.normal(0, sigma, rgb.shape[:2]).astype(np.float32)[..., None]
    colour = rng.normal(0, 0.35 * sigma, rgb.shape).astype(np.float32)
    return np.clip(np.rint(rgb + grain + colour), 0, 255).astype(np.uint8)


def jpeg(rgb: Rgb, quality: int) -> Rgb:
    """What a JPEG of this quality leaves."""
    _, data = cv2.imencode(".jpg", np.ascontiguousarray(rgb[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.ascontiguousarray(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)[..., ::-1])
