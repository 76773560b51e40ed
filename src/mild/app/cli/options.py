"""The options that several commands share, and how they become an :class:`~mild.request.EraseRequest`.

No default stands here: an option that was not given is left out of the request, whose own default then holds. The help
texts name those defaults for the reader, and a test compares them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mild.errors import MildError, UsageError
from mild.files import flat
from mild.reading import parse_json, read_bytes

if TYPE_CHECKING:
    from mild.request import EraseRequest

WHO, FINDING, METHOD, SWITCHES, OUTPUT = "Whom", "Finding people", "How", "Switches (for comparisons)", "Output"

PhotoArgument = Annotated[Path | None, typer.Argument(metavar="PHOTO", help="The photo.", show_default=False)]

Person = Annotated[
    list[str] | None,
    typer.Option(
        "--person", "-p", metavar="N[,N…]", rich_help_panel=WHO, help="Number of a person, as `mild people` shows it."
    ),
]
Keep = Annotated[
    list[str] | None,
    typer.Option("--keep", metavar="N[,N…]", rich_help_panel=WHO, help="Everybody surely found, except these."),
]
Everyone = Annotated[bool, typer.Option("--all", rich_help_panel=WHO, help="Everybody surely found.")]
Bystanders = Annotated[
    bool,
    typer.Option("--bystanders", rich_help_panel=WHO, help="Everybody surely found who only happens to be in it."),
]
KeepSubjects = Annotated[
    int | None,
    typer.Option("--keep-subjects", metavar="N", min=1, rich_help_panel=WHO, help="All but the N likeliest subjects."),
]
At = Annotated[
    list[str] | None,
    typer.Option(
        "--at",
        metavar="X,Y",
        rich_help_panel=WHO,
        help="Who or what is at this pixel; X,Y+X,Y-X,Y: also, and not.",
    ),
]
AlsoAt = Annotated[
    list[str] | None,
    typer.Option(
        "--also-at", metavar="X,Y", rich_help_panel=WHO, help="A thing or a shadow there goes with the nearest of them."
    ),
]
Boxes = Annotated[
    list[str] | None,
    typer.Option("--box", metavar="X0,Y0,X1,Y1", rich_help_panel=WHO, help="The person in this box, in pixels."),
]
Mask = Annotated[
    Path | None,
    typer.Option("--mask", rich_help_panel=WHO, help="What is white in this picture, of the photo's size."),
]
Finder = Annotated[
    str | None,
    typer.Option(
        "--finder", rich_help_panel=FINDING, help="auto, nanodet, ssd, blazepose, hub, none, coco. [default: auto]"
    ),
]
Coco = Annotated[
    Path | None,
    typer.Option("--coco", rich_help_panel=FINDING, help="Take the people from this COCO instances JSON."),
]
FinderModel = Annotated[
    str | None,
    typer.Option("--finder-model", rich_help_panel=FINDING, help="Hub id or folder of the model of finder `hub`."),
]
AllowDownload = Annotated[
    bool, typer.Option("--allow-download", rich_help_panel=FINDING, help="Finder `hub` may fetch its weights.")
]
Metadata = Annotated[
    str | None,
    typer.Option(
        "--metadata",
        metavar="MODE",
        rich_help_panel=OUTPUT,
        help="What the file goes on saying: clean, keep (unknown fields, too) or none. [default: clean]",
    ),
]
NoMark = Annotated[
    bool, typer.Option("--no-mark", rich_help_panel=OUTPUT, help="Do not say in the file that it was edited.")
]
AsJson = Annotated[bool, typer.Option("--json", rich_help_panel=OUTPUT, help="Print JSON, and nothing else.")]
Force = Annotated[bool, typer.Option("--force", "-f", rich_help_panel=OUTPUT, help="Replace an existing output.")]

# What only the commands that run the method take.
Model = Annotated[
    str | None,
    typer.Option("--model", rich_help_panel=METHOD, help="A model's name, folder or hub id. [default: mild-small]"),
]
Seed = Annotated[
    int | None, typer.Option("--seed", rich_help_panel=METHOD, help="Same seed, same pixels. [default: 0]")
]
Steps = Annotated[int | None, typer.Option("--steps", rich_help_panel=METHOD, help="Denoising steps. [default: 1]")]
Runtime = Annotated[
    str | None,
    typer.Option("--runtime", rich_help_panel=METHOD, help="What runs the model: auto, onnx or torch. [default: auto]"),
]
Device = Annotated[
    str | None,
    typer.Option(
        "--device", rich_help_panel=METHOD, help="Where the model runs: auto, cpu, cuda, cuda:1, mps. [default: auto]"
    ),
]
Dtype = Annotated[
    str | None,
    typer.Option(
        "--dtype", rich_help_panel=METHOD, help="Of its weights: auto, float32, float16, bfloat16. [default: auto]"
    ),
]
Resolution = Annotated[
    int | None,
    typer.Option(
        "--resolution", rich_help_panel=METHOD, help="Long side the denoiser works at, pixels. [default: 256]"
    ),
]
Also = Annotated[
    list[Path] | None,
    typer.Option(
        "--also",
        metavar="PHOTO",
        rich_help_panel=METHOD,
        help="Another shot of the same scene, or a plate: what it saw fills the hole. Repeatable.",
    ),
]
Dilate = Annotated[
    float | None,
    typer.Option(
        "--dilate",
        rich_help_panel=METHOD,
        help="Widen the mask by this part of the person's height. [default: as far as the outline is unsure]",
    ),
]
Feather = Annotated[
    float | None,
    typer.Option("--feather", rich_help_panel=METHOD, help="Soft edge outside that, same unit. [default: 0.004]"),
]
Fill = Annotated[
    str | None,
    typer.Option(
        "--fill",
        metavar="NAME|FILE",
        rich_help_panel=METHOD,
        help="What fills the background: patchmatch, an inpainter of `mild models`, or a file. [default: patchmatch]",
    ),
]
Correct = Annotated[
    bool | None,
    typer.Option(
        "--correct/--no-correct",
        rich_help_panel=SWITCHES,
        help="The denoiser goes over the background's fill; unsaid: as the filler asks, with mild-small not.",
    ),
]
NoDenoise = Annotated[
    bool, typer.Option("--no-denoise", rich_help_panel=SWITCHES, help="The exemplar fill alone, no diffusion.")
]
NoPrior = Annotated[
    bool, typer.Option("--no-prior", rich_help_panel=SWITCHES, help="The denoiser alone, no exemplar fill.")
]
NoDetail = Annotated[
    bool,
    typer.Option("--no-detail", rich_help_panel=SWITCHES, help="The denoiser's own pixels, enlarged."),
]
NoLayers = Annotated[
    bool,
    typer.Option("--no-layers", rich_help_panel=SWITCHES, help="The background alone; people stay cut off."),
]
NoAdapters = Annotated[
    bool, typer.Option("--no-adapters", rich_help_panel=SWITCHES, help="The same weights for every layer, no LoRA.")
]
Sma = Annotated[
    str | None,
    typer.Option(
        "--sma", rich_help_panel=SWITCHES, help="Spatially-modulated attention: on, off, beta or gamma. [default: on]"
    ),
]
Hmg = Annotated[
    str | None,
    typer.Option(
        "--hmg",
        metavar="SOURCES",
        rich_help_panel=SWITCHES,
        help="Human morphology guidance: all, none, or some of pose,parsing,relations. [default: all]",
    ),
]


def numbers(option: str, values: Sequence[str], length: int | None = None) -> list[tuple[int, ...]]:
    """Whole numbers of a repeatable option, one tuple for each time it was given.

    Args:
        option: the option's name, for the message.
        values: what the user typed, each ``"2"`` or ``"1,3"``.
        length: how many numbers each must hold; None for any.
    """
    out = []
    for value in values:
        try:
            found = tuple(int(part) for part in value.split(","))
        except ValueError:
            found = ()
        if not found or (length is not None and len(found) != length):
            wanted = {None: "whole numbers like 1,3", 2: "two whole numbers x,y", 4: "four whole numbers x0,y0,x1,y1"}
            raise UsageError(f"{option} takes {wanted[length]}, not {value!r}.")
        out.append(found)
    return out


#: ``310,95+320,120-40,60``: more points of the same thing, and points that are not part of it.
_REFINED = re.compile(r"\d[+-]\d")


def _click(text: str) -> dict[str, Any]:
    parts = re.findall(r"([+-]?)(\d+),(\d+)", text)
    if "".join(f"{sign}{x},{y}" for sign, x, y in parts) != text.strip().lstrip("+") or parts[0][0] == "-":
        raise UsageError(f"--at takes x,y or x,y+x,y-x,y (of it, also of it, not of it), not {text!r}.")
    points = [(sign, (int(x), int(y))) for sign, x, y in parts]
    return {"on": [p for s, p in points if s != "-"], "off": [p for s, p in points if s == "-"]}


def selection(
    person: Sequence[str] | None,
    keep: Sequence[str] | None,
    everyone: bool,
    at: Sequence[str] | None,
    box: Sequence[str] | None,
    mask: Path | None,
    bystanders: bool = False,
    keep_subjects: int | None = None,
    also_at: Sequence[str] | None = None,
) -> dict[str, Any]:
    """The fields of :class:`~mild.request.Selection` that were given."""
    fields: dict[str, Any] = {
        "people": tuple(dict.fromkeys(n for found in numbers("--person", person or ()) for n in found)),
        "everyone": everyone,
        "points": tuple(numbers("--at", [one for one in at or () if not _REFINED.search(one)], 2)),
        "clicks": tuple(_click(one) for one in at or () if _REFINED.search(one)),
        "boxes": tuple(numbers("--box", box or (), 4)),
        "also": tuple(numbers("--also-at", also_at or (), 2)),
        "mask": None if mask is None else str(mask),
        "bystanders": bystanders,
        "keep_subjects": keep_subjects,
    }
    given = {name: value for name, value in fields.items() if value}
    if keep:
        given["keep"] = tuple(n for found in numbers("--keep", keep) for n in found)
    return given


def finder(backend: str | None, coco: Path | None, model: str | None, allow_download: bool) -> dict[str, Any]:
    """The fields of :class:`~mild.request.Finder` that were given; ``--coco`` implies its backend."""
    fields: dict[str, Any] = {}
    if coco is not None:
        if backend not in (None, "coco"):
            raise UsageError(f"--coco and --finder {backend} contradict each other; give one of them.")
        fields |= {"backend": "coco", "annotations": str(coco)}
    elif backend is not None:
        fields["backend"] = backend
    if model is not None:
        fields["model"] = model
    if allow_download:
        fields["allow_download"] = True
    return fields


def method(
    model: str | None,
    steps: int | None,
    resolution: int | None,
    sma: str | None,
    off: Mapping[str, bool],
    hmg: str | None = None,
    runtime: str | None = None,
    device: str | None = None,
    dtype: str | None = None,
    fill: str | None = None,
    correct: bool | None = None,
) -> dict[str, Any]:
    """The fields of :class:`~mild.request.Method` that were given.

    Args:
        off: switch name -> was it switched off?
        hmg: ``all``, ``none``, or sources with commas between.
    """
    sources = hmg if hmg in (None, "all", "none") else tuple(hmg.split(","))
    given = {"model": model, "steps": steps, "resolution": resolution, "sma": sma, "hmg": sources, "runtime": runtime}
    given |= {"device": device, "dtype": dtype, "fill": fill, "correct": correct}
    fields: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    return fields | {name: False for name, is_off in off.items() if is_off}


def written(metadata: str | None, no_mark: bool) -> dict[str, Any]:
    """The fields of :class:`~mild.request.Output` that were given."""
    fields: dict[str, Any] = {} if metadata is None else {"metadata": metadata}
    return fields | ({"mark": False} if no_mark else {})


def build(base: Path | None, **parts: Any) -> EraseRequest:
    """The request of :func:`fields_of`; it must name a photo."""
    from mild.request import EraseRequest

    request = EraseRequest.build(**fields_of(base, **parts))
    if request.photo is None:
        raise UsageError("Name a photo, or a --request that names one.")
    return request


def fields_of(base: Path | None, **parts: Any) -> dict[str, Any]:
    """A request's fields: a saved one's (``base``) or none, overlaid with what was given.

    A part given as a dict is merged field by field, except the selection: naming somebody replaces the saved choice,
    since "erase 2" added to a saved "erase 1" would surprise.
    """
    fields = {} if base is None else read_request(base)
    for name, value in parts.items():
        if value is None or value == {}:
            continue
        if isinstance(value, dict) and isinstance(fields.get(name), dict) and name != "selection":
            fields[name] = fields[name] | value
        else:
            fields[name] = value
    return fields


def read_request(path: Path) -> dict[str, Any]:
    """The fields of a request saved as JSON (by ``--save-request``, or under ``request`` of a ``--json`` report)."""
    try:
        fields = parse_json(read_bytes(path))
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not text"
        raise MildError(f"The request {path} cannot be read ({why}).") from None
    except json.JSONDecodeError as error:
        raise UsageError(f"The request {path} is not JSON (line {error.lineno}).") from None
    except (ValueError, RecursionError) as error:
        why = "it is nested too deep" if isinstance(error, RecursionError) else flat(error)
        raise UsageError(f"The request {path} cannot be used: {why[:200]}.") from None
    if isinstance(fields, dict) and isinstance(fields.get("request"), dict):
        fields = fields["request"]
    if not isinstance(fields, dict):
        raise UsageError(f"The request {path} does not hold a JSON object.")
    return fields
