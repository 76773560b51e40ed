"""What `import mild` offers: names and signatures are promises. A change is one for users; the changelog says it."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import mild

#: Public name -> its parameters, in order; for classes those of the constructor, None where there is none to promise.
SURFACE: dict[str, str | None] = {
    "Box": "x0, y0, x1, y1",
    "Cancelled": None,
    "EraseRequest": None,
    "EraseResult": None,
    "Layer": None,
    "LayerStack": None,
    "MildError": None,
    "MildPipeline": None,
    "Models": "",
    "Person": None,
    "Photo": "pixels, alpha, meta, path",
    "Scene": "photo, people, order",
    "Session": "photo, *, models, **options",
    "UsageError": None,
    "build_request": "**options",
    "decompose": "request, photo, *, scene, progress, models, kept",
    "erase": "photo, people, *, keep, everyone, at, boxes, mask, seed, finder, model, steps, device, progress, models, "
    "**options",
    "find_people": "photo, finder",
    "run": "request, photo, *, scene, progress, probe, models, kept",
    "select": "scene, selection",
}
#: Fields of a request, which are saved in files and sent over HTTP. New ones may come; none of these may go.
FIELDS = {
    "photo", "seed", "selection.people", "selection.keep", "selection.everyone", "selection.points", "selection.boxes",
    "selection.mask", "selection.mask_rle", "selection.spare_rle", "finder.backend", "finder.annotations",
    "finder.model", "finder.allow_download", "region.dilate", "region.feather", "region.context", "method.model.name",
    "method.model.runtime", "method.model.device", "method.model.dtype", "method.sampling.steps",
    "method.sampling.resolution", "method.sampling.strength", "method.text.prompt", "method.text.negative_prompt",
    "method.text.guidance", "method.parts.layers", "method.parts.denoise", "method.parts.prior", "method.parts.detail",
    "method.parts.adapters", "method.parts.sma", "method.parts.hmg",
}  # fmt: skip


def told(function: object) -> str:
    """A signature's names: positional ones, ``*``, the others, and what is open at the end."""
    parts, starred = [], False
    for name, parameter in inspect.signature(function).parameters.items():  # type: ignore[arg-type]
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            parts.append("*")
            starred = True
        parts.append(f"**{name}" if parameter.kind is parameter.VAR_KEYWORD else name)
    return ", ".join(parts)


def test_the_names_are_these() -> None:
    assert {name for name in mild.__all__ if name != "__version__"} == set(SURFACE)


@pytest.mark.parametrize("name", [name for name, names in SURFACE.items() if names is not None])
def test_the_signature_is_this(name: str) -> None:
    assert told(getattr(mild, name)) == SURFACE[name]


@pytest.mark.parametrize("name", SURFACE)
def test_every_name_says_what_it_is(name: str) -> None:
    assert len(inspect.getdoc(getattr(mild, name)) or "") > 20


def test_no_field_of_a_request_is_lost() -> None:
    def flat(value: object, before: str = "") -> set[str]:
        if not isinstance(value, dict):
            return {before[:-1]}
        return set().union(*(flat(part, f"{before}{name}.") for name, part in value.items()))

    assert flat(mild.EraseRequest().model_dump()) >= FIELDS


def test_paths_of_version_0_1_go_on_working_and_warn() -> None:
    program = (
        "import warnings\nwith warnings.catch_warnings(record=True) as told:\n"
        "    warnings.simplefilter('always')\n    from mild.perception.coco import encode_rle\n"
        "import mild.people.finders.coco as now\n"
        "print(encode_rle is now.encode_rle, *{w.category.__name__ for w in told}, *(str(w.message) for w in told))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("True DeprecationWarning mild.perception is mild.people.find since 0.2")
