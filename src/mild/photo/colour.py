"""Colours that a file names by numbers (cICP of PNG, nclx of HEIF), as an ICC profile that every format can hold.

The numbers are those of ITU-T H.273: primaries, transfer. High dynamic range (PQ, HLG) has no such profile.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

#: Chromaticities of red, green, blue and white.
_PRIMARIES = {
    1: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), (0.3127, 0.3290)),
    5: ((0.640, 0.330), (0.290, 0.600), (0.150, 0.060), (0.3127, 0.3290)),
    6: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), (0.3127, 0.3290)),
    7: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), (0.3127, 0.3290)),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), (0.3127, 0.3290)),
    11: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.3140, 0.3510)),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.3127, 0.3290)),
}
_SRGB = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_BT709 = (1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)
#: Parameters g, a, b, c, d of ICC's parametric curve of type 3; a lone one is a plain power.
_CURVES: dict[int, tuple[float, ...]] = {
    1: _BT709, 6: _BT709, 14: _BT709, 15: _BT709, 4: (2.2,), 5: (2.8,), 8: (1.0,), 13: _SRGB,
}  # fmt: skip
PQ, HLG = 16, 18
_D50 = np.array([0.9642, 1.0, 0.8249])
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def is_srgb(primaries: int, transfer: int) -> bool:
    """sRGB, or not said (2): what a picture without a profile is taken for."""
    return primaries in (1, 2) and transfer in (2, 13)


def profile(primaries: int, transfer: int) -> bytes | None:
    """An ICC profile (version 4.3) of these colours; None where it says nothing new or there is none."""
    if is_srgb(primaries, transfer):
        return None
    chromaticities = _PRIMARIES.get(1 if primaries == 2 else primaries)
    curve = _CURVES.get(13 if transfer == 2 else transfer)
    if chromaticities is None or curve is None:
        return None
    matrix, adapted = to_pcs(1 if primaries == 2 else primaries)
    trc = b"para" + bytes(4) + struct.pack(">HH", 0 if len(curve) == 1 else 3, 0) + _fixed(*curve)
    tags = {
        b"desc": _text(f"H.273 primaries {primaries}, transfer {transfer}"),
        b"cprt": _text("No copyright, use freely"),
        b"wtpt": b"XYZ " + bytes(4) + _fixed(*_D50),
        b"chad": b"sf32" + bytes(4) + _fixed(*adapted.ravel()),
        **{name: b"XYZ " + bytes(4) + _fixed(*matrix[:, i]) for i, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))},
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), trc),
    }
    body, table, at = b"", b"", 132 + 12 * len(tags)
    places: dict[bytes, int] = {}
    for name, data in tags.items():
        if data not in places:
            places[data] = at + len(body)
            body += data + bytes(-len(data) % 4)
        table += struct.pack(">4sII", name, places[data], len(data))
    head = struct.pack(">I4sI", at + len(body), bytes(4), 0x04300000) + b"mntrRGB XYZ "
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _fixed(*_D50)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def to_pcs(primaries: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The matrix from linear RGB to XYZ under D50, and the adaptation in it, both ``[3, 3]``."""
    *corners, white = (np.array([x / y, 1.0, (1 - x - y) / y]) for x, y in _PRIMARIES[primaries])
    columns = np.stack(corners, 1)
    to_xyz = columns * np.linalg.solve(columns, white)
    cone = (_BRADFORD @ _D50) / (_BRADFORD @ white)
    adapted = np.linalg.inv(_BRADFORD) @ np.diag(cone) @ _BRADFORD
    return adapted @ to_xyz, adapted


def _fixed(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def _text(text: str) -> bytes:
    raw = text.encode("utf-16-be")
    return b"mluc" + bytes(4) + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(raw), 28) + raw
