"""The same pipeline on backbones with an autoencoder: tiny random SD 1.5 and SDXL inpainting, nothing downloaded."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    LCMScheduler,
    PNDMScheduler,
    UniPCMultistepScheduler,
)
from PIL import Image

import mild
from mild.diffusion.adapters import DomainAdapters
from mild.diffusion.alpha import AlphaDecoder, canvas_alpha
from mild.diffusion.attention import SpatialModulation
from mild.diffusion.cag import CagProbe
from mild.diffusion.codec import PixelCodec
from mild.diffusion.denoiser import Denoiser, small_unet
from mild.diffusion.morphology import MorphologyGuidance
from mild.diffusion.pipeline import MildPipeline
from mild.diffusion.prompts import PROMPTS, encode_text
from mild.diffusion.rows import LayerRows
from mild.diffusion.schedule import as_prediction, clean_from, noise_scheduler, signal_at
from mild.diffusion.vae_codec import VaeCodec
from mild.errors import Cancelled, MildError, UsageError
from mild.fill.canvas import cut_layers
from mild.people.scene import Scene
from mild.plan.planning import Plan, plan_layers
from mild.request import Region
from tiny_pipes import SCHEDULE, crowd, sd15, sdxl

BACKBONES = {"sd15": sd15, "sdxl": sdxl}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", params=list(BACKBONES))
def backbone(request: pytest.FixtureRequest) -> Any:
    return BACKBONES[request.param]()


@pytest.fixture(scope="module")
def plain() -> Any:
    return sd15()


@pytest.fixture(scope="module")
def small() -> MildPipeline:
    """The embedded model's shape, with random weights everywhere."""
    torch.manual_seed(0)
    codec = PixelCodec()
    unet = small_unet(codec, (32, 32))
    adapters, modulation = DomainAdapters.for_unet(unet, rank=2), SpatialModulation.for_unet(unet)
    with torch.no_grad():
        for parameter in (*unet.parameters(), *adapters.parameters()):
            if not parameter.any():
                parameter.normal_(0, 0.05)
    return MildPipeline(unet, noise_scheduler(), codec, adapters, modulation)


def job(people: int = 3, erase: tuple[int, ...] = (2,), height: int = 96, width: int = 160) -> tuple[Scene, Plan]:
    scene = crowd(people, height, width)
    return scene, plan_layers(scene, erase, Region(), resolution=64)


def run(pipeline: MildPipeline, scene: Scene, plan: Plan, seed: int = 0, **options: Any) -> Any:
    options = {"num_inference_steps": 2, "output_type": "np", **options}
    return pipeline(scene=scene, plan=plan, generator=torch.Generator().manual_seed(seed), **options)


def same(a: Any, b: Any) -> bool:
    return all(
        np.array_equal(x.rgba, y.rgba)
        for s, t in zip(a.stacks, b.stacks, strict=True)
        for x, y in zip(s.layers, t.layers, strict=True)
    )


def weights(pipeline: Any) -> dict[str, torch.Tensor]:
    parts = {n: m for n, m in pipeline.components.items() if isinstance(m, torch.nn.Module)}
    return {f"{n}.{k}": v.clone() for n, m in parts.items() for k, v in m.state_dict().items()}


# -- the same answers as the backbone's own pipeline --------------------------------------------------------------


