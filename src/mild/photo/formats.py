"""Opening and writing image files: which kinds, and which faults."""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from mild.errors import MildError, UsageError
from mild.extras import needs
from mild.files import flat
from mild.photo import png
from mild.photo.bounds import check_tiff
from mild.photo.colour import HLG, PQ
from mild.reading import open_regular

#: The largest photo that is opened, in pixels; beyond it a small file could fill the memory.
MAX_PIXELS = 300_000_000

#: Format by suffix, for saving.
FORMATS = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG", ".jfif": "JPEG", ".png": "PNG", ".webp": "WEBP",
    ".tif": "TIFF", ".tiff": "TIFF", ".heic": "HEIF", ".heif": "HEIF", ".hif": "HEIF",
}  # fmt: skip
#: Modes whose conversion to RGB(A) loses nothing.
_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA"})
#: A transfer file may have put this before the picture: line ends, zeros, a mark of byte order.
_JUNK = re.compile(rb"^(?:[\0\t\n\r ]|\xef\xbb\xbf){1,64}")
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"})
_pillow_limit = threading.RLock()

T = TypeVar("T")


def read_image(path: Path, use: Callable[[Image.Image], T]) -> T:
    """What ``use`` makes of the file's decoded image, checked by :func:`load_checked`.

    The file is still open meanwhile: Pillow reads some metadata only when asked.

    Raises:
        UsageError: there is no such file, or it is a folder.
        MildError: it is no image, damaged, too large, or would lose something (16 bits, CMYK, several frames).
    """
    try:
        if path.is_dir():
            raise UsageError(f"{path} is a folder, not a photo.")
        with open_regular(path) as file:
            return read_stream(file, str(path), use)
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"There is no file {path}.") from None
    except OSError as error:
        raise MildError(f"{path} cannot be read: {error.strerror or flat(error)}.") from None
    except ValueError:
        raise UsageError(f"{str(path)!r} cannot be the name of a file.") from None


def read_stream(file: IO[bytes], name: str, use: Callable[[Image.Image], T]) -> T:
    """As :func:`read_image`, from an open file that can seek; ``name`` is what it is called in a sentence.

    Raises:
        MildError: as there.
    """
    head = file.read(128)
    start = _start(head)
    format, plugin = _reader(name, head[start:])
    file.seek(start)
    try:
        body = file if not start else io.BytesIO(file.read())
        if format == "TIFF":
            check_tiff(body)
        # Pillow's plugin itself rather than Image.open: no global size limit, no formats by accident.
        image = load_checked(plugin(body), name)
        if image.info.pop("mild_hdr", False):
            from mild.photo.tonemap import shown_in_8_bits

            file.seek(start)
            image = shown_in_8_bits(heif().open_heif(file, convert_hdr_to_8bit=False), image)
        return use(image)
    except MildError:
        raise
    except Exception as error:  # decoders raise anything from SyntaxError to struct.error on a damaged file
        file.seek(start)
        whole = _without_end(file.read()) if format == "JPEG" else None
        if whole is not None:
            return use(load_checked(JpegImagePlugin.JpegImageFile(io.BytesIO(whole)), name))
        raise MildError(
            f"{name} cannot be read as {format}: it is damaged, cut short or of a rare kind ({flat(error)})."
        ) from error


def load_checked(image: Image.Image, name: str) -> Image.Image:
    """Decode a lazy image, refusing in one sentence (MildError) what RGB of 8 bits would lose."""
    if image.width * image.height > MAX_PIXELS:
        raise MildError(
            f"{name} has {image.width} x {image.height} pixels, more than the {MAX_PIXELS // 10**6} million that are "
            "opened: scale it down first."
        )
    if _deep(image):
        raise MildError(f"{name} has more than 8 bits per channel, which would be cut: convert it to 8 bits first.")
    if image.mode not in _MODES:
        raise MildError(f"{name} is in {image.mode} colour: convert it to RGB first, with its colour profile.")
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        _check_tiff(image, name)
    elif image.format not in ("JPEG", "MPO", "HEIF") and getattr(image, "n_frames", 1) > 1:
        raise MildError(f"{name} holds {getattr(image, 'n_frames', 0)} frames: save the one you want as a PNG first.")
    with _lifted_limit() if image.format == "TIFF" else _unchanged():
        image.load()
    return image


