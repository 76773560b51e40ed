"""Ways to damage a file: bits, bytes, lengths, and values inside JSON and inside archives."""

from __future__ import annotations

import io
import json
import random
import struct
import zipfile
from typing import Any

_NUMBERS = (0, 1, -1, 127, 128, 255, 256, 32767, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, 2**63, -(2**31))
_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**400, 0.5, 1e308, float("nan"), float("inf"), "", "a", "\0", "\ud800",
    "../../x", "a" * 5000, [], {}, [1, 2, 3, 4], [[]], {"a": 1}, "NaN", "8BPS",
)  # fmt: skip


def damaged(data: bytes, rng: random.Random) -> bytes:
    """The data, damaged in one to four ways."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        data = _once(data, rng)
    return data


def _once(data: bytes, rng: random.Random) -> bytes:
    ways = [_flip, _flip, _byte, _number, _cut, _double, _drop, _insert]
    if data[:1] in b"{[":
        ways += [_json] * 12
    if data[:2] == b"PK":
        ways += [_member] * 10
    if not data:
        return bytes(rng.randrange(256) for _ in range(rng.randrange(1, 40)))
    return rng.choice(ways)(data, rng)


def _flip(data: bytes, rng: random.Random) -> bytes:
    out = bytearray(data)
    out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def _byte(data: bytes, rng: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(rng.randrange(1, 9)):
        out[rng.randrange(len(out))] = rng.randrange(256)
    return bytes(out)


def _number(data: bytes, rng: random.Random) -> bytes:
    """A number of two, four or eight bytes that means much to a reader."""
    form = rng.choice(("<H", ">H", "<I", ">I", "<Q", ">Q"))
    value = rng.choice(_NUMBERS) % (1 << 8 * struct.calcsize(form))
    at = rng.randrange(len(data))
    # Headers are at the beginning, directories at the end.
    at = rng.choice((at, min(at, rng.randrange(64)), max(0, len(data) - 1 - rng.randrange(64))))
    return (data[:at] + struct.pack(form, value) + data[at + struct.calcsize(form) :])[: max(len(data), at + 8)]


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def _double(data: bytes, rng: random.Random) -> bytes:
    a, b = sorted((rng.randrange(len(data)), rng.randrange(len(data))))
    return data[:b] + data[a:b] * rng.choice((1, 1, 7)) + data[b:]


def _drop(data: bytes, rng: random.Random) -> bytes:
    a = rng.randrange(len(data))
    return data[:a] + data[a + rng.randrange(1, 33) :]


def _insert(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + bytes(rng.randrange(256) for _ in range(rng.randrange(1, 17))) + data[at:]


def _json(data: bytes, rng: random.Random) -> bytes:
    """Another value at a random place; or a key lost, doubled, or nested deep."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return _flip(data, rng)
    if rng.random() < 0.03:
        return b"[" * 100_000 if rng.random() < 0.5 else b'{"a":' * 50_000 + b"1" + b"}" * 50_000
    if rng.random() < 0.03:
        return data.replace(b"1", b"9" * 5000, 1)
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        for key in list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
            places.append((node, key))
            walk(node[key])

    walk(value)
    if not places:
        return _flip(data, rng)
    node, key = rng.choice(places)
    way = rng.random()
    if way < 0.2:
        del node[key]
    elif way < 0.3 and isinstance(node, list):
        node.extend([node[key]] * rng.choice((1, 30, 2000)))
    elif way < 0.4 and isinstance(node[key], int | float) and abs(node[key]) < 1e300:
        node[key] = node[key] + rng.choice((-1, 1, 0.5, 1e9))
    else:
        node[key] = rng.choice(_VALUES)
    return json.dumps(value).encode("utf-8", "surrogatepass")


def _member(data: bytes, rng: random.Random) -> bytes:
    """Damage inside an archive, whose checksums are right again afterwards."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(info, archive.read(info)) for info in archive.infolist() if info.file_size < 2**20]
    except Exception:
        return _flip(data, rng)
    if not members:
        return _flip(data, rng)
    chosen = rng.randrange(len(members))
    # The description decides what is done with the others.
    for number, (info, _) in enumerate(members):
        if info.filename.endswith(".json") and rng.random() < 0.5:
            chosen = number
    info, content = members[chosen]
    way = rng.random()
    if way < 0.1:
        del members[chosen]
    elif way < 0.15:
        members[chosen] = info, bytes(rng.choice((10**5, 10**6)))
    elif way < 0.2:
        members[chosen] = info, members[rng.randrange(len(members))][1]
    else:
        members[chosen] = info, _once(content, rng)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for info, content in members:
            archive.writestr(zipfile.ZipInfo(info.filename), content)
    return out.getvalue()
