"""XMP in a file of its own beside the photo: ``photo.jpg.xmp`` (darktable, digiKam) or ``photo.xmp`` (Adobe)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mild.photo.xmp import LONGEST
from mild.reading import open_regular

#: What a sidecar's name has behind the photo's.
SUFFIX = ".xmp"


@dataclass(frozen=True)
class Sidecar:
    """A sidecar that was found, and what is to be written for it.

    Attributes:
        path: the file that was found; it is never written to.
        photo: the photo beside which it lay.
        packet: its XMP; None when there is nothing to write.
    """

    path: Path
    photo: Path
    packet: bytes | None

    @classmethod
    def beside(cls, photo: Path) -> Sidecar | None:
        """The sidecar of a photo, the one with the longer name first; None when there is none that can be read."""
        for name in (photo.name, photo.stem):
            for suffix in (SUFFIX, SUFFIX.upper()):
                try:
                    path = photo.with_name(name + suffix)  # ``.`` has no name, and is a folder anyway
                    if path.is_file():
                        with open_regular(path) as file:
                            return cls(path, photo, file.read(LONGEST + 1))
                except (OSError, ValueError):
                    continue
        return None

    def beside_output(self, output: Path) -> Path:
        """Its place beside an output, named as the found one was; never the found one's own place.

        An output that replaces the photo itself has its sidecar in the found one's place: then that place comes back,
        and nothing may be written there.
        """
        if _same(output, self.photo):
            return self.path
        whole = self.path.name.lower() == self.photo.name.lower() + SUFFIX
        names = [output.name, output.stem] if whole else [output.stem, output.name]
        places = [output.with_name(name + SUFFIX) for name in names]
        return next((place for place in places if not _same(place, self.path)), self.path)

    def written(self, output: Path) -> list[tuple[Path, bytes]]:
        """What is to be written beside an output, and where; nothing where it would be the found one's own place."""
        place = self.beside_output(output)
        return [] if self.packet is None or _same(place, self.path) else [(place, self.packet)]


def _same(one: Path, other: Path) -> bool:
    try:
        return one.resolve() == other.resolve() or (one.exists() and one.samefile(other))
    except OSError:
        return False
