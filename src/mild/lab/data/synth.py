"""One synthetic sample: people on a scene, with the truth of every layer.

    scene + crop -> layout -> people rendered -> things in hands -> light and colour -> shadows -> layers -> photo

A sample is a function of the library, the settings, the seed and its number alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from mild import __version__
from mild.errors import MildError
from mild.lab.data import tone as toning
from mild.lab.data.actors import Actor, equip, rendered
from mild.lab.data.difficulty import covers
from mild.lab.data.ingredients import Split
from mild.lab.data.layout import Arrangement, arrange
from mild.lab.data.library import Ground, Library
from mild.lab.data.sample import (
    SCENARIOS,
    Sample,
    SampleLayer,
    Scenario,
    Source,
    Subject,
    Tags,
    composed,
    visible_maps,
)
from mild.lab.data.shadows import Light, shadow_of
from mild.lab.data.tone import Tone
from mild.people.body import coarse_parts
from mild.people.scene import Box

#: Tries before a number is given up; about one in three succeeds.
_TRIES = 400


@dataclass(frozen=True)
class SetRecipe:
    """What a set is made by.

    Attributes:
        size: side of the square photos, pixels.
        seed: of the whole set.
        split: which ingredients.
        grounded: share of samples whose ground is known; in the others the frame cuts everybody off.
        scenarios: taken in turn.
    """

    size: int = 256
    seed: int = 0
    split: Split = "train"
    grounded: float = 0.88
    scenarios: tuple[Scenario, ...] = SCENARIOS


def make_sample(library: Library, recipe: SetRecipe, number: int) -> Sample:
    """Sample ``number`` of the set; the same whoever makes it, in whatever order."""
    rng = np.random.default_rng([recipe.seed, number])
    scenario = recipe.scenarios[number % len(recipe.scenarios)]
    for _ in range(_TRIES):
        sample = _try(rng, library, recipe, number, scenario)
        if sample is not None:
            return sample
    raise MildError(f"Sample {number} could not be made: no layout fits ({scenario}); add people or scenes.")


def _try(rng: Generator, library: Library, recipe: SetRecipe, number: int, scenario: Scenario) -> Sample | None:
    entry, ground, crop = _scene(rng, library, recipe)
    if crop is None:
        return None
    mirrored = bool(rng.random() < 0.5)
    # The layout needs no pixels but one bit: whether the photo is black and white.
    background = _cropped(library, entry, crop, mirrored, recipe.size)
    tone = toning.measured(background)
    plan = arrange(rng, library, ground, scenario, tone.grey, recipe.size)
    if plan is None:
        return None
    found = [rendered(i, figure, recipe.size) for i, figure in enumerate(plan.figures, 1)]
    if any(actor is None for actor in found):
        return None
    cast = [actor for actor in found if actor is not None]
    _assign(rng, plan, cast, scenario)
    if scenario == "human-object" or rng.random() < 0.12:
        equip(rng, library, cast, recipe.size, scenario)
    strong = scenario == "human-background" and bool(rng.random() < 0.45) and ground.ground is not None
    light = Light.drawn(rng, tone, strong)
    _dress(rng, cast, background, tone, light, camouflage=scenario == "human-background")
    background, layers = _stack(rng, cast, background, tone, light, ground)
    return _finished(library, recipe, number, scenario, entry, background, layers, cast)


def _scene(
    rng: Generator, library: Library, recipe: SetRecipe
) -> tuple[dict[str, Any], Ground, tuple[int, int, int] | None]:
    """A scene, the square ``(x, y, side)`` taken from it, and the ground in that square."""
    known = library.grounded and (not library.backdrops or rng.random() < recipe.grounded)
    if known:
        entry = library.grounded[int(rng.choice(len(library.grounded), p=library.weights))]
    else:
        entry = library.backdrops[int(rng.integers(len(library.backdrops)))]
    width, height = entry["size"]
    note = library.ground(entry)
    # People should not be tiny: as close as the photo's pixels allow.
    closest = float(np.clip(0.75 * recipe.size / min(width, height), 0.48, 0.68))
    side = round(min(width, height) * float(rng.uniform(closest, 0.4 + 0.6 * closest)))
    x = int(rng.integers(0, width - side + 1))
    if note.ground is None:
        y = int(rng.integers(0, height - side + 1))
        horizon = (note.horizon * height - y) / side
        return entry, Ground(float(np.clip(horizon, 0.3, 0.55)), None), (x, y, side)
    # Most of the ground is wanted: the square's lower border is near the photo's.
    y = height - side - int(rng.integers(0, round(0.12 * (height - side)) + 1))
    horizon, floor = (note.horizon * height - y) / side, (note.ground * height - y) / side
    if not -0.35 < horizon < 0.82 or floor > 0.95:
        return entry, note, None
    return entry, Ground(horizon, max(floor, 0.0)), (x, y, side)


def _cropped(
    library: Library, entry: dict[str, Any], crop: tuple[int, int, int], mirrored: bool, size: int
) -> NDArray[np.uint8]:
    x, y, side = crop
    window = library.background(entry)[y : y + side, x : x + side]
    method = cv2.INTER_AREA if side > size else cv2.INTER_CUBIC
    out = cv2.resize(window, (size, size), interpolation=method)
    return np.ascontiguousarray(out[:, ::-1] if mirrored else out)


def _assign(rng: Generator, plan: Arrangement, cast: list[Actor], scenario: Scenario) -> None:
    """Who goes and who stays."""
    for actor in cast:
        actor.erase = bool(rng.random() < 0.4)
    if scenario == "human-human":
        back, front = np.unravel_index(int(np.argmax(plan.hidden)), plan.hidden.shape)
        gone = front if rng.random() < 0.7 else back
        cast[int(front)].erase, cast[int(back)].erase = bool(gone == front), bool(gone == back)
    elif not any(actor.erase for actor in cast):
        cast[int(rng.integers(len(cast)))].erase = True


def _dress(
    rng: Generator, cast: list[Actor], background: NDArray[np.uint8], tone: Tone, light: Light, camouflage: bool
) -> None:
    """Everybody in the scene's light; in the third scenario somebody who goes in its colours too."""
    lab = toning.to_lab(background)
    strength = float(rng.uniform(0.8, 1.15))
    size = (background.shape[0], background.shape[1])
    for actor in cast:
        solid = actor.alpha > 200
        around = lab[actor.box.grow(max(3, actor.box.width // 4), size).slices].reshape(-1, 3)[::7]
        from_side = -float(np.sign(light.side)) * min(1.0, 2 * light.strength)
        actor.rgb = toning.harmonised(actor.rgb, solid, tone, around, from_side, strength)
        if camouflage and actor.erase and rng.random() < 0.75:
            actor.camouflaged = True
            head = 0.16 * actor.figure.height * size[0] / max(1, actor.box.height)
            actor.rgb = toning.camouflaged(actor.rgb, solid, around, float(rng.uniform(0.5, 0.8)), min(0.6, head))
        actor.rgb, actor.alpha = toning.sharpened_as(actor.rgb, actor.alpha, tone)
        if actor.thing_rgba is not None:
            rgb, alpha = np.ascontiguousarray(actor.thing_rgba[..., :3]), np.ascontiguousarray(actor.thing_rgba[..., 3])
            rgb = toning.harmonised(rgb, alpha > 127, tone, around, from_side, 0.7 * strength)
            if tone.blur > 0.9:
                spread = min(2.0, 0.8 * tone.blur)
                rgb = np.asarray(cv2.GaussianBlur(rgb, (0, 0), spread), np.uint8)
                alpha = np.asarray(cv2.GaussianBlur(alpha, (0, 0), 0.7 * spread), np.uint8)
            actor.thing_rgba = np.dstack([rgb, alpha])


def _stack(
    rng: Generator, cast: list[Actor], background: NDArray[np.uint8], tone: Tone, light: Light, ground: Ground
) -> tuple[NDArray[np.uint8], tuple[SampleLayer, ...]]:
    """Background and layers as they are stored: with the scene's noise, and now and then JPEG's damage, in them."""
    size = background.shape[0]
    quality = int(rng.integers(72, 96)) if rng.random() < 0.4 else None
    shadows = [] if ground.ground is None else [_shadow(actor, light, ground.ground * size, size) for actor in cast]

    def finish(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        rgb = toning.noised(rng, rgb, 0.9 * tone.noise)
        return rgb if quality is None else toning.jpeg(rgb, quality)

    if quality is not None:
        background = toning.jpeg(background, quality)
    layers = [layer for layer in shadows if layer is not None]
    for actor in cast:
        layers.append(_layer("person", actor.id, f"person {actor.id}", actor.box, finish(actor.rgb), actor.alpha))
        if actor.thing is not None and actor.thing_rgba is not None and actor.thing_box is not None:
            rgb, alpha = finish(np.ascontiguousarray(actor.thing_rgba[..., :3])), actor.thing_rgba[..., 3]
            layers.append(_layer("object", actor.id, f"{actor.thing.kind} {actor.id}", actor.thing_box, rgb, alpha))
    return background, tuple(layers)


def _shadow(actor: Actor, light: Light, floor: float, size: int) -> SampleLayer | None:
    figure = actor.figure
    if figure.feet > 1.02:
        return None
    outline = np.zeros((size, size), np.float32)
    outline[actor.box.slices] = actor.alpha / np.float32(255)
    if actor.thing_rgba is not None and actor.thing_box is not None:
        held = outline[actor.thing_box.slices]
        np.maximum(held, actor.thing_rgba[..., 3] / np.float32(255), out=held)
    strength = shadow_of(outline, figure.feet * size - 1, figure.height * size, floor, light)
    alpha = np.clip(np.rint(255 * strength), 0, 255).astype(np.uint8)
    alpha[alpha < 3] = 0
    if not alpha.any():
        return None
    box = Box.around(alpha > 0)
    window = alpha[box.slices]
    rgba = np.dstack([np.zeros((*window.shape, 3), np.uint8), window])
    return SampleLayer("shadow", actor.id, f"shadow {actor.id}", box, rgba)


def _layer(kind: Any, owner: int, name: str, box: Box, rgb: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> SampleLayer:
    alpha = np.where(alpha < 6, 0, np.where(alpha > 249, 255, alpha)).astype(np.uint8)
    # Colours where nothing is seen only cost space.
    rgba = np.dstack([np.where(alpha[..., None] > 0, rgb, 0).astype(np.uint8), alpha])
    seen = alpha > 0
    if not seen.any():
        return SampleLayer(kind, owner, name, box, rgba)
    inner = Box.around(seen)
    window = np.ascontiguousarray(rgba[inner.slices])
    return SampleLayer(
        kind,
        owner,
        name,
        Box(box.x0 + inner.x0, box.y0 + inner.y0, box.x0 + inner.x1, box.y0 + inner.y1),
        window,
    )


def _finished(
    library: Library,
    recipe: SetRecipe,
    number: int,
    scenario: Scenario,
    entry: dict[str, Any],
    background: NDArray[np.uint8],
    layers: tuple[SampleLayer, ...],
    cast: list[Actor],
) -> Sample | None:
    """Measure what came out; None when it is not the case it was meant to be."""
    size = (recipe.size, recipe.size)
    index, belongings, shadow = visible_maps(size, layers)
    photo = composed(background, layers)
    complete = covers(size, layers)
    subjects, parts = [], np.zeros(size, np.uint8)
    for actor in cast:
        visible = index == actor.id
        if visible.sum() < 0.004 * index.size:
            return None
        whole = complete.bodies[actor.id]
        points = np.zeros((17, 3), np.float32) if actor.points is None else np.round(actor.points, 2)
        if actor.points is not None:
            labels = np.zeros(size, np.uint8)
            labels[actor.box.slices] = coarse_parts(
                whole[actor.box.slices], points - np.asarray([actor.box.x0, actor.box.y0, 0], np.float32)
            )
            parts[visible] = labels[visible]
        source = actor.figure.cutout.entry["file"]
        cut = actor.figure.cut or actor.figure.cutout.share < 1
        hidden = round(float((whole & ~visible).sum() / max(1, whole.sum())), 4)
        subjects.append(Subject(actor.id, actor.erase, points, source, hidden, cut, actor.camouflaged, 1.0))
    tags = complete.tags(scenario, {a.id: a.erase for a in cast}, index, photo, background, shadow)
    if not _is_case(tags, cast):
        return None
    sources = {(s.file, s.kind): s for s in _sources(library, entry, cast)}
    return Sample(
        key=f"{recipe.split}-{number:06d}",
        photo=photo,
        index=index,
        people=tuple(subjects),
        order=tuple(actor.id for actor in cast),
        background=background,
        layers=layers,
        parts=parts,
        belongings=belongings,
        shadow=shadow,
        truth="layers",
        tags=tags,
        sources=tuple(sources.values()),
        seed=recipe.seed,
        split=recipe.split,
        made_by=f"mild {__version__} data synth",
    )


def _is_case(tags: Tags, cast: list[Actor]) -> bool:
    if tags.scenario == "human-human":
        return 0.05 <= tags.occlusion <= 0.7
    if tags.scenario == "human-object":
        return tags.entangled >= 0.012 and any(a.erase and a.thing is not None for a in cast)
    return tags.contrast <= 20 or tags.shadow >= 0.012


def _sources(library: Library, entry: dict[str, Any], cast: list[Actor]) -> list[Source]:
    sources = [library.source(entry, "background")]
    for actor in cast:
        sources.append(library.source(actor.figure.cutout.entry, "person"))
        if actor.thing_source is not None:
            sources.append(library.source(actor.thing_source, "texture"))
    return sources
