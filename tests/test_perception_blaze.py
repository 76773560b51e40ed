"""The offline finder: decoding, geometry, sharing of pixels, and the nets themselves."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mild.people.find import BACKENDS, find_people, resolve, select
from mild.people.finders import blaze_candidates as bc
from mild.people.finders.blaze_masks import claim, settle, without_specks
from mild.people.finders.blaze_nets import (
    FACE_ANCHORS,
    POSE_ANCHORS,
    Face,
    Landmarks,
    Picture,
    Square,
    Window,
    decode_bodies,
    decode_faces,
)
from mild.people.finders.blaze_split import split_merged
from mild.people.finders.blazepose import assemble
from mild.people.pose import BLAZE_OF_COCO, coco_keypoints
from mild.people.scene import Scene
from mild.photo import Photo
from mild.request import Finder, Selection
from perception_scenes import need_nets

EXAMPLES = Path(__file__).parent.parent / "examples"


def landmarks(x: float, y: float, side: float, turn: float = 0.0) -> Landmarks:
    """An upright body: an ellipse of half the region's width, its points on the middle line."""
    row, column = np.mgrid[:256, :256]
    mask = 1 / (1 + np.exp((np.hypot((column - 128) / 50, (row - 128) / 110) - 1) * 20))
    region = Square(x, y, side, turn)
    _, to_net = Picture(np.zeros((4, 4, 3), np.uint8)).turned(region, 256)
    back = cv2.invertAffineTransform(to_net)
    spots = np.stack([np.full(39, 128.0), np.linspace(40, 220, 39)], 1)
    points = (spots @ back[:, :2].T + back[:, 2]).astype(np.float32)
    return Landmarks(points, np.ones(39, np.float32), 0.99, 0.8, mask.astype(np.float32), to_net, region)


def candidate(x: float, y: float, side: float) -> bc.Candidate:
    marks = landmarks(x, y, side)
    return bc.Candidate(marks, marks.mask, bc.score_of((4.6, 4.6, 0.9, 0.8)))


def test_anchor_counts_fit_the_nets() -> None:
    assert POSE_ANCHORS.shape == (2254, 2)
    assert FACE_ANCHORS.shape == (2304, 2)
    assert POSE_ANCHORS[0].tolist() == [4, 4] and POSE_ANCHORS[1].tolist() == [4, 4]


def test_decode_bodies_places_and_merges() -> None:
    values, logits = np.zeros((2254, 12), np.float32), np.full(2254, -9, np.float32)
    for i in (500, 501):  # two anchors of one cell see one body
        values[i, 4:8] = (0, 0, 0, -20)
        logits[i] = 3 - 0.1 * (i - 500)
    seeds = decode_bodies(values, logits, Window(100, 50, 448), 0.25)
    assert len(seeds) == 1
    x, y = POSE_ANCHORS[500] * 2 + (100, 50)
    assert seeds[0].region == pytest.approx((x, y, 2.5 * 40, 0))
    assert seeds[0].score == pytest.approx(1 / (1 + np.exp(-3)), abs=1e-5)
    assert decode_bodies(values, logits - 9, Window(0, 0, 1), 0.25) == []


def test_decode_faces_gives_the_direction_up() -> None:
    values, logits = np.zeros((2304, 16), np.float32), np.full(2304, -9, np.float32)
    values[100, 2:4] = 30
    values[100, 4:12] = (-5, -5, 5, -5, 0, 0, 0, 7)  # eyes, nose, mouth
    logits[100] = 2
    (face,) = decode_faces(values, logits, Window(0, 0, 192), 0.4)
    assert face.size == 30
    assert face.up == pytest.approx((0, -1), abs=1e-4)
    near, far = bc.body_regions(face)
    assert near.y > face.y and far.y > near.y and far.side > near.side


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 500), st.integers(1, 500), st.sampled_from([*bc.BODY_LEVELS]))
def test_windows_cover_the_picture(height: int, width: int, level: float) -> None:
    squares = bc.windows(height, width, level)
    assert len(squares) < 2000 * max(height, width) / min(height, width)
    if level >= 1:
        for x, y in itertools.product((0, width / 2, width), (0, height / 2, height)):
            assert any(
                w.x - 1e-6 <= x <= w.x + w.side + 1e-6 and w.y - 1e-6 <= y <= w.y + w.side + 1e-6 for w in squares
            )


