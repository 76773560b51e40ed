"""Several shots of one scene: what they saw fills the hole, and one that does not fit is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mild.errors import UsageError
from mild.people.scene import Box, Person, Scene
from mild.photo import Photo
from mild.plan.planning import plan_layers
from mild.request import EraseRequest, Finder, Region
from mild.shots import evidence, plate
from mild.shots.align import aligned

SIZE = (150, 200)
#: Where somebody stands in the first photo, and in the others.
HERE, LEFT, RIGHT = Box(80, 50, 115, 135), Box(15, 50, 50, 135), Box(140, 50, 175, 135)
NOBODY = np.ones(SIZE, bool)


def place(seed: int = 0, margin: int = 40) -> NDArray[np.uint8]:
    """A larger texture with corners, edges and soft light, from which shots are cut."""
    rng = np.random.default_rng(seed)
    size = (SIZE[0] + 2 * margin, SIZE[1] + 2 * margin)
    base = cv2.resize(rng.uniform(60, 140, (7, 9, 3)).astype(np.float32), size[::-1], interpolation=cv2.INTER_CUBIC)
    for _ in range(140):
        x, y, w, h = (int(v) for v in rng.integers((0, 0, 4, 4), (size[1], size[0], 30, 30)))
        cv2.rectangle(base, (x, y), (x + w, y + h), [float(v) for v in rng.uniform(30, 150, 3)], -1)
    return np.clip(cv2.GaussianBlur(base, (0, 0), 0.8), 0, 255).astype(np.uint8)


def shot(
    turn: float = 0.0, scale: float = 1.0, shift: tuple[float, float] = (0, 0), seed: int = 0
) -> NDArray[np.uint8]:
    """A view of the place, with a sensor's noise."""
    whole = place(seed)
    centre = (whole.shape[1] / 2, whole.shape[0] / 2)
    matrix = cv2.getRotationMatrix2D(centre, turn, scale)
    matrix[:, 2] += np.subtract((SIZE[1] / 2, SIZE[0] / 2), centre) + shift
    view = cv2.warpAffine(whole, matrix, SIZE[::-1], flags=cv2.INTER_LINEAR)
    noise = np.random.default_rng(int(1000 * abs(turn)) + 1).normal(0, 1.5, view.shape)
    return np.clip(np.rint(view + noise), 0, 255).astype(np.uint8)


def with_person(pixels: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
    out = pixels.copy()
    out[box.slices] = (200, 30, 160)
    return out


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8], where: NDArray[np.bool_]) -> float:
    return float(10 * np.log10(255**2 / np.mean((a[where].astype(float) - b[where]) ** 2)))


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Callable[[Box], None]:
    """The finder finds whoever is said, by colour; ``known(box)`` makes it blind in a box."""
    blind: list[Box] = []

    def find(photo: Photo, finder: Finder | None = None) -> Scene:
        mask = (np.abs(photo.pixels.astype(int) - (200, 30, 160)) < 45).all(2)
        mask = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, np.ones((9, 9))) > 0
        for box in blind:
            mask[box.slices] = False
        return Scene(photo, (Person.from_mask(1, mask),) if mask.any() else ())

    monkeypatch.setattr(evidence, "find_people", find)
    monkeypatch.setattr(plate, "find_people", find)
    return blind.append


def gathered(
    clean: NDArray[np.uint8], others: list[NDArray[np.uint8]], folder: Path
) -> tuple[evidence.Evidence, Scene]:
    names = []
    for number, pixels in enumerate(others):
        names.append(str(folder / f"{number}.png"))
        Photo.from_array(pixels).save(names[-1])
    mask = np.zeros(SIZE, bool)
    mask[HERE.slices] = True
    scene = Scene(Photo.from_array(with_person(clean, HERE)), (Person.from_mask(1, mask),))
    plan = plan_layers(scene, (1,), Region.model_validate({}))
    return evidence.gather(names, scene, plan, Finder.model_validate({})), scene