def test_one_background_layer_equals_diffusers_own_inpainting(backbone: Any) -> None:
    """Without prior, SMA and adapters, a background row is plain inpainting: the same latents come out."""
    pipeline = MildPipeline.from_pipe(backbone)
    codec = pipeline.layer_codec
    generator = torch.Generator().manual_seed(3)
    rgb = torch.rand(1, 3, 64, 96, generator=generator) * 2 - 1
    hole = torch.zeros(1, 1, 64, 96)
    hole[..., 16:48, 24:64] = 1
    rows = LayerRows.build(["background"], rgb, 1 - hole, hole, rgb).without_prior()
    noise = torch.randn(1, 4, 8, 12, generator=generator)
    plan = job()[1]
    text = pipeline.encode_prompt([plan], None, None, 5.0)
    denoiser = Denoiser(pipeline.unet, codec, text=text, guidance=5.0)
    with torch.no_grad():
        scheduler = type(pipeline.scheduler).from_config(pipeline.scheduler.config)
        scheduler.set_timesteps(3)
        latents = noise * scheduler.init_noise_sigma
        with denoiser.installed(rows) as predict:
            for t in scheduler.timesteps:
                noisy, signal = scheduler.scale_model_input(latents, t), signal_at(scheduler, t, 1)
                answer = as_prediction(predict(noisy, t.expand(1), signal), noisy, signal, "epsilon")
                latents = scheduler.step(answer, t, latents).prev_sample
        words = text["background"]
        embeds = {"prompt_embeds": words.tokens, "negative_prompt_embeds": words.no_tokens}
        if words.pooled is not None:
            embeds |= {"pooled_prompt_embeds": words.pooled, "negative_pooled_prompt_embeds": words.no_pooled}
        backbone.set_progress_bar_config(disable=True)
        expected = backbone(
            image=rgb, mask_image=hole, masked_image_latents=codec.encode(rows.visible), latents=noise.clone(),
            num_inference_steps=3, guidance_scale=5.0, height=64, width=96, strength=1.0, output_type="latent",
            **embeds,
        ).images  # fmt: skip
    torch.testing.assert_close(latents, expected, atol=2e-4, rtol=1e-3)


def test_words_are_encoded_as_diffusers_does(backbone: Any) -> None:
    pipeline = MildPipeline.from_pipe(backbone)
    with torch.no_grad():
        tokens, pooled = encode_text("a quiet beach", *pipeline._text_parts(), "cpu")
        expected = backbone.encode_prompt(
            prompt="a quiet beach", device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=False
        )
    torch.testing.assert_close(tokens, expected[0])
    if pooled is not None:
        torch.testing.assert_close(pooled, expected[2])


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_predictions_translate_both_ways(kind: str) -> None:
    clean, noise = torch.randn(2, 4, 8, 8).unbind(0)
    clean, noise, signal = clean[None], noise[None], torch.tensor([0.37])
    noisy = signal * clean + (1 - signal**2).sqrt() * noise
    torch.testing.assert_close(clean_from(as_prediction(clean, noisy, signal, kind), noisy, signal, kind), clean)
    if kind == "epsilon":
        torch.testing.assert_close(as_prediction(clean, noisy, signal, kind), noise)
    with pytest.raises(MildError, match="predicts 'flow'"):
        clean_from(noise, noisy, signal, "flow")


@pytest.mark.parametrize(
    "scheduler",
    [
        EulerDiscreteScheduler, EulerAncestralDiscreteScheduler, DPMSolverMultistepScheduler, UniPCMultistepScheduler,
        PNDMScheduler, LCMScheduler, DDPMScheduler,
    ],
)  # fmt: skip
def test_every_scheduler_reaches_the_clean_layer_of_a_perfect_denoiser(scheduler: Any) -> None:
    torch.manual_seed(0)
    special = {PNDMScheduler: {"skip_prk_steps": True}, DDPMScheduler: {"clip_sample": False}}
    made = scheduler(**SCHEDULE, **special.get(scheduler, {}))
    made.set_timesteps(12)
    clean = torch.randn(1, 4, 8, 8)
    latents = torch.randn(1, 4, 8, 8) * float(made.init_noise_sigma)
    for t in made.timesteps:
        noisy, signal = made.scale_model_input(latents, t), signal_at(made, t, 1)
        latents = made.step(as_prediction(clean, noisy, signal, "epsilon"), t, latents).prev_sample
    # The last step of some leaves the noise of the schedule's first level in.
    assert float((latents - clean).abs().mean()) < 0.06


# -- lifecycle ------------------------------------------------------------------------------------------------------


def test_round_trip_of_every_kind_of_folder(backbone: Any, tmp_path: Path) -> None:
    scene, plan = job()
    first = run(MildPipeline.from_pipe(backbone), scene, plan)
    backbone.save_pretrained(tmp_path / "theirs")
    theirs = MildPipeline.from_pretrained(tmp_path / "theirs")
    assert same(run(theirs, scene, plan), first)
    theirs.register_modules(
        adapters=DomainAdapters.for_unet(theirs.unet, rank=2), modulation=SpatialModulation.for_unet(theirs.unet),
        alpha_decoder=AlphaDecoder(width=8),
    )  # fmt: skip
    for parameter in theirs.adapters.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    trained = run(theirs, scene, plan)
    assert not same(trained, first)
    theirs.save_pretrained(tmp_path / "ours")
    ours = MildPipeline.from_pretrained(tmp_path / "ours")
    assert same(run(ours, scene, plan), trained)
    assert type(ours.adapters) is DomainAdapters and type(ours.alpha_decoder) is AlphaDecoder


