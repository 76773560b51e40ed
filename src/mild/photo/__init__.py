"""Pixels, and what the file says about them. Nothing outside this room reads or writes files of images."""

from mild.photo.photo import Photo, PhotoMeta, read_mask, write_image

__all__ = ["Photo", "PhotoMeta", "read_mask", "write_image"]
