"""The finder that goes by boxes: decoding, joining, looks, the border between two people, and the nets themselves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from mild.errors import MildError
from mild.models import assets
from mild.people.find import find_people, resolve, select
from mild.people.finders import byboxes, detectors, movenet, nanodet, ssd, turned
from mild.people.finders.blaze_candidates import Candidate
from mild.people.finders.blaze_nets import Landmarks, Picture, Square, load_nets
from mild.people.finders.boxes import Judge, Place, iou, merged, suppressed, tiles, whole_in
from mild.people.finders.byboxes import assemble
from mild.people.finders.cut import minimum_cut
from mild.people.finders.looks import Find, clipped, head_of, look_again, look_at, mask_corners, regions_of, upper_bones
from mild.people.finders.onnx_net import OnnxNet
from mild.people.finders.search import full_mask, search
from mild.people.scene import Scene
from mild.photo import Photo
from mild.request import Finder, Selection

EXAMPLES = Path(__file__).parent.parent / "examples"


def need(name: str) -> None:
    for asset in ("blazepose", name):
        if assets.locate(asset) is None:
            pytest.skip(f"the nets {asset} are not on this machine (`make test` fetches them)")


def logit(p: float) -> float:
    return float(np.log(p / (1 - p)))


def test_nanodet_reads_distances_from_distributions() -> None:
    classes, reach = np.zeros((676, 80), np.float32), np.full((676, 44), -20, np.float32)
    cell = 3 * 26 + 5
    classes[cell, 0], classes[cell, 16] = 0.8, 0.3
    for side, distance in enumerate((1, 2, 3, 4)):  # left, top, right, lower, in strides
        reach[cell, side * 11 + distance] = 20
    (row,) = nanodet.decode(classes, reach, 16, 0.5)
    x, y = 5.5 * 16, 3.5 * 16
    assert row == pytest.approx((x - 16, y - 32, x + 48, y + 64, 0.8, 0.3), abs=1e-4)
    assert nanodet.decode(classes, reach, 16, 0.9).shape == (0, 6)


def test_movenet_reads_centres_boxes_and_points() -> None:
    shapes = {"centre": 1, "scale": 2, "offset": 2, "points": 34, "heat": 17, "shift": 34}
    heads = {name: np.zeros((12, 16, n), np.float32) for name, n in shapes.items()}
    heads["heat"][:] = -9
    heads["centre"][6, 7] = 0.9
    heads["scale"][6, 7] = (8, 4)
    heads["offset"][6, 7] = (0.5, 0.25)
    heads["points"][6, 7, :2] = (-3, 1)  # the nose, expected at row 3, column 8
    heads["heat"][3, 9, 0] = logit(0.7)
    heads["shift"][3, 9, :2] = (0.1, 0.2)
    heads["heat"][11, 0, 0] = logit(0.99)  # somebody else's nose, far away
    rows, points = movenet.decode(heads, 0.5)
    assert rows[0] == pytest.approx((5.25, 2.5, 9.25, 10.5, 0.9), abs=1e-5)
    assert points[0, 0] == pytest.approx((9.2, 3.1, 0.7), abs=1e-4)
    assert movenet.decode(heads, 0.95)[0].shape == (0, 5)


def test_ssd_anchors_and_decoding() -> None:
    assert ssd.ANCHORS.shape == (1917, 4)
    values, logits = np.zeros((1917, 4), np.float32), np.full((1917, 24), -9, np.float32)
    logits[500, 4] = logit(0.6)
    (row,) = ssd.decode(values, logits, 0.5)
    x, y, wide, tall = ssd.ANCHORS[500]
    assert row == pytest.approx((x - wide / 2, y - tall / 2, x + wide / 2, y + tall / 2, 0.6), abs=1e-5)


@pytest.mark.parametrize(("height", "width"), [(480, 640), (100, 900), (900, 100), (17, 17)])
def test_tiles_cover_the_picture(height: int, width: int) -> None:
    seen = np.zeros((height, width), bool)
    for x0, y0, x1, y1 in tiles(height, width, 2):
        assert 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height
        seen[y0:y1, x0:x1] = True
    assert seen.all()


def test_boxes_cut_by_inner_edges_go() -> None:
    rows = np.array([[100, 50, 160, 90, 0.9], [101, 0, 150, 60, 0.9], [150, 40, 200, 99, 0.9]], float)
    kept = whole_in(rows, (100, 0, 200, 100), 100, 300)
    assert kept[:, 0].tolist() == [] and len(whole_in(rows, (100, 0, 200, 100), 100, 200)) == 1
    assert len(whole_in(rows, (0, 0, 300, 100), 100, 300)) == 3
    again = np.concatenate([rows[:1], rows[:1] + np.array([[1, 1, 1, 1, -0.1]])])
    assert suppressed(again).tolist() == rows[:1].tolist()


def test_of_two_who_embrace_each_keeps_its_own() -> None:
    """The surer of two overlapping boxes took both partners of the other detector (bar55)."""
    woman, man = (79.0, 158.0, 550.0, 592.0), (338.0, 84.0, 645.0, 573.0)
    points = [np.full((17, 3), float(k)) for k in range(2)]
    nano = [Place(man, (0.0, 0.77)), Place(woman, (0.0, 0.42))]
    move = [
        Place((153, 93, 658, 590), (0.77, 0.0), points[0]),  # the man: overlaps the woman's box even better
        Place((66, 175, 448, 589), (0.55, 0.0), points[1]),
    ]
    assert iou(move[0].box, woman) > iou(move[0].box, man) > 0.5
    joined = merged(nano, move)
    assert [(p.box, p.scores) for p in joined] == [(man, (0.77, 0.77)), (woman, (0.55, 0.42))]
    assert joined[0].points is points[0] and joined[1].points is points[1]


def test_the_judge_is_a_logistic_regression() -> None:
    judge = Judge((2.0, 1.0, -1.0), 0.5, sure=0.6, maybe=0.4, first=0.8)
    place = Place((0, 0, 1, 1), (0.5,))
    assert judge(0.25, place, 0.75) == pytest.approx(1 / (1 + np.exp(-(0.5 + 0.5 - 0.75 + 0.5))))


def test_the_surest_find_of_a_photo_must_be_surer_than_the_others() -> None:
    judge = Judge((), 0.0, sure=0.6, maybe=0.4, first=0.8)
    assert judge.least((0.9, 0.65, 0.5)) == 0.6
    assert judge.least((0.79, 0.65)) == 0.8 and judge.least(()) == 0.8


def standing(x: float, y: float, side: float, size: tuple[int, int]) -> Landmarks:
    """An upright body: an ellipse of half the region's width, its points on the middle line."""
    row, column = np.mgrid[:256, :256]
    mask = 1 / (1 + np.exp((np.hypot((column - 128) / 50, (row - 128) / 110) - 1) * 20))
    region = Square(x, y, side, 0.0)
    _, to_net = Picture(np.zeros((*size, 3), np.uint8)).turned(region, 256)
    back = cv2.invertAffineTransform(to_net)
    spots = np.stack([np.full(39, 128.0), np.linspace(40, 220, 39)], 1)
    points = (spots @ back[:, :2].T + back[:, 2]).astype(np.float32)
    return Landmarks(points, np.ones(39, np.float32), 0.99, 0.8, mask.astype(np.float32), to_net, region)