def test_a_call_leaves_the_components_as_they_were(backbone: Any) -> None:
    pipeline = MildPipeline.from_pipe(backbone, adapters=DomainAdapters.for_unet(backbone.unet, rank=2))
    before = weights(pipeline)
    processors = dict(pipeline.unet.attn_processors)
    scheduler = copy.deepcopy(pipeline.scheduler.__dict__)
    scene, plan = job()
    run(pipeline, scene, plan)
    after = weights(pipeline)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(pipeline.unet.attn_processors[name] is one for name, one in processors.items())
    assert str(scheduler) == str(pipeline.scheduler.__dict__)
    assert not any(module._forward_hooks for module in pipeline.unet.modules())


def test_same_seed_same_pixels_other_seed_others(backbone: Any) -> None:
    pipeline = MildPipeline.from_pipe(backbone)
    scene, plan = job()
    first = run(pipeline, scene, plan, seed=1)
    assert same(first, run(pipeline, scene, plan, seed=1))
    assert not same(first, run(pipeline, scene, plan, seed=2))


def test_a_model_without_guidance_asks_for_no_body(plain: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found on a last reading: bodies were described for models that know of none."""
    scene, plan = job()
    assert any(row.owner is not None for row in plan.layers)
    monkeypatch.setattr("mild.diffusion.pipeline.BodyRow", None)
    run(MildPipeline.from_pipe(plain), scene, plan, num_inference_steps=1)


@pytest.mark.parametrize("scheduler", [None, EulerAncestralDiscreteScheduler])
def test_a_batch_of_photos_equals_photos_one_by_one(plain: Any, scheduler: Any) -> None:
    """Also with a scheduler that draws noise in every step: a row's noise is its own."""
    changes = {} if scheduler is None else {"scheduler": scheduler.from_config(plain.scheduler.config)}
    pipeline = MildPipeline.from_pipe(plain, **changes)
    jobs = [job(erase=(2,)), job(people=2, erase=(1,), height=70, width=131)]
    seeds = [torch.Generator().manual_seed(s) for s in (5, 6)]
    options = {"num_inference_steps": 2, "output_type": "np"}
    together = pipeline(scene=[s for s, _ in jobs], plan=[p for _, p in jobs], generator=seeds, **options)
    for number, (scene, plan) in enumerate(jobs):
        alone = pipeline(scene=scene, plan=plan, generator=torch.Generator().manual_seed(5 + number), **options)
        difference = np.abs(alone.images[0].astype(int) - together.images[number])
        # Sums of another batch size differ in the last bit of float32.
        assert difference.max() <= 1


def test_crops_that_were_cut_before_give_the_same_pixels(backbone: Any) -> None:
    """Whoever erases from one photo in many ways hands the crops in; those of another plan are refused."""
    pipeline = MildPipeline.from_pipe(backbone)
    scene, plan = job()
    crops = cut_layers(scene, plan, 0)
    assert same(run(pipeline, scene, plan), run(pipeline, scene, plan, crops=[crops]))
    with pytest.raises(UsageError, match="not cut from these plans"):
        run(pipeline, *job(), crops=[crops])


def test_callback_cancel_and_progress(backbone: Any) -> None:
    pipeline = MildPipeline.from_pipe(backbone)
    scene, plan = job()
    seen: list[tuple[int, int]] = []

    def look(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        seen.append((step, int(timestep)))
        assert set(tensors) == {"latents"}
        return {"latents": torch.zeros_like(tensors["latents"])}

    told: list[tuple[str, float]] = []
    zeroed = run(pipeline, scene, plan, callback_on_step_end=look, progress=lambda *a: told.append(a))
    assert not same(zeroed, run(pipeline, scene, plan))
    assert [step for step, _ in seen][:2] == [0, 1]
    assert told[-1] == ("paint", 1.0) and ("denoise", 1.0) in told and all(0 <= f <= 1 for _, f in told)

    def stop(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        pipe._interrupt = True
        return {}

    with pytest.raises(Cancelled):
        run(pipeline, scene, plan, callback_on_step_end=stop)
    assert not any(module._forward_hooks for module in pipeline.unet.modules())
    run(pipeline, scene, plan)


@pytest.mark.parametrize("people", [0, 1, 8])
@pytest.mark.parametrize("size", [(64, 64), (97, 141), (61, 203)])
def test_any_size_and_any_number_of_people(plain: Any, people: int, size: tuple[int, int]) -> None:
    pipeline = MildPipeline.from_pipe(plain)
    height, width = size
    if people == 0:  # nobody known: a photo and a mask
        pixels = crowd(1, height, width).photo.pixels
        mask = np.zeros(size, np.uint8)
        mask[10:30, 12:33] = 255
        out = pipeline(Image.fromarray(pixels), Image.fromarray(mask), num_inference_steps=1, resolution=64)
        assert out.images[0].size == (width, height)
        return
    scene, plan = job(people, (1, 3) if people > 3 else (1,), height, width)
    out = run(pipeline, scene, plan, num_inference_steps=1)
    assert out.images[0].shape == (height, width, 3) and out.images[0].dtype == np.uint8
    # Nobody who stays is touched, and nothing far from the hole.
    kept = scene.mask_of(p.id for p in scene.people if p.id not in plan.erased)
    assert np.array_equal(out.images[0][kept], scene.photo.pixels[kept])


# -- words, guidance, prior -----------------------------------------------------------------------------------------


def test_switches_change_what_they_should(plain: Any) -> None:
    pipeline = MildPipeline.from_pipe(plain)
    scene, plan = job()
    first = run(pipeline, scene, plan)
    for options in (
        {"sma": "off"}, {"sma": "beta"}, {"sma": "gamma"}, {"prior": False}, {"guidance_scale": 1.0}, {"strength": 1.0},
        {"prompt": "a quiet beach"}, {"prompt": {"person": "a diver"}}, {"negative_prompt": "sand"},
    ):  # fmt: skip
        assert not same(first, run(pipeline, scene, plan, **options)), options
    assert same(first, run(pipeline, scene, plan, use_adapters=False))  # there are none


def test_a_domain_is_encoded_once(plain: Any) -> None:
    pipeline = MildPipeline.from_pipe(plain)
    calls = []
    handle = pipeline.text_encoder.register_forward_hook(lambda *a: calls.append(1))
    scene, plan = job(8, (3, 5))
    try:
        run(pipeline, scene, plan, num_inference_steps=1)
    finally:
        handle.remove()
    assert len(calls) == 2 * len({row.domain for row in plan.layers})


def test_guidance_keeps_every_row_with_its_own_adapter_and_masks(plain: Any) -> None:
    """Rows doubled by guidance give what the two halves give one by one."""
    pipeline = MildPipeline.from_pipe(plain, adapters=DomainAdapters.for_unet(plain.unet, rank=2))
    torch.manual_seed(0)
    for parameter in pipeline.adapters.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    g = torch.Generator().manual_seed(0)
    own, hole = (torch.rand(2, 1, 64, 64, generator=g) > 0.5).float(), (torch.rand(2, 1, 64, 64, generator=g) > 0.6)
    colours = torch.rand(2, 2, 3, 64, 64, generator=g)
    rows = LayerRows.build(["person", "background"], colours[0], own, hole.float(), colours[1])
    text = pipeline.encode_prompt([job()[1]], None, None, 3.0)
    noisy, t, signal = torch.randn(2, 4, 8, 8, generator=g), torch.tensor([700, 700]), torch.tensor([0.3, 0.3])
    parts = Denoiser(pipeline.unet, pipeline.layer_codec, pipeline.adapters, pipeline._modulation(), text=text)

    def answer(guidance: float, words: Any) -> torch.Tensor:
        parts.text, parts.guidance = words, guidance
        with torch.no_grad(), parts.installed(rows) as predict:
            return predict(noisy, t, signal)

    swapped = {name: type(one)(one.no_tokens, one.tokens) for name, one in text.items()}
    told, without = answer(1.0, text), answer(1.0, swapped)
    torch.testing.assert_close(answer(3.0, text), without + 3.0 * (told - without), atol=1e-4, rtol=1e-4)


def test_the_prior_is_where_backgrounds_start(plain: Any) -> None:
    """Almost no noise: the answer is nearly the encoded fill; and foreign pixels are not in it."""
    codec = VaeCodec(plain.vae)
    g = torch.Generator().manual_seed(0)
    rgb, fill = torch.rand(2, 1, 3, 64, 64, generator=g) * 2 - 1
    own, hole = torch.zeros(1, 1, 64, 64), torch.zeros(1, 1, 64, 64)
    own[..., :32], hole[..., 20:44, 32:48] = 1, 1
    rows = LayerRows.build(["background"], rgb, own, hole, fill)
    other = LayerRows.build(["background"], torch.where(rows.foreign > 0, -rgb, rgb), own, hole, fill)
    with torch.no_grad():
        assert torch.equal(codec.base(rows), codec.base(other))
        assert torch.equal(codec.known(rows).condition, codec.known(other).condition)
        mask = codec.known(rows).condition[:, :1]
    assert mask[0, 0, 0, 0] == 0 and mask[0, 0, 0, -1] == 1  # a background is made up wherever it is not seen
    person = LayerRows.build(["person"], rgb, own, hole, fill)
    with torch.no_grad():
        mask = codec.known(person).condition[:, :1]
    assert mask[0, 0, 0, -1] == 0 and mask[0, 0, 4, 5] == 1  # a person only in the hole; the canvas is known


# -- opacity --------------------------------------------------------------------------------------------------------


def test_canvas_alpha() -> None:
    rgb = torch.zeros(1, 3, 32, 32)
    own, hole = torch.zeros(1, 1, 32, 32), torch.zeros(1, 1, 32, 32)
    own[..., :10, 8:24], hole[..., 10:30, 4:28] = 1, 1
    rgb[..., :24, 8:24] = 0.8
    rgb[..., 14:18, 12:20] = 0.0  # a grey belt inside the body
    alpha = canvas_alpha(rgb, own, hole)
    assert alpha[0, 0, 16, 16] == 1 and alpha[0, 0, 20, 16] == 1
    assert alpha[0, 0, 28, 16] == -1 and alpha[0, 0, 20, 5] == -1  # canvas in the hole
    assert alpha[0, 0, 31, 31] == -1 and alpha[0, 0, 5, 16] == 1  # foreign, own


def test_the_alpha_decoder_learns() -> None:
    torch.manual_seed(0)
    decoder = AlphaDecoder(width=8)
    hole = torch.ones(2, 1, 64, 64)
    alpha = torch.ones(2, 1, 64, 64)
    alpha[..., 32:] = -1
    latents = torch.nn.functional.avg_pool2d(alpha, 8).expand(-1, 4, -1, -1)
    optimizer = torch.optim.Adam(decoder.parameters(), 1e-2)
    for _ in range(40):
        loss = decoder.loss(latents, 1 - hole, hole, alpha)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.2


# -- the other parts of the method on these backbones ----------------------------------------------------------------


def test_morphology_guidance_and_the_probe_work_under_guidance(backbone: Any) -> None:
    """Rows come twice under classifier-free guidance; bodies and the probe know their half."""
    pipeline = MildPipeline.from_pipe(backbone)
    scene, plan = job()
    first = run(pipeline, scene, plan)
    probe = CagProbe()
    assert same(run(pipeline, scene, plan, probe=probe), first)
    assert probe.report() and all(np.isfinite(one.cag).any() for one in probe.report())
    torch.manual_seed(0)
    pipeline.register_modules(morphology=MorphologyGuidance.for_unet(pipeline.unet))
    assert same(run(pipeline, scene, plan), first)  # untrained, it says nothing
    for parameter in pipeline.morphology.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    assert not same(run(pipeline, scene, plan), first)
    assert same(run(pipeline, scene, plan, hmg="none"), first)


# -- precision and devices ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(backbone: Any, dtype: torch.dtype) -> None:
    pipeline = MildPipeline.from_pipe(
        backbone, **{n: copy.deepcopy(m) for n, m in backbone.components.items() if isinstance(m, torch.nn.Module)}
    )
    scene, plan = job()
    full = run(pipeline, scene, plan)
    pipeline.register_modules(adapters=DomainAdapters.for_unet(pipeline.unet, rank=2))
    pipeline.to(dtype)
    half = run(pipeline, scene, plan)
    difference = np.abs(full.images[0].astype(int) - half.images[0])
    assert difference.mean() < 4
    assert pipeline.vae.dtype == dtype  # SDXL's autoencoder runs in 32 bits and comes back


def test_model_offload_hooks_fetch_every_part(backbone: Any) -> None:
    """The offload machinery of accelerate, with the CPU as its own accelerator: every hooked part is asked for."""
    from accelerate import cpu_offload_with_hook

    pipeline = MildPipeline.from_pipe(backbone)
    scene, plan = job()
    expected = run(pipeline, scene, plan)
    order = [name for name in pipeline.model_cpu_offload_seq.split("->") if getattr(pipeline, name) is not None]
    asked, hook = [], None
    for name in order:
        _, hook = cpu_offload_with_hook(getattr(pipeline, name), "cpu", prev_module_hook=hook)
        before = hook.hook.pre_forward

        def note(module: Any, *args: Any, n: str = name, call: Any = before, **kwargs: Any) -> Any:
            asked.append(n)
            return call(module, *args, **kwargs)

        hook.hook.pre_forward = note
    try:
        assert same(run(pipeline, scene, plan), expected)
    finally:
        from accelerate.hooks import remove_hook_from_module

        for name in order:
            remove_hook_from_module(getattr(pipeline, name))
    assert set(asked) == set(order)


# -- bad input ------------------------------------------------------------------------------------------------------


def test_wrong_parts_in_one_sentence(plain: Any, small: MildPipeline, tmp_path: Path) -> None:
    with pytest.raises(MildError, match=r"takes 4 channels.*takes 9"):
        MildPipeline.from_pipe(sd15(in_channels=4))
    with pytest.raises(MildError, match="features per token"):
        MildPipeline.from_pipe(plain, unet=sdxl().unet)
    with pytest.raises(MildError, match="adapters do not fit"):
        MildPipeline.from_pipe(plain, adapters=small.adapters)
    with pytest.raises(MildError, match="another architecture"):
        MildPipeline.from_pipe(plain, modulation=small.modulation)
    with pytest.raises(MildError, match="latent channels"):
        MildPipeline.from_pipe(plain, alpha_decoder=AlphaDecoder(latent_channels=16, width=8))
    with pytest.raises(MildError, match=r"model_index\.json"):
        MildPipeline.from_pretrained(tmp_path)
    (tmp_path / "model_index.json").write_text("no json")
    with pytest.raises(MildError, match="JSON"):
        MildPipeline.from_pretrained(tmp_path)
    (tmp_path / "model_index.json").write_text(
        json.dumps({"_class_name": "FluxFillPipeline", "transformer": ["a", "b"]})
    )
    with pytest.raises(MildError, match="FluxFillPipeline, which has no UNet"):
        MildPipeline.from_pretrained(tmp_path)


def test_damaged_and_mixed_folders_in_one_sentence(plain: Any, tmp_path: Path) -> None:
    plain.save_pretrained(tmp_path / "a")
    weights_file = next((tmp_path / "a" / "unet").glob("*.safetensors"))
    weights_file.write_bytes(weights_file.read_bytes()[:1000])
    with pytest.raises(MildError) as caught:
        MildPipeline.from_pretrained(tmp_path / "a")
    assert "\n" not in str(caught.value)
    weights_file.unlink()
    with pytest.raises(MildError) as caught:
        MildPipeline.from_pretrained(tmp_path / "a")
    assert "\n" not in str(caught.value)


def test_adapters_of_another_rank_in_one_sentence(plain: Any, tmp_path: Path) -> None:
    pipeline = MildPipeline.from_pipe(plain, adapters=DomainAdapters.for_unet(plain.unet, rank=4))
    pipeline.save_pretrained(tmp_path)
    config = tmp_path / "adapters" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "rank": 8}))
    with pytest.raises(MildError, match=r"adapters in .* have another rank"):
        MildPipeline.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"num_inference_steps": 0}, "at least 1"), ({"strength": 0.0}, "strength"), ({"strength": 2.0}, "strength"),
        ({"guidance_scale": -1.0}, "guidance_scale"), ({"output_type": "latent"}, "output_type"),
        ({"prompt": {"dog": "a dog"}}, "domain 'dog'"), ({"prior": False, "denoise": False}, "at least one"),
        ({"callback_on_step_end_tensor_inputs": ["noise"]}, "not noise"),
    ],
)  # fmt: skip
def test_wrong_options_in_one_sentence(plain: Any, options: dict[str, Any], said: str) -> None:
    scene, plan = job()
    with pytest.raises(UsageError, match=said):
        run(MildPipeline.from_pipe(plain), scene, plan, **options)


