"""CAG: streamed sums against whole maps, its limits, and that measuring changes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionInpaintPipeline, UNet2DConditionModel

from mild.diffusion import cag
from mild.diffusion.adapters import DomainAdapters
from mild.diffusion.attention import FixedModulation, SeenAttention, SpatialModulation
from mild.diffusion.cag import CagProbe, LayerCag, ProbedLayer, grid_of
from mild.diffusion.cag_paths import frame_regions, marked_frame, probed_frame, probed_rows, recorded
from mild.diffusion.codec import PixelCodec
from mild.diffusion.denoiser import Denoiser, small_unet
from mild.diffusion.pipeline import MildPipeline
from mild.diffusion.schedule import noise_scheduler
from mild.errors import MildError
from mild.people.scene import Person, Scene
from mild.photo import Photo
from mild.plan.planning import Plan, plan_layers
from mild.request import Region
from stacks import ellipse

CANVAS = (64, 48)
GRID = (8, 6)


def truth(seed: int = 0, row: int = 0, padding: bool = True) -> ProbedLayer:
    """Soft random regions; with ``padding``, a strip that belongs to none."""
    regions = torch.rand(3, *CANVAS, generator=torch.Generator().manual_seed(seed)) ** 4
    regions = regions / regions.sum(0)
    if padding:
        regions[:, :, 40:] = 0
    return ProbedLayer("layer", regions, row)


def tokens(layer: ProbedLayer) -> torch.Tensor:
    """``[3, N]`` by plain averaging."""
    return torch.nn.functional.avg_pool2d(layer.regions.double()[None], 8)[0].flatten(1)


def inputs(batch: int = 1, seed: int = 0, heads: int = 3, width: int = 5) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    n = GRID[0] * GRID[1]
    double = {"generator": g, "dtype": torch.float64}
    query, key = (torch.randn(batch, heads, n, width, **double) for _ in range(2))  # type: ignore[call-overload]
    beta, gamma = (4 * torch.rand(batch, heads, **double) for _ in range(2))  # type: ignore[call-overload]
    hole, foreign = (torch.rand(batch, n, **double) for _ in range(2))  # type: ignore[call-overload]
    return {"query": query, "key": key, "beta": beta, "gamma": gamma, "hole": hole, "foreign": foreign}


def from_whole_maps(layer: ProbedLayer, x: dict[str, Any], b: int) -> tuple[float, float]:
    """CAG and CAG_area of one row by the formulas, with the whole attention map."""
    own, hole, foreign = tokens(layer)
    logits = x["query"][b] @ x["key"][b].transpose(1, 2) / x["query"].shape[-1] ** 0.5
    if x["beta"] is not None:
        logits = logits - x["beta"][b][:, None, None] * x["foreign"][b]
    if x["gamma"] is not None:
        logits = logits - x["gamma"][b][:, None, None] * x["hole"][b][:, None] * x["hole"][b]
    attention = logits.softmax(-1)
    domain = own + hole
    mass_own, mass_foreign = attention @ domain, attention @ foreign
    weight = hole / hole.sum()
    gap = ((mass_own - mass_foreign) * weight).sum(1).mean()
    ratio = (mass_own / domain.sum()).log() - (mass_foreign / foreign.sum()).log()
    return float(gap), float((ratio * weight).sum(1).mean())


@pytest.mark.parametrize("terms", ["both", "beta", "gamma", "none"])
@pytest.mark.parametrize("piece", [1, 1000, cag.PIECE])
def test_streamed_equals_whole_maps_in_fp64(terms: str, piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cag, "PIECE", piece)
    x: dict[str, Any] = inputs(2)
    if terms in ("none", "gamma"):
        x["beta"] = None
    if terms in ("none", "beta"):
        x["gamma"] = None
    probe, layers = CagProbe(), [truth(0, 0), truth(1, 1)]
    probe.start(layers)
    probe.at(999)
    probe(SeenAttention("block.attn1", **x))
    for b, (layer, seen) in enumerate(zip(layers, probe.report(), strict=True)):
        gap, area = from_whole_maps(layer, x, b)
        assert seen.cag.item() == pytest.approx(gap, abs=1e-6) and -1 <= gap <= 1
        assert seen.area.item() == pytest.approx(area, abs=1e-5)
    # The sums themselves, before the report's float32.
    sums = probe._sums[0, "block.attn1"][999.0]
    assert (sums.own - sums.foreign) / sums.weight == pytest.approx(from_whole_maps(layers[0], x, 0)[0], abs=1e-13)


def test_guidance_rows_are_averaged_and_layers_may_share_a_row() -> None:
    x = inputs(2)
    probe = CagProbe()
    probe.start([truth(0), truth(1)])  # both in row 0 of a batch of twice one row
    probe(SeenAttention("b", **x))
    for seen in probe.report():
        expected = np.mean([from_whole_maps(seen.layer, x, b)[0] for b in (0, 1)])
        assert seen.cag.item() == pytest.approx(expected, abs=1e-6)


def test_even_attention_has_no_preference_per_area_and_strong_beta_no_leak() -> None:
    x: dict[str, Any] = inputs() | {"beta": None, "gamma": None}
    x["query"] = torch.zeros_like(x["query"])
    layer = truth(padding=False)
    probe = CagProbe()
    probe.start([layer])
    probe(SeenAttention("b", **x))
    own, hole, foreign = tokens(layer).mean(1)
    (seen,) = probe.report()
    assert seen.cag.item() == pytest.approx(float(own + hole - foreign), abs=1e-6)
    assert seen.area.item() == pytest.approx(0, abs=1e-6)
    hard = torch.zeros(3, *CANVAS)
    hard[0, :32], hard[1, 32:56], hard[2, 56:] = 1, 1, 1
    layer = ProbedLayer("hard", hard, 0)
    gaps = []
    for strength in (0.0, 1.0, 30.0):
        probe = CagProbe()
        probe.start([layer])
        probe(
            SeenAttention(
                "b", **{**x, "beta": torch.full((1, 3), strength).double(), "foreign": tokens(layer)[2][None]}
            )
        )
        gaps.append(probe.report()[0].cag.item())
    assert gaps[0] < gaps[1] < gaps[2] and gaps[2] == pytest.approx(1, abs=1e-5)


def test_maps_show_who_leaked_and_what_was_taken() -> None:
    regions = torch.zeros(3, *CANVAS)
    regions[0], regions[1, :, :16], regions[2, :, 32:] = 1, 1, 1
    regions[0, :, :16], regions[0, :, 32:] = 0, 0
    x: dict[str, Any] = inputs() | {"beta": None, "gamma": None}
    x["query"], x["key"] = torch.zeros_like(x["query"]), torch.zeros_like(x["key"])
    # Only the hole's first row of tokens looks, and only at the foreign region's last token.
    x["query"][0, :, :2, 0], x["key"][0, :, -1, 0] = 100, 100
    probe = CagProbe()
    probe.start([ProbedLayer("one", regions, 0)])
    probe.at(1)
    probe(SeenAttention("b", **x))
    (seen,) = probe.report()
    assert seen.leak.shape == CANVAS and seen.leak[0, 0] == pytest.approx(1, abs=1e-3)
    assert seen.leak[40, 4] == pytest.approx(2 / 6, abs=1e-3) and not seen.leak[:, 16:].any()
    assert seen.source.argmax() // CANVAS[1] >= 56 and not seen.source[:, :32].any()
    assert json.loads(json.dumps(seen.as_dict()))["cag"] == pytest.approx(seen.cag.item(), abs=1e-5)


def test_nothing_foreign_has_no_area_value_and_leaks_nothing() -> None:
    probe = CagProbe()
    probe.start([marked_frame(ellipse(64, 48, 20, 30, 9, 9), np.zeros((64, 48)), CANVAS)])
    probe(SeenAttention("b", **inputs()))
    (seen,) = probe.report()
    assert seen.mean(seen.area) is None and seen.mean(seen.cag) == pytest.approx(1) and seen.foreign_share == 0


def test_errors() -> None:
    with pytest.raises(MildError, match="not told"):
        CagProbe()(SeenAttention("b", **inputs()))
    probe = CagProbe()
    probe.start([truth(0, 0), truth(0, 1)])
    with pytest.raises(MildError, match="expects 2 rows"):
        probe(SeenAttention("b", **inputs(3)))
    with pytest.raises(MildError, match="No grid of 47 tokens"):
        grid_of(47, CANVAS)


def group() -> tuple[Scene, Plan]:
    """Person 2, in front of person 1 and beside person 3, goes."""
    size = (96, 128)
    rng = np.random.default_rng(0)
    front = ellipse(*size, 55, 50, 14, 36)
    back = ellipse(*size, 40, 50, 14, 36) & ~front
    people = (back, front, ellipse(*size, 88, 50, 14, 36))
    scene = Scene(
        Photo.of(rng.integers(0, 255, (*size, 3)).astype(np.uint8)),
        tuple(Person.from_mask(i + 1, mask) for i, mask in enumerate(people)),
        (1, 3, 2),
    )
    return scene, plan_layers(scene, (2,), Region(), resolution=128)


@pytest.fixture(scope="module")
def pipeline() -> MildPipeline:
    torch.manual_seed(0)
    codec = PixelCodec()
    unet = small_unet(codec, (32, 32))
    torch.nn.init.normal_(unet.conv_out.weight, std=0.05)
    modulation = SpatialModulation.for_unet(unet)
    torch.nn.init.constant_(modulation.out.bias, 2.0)
    made = MildPipeline(unet, noise_scheduler(), codec, DomainAdapters.for_unet(unet, rank=2), modulation)
    made.set_progress_bar_config(disable=True)
    return made


def test_mild_is_measured_and_stays_the_same(pipeline: MildPipeline) -> None:
    scene, plan = group()
    assert {layer.domain for layer in plan.layers} == {"background", "person"}
    means: dict[str, list[LayerCag]] = {}
    for sma in ("on", "off"):
        probe = CagProbe()
        settings: dict[str, Any] = {
            "scene": scene,
            "plan": plan,
            "sma": sma,
            "num_inference_steps": 2,
            "output_type": "np",
        }
        seen = pipeline(**settings, probe=probe).images[0]
        assert (seen == pipeline(**settings).images[0]).all()
        means[sma] = list(probe.report())
        assert [entry.layer.name for entry in means[sma]].count("background") >= 1
        assert {t for entry in means[sma] for t in entry.timesteps} == {999.0, 499.0}
        for entry in means[sma]:
            assert entry.cag.shape == (len(entry.blocks), 2) and np.isfinite(entry.cag).all()
            assert len(entry.tokens) == len(entry.blocks) and entry.foreign_share > 0
    for on, off in zip(means["on"], means["off"], strict=True):
        assert on.mean(on.cag) > off.mean(off.cag) and on.mean(on.area) > off.mean(off.area)  # type: ignore[operator]


def test_a_denoiser_without_modulation_is_measured_too(pipeline: MildPipeline) -> None:
    from mild.diffusion.rows import LayerRows
    from mild.fill.canvas import LayerCrop

    scene, plan = group()
    row = plan.layers[0]
    rows = LayerRows.of([LayerCrop.cut(scene.photo.pixels[row.crop.slices], row, None)])
    probe = CagProbe()
    probe.start(probed_rows([row]))
    before = dict(pipeline.unet.attn_processors)
    with torch.no_grad(), Denoiser(pipeline.unet, pipeline.codec, probe=probe).installed(rows) as predict:
        predict(torch.randn(1, 256, row.bucket[0] // 8, row.bucket[1] // 8), torch.tensor([499]), torch.tensor([0.5]))
    (seen,) = probe.report()
    assert seen.timesteps == (499.0,) and np.isfinite(seen.cag).all()
    assert pipeline.unet.attn_processors == before


def test_frame_regions_are_the_plans_own_and_never_overlap() -> None:
    scene, plan = group()
    for row, layer in zip(plan.layers, probed_frame(scene, plan, (48, 64)), strict=True):
        own, hole, foreign = frame_regions(scene, plan, row)
        assert (own.astype(int) + hole + foreign <= 1).all()
        assert (hole[row.crop.slices] == row.hole).all() and hole.sum() == row.hole.sum()
        theirs = own if row.owner == 3 else foreign  # a wide margin may touch person 3, who then has a layer, too
        assert theirs[scene.person(3).full_mask(scene.size)].all()
        assert layer.regions.shape == (3, 48, 64) and float(layer.regions.sum(0).max()) <= 1 + 1e-6


@pytest.fixture(scope="module")
def single_path() -> StableDiffusionInpaintPipeline:
    """A tiny random SD 1.5 inpainting pipeline; words come as embeddings."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=8, in_channels=9, out_channels=4, block_out_channels=(16, 32), layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=8, attention_head_dim=4, norm_num_groups=4,
    )  # fmt: skip
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 8, 8), norm_num_groups=2, latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
    )  # fmt: skip
    made = StableDiffusionInpaintPipeline(
        vae,
        None,
        None,
        unet,
        DDIMScheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    made.set_progress_bar_config(disable=True)
    return made


def inpaint(pipe: StableDiffusionInpaintPipeline, scene: Scene, hole: Any) -> Any:
    from PIL import Image

    words = torch.randn(1, 3, 8, generator=torch.Generator().manual_seed(1))
    return pipe(
        prompt_embeds=words, negative_prompt_embeds=-words, image=Image.fromarray(scene.photo.pixels),
        mask_image=Image.fromarray(hole.astype(np.uint8) * 255), height=96, width=128, num_inference_steps=3,
        generator=torch.Generator().manual_seed(0), output_type="np",
    ).images[0]  # fmt: skip


def test_a_single_path_pipeline_is_measured_on_the_same_layers(single_path: Any) -> None:
    scene, plan = group()
    hole = frame_regions(scene, plan, plan.layers[0])[1]
    plain = inpaint(single_path, scene, hole)
    before = dict(single_path.unet.attn_processors)
    with recorded(single_path, CagProbe(), probed_frame(scene, plan, (96, 128))) as probe:
        seen = inpaint(single_path, scene, hole)
    assert (seen == plain).all() and single_path.unet.attn_processors == before
    report = probe.report()
    assert [entry.layer.name for entry in report] == ["background", *(f"person {r.owner}" for r in plan.layers[1:])]
    for entry in report:
        assert len(entry.timesteps) == 3 and entry.blocks and np.isfinite(entry.cag).all()
        assert (np.abs(entry.cag) <= 1).all()


def test_processors_come_back_whatever_happens(single_path: Any) -> None:
    before = dict(single_path.unet.attn_processors)
    with pytest.raises(KeyboardInterrupt), recorded(single_path, CagProbe(), [truth()]):
        raise KeyboardInterrupt
    assert single_path.unet.attn_processors == before and not single_path.unet._forward_pre_hooks


def test_recorder_sees_what_plain_attention_computes(single_path: Any) -> None:
    """The recorder's own queries and keys give the block's output, so they are the ones that are used."""
    unet = single_path.unet
    shown: dict[str, SeenAttention] = {}

    class Spy(CagProbe):
        def __call__(self, seen: SeenAttention) -> None:
            shown.setdefault(seen.path, seen)

    block = dict(unet.named_modules())["mid_block.attentions.0.transformer_blocks.0.attn1"]
    kept: dict[str, torch.Tensor] = {}
    hook = block.register_forward_hook(lambda m, args, kwargs, out: kept.update(x=args[0], out=out), with_kwargs=True)
    with torch.no_grad(), recorded(unet, Spy(), [truth()]):
        unet(torch.randn(1, 9, 8, 8), 10, torch.randn(1, 3, 8))
    hook.remove()
    seen = shown["mid_block.attentions.0.transformer_blocks.0.attn1"]
    query, key = seen.query, seen.key
    value = block.to_v(kept["x"]).unflatten(-1, (block.heads, -1)).transpose(1, 2)
    out = (query @ key.transpose(2, 3) / query.shape[-1] ** 0.5).softmax(-1) @ value
    assert torch.allclose(block.to_out[0](out.transpose(1, 2).flatten(2)), kept["out"], atol=1e-5)


def test_fixed_schedule_closes_the_gap_on_a_random_backbone(single_path: Any) -> None:
    """SMA without training: the fixed schedule raises CAG over plain attention at every early timestep."""
    from mild.diffusion.attention import RegionTokens, sma_installed

    unet, layer = single_path.unet, truth(3, padding=False)
    pooled = torch.nn.functional.avg_pool2d(layer.regions[None], 8)
    gaps = []
    for terms in ("off", "on"):
        probe, regions = CagProbe(), RegionTokens(pooled[:, 1:2], pooled[:, 2:3])
        probe.start([layer])
        torch.manual_seed(0)
        with torch.no_grad(), sma_installed(unet, regions, terms, probe):  # type: ignore[arg-type]
            regions.amplitudes = FixedModulation(unet)(torch.tensor([999]))
            unet(torch.randn(1, 9, *GRID), 999, torch.randn(1, 3, 8))
        gaps.append(probe.report()[0].mean(probe.report()[0].cag))
    assert gaps[1] > gaps[0]


@pytest.fixture(scope="module")
def measured(pipeline: MildPipeline) -> tuple[Scene, tuple[LayerCag, ...]]:
    scene, plan = group()
    probe = CagProbe()
    pipeline(scene=scene, plan=plan, num_inference_steps=2, prior=False, output_type="np", probe=probe)
    return scene, probe.report()


def test_report_files(measured: tuple[Scene, tuple[LayerCag, ...]], tmp_path: Path) -> None:
    from PIL import Image

    from mild.lab.cag_report import write_report

    scene, layers = measured
    write_report(layers, scene.photo.pixels, tmp_path / "a.json", tmp_path / "a.png", {"erased": [2]})
    table = json.loads((tmp_path / "a.json").read_text())
    assert table["erased"] == [2] and [entry["layer"] for entry in table["layers"]] == [e.layer.name for e in layers]
    assert all(-1 <= entry["cag"] <= 1 for entry in table["layers"])
    assert np.asarray(Image.open(tmp_path / "a.png").convert("L")).std() > 5


def test_erase_report_cag(pipeline: MildPipeline, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The whole way, and every refusal before any work."""
    from PIL import Image

    from mild.app.cli.app import run

    scene, _ = group()
    Image.fromarray(scene.photo.pixels).save(tmp_path / "p.png")
    Image.fromarray(scene.person(2).full_mask(scene.size).astype(np.uint8) * 255).save(tmp_path / "m.png")
    pipeline.save_pretrained(str(tmp_path / "model"))
    out = tmp_path / "o.png"
    job = ["erase", str(tmp_path / "p.png"), "--mask", str(tmp_path / "m.png"), "--finder", "none", "--steps", "1"]
    job += ["--resolution", "64", "--model", str(tmp_path / "model"), "-o", str(out)]
    for wrong, words in (["--report", "cost"], "no report"), (["--report", "cag", "--no-denoise"], "switches off"):
        assert run([*job, *wrong]) == 2 and words in capfd.readouterr().err and not out.exists()
    assert run([*job, "--report", "cag"]) == 0
    assert "o.cag.png shows the photo as it was" in capfd.readouterr().out
    assert {path.name for path in tmp_path.glob("o.*")} == {"o.png", "o.cag.json", "o.cag.png"}
    assert json.loads((tmp_path / "o.cag.json").read_text())["layers"][0]["layer"] == "background"
    out.unlink()
    assert run([*job, "--report", "cag"]) == 2 and "exists already" in capfd.readouterr().err and not out.exists()


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from mild.lab.cag_report import PLOTTED
    from mild.lab.plotting import plotting

    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    with pytest.raises(MildError, match=r"pip install .mild-erase\[bench,torch\]."):
        plotting(*PLOTTED)
