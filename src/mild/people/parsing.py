"""Body regions from a human-parsing network of transformers (SegFormer, arXiv:2105.15203, and its kin).

Any model that transformers loads as semantic segmentation will do, if its label names speak of clothes or body parts
(ATR, LIP, CIHP, Pascal-Person-Part); they are mapped to :data:`mild.people.body.PART_NAMES`. Only weights on this
machine are used; nothing is ever downloaded here.

This code was exercised on tiny models with random weights only: it was not run on real weights.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mild.errors import MildError, UsageError
from mild.extras import needs
from mild.models import assets
from mild.people.body import PARTS
from mild.people.scene import Person, Scene

#: Words of label names, in this order: the first that fits decides ("left-shoe" before "left-leg", "hand bag" before
#: "hand").
_WORDS: tuple[tuple[str, str], ...] = (
    (r"bag|purse|backpack|scarf|umbrella|luggage|accessor(y|ies)|jewell?e?ry|watch|tie", "belongings"),
    (r"hair|face|head|hat|cap|glasses|sunglasses|neck|ear|eye|nose|mouth|lip|tongue|teeth|beard", "head"),
    (r"shoes?|foot|feet|socks?|boots?|sandals?", "feet"),
    (r"hands?|gloves?", "hands"),
    (r"arms?|elbow|sleeve", "arms"),
    (r"legs?|pants|trousers?|jeans|skirts?|shorts|stockings?|tights|lower", "legs"),
    (r"torso|upper|clothes|clothing|coat|dress|jumpsuits?|shirt|top|jacket|belt|skin|apparel|body", "torso"),
)


def with_parts(scene: Scene, people: Collection[int] | None = None, model: str | None = None) -> Scene:
    """The scene with ``parts`` for those who have none, by a parser on this machine; without one, as it came.

    Args:
        people: ids of those who are to be parsed; None: everybody.
        model: name of the registry, hub id (cached) or folder. Naming one that is not here is an error; not naming
            one is none.

    Raises:
        MildError: the named model is not on this machine or cannot be used.
        UsageError: its labels speak of no body regions.
    """
    # Unasked only what its licence allows everybody (``mild models`` says which).
    model_or_default = model or next(iter(assets.installed("parsing", default=True)), None)
    if model_or_default is None:
        return scene
    folder = assets.locate_model(model_or_default)
    if folder is None:
        raise MildError(f"The parsing model '{model}' is not on this machine; name a folder or a cached hub model.")
    wanted = [p.id for p in scene.people if p.parts is None and (people is None or p.id in people)]
    if not wanted:
        return scene
    parsed = tuple(_parsed(scene, p, str(folder)) if p.id in wanted else p for p in scene.people)
    return replace(scene, people=parsed)


def _parsed(scene: Scene, person: Person, folder: str) -> Person:
    # One crop per person, with a margin, as such networks were trained.
    margin = max(4, round(0.1 * max(person.box.width, person.box.height)))
    window = person.box.grow(margin, scene.size)
    labels = part_labels(scene.photo.pixels[window.slices], folder)
    y, x = person.box.y0 - window.y0, person.box.x0 - window.x0
    inner = labels[y : y + person.box.height, x : x + person.box.width]
    return replace(person, parts=np.where(person.mask, inner, 0).astype(np.uint8))


def part_labels(pixels: NDArray[np.uint8], folder: str) -> NDArray[np.uint8]:
    """Body regions ``[H, W]`` (labels of :data:`mild.people.body.PART_NAMES`) of ``pixels [H, W, 3]``."""
    import torch

    processor, model = _loaded(folder)
    table = label_table(model.config.id2label)
    if not table.any():
        raise UsageError(
            f"The labels of the model '{Path(folder).name}' name no body regions, so it cannot parse people."
        )
    with torch.inference_mode():
        inputs = processor(images=pixels, return_tensors="pt", input_data_format="channels_last")
        result = processor.post_process_semantic_segmentation(model(**inputs), target_sizes=[pixels.shape[:2]])[0]
    return np.asarray(table[result.cpu().numpy()])


def label_table(names: Mapping[Any, str]) -> NDArray[np.uint8]:
    """Lookup table ``[labels]`` from a model's ``id2label`` to our labels; what fits none is 0 (nothing)."""
    table = np.zeros(max(int(i) for i in names) + 1, np.uint8)
    for number, name in names.items():
        table[int(number)] = PARTS[part_of(str(name))]
    return table


def part_of(name: str) -> str:
    """Our name for a parser's label, by the words in it: ``Left-shoe`` -> ``feet``."""
    words = re.split(r"[^a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower())
    for pattern, part in _WORDS:
        if any(re.fullmatch(pattern, word) for word in words) or (
            part == "belongings" and any(word.endswith("bag") for word in words)
        ):
            return part
    return "nothing"


@lru_cache(maxsize=1)
def _loaded(folder: str) -> tuple[Any, Any]:
    with needs("A parser of people", "torch"):
        transformers = import_module("transformers")
    try:
        processor = transformers.AutoImageProcessor.from_pretrained(folder, local_files_only=True)
        model = transformers.AutoModelForSemanticSegmentation.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError, ImportError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise MildError(f"The model '{Path(folder).name}' cannot be used to parse people ({reason}).") from error
    return processor, model.eval()