def test_turned_crop_shows_the_region() -> None:
    pixels = np.zeros((900, 1200, 3), np.uint8)
    pixels[430:470, 680:720] = 255
    for side in (100.0, 1500.0):  # enlarged, and from a halved copy
        crop, affine = Picture(pixels).turned(Square(700, 450, side, 0.6), 256)
        bright = np.argwhere(crop[..., 0] > 200).mean(0)
        np.testing.assert_allclose(bright, (127.5, 127.5), atol=1.5)
        np.testing.assert_allclose(affine[:, :2] @ (700, 450) + affine[:, 2], (128, 128), atol=1e-9)


@pytest.mark.parametrize("window", [Window(-30, -30, 400), Window(500, 500, 50), Window(2, 3, 10)])
def test_windows_beyond_the_picture_are_black_there(window: Window) -> None:
    out = Picture(np.full((60, 90, 3), 200, np.uint8)).window(window, 64)
    assert out.shape == (64, 64, 3)
    assert out.min() == (200 if window.side == 10 else 0)


def test_one_head_is_one_person() -> None:
    a, b = candidate(100, 100, 150), candidate(140, 150, 200)
    assert len(bc.drop_duplicates([a, b], (300, 300))) == 2
    shift = np.subtract(a.landmarks.head_centre, b.landmarks.head_centre).astype(np.float32)
    moved = replace(b, landmarks=replace(b.landmarks, points=b.landmarks.points + shift))
    assert len(bc.drop_duplicates([a, moved], (300, 300))) == 1


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-20, 220), st.floats(-20, 170), st.floats(30, 250)), min_size=1, max_size=5),
    st.sampled_from([1.0, 0.5, 0.37]),
)
def test_masks_never_overlap(bodies: list[tuple[float, float, float]], scale: float) -> None:
    size = (round(150 / scale), round(200 / scale))
    candidates = [candidate(*b) for b in bodies]
    scene = assemble(Photo.from_array(np.zeros((*size, 3), np.uint8)), candidates, scale)
    total = np.zeros(size, int)
    for p in scene.people:
        total += p.full_mask(size)
    assert total.max(initial=0) <= 1
    assert [p.id for p in scene.people] == list(range(1, len(scene.people) + 1))
    assert sorted(scene.order) == [p.id for p in scene.people]
    centres = [p.box.x0 + p.box.x1 for p in scene.people]
    assert centres == sorted(centres)


def test_contested_pixels_go_to_the_nearer_skeleton() -> None:
    claims = [claim(candidate(x, 100, 160), (200, 300), 1.0) for x in (120, 160)]
    masks = settle([c for c in claims if c is not None])
    for c, mask, (low, high) in zip(claims, masks, [(0, 141), (139, 300)], strict=True):
        assert c is not None
        columns = np.flatnonzero(mask.any(0)) + c.box.x0
        assert low <= columns.min() and columns.max() <= high


def test_scaled_masks_lie_where_the_small_ones_do() -> None:
    small = claim(candidate(100, 80, 120), (160, 200), 1.0)
    large = claim(candidate(100, 80, 120), (800, 1000), 0.2)
    assert small is not None and large is not None
    np.testing.assert_allclose(np.array(large.box) / 5, small.box, atol=1.2)
    assert large.mask.sum() / 25 == pytest.approx(small.mask.sum(), rel=0.03)


def test_two_sound_faces_share_a_mask() -> None:
    merged = candidate(200, 200, 400)
    faces = [Face(170, 150, 40, (0, -1), 0.9), Face(230, 140, 42, (0, -1), 0.8)]
    assert split_merged([merged], faces[:1]) == [merged]
    assert split_merged([merged], [faces[0], Face(230, 140, 42, (0, -1), 0.5)]) == [merged], "a doubtful face"
    assert split_merged([merged], [faces[0], Face(230, 140, 12, (0, -1), 0.9)]) == [merged], "a face on a shirt"
    shared = split_merged([merged], faces)
    assert [c.face for c in shared] == faces
    scene = assemble(Photo.from_array(np.zeros((400, 400, 3), np.uint8)), shared, 1.0)
    assert len(scene.people) == 2
    assert scene.person(1).full_mask((400, 400))[150, 170] and scene.person(2).full_mask((400, 400))[140, 230]
    assert scene.person(1).keypoints is None
    assert scene.in_front(1, 2), "the lower face is the nearer one"


