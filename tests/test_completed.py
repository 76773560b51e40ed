"""What completed layers must be, by the shipped model and by hand-made answers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mild
from bench_items import meadow
from mild.fill.canvas import LayerCrop, View, cut_layers
from mild.lab.bench.metrics.fidelity import psnr
from mild.paint.assemble import _alpha, assemble
from mild.people.finders.coco import encode_rle
from mild.people.scene import Box, Person, Scene
from mild.photo import Photo
from mild.plan.planning import LayerPlan, dilate, plan_layers
from mild.request import Region
from mild.runtimes import chosen_runtime
from stacks import ellipse


def shaded(seed: int) -> np.ndarray:
    """A meadow in uneven light: its texture is everywhere, its brightness only where it is."""
    light = np.linspace(-60, 60, 160)[None, :, None] + np.linspace(30, -30, 128)[:, None, None]
    return np.clip(meadow(128, 160, seed).astype(np.float32) + light, 0, 255).astype(np.uint8)


def test_the_network_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Going over the fill brings it nearer to the truth: the fill copies brightness from elsewhere."""
    # Without a network something else sees to that (tests/test_level.py).
    monkeypatch.setattr("mild.paint.assemble.levelled", lambda fill, *seen: fill)
    gains = []
    for seed in range(3):
        truth = shaded(seed)
        who = ellipse(128, 160, 70, 66, 18, 46)
        scene = Scene(Photo(np.where(who[..., None], np.uint8(200), truth)), (Person.from_mask(1, who),), (1,))
        figures = []
        for denoise in (True, False):
            made = mild.run(mild.build_request(people=(1,), denoise=denoise, correct=True), scene.photo, scene=scene)
            figures.append(psnr(made.photo.pixels, truth, who))
        gains.append(figures[0] - figures[1])
    assert min(gains) > 0, gains