def found(x: float, y: float, side: float, size: tuple[int, int], score: float = 0.9) -> Find:
    look = standing(x, y, side, size)
    box = mask_corners(look)
    return Find(Candidate(look, look.mask, score), Place(box, (0.8,)), 1.0)


def test_masks_end_near_their_box() -> None:
    look = standing(100, 100, 160, (200, 200))
    x0, y0, x1, y1 = mask_corners(look)
    assert (x0 + x1) / 2 == pytest.approx(100, abs=1.5) and y1 - y0 == pytest.approx(160 * 220 / 256, rel=0.03)
    half = (x0, y0, x1, 100.0)
    cut = clipped(look, look.mask, half)
    back = cv2.invertAffineTransform(look.to_net)
    rows = np.flatnonzero((cut > 0.5).any(1))
    assert rows.max() * back[1, 1] + back[1, 2] == pytest.approx(100 + 0.08 * max(x1 - x0, 100 - y0), abs=1.5)
    np.testing.assert_array_equal(clipped(look, look.mask, (x0, y0, x1, y1)) > 0.5, look.mask > 0.5)


def test_regions_follow_the_pose_and_the_frame() -> None:
    points = np.zeros((17, 3))
    points[[5, 6], :2], points[[11, 12], :2] = ((90, 60), (90, 40)), ((50, 60), (50, 40))  # lying, head to the right
    points[[5, 6, 11, 12], 2] = 0.9
    posed, plain, wide = regions_of(Place((40, 30, 100, 130), (0.9,), points), 400)
    assert (posed.x, posed.y) == (50, 50) and posed.angle == pytest.approx(np.pi / 2)
    assert posed.side == pytest.approx(2.5 * 1.08 * np.hypot(40, 10)) and plain.angle == 0
    assert wide == plain._replace(side=pytest.approx(1.6 * 100))
    assert len(regions_of(Place((40, 300, 80, 400), (0.9,)), 400)) == 3, "half bodies at the lower edge"
    assert len(regions_of(Place((40, 100, 80, 300), (0.9,)), 400)) == 2
    assert upper_bones(points) is None, "no head"
    points[0] = (110, 50, 0.9)
    bones = upper_bones(points)
    assert bones is not None and bones[-2][0].tolist() == pytest.approx([110 + 0.6 * 20, 50])


