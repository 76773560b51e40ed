"""``mild doctor``: what is installed here, what works, how long the default job takes, where things lie."""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mild import __version__
from mild.app.cli import options, output, progress
from mild.errors import MildError
from mild.extras import DISTRIBUTION, EXTRAS

if TYPE_CHECKING:
    from mild.photo import Photo

#: Of the picture that the default job is tried on: a photo of two megapixels.
SIZE = (1224, 1632)
#: Packages whose versions decide what comes out.
TOLD = ("numpy", "onnxruntime", "opencv-python-headless", "pillow", "torch", "diffusers", "transformers")


def doctor(
    quick: Annotated[bool, typer.Option("--quick", help="Do not try the default job.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Say what works on this machine: packages, models, processor, and how long the default job takes.

    The default job is really done, on a made-up picture of two megapixels with a person-sized hole.
    """
    found: dict[str, Any] = {"mild": __version__, "python": platform.python_version(), "system": platform.platform()}
    found["cores"] = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found["packages"] = {name: known for name in TOLD if (known := _version(name)) is not None}
    found["extras"] = {extra: [m for m in modules if find_spec(m) is None] for extra, modules in EXTRAS.items()}
    found["models"] = _models()
    found["device"] = _device()
    from mild.app.cli.cache import places

    found["folders"] = {place.name: str(place.folder) for place in places()}
    if not quick:
        with progress.bar(quiet=as_json) as report:
            if report:
                report("trying the default job", 0.0)
            found["job"] = _tried()
    if as_json:
        output.print_json(found)
    else:
        _show(found)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _models() -> list[dict[str, Any]]:
    from mild.models import assets

    # Of the many that there are to choose from, those that were chosen, and those that are recommended.
    return [
        {"name": s.name, "for": s.spec.purpose, "installed": s.installed, "licence": s.spec.licence}
        for s in assets.status()
        if s.installed or s.spec.good
    ]


def _device() -> str:
    """What the default job runs on, and what torch could use."""
    said = "onnxruntime on the processor"
    if find_spec("torch") is None:
        return said
    import torch

    if torch.cuda.is_available():
        return f"{said}; torch sees {torch.cuda.get_device_name(0)}, which larger models can use"
    return f"{said}; torch sees no GPU"


def _tried() -> dict[str, Any]:
    """Seconds of the default job (and of a search, where it can be made), or why it failed."""
    from mild.people.find import find_people, missing
    from mild.request import EraseRequest, Finder

    photo = _picture()
    try:
        from mild.people.finders.coco import encode_rle
        from mild.road import run

        begun = time.perf_counter()
        run(
            EraseRequest.build(finder={"backend": "none"}, selection={"mask_rle": encode_rle(_hole())}),
            photo,
        )
        took: dict[str, Any] = {"erase": round(time.perf_counter() - begun, 1)}
        finder = Finder.model_validate({})
        if missing(finder) is None:
            begun = time.perf_counter()
            find_people(photo, finder)
            took["find"] = round(time.perf_counter() - begun, 1)
    except MildError as error:
        return {"error": str(error)}
    return took


def _picture() -> Photo:
    """A textured picture of :data:`SIZE`, another one every time, so that nothing of it is remembered."""
    import numpy as np

    from mild.photo import Photo

    rng = np.random.default_rng(time.time_ns())
    ramp = np.linspace(60, 190, SIZE[0])[:, None, None]
    return Photo.from_array(np.clip(ramp + rng.normal(0, 12, (*SIZE, 3)), 0, 255).astype(np.uint8))


def _hole() -> Any:
    """A hole as a standing person makes one, bool of :data:`SIZE`."""
    import numpy as np

    ys, xs = np.indices(SIZE)
    hole = ((ys - 700) / 330.0) ** 2 + ((xs - 800) / 95.0) ** 2 < 1
    return hole


def _show(found: dict[str, Any]) -> None:
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True, markup=False)
    say = console.print
    say(f"MILD {found['mild']}, Python {found['python']}, {found['system']}, {found['cores']} cores")
    say(", ".join(f"{name} {number}" for name, number in found["packages"].items()))
    for extra, missing in found["extras"].items():
        if missing:
            say(f"extra {extra}: not installed ({', '.join(missing)}): pip install '{DISTRIBUTION}[{extra}]'")
        else:
            say(f"extra {extra}: installed")
    for model in found["models"]:
        state = "here" if model["installed"] else f"not here: mild models --fetch {model['name']}"
        say(f"model {model['name']} ({model['for']}; {model['licence']}): {state}")
    say(f"runs on: {found['device']}")
    job = found.get("job")
    if job is not None and "error" in job:
        say(f"the default job fails here: {job['error']}")
    elif job is not None:
        search = f", finding people {job['find']} s" if "find" in job else ", people cannot be searched for yet"
        say(f"the default job, 2 megapixels, the first of a session: erasing {job['erase']} s{search}")
    for name, folder in found["folders"].items():
        say(f"{name}: {folder}")
    say("`mild cache` says what lies in these folders, and clears them.")
    if job is not None and "error" in job:
        raise typer.Exit(1)
