"""One photo of a batch, in a worker's process: found, erased, written, looked at."""

from __future__ import annotations

import errno
import hashlib
import io
import logging
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mild.app.batch import store
from mild.app.batch.shots import Shots
from mild.errors import MildError, NobodyError
from mild.photo.grid import fitted

if TYPE_CHECKING:
    from mild.people.scene import Scene
    from mild.photo import Photo
    from mild.request import EraseRequest
    from mild.runtimes import Models

#: Long side of the page's pictures, pixels, and their JPEG quality.
THUMB, QUALITY = 360, 78
#: What no further photo would survive either: the batch stops, and the same command goes on later.
HOPELESS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@dataclass(frozen=True)
class Setup:
    """What all photos of a batch share.

    Attributes:
        out: folder or URI of the results.
        books: folder of the ledger and the page.
        nobody: a photo in which nobody goes is copied, or skipped.
        dry: only say who would go.
        pictures: name of the folder, in ``books``, of the page's pictures; empty: none are made.
    """

    out: str
    books: str
    nobody: str = "copy"
    dry: bool = False
    pictures: str = store.PICTURES[0]


@dataclass(frozen=True)
class Job:
    """One photo.

    Attributes:
        name, source: as of :class:`mild.app.batch.sources.Item`.
        output: the result's name below ``Setup.out``.
        request: the whole :class:`EraseRequest`, as JSON.
        number: of the page's pictures.
        known: sha256 of the input whose result is there already; empty: none is.
        shots: of the same scene, perhaps: those that do not fit are left out.
    """

    name: str
    source: str
    output: str
    request: dict[str, Any]
    number: int
    known: str = ""
    shots: tuple[str, ...] = ()


class Worker:
    """Does jobs; models stay loaded between them."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._models: Models | None = None
        # People of thousands of photos need not be remembered on disk: the ledger says which photos are done.
        os.environ.setdefault("MILD_REMEMBER", "0")

    def __call__(self, job: Job) -> dict[str, Any]:
        """The ledger's entry of a photo, but for what only the batch knows.

        Raises:
            MildError: the photo cannot be read or done; one sentence.
        """
        begun = time.perf_counter()
        local = not store.is_uri(self._setup.out)
        base = Path(self._setup.out if local else self._setup.books) / ".batch"
        try:
            base.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=base) as scratch, _heard() as said:
                entry = self._done(job, Path(scratch))
        except (OSError, MildError) as error:
            cause = error if isinstance(error, OSError) else error.__cause__
            if isinstance(cause, OSError) and cause.errno in HOPELESS:
                return {"status": "stop", "error": f"{self._setup.out}: {os.strerror(cause.errno)}."}
            if isinstance(error, MildError):
                raise
            raise MildError(f"{job.output} cannot be written: {error.strerror or error}.") from error
        entry["seconds"] = round(time.perf_counter() - begun, 3)
        return entry | ({"notes": said} if said else {})

    def _done(self, job: Job, scratch: Path) -> dict[str, Any]:
        from mild.people.find import find_people
        from mild.photo import Photo
        from mild.request import EraseRequest

        stamp = store.stamp(job.source)
        with store.at_hand(job.source, scratch) as path, ExitStack() as held:
            digest = sha256_of(path)
            told: dict[str, Any] = {"input": {"sha256": digest, "stamp": stamp}}
            if job.known and job.known == digest:
                return {"status": "same", **told}
            request = EraseRequest.build(**job.request | {"photo": str(path)})
            photo = Photo.open(path)
            made = scratch / "made" / Path(job.output).name
            made.parent.mkdir()
            try:
                shots = Shots.fetched(job.request.get("also", ()), job.shots, scratch, held)
                scene, erased, after = self._erased(request, photo, made, shots)
                status = "done"
                told |= shots.told
            except NobodyError as error:
                scene, erased, after = find_people(photo, request.finder), (), None
                status = "skipped" if self._setup.nobody == "skip" else "copied"
                # Without what somebody with one photo before them would do next.
                told["why"] = str(error).partition(";")[0].rstrip(".") + "."
                if status == "copied" and not self._setup.dry:
                    _copied(path, photo, made)
            if store.stamp(job.source) != stamp:
                raise MildError(f"{job.source} changed while it was worked on; it is tried again when it rests.")
        told |= {"status": status, "people": described(scene, erased), "erased": list(erased)}
        if self._setup.pictures:
            told["picture"] = self._pictured(job, scene, erased, photo, after)
        if made.exists():
            told["result"] = {"sha256": sha256_of(made), "size": made.stat().st_size}
            for sidecar in made.parent.glob("*.xmp"):
                store.published(sidecar, joined(self._setup.out, str(Path(job.output).with_name(sidecar.name))))
            store.published(made, joined(self._setup.out, job.output))
        return told

    def _erased(
        self, request: EraseRequest, photo: Photo, made: Path, shots: Shots
    ) -> tuple[Scene, tuple[int, ...], Photo | None]:
        from mild.people.find import find_people, select

        if self._setup.dry:
            scene, erased = select(find_people(photo, request.finder), request.selection)
            return scene, erased, None
        from mild.road import run
        from mild.runtimes import Models

        if self._models is None:
            self._models = Models()
        models = self._models
        result = shots.tried(lambda also: run(request.model_copy(update={"also": also}), photo, models=models))
        result.save(made)
        return result.scene, result.erased, result.photo

    def _pictured(
        self, job: Job, scene: Scene, erased: tuple[int, ...], photo: Photo, after: Photo | None
    ) -> list[int]:
        """The page's pictures, before and after; returns their size, ``[width, height]``."""
        import cv2
        from PIL import Image

        from mild.files import write_bytes
        from mild.people.overlay import draw_overlay

        folder = Path(self._setup.books) / self._setup.pictures / f"{job.number // 1000:03d}"
        folder.mkdir(parents=True, exist_ok=True)
        height, width = photo.size
        size, _ = fitted(width, height, THUMB)
        shown = draw_overlay(scene, erased) if self._setup.dry else photo.pixels
        for suffix, pixels in (("a", shown), ("b", None if after is None else after.pixels)):
            if pixels is not None:
                small = Image.fromarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))
                jpeg = io.BytesIO()
                small.save(jpeg, "JPEG", quality=QUALITY)
                write_bytes(folder / f"{job.number:06d}{suffix}.jpg", jpeg.getvalue())
        return list(size)


def described(scene: Scene, erased: tuple[int, ...]) -> list[dict[str, Any]]:
    """Who was found: number, box as parts of the photo's sides, and what is thought of them."""
    height, width = scene.size
    return [
        {
            "id": person.id,
            "box": [round(v / n, 4) for v, n in zip(person.box, (width, height, width, height), strict=True)],
            "sure": person.sure,
            "role": person.role,
            "gone": person.id in erased,
        }
        for person in scene.people
    ]


def joined(out: str, name: str) -> str:
    """The place of a result."""
    return f"{out.rstrip('/')}/{name}" if store.is_uri(out) else str(Path(out) / name)


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _copied(path: Path, photo: Photo, made: Path) -> None:
    """The photo as it is; in another format if the result has one."""
    if path.suffix.lower() == made.suffix.lower():
        store.copied(path, made)
    else:
        photo.save(made)


class _Ear(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


@contextmanager
def _heard() -> Iterator[list[str]]:
    """What is warned of while a photo is worked on, for its entry: on the screen nobody would know of which."""
    logger, ear = logging.getLogger("mild"), _Ear()
    before, logger.propagate = logger.propagate, False
    logger.addHandler(ear)
    try:
        yield ear.said
    finally:
        logger.removeHandler(ear)
        logger.propagate = before
