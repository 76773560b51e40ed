"""Human morphology guidance: absent it is not there at all, present it is where the person is."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from numpy.typing import NDArray

from mild.diffusion.adapters import DomainAdapters
from mild.diffusion.attention import FixedModulation, RegionTokens, SpatialModulation, sma_installed
from mild.diffusion.bodies import SOURCES, BodyRow, Other, coarse, sources_of
from mild.diffusion.codec import PixelCodec
from mild.diffusion.denoiser import small_unet
from mild.diffusion.morphology import MorphologyGuidance, cross_attentions, guided_attention
from mild.diffusion.morphology_rows import MorphologyRows
from mild.diffusion.pipeline import MildPipeline
from mild.diffusion.schedule import noise_scheduler
from mild.errors import MildError, UsageError
from mild.lab.data.ingredients import Ingredients
from mild.lab.data.rows import Row, person_row
from mild.lab.train import cache
from mild.people import body, parsing
from mild.people.scene import Box, Person, Scene
from mild.photo import Photo
from mild.plan.planning import plan_layers
from mild.request import EraseRequest, Region

CANVAS = (64, 128)
#: A standing figure, 100 x 200 pixels: joints in COCO's order, all in sight.
FIGURE = np.asarray(
    [
        (50, 20), (54, 16), (46, 16), (58, 18), (42, 18), (66, 45), (34, 45), (74, 75), (26, 75), (78, 100), (22, 100),
        (60, 105), (40, 105), (62, 145), (38, 145), (62, 185), (38, 185),
    ],
    np.float32,
)  # fmt: skip


@pytest.fixture(autouse=True)
def one_core() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


def figure(scale: float = 1.0, x: float = 0.0, y: float = 0.0, confidence: float = 0.9) -> NDArray[np.float32]:
    points = np.full((17, 3), confidence, np.float32)
    points[:, :2] = FIGURE * scale + [x, y]
    return points


def somebody(**fields: Any) -> BodyRow:
    own, hole = np.zeros(CANVAS, bool), np.zeros(CANVAS, bool)
    own[4:40, 20:44], hole[40:62, 18:48] = True, True
    points = figure(0.3, 15, 2)
    parts, worth = coarse(own, points)
    person = BodyRow(CANVAS, own, hole, points, parts, worth, (Other((30, 10, 90, 64), 0.9, True),))
    return replace(person, **fields)


def rows(**fields: Any) -> MorphologyRows:
    """Two rows: a person and a background."""
    return MorphologyRows.build([somebody(**fields), BodyRow.nobody(CANVAS)])


def backbone(kind: str) -> tuple[Any, dict[str, Any]]:
    """A UNet with random weights, and arguments for a batch of two rows on the canvas."""
    height, width = CANVAS[0] // 8, CANVAS[1] // 8
    if kind == "embedded":
        unet = small_unet(PixelCodec(), (32, 32, 64))
        torch.nn.init.normal_(unet.conv_out.weight)
        words, channels, extra = torch.zeros(2, 1, 32), 768, {}
    else:
        xl = kind == "sdxl"
        more: dict[str, Any] = {}
        if xl:
            more = {
                "addition_embed_type": "text_time", "addition_time_embed_dim": 8, "use_linear_projection": True,
                "projection_class_embeddings_input_dim": 80, "transformer_layers_per_block": (1, 2),
                "attention_head_dim": (2, 4),
            }  # fmt: skip
        unet = UNet2DConditionModel(
            sample_size=8, in_channels=9, out_channels=4, block_out_channels=(32, 64), layers_per_block=1,
            down_block_types=("DownBlock2D" if xl else "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D" if xl else "CrossAttnUpBlock2D"),
            cross_attention_dim=32, norm_num_groups=8, **{"attention_head_dim": 2, **more},
        )  # fmt: skip
        words, channels = torch.randn(2, 7, 32), 9
        extra = {}
        if xl:
            extra = {"added_cond_kwargs": {"text_embeds": torch.randn(2, 32), "time_ids": torch.rand(2, 6)}}
    inputs = {"sample": torch.randn(2, channels, height, width), "timestep": torch.tensor([999, 300])}
    return unet.eval().requires_grad_(False), {**inputs, "encoder_hidden_states": words, **extra}


def trained(unet: Any) -> MorphologyGuidance:
    """Guidance in which no weight is zero."""
    guidance = MorphologyGuidance.for_unet(unet, width=16, dense_width=8)
    for parameter in guidance.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return guidance


def answer(unet: Any, inputs: dict[str, Any]) -> torch.Tensor:
    out: torch.Tensor = unet(**inputs).sample
    return out


def guided(guidance: MorphologyGuidance, unet: Any, inputs: dict[str, Any], bodies: MorphologyRows) -> torch.Tensor:
    with torch.no_grad(), guidance.attached(unet, bodies):
        return answer(unet, inputs)


# --- absent it is not there


@pytest.mark.parametrize("kind", ["embedded", "sd15", "sdxl"])
def test_missing_sources_leave_the_backbone(kind: str) -> None:
    unet, inputs = backbone(kind)
    guidance = trained(unet)
    assert guidance.attentions.keys() == {path.replace(".", "/") for path in cross_attentions(unet)} != set()
    plain = answer(unet, inputs)
    present = guided(guidance, unet, inputs, rows())
    assert (present[0] - plain[0]).abs().max() > 1e-3
    # The background's row, beside a guided one: through the same hooks, and exactly the backbone's.
    assert torch.equal(present[1], plain[1])
    assert torch.equal(guided(guidance, unet, inputs, rows().only("none")), plain)
    fresh = MorphologyGuidance.for_unet(unet, width=16, dense_width=8)
    assert torch.equal(guided(fresh, unet, inputs, rows()), plain)


def test_confidence_zero_is_the_same_as_missing() -> None:
    unet, inputs = backbone("embedded")
    guidance = trained(unet)
    for missing, zero in (
        ({"keypoints": None}, {"keypoints": figure(0.3, 15, 2, confidence=0.0)}),
        ({"parts": None, "parts_confidence": 0.0}, {"parts_confidence": 0.0}),
        ({"others": ()}, {"others": (Other((30, 10, 90, 64), 0.0, True),)}),
    ):
        without = guided(guidance, unet, inputs, rows(**missing))
        assert torch.allclose(guided(guidance, unet, inputs, rows(**zero)), without, atol=1e-5)
        assert not torch.allclose(guided(guidance, unet, inputs, rows()), without, atol=1e-3)
    everything = replace(
        rows(), **{n: torch.zeros_like(getattr(rows(), n)) for n in ("limbs", "part_maps")},
        **{n: torch.full_like(getattr(rows(), n), 1e-12) for n in
           ("point_confidence", "part_confidence", "other_confidence")},
    )  # fmt: skip
    # Not only at zero: it fades there.
    assert torch.allclose(guided(guidance, unet, inputs, everything), answer(unet, inputs), atol=1e-4)


def test_each_source_counts_and_can_be_switched_off() -> None:
    unet, inputs = backbone("embedded")
    guidance = trained(unet)
    results = [guided(guidance, unet, inputs, rows().only(hmg)) for hmg in ("none", "all", *((s,) for s in SOURCES))]
    for i, a in enumerate(results):
        for b in results[:i]:
            assert not torch.allclose(a[0], b[0], atol=1e-4)
    assert sources_of("all") == set(SOURCES) and not sources_of("none")
    for wrong in ("pose", ("pose", "mood")):
        with pytest.raises(UsageError):
            sources_of(wrong)  # type: ignore[arg-type]


def test_dropout_is_by_row_and_source() -> None:
    many = MorphologyRows.build([BodyRow.nobody(CANVAS)] * 2000)
    many = replace(
        many, point_confidence=many.point_confidence + 1, part_confidence=many.part_confidence + 1,
        other_confidence=torch.ones(2000, 1), limbs=many.limbs + 1,
    )  # fmt: skip
    left = many.dropped(np.random.default_rng(0), pose=0.2, parsing=0.5, relations=0.0, everything=0.1)
    stays = [getattr(left, n).amax(1) for n in ("point_confidence", "part_confidence", "other_confidence")]
    shares = [float(s.mean()) for s in stays]
    assert shares == pytest.approx([0.72, 0.45, 0.9], abs=0.03)
    assert torch.equal(left.limbs.amax((1, 2, 3)), stays[0])  # the dense map goes with its source
    untouched = many.dropped(np.random.default_rng(0), 0, 0, 0, 0)
    assert torch.equal(untouched.point_confidence, many.point_confidence)
    assert many.dropped(np.random.default_rng(0), everything=1.0).missing


# --- attached and detached


def test_detached_whatever_happens() -> None:
    unet, inputs = backbone("embedded")
    guidance, plain = trained(unet), answer(unet, inputs)
    weights = {name: value.clone() for name, value in unet.state_dict().items()}
    processors = dict(unet.attn_processors)
    with pytest.raises(RuntimeError, match="stop"), guidance.attached(unet, rows()):
        answer(unet, inputs)
        raise RuntimeError("stop")
    assert torch.equal(answer(unet, inputs), plain)
    assert not any(module._forward_hooks for module in unet.modules())
    assert unet.attn_processors == processors
    assert all(torch.equal(value, weights[name]) for name, value in unet.state_dict().items())


def test_together_with_adapters_and_sma() -> None:
    unet, inputs = backbone("embedded")
    guidance, adapters = trained(unet), DomainAdapters.for_unet(unet, rank=2)
    for parameter in adapters.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    regions = RegionTokens(torch.rand(2, 1, 8, 16), torch.rand(2, 1, 8, 16))
    regions.amplitudes = FixedModulation(unet)(inputs["timestep"])
    gate = adapters.gate(["person", "background"])
    with torch.no_grad(), adapters.attached(unet, gate), sma_installed(unet, regions):
        plain = answer(unet, inputs)
        with guidance.attached(unet, rows()):
            present = answer(unet, inputs)
        assert torch.equal(answer(unet, inputs), plain)
    assert torch.equal(present[1], plain[1]) and not torch.allclose(present[0], plain[0], atol=1e-3)


def test_repeated_rows_of_guidance_free_training() -> None:
    unet, inputs = backbone("sd15")
    guidance = trained(unet)
    doubled = {name: torch.cat([value, value]) for name, value in inputs.items()}
    once, twice = (guided(guidance, unet, given, rows()) for given in (inputs, doubled))
    assert torch.allclose(twice, torch.cat([once, once]), atol=1e-5)


def test_rows_do_not_depend_on_their_neighbours() -> None:
    unet, inputs = backbone("embedded")
    guidance = trained(unet)
    crowded = somebody(others=tuple(Other((i, 0, i + 20.0, 40), 0.5, False) for i in range(3)), keypoints=None)
    beside = MorphologyRows.build([somebody(), crowded])
    assert beside.others.shape[1] == 3 and beside.where.shape[1] == 4
    alone, together = (guided(guidance, unet, inputs, given)[0] for given in (rows(), beside))
    assert torch.allclose(together, alone, atol=1e-4 * float(alone.abs().max()))


def test_another_architecture_is_one_sentence() -> None:
    guidance = trained(backbone("embedded")[0])
    for other in (backbone("sd15")[0], small_unet(PixelCodec(), (64, 32, 64))):
        with pytest.raises(MildError, match="does not fit this UNet") as caught, guidance.attached(other, rows()):
            pass
        assert "\n" not in str(caught.value)
        assert not any(module._forward_hooks for module in other.modules())


def test_gradients_flow_into_the_guidance_alone() -> None:
    unet, inputs = backbone("embedded")
    guidance = trained(unet)
    with guidance.attached(unet, rows()):
        answer(unet, inputs).square().mean().backward()
    assert all(p.grad is None for p in unet.parameters())
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in guidance.parameters())
    assert all(p.grad.abs().sum() > 0 for n, p in guidance.named_parameters() if n != "others.names.weight")


def test_save_and_load(tmp_path: Path) -> None:
    unet, inputs = backbone("embedded")
    guidance = trained(unet)
    guidance.save_pretrained(tmp_path)
    again = MorphologyGuidance.from_pretrained(tmp_path)
    assert torch.equal(guided(again, unet, inputs, rows()), guided(guidance, unet, inputs, rows()))
    half = MorphologyGuidance.from_pretrained(tmp_path, torch_dtype=torch.float16)
    assert half.dtype == torch.float16
    close = guided(half, unet, inputs, rows())
    assert close.dtype == torch.float32 and torch.isfinite(close).all()


# --- the attention


def test_the_attention_is_the_formula() -> None:
    query, key, value = (torch.randn(2, 3, n, 4, dtype=torch.float64) for n in (10, 5, 5))
    confidence = torch.rand(2, 5, dtype=torch.float64)
    confidence[1] = 0
    bias = -torch.rand(2, 3, 10, 5, dtype=torch.float64)
    weights = confidence[:, None, None] * (query @ key.transpose(2, 3) / 2 + bias).exp()
    wanted = weights @ value / (1 + weights.sum(-1, keepdim=True))
    found = guided_attention(query, key, value, confidence.log(), bias)
    assert torch.allclose(found, wanted, atol=1e-12)
    assert (found[1] == 0).all()


def test_tokens_speak_where_their_person_is() -> None:
    unet, inputs = backbone("embedded")
    guidance = trained(unet)
    torch.nn.init.zeros_(guidance.dense.out.weight)
    for attention in guidance.attentions.values():
        torch.nn.init.constant_(attention.away, 25.0)  # as good as never elsewhere
    path = next(p for p in cross_attentions(unet) if p.startswith("down_blocks.1"))
    seen: dict[str, torch.Tensor] = {}
    modules = dict(unet.named_modules())
    for other in guidance.attentions:
        if other != path.replace(".", "/"):
            torch.nn.init.zeros_(guidance.attentions[other].to_out.weight)
    handle = modules[path].register_forward_hook(lambda m, a, o: seen.__setitem__("plain", o))
    with torch.no_grad(), guidance.attached(unet, rows(others=())):
        late = modules[path].register_forward_hook(lambda m, a, o: seen.__setitem__("guided", o))
        answer(unet, inputs)
    handle.remove()
    late.remove()
    change = (seen["guided"] - seen["plain"])[0].norm(dim=-1).view(4, 8)
    assert change[1, 1] > 1e-3 and change[:, 5:].max() < 1e-6


# --- what is known of a row


def scene(points: NDArray[np.float32] | None, size: tuple[int, int] = (220, 300)) -> Scene:
    """Person 2 stands in front of person 1, who has these joints."""
    first, second = np.zeros(size, bool), np.zeros(size, bool)
    first[10:210, 60:140], second[60:215, 110:200] = True, True
    first &= ~second
    people = (Person.from_mask(1, first, keypoints=points), Person.from_mask(2, second, score=0.8))
    return Scene(Photo.of(np.full((*size, 3), 128, np.uint8)), people, (1, 2))


def bodies_of(given: Scene, resolution: int = 128) -> list[BodyRow]:
    plan = plan_layers(given, (2,), Region.model_validate({}), resolution=resolution)
    assert [layer.domain for layer in plan.layers] == ["background", "person"]
    return [BodyRow.of(given, layer) for layer in plan.layers]


def test_rows_of_a_scene() -> None:
    points = figure(1.0, 50, 10)
    given = scene(points)
    background, person = bodies_of(given)
    assert MorphologyRows.build([background]).missing
    plan = plan_layers(given, (2,), Region.model_validate({}), resolution=128).layers[1]
    assert person.canvas == plan.bucket and person.keypoints is not None and person.parts is not None
    nose = (points[0, :2] + 0.5 - [plan.crop.x0, plan.crop.y0]) * plan.scale - 0.5
    assert person.keypoints[0, :2] == pytest.approx(nose, abs=0.6)
    assert person.parts_confidence == pytest.approx(0.45)
    x, y = np.rint(person.keypoints[0, :2]).astype(int)
    assert person.parts[y, x] == body.PARTS["head"]
    (other,) = person.others
    assert other.front and other.score == pytest.approx(0.8)
    assert other.box[0] == pytest.approx((110 - plan.crop.x0) * plan.scale, abs=0.6)
    assert other.box[2] > other.box[0]
    built = MorphologyRows.build([BodyRow.of(given, plan)]).only(("pose",))
    assert built.point_confidence.max() > 0 and built.limbs.max() > 0
    assert not built.part_confidence.any() and not built.part_maps.any() and not built.other_confidence.any()
    inside = built.points[0, :, 4] + built.points[0, :, 5]
    assert inside[0] == 1 and built.points[0, 9, 5] == 1  # the left wrist is behind the other: in the hole


def test_a_person_without_joints_has_no_pose() -> None:
    for points in (None, figure(confidence=0.0)):
        person = bodies_of(scene(points))[1]
        assert person.keypoints is None and person.parts is None
        built = MorphologyRows.build([person])
        assert not built.point_confidence.any() and not built.limbs.any() and built.other_confidence.all()


def test_joints_outside_the_photo_do_not_count() -> None:
    points = figure(1.0, 50, 10)
    points[15, :2], points[16, :2] = (130, 5000), (-3, 100)
    checked = body.checked_keypoints(points, (220, 300), "person 1")
    assert checked is not None and not checked[15:, 2].any() and checked[:15, 2].all()
    assert tuple(checked[15, :2]) == (130, 219) and tuple(checked[16, :2]) == (0, 100)
    person = bodies_of(scene(points))[1]
    assert person.keypoints is not None and not person.keypoints[15:, 2].any()
    assert points[15, 1] == 5000  # the scene stays as it was


@pytest.mark.parametrize("wrong", [np.full((17, 3), np.nan), np.full((17, 3), np.inf), np.zeros((33, 3))])
def test_joints_that_are_none_are_one_sentence(wrong: NDArray[np.float32]) -> None:
    given = scene(wrong.astype(np.float32))
    plan = plan_layers(scene(None), (2,), Region.model_validate({}), resolution=128)
    with pytest.raises(MildError, match="keypoints of person 1") as caught:
        BodyRow.of(given, plan.layers[1])
    assert "\n" not in str(caught.value)
    with pytest.raises(MildError, match="keypoints of person 1"):
        plan_layers(given, (2,), Region.model_validate({}), resolution=128)


# --- body regions


def test_coarse_parts_of_a_figure() -> None:
    points = figure(2.0, 20, 10)
    mask = np.zeros((430, 240), bool)
    mask[5:420, 20:220] = True
    parts = body.coarse_parts(mask, points)
    assert parts.shape == mask.shape and parts.dtype == np.uint8 and not parts[~mask].any()

    def at(*joints: int, weight: float = 0.5) -> str:
        place = (
            points[list(joints), :2].mean(0)
            if len(joints) == 1 or weight == 0.5
            else (points[joints[0], :2] * (1 - weight) + points[joints[1], :2] * weight)
        )
        return body.PART_NAMES[parts[round(float(place[1])), round(float(place[0]))]]

    assert at(0) == at(3) == "head"
    assert at(5, 6, 11, 12) == "torso"
    assert at(7, 9) == at(6, 8) == "arms"
    assert at(7, 9, weight=1.3) == "hands"
    assert at(11, 13) == at(14, 16) == "legs"
    assert at(13, 15, weight=1.15) == "feet"
    assert body.PART_NAMES[parts[6, 21]] == "belongings"  # the whole pose is known, and this is far from all of it
    points[7:11, 2] = 0
    assert body.coarse_parts(mask, points)[6, 21] == 0  # an arm may be there
    assert not body.coarse_parts(mask, figure(confidence=0.0)).any()


def test_a_flip_exchanges_left_and_right() -> None:
    points = figure()
    twice = body.mirrored_keypoints(body.mirrored_keypoints(points, 100), 100)
    assert np.array_equal(twice, points)
    assert body.mirrored_keypoints(points, 100)[5, 0] == 99 - points[6, 0]


def test_limbs_are_as_sure_as_their_less_sure_end() -> None:
    points = figure(0.3)
    points[9, 2], points[10, 2] = 0.5, 0.0
    limbs = dict(zip(body.LIMBS, body.limb_map(points, (60, 40)), strict=True))
    assert limbs["left_forearm"].max() == pytest.approx(0.5, abs=0.06) and not limbs["right_forearm"].any()
    assert limbs["torso"].max() == pytest.approx(0.9, abs=0.1)
    assert not body.limb_map(figure(1.0, 1000, -900), (60, 40)).any()


@pytest.mark.parametrize(
    ("label", "part"),
    [
        ("Background", "nothing"), ("Hair", "head"), ("Sunglasses", "head"), ("Upper-clothes", "torso"),
        ("Left-shoe", "feet"), ("Right-leg", "legs"), ("Left-arm", "arms"), ("Bag", "belongings"),
        ("Scarf", "belongings"), ("Glove", "hands"), ("Left_Upper_Arm", "arms"), ("Face_Neck", "head"),
        ("Right_Hand", "hands"), ("handbag", "belongings"), ("Lower_Clothing", "legs"), ("Torso-skin", "torso"),
        ("LABEL_3", "nothing"), ("LeftFoot", "feet"), ("Pants", "legs"), ("Dress", "torso"),
    ],
)  # fmt: skip
def test_parsers_labels_become_ours(label: str, part: str) -> None:
    assert parsing.part_of(label) == part


def segformer(folder: Path, names: dict[int, str]) -> str:
    """A tiny SegFormer with random weights, and its processor, in a folder."""
    from transformers import SegformerConfig, SegformerForSemanticSegmentation, SegformerImageProcessor

    config = SegformerConfig(
        depths=[1, 1, 1, 1], hidden_sizes=[8, 8, 8, 8], num_attention_heads=[1, 1, 1, 1], decoder_hidden_size=8,
        num_labels=len(names), id2label=names, label2id={n: i for i, n in names.items()},
    )  # fmt: skip
    SegformerForSemanticSegmentation(config).save_pretrained(folder)
    SegformerImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)
    return str(folder)


def test_a_segformer_parses_people(tmp_path: Path) -> None:
    folder = segformer(tmp_path / "parser", {0: "Face", 1: "Pants", 2: "Bag"})
    given = scene(None)
    assert parsing.with_parts(given, [2], folder).people[0].parts is None
    parsed = parsing.with_parts(given, model=folder)
    for person in parsed.people:
        assert person.parts is not None and person.parts.shape == person.mask.shape
        assert not person.parts[~person.mask].any()
        assert set(np.unique(person.parts[person.mask])) <= {1, 5, 7}
    row = bodies_of(parsed)[1]
    assert row.parts is not None and row.parts_confidence == 1.0 and row.keypoints is None
    assert parsing.with_parts(parsed, None, folder) is parsed  # nobody is parsed twice


def test_no_parser_is_no_fault_unless_one_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsing.assets, "installed", lambda task, default: [])
    given = scene(None)
    assert parsing.with_parts(given) is given
    with pytest.raises(MildError, match="not on this machine"):
        parsing.with_parts(given, None, str(tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(MildError, match="cannot be used"):
        parsing.with_parts(given, None, str(tmp_path / "empty"))
    with pytest.raises(UsageError, match="no body regions"):
        parsing.with_parts(given, None, segformer(tmp_path / "street", {0: "road", 1: "sky"}))


# --- training


@pytest.mark.parametrize("seed", range(4))
def test_joints_of_a_cut_out_go_where_it_goes(seed: int) -> None:
    """The left wrist is a red spot: in the row it is found where the keypoint says, flipped or not."""
    cutout = np.zeros((160, 80, 4), np.uint8)
    cutout[..., 2], cutout[..., 3] = 200, 255
    cutout[94:107, 14:27, :3] = (255, 0, 0)
    joints = [[0, 0, 0]] * 17
    joints[9], joints[10] = [20, 100, 2], [60, 40, 1]

    class Photos:
        people = ({"keypoints": joints},)
        occluders = ({},)

        def rgba(self, entry: dict[str, Any]) -> NDArray[np.uint8]:
            return cutout if entry else cutout[:, :40]

    row = person_row(np.random.default_rng(seed), Photos(), 128)  # type: ignore[arg-type]
    assert row.keypoints is not None and row.front is not None and row.front.area > 0
    found = [i for i in (9, 10) if row.keypoints[i, 2] == 1.0]
    x, y = np.rint(row.keypoints[found[0], :2]).astype(int)
    assert row.rgba[y, x, 0] > 200 and len(found) == 1
    assert sorted(row.keypoints[9:11, 2]) == pytest.approx([0.3, 1.0])


def test_side_files_only_for_rows_that_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    regions = np.ones((64, 64), np.uint8)
    picture = np.full((64, 64, 4), 255, np.uint8)

    def made(ingredients: Any, seed: int, index: int, size: int) -> Row:
        if index % 2 == 0:
            return Row("background", picture, regions)
        return Row("person", picture, regions + seed, figure(0.3), Box(1, 2, 30, 40))

    monkeypatch.setattr(cache, "SHARD", 4)
    monkeypatch.setattr(cache, "make_row", made)
    monkeypatch.setattr(Ingredients, "open", lambda root, split: None)
    np.save(tmp_path / "rows-00000.npy", np.dstack([picture, *[regions] * 5])[None].repeat(4, 0))
    with pytest.raises(MildError, match=r"Row 1 of .* was not made"):
        cache.write_bodies("data", "train", str(tmp_path), 0, 64, 1)
    assert not list(tmp_path.glob("bodies-*"))
    stored = np.load(cache.write_bodies("data", "train", str(tmp_path), 0, 64, 0))
    assert stored["people"][:, 0].tolist() == [[0] * 6, [1, 2, 30, 40, 1, 1]] * 2 and not stored["people"][:, 1:].any()
    assert np.array_equal(stored["keypoints"][3], figure(0.3)) and not stored["keypoints"][0].any()


# --- the switch


def test_the_request_s_switch() -> None:
    for value in ("all", "none", ("pose",), ("parsing", "relations")):
        request = EraseRequest.build(method={"hmg": value})
        assert request.method.parts.hmg == value
        assert EraseRequest.model_validate_json(request.model_dump_json()) == request
    for wrong in ("pose", [], ["mood"], 3, None, [["pose"]]):
        with pytest.raises(
            UsageError, match=r"^method.parts.hmg: say all, none, or some of pose, parsing, relations\.$"
        ):
            EraseRequest.build(method={"hmg": wrong})


# --- the pipeline


def pipeline(morphology: bool) -> MildPipeline:
    torch.manual_seed(1)
    unet, _ = backbone("embedded")
    adapters, modulation = DomainAdapters.for_unet(unet, rank=2), SpatialModulation.for_unet(unet)
    guidance = trained(unet) if morphology else None
    made = MildPipeline(unet, noise_scheduler(), PixelCodec(), adapters, modulation, morphology=guidance)
    made.set_progress_bar_config(disable=True)
    return made


def made_by(pipe: MildPipeline, **switches: Any) -> list[NDArray[np.uint8]]:
    """The layers of a job: the background's, then the completed person's."""
    given = scene(figure(1.0, 50, 10))
    plan = plan_layers(given, (2,), Region.model_validate({}), resolution=64)
    generator = torch.Generator().manual_seed(0)
    result = pipe(scene=given, plan=plan, num_inference_steps=2, generator=generator, output_type="np", **switches)
    layers = {layer.owner: layer.rgba for layer in result.stacks[0].layers}
    return [layers[None], layers[1]]


def test_the_pipeline_is_guided_by_source(tmp_path: Path) -> None:
    without, guided_pipe = pipeline(False), pipeline(True)
    plain, told, off = made_by(without), made_by(guided_pipe), made_by(guided_pipe, hmg="none")
    assert np.array_equal(plain[0], told[0])  # the background is told nothing
    assert not np.array_equal(plain[1], told[1])
    assert all(np.array_equal(a, b) for a, b in zip(plain, off, strict=True))
    posed = made_by(guided_pipe, hmg=("pose",))
    assert not np.array_equal(posed[1], told[1]) and not np.array_equal(posed[1], plain[1])
    with pytest.raises(UsageError, match="morphology source"):
        made_by(guided_pipe, hmg=("mood",))

    guided_pipe.save_pretrained(tmp_path / "with")
    without.save_pretrained(tmp_path / "without")
    again = MildPipeline.from_pretrained(tmp_path / "with")
    assert all(np.array_equal(a, b) for a, b in zip(made_by(again), told, strict=True))
    assert MildPipeline.from_pretrained(tmp_path / "without").morphology is None
    index = tmp_path / "without" / "model_index.json"
    older = {name: part for name, part in json.loads(index.read_text()).items() if name != "morphology"}
    index.write_text(json.dumps(older))  # as saved before there was such a part
    assert MildPipeline.from_pretrained(tmp_path / "without").morphology is None


def test_guidance_of_another_backbone_is_refused_when_loaded() -> None:
    unet, _ = backbone("embedded")
    foreign = trained(backbone("sd15")[0])
    with pytest.raises(MildError, match="does not fit this UNet"):
        MildPipeline(unet, noise_scheduler(), PixelCodec(), morphology=foreign)