def test_the_cut_follows_the_edge() -> None:
    """Red at the left, blue at the right; the skeletons' border lies eight pixels beside the colours'."""
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:, :26], pixels[:, 26:] = (200, 30, 30), (30, 30, 200)
    lab = cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB)
    zone = np.zeros((40, 60), bool)
    zone[:, 15:50] = True
    first, second = np.zeros((40, 60), bool), np.zeros((40, 60), bool)
    first[:, :15], second[:, 50:] = True, True
    towards = np.where(np.arange(60) < 34, 0.4, -0.4)[None].repeat(40, 0).astype(np.float32)
    won = minimum_cut(lab, towards, zone, first, second)
    assert not (won & ~zone).any()
    last = np.flatnonzero(won.any(0)).max()
    assert 24 <= last <= 26 and won[:, 15 : last + 1].all(), "not at 33, where the skeletons change sides"


def test_two_who_touch_share_no_pixel_and_the_border_is_the_edge() -> None:
    size = (240, 320)
    pixels = np.full((*size, 3), 90, np.uint8)
    pixels[:, :148], pixels[:, 148:] = (170, 60, 50), (50, 70, 170)
    finds = [found(120, 120, 180, size), found(184, 120, 180, size, 0.5)]
    scene = assemble(Photo.from_array(pixels), finds, 1.0, 0.6, "nanodet")
    left, right = scene.people
    assert (left.sure, right.sure) == (True, False) and left.source == "nanodet"
    one, two = left.full_mask(size), right.full_mask(size)
    assert not (one & two).any()
    rows = slice(90, 150)
    assert np.flatnonzero(one[rows].any(0)).max() == pytest.approx(147, abs=1)
    assert np.flatnonzero(two[rows].any(0)).min() == pytest.approx(148, abs=1)
    big = assemble(Photo.from_array(cv2.resize(pixels, (960, 720), interpolation=0)), finds, 1 / 3, 0.6, "nanodet")
    assert np.flatnonzero(big.people[0].full_mask((720, 960))[270:450].any(0)).max() == pytest.approx(443, abs=6)


