"""Small, right inputs of every reader: what the fuzzer damages. All are drawn here."""

from __future__ import annotations

import io
import json
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import hidden_places
import hiding
from mild.layers.export import save_stack
from mild.people import memory
from mild.people.finders.coco import encode_rle, to_coco
from mild.people.scene import Person, Scene
from mild.photo import Photo
from mild.request import EraseRequest
from stacks import make_photo, make_stack

HEIGHT, WIDTH = 16, 24


def mask() -> np.ndarray:
    out = np.zeros((HEIGHT, WIDTH), bool)
    out[4:12, 6:14] = True
    return out


def photos() -> Iterator[tuple[str, bytes]]:
    """Suffix and content of photos of every kind, with metadata."""
    pixels = make_photo(HEIGHT, WIDTH, 0)
    image = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "ACME", 6
    exif.get_ifd(0x8769)[0x9003] = "2026:01:01 00:00:00"
    exif.get_ifd(0x8825)[1] = "N"
    text = PngImagePlugin.PngInfo()
    text.add_text("Author", "somebody")
    text.add_itxt("XML:com.adobe.xmp", "<x:xmpmeta xmlns:x='adobe:ns:meta/'/>")

    def saved(picture: Image.Image, format: str, **options: object) -> bytes:
        out = io.BytesIO()
        picture.save(out, format, **options)
        return out.getvalue()

    yield ".jpg", saved(image, "JPEG", exif=exif.tobytes(), comment=b"a comment", dpi=(72, 72))
    yield ".jpg", saved(image, "JPEG", progressive=True, subsampling=2)
    yield ".jpg", saved(image.convert("L"), "JPEG")
    yield ".png", saved(image, "PNG", exif=exif.tobytes(), pnginfo=text, dpi=(72, 72))
    yield ".png", saved(image.quantize(7), "PNG")
    yield ".png", saved(image.convert("1"), "PNG")
    yield ".png", saved(Image.fromarray(np.dstack([pixels, pixels[..., 0]])), "PNG")
    yield ".webp", saved(image, "WEBP", exif=exif.tobytes())
    yield ".webp", saved(image, "WEBP", lossless=True)
    yield ".tif", saved(image, "TIFF", compression="tiff_lzw")
    yield ".tif", saved(image, "TIFF", compression="tiff_adobe_deflate", tiffinfo={315: "somebody", 700: b"<x/>"})
    yield ".tif", saved(image, "TIFF", compression="packbits")
    yield ".tif", saved(image.convert("L"), "TIFF")
    try:
        import pillow_heif

        out = io.BytesIO()
        pillow_heif.from_pillow(image).save(out, quality=80, exif=exif.tobytes())
        yield ".heic", out.getvalue()
    except ImportError:
        pass


def blocks() -> Iterator[tuple[str, bytes]]:
    """Blocks of a photo's metadata, each kind with what it may hold, pictures included."""
    secret = hiding.Secret(size=(48, 40))
    for suffix, make in (
        (".exif", hidden_places.exif_blocks), (".xmp", hidden_places.packets),
        (".irb", hidden_places.resources), (".icc", hidden_places.profiles),
    ):  # fmt: skip
        for data in make(secret).values():
            yield suffix, data
    names = "<rdf:Bag><rdf:li>Ann</rdf:li><rdf:li>Bob</rdf:li></rdf:Bag>"
    region = (
        "<mwg-rs:Regions rdf:parseType='Resource'><mwg-rs:AppliedToDimensions stDim:w='128' stDim:h='96'/>"
        "<mwg-rs:RegionList><rdf:Bag><rdf:li mwg-rs:Name='Ann'><mwg-rs:Area stArea:x='.68' stArea:y='.5' stArea:w='.1' "
        "stArea:h='.1'/></rdf:li></rdf:Bag></mwg-rs:RegionList></mwg-rs:Regions>"
    )
    for codec in ("utf-8", "utf-16"):
        yield ".xmp", hiding.packet(f"<dc:subject>{names}</dc:subject>{region}").encode(codec)


def masks() -> Iterator[tuple[str, bytes]]:
    out = io.BytesIO()
    Image.fromarray(mask()).save(out, "PNG")
    yield ".png", out.getvalue()


def people() -> tuple[Person, ...]:
    rng = np.random.default_rng(0)
    points = (rng.random((17, 3)) * [WIDTH, HEIGHT, 1]).astype(np.float32)
    return (Person.from_mask(1, mask(), score=0.9, keypoints=points, source="blazepose"),)


def annotations() -> Iterator[tuple[str, bytes]]:
    """COCO files: run-length code, and polygons."""
    scene = Scene(Photo.from_array(make_photo(HEIGHT, WIDTH, 0)), people())
    coco = to_coco(scene, "photo.png")
    yield ".json", json.dumps(coco).encode()
    polygon = [5, 5, 15, 5, 15, 12, 5, 12]
    coco["annotations"][0]["segmentation"] = [polygon]
    yield ".json", json.dumps(coco).encode()


def layered() -> Iterator[tuple[str, bytes]]:
    """Layered files of every kind; a folder as a zip."""
    stack = make_stack(HEIGHT, WIDTH)
    with tempfile.TemporaryDirectory() as name:
        for suffix in (".zip", ".ora", ".psd"):
            path = Path(name) / f"a{suffix}"
            save_stack(stack, path)
            yield suffix, path.read_bytes()
        folder = save_stack(stack, Path(name) / "folder")
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    archive.write(path, path.relative_to(folder))
        yield "", out.getvalue()


def requests() -> Iterator[tuple[str, bytes]]:
    code = encode_rle(mask())
    selection = {"people": (1, 2), "points": ((1, 2),), "boxes": ((1, 2, 9, 9),), "mask_rle": code}
    request = EraseRequest.build(photo="photo.png", selection=selection, method={"steps": 2}, seed=7)
    yield ".json", request.model_dump_json().encode()
    yield ".json", json.dumps({"photo_id": "0" * 32, "kind": "erase", "request": {"selection": selection}}).encode()


def caches() -> Iterator[tuple[str, bytes]]:
    with tempfile.TemporaryDirectory() as name:
        memory.keep_in(Path(name))
        memory.keep("0" * 64, (), (people(), (1,)))
        (path,) = Path(name).glob("*.npz")
        yield ".npz", path.read_bytes()


def codes() -> Iterator[tuple[str, bytes]]:
    yield ".txt", encode_rle(mask())["counts"].encode()


def records() -> Iterator[tuple[str, bytes]]:
    from mild.app.server.jobs import JobStatus

    request = json.loads(next(requests())[1])
    row = {"id": "0" * 32, "kind": "erase", "state": "done", "photo_id": "1" * 32, "request": request, "created": 1.0}
    yield ".json", JobStatus.model_validate(row | {"report": {"erased": [1]}}).model_dump_json().encode()
