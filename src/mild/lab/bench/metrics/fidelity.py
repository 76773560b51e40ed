"""How near an answer is to the truth, as maps and as figures of a region.

Pictures are uint8 ``[H, W, 3]``; similarities work on 0..1. PSNR of identical pixels is :data:`PSNR_CAP`, not infinity,
so that means exist.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve, uniform_filter

from mild.people.scene import Box

Rgb = NDArray[np.uint8]
Map = NDArray[np.float32]
Mask = NDArray[np.bool_]

#: dB, for a squared error below that of one 8-bit step in a thousand values.
PSNR_CAP = 80.0
EDGE = cv2.BORDER_CONSTANT
#: Least side of a picture for five scales of MS-SSIM with a window of 11.
MS_SSIM_SIDE = 176
#: Of SSIM: side of the window in pixels, and the two constants for values in 0..255.
WINDOW, C1, C2 = 11, (0.01 * 255) ** 2, (0.03 * 255) ** 2
#: Weights of MS-SSIM's scales, finest first.
SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
#: Pixels that FLIP's widest filter reaches at 67 pixels per degree: 3 sqrt(0.04 / (2 pi^2)) 67, rounded up.
FLIP_REACH = 10


def psnr(answer: Rgb, truth: Rgb, where: Mask | None = None) -> float:
    """``10 log10(255² / mean squared error)`` over a region's pixels and the three channels, dB."""
    error = answer.astype(np.float64) - truth
    mean = float(np.square(error if where is None else error[where]).mean())
    return min(PSNR_CAP, 10 * float(np.log10(255.0**2 / mean))) if mean > 0 else PSNR_CAP


def bands(answer: Rgb, truth: Rgb, where: Mask) -> list[float]:
    """The difference by frequency: root mean square in a region, levels, of five bands of it, the finest first.

    Bands are differences of Gaussians of sigma 1, 2, 4 and 8 pixels (details of about 3, 6, 12 and 25 pixels); the
    first is what is finer, the last what is coarser.
    """
    rest = answer.astype(np.float32) - truth.astype(np.float32)
    found = []
    for sigma in (1, 2, 4, 8):
        # Each blur goes on from the one before: their variances add up.
        step = float(np.sqrt(sigma**2 - (sigma / 2) ** 2 * (sigma > 1)))
        blurred: Map = np.asarray(cv2.GaussianBlur(rest, (0, 0), step), np.float32)
        found.append(rest - blurred)
        rest = blurred
    return [float(np.sqrt(np.square(band[where]).mean())) for band in (*found, rest)]


