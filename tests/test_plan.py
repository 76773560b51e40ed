"""What a plan promises, for any people anywhere: regions, mattes, crops, canvases, who gets a layer, what it costs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mild.errors import UsageError
from mild.people.scene import Box, Person, Scene
from mild.photo import Photo
from mild.plan.density import BUCKET, FLOOR, canvas, densities, fill_canvas
from mild.plan.planning import Plan, plan_layers
from mild.request import Region
from stacks import ellipse

QUICK = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def made(size: tuple[int, int], bodies: list[NDArray[np.bool_]], sure: list[bool] | None = None) -> Scene | None:
    """A scene of whole bodies, back to front, each visible where nobody in front is; None if somebody is not."""
    taken = np.zeros(size, bool)
    people = []
    for number in range(len(bodies), 0, -1):
        visible = bodies[number - 1] & ~taken
        taken |= bodies[number - 1]
        if not visible.any():
            return None
        people.append(Person.from_mask(number, visible, sure=True if sure is None else sure[number - 1]))
    photo = Photo.of(np.zeros((*size, 3), np.uint8))
    return Scene(photo, tuple(reversed(people)), tuple(range(1, len(bodies) + 1)))


@st.composite
def jobs(draw: st.DrawFn) -> tuple[Scene, tuple[int, ...], Region, int]:
    """One to five ellipses in a small photo of any shape, one or more of them to be erased."""
    height, width = draw(st.integers(24, 150)), draw(st.integers(24, 150))
    bodies = []
    for _ in range(draw(st.integers(1, 5))):
        x, y = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
        bodies.append(ellipse(height, width, x, y, draw(st.integers(2, 40)), draw(st.integers(2, 60))))
    ids = range(1, len(bodies) + 1)
    erase = tuple(sorted(draw(st.sets(st.sampled_from(list(ids)), min_size=1))))
    region = Region(
        dilate=draw(st.sampled_from([0.0, 0.015, 0.1])),
        feather=draw(st.sampled_from([0.0, 0.008, 0.05])),
        context=draw(st.sampled_from([0.0, 0.6, 2.0])),
    )
    scene = made((height, width), bodies, [draw(st.booleans()) for _ in ids])
    if scene is None:
        scene, erase = made((height, width), bodies[-1:]), (1,)
    assert scene is not None
    return scene, erase, region, draw(st.sampled_from([64, 128, 256]))


def planned(job: tuple[Scene, tuple[int, ...], Region, int]) -> Plan | None:
    """None where the job is refused, which must be one of the two refusals there are."""
    scene, erase, region, resolution = job
    try:
        return plan_layers(scene, erase, region, resolution=resolution)
    except UsageError as error:
        assert "inside people who stay" in str(error) or "covers the whole photo" in str(error)
        return None


@QUICK
@given(jobs())
def test_every_promise(job: tuple[Scene, tuple[int, ...], Region, int]) -> None:
    scene, erase, _, resolution = job
    plan = planned(job)
    if plan is None:
        return
    height, width = scene.size
    kept = scene.mask_of(p.id for p in scene.people if p.id not in erase)
    going = scene.mask_of(erase)
    filled = np.zeros(scene.size, bool)
    assert plan.erased == erase and set(plan.mattes) == set(erase)
    for layer in plan.layers:
        assert 0 <= layer.crop.x0 < layer.crop.x1 <= width and 0 <= layer.crop.y0 < layer.crop.y1 <= height
        assert layer.crop.union(layer.focus) == layer.crop
        # A partition: each pixel in exactly one region.
        assert layer.own.shape == layer.hole.shape == (layer.crop.height, layer.crop.width)
        assert (layer.own.astype(int) + layer.hole + layer.foreign == 1).all()
        assert not (layer.hole & kept[layer.crop.slices]).any()
        assert layer.hole.any()
        assert all(
            side % BUCKET == 0 and BUCKET <= side <= math.ceil(resolution / BUCKET) * BUCKET for side in layer.bucket
        )
        assert 0 < layer.scale <= 1
        assert layer.crop.height * layer.scale <= layer.bucket[0] + 0.5
        assert layer.crop.width * layer.scale <= layer.bucket[1] + 0.5
        if layer.domain == "background":
            assert layer.owner is None and not (layer.own & (kept | going)[layer.crop.slices]).any()
            filled[layer.focus.slices] |= layer.hole[
                layer.focus.y0 - layer.crop.y0 : layer.focus.y1 - layer.crop.y0,
                layer.focus.x0 - layer.crop.x0 : layer.focus.x1 - layer.crop.x0,
            ]
        else:
            assert layer.owner is not None and layer.owner not in erase and scene.person(layer.owner).sure
            assert (layer.own == scene.person(layer.owner).full_mask(scene.size)[layer.crop.slices]).all()
            assert any(scene.in_front(gone, layer.owner) for gone in erase)
    for box, matte in plan.mattes.values():
        assert matte.dtype == np.uint8 and matte.shape == (box.height, box.width)
        assert not matte[kept[box.slices]].any()
        # What is replaced, however faintly, is made by some background layer.
        assert filled[box.slices][matte > 0].all()
    for number in erase:
        box, matte = plan.mattes[number]
        assert (matte[scene.person(number).full_mask(scene.size)[box.slices]] == 255).all()
    owners = [layer.owner for layer in plan.layers if layer.owner is not None]
    assert owners == sorted(set(owners), key=scene.order.index)
    assert [layer.domain for layer in plan.layers] == sorted(layer.domain for layer in plan.layers)


SIZE = (120, 200)


def row_of_three(second: float = 75) -> Scene:
    """Person 1 at the back, person 2 in front at column ``second``, person 3 far away and in front of all."""
    scene = made(SIZE, [ellipse(*SIZE, x, 60, 14, 45) for x in (55, second, 170)])
    assert scene is not None
    return scene


def owners(plan: Plan) -> list[int | None]:
    return [layer.owner for layer in plan.layers if layer.domain == "person"]


def test_a_covered_person_gets_a_layer_and_others_none() -> None:
    assert owners(plan_layers(row_of_three(), (2,), Region())) == [1]
    assert owners(plan_layers(row_of_three(), (3,), Region())) == []


def test_whoever_stands_in_front_gets_none() -> None:
    assert owners(plan_layers(row_of_three(), (1,), Region())) == []


def test_people_layers_off_and_unsure_people() -> None:
    assert owners(plan_layers(row_of_three(), (2,), Region(), people_layers=False)) == []
    bodies = [ellipse(*SIZE, x, 60, 14, 45) for x in (55, 75, 170)]
    scene = made(SIZE, bodies, [False, True, True])
    assert scene is not None and owners(plan_layers(scene, (2,), Region())) == []


def test_a_decomposition_completes_whom_it_names_at_their_own_density() -> None:
    scene = row_of_three()
    plan = plan_layers(scene, (1, 2, 3), Region(), complete=(1, 2, 3), resolution=64)
    assert owners(plan) == [1]
    assert all(max(layer.crop.height, layer.crop.width) * layer.scale == pytest.approx(64) for layer in plan.layers)


def test_the_hidden_part_is_made_by_its_owner_and_the_background_both() -> None:
    scene = row_of_three()
    background, person = plan_layers(scene, (2,), Region()).layers
    hidden = np.zeros(SIZE, bool)
    hidden[person.crop.slices] = person.hole
    made_by_background = np.zeros(SIZE, bool)
    made_by_background[background.crop.slices] = background.hole
    assert (hidden <= made_by_background).all() and hidden.any()
    assert person.foreign.any() and background.foreign.any()


def test_errors() -> None:
    scene = row_of_three()
    with pytest.raises(UsageError, match="Nobody is chosen"):
        plan_layers(scene, (), Region())
    with pytest.raises(UsageError, match="no person 9"):
        plan_layers(scene, (9,), Region())
    whole = Scene(scene.photo, (Person.from_mask(1, np.ones(SIZE, bool)),))
    with pytest.raises(UsageError, match="whole photo"):
        plan_layers(whole, (1,), Region())


def test_what_lies_only_inside_those_who_stay_is_refused() -> None:
    # Only a scene that breaks its own rule (masks never overlap) can ask for this.
    mask = ellipse(*SIZE, 60, 60, 20, 40)
    inner = ellipse(*SIZE, 60, 60, 5, 5)
    scene = Scene(row_of_three().photo, (Person.from_mask(1, mask), Person.from_mask(2, inner)))
    with pytest.raises(UsageError, match="inside people who stay"):
        plan_layers(scene, (2,), Region(dilate=0, feather=0))


@QUICK
@given(st.data())
def test_densities_keep_the_budget_or_the_floor(data: st.DataObject) -> None:
    height, width = data.draw(st.integers(40, 4000)), data.draw(st.integers(40, 4000))
    resolution = data.draw(st.sampled_from([64, 256, 512, 1024]))
    crops = []
    for _ in range(data.draw(st.integers(2, 7))):
        h, w = data.draw(st.integers(8, height)), data.draw(st.integers(8, width))
        y, x = data.draw(st.integers(0, height - h)), data.draw(st.integers(0, width - w))
        crops.append(Box(x, y, x + w, y + h))
    chosen = densities(crops, (height, width), resolution, 1.25)
    whole = min(1.0, resolution / max(height, width))
    frame = math.prod(canvas(Box(0, 0, width, height), whole, 0.0)[0])
    used = sum(math.prod(bucket) for bucket, _ in chosen)
    at_floor = sum(math.prod(canvas(crop, FLOOR * whole, 0.25)[0]) for crop in crops)
    assert used <= max(1.25 * frame, at_floor)
    for crop, (bucket, scale) in zip(crops, chosen, strict=True):
        assert 0 < scale <= 1 and crop.height * scale <= bucket[0] + 1e-6 and crop.width * scale <= bucket[1] + 1e-6
        filled = fill_canvas(crop, bucket, scale, (height, width))
        assert filled.union(crop) == filled and filled.intersect(Box(0, 0, width, height)) == filled
        assert filled.height * scale <= bucket[0] + 1 and filled.width * scale <= bucket[1] + 1
    free = densities(crops, (height, width), resolution, None)
    assert all(
        scale == pytest.approx(min(1, resolution / max(c.height, c.width)), rel=0.02)
        for c, (_, scale) in zip(crops, free, strict=True)
    )


def test_four_touched_people_cost_about_one_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small sample of what ``bench/cost.py`` counts over 200 layouts."""
    from pathlib import Path

    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[1] / "bench"))
    layouts: Any = __import__("layouts")
    rng = np.random.default_rng(1)
    ratios = []
    for _ in range(7):
        scene, erase = layouts.group(rng, (225, 300), 4)
        plan = plan_layers(scene, erase, Region(), resolution=256)
        frame, _ = canvas(Box(0, 0, 300, 225), 256 / 300, 0.0)
        ratios.append(sum(math.prod(layer.bucket) for layer in plan.layers) / math.prod(frame))
    assert np.median(ratios) <= 1.2
