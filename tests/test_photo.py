"""Photos in and out: every pixel, everything the file carries, every fault in one sentence."""

from __future__ import annotations

import io
import os
import stat
import struct
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps, JpegImagePlugin, PngImagePlugin, TiffImagePlugin

from mild.errors import MildError, UsageError
from mild.photo import Photo, PhotoMeta, read_mask, write_image
from mild.photo import formats as _photo_files
from mild.photo.exif import read_exif

LOSSLESS = [".png", ".webp", ".tif"]
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6" '
    b'xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="4" xmlns:xmpGImg="http://ns.adobe.com/xap/1.0/g/img/"><xmp:Thumbnails>'
    b"<rdf:Alt><rdf:li xmpGImg:image='/9j/4AAQ'/></rdf:Alt></xmp:Thumbnails></rdf:Description></rdf:RDF></x:xmpmeta>"
)
THUMBNAIL = b"\xff\xd8\xff\xdb" + b"the erased person" * 9 + b"\xff\xd9"
MAKER_NOTE = b"MAKER\0" + bytes(range(90))


def noise(height: int = 24, width: int = 33, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def smooth(height: int = 64, width: int = 80) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([y * 3 % 256, x * 2 % 256, (x + y) % 256], -1).astype(np.uint8)


def exif_block(orientation: int = 1, order: str = "<", preview: bytes = b"") -> bytes:
    """EXIF as cameras write it: make, orientation, GPS, a maker note, and a thumbnail in IFD1."""
    place, blobs = {}, b""
    offset = 400
    items = {"make": b"ACME\0\0", "note": MAKER_NOTE + preview, "lat": struct.pack(order + "6I", 48, 1, 8, 1, 3, 1)}
    for name, blob in {**items, "thumb": THUMBNAIL}.items():
        place[name] = offset + len(blobs)
        blobs += blob

    def directory(rows: list[tuple[int, int, int, int]], following: int) -> bytes:
        out = struct.pack(order + "H", len(rows))
        for tag, kind, count, value in rows:
            packed = struct.pack(order + "HH", value, 0) if kind == 3 else struct.pack(order + "I", value)
            out += struct.pack(order + "HHI", tag, kind, count) + packed
        return out + struct.pack(order + "I", following)

    parts = {
        8: directory(
            [(0x010F, 2, 5, place["make"]), (0x0112, 3, 1, orientation), (0x8769, 4, 1, 100), (0x8825, 4, 1, 200)], 300
        ),
        100: directory([(0x927C, 7, len(items["note"]), place["note"]), (0xA002, 4, 1, 33), (0xA003, 4, 1, 24)], 0),
        200: directory([(0x0001, 2, 2, 0x4E if order == "<" else 0x4E000000), (0x0002, 5, 3, place["lat"])], 0),
        300: directory([(0x0103, 3, 1, 6), (0x0201, 4, 1, place["thumb"]), (0x0202, 4, 1, len(THUMBNAIL))], 0),
    }
    block = bytearray(400)
    block[:8] = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    for at, part in parts.items():
        block[at : at + len(part)] = part
    return bytes(block) + blobs


def png_with_header(depth: int, color: int, row: bytes) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 1, 1, depth, color, 0, 0, 0)
    pixels = zlib.compress(b"\0" + row)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def assert_sentence(error: pytest.ExceptionInfo[MildError]) -> None:
    text = str(error.value)
    assert text.endswith(".") and "\n" not in text and "Traceback" not in text


# ---------------------------------------------------------------- pixels


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    channels=st.sampled_from([1, 3, 4]),
    seed=st.integers(0, 2**32 - 1),
    suffix=st.sampled_from(LOSSLESS),
)
def test_lossless_formats_keep_every_pixel(tmp_path, height, width, channels, seed, suffix):
    array = noise(height, width, channels, seed).squeeze(2) if channels == 1 else noise(height, width, channels, seed)
    photo = Photo.from_array(array)
    again = Photo.open(photo.save(tmp_path / f"x{suffix}"))
    assert np.array_equal(again.pixels, photo.pixels)
    assert (again.alpha is None) == (photo.alpha is None)
    if photo.alpha is not None:  # also the colours under transparent pixels, above
        assert np.array_equal(again.alpha, photo.alpha)


