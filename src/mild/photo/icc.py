"""Colour profiles without anything that is no colour.

A profile is a table of tags (ICC.1:2022, section 7). Those that the specification names stay, byte for byte; private
ones, and bytes that belong to no tag, could hold anything and go. Colours stay the same: a profile with nothing to
remove is returned as it is.
"""

from __future__ import annotations

import re
import struct

_PUBLIC = frozenset(
    b"A2B0 A2B1 A2B2 A2M0 B2A0 B2A1 B2A2 B2D0 B2D1 B2D2 B2D3 D2B0 D2B1 D2B2 D2B3 bTRC bXYZ bkpt calt chad chrm cicp "
    b"clro clot cprt crdi desc dmdd dmnd gTRC gXYZ gamt kTRC lumi meas meta name ncl2 ncol pre0 pre1 pre2 pseq psid "
    b"ps2s ps2i rTRC rXYZ resp rig0 rig2 scrd scrn targ tech ucrb view vued wtpt".split()
) - {b"meta", b"targ", b"name"}
_TEXTUAL = frozenset({b"cprt", b"desc", b"dmdd", b"dmnd", b"pseq", b"psid", b"ucrb", b"vued", b"scrd", b"crdi"})
_PICTURE = re.compile(rb"\xff\xd8\xff|\x89PNG|RIFF....WEBP|GIF8[79]a|ftyp(?:heic|mif1|avif)", re.DOTALL)
_LONGEST_TEXT = 20_000


def clean_icc(profile: bytes | None) -> bytes | None:
    """The profile with its public tags only; None when it is no profile. Never raises."""
    if not profile or len(profile) < 132 or profile[36:40] != b"acsp":
        return None
    (count,) = struct.unpack_from(">I", profile, 128)
    if count > 200:
        return None
    tags: list[tuple[bytes, int, int]] = []
    for index in range(count):
        if 132 + 12 * index + 12 > len(profile):
            return None
        name, start, length = struct.unpack_from(">4sII", profile, 132 + 12 * index)
        if start + length > len(profile) or start < 132:
            return None
        data = profile[start : start + length]
        private = name not in _PUBLIC or (name in _TEXTUAL and (length > _LONGEST_TEXT or _PICTURE.search(data)))
        if not private:
            tags.append((name, start, length))
    if not tags:
        return None
    used = 132 + 12 * count + sum(length + 3 for start, length in {(s, n) for _, s, n in tags})
    if len(tags) == count and len(profile) <= used:
        return profile
    body, places = b"", {}
    first = 132 + 12 * len(tags)
    for _, start, length in tags:
        if (start, length) not in places:
            places[start, length] = first + len(body)
            data = profile[start : start + length]
            body += data + bytes(-len(data) % 4)
    table = b"".join(struct.pack(">4sII", name, places[s, n], n) for name, s, n in tags)
    head = bytearray(profile[:128])
    head[84:100] = bytes(16)  # the profile's own hash, of the bytes it had
    out = bytes(head) + struct.pack(">I", len(tags)) + table + body
    return struct.pack(">I", len(out)) + out[4:]
