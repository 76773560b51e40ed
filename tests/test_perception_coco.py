"""COCO files and run-length masks, both ways."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as codec

from mild.errors import UsageError
from mild.people.find import find_people
from mild.people.finders.coco import decode_rle, encode_rle, read_people, to_coco
from mild.people.scene import Scene
from mild.photo import Photo
from mild.request import Finder
from perception_scenes import SIZE, person, two_people

MASKS = arrays(bool, st.tuples(st.integers(1, 30), st.integers(1, 30)))


@settings(max_examples=60, deadline=None)
@given(MASKS)
def test_rle_round_trip_and_agreement_with_the_codec(mask: np.ndarray) -> None:
    code = encode_rle(mask)
    size = (mask.shape[0], mask.shape[1])
    np.testing.assert_array_equal(decode_rle(code, size), mask)
    np.testing.assert_array_equal(codec.decode({**code, "counts": code["counts"].encode()}).astype(bool), mask)
    flat = mask.T.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *edges.tolist(), flat.size]).tolist()
    plain = {"size": list(size), "counts": [0, *runs] if flat[0] else runs}
    np.testing.assert_array_equal(decode_rle(plain, size), mask)


@settings(max_examples=80, deadline=None)
@given(st.one_of(st.text(max_size=20), st.lists(st.integers(-5, 50), max_size=8), st.none()))
def test_rubbish_never_reaches_the_codec(counts: object) -> None:
    with contextlib.suppress(UsageError):
        assert decode_rle({"size": [5, 7], "counts": counts}, (5, 7)).shape == (5, 7)


def test_scene_round_trip(tmp_path: Path) -> None:
    points = np.zeros((17, 3), np.float32)
    points[0] = (12.5, 11.25, 1)
    scene = two_people(person(3, 60, 5, 70, 50, keypoints=points, score=0.75))
    path = tmp_path / "people.json"
    path.write_text(json.dumps(to_coco(scene, "party.jpg")), "utf-8")
    again = find_people(scene.photo, Finder.model_validate({"annotations": str(path)}))
    assert [p.box for p in again.people] == [p.box for p in scene.people]
    for a, b in zip(again.people, scene.people, strict=True):
        np.testing.assert_array_equal(a.mask, b.mask)
    assert again.people[2].score == 0.75 and again.people[2].source == "coco"
    np.testing.assert_allclose(again.people[2].keypoints, points)


def coco(**changes: Any) -> dict[str, Any]:
    data: dict[str, Any] = {
        "images": [{"id": 7, "file_name": "a/party.jpg", "height": SIZE[0], "width": SIZE[1]}],
        "categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "dog"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 1, "segmentation": [[10, 10, 30, 10, 30, 40, 10, 40]]},
            {"id": 2, "image_id": 7, "category_id": 1, "segmentation": [[20, 10, 50, 10, 50, 50, 20, 50]]},
            {"id": 3, "image_id": 7, "category_id": 2, "segmentation": [[60, 10, 70, 10, 70, 50]]},
            {"id": 4, "image_id": 7, "category_id": 1, "iscrowd": 1, "segmentation": {"size": [1, 1], "counts": [1]}},
            {"id": 5, "image_id": 8, "category_id": 1, "segmentation": [[60, 10, 70, 10, 70, 50]]},
        ],
    }
    return data | changes


def read(tmp_path: Path, data: object, photo: Photo | None = None) -> Scene:
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(data))
    return read_people(photo or two_people().photo, path)


def test_polygons_crowds_categories_and_overlap(tmp_path: Path) -> None:
    scene = read(tmp_path, coco())
    assert len(scene.people) == 2
    assert scene.person(1).area == 20 * 30, "shared pixels go to the smaller"
    assert not (scene.person(1).full_mask(SIZE) & scene.person(2).full_mask(SIZE)).any()


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ([], "not a COCO instances file"),
        (coco(categories=[]), "no category 'person'"),
        (coco(images=[]), "none has its size"),
        (coco(images=coco()["images"] * 2), "2 images have its size"),
        (coco(images=[{"id": 7, "file_name": "x.jpg", "height": 3, "width": 4}]), "none has its size"),
    ],
)
def test_faults_are_one_sentence(tmp_path: Path, data: object, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        read(tmp_path, data)


def test_broken_files(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    with pytest.raises(UsageError, match="cannot be read"):
        read_people(two_people().photo, path)
    path.write_text("{")
    with pytest.raises(UsageError, match="not a JSON"):
        read_people(two_people().photo, path)


def test_export_is_json_able() -> None:
    data = json.loads(json.dumps(to_coco(two_people())))
    assert data["annotations"][0]["bbox"] == [10, 10, 15, 40]
    assert data["annotations"][0]["area"] == 600
