"""The data card of a set (README.md as the Hugging Face Hub reads it) and its credits (CREDITS.tsv)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mild.errors import MildError
from mild.files import write_bytes
from mild.lab.data.facts import Facts
from mild.lab.data.sample import FORMAT
from mild.lab.data.stats import summary

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def write_card(facts: Sequence[Facts], folder: Path, *, name: str | None = None) -> list[Path]:
    """``README.md`` and ``CREDITS.tsv`` in the set's folder.

    Raises:
        MildError: an ingredient has no licence, there are no samples, or the folder cannot be written.
    """
    for fact in facts:
        for source in fact.sources:
            if not source.licence.strip():
                raise MildError(f"{source.file} (in sample {fact.key}) has no licence: such a set cannot be handed on.")
    numbers = summary(facts)
    written = []
    for file, text in (("CREDITS.tsv", credits(facts)), ("README.md", card(numbers, name or folder.name, folder))):
        data = text.encode()
        written.append(write_bytes(folder / file, data))
    return written


def credits(facts: Sequence[Facts]) -> str:
    """One line per ingredient: what it is, its licence, whom to thank, where it came from."""
    rows = {
        (source.file, source.kind): "\t".join(
            " ".join(text.split()) for text in (source.kind, source.file, source.licence, source.credit, source.origin)
        )
        for fact in facts
        for source in fact.sources
    }
    return "\n".join(["kind\tfile\tlicence\tcredit\torigin", *(rows[key] for key in sorted(rows))]) + "\n"


def card(numbers: dict[str, Any], name: str, folder: Path) -> str:
    """The text of the card."""
    size = next((label for limit, label in _SIZES if numbers["samples"] < limit), "n>1M")
    recipe = _recipe(folder)
    shares = [row["licence"].upper() for row in numbers["licences"]]
    alike = any("BY-SA" in licence or "GPL" in licence for licence in shares)
    splits = "\n".join(f'  - split: {split}\n    path: "{split}-*.tar"' for split in numbers["splits"])
    tables = {
        "scenario": numbers["scenarios"],
        "people in a photo": numbers["people_per_sample"],
        "things held": numbers["objects"],
        "original photos": numbers["original_photos"],
    }
    marks = "\n".join(
        f"| {what} | {row['per']} | {row['count']} | "
        + " | ".join(str(row.get(mark, "")) for mark in ("5", "25", "50", "75", "95"))
        + " |"
        for what, row in numbers["distributions"].items()
    )
    licence_rows = "\n".join(f"| {r['licence']} | {r['ingredients']} | {r['samples']} |" for r in numbers["licences"])
    counts = "\n\n".join(
        f"| {what} | count |\n| --- | --- |\n" + "\n".join(f"| {key} | {value} |" for key, value in table.items())
        for what, table in tables.items()
        if table
    )
    return f"""---
license: other
license_name: mixed-see-licence-table
license_link: CREDITS.tsv
pretty_name: {name}
task_categories:
- image-to-image
- image-segmentation
tags:
- inpainting
- object-removal
- layers
- webdataset
size_categories:
- {size}
configs:
- config_name: default
  data_files:
{splits}
---

# {name}

{numbers["samples"]} photos ({", ".join(numbers["sizes"])}) with {numbers["people"]} people, some of whom are to go.
{_made(numbers["truth"], recipe)}

## What is in a sample

The format is `{FORMAT}`: photo, clean background, all layers (people, things they hold, shadows), who is visible where,
body parts, belongings, shadow map, pose, depth order, scenario, and where every ingredient came from. It is described
in `docs/data-format.md` of MILD.

```python
from datasets import load_dataset
samples = load_dataset("webdataset", data_dir="{name}")     # one column per member
from mild.lab.data.store import open_samples
sample = next(open_samples("{name}"))                        # sample.compose(), sample.erased_truth(), sample.scene()
```

## In numbers

{counts}

{numbers["cut_by_the_frame"]} people are cut off by the frame, {numbers["camouflaged"]} wear clothes recoloured towards
the background, of {numbers["pose_known"]} the pose is known.

| quantity | per | count | 5 % | 25 % | 50 % | 75 % | 95 % |
| --- | --- | --- | --- | --- | --- | --- | --- |
{marks}

## Licences

Every photo is a mixture; the set as a whole may be handed on under the terms of all of its ingredients. {_alike(alike)}
`CREDITS.tsv` names each ingredient, its licence, its author as far as it is known, and its origin; it must go with the
set.

| licence | ingredients | samples that use one |
| --- | --- | --- |
{licence_rows}

## Limits

* Identifiable people appear. Licences of photos do not clear personality rights; do not use the pictures to identify,
  advertise or portray anybody.
{_limits(numbers["truth"])}* People and scenes repeat: see the numbers of original photos above.
  Nothing here says how a model
  does elsewhere.
"""


def _made(truth: dict[str, int], recipe: dict[str, Any]) -> str:
    said = {
        "layers": "composed of cut-out people and person-free scenes; the alpha-over of their layers is the photo",
        "plate": "real photos, with a clean plate of the same place",
        "none": "real photos; what is behind their people is not known",
    }
    parts = "; ".join(f"{count} {said.get(kind, kind)}" for kind, count in truth.items())
    seed = f" Made by `mild data synth`, seed {recipe['seed']}." if "seed" in recipe else ""
    return parts[0].upper() + parts[1:] + "." + seed


def _limits(truth: dict[str, int]) -> str:
    if not truth.get("layers"):
        return ""
    return (
        "* The compositions are not photos. Shadows are drawn, light is matched by statistics, held things are\n"
        "  drawn and textured; a model may learn to see the seams.\n"
    )


def _alike(alike: bool) -> str:
    if not alike:
        return ""
    return "Some ingredients are share-alike: what is made of them must be shared under the same licence."


def _recipe(folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / "set.json").read_text("utf-8")).get("recipe", {}))
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
