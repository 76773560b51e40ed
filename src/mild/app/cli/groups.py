"""The options that say what is to be done, in groups; each is declared once, and becomes its part of the request here.

A group is a function: its parameters are the options, and it returns the fields of an
:class:`~mild.request.EraseRequest` that were given; a command has them by :func:`mild.app.cli.taking.takes`. No
default stands here: an option that was not given is left out of the request, whose own default then holds. The help
texts name those defaults for the reader, and a test compares them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from mild.app.cli.asked import numbers
from mild.app.cli.options import FINDING, METHOD, OUTPUT, SWITCHES, WHO, AllowDownload, Finder, FinderModel, NoMark
from mild.errors import UsageError


def who(
    person: Annotated[
        list[str] | None,
        typer.Option(
            "--person",
            "-p",
            metavar="N[,N…]",
            rich_help_panel=WHO,
            help="Number of a person, as `mild people` shows it.",
        ),
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option("--keep", metavar="N[,N…]", rich_help_panel=WHO, help="Everybody surely found, except these."),
    ] = None,
    everyone: Annotated[bool, typer.Option("--all", rich_help_panel=WHO, help="Everybody surely found.")] = False,
    bystanders: Annotated[
        bool,
        typer.Option("--bystanders", rich_help_panel=WHO, help="Everybody surely found who only happens to be in it."),
    ] = False,
    keep_subjects: Annotated[
        int | None,
        typer.Option(
            "--keep-subjects", metavar="N", min=1, rich_help_panel=WHO, help="All but the N likeliest subjects."
        ),
    ] = None,
    at: Annotated[
        list[str] | None,
        typer.Option(
            "--at", metavar="X,Y", rich_help_panel=WHO, help="Who or what is at this pixel; X,Y+X,Y-X,Y: also, and not."
        ),
    ] = None,
    also_at: Annotated[
        list[str] | None,
        typer.Option(
            "--also-at",
            metavar="X,Y",
            rich_help_panel=WHO,
            help="A thing or a shadow there goes with the nearest of them.",
        ),
    ] = None,
    no_things: Annotated[
        bool,
        typer.Option(
            "--no-things",
            rich_help_panel=WHO,
            help="Leave what they hold or ride where it is; `mild layers` always does.",
        ),
    ] = False,
    box: Annotated[
        list[str] | None,
        typer.Option("--box", metavar="X0,Y0,X1,Y1", rich_help_panel=WHO, help="The person in this box, in pixels."),
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option("--mask", rich_help_panel=WHO, help="What is white in this picture, of the photo's size."),
    ] = None,
) -> dict[str, Any]:
    """The selection."""
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
    if no_things:
        given["things"] = False
    if keep:
        given["keep"] = tuple(n for found in numbers("--keep", keep) for n in found)
    return {"selection": given}


#: ``310,95+320,120-40,60``: more points of the same thing, and points that are not part of it.
_REFINED = re.compile(r"\d[+-]\d")


def _click(text: str) -> dict[str, Any]:
    parts = re.findall(r"([+-]?)(\d+),(\d+)", text)
    if "".join(f"{sign}{x},{y}" for sign, x, y in parts) != text.strip().lstrip("+") or parts[0][0] == "-":
        raise UsageError(f"--at takes x,y or x,y+x,y-x,y (of it, also of it, not of it), not {text!r}.")
    points = [(sign, (int(x), int(y))) for sign, x, y in parts]
    return {"on": [p for s, p in points if s != "-"], "off": [p for s, p in points if s == "-"]}


def finding(
    finder: Finder = None,
    coco: Annotated[
        Path | None,
        typer.Option("--coco", rich_help_panel=FINDING, help="Take the people from this COCO instances JSON."),
    ] = None,
    finder_model: FinderModel = None,
    allow_download: AllowDownload = False,
) -> dict[str, Any]:
    """The finder; ``--coco`` implies its backend."""
    fields: dict[str, Any] = {}
    if coco is not None:
        if finder not in (None, "coco"):
            raise UsageError(f"--coco and --finder {finder} contradict each other; give one of them.")
        fields |= {"backend": "coco", "annotations": str(coco)}
    elif finder is not None:
        fields["backend"] = finder
    if finder_model is not None:
        fields["model"] = finder_model
    if allow_download:
        fields["allow_download"] = True
    return {"finder": fields}


def model(
    model: Annotated[
        str | None,
        typer.Option("--model", rich_help_panel=METHOD, help="A model's name, folder or hub id. [default: mild-small]"),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", rich_help_panel=METHOD, help="Same seed, same pixels. [default: 0]")
    ] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", rich_help_panel=METHOD, help="Denoising steps. [default: 1]")
    ] = None,
    resolution: Annotated[
        int | None,
        typer.Option(
            "--resolution", rich_help_panel=METHOD, help="Long side the denoiser works at, pixels. [default: 256]"
        ),
    ] = None,
    runtime: Annotated[
        str | None,
        typer.Option(
            "--runtime", rich_help_panel=METHOD, help="What runs the model: auto, onnx or torch. [default: auto]"
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            "--device",
            rich_help_panel=METHOD,
            help="Where the model runs: auto, cpu, cuda, cuda:1, mps. [default: auto]",
        ),
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(
            "--dtype", rich_help_panel=METHOD, help="Of its weights: auto, float32, float16, bfloat16. [default: auto]"
        ),
    ] = None,
    fill: Annotated[
        str | None,
        typer.Option(
            "--fill",
            metavar="NAME|FILE",
            rich_help_panel=METHOD,
            help="What fills the background: patchmatch, an inpainter of `mild models`, a file. [default: patchmatch]",
        ),
    ] = None,
) -> dict[str, Any]:
    """What makes the pixels."""
    given = {"model": model, "steps": steps, "resolution": resolution, "runtime": runtime, "device": device}
    method = {name: value for name, value in (given | {"dtype": dtype, "fill": fill}).items() if value is not None}
    return {"method": method, "seed": seed}


def place(
    also: Annotated[
        list[Path] | None,
        typer.Option(
            "--also",
            metavar="PHOTO",
            rich_help_panel=METHOD,
            help="Another shot of the same scene, or a plate: what it saw fills the hole. Repeatable.",
        ),
    ] = None,
    dilate: Annotated[
        float | None,
        typer.Option(
            "--dilate",
            rich_help_panel=METHOD,
            help="Widen the mask by this part of the person's height. [default: as far as the outline is unsure]",
        ),
    ] = None,
    feather: Annotated[
        float | None,
        typer.Option("--feather", rich_help_panel=METHOD, help="Soft edge outside that, same unit. [default: 0.004]"),
    ] = None,
) -> dict[str, Any]:
    """What else was seen of the place, and how far around the people is changed."""
    region = {name: value for name, value in (("dilate", dilate), ("feather", feather)) if value is not None}
    return {"also": tuple(str(path) for path in also) if also else None, "region": region}


def switches(
    correct: Annotated[
        bool | None,
        typer.Option(
            "--correct/--no-correct",
            rich_help_panel=SWITCHES,
            help="The denoiser goes over the background's fill; unsaid: as the filler asks, with mild-small not.",
        ),
    ] = None,
    no_denoise: Annotated[
        bool, typer.Option("--no-denoise", rich_help_panel=SWITCHES, help="The exemplar fill alone, no diffusion.")
    ] = False,
    no_prior: Annotated[
        bool, typer.Option("--no-prior", rich_help_panel=SWITCHES, help="The denoiser alone, no exemplar fill.")
    ] = False,
    no_detail: Annotated[
        bool, typer.Option("--no-detail", rich_help_panel=SWITCHES, help="The denoiser's own pixels, enlarged.")
    ] = False,
    no_layers: Annotated[
        bool, typer.Option("--no-layers", rich_help_panel=SWITCHES, help="The background alone; people stay cut off.")
    ] = False,
    no_adapters: Annotated[
        bool,
        typer.Option("--no-adapters", rich_help_panel=SWITCHES, help="The same weights for every layer, no LoRA."),
    ] = False,
    sma: Annotated[
        str | None,
        typer.Option(
            "--sma",
            rich_help_panel=SWITCHES,
            help="Spatially-modulated attention, of models that have it (mild-small has not): on, off, beta or gamma. "
            "[default: on]",
        ),
    ] = None,
    hmg: Annotated[
        str | None,
        typer.Option(
            "--hmg",
            metavar="SOURCES",
            rich_help_panel=SWITCHES,
            help="Human morphology guidance: all, none, or some of pose,parsing,relations. [default: all]",
        ),
    ] = None,
) -> dict[str, Any]:
    """Parts of the method, off."""
    off = {"denoise": no_denoise, "prior": no_prior, "detail": no_detail, "layers": no_layers, "adapters": no_adapters}
    sources = hmg if hmg in (None, "all", "none") else tuple(hmg.split(","))
    given = {"sma": sma, "hmg": sources, "correct": correct} | {name: False for name, is_off in off.items() if is_off}
    return {"method": {name: value for name, value in given.items() if value is not None}}


def saying(
    metadata: Annotated[
        str | None,
        typer.Option(
            "--metadata",
            metavar="MODE",
            rich_help_panel=OUTPUT,
            help="What the file goes on saying: clean, keep (unknown fields, too) or none. [default: clean]",
        ),
    ] = None,
    no_mark: NoMark = False,
    sign_cert: Annotated[
        Path | None,
        typer.Option(
            "--sign-cert",
            metavar="CERT.pem",
            rich_help_panel=OUTPUT,
            help="Sign the file with content credentials (C2PA): your certificate, then those that issued it.",
        ),
    ] = None,
    private_key: Annotated[
        Path | None,
        typer.Option("--private-key", metavar="KEY.pem", rich_help_panel=OUTPUT, help="That certificate's key."),
    ] = None,
) -> dict[str, Any]:
    """What the written file says, and who signs it."""
    fields: dict[str, Any] = {} if metadata is None else {"metadata": metadata}
    fields |= {} if sign_cert is None else {"sign_cert": str(sign_cert)}
    fields |= {} if private_key is None else {"private_key": str(private_key)}
    return {"output": fields | ({"mark": False} if no_mark else {})}
