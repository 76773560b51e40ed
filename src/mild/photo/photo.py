"""A photo: its pixels and everything else its file carries; the only room that reads and writes image files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from io import BytesIO
from pathlib import Path
from typing import IO, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mild.errors import MildError, UsageError
from mild.files import write_atomically, write_together
from mild.photo.alpha import filled_alpha
from mild.photo.colour import HLG, PQ
from mild.photo.credentials import Signer
from mild.photo.edit import Mode, Told, edited_meta
from mild.photo.formats import format_of, heif, load_checked, read_image, read_stream
from mild.photo.mark import Mark
from mild.photo.meta import GREY_MODES, PhotoMeta, collect, encoder_options
from mild.photo.sidecar import Sidecar

__all__ = ["Photo", "PhotoMeta", "write_image"]

PathLike = str | os.PathLike[str]
#: What a photo may be given as.
PhotoLike: TypeAlias = "PathLike | bytes | Image.Image | NDArray[np.uint8] | Photo"

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo, upright, in RGB of 8 bits; arrays are read-only (a writable one handed over is copied).

    Attributes:
        pixels: uint8 ``[H, W, 3]``, EXIF orientation applied.
        alpha: uint8 ``[H, W]``, or None when the photo has no transparency.
        meta: what saving needs: EXIF, ICC profile, DPI, JPEG tables, …
        path: the file it came from, or None.

    Raises:
        UsageError: the arrays do not have these shapes and types.
    """

    pixels: NDArray[np.uint8] = field(repr=False)
    alpha: NDArray[np.uint8] | None = field(default=None, repr=False)
    meta: PhotoMeta = field(default_factory=PhotoMeta)
    path: Path | None = None

    def __post_init__(self) -> None:
        if self.pixels.dtype != np.uint8 or self.pixels.ndim != 3 or self.pixels.shape[2] != 3 or not self.pixels.size:
            raise UsageError(
                f"Pixels must be uint8 of shape [H, W, 3], not {self.pixels.dtype} {list(self.pixels.shape)}."
            )
        object.__setattr__(self, "pixels", _frozen(self.pixels))
        if self.alpha is not None:
            if self.alpha.dtype != np.uint8 or self.alpha.shape != self.size:
                raise UsageError(f"Alpha must be uint8 of shape {list(self.size)}, not {list(self.alpha.shape)}.")
            object.__setattr__(self, "alpha", _frozen(self.alpha))

    @property
    def size(self) -> tuple[int, int]:
        """``(height, width)``."""
        return int(self.pixels.shape[0]), int(self.pixels.shape[1])

    @cached_property
    def sha256(self) -> str:
        """Fingerprint of the size and the pixels (not of alpha or metadata), in hex."""
        digest = hashlib.sha256(f"{self.size[0]}x{self.size[1]}:".encode())
        digest.update(self.pixels.data)
        return digest.hexdigest()

    @classmethod
    def of(cls, source: PhotoLike) -> Photo:
        """A photo from whatever the caller has: a path, a file's bytes, a Pillow image, an array or a photo."""
        if isinstance(source, Photo):
            return source
        if isinstance(source, Image.Image):
            return cls.from_pil(source)
        if isinstance(source, np.ndarray):
            return cls.from_array(source)
        if isinstance(source, str | os.PathLike):
            return cls.open(source)
        if isinstance(source, bytes | bytearray | memoryview):
            return cls.from_bytes(bytes(source))
        raise UsageError(f"A photo is a path, bytes, a Pillow image or a uint8 array, not {type(source).__name__}.")

    @classmethod
    def open(cls, path: PathLike) -> Photo:
        """Read a JPEG, PNG, WebP, TIFF, AVIF, GIF, BMP or (with the extra ``heic``) HEIC file.

        Grey, palette and 1-bit files become RGB without loss; of an MPO the first picture is read, of a HEIC the
        primary one, brought to 8 bits. Of the metadata no picture is read (thumbnails, previews, maker notes): it
        would still show who is erased. An XMP sidecar beside it is read, too.

        Raises:
            UsageError: there is no such file, or it is a folder.
            MildError: it is no image, damaged, larger than 300 megapixels, or of a kind that 8-bit RGB would cut
                short: more than 8 bits per channel, CMYK or LAB, several frames or pages, camera raw.
        """
        path = Path(path)
        decoded = partial(cls._decoded, sidecar=Sidecar.beside(path))
        return replace(read_image(path, decoded), path=path)

    @classmethod
    def from_bytes(cls, data: bytes, name: str = "The image") -> Photo:
        """From the bytes of an image file; ``name`` is what it is called in a sentence.

        Raises:
            MildError: as :meth:`open`.
        """
        return read_stream(BytesIO(data), name, cls._decoded)

    @classmethod
    def from_pil(cls, image: Image.Image) -> Photo:
        """From a Pillow image, its current frame, with its metadata; EXIF orientation is applied.

        Raises:
            MildError: as :meth:`open`.
        """
        try:
            return cls._decoded(load_checked(image, "The image"))
        except MildError:
            raise
        except Exception as error:  # a lazy image is decoded only here, and decoders raise anything
            raise MildError(f"The image cannot be decoded: {error}.") from error

    @classmethod
    def from_array(cls, array: NDArray[np.uint8]) -> Photo:
        """From uint8 ``[H, W, 3]``, ``[H, W, 4]`` with alpha, or ``[H, W]`` grey; the array is copied.

        Raises:
            UsageError: any other type or shape.
        """
        if array.dtype != np.uint8 or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
            raise UsageError(
                f"Pixels must be uint8 of shape [H, W, 3], [H, W, 4] or [H, W], not {array.dtype} {list(array.shape)}."
            )
        if array.ndim == 2:
            return cls(np.stack([array] * 3, -1), meta=PhotoMeta(mode="L"))
        # Copied even when read-only: the caller may hold the writable array behind the view.
        alpha = array[..., 3].copy() if array.shape[2] == 4 else None
        return cls(array[..., :3].copy(), alpha, PhotoMeta(mode="RGB" if alpha is None else "RGBA"))

    @classmethod
    def _decoded(cls, image: Image.Image, sidecar: Sidecar | None = None) -> Photo:
        meta, orientation = collect(image, sidecar)
        transparent = image.has_transparency_data
        target = "RGBA" if transparent else "RGB"
        image = image if image.mode == target else image.convert(target)
        if orientation in _TURNS:
            image = image.transpose(_TURNS[orientation])
        array = np.asarray(image)  # a copy, read-only
        if not transparent:
            return cls(array, None, meta)
        return cls(array[..., :3], array[..., 3], meta)

    def with_pixels(self, pixels: NDArray[np.uint8]) -> Photo:
        """The same photo (metadata, alpha, path) with other pixels ``[H, W, 3]`` of the same size.

        A grey photo stays grey, and one of black and white has nothing else: colours become their luma.
        """
        if pixels.shape != self.pixels.shape:
            raise UsageError(f"The new pixels are {list(pixels.shape)}, but the photo is {list(self.pixels.shape)}.")
        if self.meta.mode in GREY_MODES:
            luma = (pixels @ np.array([299, 587, 114], np.uint32) + 500) // 1000  # of a grey, itself
            grey = np.where(luma >= 128, 255, 0) if self.meta.mode == "1" else luma
            pixels = np.repeat(grey.astype(np.uint8)[..., None], 3, 2)
        return replace(self, pixels=pixels)

    def edited(
        self,
        pixels: NDArray[np.uint8],
        erased: NDArray[np.bool_] | None = None,
        *,
        shown: NDArray[np.bool_] | None = None,
        metadata: Mode = "clean",
        mark: Mark | None = None,
        signer: Signer | None = None,
    ) -> tuple[Photo, Told]:
        """The photo after an edit: other pixels, alpha filled where somebody was, and metadata that is still true.

        Args:
            pixels: uint8 ``[H, W, 3]``.
            erased: bool ``[H, W]``, true where somebody was erased.
            shown: bool ``[H, W]``, true where somebody who stays is to be seen, hidden parts included.
            metadata: ``keep`` all text and numbers, ``clean`` (those known to be harmless and true), or ``none``.
            mark: what is said of the edit; None for nothing.
            signer: whose certificate signs the file when it is written; None for nobody's.

        Returns:
            The photo, and what happened to its metadata.
        """
        meta, told = edited_meta(self.meta, self.size, erased, metadata, mark)
        if signer is not None:
            meta = replace(meta, signer=replace(signer, source=self.meta.format, mark=mark))
        alpha = self.alpha
        if alpha is not None and erased is not None and erased.any():
            alpha = filled_alpha(alpha, erased, shown)
        return replace(self.with_pixels(pixels), meta=meta, alpha=alpha), told

    def check_format(self, path: PathLike) -> None:
        """Refuse, before any work, a file that could not hold this photo.

        Raises:
            UsageError: unknown suffix, transparency or colours that the format lacks, or too many pixels a side.
        """
        path = Path(path)
        format = format_of(path)
        if format == "JPEG" and self.alpha is not None and self.alpha.min() < 255:
            raise UsageError(f"The photo has transparency, which a JPEG cannot hold: save {path.stem}.png instead.")
        longest = {"JPEG": 65_500, "WEBP": 16_383, "HEIF": 16_384}.get(format, 2**31)
        if max(self.size) > longest:
            raise UsageError(
                f"{path.name} can have at most {longest} pixels a side, the photo has {max(self.size)}: "
                f"save {path.stem}.png instead."
            )
        if self.meta.cicp is not None and self.meta.cicp[1] in (PQ, HLG) and format != "PNG":
            raise UsageError(f"The photo's high dynamic range can only be said in a PNG: save {path.stem}.png instead.")

    def to_pil(self) -> Image.Image:
        """A Pillow image, RGB or RGBA; ``info`` carries the ICC profile, EXIF, XMP and DPI."""
        image = Image.fromarray(self.pixels if self.alpha is None else np.dstack([self.pixels, self.alpha]))
        found = {"icc_profile": self.meta.icc, "exif": self.meta.exif, "xmp": self.meta.xmp, "dpi": self.meta.dpi}
        image.info.update({key: value for key, value in found.items() if value is not None})
        return image

    def save(self, path: PathLike, *, overwrite: bool = True, beside: Sequence[tuple[Path, bytes]] = ()) -> Path:
        """Write the photo with its metadata; the suffix says the format. Atomic: all of the file or nothing.

        ``beside``: files that go with it; all are ready before the first of them is put in place, and the photo last.

        PNG, TIFF and WebP are written without loss (WebP also when the input was a lossy WebP: the pixels of those
        who stay must not change). A JPEG that came from a JPEG has its quantisation tables and chroma sampling,
        any other quality 95 and full chroma; HEIC has quality 95. What was grey and still is, is written as grey
        (a grey ICC profile is left out if it no longer is); palettes become RGB. A TIFF keeps a lossless compression of
        the input, but is uncompressed when it holds EXIF or GPS directories. WebP and HEIC hold no DPI but EXIF's,
        text of a PNG goes to PNG only.

        Raises:
            UsageError: unknown suffix, no such folder, the file exists (``overwrite=False``), or transparency in
                a format without it.
            MildError: the file cannot be written; one that was there before is untouched.
        """
        path = Path(path)
        self.check_format(path)
        if not overwrite and path.exists():
            raise UsageError(f"{path} exists already: choose another name or allow overwriting.")
        others = [(place, partial(_put, data)) for place, data in beside]
        return write_together([*others, (path, lambda file: self.write(file, path.suffix))])

    def write(self, file: IO[bytes], suffix: str) -> None:
        """As :meth:`save`, to an open binary file that can seek; ``suffix`` (``.png``) says the format."""
        name = f"photo{suffix}"
        format = format_of(Path(name))
        self.check_format(name)
        image = self._to_save(format)
        options = encoder_options(self.meta, format, image.mode)
        signer = self.meta.signer
        into = file if signer is None else BytesIO()
        if format == "HEIF":
            heif().from_pillow(image).save(into, quality=95, **options)
        else:
            image.save(into, format, **options)
        if signer is not None and isinstance(into, BytesIO):
            file.write(signer.signed(into.getvalue(), format))

    def _to_save(self, format: str) -> Image.Image:
        """The image in the mode it is written in: grey only where nothing is lost."""
        alpha = self.alpha
        if format == "JPEG":
            alpha = None
        grey = self.pixels[..., 0]
        if self.meta.mode not in GREY_MODES or (self.pixels != grey[..., None]).any():
            return Image.fromarray(self.pixels if alpha is None else np.dstack([self.pixels, alpha]))
        if alpha is not None:
            return Image.fromarray(np.dstack([grey, alpha]), "LA")
        image = Image.fromarray(np.ascontiguousarray(grey))
        bilevel = self.meta.mode == "1" and format in ("PNG", "TIFF") and bool(np.isin(grey, (0, 255)).all())
        return image.convert("1", dither=Image.Dither.NONE) if bilevel else image


def _put(data: bytes, file: IO[bytes]) -> None:
    file.write(data)


def write_image(array: NDArray[np.uint8] | NDArray[np.bool_], path: PathLike) -> Path:
    """Write a mask, an overlay or a layer as PNG, atomically.

    ``array`` is uint8 ``[H, W]``, ``[H, W, 3]`` or ``[H, W, 4]``, or bool ``[H, W]`` (true becomes 255).

    Raises:
        UsageError: another shape or type, another suffix than .png, or no such folder.
        MildError: the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise UsageError(f"{path.name} must end in .png.")
    if array.dtype == np.bool_ and array.ndim == 2:
        array = array.astype(np.uint8) * np.uint8(255)
    if (
        array.dtype != np.uint8
        or not array.size
        or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4)))
    ):
        raise UsageError(f"An image must be uint8 [H, W], [H, W, 3] or [H, W, 4], not {array.dtype} {array.shape}.")
    image = Image.fromarray(np.ascontiguousarray(array))
    return write_atomically(path, lambda file: image.save(file, "PNG"))


def _frozen(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The array, contiguous and read-only; copied if somebody could write to it."""
    if array.flags.writeable or not array.flags.c_contiguous:
        array = np.array(array, order="C")
        array.flags.writeable = False
    return array
