"""What the server's processes can do. The server itself decodes no picture and parses no long text.

Paths come from the server, never from a request; everything else of a request is checked here or was checked before.
"""

from __future__ import annotations

import io
import logging
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from mild.app.server import results
from mild.app.server.encoded import unbase64
from mild.app.server.results import Choice
from mild.app.server.settings import Settings
from mild.errors import MildError
from mild.layers import LayerStack, pack
from mild.layers.export import colour_of
from mild.layers.finish import finish, mark_of
from mild.layers.recompose import recompose
from mild.people import memory
from mild.people.finders.coco import decode_rle, encode_rle
from mild.people.scene import Scene
from mild.photo import Photo, read_mask
from mild.photo.formats import size_of
from mild.progress import Progress
from mild.request import EraseRequest, Finder, Selection

T = TypeVar("T")
log = logging.getLogger("mild.app.server")
#: Photos and stacks kept decoded: whoever looks at one asks for it again.
KEPT = 2


class TooLarge(MildError):
    """The photo has more pixels than are taken here."""


class BadBody(MildError):
    """The body is not what its type says."""


class Tasks:
    """The tasks, and the little that is kept between them.

    Args:
        road: a :class:`mild.app.server.road.Road`.
        progress: hears of a job's progress; raises Cancelled.
    """

    def __init__(self, road: Any, settings: Settings, progress: Progress) -> None:
        self._road, self._progress = road, progress
        self._photos: OrderedDict[Hashable, Photo] = OrderedDict()
        self._stacks: OrderedDict[Hashable, tuple[Photo, LayerStack]] = OrderedDict()
        self._further: tuple[str, tuple[int, int], Iterator[None]] | None = None
        memory.keep_in(settings.state / "people")

    def do(self, name: str, arguments: tuple[Any, ...]) -> Any:
        task: Callable[..., Any] = getattr(self, f"do_{name}")
        return task(*arguments)

    def prepare(self) -> bool:
        """Do a piece of what the next click will want, while nothing is asked; False: there is nothing to prepare."""
        if self._further is None:
            return False
        try:
            next(self._further[2])
        except StopIteration:
            self._further = None
        except Exception:
            # Whoever asks for it is told what is wrong with it.
            log.debug("preparing a click", exc_info=True)
            self._further = None
        return self._further is not None

    def close(self) -> None:
        self._road.unload()

    # What is sent.

    def do_parse(self, text: bytes, fields: tuple[str, ...]) -> tuple[bytes, dict[str, bytes | None]]:
        """A long JSON body: the files in it are taken out and decoded, the rest comes back as JSON."""
        import json

        try:
            body = json.loads(text)
        except (ValueError, RecursionError):
            raise BadBody("The body, or its part `request`, is not JSON.") from None
        files: dict[str, bytes | None] = {}
        for field in fields:
            if isinstance(body, dict) and isinstance(body.get(field), str):
                files[field] = unbase64(field, body.pop(field))
        return json.dumps(body).encode("utf-8", "replace"), files

    def do_look(self, path: str, max_pixels: int) -> dict[str, Any]:
        """Read an uploaded photo once, whole: its size and the fingerprint of its pixels."""
        photo = self._photo(path, max_pixels)
        return {"width": photo.size[1], "height": photo.size[0], "pixels": photo.sha256}

    def do_mask(self, path: str, size: tuple[int, int], max_pixels: int) -> dict[str, Any]:
        return drawn_mask(path, size, max_pixels)

    def do_check(self, codes: list[dict[str, Any]], size: tuple[int, int]) -> None:
        """Can these run-length codes be read?"""
        for code in codes:
            decode_rle(code, size)

    # Photos and who is in them.

    def do_picture(self, path: str, max_side: int | None) -> tuple[bytes, str]:
        photo = self._photo(path)
        if max_side is None:
            return pack.png(photo.pixels, pack.Colour(photo.meta.icc)), "image/png"
        image = Image.fromarray(photo.pixels)
        image.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
        out = io.BytesIO()
        image.save(out, "jpeg", quality=90, icc_profile=photo.meta.icc)
        return out.getvalue(), "image/jpeg"

    def do_people(self, path: str, finder: Finder, masks: bool) -> list[dict[str, Any]]:
        return _told(self._scene(path, finder), masks)

    def do_labels(self, path: str, finder: Finder) -> bytes:
        return pack.png(np.minimum(self._scene(path, finder).label_map(), 255).astype(np.uint8))

    def do_select(
        self, path: str, finder: Finder, selection: Selection, masks: bool
    ) -> tuple[list[dict[str, Any]], list[int]]:
        found = self._scene(path, finder)
        refined = {(path, click.on[0]) for click in selection.clicks if click.on}
        if self._further is not None and self._further[:2] in refined:
            while self.prepare():  # it came before all was done, which is not thrown away
                pass
        scene, ids = self._road.select(found, selection)
        if selection.points:
            self._further = path, selection.points[-1], self._road.further(found, selection)
        return _told(scene, masks), list(ids)

    def do_things(self, path: str, finder: Finder) -> list[dict[str, Any]]:
        return [thing.summary() for thing in self._road.things(self._scene(path, finder))]

    # Jobs and their results.

    def do_job(self, folder: str, kind: str, request: EraseRequest) -> dict[str, Any]:
        """Do a job; its files are written here, its record is not."""
        self._progress("start", 0.0)
        # Without a path: what the server calls its files is nobody's business in a report.
        photo = replace(Photo.open(Path(folder) / "photo"), path=None)
        method = self._road.run if kind == "erase" else self._road.decompose
        result = method(request, photo, self._progress)
        self._progress("save", 1.0)
        results.save(Path(folder), result)
        report: dict[str, Any] = result.report()
        return report

    def do_render(self, folder: str, format: str, choice: Choice, target: str, request: EraseRequest) -> None:
        """Write a file of a finished job; ``request`` is the job's, which says how much metadata stays."""
        photo, stack = self._result(folder)
        out = Path(target)
        if format in results.LAYERED:
            from mild.layers.export import save_stack

            chosen = recompose(stack, choice.hide, choice.show, choice.front)
            save_stack(chosen, out, photo, mark=mark_of(request), flatten_hidden=choice.flatten_hidden)
        else:
            finish(photo, recompose(stack, choice.hide, choice.show, choice.front), request)[0].save(out)

    def do_layers(self, folder: str) -> dict[str, Any]:
        _, stack = self._result(folder)
        told = [
            {
                "index": index,
                "kind": layer.kind,
                "owner": layer.owner,
                "name": layer.name,
                "box": list(layer.box),
                "hidden": layer.owner in stack.hidden,
                "generated": round(float(layer.generated.mean()) if layer.generated.size else 0.0, 4),
            }
            for index, layer in enumerate(stack.layers)
        ]
        return {"width": stack.size[1], "height": stack.size[0], "layers": told}

    def do_layer(self, folder: str, index: int, full: bool) -> bytes | None:
        """A layer as RGBA PNG, in its window or in the photo's frame; None when there is no such layer."""
        from mild.layers.folder import full_frame

        photo, stack = self._result(folder)
        if not 0 <= index < len(stack.layers):
            return None
        layer = stack.layers[index]
        return pack.png(full_frame(layer, stack.size) if full else layer.rgba, colour_of(photo))

    def do_forget(self, paths: list[str], pixels: str | None) -> None:
        """Let go of photos and jobs, and of the people found in the photo with these pixels."""
        gone = set(paths)
        if self._further is not None and self._further[0] in gone:
            self._further = None
        for path in gone:
            self._photos.pop(path, None)
            self._stacks.pop(path, None)
        if pixels is not None:
            memory.forget(pixels)
            self._road.forget(pixels)

    def _photo(self, path: str, max_pixels: int | None = None) -> Photo:
        def read() -> Photo:
            if max_pixels is not None:
                _check_size(path, max_pixels)
            try:
                return replace(Photo.open(path), path=None)
            except MildError as error:
                raise type(error)(str(error).replace(path, "The photo")) from None

        return _kept(self._photos, path, read)

    def _scene(self, path: str, finder: Finder) -> Scene:
        scene: Scene = self._road.find(self._photo(path), finder)
        return scene

    def _result(self, folder: str) -> tuple[Photo, LayerStack]:
        return _kept(self._stacks, folder, lambda: results.load(Path(folder)))


