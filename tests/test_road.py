"""What we promise of every job, whatever the photo, the masks and the switches."""

from __future__ import annotations

import importlib
from functools import lru_cache

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mild
from mild import runtimes
from mild.diffusion import one_step
from mild.diffusion.adapters import DomainAdapters
from mild.diffusion.attention import SpatialModulation
from mild.diffusion.codec import PixelCodec
from mild.diffusion.denoiser import small_unet
from mild.diffusion.pipeline import MildPipeline
from mild.diffusion.schedule import noise_scheduler
from mild.errors import Cancelled, MildError, UsageError
from mild.people.finders.coco import encode_rle
from mild.people.scene import Person, Scene
from mild.photo import Photo
from mild.runtimes import Models

#: The module; the name `mild.erase` may be the function.
road = importlib.import_module("mild.road")


@lru_cache(maxsize=1)
def wild_pipeline() -> MildPipeline:
    """Tiny, random, and loud: whatever it is allowed to touch, it changes."""
    torch.manual_seed(0)
    codec = PixelCodec()
    unet = small_unet(codec, (32, 32))
    torch.nn.init.normal_(unet.conv_out.weight, std=0.2)
    parts = DomainAdapters.for_unet(unet, rank=2), SpatialModulation.for_unet(unet)
    return MildPipeline(unet, noise_scheduler(), codec, *parts)


@pytest.fixture(autouse=True)
def _wild(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Models, "pipeline", lambda self, model: wild_pipeline())
    monkeypatch.setattr(one_step, "available", lambda folder: False)


