"""The one interface: photo, scene, erase set -> photo, and layers if the method has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mild.errors import MildError, UsageError
from mild.lab.bench.items import Trial
from mild.layers import LayerStack


@dataclass(frozen=True)
class Answer:
    """What a method gave.

    Attributes:
        pixels: ``[H, W, 3]``, uint8, or float in 0..1; checked by :func:`checked`, not here.
        stack: the layers, of a method that has them.
        extra: JSON-able numbers of the method's own (seconds per stage, steps, CAG).
    """

    pixels: NDArray[Any]
    stack: LayerStack | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


class Eraser(Protocol):
    """Any way to erase people. An instance lives in one worker process and is asked many times.

    Attributes:
        seeded: does the answer depend on the trial's seed? If not, it is asked for one seed only.
    """

    seeded: bool

    def __call__(self, trial: Trial) -> Answer:
        """Do the trial; may raise anything: what goes wrong is recorded, and the run goes on."""
        ...

    def measure(self, trial: Trial) -> Mapping[str, Any]:
        """Figures that cost time and belong to no timing, such as CAG; ``{}`` where there are none."""
        ...

    def about(self) -> Mapping[str, Any]:
        """Versions, settings and checksums of weights: what somebody needs to run the same method."""
        ...


class Plain:
    """A method from a function of pixels and mask."""

    def __init__(
        self, run: Callable[[NDArray[np.uint8], NDArray[np.bool_], int], NDArray[Any]], *, seeded: bool = False,
        about: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        self._run, self.seeded, self._about = run, seeded, dict(about or {})

    def __call__(self, trial: Trial) -> Answer:
        return Answer(self._run(trial.item.photo, trial.mask, trial.seed))

    def measure(self, trial: Trial) -> Mapping[str, Any]:
        return {}

    def about(self) -> Mapping[str, Any]:
        return self._about


class Rejected(MildError):
    """An answer that is no picture of this photo; ``kind`` is what the table counts it under."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def checked(answer: Answer, trial: Trial) -> NDArray[np.uint8]:
    """The answer's pixels as uint8 ``[H, W, 3]``.

    Raises:
        Rejected: another size (``size``), numbers that are none (``nan``), or no picture at all (``type``).
    """
    pixels = np.asarray(answer.pixels)
    if pixels.ndim != 3 or pixels.shape[2] != 3:
        raise Rejected("type", f"An array of shape {list(pixels.shape)} came back instead of [H, W, 3].")
    if pixels.shape[:2] != trial.item.scene.size:
        h, w = trial.item.scene.size
        raise Rejected("size", f"The answer is {pixels.shape[1]} x {pixels.shape[0]}, the photo {w} x {h}.")
    if pixels.dtype == np.uint8:
        return np.ascontiguousarray(pixels)
    if not np.issubdtype(pixels.dtype, np.floating):
        raise Rejected("type", f"Pixels of type {pixels.dtype} came back instead of uint8, or floats in 0..1.")
    if not np.isfinite(pixels).all():
        bad = int((~np.isfinite(pixels)).sum())
        raise Rejected("nan", f"{bad} of the answer's numbers are not finite.")
    return np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)


def options_of(text: str, known: Mapping[str, type], method: str) -> dict[str, Any]:
    """``a=1,b=x`` as typed keyword arguments.

    Raises:
        UsageError: a name that the method does not take, or a value of another type.
    """
    found: dict[str, Any] = {}
    for part in filter(None, text.split(",")):
        name, sign, value = part.partition("=")
        if not sign or name not in known:
            takes = ", ".join(known) or "no options"
            raise UsageError(f"The method {method} does not know {part!r}; it takes {takes}.")
        try:
            found[name] = known[name](value)
        except ValueError:
            raise UsageError(f"The method {method}: {name} cannot be {value!r}.") from None
    return found
