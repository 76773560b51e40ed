"""Who is under a click, when the detectors are in doubt."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mild.people.finders import clicked
from mild.people.finders.blaze_nets import Picture
from mild.people.finders.boxes import Place


def _found(monkeypatch: pytest.MonkeyPatch, scores: dict[float, float]) -> list[Any]:
    """What a click finds where the boxes at these left edges have these scores."""
    marks = SimpleNamespace(to_net=np.eye(2, 3))

    def look(nets: Any, seen: Any, place: Place, judge: Any) -> Any:
        mask = np.zeros((60, 60), np.float32)
        mask[5:40, int(place.box[0]) : 40] = 1
        candidate = SimpleNamespace(landmarks=marks, mask=mask)
        return SimpleNamespace(candidate=candidate, place=place, fit=0.5, score=scores[place.box[0]])

    monkeypatch.setattr(clicked, "look_at", look)
    monkeypatch.setattr(clicked, "coarse_mask", lambda landmarks, size, mask: mask > 0.5)
    places = [Place((left, 5.0, 40.0, 40.0), (0.1,)) for left in scores]
    detector: Any = SimpleNamespace(judge=None, places_near=lambda picture, x, y: places)
    nets: Any = None
    return clicked.at_click(nets, detector, Picture(np.zeros((60, 60, 3), np.uint8)), 30.0, 20.0, None)


def test_a_doubtful_find_under_a_click_is_taken_rather_than_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """000000013659: a find of .1 with an IoU of .7 was refused, and the landmark net alone took somebody else."""
    (find,) = _found(monkeypatch, {2.0: 0.1})
    assert find.score == 0.1
    assert [f.score for f in _found(monkeypatch, {2.0: 0.1, 20.0: 0.6})] == [0.6, 0.1], "the likelier first"


def test_next_to_nothing_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _found(monkeypatch, {2.0: 0.02}) == []