def test_between_masks_drawn_with_others_in_view_the_surer_one_decides() -> None:
    """Skeletons drew a straight border half-way between two people whose outlines were known better."""
    size, borders = (240, 320), list[int]()
    pixels = np.full((*size, 3), 90, np.uint8)
    for outlined in (False, True):
        finds = list[Find]()
        for x, left, right, sure in ((120, 90, 172, 0.95), (184, 136, 214, 0.6)):
            find = found(x, 120, 180, size)
            there = np.zeros(size, np.float32)
            there[60:180, left:right] = sure
            mask = cv2.warpAffine(there, find.candidate.landmarks.to_net, (256, 256))
            finds.append(replace(find, candidate=replace(find.candidate, mask=mask, outlined=outlined)))
        one = assemble(Photo.from_array(pixels), finds, 1.0, 0.6, "nanodet").people[0].full_mask(size)
        borders.append(int(np.flatnonzero(one[100:140].all(0)).max()))
    assert borders[0] == pytest.approx(152, abs=4) and borders[1] > 165


def test_hair_goes_with_its_own_head() -> None:
    """The hair of a woman seen from behind went to the fair one behind her, whom colours said it was (cold_water)."""
    size = (240, 320)
    pixels = np.full((*size, 3), 90, np.uint8)
    pixels[:, :138], pixels[:, 138:] = (170, 60, 50), (50, 70, 170)  # her hair is of the other's colour
    finds = [found(120, 120, 180, size), found(176, 120, 180, size)]
    own = np.hypot(*(np.mgrid[:240, :320] - np.array((120, 146))[:, None, None])) < 6
    shares = []
    for heads in ((None, None), ((146.0, 120.0, 9.0), (176.0, 60.0, 9.0))):
        given = [replace(f, candidate=replace(f.candidate, head=h)) for f, h in zip(finds, heads, strict=True)]
        scene = assemble(Photo.from_array(pixels), given, 1.0, 0.6, "nanodet")
        shares.append(float(scene.people[0].full_mask(size)[own].mean()))
    assert shares[0] < 0.5 < 0.95 < shares[1]


def test_a_head_is_where_the_detector_sees_a_face_else_where_the_landmarks_are() -> None:
    look = standing(100, 100, 160, (200, 200))
    points = np.zeros((17, 3))
    points[:3], points[5:7] = ((60, 50, 0.9), (62, 48, 0.9), (58, 48, 0.9)), ((50, 66, 0.9), (70, 66, 0.9))
    x, y, radius = head_of(Candidate(look, look.mask, 0.9), Place((0, 0, 1, 1), (0.8,), points)) or (0, 0, 0)
    assert (x, y) == pytest.approx((60, 48.67), abs=0.01) and 3 < radius < 0.16 * 160
    marks = head_of(Candidate(look, look.mask, 0.9), Place((0, 0, 1, 1), (0.8,)))
    assert marks is not None and marks[:2] == pytest.approx(look.head_centre)
    unseen = replace(look, visibility=np.zeros(39, np.float32))
    assert head_of(Candidate(unseen, look.mask, 0.9), Place((0, 0, 1, 1), (0.8,))) is None


def test_auto_takes_the_best_that_is_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = {"blazepose"}
    monkeypatch.setattr(assets, "locate", lambda name: tmp_path if name in here else None)
    assert resolve(Finder()).name == "blazepose"
    here.add("ssd")
    assert resolve(Finder()).name == "ssd"
    here.add("nanodet")
    assert resolve(Finder()).name == "nanodet"


def test_a_file_that_is_no_net_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "nanodet.onnx").write_bytes(b"half a net")
    with pytest.raises(MildError, match=r"nanodet.onnx is damaged; run `mild models --fetch`"):
        OnnxNet(tmp_path / "nanodet.onnx")


@pytest.fixture(scope="module")
def pool() -> Scene:
    need("nanodet")
    return find_people(Photo.open(EXAMPLES / "pool.jpg"), Finder(backend="nanodet"))


def test_finds_both_players(pool: Scene) -> None:
    assert [(p.id, p.source) for p in pool.sure] == [(1, "nanodet"), (2, "nanodet")]
    assert pool.in_front(1, 2)
    for person, (x, y) in zip(pool.sure, ((330, 140), (568, 125)), strict=True):
        assert person.full_mask(pool.size)[y, x]
        assert person.keypoints is not None and np.hypot(*(person.keypoints[0, :2] - (x, y))) < 60


