"""exiftool, an independent reader, reads whatever is written, pictures inside layered files too, and reads the mark."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

from carriers import carried_by
from hidden_places import block
from hiding import HEIGHT, MASK, WIDTH, erased, packet, resource
from mild.layers.export import save_stack
from mild.photo import Photo
from mild.photo.colour import profile
from mild.photo.mark import COMPOSITE, Mark
from stacks import make_stack

pytestmark = pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")
MARK = Mark("0.1", "mild-small", "2026-01-01T00:00:00Z")
SUFFIXES = (".jpg", ".png", ".webp", ".tif", ".heic")


def rich(container: str) -> Photo:
    """A photo with every kind of metadata that is kept."""
    exif = block(
        first={
            0x0112: (3, b"\1\0"), 0x010E: (2, b"A day\0"), 0x0131: (2, b"Camera 1\0"), 0x013B: (2, "Zoë\0".encode()),
            0x9C9B: (1, "Title".encode("utf-16-le") + b"\0\0"),
        },
        exif={
            0x9003: (2, b"2024:01:02 03:04:05\0"), 0x829A: (5, struct.pack("<II", 1, 125)), 0x9101: (7, b"\1\2\3\0"),
            0x9286: (7, b"UNICODE\0" + "Grüße".encode("utf-16-le")), 0xA002: (4, struct.pack("<I", WIDTH)),
            0xA003: (4, struct.pack("<I", HEIGHT)), 0xA432: (5, struct.pack("<8I", 24, 1, 70, 1, 28, 10, 28, 10)),
        },
        gps={1: (2, b"N\0"), 2: (5, struct.pack("<6I", 50, 1, 2, 1, 3, 1))},
        interop={2: (7, b"0100")},
    )  # fmt: skip
    rows = [(5, b"Title"), (25, b"sea"), (25, "Möwe".encode()), (120, b"A day")]
    record = b"".join(b"\x1c\x02" + bytes([number]) + struct.pack(">H", len(text)) + text for number, text in rows)
    title = packet("<dc:title><rdf:Alt><rdf:li xml:lang='x-default'>Title</rdf:li></rdf:Alt></dc:title>").encode()
    colours = profile(12, 13)
    assert colours is not None
    return Photo.from_bytes(carried_by(container, exif, title, resource(1028, record), colours))


def read(folder: Path) -> dict[str, dict[str, Any]]:
    """What exiftool says of every file of a folder; it must not warn."""
    call = ["exiftool", "-j", "-G", "-a", str(folder)]
    done = subprocess.run(call, capture_output=True, text=True, check=True)
    said = {Path(row["SourceFile"]).name: row for row in json.loads(done.stdout)}
    faults = {name: [k for k in row if k.endswith((":Warning", ":Error"))] for name, row in said.items()}
    assert {name: keys for name, keys in faults.items() if keys} == {}
    return said


def test_every_photo_in_every_mode(tmp_path: Path) -> None:
    """TIFFs pointed to an interoperability directory that was not there: 'Bad InteropIFD directory'."""
    pytest.importorskip("pillow_heif")
    kinds = [(container, "keep") for container in SUFFIXES] + [(".jpg", "clean"), (".tif", "clean"), (".jpg", "none")]
    for turn, (container, mode) in enumerate(kinds):
        photo, _ = rich(container).edited(erased(), MASK, mark=MARK, metadata=mode)  # type: ignore[arg-type]
        for suffix in SUFFIXES if mode != "keep" or turn % 2 else SUFFIXES[:4]:
            photo.save(tmp_path / f"{container[1:]}-{mode}{suffix}")
    said = read(tmp_path)
    assert len(said) > 30
    for name, row in said.items():
        assert COMPOSITE in row.values() and "MILD 0.1" in row.values(), name
        if name.startswith("jpg-clean"):
            assert {"Grüße", "A day", "Title"} <= {value for value in row.values() if isinstance(value, str)}, name


def test_every_layered_file_and_what_is_in_it(tmp_path: Path) -> None:
    stack = make_stack()
    photo, _ = rich(".jpg").edited(erased(), MASK)
    inside = tmp_path / "inside"
    inside.mkdir()
    marked = set()
    for suffix in (".psd", ".ora", ".zip"):
        out = save_stack(stack, tmp_path / f"a{suffix}", Photo(stack.photo, meta=photo.meta), mark=MARK)
        if suffix == ".psd":
            continue
        with zipfile.ZipFile(out) as archive:
            for name in archive.namelist():
                if name.endswith(".png"):
                    flat = f"{suffix[1:]}-{name.replace('/', '-')}"
                    (inside / flat).write_bytes(archive.read(name))
                    if b"AlgorithmicMedia" in archive.read(name):
                        marked.add(flat)
    assert COMPOSITE in read(tmp_path)["a.psd"].values()
    said = read(inside)
    assert len(said) > 15 and {"ora-mergedimage.png", "zip-composed.png", "zip-background.png"} <= marked
    assert {name for name, row in said.items() if COMPOSITE in row.values()} == marked
