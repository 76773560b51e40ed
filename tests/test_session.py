"""A session: people found once, questions answered with the same pixels as one by one, and only what changed made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import mild
from mild.people.scene import Person, Scene
from mild.photo import Photo
from mild.plan.kept import Kept, digest
from mild.request import EraseRequest, Finder
from stacks import ellipse, make_photo

SIZE = (150, 420)


@pytest.fixture
def photo(monkeypatch: pytest.MonkeyPatch) -> Photo:
    """Two people far apart, who are found by a finder of this test; it counts how often it is asked."""
    searched: list[str] = []

    def look(photo: Photo, finder: Finder) -> Scene:
        searched.append(photo.sha256)
        masks = (ellipse(*SIZE, 40, 75, 14, 40), ellipse(*SIZE, 380, 75, 14, 40))
        return Scene(photo, tuple(Person.from_mask(i + 1, mask) for i, mask in enumerate(masks)))

    monkeypatch.setattr("mild.session.find_people", look)
    monkeypatch.setattr("mild.road.find_people", look)
    photo = Photo.of(make_photo(*SIZE))
    object.__setattr__(photo, "searched", searched)
    return photo


def test_people_are_found_once(photo: Any) -> None:
    session = mild.Session(photo)
    assert [person.id for person in session.people] == [1, 2]
    session.preview(1)
    session.erase(2)
    assert len(photo.searched) == 1


def test_an_answer_is_that_of_a_single_call(photo: Photo) -> None:
    session = mild.Session(photo, seed=3)
    for people in (1, (1, 2), 2, (1, 2)):
        alone = mild.erase(photo, people, seed=3)
        answer = session.erase(people)
        assert np.array_equal(answer.photo.pixels, alone.photo.pixels)
        assert answer.request.selection == alone.request.selection


def test_a_second_choice_makes_only_what_changed(photo: Photo) -> None:
    session = mild.Session(photo)
    session.erase(1)
    made = session._kept.misses
    session.erase((1, 2))
    # The hole of 1 is far from that of 2: its fill and its painting are there already.
    assert session._kept.hits == made and session._kept.misses == 2 * made


def test_the_photo_taken_apart(photo: Photo) -> None:
    result = mild.Session(photo).layers()
    assert np.array_equal(result.photo.pixels, photo.pixels)
    assert [layer.owner for layer in result.layers.people] == [1, 2]


def test_a_preview_changes_the_hole_alone(photo: Photo) -> None:
    session = mild.Session(photo)
    shown = np.asarray(session.preview(1))
    changed = (shown != photo.pixels).any(2)
    assert changed.any() and not (changed & ~session.erase(1).mask).any()


def test_another_finder_searches_again(photo: Any) -> None:
    session = mild.Session(photo)
    session.erase(1)
    session.run(EraseRequest.build(selection={"people": [1]}, finder={"backend": "blazepose"}))
    assert len(photo.searched) == 2


def test_closing_lets_go(photo: Any) -> None:
    with mild.Session(photo) as session:
        session.erase(1)
        assert session._kept._bytes > 0
    assert session._kept._bytes == 0 and not session._found


def test_what_is_kept_has_a_bound() -> None:
    kept = Kept(most_bytes=1000)
    for number in range(5):
        kept.get(str(number), lambda: np.zeros(400, np.uint8))
    assert kept._bytes <= 1000
    assert kept.get("4", lambda: np.ones(1, np.uint8)).size == 400  # still there
    assert kept.get("0", lambda: np.ones(1, np.uint8)).size == 1  # gone
    kept.get("large", lambda: np.zeros(2000, np.uint8))
    assert kept._bytes <= 1000


def test_a_key_names_everything() -> None:
    array = np.arange(6, dtype=np.uint8)
    assert digest(array) == digest(array.copy()) != digest(array.reshape(2, 3))
    assert digest(array) != digest(array.astype(np.int16))
    assert digest(1, 23) != digest(12, 3) and digest(None) != digest("")


def test_models_are_held_and_let_go(photo: Photo) -> None:
    models = mild.Models()
    mild.erase(photo, 1, models=models, correct=True)
    first = models.loaded()
    assert first == ("onnx mild-small",)
    model = models.one_step(EraseRequest().method.model)
    assert models.one_step(EraseRequest().method.model) is model
    models.unload()
    assert models.loaded() == ()


def test_the_result_shows_itself(photo: Photo) -> None:
    result = mild.erase(photo, 1)
    assert repr(result) == "<EraseResult 420x150, 2 people, without 1>"
    assert result._repr_png_().startswith(b"\x89PNG") and isinstance(result.image, Image.Image)
    assert result.mask.shape == SIZE and result.mask.any() and result.runtime in ("none", "onnx cpu")
    changed = (result.photo.pixels != photo.pixels).any(2)
    assert not (changed & ~result.mask).any()
    assert [person.id for person in result.people] == [1, 2] and result.layers is result.stack


def test_photos_and_masks_in_every_form(tmp_path: Path) -> None:
    pixels, mask = make_photo(80, 120), ellipse(80, 120, 60, 40, 12, 20)
    Image.fromarray(pixels).save(tmp_path / "p.png")
    Image.fromarray(mask.astype(np.uint8) * 255).save(tmp_path / "m.png")
    photos = [tmp_path / "p.png", str(tmp_path / "p.png"), (tmp_path / "p.png").read_bytes(), pixels]
    masks = [
        tmp_path / "m.png", (tmp_path / "m.png").read_bytes(), Image.open(tmp_path / "m.png"), mask,
        mask.astype(np.uint8), mask.astype(np.float32), mask[..., None] * np.uint8(255),
        np.where(mask, 140, 90).astype(np.uint8),
    ]  # fmt: skip
    models = mild.Models()
    wanted = mild.erase(Image.fromarray(pixels), mask=str(tmp_path / "m.png"), finder="none", models=models)
    for photo, given in zip(photos + [pixels] * 4, masks, strict=True):
        found = mild.erase(photo, mask=given, finder="none", models=models)
        assert np.array_equal(found.photo.pixels, wanted.photo.pixels)


def test_every_call_takes_a_photo_in_every_form(tmp_path: Path) -> None:
    """`mild.find_people("photo.jpg")` was "'str' object has no attribute 'sha256'"."""
    pixels, mask = make_photo(80, 120), ellipse(80, 120, 60, 40, 12, 20)
    path = tmp_path / "p.png"
    Image.fromarray(pixels).save(path)
    mark = mild.build_request(mask=mask, finder="none", denoise=False)
    for photo in (path, str(path), path.read_bytes(), Image.open(path), pixels, Photo.open(path)):
        assert np.array_equal(mild.find_people(photo, "none").photo.pixels, pixels)
        assert mild.find_people(photo, Finder(backend="none")).people == ()
        assert mild.run(mark, photo).erased == (1,)
        assert mild.decompose(mark, photo).stack.layers
    with pytest.raises(mild.UsageError, match="A photo is a path"):
        mild.find_people(object())  # type: ignore[arg-type]
    with pytest.raises(mild.UsageError, match="There is no finder 'nobody'"):
        mild.find_people(pixels, "nobody")


WRONG_MASKS = {
    "shape": np.zeros((80, 120, 7)),
    "not numbers": np.full((80, 120), np.nan),
    "0..1": np.full((80, 120), -1),
    "empty": np.zeros((80, 120), bool),
    "A mask is a path": object(),
    "pixels|size": np.ones((3, 3), bool),
}


@pytest.mark.parametrize("told", WRONG_MASKS)
def test_a_mask_that_cannot_be_is_one_sentence(told: str) -> None:
    with pytest.raises(mild.UsageError, match=told):
        mild.erase(make_photo(80, 120), mask=WRONG_MASKS[told], finder="none")


def test_old_requests_are_read() -> None:
    """As they were saved before the method's fields were grouped."""
    old = {"method": {"model": "mild-small", "steps": 4, "resolution": 128, "sma": "off", "hmg": "none", "guidance": 2}}
    method = EraseRequest.build(**old).method
    assert (method.model.name, method.sampling.steps, method.sampling.resolution) == ("mild-small", 4, 128)
    assert (method.parts.sma, method.parts.hmg, method.text.guidance) == ("off", "none", 2)
    assert EraseRequest.model_validate_json(EraseRequest.build(**old).model_dump_json()).method == method
    both = EraseRequest.build(method={"sampling": {"resolution": 128}, "steps": 3}).method.sampling
    assert (both.steps, both.resolution) == (3, 128)