def hole_of(scene: Scene) -> NDArray[np.bool_]:
    return scene.mask_of([1])


def test_what_another_shot_saw_fills_the_hole(known: Callable[[Box], None], tmp_path: Path) -> None:
    clean = shot()
    darker = np.clip(shot(2.0, 1.04, (3, -2)) * (0.8, 0.84, 0.78), 0, 255).astype(np.uint8)
    found, scene = gathered(clean, [with_person(darker, LEFT), with_person(shot(-2.5, 0.97), RIGHT)], tmp_path)
    assert found.share > 0.98
    assert psnr(found.scene.photo.pixels, clean, hole_of(scene)) > 28
    outside = ~np.any([row.hole for row in plan_layers(scene, (1,), Region.model_validate({})).layers], 0)
    row = found.plan.layers[0]
    here = found.scene.photo.pixels[row.crop.slices]
    assert (here[outside] == scene.photo.pixels[row.crop.slices][outside]).all(), "outside the hole nothing changes"


def test_no_seam_is_left_by_another_exposure(known: Callable[[Box], None], tmp_path: Path) -> None:
    light = np.linspace(0.75, 1.1, SIZE[1])[None, :, None]
    found, scene = gathered(shot(), [np.clip(shot(1.0) * light, 0, 255).astype(np.uint8)], tmp_path)
    made, truth = found.scene.photo.pixels.astype(int), shot().astype(int)
    hole = hole_of(scene)
    rim = hole & (cv2.dilate((~hole).astype(np.uint8), np.ones((5, 5))) > 0)
    assert abs((made - truth)[rim].mean()) < 2
    assert np.abs(cv2.blur((made - truth).astype(np.float32), (9, 9))[hole]).max() < 12


def test_what_is_left_of_a_person_at_the_rim_is_no_cloud_in_the_hole(
    known: Callable[[Box], None], tmp_path: Path
) -> None:
    """An outline cut close left a dark rim; it was taken for the photo's light, and darkened what was seen."""
    clean, others = shot(), [shot(1.0), shot(-1.5)]
    for number, pixels in enumerate(others):
        Photo.from_array(pixels).save(tmp_path / f"{number}.png")
    rim = np.zeros(SIZE, bool)
    rim[HERE.grow(7, SIZE).slices] = True
    photo = np.where(rim[..., None], np.clip(clean.astype(int) - 26, 0, 255), clean).astype(np.uint8)
    mask = np.zeros(SIZE, bool)
    mask[HERE.slices] = True
    scene = Scene(Photo.from_array(with_person(photo, HERE)), (Person.from_mask(1, mask),))
    plan = plan_layers(scene, (1,), Region.model_validate({}))
    found = evidence.gather([str(tmp_path / f"{n}.png") for n in range(2)], scene, plan, Finder.model_validate({}))
    assert found.share > 0.95, "nor are the others strange where the photo is the odd one"
    assert abs((found.scene.photo.pixels.astype(int) - clean)[found._seen & mask].mean()) < 4


def test_everybody_in_the_other_shots_is_blanked(known: Callable[[Box], None], tmp_path: Path) -> None:
    found, _ = gathered(shot(), [with_person(shot(1.0), Box(95, 50, 130, 135))], tmp_path)
    assert 0.2 < found.share < 0.6
    painted = found.scene.photo.pixels[found._seen].astype(int)
    assert not (np.abs(painted - (200, 30, 160)) < 40).all(1).any()


def test_a_person_whom_the_finder_missed_is_no_ghost(known: Callable[[Box], None], tmp_path: Path) -> None:
    """One shot alone showed somebody who reaches into the hole, and was believed."""
    known(Box(0, 0, SIZE[1], SIZE[0]))
    found, _ = gathered(shot(), [with_person(shot(1.0), Box(100, 50, 140, 135))], tmp_path)
    painted = found.scene.photo.pixels[found._seen].astype(int)
    assert not (np.abs(painted - (200, 30, 160)) < 40).all(1).any()
    others = [with_person(shot(1.0), Box(90, 60, 112, 110)), shot(-1.0), shot(2.0)]
    found, scene = gathered(shot(), others, tmp_path)
    assert found.share > 0.9 and psnr(found.scene.photo.pixels, shot(), hole_of(scene)) > 26


