"""How a net is called: shapes, types, colours, ranges, polarity. Contracts, not guesses.

A registered model has its contract in the registry; for any other file ``probe.py`` finds what a test card can tell.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from mild.errors import UsageError

Range = tuple[float, float]
Layout = Literal["image+mask", "image,mask", "mask,image"]


@dataclass(frozen=True)
class FillContract:
    """Of an inpainter of one pass, ``[1, C, h, w]`` in and ``[1, 3, h, w]`` out (types and fixed sizes are the file's).

    Attributes:
        layout: ``image+mask``: two inputs; ``image,mask`` or ``mask,image``: one input of four channels, in that order.
        image_range: what black and white are in the input.
        mask_range: what a known pixel and a pixel to fill are in the mask.
        output_range: what black and white are in the answer.
        colours: order of the colours, in and out.
        multiple: sides must be multiples of this, where the file does not fix them.
        least: least side, pixels.
        grow: pixels by which the hole is widened before the net sees it, for nets whose own edge keeps some of the
            former pixels.
        blanks: the net itself blanks the hole (it is blanked before, whatever this says).
        composites: the net puts the known pixels back itself (they are put back after, whatever this says).
        correct: does MILD's denoiser go over the answer, when the job does not say?
    """

    layout: Layout = "image+mask"
    image_range: Range = (0.0, 1.0)
    mask_range: Range = (0.0, 1.0)
    output_range: Range = (0.0, 1.0)
    colours: Literal["RGB", "BGR"] = "RGB"
    multiple: int = 8
    least: int = 64
    grow: int = 0
    blanks: bool = False
    composites: bool = False
    correct: bool = False

    @classmethod
    def from_json(cls, fields: Any) -> FillContract:
        """From what :meth:`to_json` gave; :class:`UsageError` names the first wrong field."""
        if not isinstance(fields, dict):
            raise UsageError("A contract is a JSON object, as `mild models --probe FILE` prints it.")
        kinds = get_type_hints(cls)
        values: dict[str, Any] = {}
        for name, value in fields.items():
            if name not in kinds:
                raise UsageError(f"A contract has no field {name!r} (it has {', '.join(kinds)}).")
            values[name] = _field(name, kinds[name], value)
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}


@dataclass(frozen=True)
class FinderContract:
    """Of an instance segmenter as ONNX: boxes, class logits and mask logits of queries (RF-DETR-seg's layout).

    Attributes:
        person: index of people among the classes.
        mean, std: of the input's colours, in 0..1, RGB.
        masks: ``logits``, or ``probabilities`` for exports that have the sigmoid inside.
    """

    person: int = 1
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    masks: Literal["logits", "probabilities"] = "logits"


@dataclass(frozen=True)
class ClickContract:
    """Of a click segmenter; ``layout`` names the signature (see ``people/clicks/``)."""

    layout: Literal["transformers.js", "samexporter", "efficientsam"]


@dataclass(frozen=True)
class PoseContract:
    """Of a top-down pose net as ONNX, 17 COCO points of a crop 256 high and 192 wide.

    Attributes:
        answer: ``heatmaps`` ``[n, 17, 64, 48]``, or ``simcc``: two arrays of bins, ``split`` a pixel.
        mean, std: of the input's colours, in 0..1, RGB.
        padding: the box is widened to this times its size.
    """

    answer: Literal["heatmaps", "simcc"]
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    padding: float = 1.25
    split: float = 2.0


Contract = FillContract | FinderContract | ClickContract | PoseContract


def _field(name: str, kind: Any, value: Any) -> Any:
    if kind is Range or get_origin(kind) is tuple:
        pair = tuple(value) if isinstance(value, list | tuple) else ()
        if len(pair) != 2 or not all(isinstance(v, int | float) and not isinstance(v, bool) for v in pair):
            raise UsageError(f"The contract's {name} is two numbers, such as [0, 1], not {value!r}.")
        if pair[0] == pair[1]:
            raise UsageError(f"The contract's {name} has the same number twice.")
        return float(pair[0]), float(pair[1])
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise UsageError(f"The contract's {name} is one of {', '.join(get_args(kind))}, not {value!r}.")
        return value
    if kind is bool:
        if not isinstance(value, bool):
            raise UsageError(f"The contract's {name} is true or false, not {value!r}.")
        return value
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 4096:
        raise UsageError(f"The contract's {name} is a whole number from 0 to 4096, not {value!r}.")
    return value