def test_the_network_helps_in_the_default_job() -> None:
    """What it makes of a covered person is nearer to their truth than the fill alone, which completes nobody."""
    truth = meadow(160, 120, 3)
    behind, front = ellipse(160, 120, 80, 52, 66, 20), ellipse(160, 120, 84, 76, 60, 16)
    truth[behind] = np.clip(truth[behind].astype(int) // 6 + (150, 20, 20), 0, 255)
    photo = np.where(front[..., None], np.uint8(230), truth)
    people = (Person.from_mask(1, behind & ~front), Person.from_mask(2, front))
    scene, hidden = Scene(Photo(photo), people, (1, 2)), behind & front
    made = {}
    for denoise in (True, False):
        request = mild.build_request(people=(2,), denoise=denoise, backend="none")
        assert not denoise or chosen_runtime(request.method) == "onnx"
        made[denoise] = psnr(mild.run(request, scene.photo, scene=scene).photo.pixels, truth, hidden)
    assert hidden.sum() > 500 and made[True] > made[False] + 1, made


def test_the_light_is_judged_by_the_view_that_was_searched() -> None:
    """It was made once more, for the same pixels."""
    scene = three((1, 2, 3))
    plan = plan_layers(scene, (3,), Region(), resolution=64, budget=None)
    background, *people = cut_layers(scene, plan, 0)
    row, seen = background.plan, background.searched
    visible = np.where(row.own[..., None], background.photo, np.uint8(0))
    again = View.of(visible, row.own, row.hole, background.fill.shape[:2])
    assert all(np.array_equal(getattr(seen, name), getattr(again, name)) for name in ("rgb", "own", "hole"))
    assert people and all(crop.searched is None and crop.fill is not None for crop in people)
    assert all(crop.searched is None for crop in cut_layers(scene, plan, None))


def three(order: tuple[int, int, int]) -> Scene:
    """Person 3 goes; 1 and 2, side by side, go on behind them."""
    size = (120, 120)
    front = np.zeros(size, bool)
    front[10:110, 45:75] = True
    left, right = np.zeros(size, bool), np.zeros(size, bool)
    left[15:105, 25:45], right[15:105, 75:95] = True, True
    pixels = np.full((*size, 3), 120, np.uint8)
    pixels[left], pixels[right], pixels[front] = (200, 0, 0), (0, 0, 200), (0, 200, 0)
    return Scene(Photo(pixels), tuple(Person.from_mask(i, m) for i, m in ((1, left), (2, right), (3, front))), order)


@pytest.mark.parametrize(("order", "channel"), [((1, 2, 3), 2), ((2, 1, 3), 0)])
def test_of_two_kept_people_who_meet_behind_a_third_the_nearer_is_seen(
    order: tuple[int, int, int], channel: int
) -> None:
    scene = three(order)
    plan = plan_layers(scene, (3,), Region(), resolution=128, budget=None)
    assert [row.owner for row in plan.layers] == [None, *order[:2]]
    crops = cut_layers(scene, plan, None)
    colours = {None: (120, 120, 120), 1: (200, 0, 0), 2: (0, 0, 200)}
    clean = []
    for crop in crops:
        layer = np.ones((*crop.plan.sizes.content, 4), np.float32)
        layer[..., :3] = np.asarray(colours[crop.plan.owner], np.float32) / 127.5 - 1
        clean.append(layer)
    made = assemble(scene, plan, crops, clean, detail=False).compose()
    both = np.logical_and.reduce([_placed(row, scene.size) for row in plan.layers if row.owner is not None])
    assert both.sum() > 200
    inside = ~dilate(~both, 3)
    assert (made[inside][:, channel] > 150).all() and (made[inside][:, 2 - channel] < 60).all()


def _placed(row: LayerPlan, size: tuple[int, int]) -> np.ndarray:
    out = np.zeros(size, bool)
    out[row.crop.slices] = row.hole
    return out


def test_the_halo_of_those_who_stay_is_no_evidence() -> None:
    """The rim of a kept person's mask shows some of their colour: the background is not to be made of it."""
    scene = three((1, 2, 3))
    region = Region(dilate=0.03)
    background = plan_layers(scene, (3,), region, budget=None).layers[0]
    own = np.zeros(scene.size, bool)
    own[background.crop.slices] = background.own
    kept = scene.mask_of((1, 2))
    # 3 % of what counts as their height: two and a half times their width of 20 pixels.
    assert own.any() and not (own & dilate(kept, 2)).any() and (own & dilate(kept, 4)).any()


def test_an_island_of_alpha_is_nobody() -> None:
    """What is opaque but touches nothing of the person is not theirs."""
    own, hole = np.zeros((2, 48, 64), bool)
    own[8:40, 4:20], hole[4:44, 20:60] = True, True
    frame = Box(0, 0, 64, 48)
    row = LayerPlan("person", 1, frame, frame, own, hole, (64, 64), 1.0)
    photo = np.zeros((48, 64, 3), np.uint8)
    clean = np.full((48, 64, 4), -1.0, np.float32)
    clean[16:32, 20:30, 3], clean[10:20, 45:55, 3] = 1, 1
    alpha = _alpha(LayerCrop(row, photo, View.of(photo, own, hole, (48, 64)), None).plan, clean)
    assert (alpha[17:31, 20:29] == 1).all() and alpha[:, 40:].max() == 0


def test_a_doubt_far_from_the_person_is_no_smear() -> None:
    """A grey blob hung in the air below a man of the example bar55, less than half there, and touched nobody."""
    own, hole = np.zeros((2, 48, 64), bool)
    own[8:40, 4:20], hole[4:44, 20:60] = True, True
    frame = Box(0, 0, 64, 48)
    row = LayerPlan("person", 1, frame, frame, own, hole, (64, 64), 1.0)
    clean = np.full((48, 64, 4), -1.0, np.float32)
    clean[8:40, 20:22, 3], clean[20:30, 40:50, 3] = -0.05, -0.05
    alpha = _alpha(row, clean)
    assert np.allclose(alpha[10:38, 20], 0.4, atol=1e-3), "their border stays soft"
    assert alpha[:, 30:].max() == 0


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(24, 90), st.integers(24, 90), st.integers(0, 10**6))
def test_the_shipped_runtime_leaves_the_rest_alone_and_repeats_itself(height: int, width: int, seed: int) -> None:
    """The road's promises were tested on a torch pipeline alone; what answers by default is onnxruntime."""
    rng = np.random.default_rng(seed)
    photo = Photo.from_array(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
    mask = np.zeros((height, width), bool)
    y, x = int(rng.integers(0, height - 8)), int(rng.integers(0, width - 8))
    mask[y : y + int(rng.integers(4, height // 2)), x : x + int(rng.integers(4, width // 2))] = True
    request = mild.build_request(mask_rle=encode_rle(mask), backend="none", seed=seed, feather=0.0, dilate=0.0)
    assert chosen_runtime(request.method) == "onnx"
    one, two = (mild.run(request, photo).photo.pixels for _ in range(2))
    assert np.array_equal(one, two) and np.array_equal(one[~mask], photo.pixels[~mask])