def _kept(kept: OrderedDict[Hashable, T], key: Hashable, make: Callable[[], T]) -> T:
    if key not in kept:
        kept[key] = make()
        while len(kept) > KEPT:
            kept.popitem(last=False)
    kept.move_to_end(key)
    return kept[key]


def _told(scene: Scene, masks: bool) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = [dict(entry) for entry in scene.summary()]
    if masks:
        for entry, person in zip(told, scene.people, strict=True):
            entry["mask"] = encode_rle(person.full_mask(scene.size))
    return told


def _check_size(path: str, max_pixels: int) -> None:
    """From the header alone: a small file can claim to be a picture that fills the memory."""
    size = size_of(Path(path))
    if size is not None and size[0] * size[1] > max_pixels:
        raise TooLarge(f"The photo has {size[0]} x {size[1]} pixels, more than the {max_pixels} taken here.")


def drawn_mask(path: str, size: tuple[int, int], max_pixels: int) -> dict[str, Any]:
    """A mask picture as run-length code; rules and errors are those of :func:`mild.photo.read_mask`."""
    try:
        _check_size(path, max_pixels)
        return encode_rle(read_mask(path, size))
    except MildError as error:
        message = str(error).replace(f"The mask {path}", "The mask").replace(path, "The mask")
        raise type(error)(message) from None
