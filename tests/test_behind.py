"""The joints of somebody who is partly hidden: looked for in what is theirs alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import mild
from mild.diffusion.bodies import BodyRow
from mild.diffusion.one_step import OneStep
from mild.errors import MildError
from mild.lab.data.rows import FOREIGN, HOLE, OWN
from mild.lab.train import cache
from mild.lab.train.batches import RowSource
from mild.lab.train.config import DataConfig
from mild.lab.train.loop import Turn
from mild.lab.train.rowfiles import PERSON, RowFiles
from mild.models import assets
from mild.people.behind import joints
from mild.people.body import mirrored_keypoints
from mild.people.find import find_people
from mild.people.finders.blaze_nets import load_nets
from mild.people.scene import Person, Scene
from mild.photo import Photo
from mild.plan.joints import looked_again
from mild.plan.planning import plan_layers
from mild.request import Finder, Region
from perception_scenes import need_nets
from tiny_rows import write_rows

PHOTO = Path(__file__).parent.parent / "examples" / "pool.jpg"


@pytest.fixture(scope="module")
def alone() -> tuple[NDArray[np.uint8], Person]:
    """A photo, and somebody upright in it of whom all is seen."""
    need_nets()
    photo = Photo.open(PHOTO)
    person = find_people(photo, Finder()).person(2)
    assert person.keypoints is not None
    return photo.pixels, person


def covered(pixels: NDArray[np.uint8], person: Person) -> Scene:
    """The left side of their middle behind a second person, who is a slab of noise."""
    mask = person.full_mask((pixels.shape[0], pixels.shape[1]))
    front, box = np.zeros_like(mask), person.box
    front[box.y0 + box.height // 3 : box.y0 + 2 * box.height // 3, box.x0 - 8 : box.x0 + box.width // 2] = True
    shown = pixels.copy()
    shown[front] = np.random.default_rng(0).integers(0, 255, (int(front.sum()), 3))
    people = (replace(Person.from_mask(1, mask & ~front), keypoints=person.keypoints, landmarks=person.landmarks),
              Person.from_mask(2, front))  # fmt: skip
    return Scene(Photo(shown), people, (1, 2))


def test_the_whole_person_has_the_joints_that_the_finder_gives(alone: tuple[NDArray[np.uint8], Person]) -> None:
    pixels, person = alone
    window = person.box.grow(8, (pixels.shape[0], pixels.shape[1]))
    own = person.full_mask((pixels.shape[0], pixels.shape[1]))[window.slices]
    points = joints(load_nets(), pixels[window.slices], own, np.zeros_like(own))
    assert points is not None and person.keypoints is not None
    apart = np.hypot(*(points[:, :2] + (window.x0, window.y0) - person.keypoints[:, :2]).T)
    sure = person.keypoints[:, 2] > 0.7
    assert sure.sum() > 8 and np.median(apart[sure]) < 0.05 * person.box.height


def test_nothing_but_their_own_is_looked_at(alone: tuple[NDArray[np.uint8], Person]) -> None:
    scene = covered(*alone)
    (row,) = [r for r in plan_layers(scene, (2,), Region()).layers if r.owner == 1]
    rgb = scene.photo.pixels[row.crop.slices]
    other = np.where(row.own[..., None], rgb, np.random.default_rng(1).integers(0, 255, rgb.shape).astype(np.uint8))
    points = joints(load_nets(), rgb, row.own, row.hole)
    assert points is not None and np.array_equal(points, joints(load_nets(), other, row.own, row.hole))


def test_a_photo_in_a_mirror_has_the_joints_in_a_mirror(alone: tuple[NDArray[np.uint8], Person]) -> None:
    scene = covered(*alone)
    (row,) = [r for r in plan_layers(scene, (2,), Region()).layers if r.owner == 1]
    rgb = scene.photo.pixels[row.crop.slices]
    points = joints(load_nets(), rgb, row.own, row.hole)
    turned = joints(load_nets(), *(np.ascontiguousarray(a[:, ::-1]) for a in (rgb, row.own, row.hole)))
    assert points is not None and turned is not None
    assert np.allclose(mirrored_keypoints(turned, rgb.shape[1]), points, atol=0.05)


def test_nobody_has_no_joints() -> None:
    need_nets()
    none = np.zeros((40, 30), bool)
    assert joints(load_nets(), np.zeros((40, 30, 3), np.uint8), none, ~none) is None


def test_the_plan_s_hidden_people_are_looked_at_again(alone: tuple[NDArray[np.uint8], Person]) -> None:
    scene = covered(*alone)
    plan = plan_layers(scene, (2,), Region())
    again, (row,) = looked_again(scene, plan), [r for r in plan.layers if r.owner == 1]
    before, now = scene.person(1).keypoints, again.person(1).keypoints
    assert before is not None and now is not None
    x, y = (np.rint(before[:, i]).astype(int) - (row.crop.x0, row.crop.y0)[i] for i in (0, 1))
    hidden = row.hole[np.clip(y, 0, row.crop.height - 1), np.clip(x, 0, row.crop.width - 1)]
    assert 0 < hidden.sum() < 17 and np.array_equal(now[~hidden], before[~hidden])
    assert not np.isclose(now[hidden], before[hidden]).all(1).any()
    assert again.person(2).keypoints is None, "who goes is not completed"
    unknown = replace(scene, people=(replace(scene.people[0], keypoints=None, landmarks=None), scene.people[1]))
    points = joints(load_nets(), scene.photo.pixels[row.crop.slices], row.own, row.hole)
    made = looked_again(unknown, plan).person(1).keypoints
    assert points is not None and made is not None
    assert np.allclose(made - points, (row.crop.x0, row.crop.y0, 0), atol=1e-3)
    # What somebody else says of their joints is left alone.
    told = replace(scene, people=(replace(scene.people[0], landmarks=None), scene.people[1]))
    assert looked_again(told, plan) is told


def test_without_the_landmark_net_the_joints_stay(
    alone: tuple[NDArray[np.uint8], Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = covered(*alone)
    monkeypatch.setattr(assets, "locate", lambda name: None)
    assert looked_again(scene, plan_layers(scene, (2,), Region())) is scene


def test_the_road_tells_the_network_what_was_seen_again(
    alone: tuple[NDArray[np.uint8], Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = covered(*alone)
    told: list[NDArray[np.float32]] = []
    layer = OneStep.layer

    def heard(model: OneStep, crop: Any, body: BodyRow, *rest: Any) -> Any:
        told.append(np.zeros(0, np.float32) if body.keypoints is None else body.keypoints)
        return layer(model, crop, body, *rest)

    monkeypatch.setattr(OneStep, "layer", heard)
    mild.run(mild.build_request(people=(2,)), scene.photo, scene=scene)
    plan = plan_layers(scene, (2,), Region(), budget=None)
    (row,) = [r for r in plan.layers if r.owner == 1]
    (expected,) = [BodyRow.of(looked_again(scene, plan), row).keypoints]
    assert expected is not None and len(told) == 1 and np.allclose(told[0], expected)
    told.clear()
    mild.run(mild.build_request(people=(2,), hmg=("parsing", "relations")), scene.photo, scene=scene)
    assert not np.allclose(told[0], expected), "nobody asked for a pose"


# --- training


def test_rows_with_found_joints(tmp_path: Path, alone: tuple[NDArray[np.uint8], Person]) -> None:
    pixels, person = alone
    window = person.box.grow(8, (pixels.shape[0], pixels.shape[1]))
    own = person.full_mask((pixels.shape[0], pixels.shape[1]))[window.slices]
    rows = np.zeros((2, 128, 128, 10), np.uint8)
    rows[..., 4], rows[..., 5] = FOREIGN, (np.arange(2) * PERSON)[:, None, None]
    rows[..., :3] = cv2.resize(pixels[window.slices], (128, 128))
    mine = cv2.resize(own.view(np.uint8), (128, 128)) > 0
    rows[..., 4][:, mine] = OWN
    rows[:, 50:80, 40:90, 4] = HOLE

    def make(shard: int) -> Path:
        path = tmp_path / f"rows-{shard:05d}.npy"
        np.save(path, rows)
        return path

    assert cache.with_joints(make, 0) == tmp_path / "rows-00000.npy"
    found = RowFiles(tmp_path).found
    assert found is not None and found.shape == (2, 17, 3)
    assert not found[0].any() and (found[1, :, 2] > 0).sum() > 8, "a background has none"


def test_found_joints_are_told_for_their_share(tmp_path: Path) -> None:
    folder = write_rows(tmp_path / "rows", count=4, size=64)
    files = RowFiles(folder)
    assert files.found is None
    files.keypoints[:] = 0
    files.found = np.zeros_like(files.keypoints)
    files.found[..., 0], files.found[..., 1], files.found[..., 2] = np.linspace(10, 50, 17), 30.0, 0.5
    told = []
    for share in (0.0, 1.0):
        data = DataConfig(rows=str(folder), size=64, people=1.0, found=share, large_every=0)
        batch = RowSource(files, data, 16, bodies=True, whole=False).batch(Turn(0, 0))
        assert batch.bodies is not None
        told.append(batch.bodies.point_confidence)
    assert float(told[0].max()) == 0 and set(np.unique(told[1].numpy())) == {0.0, 0.5}


def test_rows_cannot_have_joints_without_the_net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_rows(tmp_path / "rows", count=4, size=64)
    monkeypatch.setattr(assets, "locate", lambda name: None)
    with pytest.raises(MildError, match="blazepose"):
        cache.with_joints(lambda shard: next(folder.glob("rows-*.npy")), 0)
