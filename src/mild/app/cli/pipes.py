"""``-`` as the photo or the output: standard input, standard output."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mild.errors import MildError, UsageError

if TYPE_CHECKING:
    from mild.photo import Photo

#: The name that means a stream; a file of that name is said as ``./-``.
STREAM = Path("-")
#: Format of a photo that is written to standard output.
SUFFIX = ".png"
#: The most bytes that are read.
LARGEST = 2**30


def is_stream(path: Path | str | None) -> bool:
    return path is not None and str(path) == "-"


def read_photo() -> Photo:
    """The photo on standard input.

    Raises:
        UsageError: it is a terminal, or there is nothing.
        MildError: it is no photo, or cannot be read.
    """
    from mild.photo import Photo

    if os.isatty(0):
        raise UsageError("The photo - is standard input, which is a terminal; name a file, or pipe one in.")
    try:
        with open(0, "rb", closefd=False) as stream:
            data = stream.read(LARGEST + 1)
    except OSError as error:
        raise MildError(f"Standard input cannot be read: {error.strerror or error}.") from None
    if not data:
        raise UsageError("There is nothing on standard input; name a file, or pipe one in.")
    if len(data) > LARGEST:
        raise MildError("What comes on standard input is larger than 1 GiB; name a file.")
    return Photo.from_bytes(data, "The photo on standard input")


def check_output(photo: Path | None, as_json: bool, report: bool) -> None:
    """Refuse, before any work, what cannot share standard output with a photo.

    Raises:
        UsageError: it is a terminal, or JSON or a report beside it are asked for.
    """
    if as_json:
        raise UsageError("--json and the photo cannot both go to standard output; name a file with --output.")
    if report:
        raise UsageError("--report writes beside the output, which must then be a file; name one with --output.")
    if os.isatty(1):
        which = "" if photo is None else " is standard output, which"
        raise UsageError(f"The output{which} is a terminal; name a file with --output, or pipe it somewhere.")


def write_photo(photo: Photo) -> None:
    """The photo as PNG on standard output, nothing else.

    Raises:
        MildError: it cannot be written; the reader may have gone.
    """
    out = io.BytesIO()
    photo.write(out, SUFFIX)
    sys.stdout.flush()
    try:
        with open(1, "wb", closefd=False) as stream:
            stream.write(out.getbuffer())
    except OSError as error:
        raise MildError(f"The photo could not be written to standard output: {error.strerror or error}.") from None
