"""Inpainting without learning: Telea, Navier-Stokes, PatchMatch, and the input itself."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.lab.bench.methods.base import Eraser, Plain, options_of

_FLAGS = {"telea": cv2.INPAINT_TELEA, "ns": cv2.INPAINT_NS}


def opencv(name: str, rest: str = "") -> Eraser:
    """Telea 2004, or Navier-Stokes (Bertalmio, Bertozzi, Sapiro 2001), as OpenCV has them."""
    radius = options_of(rest, {"radius": float}, name).get("radius", 5.0)

    def run(photo: NDArray[np.uint8], mask: NDArray[np.bool_], seed: int) -> NDArray[Any]:
        return np.asarray(cv2.inpaint(photo, mask.astype(np.uint8) * 255, radius, _FLAGS[name]))

    return Plain(run, about={"opencv": cv2.__version__, "radius": radius})


def patchmatch(rest: str = "") -> Eraser:
    """One fill of the hole from all visible pixels, people included: what a tool without layers does."""
    from importlib.metadata import version

    from mild.fill.prior import PATCH_RADIUS, exemplar_fill

    radius = options_of(rest, {"radius": int}, "patchmatch").get("radius", PATCH_RADIUS)

    def run(photo: NDArray[np.uint8], mask: NDArray[np.bool_], seed: int) -> NDArray[Any]:
        return exemplar_fill(photo, ~mask, mask, seed=seed, patch_radius=radius, follow=False)

    return Plain(run, seeded=True, about={"PyPatchMatch": version("PyPatchMatch"), "radius": radius})


def unchanged(rest: str = "") -> Eraser:
    """The photo as it was: what no method may be worse than."""
    options_of(rest, {}, "input")
    return Plain(lambda photo, mask, seed: photo)