@pytest.mark.parametrize("value", [0.0, float("nan")])
def test_wrong_masks_in_one_sentence(plain: Any, value: float) -> None:
    pixels = crowd(1).photo.pixels
    with pytest.raises(UsageError, match="mask"):
        MildPipeline.from_pipe(plain)(pixels, np.full(pixels.shape[:2], value, np.float32))


# -- from the request, end to end -----------------------------------------------------------------------------------


def test_a_request_names_the_folder_of_an_inpainting_pipeline(backbone: Any, tmp_path: Path) -> None:
    backbone.save_pretrained(tmp_path / "model")
    scene = crowd()
    mask = scene.mask_of([2])
    options = {"mask": mask, "backend": "none", "model": str(tmp_path / "model"), "steps": 2, "resolution": 64}
    result = mild.erase(scene.photo.pixels, **options)
    again = mild.erase(scene.photo.pixels, **options)
    assert np.array_equal(result.photo.pixels, again.photo.pixels)
    assert (result.photo.pixels != scene.photo.pixels).any()
    plain = mild.erase(scene.photo.pixels, **options, sma="off")
    assert not np.array_equal(result.photo.pixels, plain.photo.pixels)
    words = mild.erase(scene.photo.pixels, **options, prompt="a quiet beach", guidance=3, strength=1)
    assert not np.array_equal(result.photo.pixels, words.photo.pixels)
    with pytest.raises(MildError, match="model_index"):
        mild.erase(scene.photo.pixels, **{**options, "model": str(tmp_path)})


