"""A photo that carries blocks of metadata: EXIF, XMP, Photoshop's resources and a colour profile."""

from __future__ import annotations

import io
import zlib

from PIL import Image

from hidden_places import tiff_photo
from hiding import jpeg, png, scene, segment, webp


def carried_by(container: str, exif: bytes, xmp: bytes, irb: bytes, icc: bytes) -> bytes:
    """A photo with these four; a container that cannot hold one leaves it out."""
    if container == ".jpg":
        app2 = segment(0xE2, b"ICC_PROFILE\0\1\1" + icc)
        app1 = segment(0xE1, b"Exif\0\0" + exif) + segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp)
        return jpeg(app1, segment(0xED, b"Photoshop 3.0\0" + irb), app2)
    if container == ".png":
        return png(
            (b"iCCP", b"p\0\0" + zlib.compress(icc)), (b"eXIf", exif), (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)
        )
    if container == ".webp":
        return webp((b"ICCP", icc), (b"EXIF", exif), (b"XMP ", xmp))
    if container == ".tif":
        return tiff_photo({700: (1, xmp), 34377: (1, irb), 34675: (7, icc)})
    image = Image.fromarray(scene())
    out = io.BytesIO()
    if container == ".avif":
        image.save(out, "AVIF", exif=exif, xmp=xmp, icc_profile=icc, quality=95)
    else:
        import pillow_heif

        pillow_heif.from_pillow(image).save(out, quality=95, exif=exif, xmp=xmp, icc_profile=icc)
    return out.getvalue()