def test_everybody_who_is_found_is_outlined_anew(pool: Scene) -> None:
    finds = search(load_nets(), Picture(pool.photo.pixels), detectors.load("nanodet"))
    assert len(finds) >= 2 and all(find.candidate.outlined for find in finds)


def test_the_same_people_every_time(pool: Scene) -> None:
    again = find_people(pool.photo, Finder(backend="nanodet"))
    for a, b in zip(pool.people, again.people, strict=True):
        assert a.score == b.score
        np.testing.assert_array_equal(a.mask, b.mask)


def test_an_embraced_couple_is_two_people() -> None:
    """One mask held both, or a straight border ran through her face (bar55)."""
    need("nanodet")
    scene = find_people(Photo.open(EXAMPLES / "bar55.jpg"), Finder(backend="nanodet"))
    labels = scene.label_map()
    woman, man = labels[290, 310], labels[210, 410]
    assert woman and man and woman != man
    assert labels[230, 300] == woman, "her forehead"
    assert labels[270, 350] == woman, "her cheek beside his chin"
    assert labels[150, 400] == man and labels[380, 500] == man


def test_the_ssd_finds_them_as_well() -> None:
    need("ssd")
    scene = find_people(Photo.open(EXAMPLES / "pool.jpg"), Finder(backend="ssd"))
    assert len(scene.sure) == 2 and {p.source for p in scene.people} == {"ssd"}


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (17, 17), (16, 2000), (40, 31)])
def test_odd_sizes(size: tuple[int, int]) -> None:
    need("nanodet")
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    scene = find_people(Photo.from_array(noise), Finder(backend="nanodet"))
    assert scene.size == size and not scene.sure
    after, ids = select(scene, Selection(points=((size[1] // 2, size[0] // 2),)))
    assert after.mask_of(ids)[size[0] // 2, size[1] // 2]


def test_a_large_photo_is_searched_on_a_copy(pool: Scene) -> None:
    big = cv2.resize(pool.photo.pixels, (3200, 2400), interpolation=cv2.INTER_LINEAR)
    scene = find_people(Photo.from_array(big), Finder(backend="nanodet"))
    assert len(scene.sure) == 2
    small = pool.person(2).full_mask(pool.size)
    large = scene.person(2).full_mask(scene.size)[2::4, 2::4]
    assert (small & large).sum() / (small | large).sum() > 0.85


def test_a_second_look_does_not_overrule_the_first_alone() -> None:
    """What was painted out wrongly was lost to the person whose it is: only both looks together decide."""
    find, picture = found(50, 50, 80, (100, 100)), Picture(np.zeros((100, 100, 3), np.uint8))
    half = find.candidate.mask.copy()
    half[:128] = 0

    class Nets:
        presence = 0.9

        def landmarks(self, picture: Picture, region: Square) -> Landmarks:
            return replace(find.candidate.landmarks, mask=half, presence=self.presence)

    nets, painted = Nets(), np.zeros((100, 100), bool)
    painted[:, :50] = True
    again = look_again(nets, picture, find, painted)  # type: ignore[arg-type]
    assert again is not None
    first, mask = find.candidate.mask, again.candidate.mask
    assert first[60, 110] > 0.9 and first[60, 145] > 0.9 and half[60, 110] == 0
    assert mask[60, 110] == pytest.approx(first[60, 110] / 2, abs=0.03), (
        "where it was painted the first look counts, too"
    )
    assert mask[60, 145] == pytest.approx(0, abs=0.03), "where it was not, the second alone"
    nets.presence = 0.1
    assert look_again(nets, picture, find, painted) is None  # type: ignore[arg-type]


def test_a_body_without_presence_is_seen_where_a_box_says_so() -> None:
    """The net says that nobody is there where a body fills the region badly; its mask was right all the same."""
    look = standing(50, 50, 80, (100, 100))
    box = mask_corners(look)

    class Nets:
        def landmarks(self, picture: Picture, region: Square) -> Landmarks:
            wide = region.side > 1.5 * (box[3] - box[1])
            return look if wide else replace(look, mask=np.roll(look.mask, 60, 1))

    nets, judge = Nets(), Judge((2.0, 1.0, 1.0), -1.0, sure=0.6, maybe=0.4, first=0.6)
    picture = Picture(np.zeros((100, 100, 3), np.uint8))
    surely = look_at(nets, picture, Place(box, (0.5,)), judge)  # type: ignore[arg-type]
    look = replace(look, presence=0.001)
    seen = look_at(nets, picture, Place(box, (0.5,)), judge)  # type: ignore[arg-type]
    assert surely is not None and seen is not None and seen.score == surely.score
    assert seen.fit > 0.99, "the region whose mask has the box's shape"
    look = replace(look, mask=np.zeros_like(look.mask))
    assert look_at(nets, picture, Place(box, (0.5,)), judge) is None  # type: ignore[arg-type]


def test_a_find_that_nobody_sees_again_keeps_its_mask() -> None:
    find = found(50, 50, 80, (100, 100))
    assert replace(find, fit=0.5).score == find.score


@pytest.mark.parametrize("turns", [1, 3])
@pytest.mark.parametrize("score", [0.9, 0.7])
def test_where_nobody_was_found_the_photo_is_tried_on_its_side_and_that_is_said(
    turns: int, score: float, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A find of the turned picture is told in the pixels of the picture as it lies, where nothing knows of the turn."""
    upright = Picture(np.random.default_rng(0).integers(0, 256, (120, 90, 3), np.uint8))
    lying = Picture(np.rot90(upright.pixels, -turns))
    points = np.concatenate([np.full((17, 2), 30.0), np.ones((17, 1))], 1)
    bones = np.array([[(30.0, 40.0), (30.0, 50.0)]])
    one = found(40, 70, 60, (120, 90), score)
    one = replace(
        one,
        candidate=replace(one.candidate, bones=bones, head=(30.0, 40.0, 7.0)),
        place=replace(one.place, points=points),
    )

    def seen(nets: object, picture: Picture, detector: object) -> list[Find]:
        return [one] if np.array_equal(picture.pixels, upright.pixels) else []

    monkeypatch.setattr(turned, "search", seen)
    with caplog.at_level("WARNING", "mild"):
        finds = turned.on_its_side(None, lying, None)  # type: ignore[arg-type]
    assert ("on its side" in caplog.text) == bool(finds) == (score >= turned.CERTAIN)
    if not finds:
        return
    (back,) = finds
    np.testing.assert_array_equal(full_mask(back, lying), np.rot90(full_mask(one, upright), -turns))
    assert iou(back.place.box, mask_corners(back.candidate.landmarks)) > 0.9
    # One pixel of the picture, by all who tell of it.
    marked = np.zeros((120, 90), bool)
    marked[30, 30] = True
    y, x = (int(v[0]) for v in np.nonzero(np.rot90(marked, -turns)))
    assert back.place.points is not None and back.place.points[0].tolist() == [x, y, 1]
    marked[30, 30], marked[40, 30] = False, True
    y, x = (int(v[0]) for v in np.nonzero(np.rot90(marked, -turns)))
    assert back.candidate.bones is not None and back.candidate.bones[0, 0].tolist() == [x, y]
    assert back.candidate.head == (x, y, 7)
    body = back.candidate.landmarks.region
    assert Picture.turned(lying, body, 256)[1] == pytest.approx(back.candidate.landmarks.to_net, abs=1e-6)


def test_it_is_turned_only_where_nobody_was_found() -> None:
    need("nanodet")
    tried: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mild.people.finders.byboxes.on_its_side", lambda *given: tried.append(1) or [])
        detector, empty = detectors.load("nanodet"), np.full((64, 64, 3), 90, np.uint8)
        assert not byboxes.find(Photo.from_array(empty), detector.name).people and tried == [1]
        assert byboxes.find(Photo.open(EXAMPLES / "bar55.jpg"), detector.name).people and tried == [1]