def test_an_unrelated_photo_is_refused_in_a_sentence(known: Callable[[Box], None], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"0\.png does not fit the photo: .* leave it out\.$"):
        gathered(shot(), [shot(seed=7)], tmp_path)
    with pytest.raises(UsageError, match="does not fit"):
        gathered(shot(), [np.full((*SIZE, 3), 90, np.uint8)], tmp_path)
    with pytest.raises(UsageError, match="does not fit"):
        gathered(shot(), [np.ascontiguousarray(shot()[:, ::-1])], tmp_path)


def test_the_fit_is_within_a_third_of_a_pixel() -> None:
    turned = shot(3.0, 1.05, (6, 4))
    matrix = aligned(shot(), turned, NOBODY, NOBODY, "turned")
    whole = cv2.getRotationMatrix2D((140, 115), 3.0, 1.05)
    whole[:, 2] += np.add(np.subtract((100, 75), (140, 115)), (6, 4))
    here = np.asarray([[30, 30], [170, 30], [170, 120], [30, 120]], np.float64)
    there = (here + 40) @ whole[:, :2].T + whole[:, 2]
    laid = cv2.perspectiveTransform(there[None].astype(np.float32), matrix)[0]
    assert np.abs(laid - here).max() < 0.34


def test_the_stack_is_that_of_the_photo(known: Callable[[Box], None], tmp_path: Path) -> None:
    """Whoever is brought back is whole: what was seen behind them is in the background alone."""
    from mild.road import run

    clean = shot()
    Photo.from_array(shot(1.5)).save(tmp_path / "other.png")
    photo = Photo.from_array(with_person(clean, HERE))
    mask = np.zeros(SIZE, np.uint8)
    mask[HERE.slices] = 255
    Photo.from_array(np.dstack([mask] * 3)).save(tmp_path / "mask.png")
    request = EraseRequest.build(
        selection={"mask": str(tmp_path / "mask.png")},
        finder={"backend": "none"},
        method={"denoise": False, "detail": False},
        also=[str(tmp_path / "other.png")],
    )
    result = run(request, photo)
    assert result.seen is not None and result.seen > 0.98 and result.report()["seen"] > 0.98
    assert psnr(result.photo.pixels, clean, mask > 0) > 28
    assert (result.stack.photo == photo.pixels).all()
    assert (result.stack.compose(()) == photo.pixels).all()
    assert (
        result.stack.layer_of(1).rgba[..., :3][result.stack.layer_of(1).rgba[..., 3] == 255] == (200, 30, 160)
    ).all()
    matte = result.stack.change_matte(result.erased)
    assert (result.photo.pixels[matte == 0] == photo.pixels[matte == 0]).all()


def test_a_plate_of_a_video(known: Callable[[Box], None], tmp_path: Path) -> None:
    writer = cv2.VideoWriter(str(tmp_path / "clip.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 5, SIZE[::-1])
    for number in range(9):
        x = 5 + 19 * number
        writer.write(with_person(shot(), Box(x, 50, x + 35, 135))[..., ::-1])
    writer.release()
    pixels, share = plate.plate(tmp_path / "clip.avi", Finder.model_validate({}), frames=9)
    assert share == 1.0
    assert psnr(pixels, shot(), NOBODY) > 28
    with pytest.raises(UsageError, match="There is no file"):
        plate.plate(tmp_path / "none.avi", Finder.model_validate({}))
    (tmp_path / "text.avi").write_text("no video")
    with pytest.raises(Exception, match="cannot be read as a video"):
        plate.plate(tmp_path / "text.avi", Finder.model_validate({}))