def size_of(path: Path) -> tuple[int, int] | None:
    """``(width, height)`` by the file's header alone, nothing decoded; None when it cannot be read, or is no photo."""
    try:
        with open_regular(path) as file:
            head = file.read(128)
            start = _start(head)
            file.seek(start)
            format, plugin = _reader(str(path), head[start:])
            body = file if not start else io.BytesIO(file.read())
            if format == "TIFF":
                check_tiff(body)
            return plugin(body).size
    except Exception:  # headers of damaged files raise anything; whoever opens the photo is told why
        return None


def format_of(path: Path) -> str:
    """Pillow's name of the format that a suffix asks for."""
    try:
        return FORMATS[path.suffix.lower()]
    except KeyError:
        raise UsageError(
            f"{path.name} has no suffix of an image format: use .jpg, .png, .webp, .tif or .heic."
        ) from None


def heif() -> Any:
    """The optional HEIC library, imported on first need."""
    with needs("Reading and writing HEIC photos", "heic"):
        import pillow_heif
    return pillow_heif


def _start(head: bytes) -> int:
    """Where the picture begins: behind what a transfer put before it."""
    junk = _JUNK.match(head)
    known = head.startswith((b"\xff\xd8\xff", png.SIGNATURE, b"RIFF", b"II", b"MM", b"GIF8", b"BM"))
    return len(junk[0]) if junk and not known and head[4:8] != b"ftyp" else 0


def _reader(path: str, head: bytes) -> tuple[str, Callable[[IO[bytes]], Image.Image]]:
    """Name of the format and its decoder, by the first bytes of the file; suffixes lie."""
    if not head:
        raise MildError(f"{path} is empty (0 bytes): copy it again from its source.")
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG", JpegImagePlugin.JpegImageFile  # of an MPO, too: the first picture is the photo
    if head.startswith(png.SIGNATURE):
        return "PNG", _png
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WebP", WebPImagePlugin.WebPImageFile
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        if head[8:10] == b"CR":
            raise _raw(path)
        return "TIFF", TiffImagePlugin.TiffImageFile
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return "GIF", GifImagePlugin.GifImageFile
    if head.startswith(b"BM"):
        return "BMP", BmpImagePlugin.BmpImageFile
    if head[4:8] == b"ftyp" and head[8:12] in (b"avif", b"avis"):
        return "AVIF", _avif
    if head[4:8] == b"ftyp" and (head[8:12] in _HEIF_BRANDS or b"heic" in head[16:64]):
        return "HEIC", _heic
    raise MildError(f"{path} is not an image of a known kind (JPEG, PNG, WebP, TIFF, HEIC, AVIF, GIF, BMP).")


def _png(file: IO[bytes]) -> Image.Image:
    """A PNG without what is not needed to show it; that is read by :mod:`mild.photo.png`, within bounds."""
    parts = png.take_apart(file.read())
    image = PngImagePlugin.PngImageFile(io.BytesIO(parts.shown))
    found = {"icc_profile": parts.icc, "exif": parts.exif, "mild_cicp": parts.cicp}
    image.info.update({key: value for key, value in found.items() if value is not None})
    image.info |= {"mild_xmp": parts.xmp, "mild_text": parts.text}
    return image


def decode_png(data: bytes) -> Image.Image:
    """A PNG in memory, whatever the length of its profile and its texts."""
    return _png(io.BytesIO(data))