def test_no_cuda_here_is_one_sentence(photo: Photo) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(mild.MildError, match="cuda"):
        mild.erase(photo, 1, correct=True, device="cuda")
    with pytest.raises(mild.UsageError, match="device"):
        mild.erase(photo, 1, device="tpu")


def test_the_server_s_second_answer_costs_what_changed(photo: Photo) -> None:
    from mild.app.server.road import MildRoad

    road = MildRoad()
    first = road.run(mild.build_request(people=(1,)), photo, lambda stage, share: None)
    assert road._kept is not None
    made = road._kept[1].misses
    second = road.run(mild.build_request(people=(1, 2)), photo, lambda stage, share: None)
    assert road._kept[1].hits == made and road._kept[1].misses == 2 * made
    assert np.array_equal(second.photo.pixels, mild.erase(photo, (1, 2)).photo.pixels)
    assert np.array_equal(first.photo.pixels, mild.erase(photo, 1).photo.pixels)
    road.forget("another")
    assert road._kept is not None
    road.forget(photo.sha256)
    assert road._kept is None


def test_points_by_the_requests_own_name(photo: Photo) -> None:
    """`points=` is a field of the request like any other: the short name's default took its place."""
    one, other = (40, 75), (380, 75)
    assert mild.build_request(points=[one], at=()).selection.points == (one,)
    assert mild.build_request(points=one, at=[other]).selection.points == (other, one)
    assert np.array_equal(mild.erase(photo, points=[one]).mask, mild.erase(photo, at=one).mask)


def test_numbers_and_places_as_arrays(photo: Photo) -> None:
    """Numbers in an array: "the truth value of an empty array is ambiguous"."""
    for people in (np.array([1, 2]), np.int64(2), [np.int64(2)], (number for number in (1, 2))):
        count = 1 if isinstance(people, np.int64 | list) else 2
        assert len(mild.build_request(people=people).selection.people) == count
    assert mild.build_request(people=None, everyone=True).selection.everyone
    assert np.array_equal(mild.Session(photo).erase(np.array([1])).mask, mild.erase(photo, 1).mask)
    request = mild.build_request(at=np.array([40, 75]), boxes=np.array([[1, 2, 3, 4]]))
    assert request.selection.points == ((40, 75),) and request.selection.boxes == ((1, 2, 3, 4),)


@pytest.mark.parametrize("wrong", [{"at": 5}, {"at": (1, 2, 3)}, {"at": "40,75"}, {"boxes": 5}, {"boxes": "1,2,3,4"}])
def test_places_of_another_form_are_told_in_a_sentence(photo: Photo, wrong: dict[str, Any]) -> None:
    with pytest.raises(mild.UsageError, match=r"(at|boxes) takes \(x.*\), or a list of such, not "):
        mild.erase(photo, **wrong)
