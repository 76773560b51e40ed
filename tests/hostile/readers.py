"""Every reader as a function of a damaged input. It may refuse it with a MildError (or a Problem); nothing else."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import seeds

import hiding
from carriers import carried_by
from mild.app.cli.asked import read_request
from mild.app.server.inputs import JobBody, parse
from mild.app.server.jobs import Jobs
from mild.app.server.problems import Problem
from mild.errors import MildError
from mild.layers.export import load_stack
from mild.people import memory
from mild.people.finders.coco import decode_rle, read_people
from mild.photo import Photo, read_mask
from mild.photo.mark import Mark
from mild.request import EraseRequest

#: What a reader may raise.
REFUSED = (MildError, Problem)
MARK = Mark("0.1", "mild-small")


def photo(folder: Path, suffix: str, data: bytes) -> None:
    """Read it, and write it again as what it was and as PNG: what was accepted must not fail at the end of a job."""
    path = folder / f"a{suffix}"
    path.write_bytes(data)
    opened = Photo.open(path)
    for target in (folder / f"b{suffix}", folder / "c.png"):
        try:
            opened.with_pixels(255 - opened.pixels).save(target)
        except MildError:
            if target.suffix == ".png":
                raise AssertionError("a photo that was opened cannot be saved as PNG") from None


def metadata(folder: Path, suffix: str, data: bytes) -> None:
    """A block in a photo that is sound beside it, of a kind by chance: read, edited in every mode, and written."""
    blocks = {".exif": b"", ".xmp": b"", ".irb": b"", ".icc": b""} | {suffix: data}
    container = (".jpg", ".png", ".webp", ".tif")[zlib.crc32(data) % 4]
    if container == ".jpg" and len(data) > 65_000:  # more than a segment holds
        container = ".png"
    opened = Photo.from_bytes(carried_by(container, *blocks.values()))
    for mode in ("keep", "clean", "none"):
        edited, told = opened.edited(255 - opened.pixels, hiding.MASK, metadata=mode, mark=MARK)
        json.dumps(told.report())
        for target in (container, ".jpg", ".png")[: 3 if mode == "keep" else 1]:
            out = io.BytesIO()
            edited.write(out, target)
            assert Photo.from_bytes(out.getvalue()).size == opened.size


def mask(folder: Path, suffix: str, data: bytes) -> None:
    path = folder / f"m{suffix}"
    path.write_bytes(data)
    found = read_mask(path, (seeds.HEIGHT, seeds.WIDTH))
    assert found.shape == (seeds.HEIGHT, seeds.WIDTH) and found.any()


def annotations(folder: Path, suffix: str, data: bytes) -> None:
    path = folder / "a.json"
    path.write_bytes(data)
    blank = Photo(np.zeros((seeds.HEIGHT, seeds.WIDTH, 3), np.uint8), path=Path("photo.png"))
    scene = read_people(blank, path)
    assert all(person.mask.any() for person in scene.people)


def layered(folder: Path, suffix: str, data: bytes) -> None:
    path = folder / f"stack{suffix}"
    if suffix:
        path.write_bytes(data)
    else:  # a folder, packed: what the damage left of its zip is unpacked
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        with suppress(Exception), zipfile.ZipFile(io.BytesIO(data)) as archive:
            for info in archive.infolist():
                if info.file_size < 2**20:
                    archive.extract(info, path)
    stack = load_stack(path)
    for hide in ((), [layer.owner for layer in stack.people if layer.owner is not None]):
        assert stack.compose(hide).shape == stack.photo.shape


def request(folder: Path, suffix: str, data: bytes) -> None:
    path = folder / "r.json"
    path.write_bytes(data)
    for read in (lambda: EraseRequest.build(**read_request(path)), lambda: parse(JobBody, data)):
        with suppress(*REFUSED):
            made = read()
            json.loads(made.model_dump_json())
            repr(made).encode()


def cache(folder: Path, suffix: str, data: bytes) -> None:
    os.environ["MILD_REMEMBER"] = "1"
    memory.keep_in(folder)
    memory._held.clear()
    path = memory._path(memory._name("0" * 64, ()))
    assert path is not None
    path.write_bytes(data)
    found = memory.recall("0" * 64, ())
    assert found is None or all(person.mask.any() for person in found[0])


def code(folder: Path, suffix: str, data: bytes) -> None:
    size = seeds.HEIGHT, seeds.WIDTH
    decode_rle({"size": list(size), "counts": data.decode("latin-1")}, size)


def record(folder: Path, suffix: str, data: bytes) -> None:
    place = folder / "jobs" / ("0" * 32)
    place.mkdir(parents=True, exist_ok=True)
    (place / "job.json").write_bytes(data)
    (place / "photo").write_bytes(b"photo")
    for job in Jobs(folder / "jobs").all():
        assert job.over and job.status.model_dump_json()


READERS: dict[str, tuple[Callable[[Path, str, bytes], None], Callable[[], object]]] = {
    "photo": (photo, seeds.photos),
    "metadata": (metadata, seeds.blocks),
    "mask": (mask, seeds.masks),
    "annotations": (annotations, seeds.annotations),
    "layered": (layered, seeds.layered),
    "request": (request, seeds.requests),
    "cache": (cache, seeds.caches),
    "code": (code, seeds.codes),
    "record": (record, seeds.records),
}