@pytest.mark.parametrize("suffix", [".jpg", *LOSSLESS])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_and_reset(tmp_path, orientation, suffix):
    stored = Image.fromarray(smooth(24, 33))
    order = "<" if orientation % 2 else ">"
    source = tmp_path / f"in{suffix}"
    options = {"lossless": True} if suffix == ".webp" else {}
    stored.save(source, exif=b"Exif\0\0" + exif_block(orientation, order), **options)
    with Image.open(source) as image:
        upright = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    photo = Photo.open(source)
    assert np.array_equal(photo.pixels, upright)
    assert photo.size == ((33, 24) if orientation >= 5 else (24, 33))
    out = photo.save(tmp_path / f"out{suffix}")
    again = Photo.open(out)
    assert again.size == photo.size
    if suffix != ".jpg":
        assert np.array_equal(again.pixels, photo.pixels)
    with Image.open(out) as image:
        assert image.getexif().get(0x0112, 1) == 1
        sub = image.getexif().get_ifd(0x8769)
    if suffix != ".tif":
        assert (sub[0xA002], sub[0xA003]) == photo.size[::-1]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_modes_lose_nothing(tmp_path, mode, suffix):
    image = Image.fromarray(noise(9, 14, 4 if mode in ("LA", "RGBA") else 3)).convert(mode)
    source = tmp_path / f"in{suffix}"
    image.save(source)
    photo = Photo.open(source)
    expected = np.asarray(image.convert("RGBA"))
    assert np.array_equal(photo.pixels, expected[..., :3])
    if mode in ("LA", "RGBA"):
        assert np.array_equal(photo.alpha, expected[..., 3])
    else:
        assert photo.alpha is None
    out = photo.save(tmp_path / f"out{suffix}")
    with Image.open(out) as again:
        assert again.mode == ("RGB" if mode == "P" else mode)
        assert np.array_equal(np.asarray(again.convert("RGBA")), expected)


def test_palette_and_colour_key_transparency(tmp_path):
    palette = Image.fromarray(noise(8, 8)).quantize(16)
    palette.save(tmp_path / "p.png", transparency=bytes([0, 128] + [255] * 14))
    with Image.open(tmp_path / "p.png") as image:
        expected = np.asarray(image.convert("RGBA"))
    photo = Photo.open(tmp_path / "p.png")
    assert np.array_equal(np.dstack([photo.pixels, photo.alpha]), expected)
    pixels = noise(8, 8)
    pixels[0, 0] = 1, 2, 3
    Image.fromarray(pixels).save(tmp_path / "key.png", transparency=(1, 2, 3))
    keyed = Photo.open(tmp_path / "key.png")
    assert keyed.alpha[0, 0] == 0 and keyed.alpha.sum() == 255 * 63 and np.array_equal(keyed.pixels, pixels)


@pytest.mark.parametrize("mode", ["L", "1", "LA"])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_grey_stays_grey_whatever_is_painted(tmp_path, mode, suffix):
    grey_icc = ICC[:16] + b"GRAY" + ICC[20:]
    values = noise(8, 9, 1)[..., 0]
    source = Image.fromarray(values)
    source = source.convert("1") if mode == "1" else source
    if mode == "LA":
        source.putalpha(255)
    source.save(tmp_path / "g.png", **({} if mode == "1" else {"icc_profile": grey_icc}))
    photo = Photo.open(tmp_path / "g.png")
    coloured = photo.pixels.copy()
    coloured[0, 0] = 255, 0, 0
    painted = photo.with_pixels(coloured)
    assert np.array_equal(painted.pixels[1:], photo.pixels[1:]), "what was not painted is the photo's own"
    assert painted.pixels[0, 0].tolist() == ([0] * 3 if mode == "1" else [76] * 3)
    with Image.open(painted.save(tmp_path / f"out{suffix}")) as image:
        kept = {"L": "L", "1": "L" if suffix == ".jpg" else "1", "LA": "L" if suffix == ".jpg" else "LA"}
        assert image.mode == kept[mode]
        assert mode == "1" or image.info["icc_profile"] == grey_icc
        if suffix != ".jpg":
            assert np.array_equal(np.asarray(image.convert("RGB")), painted.pixels)


