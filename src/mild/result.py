"""What one job gave."""

from __future__ import annotations

from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mild.errors import UsageError
from mild.layers import LayerStack
from mild.paint.ghost import ghost
from mild.people.scene import Person, Scene
from mild.photo import Photo
from mild.photo.edit import Told
from mild.plan.planning import Plan
from mild.request import EraseRequest

if TYPE_CHECKING:
    from PIL import Image

#: Longest side, pixels, of the picture that a notebook shows.
SHOWN = 1024


@dataclass(frozen=True, repr=False)
class EraseResult:
    """What one job gave; in a notebook it shows itself.

    Attributes:
        photo: the edited photo, with the input's metadata.
        scene: who was found, and who was added by hand.
        erased: numbers of those who went; empty for a decomposition.
        stack: the layers: hide people, show them, save as PSD, OpenRaster, zip or folder.
        plan: which layers were made, from what.
        request: the complete request; running it again gives the same pixels.
        seconds: wall time per stage.
        runtime: what made the layers, and where: ``onnx cpu``, ``torch cuda``.
        seen: of the background's hole, 0..1, what other shots really saw; None without any.
        metadata: what happened to the photo's metadata.
    """

    photo: Photo
    scene: Scene
    erased: tuple[int, ...]
    stack: LayerStack
    plan: Plan
    request: EraseRequest
    seconds: dict[str, float] = field(default_factory=dict)
    runtime: str = ""
    seen: float | None = None
    metadata: Told = field(default_factory=Told)

    @property
    def image(self) -> Image.Image:
        """The edited photo as a Pillow image, RGB or RGBA."""
        return self.photo.to_pil()

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Bool ``[H, W]``: where the photo may have changed; outside, every pixel is the input's own."""
        out = np.zeros(self.scene.size, bool)
        for number in self.erased:
            box, matte = self.plan.mattes[number]
            out[box.slices] |= matte > 0
        return out

    @property
    def layers(self) -> LayerStack:
        """The layers: the background, and whoever was completed."""
        return self.stack

    @property
    def people(self) -> tuple[Person, ...]:
        """Everybody in the photo, by number, those who went included."""
        return self.scene.people

    def save(self, path: str | Path, *, overwrite: bool = True) -> Path:
        """Write the edited photo; the format is the suffix's. What lay in a sidecar lies in one beside it.

        Both are ready before the sidecar and then the photo are put in place: no new photo has an old sidecar.
        """
        path, sidecar = Path(path), self.photo.meta.sidecar
        if sidecar is not None and not overwrite and sidecar.packet is not None:
            place = sidecar.beside_output(path)
            if place != sidecar.path and place.exists():
                raise UsageError(f"{place} exists already: choose another name or allow overwriting.")
        beside = sidecar.written(path) if sidecar is not None and self.erased else []
        return self.photo.save(path, overwrite=overwrite, beside=beside)

    def report(self) -> dict[str, Any]:
        """A JSON-able account of the job."""
        changed = int((self.photo.pixels != self.stack.photo).any(2).sum())
        outline = ghost(self.photo.pixels, self.scene.mask_of(self.erased))
        height, width = self.scene.size
        return {
            "size": {"width": width, "height": height},
            "people": self.scene.summary(),
            "erased": list(self.erased),
            "completed": [layer.owner for layer in self.plan.layers if layer.domain == "person"],
            "layers": [
                {"domain": layer.domain, "owner": layer.owner, "crop": list(layer.crop), "canvas": list(layer.bucket)}
                for layer in self.plan.layers
            ],
            "changed_pixels": changed,
            **({} if self.seen is None else {"seen": round(self.seen, 4)}),
            **({} if outline is None else {"ghost": round(outline, 3)}),
            "metadata": self.metadata.report(),
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
            "runtime": self.runtime,
            "request": self.request.shown(),
        }

    def __repr__(self) -> str:
        height, width = self.scene.size
        gone = f"without {', '.join(map(str, self.erased))}" if self.erased else "taken apart"
        return f"<EraseResult {width}x{height}, {len(self.scene.people)} people, {gone}>"

    def _repr_png_(self) -> bytes:
        image = self.image
        image.thumbnail((SHOWN, SHOWN))
        out = BytesIO()
        image.save(out, "PNG")
        return out.getvalue()
