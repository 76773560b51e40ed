"""Photos that other viewers open: AVIF, GIF, BMP, HEIC of 10 bits, and colours said by numbers (nclx)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from mild.errors import MildError
from mild.photo import Photo
from stacks import make_photo

PIXELS = make_photo(48, 64)


def near(one: np.ndarray, other: np.ndarray, most: float) -> bool:
    return float(np.abs(one.astype(int) - other.astype(int)).mean()) <= most


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow writes no AVIF")
def test_avif_is_read_with_its_numbered_colours(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "a.avif", quality=100, subsampling="4:4:4")
    photo = Photo.open(tmp_path / "a.avif")
    assert photo.size == (48, 64) and near(photo.pixels, PIXELS, 2)
    # Rewritten to say Display P3, as a phone would: a profile says the same in formats without such numbers.
    data = (tmp_path / "a.avif").read_bytes()
    at = data.index(b"colrnclx") + 8
    (tmp_path / "p3.avif").write_bytes(data[:at] + b"\0\x0c\0\x0d" + data[at + 4 :])
    wide = Photo.open(tmp_path / "p3.avif")
    assert wide.meta.cicp is not None and wide.meta.cicp[:2] == (12, 13)
    again = Photo.open(wide.save(tmp_path / "out.jpg"))
    assert again.meta.icc == wide.meta.icc is not None


def test_gif_and_bmp_are_read_bit_for_bit(tmp_path: Path) -> None:
    palette = Image.fromarray(PIXELS).quantize(200)
    palette.save(tmp_path / "a.gif")
    assert (Photo.open(tmp_path / "a.gif").pixels == np.asarray(palette.convert("RGB"))).all()
    Image.fromarray(PIXELS).save(tmp_path / "a.bmp")
    assert (Photo.open(tmp_path / "a.bmp").pixels == PIXELS).all()
    palette.save(tmp_path / "moving.gif", save_all=True, append_images=[palette.rotate(180)])
    with pytest.raises(MildError):
        Photo.open(tmp_path / "moving.gif")


def test_a_transparent_gif_keeps_its_transparency(tmp_path: Path) -> None:
    image = Image.new("P", (8, 8), 0)
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.paste(1, (4, 0, 8, 8))
    image.save(tmp_path / "a.gif", transparency=0)
    alpha = Photo.open(tmp_path / "a.gif").alpha
    assert alpha is not None and not alpha[:, :4].any() and (alpha[:, 4:] == 255).all()


def ten_bits(path: Path, **options: object) -> None:
    """The picture as HEIC with 10 bits per channel."""
    heif = pytest.importorskip("pillow_heif")
    wide = PIXELS.astype(np.uint16) * 257
    image = heif.from_bytes(mode="RGB;16", size=(64, 48), data=wide.tobytes())
    image.save(path, quality=100, chroma=444, **options)


def test_heic_of_ten_bits_is_brought_to_eight_and_says_so(tmp_path: Path) -> None:
    ten_bits(tmp_path / "a.heic")
    photo = Photo.open(tmp_path / "a.heic")
    assert near(photo.pixels, PIXELS, 3)
    assert any("bits per channel" in note for note in photo.meta.notes)


def test_heic_in_hdr_is_brought_to_standard_range_and_says_so(tmp_path: Path) -> None:
    ten_bits(tmp_path / "a.heic", color_primaries=9, transfer_characteristics=16, matrix_coefficients=9)
    photo = Photo.open(tmp_path / "a.heic")
    assert photo.pixels.dtype == np.uint8 and photo.pixels.std() > 1
    assert any("range" in note for note in photo.meta.notes)
    # What is written does not claim to be HDR any more.
    again = Photo.open(photo.save(tmp_path / "out.jpg"))
    assert near(again.pixels, photo.pixels, 4)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp", ".heic"])
def test_numbered_colours_of_a_heic_stay_the_same_colours(tmp_path: Path, suffix: str) -> None:
    heif = pytest.importorskip("pillow_heif")
    image = heif.from_pillow(Image.fromarray(PIXELS))
    image.save(tmp_path / "a.heic", quality=100, chroma=444, color_primaries=12, transfer_characteristics=13)
    photo = Photo.open(tmp_path / "a.heic")
    assert photo.meta.cicp is not None and photo.meta.cicp[0] == 12
    again = Photo.open(photo.save(tmp_path / f"out{suffix}"))
    # Chroma of half the resolution costs this tiny, coarse picture much in JPEG and HEIC, but shifts no colour.
    assert near(again.pixels, photo.pixels, 7)
    shift = again.pixels.astype(int).mean((0, 1)) - photo.pixels.mean((0, 1))
    assert np.abs(shift).max() < 0.5
    assert again.meta.icc == photo.meta.icc or (again.meta.cicp or (0,))[0] == 12
