"""Pixels, and what the file says about them. Nothing outside this room reads or writes files of images."""

from mild.photo.masks import mask_of, read_mask
from mild.photo.photo import Photo, PhotoLike, PhotoMeta, write_image

__all__ = ["Photo", "PhotoLike", "PhotoMeta", "mask_of", "read_mask", "write_image"]
