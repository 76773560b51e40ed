"""A picture of who is erased, put into every place of `hidden_places`, is in none of the files that are written.

Whatever is hidden is looked for twice: by ``mild check``'s carver, and by a search of the test's own that knows nothing
of pictures and finds twelve bytes of the secret in any wrapping.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import hidden_places as places
from carriers import carried_by
from hiding import HEIGHT, MASK, WIDTH, Secret, encoded, erased, jpeg, scene
from mild.layers import Layer, LayerStack
from mild.layers.export import save_stack
from mild.people.scene import Box
from mild.photo import Photo
from mild.photo.carve import remains
from mild.photo.mark import Mark

SECRET = Secret()
MARK = Mark("0.1", "mild-small", "2026-01-01T00:00:00Z")
PHOTOS, LAYERED = (".jpg", ".png", ".webp", ".tif", ".heic"), (".psd", ".ora", ".zip")
Blocks = dict[str, bytes]


def written(photo: Photo, suffixes: tuple[str, ...], folder: Path) -> dict[str, bytes]:
    """The edited photo in these formats; layered ones without those who are hidden."""
    out = {}
    for suffix in suffixes:
        if suffix in LAYERED:
            box = Box(0, 0, WIDTH, HEIGHT)
            rgba = np.dstack([erased(), np.full((HEIGHT, WIDTH), 255, np.uint8)])
            stack = LayerStack(photo.pixels, (Layer("background", None, "background", box, rgba, MASK.copy()),))
            out[suffix] = save_stack(stack, folder / f"o{suffix}", photo, mark=MARK, flatten_hidden=True).read_bytes()
        else:
            file = io.BytesIO()
            photo.write(file, suffix)
            out[suffix] = file.getvalue()
    return out


def left(data: bytes, secret: Secret, suffixes: tuple[str, ...], folder: Path, metadata: str) -> list[str]:
    """In which of these formats something of the secret is left."""
    photo, _ = Photo.from_bytes(data).edited(erased(), MASK, mark=MARK, metadata=metadata)  # type: ignore[arg-type]
    return [suffix for suffix, out in written(photo, suffixes, folder).items() if secret.found(out)]


def kinds() -> list[tuple[str, Callable[[Secret], Blocks]]]:
    return [(f.__name__, f) for f in (places.exif_blocks, places.packets, places.resources, places.profiles)]


def test_every_place_does_hold_the_secret_and_a_plain_photo_does_not() -> None:
    for name, make in [*kinds(), ("whole_files", places.whole_files)]:
        missing = [place for place, data in make(SECRET).items() if not SECRET.found(data)]
        assert missing == [], name
    for format in ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP"):
        assert SECRET.found(encoded(format)) == [], format
    assert SECRET.found(places.tiff_photo({})) == []


@pytest.mark.parametrize(
    ("container", "metadata"),
    [(".jpg", "clean"), *((suffix, "keep") for suffix in (".jpg", ".png", ".webp", ".tif", ".heic", ".avif"))],
)
def test_of_no_block_anything_is_left(container: str, metadata: str, tmp_path: Path) -> None:
    """Each place in each container; written as what it was and, in turn, as each of the others."""
    if container == ".heic":
        pytest.importorskip("pillow_heif")
    exif, xmp, irb, icc = (list(make(SECRET).items()) for _, make in kinds())
    wrong = []
    for turn in range(max(map(len, (exif, xmp, irb, icc)))):
        chosen = [blocks[turn % len(blocks)] for blocks in (exif, xmp, irb, icc)]
        others = (*PHOTOS, *LAYERED)
        own = container if container in PHOTOS[:4] else ".jpg"
        suffixes = tuple(dict.fromkeys((own, others[turn % len(others)])))
        if container in (".heic", ".avif") and turn % 4:  # slow to write
            continue
        data = carried_by(container, *(data for _, data in chosen))
        if where := left(data, SECRET, suffixes, tmp_path, metadata):
            wrong.append((where, [name for name, _ in chosen]))
    assert wrong == []


@pytest.mark.parametrize("metadata", ["clean", "keep"])
def test_of_no_file_anything_is_left(metadata: str, tmp_path: Path) -> None:
    wrong = []
    for turn, (name, data) in enumerate(places.whole_files(SECRET).items()):
        suffixes = tuple(dict.fromkeys((".jpg", ".png", (*PHOTOS, *LAYERED)[turn % 8])))
        if where := left(data, SECRET, suffixes, tmp_path, metadata):
            wrong.append((where, name))
    assert wrong == []


def heif_files(secret: Secret) -> Blocks:
    """HEIC and AVIF: thumbnails, a second picture, boxes that nobody asks for, what lies behind."""
    heif = pytest.importorskip("pillow_heif")
    image = Image.fromarray(scene())

    def saved(*more: Image.Image, **options: object) -> bytes:
        file = heif.from_pillow(image)
        for other in more:
            file.add_from_pillow(other)
        out = io.BytesIO()
        file.save(out, quality=95, **options)
        return out.getvalue()

    avif = io.BytesIO()
    image.save(avif, "AVIF", quality=95)
    out = {"thumbnail.heic": saved(thumbnails=[64]), "second.heic": saved(secret.image)}
    for kind in (b"free", b"skip", b"uuid", b"mdat", b"jp2c"):
        box = struct.pack(">I", 8 + 16 + len(secret.jpeg)) + kind + bytes(16) + secret.jpeg
        out[f"{kind.decode()}.heic"], out[f"{kind.decode()}.avif"] = saved() + box, avif.getvalue() + box
    return out


def test_of_no_heif_anything_is_left(tmp_path: Path) -> None:
    for name, data in heif_files(SECRET).items():
        photo, _ = Photo.from_bytes(data).edited(erased(), MASK, mark=MARK, metadata="keep")
        for suffix, out in written(photo, (".jpg", ".png", ".heic"), tmp_path).items():
            assert SECRET.found(out) == [], (name, suffix)
            assert remains(out, scene(), MASK) == [], (name, suffix)


def test_the_carver_agrees(tmp_path: Path) -> None:
    """Of files that hold a picture in every kind of place at once."""
    exif, xmp, irb, icc = (next(iter(make(SECRET).values())) for _, make in kinds())
    data = carried_by(".jpg", exif, xmp, irb, icc) + SECRET.jpeg
    assert len(remains(data, scene(), MASK)) >= 4
    photo, _ = Photo.from_bytes(data).edited(erased(), MASK, mark=MARK, metadata="keep")
    for suffix, out in written(photo, (*PHOTOS, *LAYERED), tmp_path).items():
        assert remains(out, scene(), MASK) == [], suffix


def test_the_carver_finds_what_is_hidden_unless_it_is_bare_numbers_or_names() -> None:
    """Of the places of one kind each by itself, beside a photo that shows everybody."""
    nothing = (b"II*\0\x08\0\0\0\0\0\0\0\0\0", b"<x/>", b"", b"")
    unseen = []
    for which, (_, make) in enumerate(kinds()):
        for name, block in make(SECRET).items():
            data = carried_by(".jpg", *(block if at == which else other for at, other in enumerate(nothing)))
            unseen += [name] if len(remains(data, scene(), MASK)) < 2 else []
    unseen += [name for name, data in places.whole_files(SECRET).items() if len(remains(data, scene(), MASK)) < 2]
    assert len(unseen) <= 12 and all(
        any(word in name for word in ("raw", "names", "numbers", "JFIF", "many fields", "keys")) for name in unseen
    ), unseen


def test_of_no_sidecar_anything_is_left(tmp_path: Path) -> None:
    photo = tmp_path / "a.jpg"
    photo.write_bytes(jpeg())
    for name, block in places.packets(SECRET).items():
        (tmp_path / "a.jpg.xmp").write_bytes(block)
        edited, _ = Photo.open(photo).edited(erased(), MASK, mark=MARK, metadata="keep")
        assert edited.meta.sidecar is not None
        assert SECRET.found(edited.meta.sidecar.packet or b"") == [], name


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_any_secret_in_any_places(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Other pictures of other sizes, in places chosen together, written in a format chosen at random."""
    draw = data.draw
    secret = Secret(draw(st.integers(0, 2**32 - 1)), (draw(st.integers(48, 96)), draw(st.integers(40, 72))))
    blocks = [make(secret) for _, make in kinds()]
    chosen = [made[draw(st.sampled_from(sorted(made)))] for made in blocks]
    container = draw(st.sampled_from([".jpg", ".png", ".webp", ".tif"]))
    file = carried_by(container, *chosen)
    assert secret.found(file)
    suffixes = (draw(st.sampled_from([*PHOTOS, *LAYERED])),)
    assert left(file, secret, suffixes, tmp_path_factory.mktemp("any"), draw(st.sampled_from(["clean", "keep"]))) == []