def test_one_pixel_and_hundred_megapixels(tmp_path):
    Image.new("RGB", (1, 1), (1, 2, 3)).save(tmp_path / "one.png")
    assert Photo.open(tmp_path / "one.png").pixels.tolist() == [[[1, 2, 3]]]
    assert Photo.open(Photo.open(tmp_path / "one.png").save(tmp_path / "one.jpg")).size == (1, 1)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_beyond_pillows_limit_without_a_warning(tmp_path, monkeypatch, suffix):
    # The real 108 megapixels take seconds; the limits scaled down take the same road.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    options = {"compression": "tiff_lzw"} if suffix == ".tif" else {}
    Image.fromarray(noise(30, 30)).save(tmp_path / f"big{suffix}", **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Photo.open(tmp_path / f"big{suffix}").size == (30, 30)
    assert Image.MAX_IMAGE_PIXELS == 100
    monkeypatch.setattr(_photo_files, "MAX_PIXELS", 899)
    with pytest.raises(MildError, match="scale it down") as error:
        Photo.open(tmp_path / f"big{suffix}")
    assert_sentence(error)


def test_arrays_are_read_only_and_inputs_are_not_touched():
    array = noise()
    photo = Photo.from_array(array)
    array[:] = 0
    assert photo.pixels.any()
    with pytest.raises(ValueError):
        photo.pixels[0, 0] = 0
    mine = noise(seed=3)
    other = photo.with_pixels(mine)
    mine[0, 0] = 0
    assert mine.flags.writeable and np.array_equal(other.pixels, noise(seed=3))
    image = Image.fromarray(noise())
    held = Photo.from_pil(image)
    image.paste((0, 0, 0), (0, 0, 33, 24))
    assert np.array_equal(held.pixels, noise())


def test_sha256_depends_on_pixels_and_shape():
    black = Photo.from_array(np.zeros((2, 8, 3), np.uint8))
    assert black.sha256 == Photo.from_array(np.zeros((2, 8, 3), np.uint8)).sha256
    assert black.sha256 != Photo.from_array(np.zeros((8, 2, 3), np.uint8)).sha256
    assert len(black.sha256) == 64


def test_of_takes_everything(tmp_path):
    photo = Photo.from_array(noise())
    path = photo.save(tmp_path / "a.png")
    assert Photo.of(photo) is photo
    for source in (path, str(path), photo.to_pil(), noise()):
        assert np.array_equal(Photo.of(source).pixels, photo.pixels)
    assert Photo.of(path).path == path and Photo.of(noise()).path is None
    with pytest.raises(UsageError):
        Photo.of(7)
    for bad in (np.zeros((3, 3, 2), np.uint8), np.zeros((3, 3, 3)), np.zeros((0, 3, 3), np.uint8), np.zeros(3, "u1")):
        with pytest.raises(UsageError) as error:
            Photo.of(bad)
        assert_sentence(error)
    with pytest.raises(UsageError):
        photo.with_pixels(noise(3, 3))


def test_to_pil_and_back_keeps_metadata(tmp_path):
    meta = PhotoMeta(icc=ICC, exif=exif_block(), dpi=(300.0, 300.0))
    photo = Photo(noise(), noise()[..., 0], meta)
    again = Photo.from_pil(photo.to_pil())
    assert np.array_equal(again.pixels, photo.pixels) and np.array_equal(again.alpha, photo.alpha)
    assert again.meta.icc == ICC and again.meta.dpi == (300.0, 300.0) and b"ACME" in again.meta.exif


# ---------------------------------------------------------------- metadata


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("out", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("source", [".jpg", ".png", ".webp", ".tif"])
def test_metadata_survives_between_all_formats(tmp_path, source, out, order):
    options = {"exif": b"Exif\0\0" + exif_block(6, order), "icc_profile": ICC, "dpi": (300, 300)}
    if source in (".jpg", ".webp"):
        options["xmp"] = XMP
    elif source == ".png":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", XMP.decode())
    elif source == ".tif":
        tags = Image.Exif()
        tags.load(options["exif"])
        tags[700] = XMP
        options["exif"] = tags
    Image.fromarray(smooth()).save(tmp_path / f"in{source}", **options)
    path = Photo.open(tmp_path / f"in{source}").save(tmp_path / f"out{out}")
    data = path.read_bytes()
    assert b"the erased person" not in data and b"/9j/4AAQ" not in data
    with Image.open(path) as image:
        image.load()
        exif = image.getexif()
        assert exif[0x010F].rstrip("\0") == "ACME" and exif.get(0x0112, 1) == 1
        assert 0x927C not in exif.get_ifd(0x8769)
        assert exif.get_ifd(0x8825)[2] == (48.0, 8.0, 3.0)
        assert not exif.get_ifd(0x0201) and 0x0201 not in exif
        assert image.info["icc_profile"] == ICC
        if out != ".webp" and source != ".webp":
            assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)
        assert b"<tiff:Orientation>1</tiff:Orientation>" in image.info["xmp"]
        assert b"x:xmpmeta" in image.info["xmp"]


def test_maker_note_and_thumbnail_are_not_copied_and_the_rest_is_readable(tmp_path):
    preview = b"\xff\xd8\xff\xe0" + b"old picture" + b"\xff\xd9"
    block = exif_block(6, preview=preview)
    Image.fromarray(smooth()).save(tmp_path / "a.jpg", exif=b"Exif\0\0" + block)
    saved = Photo.open(tmp_path / "a.jpg").meta.exif
    assert b"old picture" not in saved and b"erased" not in saved and MAKER_NOTE not in saved
    assert b"ACME" in saved and len(saved) < len(block) / 2


@pytest.mark.parametrize("block", [b"", b"II", b"garbage" * 4, b"II*\0\xff\xff\xff\xff", exif_block()[:30]])
def test_broken_exif_does_no_harm(tmp_path, block):
    Image.fromarray(smooth()).save(tmp_path / "a.png", exif=b"Exif\0\0" + block)
    photo = Photo.open(tmp_path / "a.png")
    assert np.array_equal(photo.pixels, smooth()) and photo.meta.exif is None
    photo.save(tmp_path / "b.jpg")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_exif_never_raises(tmp_path_factory, data):
    block = bytearray(exif_block())
    for _ in range(data.draw(st.integers(1, 8))):
        block[data.draw(st.integers(0, 399))] = data.draw(st.integers(0, 255))
    found = read_exif(bytes(block))
    assert 1 <= found.orientation <= 8 and (found.block is None or len(found.block) <= len(block))
    photo = Photo(noise(8, 8), meta=PhotoMeta(exif=found.block))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for suffix in (".jpg", ".tif"):
            photo.save(tmp_path_factory.getbasetemp() / f"damaged{suffix}")


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("quality", [3, 60, 88])
def test_jpeg_reuses_tables_and_sampling(tmp_path, quality, subsampling):
    Image.fromarray(smooth()).save(
        tmp_path / "a.jpg", quality=quality, subsampling=subsampling, progressive=True, comment=b"hello"
    )
    out = Photo.open(tmp_path / "a.jpg").save(tmp_path / "b.jpg")
    with Image.open(tmp_path / "a.jpg") as a, Image.open(out) as b:
        assert a.quantization == b.quantization
        assert JpegImagePlugin.get_sampling(b) == subsampling
        assert b.info["progressive"] and b.info["comment"] == b"hello"
        difference = np.abs(np.asarray(a).astype(int) - np.asarray(b))
    assert difference.mean() < 1.5


def test_jpeg_of_other_sources_is_fine_and_full_chroma(tmp_path):
    with Image.open(Photo.from_array(smooth()).save(tmp_path / "b.jpg")) as image:
        assert JpegImagePlugin.get_sampling(image) == 0
        assert max(image.quantization[0]) <= 12
        assert np.abs(np.asarray(image).astype(int) - smooth()).mean() < 2


def test_jpeg_iptc_survives(tmp_path):
    record = b"\x1c\x02\x78\x00\x05hello"
    body = b"Photoshop 3.0\x00" + b"8BIM\x04\x04\0\0" + struct.pack(">I", len(record)) + record
    body += b"8BIM\x04\x0c\0\0" + struct.pack(">I", 18) + b"the erased person!"
    extra = b"\xff\xed" + struct.pack(">H", len(body) + 2) + body
    Image.fromarray(smooth()).save(tmp_path / "a.jpg", extra=extra)
    out = Photo.open(tmp_path / "a.jpg").save(tmp_path / "b.jpg")
    assert b"the erased person" not in out.read_bytes()
    with Image.open(out) as image:
        assert image.info["photoshop"][0x0404] == record
    with Image.open(Photo.open(out).save(tmp_path / "c.tif")) as image:
        assert bytes(image.tag_v2[33723]) == record
    assert Photo.open(tmp_path / "c.tif").meta.iptc == record


def test_png_text_and_gamma_survive(tmp_path):
    text = PngImagePlugin.PngInfo()
    text.add(b"gAMA", struct.pack(">I", 45455))
    text.add_text("Author", "me")
    text.add_itxt("Title", "Grüße ✓", "de", "Titel")
    Image.fromarray(noise()).save(tmp_path / "a.png", pnginfo=text)
    with Image.open(Photo.open(tmp_path / "a.png").save(tmp_path / "b.png")) as image:
        assert image.text == {"Author": "me", "Title": "Grüße ✓"} and image.info["gamma"] == pytest.approx(0.45455)


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"])
def test_tiff_compression_is_kept_when_lossless(tmp_path, compression):
    Image.fromarray(noise()).save(tmp_path / "a.tif", compression=compression)
    photo = Photo.open(tmp_path / "a.tif")
    with Image.open(photo.save(tmp_path / "b.tif")) as image:
        assert image.info["compression"] == ("tiff_adobe_deflate" if compression == "jpeg" else compression)
        assert np.array_equal(np.asarray(image), photo.pixels)


def test_lossy_webp_is_saved_lossless(tmp_path):
    Image.fromarray(noise()).save(tmp_path / "a.webp", quality=40)
    photo = Photo.open(tmp_path / "a.webp")
    assert np.array_equal(Photo.open(photo.save(tmp_path / "b.webp")).pixels, photo.pixels)


def test_heic_round_trip_and_missing_package(tmp_path, monkeypatch):
    pillow_heif = pytest.importorskip("pillow_heif")
    heic = pillow_heif.from_pillow(Image.fromarray(smooth()))
    heic.save(tmp_path / "a.heic", quality=90, exif=b"Exif\0\0" + exif_block(6), icc_profile=ICC, xmp=XMP)
    photo = Photo.open(tmp_path / "a.heic")
    assert photo.size == (80, 64)
    again = Photo.open(photo.save(tmp_path / "b.heic"))
    assert again.size == photo.size and again.meta.icc == ICC
    assert b"ACME" in again.meta.exif and MAKER_NOTE not in again.meta.exif and b"x:xmpmeta" in again.meta.xmp
    assert np.abs(again.pixels.astype(int) - photo.pixels).mean() < 3
    assert b"the erased person" not in (tmp_path / "b.heic").read_bytes()
    transparent = Photo.from_array(np.dstack([smooth(), smooth()[..., 0]]))
    assert Photo.open(transparent.save(tmp_path / "c.heic")).alpha is not None
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    for action in (lambda: Photo.open(tmp_path / "a.heic"), lambda: photo.save(tmp_path / "d.heic")):
        with pytest.raises(MildError, match=r"pip install .mild-erase\[heic\].") as error:
            action()
        assert_sentence(error)
    assert not (tmp_path / "d.heic").exists()


# ---------------------------------------------------------------- refusals


def test_more_than_8_bits_are_refused(tmp_path):
    (tmp_path / "rgb16.png").write_bytes(png_with_header(16, 2, b"\1\2\3\4\5\6"))
    (tmp_path / "rgba16.png").write_bytes(png_with_header(16, 6, b"\1\2\3\4\5\6\7\1"))
    (tmp_path / "la16.png").write_bytes(png_with_header(16, 4, b"\1\2\3\4"))
    (tmp_path / "grey16.png").write_bytes(png_with_header(16, 0, b"\1\2"))
    Image.fromarray(np.arange(12, dtype=np.uint16).reshape(3, 4)).save(tmp_path / "grey16.tif")
    Image.fromarray(np.zeros((3, 4), np.float32)).save(tmp_path / "float.tif")
    Image.fromarray(np.zeros((3, 4), np.int32)).save(tmp_path / "int.tif")
    import cv2

    cv2.imwrite(str(tmp_path / "rgb16.tif"), np.full((3, 4, 3), 513, np.uint16))
    for name in sorted(p.name for p in tmp_path.iterdir()):
        with pytest.raises(MildError, match="8 bits") as error:
            Photo.open(tmp_path / name)
        assert_sentence(error)
    with Image.open(tmp_path / "rgb16.png") as image, pytest.raises(MildError, match="8 bits"):
        Photo.of(image)


def test_other_colour_spaces_are_refused(tmp_path):
    Image.new("CMYK", (4, 4)).save(tmp_path / "a.jpg")
    Image.new("CMYK", (4, 4)).save(tmp_path / "a.tif")
    Image.new("LAB", (4, 4)).save(tmp_path / "b.tif")
    for path in tmp_path.iterdir():
        with pytest.raises(MildError, match="convert it to RGB") as error:
            Photo.open(path)
        assert_sentence(error)


def test_several_frames_are_refused_but_not_an_mpo(tmp_path):
    frames = [Image.fromarray(noise(seed=i)) for i in range(3)]
    for name in ("a.png", "a.webp", "a.tif"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        with pytest.raises(MildError, match=r"3 (frames|pages)") as error:
            Photo.open(tmp_path / name)
        assert_sentence(error)
    frames[0].save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=frames[1:])
    photo = Photo.open(tmp_path / "a.jpg")
    assert photo.meta.format == "JPEG" and photo.size == (24, 33)
    with Image.open(tmp_path / "a.jpg") as image:
        assert np.array_equal(Photo.of(image).pixels, photo.pixels)


def test_tiff_thumbnail_page_is_dropped_and_raw_is_refused(tmp_path):
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[254] = 1
    small, big = Image.fromarray(noise(4, 4)), Image.fromarray(noise())
    data = io.BytesIO()
    with TiffImagePlugin.AppendingTiffWriter(data) as writer:
        big.save(writer, "TIFF", exif=b"Exif\0\0" + exif_block())
        writer.newFrame()
        small.save(writer, "TIFF", tiffinfo=tags)
    (tmp_path / "a.tif").write_bytes(data.getvalue())
    photo = Photo.open(tmp_path / "a.tif")
    assert np.array_equal(photo.pixels, noise())
    with Image.open(photo.save(tmp_path / "b.tif")) as image:
        assert image.n_frames == 1 and image.getexif()[0x010F].rstrip("\0") == "ACME"
    small.save(tmp_path / "c.dng", "TIFF", tiffinfo=tags)
    with pytest.raises(MildError, match="raw"):
        Photo.open(tmp_path / "c.dng")


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("cut", [12, 40, 0.5])
def test_truncated_files(tmp_path, suffix, cut):
    path = tmp_path / f"a{suffix}"
    Image.fromarray(noise(60, 60)).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(cut * len(data)) if cut < 1 else cut])
    with pytest.raises(MildError, match="damaged") as error:
        Photo.open(path)
    assert_sentence(error)