def test_specks_go() -> None:
    mask = np.zeros((3000, 100), bool)
    mask[100:2000, 10:90] = True
    mask[2500:2510, 10:20] = True
    clean = without_specks(mask)
    assert clean[100:2000, 10:90].all() and clean.sum() == 1900 * 80


def test_coco_keypoints_pick_and_hide() -> None:
    points = np.zeros((33, 3), np.float32)
    points[:, 0], points[:, 1], points[:, 2] = np.arange(33), 5, 0.9
    out = coco_keypoints(points, (10, 28))
    assert out[:, 0].tolist() == list(BLAZE_OF_COCO)
    assert out[-1, 2] == 0 and out[-2, 2] == pytest.approx(0.9), "28 is just outside a photo 28 pixels wide"


def test_registry() -> None:
    assert all(b.licence and b.provenance and b.summary for b in BACKENDS.values())
    photo = Photo.from_array(np.zeros((20, 20, 3), np.uint8))
    assert find_people(photo, Finder.model_validate({"backend": "none"})).people == ()
    assert resolve(Finder.model_validate({"annotations": "x.json"})).name == "coco"
    with pytest.raises(Exception, match="no finder 'nonsense'"):
        find_people(photo, Finder.model_validate({"backend": "nonsense"}))
    with pytest.raises(Exception, match="needs a COCO"):
        find_people(photo, Finder.model_validate({"backend": "coco"}))


@pytest.fixture(scope="module")
def pool() -> Scene:
    need_nets()
    return find_people(Photo.open(EXAMPLES / "pool.jpg"), Finder.model_validate({"backend": "blazepose"}))


def test_finds_both_players(pool: Scene) -> None:
    assert [p.id for p in pool.sure] == [1, 2]
    assert pool.in_front(1, 2)
    player, other = pool.people
    assert player.box.intersect(other.box).width < 30
    for person, (x, y) in ((player, (330, 140)), (other, (568, 125))):
        assert person.full_mask(pool.size)[y, x]
        assert person.keypoints is not None and np.hypot(*(person.keypoints[0, :2] - (x, y))) < 60


def test_deterministic(pool: Scene) -> None:
    again = find_people(pool.photo, Finder.model_validate({"backend": "blazepose"}))
    for a, b in zip(pool.people, again.people, strict=True):
        assert a.score == b.score
        np.testing.assert_array_equal(a.mask, b.mask)


def test_click_and_box_find_the_person_by_themselves(pool: Scene) -> None:
    alone = Scene(pool.photo)
    truth = pool.person(2).full_mask(pool.size)
    for fields in ({"points": ((555, 200),)}, {"boxes": ((500, 95, 620, 450),)}):
        after, (number,) = select(alone, Selection.model_validate(fields))
        mask = after.person(number).full_mask(pool.size)
        assert (mask & truth).sum() / (mask | truth).sum() > 0.6, fields
        assert after.person(number).keypoints is not None


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (17, 17), (16, 2000), (40, 31)])
def test_odd_sizes(size: tuple[int, int]) -> None:
    need_nets()
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    photo = Photo.from_array(noise)
    scene = find_people(photo, Finder.model_validate({"backend": "blazepose"}))
    assert scene.size == size
    point = {"points": ((size[1] // 2, size[0] // 2),)}
    after, ids = select(scene, Selection.model_validate(point))
    assert after.mask_of(ids)[size[0] // 2, size[1] // 2]


def test_large_photo_is_searched_on_a_copy(pool: Scene) -> None:
    big = Image.fromarray(pool.photo.pixels).resize((3200, 2400))
    scene = find_people(Photo.from_array(np.array(big)), Finder.model_validate({"backend": "blazepose"}))
    assert len(scene.sure) == 2
    small = pool.person(2).full_mask(pool.size)
    large = scene.person(2).full_mask(scene.size)[2::4, 2::4]
    assert (small & large).sum() / (small | large).sum() > 0.85