def _heic(file: IO[bytes]) -> Image.Image:
    """The primary picture of a HEIF; what has more bits is brought to 8, which is said."""
    image: Image.Image = heif().HeifImageFile(file)
    depth, transfer = int(image.info.get("bit_depth") or 8), 0
    if isinstance(nclx := image.info.get("nclx_profile"), dict):
        transfer = int(nclx.get("transfer_characteristics", 2))
    if transfer in (PQ, HLG):
        image.info["mild_hdr"] = True
    elif depth > 8:
        image.info["mild_notes"] = (f"The photo has {depth} bits per channel; they were rounded to 8.",)
    image.info["bit_depth"] = 8
    if image.info.get("aux") or image.info.get("depth_images"):
        said = "Extra pictures of the file (depth, gain map, mattes) were left out; HDR is shown in standard range."
        image.info["mild_notes"] = (*image.info.get("mild_notes", ()), said)
    return image


def _avif(file: IO[bytes]) -> Image.Image:
    data = file.read()
    image = AvifImagePlugin.AvifImageFile(io.BytesIO(data))
    head = data[: 64 * 1024]
    at = head.find(b"av1C")
    if at >= 0 and len(head) > at + 6 and head[at + 6] & 0x40:
        image.info["mild_notes"] = ("The photo has more than 8 bits per channel; they were rounded to 8.",)
    if b"tmap" in head:
        said = "An HDR gain map was left out: the photo is shown in standard dynamic range."
        image.info["mild_notes"] = (*image.info.get("mild_notes", ()), said)
    at = head.find(b"colrnclx")
    if at >= 0 and len(head) >= at + 15:
        numbers = [int.from_bytes(head[at + i : at + i + 2], "big") for i in (8, 10, 12)]
        image.info["nclx_profile"] = dict(
            zip(("color_primaries", "transfer_characteristics", "matrix_coefficients"), numbers, strict=True)
        ) | {"full_range_flag": head[at + 14] >> 7}
    return image


def _without_end(data: bytes) -> bytes | None:
    """A JPEG whose pixels are whole and only the marker of its end is missing, with that marker; None otherwise.

    Whole is what does not change when more follows: a decoder that still waits for pixels takes the filler for them.
    """
    data = data.rstrip(b"\xff") if data.endswith(b"\xff") else data
    seen = []
    for filler in (b"", b"\x5a\xa5\x33\x91\x0c\x77" * 32):
        try:
            image = JpegImagePlugin.JpegImageFile(io.BytesIO(data + filler + b"\xff\xd9"))
            if image.width * image.height > MAX_PIXELS:
                return None
            seen.append(image.tobytes())
        except Exception:  # what is damaged elsewhere, too, is told by the caller
            return None
    return data + b"\xff\xd9" if seen[0] == seen[1] else None


def _deep(image: Image.Image) -> bool:
    """More than 8 bits per channel? Pillow cuts 16-bit RGB silently; only the raw mode of its decoder tells."""
    if image.mode.startswith(("I", "F")) or int(image.info.get("bit_depth") or 8) > 8:
        return True
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return max(image.tag_v2.get(258, (8,))) > 8
    return any(";16" in str(tile) for tile in getattr(image, "tile", ()))


def _check_tiff(image: TiffImagePlugin.TiffImageFile, name: str) -> None:
    if 50706 in image.tag_v2 or image.tag_v2.get(254, 0) & 1:
        raise _raw(name)
    if image.tag_v2.get(277, 1) > len(image.getbands()):
        raise MildError(f"{name} has extra channels, which would be lost: flatten it to RGB first.")
    for frame in range(1, image.n_frames):
        image.seek(frame)
        if not image.tag_v2.get(254, 0) & 1:  # a reduced copy of the first page may go: it shows the unedited photo
            raise MildError(f"{name} holds {image.n_frames} pages: save the one you want as a single page first.")
    image.seek(0)


def _raw(name: str) -> MildError:
    return MildError(f"{name} is a camera raw file: develop it to a TIFF of 8 bits or a JPEG first.")


@contextmanager
def _lifted_limit() -> Iterator[None]:
    """Pillow's own size limit, which its TIFF decoder checks on loading, replaced by ours for a moment."""
    with _pillow_limit:
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, MAX_PIXELS
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


@contextmanager
def _unchanged() -> Iterator[None]:
    yield