@st.composite
def jobs(draw: st.DrawFn) -> tuple[Photo, np.ndarray, dict[str, object], int]:
    height, width = draw(st.integers(24, 90)), draw(st.integers(24, 90))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    mask = np.zeros((height, width), bool)
    for _ in range(draw(st.integers(1, 3))):
        y, x = int(rng.integers(0, height - 6)), int(rng.integers(0, width - 6))
        mask[y : y + int(rng.integers(3, height // 2)), x : x + int(rng.integers(3, width // 2))] = True
    switches = {
        "steps": draw(st.integers(1, 2)),
        "resolution": 64,
        "detail": draw(st.booleans()),
        "adapters": draw(st.booleans()),
        "sma": draw(st.sampled_from(["on", "off", "beta", "gamma"])),
        "layers": draw(st.booleans()),
        "dilate": draw(st.sampled_from([0, 0.015, 0.1])),
        "feather": draw(st.sampled_from([0, 0.008, 0.05])),
    }
    return (
        Photo.from_array(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)),
        mask,
        switches,
        draw(st.integers(0, 99)),
    )


def job(photo: Photo, mask: np.ndarray, switches: dict[str, object], seed: int) -> mild.EraseResult:
    request = mild.build_request(mask_rle=encode_rle(mask), backend="none", seed=seed, **switches)
    return mild.run(request, photo)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(jobs())
def test_outside_the_hole_and_its_feather_nothing_changes(
    case: tuple[Photo, np.ndarray, dict[str, object], int],
) -> None:
    photo, mask, switches, seed = case
    try:
        result = job(photo, mask, switches, seed)
    except UsageError as error:
        assert "whole photo" in str(error)
        return
    reach = result.stack.change_matte(result.erased) > 0
    assert np.array_equal(result.photo.pixels[~reach], photo.pixels[~reach])
    assert reach[mask].all()
    # Dilation and feather are at most this wide: nothing far from the mask is in reach.
    person = result.scene.person(result.erased[0])
    widest = (float(str(switches["dilate"])) + float(str(switches["feather"]))) * max(
        p.box.height for p in result.scene.people
    ) + 4
    ys, xs = np.nonzero(reach)
    masked = np.argwhere(mask)
    for y, x in list(zip(ys, xs, strict=True))[:: max(1, len(ys) // 40)]:
        assert np.hypot(*(masked - (y, x)).T).min() <= widest
    assert person.source == "mask"


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(jobs())
def test_the_same_request_gives_the_same_pixels(case: tuple[Photo, np.ndarray, dict[str, object], int]) -> None:
    try:
        one, two = job(*case), job(*case)
    except UsageError:
        return
    assert np.array_equal(one.photo.pixels, two.photo.pixels)


def two_people() -> Scene:
    """Person 2 in front of person 1, who continues behind."""
    rng = np.random.default_rng(0)
    photo = Photo.from_array(rng.integers(0, 256, (96, 96, 3), dtype=np.uint8))
    behind, front = np.zeros((96, 96), bool), np.zeros((96, 96), bool)
    front[20:90, 44:70] = True
    behind[15:88, 24:50] = True
    behind &= ~front
    return Scene(photo, (Person.from_mask(1, behind), Person.from_mask(2, front)), (1, 2))


def test_a_kept_person_behind_an_erased_one_is_completed_and_not_touched() -> None:
    from mild.plan.planning import plan_layers
    from mild.request import Region

    scene = two_people()
    plan = plan_layers(scene, (2,), Region(), resolution=64)
    assert [row.owner for row in plan.layers if row.domain == "person"] == [1]
    stack = wild_pipeline()(scene=scene, plan=plan, num_inference_steps=1, output_type="np").stacks[0]
    kept = scene.person(1).full_mask(scene.size)
    assert np.array_equal(stack.compose()[kept], scene.photo.pixels[kept])


def test_nobody_behind_an_erased_person_gets_a_layer_when_in_front() -> None:
    from mild.plan.planning import plan_layers
    from mild.request import Region

    plan = plan_layers(two_people(), (1,), Region(), resolution=64)
    assert [row.domain for row in plan.layers] == ["background"]


def test_a_batch_of_photos_is_the_photos_one_by_one() -> None:
    rng = np.random.default_rng(1)
    photos = [rng.integers(0, 256, (64, 64, 3), dtype=np.uint8) for _ in range(2)]
    mask = np.zeros((64, 64), bool)
    mask[20:40, 20:40] = True
    call = {"num_inference_steps": 2, "resolution": 64, "output_type": "np"}
    seeds = [torch.Generator().manual_seed(i) for i in range(2)]
    together = wild_pipeline()(image=photos, mask_image=[mask, mask], generator=seeds, **call).images
    for i, photo in enumerate(photos):
        alone = wild_pipeline()(
            image=photo, mask_image=mask, generator=torch.Generator().manual_seed(i), **call
        ).images[0]
        assert np.abs(alone.astype(int) - together[i]).max() <= 1


def test_a_call_leaves_the_components_as_they_were() -> None:
    pipeline = wild_pipeline()
    before = {name: value.clone() for name, value in pipeline.unet.state_dict().items()}
    processors = dict(pipeline.unet.attn_processors)
    photo = np.zeros((64, 64, 3), np.uint8)
    mask = np.zeros((64, 64), bool)
    mask[8:30, 8:30] = True
    pipeline(image=photo, mask_image=mask, num_inference_steps=1, resolution=64)
    assert all(torch.equal(value, before[name]) for name, value in pipeline.unet.state_dict().items())
    assert pipeline.unet.attn_processors == processors
    assert not any(module._forward_hooks for module in pipeline.unet.modules())


def test_save_and_load_give_the_same_pixels(tmp_path) -> None:  # type: ignore[no-untyped-def]
    wild_pipeline().save_pretrained(tmp_path)
    photo = np.random.default_rng(2).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    mask = np.zeros((64, 64), bool)
    mask[8:30, 8:30] = True
    made, one, two = (
        np.asarray(p(image=photo, mask_image=mask, num_inference_steps=2, resolution=64).images[0]).astype(int)
        for p in (wild_pipeline(), MildPipeline.from_pretrained(tmp_path), MildPipeline.from_pretrained(tmp_path))
    )
    assert np.array_equal(one, two)
    # Weights that never were in a file may lie at other addresses, for which the processor adds in another order.
    assert np.abs(made - one).max() <= 1 and (made != one).mean() < 1e-3


def test_cancelling_stops_the_job() -> None:
    def stop(stage: str, fraction: float) -> None:
        if stage == "paint":
            raise Cancelled("stopped")

    mask = np.zeros((64, 64), bool)
    mask[8:30, 8:30] = True
    request = mild.build_request(mask_rle=encode_rle(mask), backend="none", resolution=64)
    with pytest.raises(Cancelled):
        mild.run(request, Photo.from_array(np.zeros((64, 64, 3), np.uint8)), progress=stop)


def test_decompose_gives_the_photo_back_and_a_layer_for_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = two_people()
    monkeypatch.setattr(road, "find_people", lambda photo, finder: scene)
    result = mild.decompose(mild.build_request(resolution=64, steps=1), scene.photo)
    assert np.array_equal(result.stack.compose(), scene.photo.pixels)
    assert [layer.owner for layer in result.stack.layers] == [None, 1, 2]
    assert not np.array_equal(result.stack.compose({1, 2}), scene.photo.pixels)


def test_both_parts_off_is_one_sentence() -> None:
    mask = np.zeros((64, 64), bool)
    mask[8:30, 8:30] = True
    request = mild.build_request(mask_rle=encode_rle(mask), backend="none", prior=False, denoise=False)
    with pytest.raises(MildError, match="leave at least one on"):
        mild.run(request, Photo.from_array(np.zeros((64, 64, 3), np.uint8)))


def test_erase_is_a_function() -> None:
    assert callable(mild.erase)


def test_no_one_chosen_is_one_sentence() -> None:
    with pytest.raises(UsageError, match="Nobody is chosen"):
        mild.run(mild.build_request(), Photo.from_array(np.zeros((8, 8, 3), np.uint8)))


def test_layers_of_the_embedded_model_are_as_fine_as_they_can_be(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """Denoising is what a large backbone costs, and next to nothing of the embedded model's job."""
    (tmp_path / "vae").mkdir()
    assert (
        runtimes.canvas_budget("mild-small") is None and runtimes.canvas_budget(str(tmp_path)) == runtimes.SHARED_BUDGET
    )
    scene = two_people()
    request = mild.build_request(people=(2,), resolution=64)
    rows = mild.run(request, scene.photo, scene=scene).plan.layers
    assert {row.domain for row in rows} == {"background", "person"}
    for row in rows:
        assert row.scale == pytest.approx(min(1, 64 / max(row.crop.height, row.crop.width)), rel=0.1)