def test_the_embedded_model_takes_the_same_road(small: MildPipeline, tmp_path: Path) -> None:
    scene, plan = job()
    first = run(small, scene, plan)
    small.save_pretrained(tmp_path)
    again = run(MildPipeline.from_pretrained(tmp_path), scene, plan)
    # Loaded weights may lie otherwise in memory, and sums end in another last bit.
    assert np.abs(first.images[0].astype(int) - again.images[0]).max() <= 1
    # Words and guidance mean nothing to it.
    assert same(run(small, scene, plan, prompt="a beach", guidance_scale=3.0, strength=0.3), first)
    assert not same(run(small, scene, plan, sma="off"), first) or not same(
        run(small, scene, plan, use_adapters=False), first
    )
    assert PROMPTS.keys() == {"background", "person"}


def test_the_embedded_models_formula_is_frozen(small: MildPipeline) -> None:
    """Trained weights depend on every one of these: conditions in this order, shrunk evidence, a corrected prior."""
    g = torch.Generator().manual_seed(0)
    own, hole = ((torch.rand(2, 1, 64, 64, generator=g) > level).float() for level in (0.4, 0.6))
    rgb, fill = torch.rand(2, 2, 3, 64, 64, generator=g)
    rows = LayerRows.build(["background", "person"], rgb, own, hole, fill)
    noisy, t, signal = torch.randn(2, 256, 8, 8, generator=g), torch.tensor([999, 500]), torch.tensor([0.0, 0.6])
    with torch.no_grad(), Denoiser(small.unet, small.layer_codec).installed(rows) as predict:
        answer = predict(noisy, t, signal)
    fold = torch.nn.functional.pixel_unshuffle
    condition = fold(torch.cat([rows.visible, rows.own, rows.hole, rows.fill], 1), 8)
    base, weight = fold(rows.base, 8), signal.view(-1, 1, 1, 1)
    with torch.no_grad():
        seen = torch.cat([weight * (noisy - weight * base), condition], 1)
        correction = small.unet(seen, t, encoder_hidden_states=torch.zeros(2, 1, 32)).sample
    assert torch.equal(answer, base + correction * (fold(rows.hole.expand(-1, 4, -1, -1), 8) > 0))
