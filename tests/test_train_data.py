"""What training is fed: rows with exact truth, batches composed in tensors, rows from samples, configs."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mild.diffusion.attention import SeenAttention
from mild.diffusion.cag import CagProbe, ProbedLayer
from mild.diffusion.rows import LayerRows
from mild.errors import MildError, UsageError
from mild.lab.data.cutouts import clean_cutout
from mild.lab.data.ingredients import Ingredients
from mild.lab.data.partial import SEVERE, VisiblePeople, partial_row
from mild.lab.data.rows import FOREIGN, HOLE, OWN, background_row, person_row
from mild.lab.data.store import write_shard as write_samples
from mild.lab.train import losses
from mild.lab.train.batches import RowSource, augmented, collate, degraded, judged_batches, shrunk
from mild.lab.train.bodies import doubted
from mild.lab.train.cache import from_samples, from_visible, write_fills, write_shard
from mild.lab.train.config import DataConfig, Degrade, LossConfig, OptimiserConfig, RunConfig
from mild.lab.train.loop import Turn, rate_at
from mild.lab.train.rowfiles import BACKGROUND, PERSON, WHOLE, RowFiles
from mild.lab.train.samplerows import layer_plan, packed_rows, whole_plan
from mild.lab.train.settings import build
from mild.lab.train.shards import claim
from mild.lab.train.stream import ShardIndex, StreamSource
from mild.plan.planning import plan_layers
from mild.request import Region
from samples import tiny_sample
from tiny_rows import write_rows

#: Rows of the small cache.
COUNT = 20


@pytest.fixture(autouse=True)
def one_core() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _webp(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", lossless=True)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small folder of ingredients: two backgrounds and three drawn people."""
    folder = tmp_path_factory.mktemp("ingredients")
    rng = np.random.default_rng(0)
    entries, files = [], {}
    for i in range(2):
        pixels = np.kron(rng.integers(0, 255, (12, 12, 3)), np.ones((14, 14, 1))).astype(np.uint8)
        files[f"b/{i}.webp"] = _webp(Image.fromarray(pixels))
        entries.append({"kind": "background", "file": f"b/{i}.webp", "size": [168, 168], "scene_kind": "scene"})
    for i in range(3):
        body = np.zeros((160, 60, 4), np.uint8)
        body[..., :3] = rng.integers(0, 255, 3)
        body[4:40, 15:45, 3] = 255
        body[36:158, 8:52, 3] = 255
        files[f"p/{i}.webp"] = _webp(Image.fromarray(body))
        flags = {"full_body": True, "truncated": False, "occluded": False}
        entries.append({"kind": "person", "file": f"p/{i}.webp", "size": [60, 160], **flags})
    with tarfile.open(folder / "photos.tar", "w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    lines = [json.dumps({**entry, "shard": "photos.tar", "split": "train", "licence": "CC0"}) for entry in entries]
    (folder / "manifest.jsonl").write_text("\n".join(lines))
    return folder


# --- rows from ingredients


def test_rows_have_the_three_regions(photos: Path) -> None:
    ingredients = Ingredients.open(photos, "train")
    for make, seed in ((background_row, 1), (person_row, 2)):
        row = make(np.random.default_rng(seed), ingredients, 64)
        assert row.rgba.shape == (64, 64, 4)
        assert set(np.unique(row.regions)) <= {FOREIGN, OWN, HOLE}
        assert (row.regions == HOLE).any() and (row.regions == OWN).any()


def test_a_person_row_owns_only_the_person(photos: Path) -> None:
    row = person_row(np.random.default_rng(5), Ingredients.open(photos, "train"), 96)
    assert (row.rgba[..., 3][row.regions == OWN] > 127).all()


def test_a_cut_out_loses_its_halo() -> None:
    rgba = np.zeros((40, 40, 4), np.uint8)
    rgba[10:30, 10:30] = (0, 200, 0, 255)
    rgba[9, 10:30] = (255, 255, 255, 255)  # a bright rim of the old background
    cleaned = clean_cutout(rgba)
    assert cleaned[9, 20, 3] < 128
    assert cleaned[9, 20, 1] == 200 and cleaned[9, 20, 0] == 0


def test_ingredients_without_a_manifest(tmp_path: Path) -> None:
    with pytest.raises(MildError, match="manifest"):
        Ingredients.open(tmp_path, "train")


@pytest.fixture(scope="session")
def cache(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mild.lab.train.cache.SHARD", COUNT)
        write_shard(str(photos), "train", str(folder), 0, 64, 0)
    return folder


def test_shards_are_the_same_bytes_again(
    photos: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mild.lab.train.cache.SHARD", COUNT)
    path = write_shard(str(photos), "train", str(tmp_path), 0, 64, 0)
    assert path.read_bytes() == (cache / path.name).read_bytes()


def test_second_fills_differ_in_the_hole_only(cache: Path, tmp_path: Path) -> None:
    rows = np.load(cache / "rows-00000.npy")[:6]
    np.save(tmp_path / "rows-00000.npy", rows)
    fills = np.load(write_fills(str(tmp_path), 0))
    hole = rows[..., 4] == HOLE
    assert np.array_equal(fills[~hole], rows[..., :3][~hole])
    assert not np.array_equal(fills[hole], rows[..., 6:9][hole])
    files = RowFiles(tmp_path)
    stored = files.gather(torch.arange(6), torch.tensor([True, False] * 3)).numpy()
    assert np.array_equal(stored[::2, ..., 6:9], fills[::2]) and np.array_equal(stored[1::2], rows[1::2])


# --- rows of every visible person


@pytest.fixture(scope="session")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cut-out that was cut off at the hip, and a scene of two people side by side; person 2 has joints."""
    folder = tmp_path_factory.mktemp("crowd")
    rng = np.random.default_rng(0)
    half = np.full((100, 50, 4), 255, np.uint8)
    half[..., :3] = rng.integers(0, 255, 3)
    half[:80, :20, 3] = half[:80, 30:, 3] = 0
    scene, mask = np.full((140, 160, 3), 90, np.uint8), np.zeros((140, 160), np.uint8)
    mask[20:120, 20:60], mask[30:130, 60:100] = 1, 2
    scene[mask == 1], scene[mask == 2] = (250, 0, 0), (0, 250, 0)
    Image.fromarray(half).save(folder / "half.png")
    Image.fromarray(scene).save(folder / "scene.png")
    Image.fromarray(mask).save(folder / "mask.png")
    joints = np.tile([[80, 60, 2]], (17, 1)).ravel().tolist()
    lines = [
        {"kind": "person", "file": "half.png", "size": [50, 100], "full_body": False, "truncated": True},
        {"kind": "scene", "file": "scene.png", "mask": "mask.png", "size": [160, 140], "keypoints": [[0] * 51, joints]},
    ]
    text = "\n".join(json.dumps({**line, "split": "train", "licence": "CC0"}) for line in lines)
    (folder / "manifest.jsonl").write_text(text)
    return folder


def test_every_visible_person_is_known(crowd: Path) -> None:
    people = VisiblePeople.open(crowd, "train")
    assert len(people) == 3
    half, red, green = (people.person(i) for i in range(3))
    assert half is not None and red is not None and green is not None
    assert half.cut == (False, False, False, True), "cut off below, for all of that side is covered"
    assert red.cut == green.cut == (False,) * 4 and red.keypoints is None and green.keypoints is not None
    assert red.blocked[:, -2:].any() and not red.blocked[:, :40].any(), "where the neighbour is, nobody knows"
    assert green.keypoints[0, :2].tolist() == [80 - 58, 60 - 28]
    assert (red.rgba[..., :3][red.rgba[..., 3] > 127] == (250, 0, 0)).all()


def test_a_covered_part_is_to_be_given_back(crowd: Path) -> None:
    people = VisiblePeople.open(crowd, "train")
    hidden = 0
    for seed in range(12):
        row, others = partial_row(np.random.default_rng(seed), people, 128)
        own, hole = row.regions == OWN, row.regions == HOLE
        assert (row.rgba[..., 3][own] > 127).all() and hole.sum() >= 16 and row.domain == "person"
        ys, xs = np.flatnonzero((own | hole).any(1)), np.flatnonzero((own | hole).any(0))
        assert ys[0] <= 8 and xs[0] <= 8, "as a crop lies on its canvas"
        assert any(front and box.area for box, front in others)
        hidden += int((row.rgba[..., 3][hole] > 127).sum())
    assert hidden > 200
    again, _ = partial_row(np.random.default_rng(11), people, 128)
    assert np.array_equal(again.rgba, row.rgba) and np.array_equal(again.regions, row.regions)


def test_of_the_severely_covered_much_is_hidden(crowd: Path) -> None:
    people = VisiblePeople.open(crowd, "train")
    for seed in range(6):
        row, _ = partial_row(np.random.default_rng(seed), people, 128, severe=1.0)
        body = row.rgba[..., 3] > 127
        # The margin of the mask is no part of what the outline hides.
        assert SEVERE[0] - 0.02 <= 1 - (row.regions == OWN)[body].mean() <= SEVERE[1] + 0.05


def test_a_cache_of_covered_people_goes_beside_other_rows(
    crowd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mild.lab.train.cache.SHARD", 4)
    for folder in ("a", "b"):
        from_visible(str(crowd), "train", str(_made(tmp_path / folder)), 0, 64, 3)
    path = tmp_path / "a" / "rows-p00000.npy"
    assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    files = RowFiles(tmp_path / "a")
    assert (files.kinds == PERSON).all() and (files.people[:, 0, 4] > 0).all()
    data = DataConfig(rows=str(tmp_path / "a"), size=64, people=1.0, large_every=0)
    batch = RowSource(files, data, 4, bodies=True, whole=False).batch(Turn(0, 0))
    assert batch.bodies is not None and float(batch.bodies.other_confidence.max()) > 0


# --- batches


def source(folder: Path, **changes: object) -> RowSource:
    data = DataConfig(rows=str(folder), size=32, **changes)  # type: ignore[arg-type]
    return RowSource(RowFiles(folder), data, 8, bodies=False, whole=False)


def test_a_batch_blanks_what_is_foreign(cache: Path) -> None:
    batch = source(cache).batch(Turn(0, 0))
    rows = batch.rows
    outside = (rows.foreign > 0).expand(-1, 3, -1, -1)
    assert (rows.visible[outside] == 0).all() and (rows.fill[outside] == 0).all()
    assert (rows.own * rows.hole).max() == 0
    assert batch.target.shape == (8, 4, 32, 32) and len(RowFiles(cache)) == COUNT


def test_a_turn_says_all_about_its_batch(cache: Path) -> None:
    one, two, other = (source(cache).batch(turn).target for turn in (Turn(3, 5), Turn(3, 5), Turn(3, 6)))
    assert torch.equal(one, two) and not torch.equal(one, other)
    ranks = [source(cache).batch(Turn(3, 5, rank=rank)).target for rank in (0, 1)]
    assert not torch.equal(*ranks)


def test_a_shrunk_view_owns_only_pure_pixels(cache: Path) -> None:
    stored = RowFiles(cache).gather(torch.arange(4))
    image = shrunk(stored, 2).numpy()
    region = stored[..., 4].numpy().reshape(4, 32, 2, 32, 2)
    assert np.array_equal(image[:, 5] > 0, (region == HOLE).any((2, 4)))
    assert np.array_equal(image[:, 4] > 0, (region == OWN).all((2, 4)))


def test_crops_hold_a_part_of_the_hole_and_lie_where_they_say(cache: Path) -> None:
    stored = RowFiles(cache).gather(torch.arange(COUNT))
    views, place = augmented(stored, 32, 0.0, torch.Generator().manual_seed(1))
    assert (views[:, 5].flatten(1).sum(1) > 0).all()
    for b in range(COUNT):
        row = stored[b].flip(1) if place.flip[b] else stored[b]
        y, x = int(place.y[b]), int(place.x[b])
        assert torch.equal(views[b, 5] > 0, row[y : y + 32, x : x + 32, 4] == HOLE)


def test_a_row_that_fits_into_the_view_is_seen_whole_at_its_own_size(cache: Path) -> None:
    stored = RowFiles(cache).gather(torch.arange(COUNT))
    stored[:, 32:, :, 4], stored[:, :, 32:, 4] = FOREIGN, FOREIGN
    stored[:, :4, :4, 4] = HOLE
    # However many are asked to be shrunk: when erasing nothing is made smaller than its canvas.
    for share in (0.0, 1.0):
        views, place = augmented(stored, 32, share, torch.Generator().manual_seed(1))
        assert place.flip.any() and not place.flip.all() and (place.factor == 1).all()
        for b in range(COUNT):
            seen = views[b, 5].flip(1) if place.flip[b] else views[b, 5]
            assert torch.equal(seen > 0, stored[b, :32, :32, 4] == HOLE)


def test_the_share_of_people_is_kept(cache: Path) -> None:
    for share, expected in ((0.0, 0), (1.0, 8)):
        batch = source(cache, people=share).batch(Turn(0, 1))
        assert batch.rows.domains.count("person") == expected


def test_every_kind_of_damage_to_the_prior() -> None:
    fill = torch.rand(64, 3, 16, 16) * 2 - 1
    draw = torch.Generator().manual_seed(0)
    shares = Degrade(blank=0.25, moved=0.25, noisy=0.25, blurred=0.25)
    out = degraded(fill, shares, draw)
    blank = (out == 0).all(3).all(2).all(1)
    assert 8 < int(blank.sum()) < 25
    # A place that is moved by nothing is the same place.
    assert sum(torch.equal(a, b) for a, b in zip(out, fill, strict=True)) < 4
    sums = {tuple(sorted(row.flatten().tolist())) for row in fill}
    assert 4 < sum(tuple(sorted(row.flatten().tolist())) in sums for row in out) < 30, "moved rows keep their pixels"
    untouched = degraded(fill, Degrade(blank=0, moved=0, noisy=0, blurred=0), draw)
    assert torch.equal(untouched, fill)


def test_rows_in_memory_equal_rows_on_disk(cache: Path) -> None:
    index = torch.tensor([3, 19, 7])
    assert torch.equal(RowFiles(cache, resident="yes").gather(index), RowFiles(cache, resident="no").gather(index))


def test_joints_follow_the_crop(tmp_path: Path) -> None:
    """The tokens' positions are those of the joints in the view, flipped or not."""
    folder = write_rows(tmp_path / "rows", count=4, size=64)
    files = RowFiles(folder)
    files.keypoints[:, :, :2], files.keypoints[:, :, 2] = (20.0, 30.0), 1.0
    files.keypoints[0::2] = 0
    data = DataConfig(rows=str(folder), size=64, people=1.0, posed=1.0, large_every=0)
    batch = RowSource(files, data, 16, bodies=True, whole=False).batch(Turn(0, 0))
    assert batch.bodies is not None
    seen = batch.bodies.points[..., :2][batch.bodies.point_confidence > 0]
    column = torch.minimum((seen[:, 0] - 20 / 64).abs(), (seen[:, 0] - 43 / 64).abs())
    assert column.max() < 0.12 and (seen[:, 1] - 30 / 64).abs().max() < 0.12


def test_doubted_joints() -> None:
    own = np.ones((128, 128), bool)
    own[:, 64:] = False
    points = np.full((17, 3), 1.0, np.float32)
    points[:, 0], points[:, 1] = np.linspace(5, 120, 17), np.linspace(10, 118, 17)
    hidden = points[:, 0] > 64
    draws = np.stack([doubted(np.random.default_rng(i), points, own) for i in range(200)])
    assert (draws[..., 2] >= 0).all() and (draws[..., 2] <= 1).all()
    spread, sure = draws[..., 0].std(0), draws[..., 2].mean(0)
    assert spread[hidden].min() > spread[~hidden].max() and sure[hidden].max() < sure[~hidden].min()


# --- rows from samples


def test_rows_of_a_sample_are_what_the_planner_shows() -> None:
    sample = tiny_sample(size=(96, 128))
    rows = packed_rows(sample, 64, np.random.default_rng(0), whole=True)
    kinds = [int(row.pixels[0, 0, 5]) for row in rows]
    assert set(kinds) == {BACKGROUND, WHOLE, PERSON} or set(kinds) == {BACKGROUND, WHOLE}
    for row in rows:
        assert row.pixels.shape == (64, 64, 10)
        hole = row.pixels[..., 4] == HOLE
        own = row.pixels[..., 4] == OWN
        assert hole.any() and own.any()
        assert np.array_equal(row.pixels[..., 6:9][own], row.pixels[..., :3][own]), "outside the hole: the evidence"
    ground, whole = (next(r for r in rows if r.pixels[0, 0, 5] == kind) for kind in (BACKGROUND, WHOLE))
    assert (ground.pixels[..., 4] == FOREIGN).sum() > (whole.pixels[..., 4] == FOREIGN).sum()


def test_layers_and_a_single_path_have_the_same_hole() -> None:
    sample = tiny_sample(size=(96, 128))
    scene, region = sample.scene(), Region(feather=0.0)
    plan = layer_plan(scene, sample.erased, region, 128)
    single, other = whole_plan(scene, plan, region, 128)
    holes = []
    for its_scene, its_plan in ((scene, plan), (single, other)):
        hole = np.zeros(its_scene.size, bool)
        for box, matte in its_plan.mattes.values():
            hole[box.slices] |= matte > 0
        holes.append(hole)
    assert np.array_equal(*holes)
    assert plan_layers(single, (1,), region).layers[0].domain == "background"


def test_a_real_photo_has_no_rows() -> None:
    assert packed_rows(tiny_sample(truth="none"), 64, np.random.default_rng(0)) == []


def test_a_cache_of_samples_is_the_same_bytes_again(tmp_path: Path) -> None:
    write_samples(tmp_path / "set" / "train-00000.tar", [tiny_sample(f"{i:06d}", i, (96, 128)) for i in range(3)])
    paths = [from_samples(str(tmp_path / "set"), str(_made(tmp_path / n)), 0, 64, 0, True, False) for n in "ab"]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    files = RowFiles(tmp_path / "a")
    assert {BACKGROUND, WHOLE} <= set(files.kinds.tolist())
    layers = RowSource(files, DataConfig(rows="x", size=32), 4, bodies=True, whole=False).batch(Turn(0, 0))
    assert layers.parts is not None and len(layers) == 4
    assert len(judged_batches(files, 2, 32, bodies=True, whole=True)[0]) == 2


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_a_stream_depends_on_the_turn_alone(tmp_path: Path) -> None:
    for shard in range(2):
        made = [tiny_sample(f"{shard}{i:05d}", 10 * shard + i, (96, 128)) for i in range(3)]
        write_samples(tmp_path / f"train-{shard:05d}.tar", made)
    index = ShardIndex.of(tmp_path)
    assert len(index) == 6
    assert sorted(map(tuple, index.order(0, 0).tolist())) == [(s, i) for s in range(2) for i in range(3)]
    assert not np.array_equal(index.order(0, 0), index.order(0, 1))
    data = DataConfig(samples=str(tmp_path), size=64, large_every=0, workers=0)
    setting = OptimiserConfig(batch=3)

    def batch(step: int) -> torch.Tensor:
        made = StreamSource(data, setting, 0, torch.device("cpu"), bodies=False, whole=False).batch(Turn(0, step))
        return made.target

    late = batch(1)
    streamed = StreamSource(data, setting, 0, torch.device("cpu"), bodies=False, whole=False)
    first = streamed.batch(Turn(0, 0)).target
    assert torch.equal(streamed.batch(Turn(0, 1)).target, late) and not torch.equal(first, late)


# --- losses


def layer_rows(count: int = 2, size: int = 16) -> LayerRows:
    hole = torch.zeros(count, 1, size, size)
    hole[:, :, 4:12, 4:12] = 1
    domains = ["background" if i % 2 == 0 else "person" for i in range(count)]
    rgb = torch.zeros(count, 3, size, size)
    return LayerRows.build(domains, rgb, 1 - hole, hole, rgb)


def test_losses_count_the_hole_alone() -> None:
    rows, config = layer_rows(), LossConfig()
    target = torch.rand(2, 4, 16, 16) * 2 - 1
    outside = target + (1 - rows.hole) * torch.randn(2, 4, 16, 16)
    assert float(losses.alpha_loss(outside, target, rows)) == 0
    assert float(losses.colour_loss(outside, target, rows, config)) == pytest.approx(np.log(config.floor), rel=1e-5)
    assert float(losses.recomposition_loss(outside, target, rows)) == 0
    inside = target + rows.hole * 0.5
    assert float(losses.alpha_loss(inside, target, rows)) > 0
    assert losses.colour_loss(inside, target, rows, config) > losses.colour_loss(target, target, rows, config)


def test_what_is_not_quite_likely_is_made_for_the_overlap_and_left_empty_for_the_square() -> None:
    """Four in ten pixels of the hole are the person, nobody knows which."""
    rows = layer_rows(20)
    there = torch.rand(20, 1, 16, 16, generator=torch.Generator().manual_seed(0)) < 0.4
    target = torch.cat([torch.zeros(20, 3, 16, 16), there.float() * 2 - 1], 1)

    def answer(alpha: float) -> torch.Tensor:
        return torch.cat([target[:, :3], torch.full_like(target[:, 3:], alpha)], 1)

    made, left = (float(losses.overlap_loss(answer(alpha), target, rows)) for alpha in (1.0, -1.0))
    assert made < left
    squares = [float(losses.alpha_loss(answer(alpha), target, rows)) for alpha in (-0.2, 0.2, 1.0)]
    assert squares[0] == min(squares)
    outside = target + (1 - rows.hole) * 0.5
    assert float(losses.overlap_loss(outside, target, rows)) == pytest.approx(0, abs=1e-6)


def test_structure_asks_for_contrast_where_the_square_asks_for_the_mean() -> None:
    """Stripes of which half the contrast is known: blurred or at full strength, the square is the same."""
    rows = layer_rows(2)
    stripes = torch.where(torch.arange(16) % 4 < 2, 0.4, -0.4).expand(2, 3, 16, 16)
    target = torch.cat([stripes, torch.ones(2, 1, 16, 16)], 1)

    def costs(colour: torch.Tensor) -> tuple[float, float]:
        answer = torch.cat([colour, target[:, 3:]], 1)
        square = losses.colour_loss(answer, target, rows, LossConfig(coarse=0))
        return float(losses.structure_loss(answer, target, rows)), float(square)

    (blur, one), (shift, other) = costs(0 * stripes), costs(stripes + 0.4)
    assert one == pytest.approx(other, rel=1e-3)
    assert shift < 0.5 * blur
    assert costs(stripes)[0] == pytest.approx(0, abs=1e-5)
    # The rest is known: nothing there costs anything.
    assert costs(stripes + (1 - rows.hole))[0] == pytest.approx(0, abs=1e-5)


def test_recomposition_costs_what_can_be_seen() -> None:
    rows = layer_rows()
    target = torch.full((2, 4, 16, 16), -0.5)
    target[0, 3], target[1, 3] = 1, -1  # the person is absent from the whole hole
    invisible = target.clone()
    invisible[1, :3] += 0.7  # another colour where nothing is
    assert float(losses.recomposition_loss(invisible, target, rows)) == 0
    opaque = target.clone()
    opaque[1, 3] = 1.0  # present, but of the background's own colour: nobody sees it
    assert float(losses.recomposition_loss(opaque, target, rows)) == pytest.approx(0, abs=1e-9)
    seen = invisible.clone()
    seen[1, 3] = 1.0
    assert float(losses.recomposition_loss(seen, target, rows)) > 0.05
    assert float(losses.recomposition_loss(target[:1], target[:1], layer_rows(1))) == 0


def test_the_texture_loss_wants_grain_not_the_same_grain() -> None:
    draw = torch.Generator().manual_seed(0)
    hole = torch.ones(1, 1, 64, 64)
    truth, other = (0.3 * torch.randn(1, 3, 64, 64, generator=draw) for _ in range(2))
    blurred = torch.nn.functional.avg_pool2d(truth, 5, 1, 2)
    cost = {n: float(losses.texture_loss(x, truth, hole)) for n, x in (("other", other), ("blurred", blurred))}
    assert cost["other"] < 0.2 * cost["blurred"] and float(losses.texture_loss(truth, truth, hole)) == 0
    assert float(losses.gradient_loss(truth + 0.5, truth, hole)) == pytest.approx(0, abs=1e-5)


def test_the_leak_penalty_is_what_the_probe_measures() -> None:
    torch.manual_seed(0)
    hole, foreign = torch.zeros(1, 16), torch.zeros(1, 16)
    hole[:, :6], foreign[:, 10:] = 1, 1
    query, key = torch.randn(1, 2, 16, 8), torch.randn(1, 2, 16, 8, requires_grad=True)
    beta, gamma = torch.tensor([[0.5, 2.0]]), torch.tensor([[0.1, 0.3]])
    penalty = losses.LeakPenalty(queries=6)
    penalty(SeenAttention("attn1", query, key, beta, gamma, hole, foreign))
    leaked = penalty.take()
    regions = torch.stack([1 - hole[0] - foreign[0], hole[0], foreign[0]]).view(3, 4, 4)
    probe = CagProbe()
    probe.start([ProbedLayer("layer", regions, 0)])
    probe.at(1.0)
    probe(SeenAttention("attn1", query, key.detach(), beta, gamma, hole, foreign))
    gap = float(probe.report()[0].cag[0, 0])
    assert float(leaked.detach()) == pytest.approx((1 - gap) / 2, abs=1e-5)
    leaked.backward()
    assert key.grad is not None and key.grad.abs().max() > 0


def test_the_critic_tells_real_from_made() -> None:
    torch.manual_seed(0)
    critic = losses.Critic(4, width=8, depth=2)
    hole = torch.ones(4, 1, 16, 16)
    optimiser = torch.optim.Adam(critic.parameters(), 1e-2)
    for _ in range(25):
        real, fake = torch.rand(4, 4, 16, 16), torch.rand(4, 4, 16, 16) * 0.2
        logits = [critic(x, 1 - hole, hole) for x in (real, fake)]
        cost = sum(
            (torch.relu(1 - s * x) * losses.patch_weight(hole, x)).sum() for s, x in zip((1, -1), logits, strict=True)
        )
        optimiser.zero_grad()
        cost.backward()
        optimiser.step()
    assert float(logits[0].detach().mean()) > float(logits[1].detach().mean()) + 0.5


# --- settings


def settings(**changes: object) -> dict[str, object]:
    return {"stage": "base", "out": "run", "data": {"rows": "rows"}, **changes}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"stage": "paint"}, "stage: Input should be"),
        ({"colour": 3}, "colour: there is no such setting."),
        ({"data": {}}, "data: name either rows (a cache) or samples (shards)."),
        ({"data": {"rows": "a", "samples": "b"}}, "data: name either rows"),
        ({"optimiser": {"steps": 5}}, "optimiser: a warm-up of 200 steps does not fit into 5 steps."),
        ({"optimiser": {"learning_rate": -1}}, "optimiser.learning_rate: Input should be greater than 0."),
        ({"model": {"channels": [30, 64]}}, "model.channels: give two or more widths that are multiples of 32."),
        ({"model": {"hmg": ["mood"]}}, "model.hmg: say all, none, or some of pose, parsing, relations."),
        ({"model": {"layers": False}}, "The single-path twin (model.layers: false) has neither SMA nor HMG"),
        ({"model": {"train": ["morphology"]}}, "Morphology cannot learn while model.hmg is none."),
        ({"model": {"train": []}}, "Nothing is to be trained"),
        ({"model": {"start": "x", "kept": ["adapters"]}}, "Model.kept names parts of model.start, and the unet is"),
        ({"stage": "adapters"}, "The stage adapters needs model.start"),
        ({"stage": "adapters", "model": {"start": "x", "train": ["unet"]}}, "The stage adapters leaves the backbone"),
        ({"loss": {"adversarial": 0.1}}, "The losses adversarial and teacher belong to the stage distill."),
        ({"data": {"rows": "a", "degrade": {"blank": 0.9, "moved": 0.9}}}, "data.degrade: blank, moved, noisy"),
    ],
)
def test_mistakes_are_told_in_a_sentence(changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(UsageError) as told:
        build(RunConfig, settings(**changes), "run.yaml")
    assert str(told.value).startswith("run.yaml is refused. ") and sentence in str(told.value)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("stage: base\nout: run\nfoo: 1\noptimiser: {steps: none}\n")
    with pytest.raises(UsageError) as told:
        RunConfig.load(tmp_path / "run.yaml")
    for sentence in ("foo: there is no such setting.", "optimiser.steps: ", "data: it must be given."):
        assert sentence in str(told.value)


def test_settings_are_changed_and_files_looked_for(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("stage: base\nout: run\ndata: {rows: nowhere, test: nowhere}\n")
    config = RunConfig.load(path, ["optimiser.steps=300", "model.hmg=[pose]", "precision=bf16"])
    assert config.optimiser.steps == 300 and config.model.hmg == ("pose",)
    assert config.trained == ("unet", "adapters", "modulation", "morphology")
    with pytest.raises(UsageError, match=r"data.rows: nowhere holds no cached rows.*data.test: nowhere holds"):
        config.check_files()
    with pytest.raises(UsageError, match="changes nothing"):
        RunConfig.load(path, ["optimiser.steps"])
    with pytest.raises(UsageError, match="There is no file"):
        RunConfig.load(tmp_path / "none.yaml")
    path.write_text("stage: [")
    with pytest.raises(UsageError, match="cannot be read as YAML"):
        RunConfig.load(path)


def test_the_rate_warms_up_holds_and_fades() -> None:
    setting = OptimiserConfig(steps=100, warmup=10, fade=0.3)
    rates = [rate_at(setting, step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1) and rates[10:70] == [1.0] * 60
    assert rates[99] == pytest.approx(1 / 30) and all(a >= b for a, b in pairwise(rates[10:]))


def test_collate_says_nothing_of_colour_where_nobody_is() -> None:
    views = torch.zeros(1, 10, 8, 8)
    views[:, 3], views[:, 5], views[:, 6], views[:, 7:] = -1, 1, 1, 0.5
    batch = collate(views)
    assert batch.rows.domains == ("person",) and torch.equal(batch.target[:, :3], batch.rows.fill)


# --- what a cache lacks


def test_found_joints_of_no_use_are_told(tmp_path: Path) -> None:
    """A share of people was to be told joints as found; where a shard had none, nobody was, and nothing was said."""
    folder = write_rows(tmp_path / "rows", count=4)
    np.save(folder / "joints-00000.npy", np.ones((4, 17, 3), np.float32))
    changes = {"rows": str(folder), "found": 0.5}
    build(RunConfig, settings(data=changes), "run.yaml").check_files()
    write_rows(folder / "more", count=4)
    for names in (changes, {"rows": str(folder), "test": str(folder / "more"), "found": 0.5}):
        config = build(RunConfig, settings(data=names), "run.yaml")
        with pytest.raises(UsageError, match=r"data.found: 1 of the 2 shards of .* again with --joints, or set"):
            config.check_files()
    build(RunConfig, settings(data={"rows": str(folder)}), "run.yaml").check_files()
    with pytest.raises(UsageError, match=r"data: found needs rows: .* `mild train cache --joints`"):
        build(RunConfig, settings(data={"samples": "sets/train", "found": 0.5}), "run.yaml")


def test_test_rows_below_the_rows_are_refused(tmp_path: Path) -> None:
    """What lies in folders below a cache belongs to it."""
    folder = write_rows(tmp_path / "rows", count=4)
    write_rows(folder / "test", count=4)
    with pytest.raises(UsageError, match=r"data.test: .* lies in data.rows and would be learned from"):
        build(RunConfig, settings(data={"rows": str(folder), "test": str(folder / "test")}), "run.yaml").check_files()


def test_a_cache_is_not_gone_on_with_of_something_else(tmp_path: Path) -> None:
    """Rows of a second set into the folder of a first: the first's were taken for them, and nothing was said."""
    claim(tmp_path, "rows", {"samples": "none was made of these", "size": 64})
    claim(tmp_path, "rows", {"samples": "large", "size": 64})
    (tmp_path / "rows-00000.npy").touch()
    claim(tmp_path, "rows-p", {"data": "photos", "size": 64})
    claim(tmp_path, "rows", {"samples": "large", "size": 64})
    with pytest.raises(UsageError, match=r"made otherwise \(samples was large and is small\); take another --out"):
        claim(tmp_path, "rows", {"samples": "small", "size": 64})
    (tmp_path / "made.json").write_text("{")
    with pytest.raises(MildError, match=r"made.json cannot be read .* delete it"):
        claim(tmp_path, "rows", {"samples": "large", "size": 64})


@pytest.mark.parametrize("fault", ["rows", "joints", "bodies", "fills", "size"])
def test_a_damaged_cache_is_told_in_a_sentence(tmp_path: Path, fault: str) -> None:
    folder = write_rows(tmp_path / "rows", count=4)
    if fault == "size":
        write_rows(folder / "more", count=2, size=32)
    elif fault == "bodies":
        (folder / "bodies-00000.npz").write_bytes(b"PK")
    elif fault == "rows":
        whole = (folder / "rows-00000.npy").read_bytes()
        (folder / "rows-00000.npy").write_bytes(whole[: len(whole) // 2])
    else:  # of a shard that was there before
        np.save(folder / f"{fault}-00000.npy", np.zeros((3, 17, 3), np.float32))
    with pytest.raises(MildError, match=r"-00000.np. (cannot be read|holds rows of another size)"):
        RowFiles(folder)