def test_what_is_no_photo(tmp_path):
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("hello")
    Image.fromarray(noise()).save(tmp_path / "a.ppm")
    cases = {"empty.jpg": "0 bytes", "text.jpg": "not an image", "a.ppm": "not an image"}
    for name, message in cases.items():
        with pytest.raises(MildError, match=message) as error:
            Photo.open(tmp_path / name)
        assert_sentence(error)
    for path, message in ((tmp_path / "no.jpg", "no file"), (tmp_path / "text.jpg/x", "no file"), (tmp_path, "folder")):
        with pytest.raises(UsageError, match=message) as error:
            Photo.open(path)
        assert_sentence(error)


def test_format_is_by_content_not_by_suffix(tmp_path):
    Image.fromarray(noise()).save(tmp_path / "a.jpg", "PNG")
    assert np.array_equal(Photo.open(tmp_path / "a.jpg").pixels, noise())


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_files_end_in_a_sentence(tmp_path_factory, data):
    suffix = data.draw(st.sampled_from(["JPEG", "PNG", "TIFF", "WEBP"]))
    buffer = io.BytesIO()
    Image.fromarray(smooth(16, 16)).save(buffer, suffix, exif=b"Exif\0\0" + exif_block())
    broken = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 12))):
        broken[data.draw(st.integers(4, len(broken) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "broken"
    path.write_bytes(broken)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            photo = Photo.open(path)
        except MildError as error:
            assert str(error).endswith(".") and "\n" not in str(error)
        else:
            assert photo.pixels.dtype == np.uint8


# ---------------------------------------------------------------- saving


def test_what_cannot_be_saved(tmp_path):
    photo = Photo.from_array(noise())
    (tmp_path / "file").touch()
    (tmp_path / "dir.png").mkdir()
    for name, message in {
        "a.xyz": "suffix", "a": "suffix", "no/a.png": "no folder", "file/a.png": "is a file", "dir.png": "is a folder"
    }.items():  # fmt: skip
        with pytest.raises(UsageError, match=message) as error:
            photo.save(tmp_path / name)
        assert_sentence(error)
    with pytest.raises(UsageError, match="transparency") as error:
        Photo.from_array(noise(channels=4)).save(tmp_path / "a.jpg")
    assert_sentence(error)
    with pytest.raises(UsageError, match="at most 65500") as error:
        Photo.from_array(np.zeros((1, 70_000, 3), np.uint8)).save(tmp_path / "wide.jpg")
    assert_sentence(error)
    photo.save(tmp_path / "there.png")
    with pytest.raises(UsageError, match="exists"):
        photo.save(tmp_path / "there.png", overwrite=False)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["dir.png", "file", "there.png"]


def test_opaque_alpha_is_no_obstacle_to_jpeg(tmp_path):
    opaque = np.dstack([smooth(), np.full((64, 80), 255, np.uint8)])
    assert Photo.open(Photo.from_array(opaque).save(tmp_path / "a.jpg")).alpha is None


def test_folder_without_write_permission(tmp_path, monkeypatch):
    def refuse(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # as root, chmod would not keep the test out
    with pytest.raises(MildError, match="cannot be written: Permission denied") as error:
        Photo.from_array(noise()).save(tmp_path / "a.png")
    assert_sentence(error)


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), ValueError("odd"), KeyboardInterrupt()])
@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
def test_a_failure_leaves_the_former_file_and_nothing_else(tmp_path, monkeypatch, failure, step):
    path = Photo.from_array(noise()).save(tmp_path / "a.png")
    before = path.read_bytes()

    def fail(*args, **kwargs):
        if step == "write":
            args[1].write(b"half a picture")
        raise failure

    place, name = {"write": (Image.Image, "save"), "fsync": (os, "fsync"), "replace": (Path, "replace")}[step]
    monkeypatch.setattr(place, name, fail)
    with pytest.raises(KeyboardInterrupt if isinstance(failure, KeyboardInterrupt) else MildError):
        Photo.from_array(noise(seed=1)).save(path)
    with pytest.raises(KeyboardInterrupt if isinstance(failure, KeyboardInterrupt) else MildError):
        write_image(noise(seed=1), path)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_saving_over_the_input_through_a_link_keeps_permissions(tmp_path):
    path = Photo.from_array(noise()).save(tmp_path / "a.png")
    path.chmod(0o640)
    (tmp_path / "link.png").symlink_to(path)
    photo = Photo.open(tmp_path / "link.png")
    photo.with_pixels(noise(seed=5)).save(tmp_path / "link.png")
    assert (tmp_path / "link.png").is_symlink() and stat.S_IMODE(path.stat().st_mode) == 0o640
    assert np.array_equal(Photo.open(path).pixels, noise(seed=5))


# ---------------------------------------------------------------- masks


def test_masks_of_every_kind(tmp_path):
    truth = np.zeros((24, 33), bool)
    truth[3:9, 4:20] = True
    grey = Image.fromarray(truth.astype(np.uint8) * 255)
    alpha = Image.new("RGBA", (33, 24), (0, 0, 0, 0))
    alpha.putalpha(grey)
    opaque = grey.convert("RGBA")
    turned = grey.transpose(Image.Transpose.ROTATE_90)  # needs orientation 6, a turn to the right
    exif = Image.Exif()
    exif[0x0112] = 6
    files = {
        "bit.png": grey.convert("1"), "grey.png": grey, "rgb.png": grey.convert("RGB"), "p.png": grey.convert("P"),
        "alpha.png": alpha, "opaque.png": opaque, "a.tif": grey, "a.webp": opaque, "a.jpg": grey,
    }  # fmt: skip
    for name, image in files.items():
        image.save(tmp_path / name, **({"lossless": True} if name == "a.webp" else {}))
        mask = read_mask(tmp_path / name, (24, 33))
        assert mask.dtype == bool
        assert np.array_equal(mask, truth), name
    turned.save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(read_mask(tmp_path / "turned.png", (24, 33)), truth)
    write_image(truth, tmp_path / "w.png")
    assert np.array_equal(read_mask(str(tmp_path / "w.png"), (24, 33)), truth)


def test_wrong_masks(tmp_path):
    write_image(np.zeros((5, 6), np.uint8), tmp_path / "black.png")
    write_image(np.full((5, 6), 255, np.uint8), tmp_path / "white.png")
    for name, size, message in (
        ("black.png", (5, 6), "is empty"), ("white.png", (5, 6), "invert"), ("black.png", (5, 7), "6 x 5 .* 7 x 5"),
        ("black.png", (6, 5), "turned"), ("none.png", (5, 6), "no file"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=message) as error:
            read_mask(tmp_path / name, size)
        assert_sentence(error)


@pytest.mark.parametrize("channels", [0, 3, 4])
def test_write_image(tmp_path, channels):
    array = noise(channels=channels or 1)
    array = array if channels else array[..., 0]
    with Image.open(write_image(array, tmp_path / "a.png")) as image:
        assert np.array_equal(np.asarray(image), array)


def test_write_image_refuses(tmp_path):
    for bad in (np.zeros((3, 3)), np.zeros((3, 3, 2), np.uint8), np.zeros((0, 3), np.uint8), np.zeros((2, 2, 3), bool)):
        with pytest.raises(UsageError) as error:
            write_image(bad, tmp_path / "a.png")
        assert_sentence(error)
    with pytest.raises(UsageError, match="png"):
        write_image(noise(), tmp_path / "a.jpg")
    assert not list(tmp_path.iterdir())