def ssim_map(answer: Rgb, truth: Rgb) -> Map:
    """SSIM (Wang et al. 2004: Gaussian window, sigma 1.5) of every pixel ``[H, W]``, mean of the channels.

    Pictures narrower than the window: 1 where the pixels are equal, else 0.
    """
    if min(answer.shape[:2]) < WINDOW:
        return (answer == truth).all(2).astype(np.float32)
    return _changed(answer, truth, WINDOW // 2, 1.0, lambda a, b: _similarities(_double(a), _double(b))[0].mean(2))


def ms_ssim(answer: Rgb, truth: Rgb) -> float | None:
    """Multi-scale SSIM (Wang, Simoncelli, Bovik 2003); None for pictures below 176 pixels.

    Means are taken where the window lies inside the picture; negative ones count as 0.
    """
    if min(answer.shape[:2]) < MS_SSIM_SIDE:
        return None
    a, b, product, inner = _double(answer), _double(truth), 1.0, slice(WINDOW // 2, -(WINDOW // 2))
    for level, weight in enumerate(SCALES):
        whole, contrast = _similarities(a, b)
        shown = whole if level == len(SCALES) - 1 else contrast
        product *= max(0.0, float(shown[inner, inner].mean())) ** weight
        a, b = _halved(a), _halved(b)
    return product


def _similarities(a: NDArray[np.float64], b: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """SSIM, and its contrast and structure part, ``[H, W, C]`` each, of pictures in 0..255."""

    def local(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(cv2.GaussianBlur(x, (WINDOW, WINDOW), 1.5, borderType=cv2.BORDER_REFLECT), np.float64)

    mean_a, mean_b = local(a), local(b)
    product, squares = mean_a * mean_b, mean_a**2 + mean_b**2
    contrast = (2 * (local(a * b) - product) + C2) / (local(a * a + b * b) - squares + C2)
    return (2 * product + C1) / (squares + C1) * contrast, contrast


def _double(image: Rgb) -> NDArray[np.float64]:
    return image.astype(np.float64)


def _changed(
    answer: Rgb, truth: Rgb, reach: int, same: float, measure: Callable[[Rgb, Rgb], NDArray[np.floating[Any]]]
) -> Map:
    """A map ``[H, W]`` that is ``same`` wherever both pictures are equal ``reach`` pixels around.

    An answer differs from the truth in its hole alone as a rule, so only the box around it is measured.
    """
    out = np.full(answer.shape[:2], same, np.float32)
    differ = (answer != truth).any(2)
    if not differ.any():
        return out
    size = (differ.shape[0], differ.shape[1])
    near = Box.around(differ).grow(reach, size)
    # What the box cuts off would be made up at its edge, so the measure sees as much again.
    wide = near.grow(reach, size)
    values = measure(answer[wide.slices], truth[wide.slices])
    inside = (slice(near.y0 - wide.y0, near.y1 - wide.y0), slice(near.x0 - wide.x0, near.x1 - wide.x0))
    out[near.slices] = values[inside]
    return out


def flip_map(answer: Rgb, truth: Rgb) -> Map:
    """LDR-FLIP (Andersson et al. 2020) of every pixel ``[H, W]``, 0 = no difference seen, at 67 pixels per degree.

    Raises:
        ImportError: the package flip-evaluator is not installed.
    """
    import flip_evaluator

    def measure(a: Rgb, b: Rgb) -> NDArray[np.float32]:
        pair = [x.astype(np.float32) / np.float32(255) for x in (b, a)]
        values, _, _ = flip_evaluator.evaluate(*pair, "LDR", applyMagma=False, computeMeanError=False, parameters={})
        return np.asarray(values, np.float32)[..., 0]

    return _changed(answer, truth, FLIP_REACH, 0.0, measure)


_YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])


def _halved(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means of 2x2 blocks; an odd last row or column is left out."""
    even = x[: x.shape[0] // 2 * 2, : x.shape[1] // 2 * 2]
    return (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / 4


def gmsd(answer: Rgb, truth: Rgb) -> float:
    """Gradient magnitude similarity deviation (Xue et al. 2014), 0 = identical; on luminance in 0..1, halved once."""
    pair = [_halved((x.astype(np.float64) / 255) @ _YIQ[0]) for x in (answer, truth)]
    kernel = np.repeat([[1.0, 0.0, -1.0]], 3, 0) / 3
    magnitude = [np.hypot(convolve(x, kernel, mode="constant"), convolve(x, kernel.T, mode="constant")) for x in pair]
    constant = 170 / 255**2
    similarity = (2 * magnitude[0] * magnitude[1] + constant) / (magnitude[0] ** 2 + magnitude[1] ** 2 + constant)
    return float(similarity.std())


def haarpsi(answer: Rgb, truth: Rgb) -> float:
    """Haar wavelet-based perceptual similarity (Reisenhofer et al. 2018), 1 = identical; C = 30, alpha = 4.2."""
    planes = [_halved(x.astype(np.float64) @ _YIQ.T) for x in (answer, truth)]
    similarity, weights = [], []
    coefficients = [_haar(p[..., 0]) for p in planes]
    for axis in (0, 1):
        levels = [[np.abs(c[axis][level]) for level in range(3)] for c in coefficients]
        fine = [_similar(levels[0][k], levels[1][k], 30.0) for k in (0, 1)]
        similarity.append((fine[0] + fine[1]) / 2)
        weights.append(np.maximum(levels[0][2], levels[1][2]))
    means = [[np.abs(_mean_2(p[..., c])) for c in (1, 2)] for p in planes]
    chroma = [_similar(means[0][c], means[1][c], 30.0) for c in (0, 1)]
    similarity.append((chroma[0] + chroma[1]) / 2)
    weights.append((weights[0] + weights[1]) / 2)
    total = np.sum(weights)
    if total == 0:
        return 1.0
    score = np.sum([_logistic(s) * w for s, w in zip(similarity, weights, strict=True)]) / total
    return float((np.log(score / (1 - score)) / 4.2) ** 2)


def _similar(a: NDArray[np.float64], b: NDArray[np.float64], constant: float) -> NDArray[np.float64]:
    return (2 * a * b + constant) / (a**2 + b**2 + constant)


def _logistic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-4.2 * x))


def _mean_2(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of each pixel and its right, lower and lower right neighbours, zero outside."""
    return np.asarray(uniform_filter(x, 2, mode="constant", origin=-1))


def _haar(luma: NDArray[np.float64]) -> list[list[NDArray[np.float64]]]:
    """``[axis][level]``: undecimated Haar coefficients of three scales."""
    found: list[list[NDArray[np.float64]]] = [[], []]
    for level in (1, 2, 3):
        side = 2**level
        kernel = np.full((side, side), 2.0**-level)
        kernel[: side // 2] *= -1
        middle = (side // 2 - 1,) * 2
        for axis, k in enumerate((kernel, kernel.T)):
            coefficients = cv2.filter2D(luma, cv2.CV_64F, k, anchor=middle, borderType=EDGE)
            found[axis].append(np.asarray(coefficients, np.float64))
    return found


def gradient(image: Rgb) -> Map:
    """Sobel gradient magnitude of the luminance ``[H, W]``, grey levels."""
    grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY).astype(np.float32)
    return np.asarray(np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)))


def sharpness(answer: Rgb, truth: Rgb, hole: Mask) -> float | None:
    """Mean gradient of the fill over that of the truth, inside the hole's border; 1 = as sharp as the truth."""
    inner = cv2.erode(hole.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    where = inner if inner.any() else hole
    expected = float(gradient(truth)[where].mean())
    return float(gradient(answer)[where].mean()) / expected if expected > 1e-3 else None


def seam(answer: Rgb, hole: Mask, spared: Mask, band: int = 4) -> float | None:
    """How much stronger the step across the hole's border is than the steps beside it (no truth is needed).

    Mean absolute difference, over channels, of neighbouring pixels on the two sides of the border, over that of
    neighbouring pixels on one side, within ``band`` pixels of it. About 1: the border cannot be told from the texture
    beside it; above: a seam; below: blur along it. Pairs with a ``spared`` pixel (people who stay, whose outline is a
    true edge) do not count. None where no border is left.
    """
    pixels = answer.astype(np.float32)
    inside = cv2.distanceTransform(hole.astype(np.uint8), cv2.DIST_L2, 5) <= band
    outside = cv2.distanceTransform((~hole).astype(np.uint8), cv2.DIST_L2, 5) <= band
    near = inside & outside & ~spared
    across, beside = [], []
    for axis in (0, 1):
        step = np.abs(np.diff(pixels, axis=axis)).mean(2)
        a, b = (slice(None, -1), slice(1, None))
        first = (a, slice(None)) if axis == 0 else (slice(None), a)
        second = (b, slice(None)) if axis == 0 else (slice(None), b)
        counted = near[first] & near[second]
        crossing = hole[first] != hole[second]
        across.append(step[counted & crossing])
        beside.append(step[counted & ~crossing])
    border, texture = np.concatenate(across), np.concatenate(beside)
    if not len(border) or not len(texture):
        return None
    return float((border.mean() + 0.5) / (texture.mean() + 0.5))
