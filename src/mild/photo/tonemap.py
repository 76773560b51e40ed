"""High dynamic range (PQ and HLG of ITU-R BT.2100) shown in sRGB of 8 bits.

Diffuse white lies at 203 cd/m² (ITU-R BT.2408); what is brighter is rolled off by the curve of ITU-R BT.2390 made
simple: the largest channel decides, so that hues stay.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mild.photo.colour import PQ, to_pcs

#: cd/m² of diffuse white, and the brightest that is told apart.
_WHITE, _PEAK = 203.0, 1000.0
#: Up to this part of white nothing changes.
_KNEE = 0.75


def shown_in_8_bits(source: Any, opened: Image.Image) -> Image.Image:
    """The picture of an HDR file in sRGB.

    Args:
        source: what numpy makes an array of all bits of: ``[H, W, 3 or 4]``, uint8 or uint16.
        opened: the same picture in 8 bits, whose ``info`` tells the rest.
    """
    nclx = opened.info["nclx_profile"]
    code = np.asarray(source)
    scale = 255.0 if code.dtype == np.uint8 else 65535.0
    mapped = to_srgb(
        code[..., :3].astype(np.float32) / scale, int(nclx["color_primaries"]), int(nclx["transfer_characteristics"])
    )
    image = Image.fromarray(mapped)
    image.format = "HEIF"
    image.info = {key: value for key, value in opened.info.items() if key not in ("icc_profile", "nclx_profile")}
    image.info["mild_notes"] = ("The photo has a high dynamic range; it was brought to 8 bits of standard range.",)
    return image


def to_srgb(code: NDArray[np.float32], primaries: int, transfer: int) -> NDArray[np.uint8]:
    """Code values 0..1 ``[H, W, 3]`` of PQ or HLG as sRGB ``uint8``."""
    light = _pq(code) if transfer == PQ else _hlg(code)
    known = primaries if primaries in (1, 5, 6, 7, 9, 11, 12) else 9
    matrix = np.linalg.solve(to_pcs(1)[0], to_pcs(known)[0]).astype(np.float32)
    light = np.maximum(light @ matrix.T, 0) / _WHITE
    bright = light.max(-1, keepdims=True)
    top = _PEAK / _WHITE
    t = np.clip((bright - _KNEE) / (top - _KNEE), 0, 1)
    rolled = _KNEE + (1 - _KNEE) * (1 - (1 - t) ** ((top - _KNEE) / (1 - _KNEE)))
    light = light * np.where(bright > _KNEE, rolled / np.maximum(bright, 1e-6), 1)
    encoded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-8) ** (1 / 2.4) - 0.055)
    return np.clip(np.rint(encoded * 255), 0, 255).astype(np.uint8)


def _pq(code: NDArray[np.float32]) -> NDArray[np.float32]:
    """SMPTE ST 2084: code to cd/m²."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 4096 * 128, 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
    p = np.power(code, 1 / m2)
    out: NDArray[np.float32] = 10_000 * np.power(np.maximum(p - c1, 0) / (c2 - c3 * p), 1 / m1)
    return out


def _hlg(code: NDArray[np.float32]) -> NDArray[np.float32]:
    """ARIB STD-B67 on a display of 1,000 cd/m², whose system gamma is 1.2."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)
    luma = scene @ np.array([0.2627, 0.678, 0.0593], np.float32)
    out: NDArray[np.float32] = _PEAK * scene * np.power(np.maximum(luma, 1e-6), 0.2)[..., None]
    return out
