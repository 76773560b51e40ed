"""``mild check``: is anything of who was erased left in a file?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mild.app.cli import options, output

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def check(
    photo: Annotated[Path, typer.Argument(metavar="PHOTO", help="The file that is to be shared.")],
    original: Annotated[Path, typer.Argument(metavar="ORIGINAL", help="The photo before the edit.")],
    person_mask: Annotated[
        Path | None,
        typer.Option("--person-mask", help="White where somebody was erased. [default: where the two differ]"),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Look in PHOTO, whatever its kind, for a picture that still shows what ORIGINAL shows where somebody was erased.

    Thumbnails, previews, text in base64, hidden layers: everything that decodes to a picture is compared. The exit code
    is 1 when something was found.
    """
    import numpy as np

    from mild.errors import MildError, UsageError
    from mild.photo import Photo, read_mask
    from mild.photo.carve import remains

    before = Photo.open(original)
    if person_mask is not None:
        mask = read_mask(person_mask, before.size)
    else:
        after = _shown(photo)
        if after.shape != before.pixels.shape:
            raise UsageError(f"{photo} and {original} differ in size; say with --person-mask where somebody was.")
        mask = np.abs(after.astype(int) - before.pixels).max(2) > 24
        if not mask.any():
            raise UsageError(f"{photo} shows what {original} shows; nobody was erased, or --person-mask is needed.")
    try:
        data = photo.read_bytes()
    except FileNotFoundError:
        raise UsageError(f"There is no file {photo}.") from None
    except OSError as error:
        raise MildError(f"{photo} cannot be read: {error.strerror or error}.") from None
    found = remains(data, before.pixels, mask)
    if as_json:
        listed = [{"where": r.where, "size": list(r.size), "likeness": r.likeness} for r in found]
        output.print_json({"photo": str(photo), "remains": listed})
    else:
        for remain in found:
            typer.echo(f"{remain.where}: {remain.size[0]} x {remain.size[1]} pixels, likeness {remain.likeness:.2f}")
        typer.echo("remains were found." if found else f"no picture in {photo} shows who was erased.")
    if found:
        raise typer.Exit(1)


def _shown(path: Path) -> NDArray[np.uint8]:
    """What a photo, or a layered file of ours, shows: uint8 ``[H, W, 3]``."""
    from mild.layers.export import SUFFIXES, load_stack
    from mild.photo import Photo

    return load_stack(path).compose() if path.suffix.lower() in SUFFIXES else Photo.open(path).pixels
