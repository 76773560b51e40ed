"""What is told of a hidden person's body: joints in the hole are looked for once more when it is known who goes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mild.models import assets
from mild.people.behind import joints
from mild.people.finders.blaze_nets import load_nets
from mild.people.scene import Person, Scene
from mild.plan.planning import LayerPlan, Plan


def looked_again(scene: Scene, plan: Plan) -> Scene:
    """The scene with new keypoints of the people whom the plan completes, made of each one's own pixels alone.

    Of keypoints that the finder gave, those in the hole are made anew: there it saw whoever stands in front. Where
    it saw them elsewhere they stay, and so do keypoints that came with the people (annotations, another pose net).
    Without the landmark net on this machine the scene comes back as it was.
    """
    rows = [layer for layer in plan.layers if layer.owner is not None and _open(scene.person(layer.owner))]
    if not rows or assets.locate("blazepose") is None:
        return scene
    nets, found = load_nets(), {}
    for row in rows:
        assert row.owner is not None
        before = scene.person(row.owner).keypoints
        asked = np.ones(17, bool) if before is None else _hidden(before, row)
        if not asked.any():
            continue
        points = joints(nets, scene.photo.pixels[row.crop.slices], row.own, row.hole)
        if points is None:
            continue
        points[:, :2] += np.asarray([row.crop.x0, row.crop.y0], np.float32)
        found[row.owner] = points if before is None else np.where(asked[:, None], points, before)
    return replace(scene, people=tuple(replace(p, keypoints=found.get(p.id, p.keypoints)) for p in scene.people))


def _open(person: Person) -> bool:
    """Is nothing better known of the joints than what the landmark net says?"""
    return person.keypoints is None or person.landmarks is not None


def _hidden(points: NDArray[np.float32], row: LayerPlan) -> NDArray[np.bool_]:
    """Which of the keypoints ``[17, 3]``, in pixels of the photo, lie in the row's hole."""
    x, y = (np.rint(points[:, i]).astype(int) - start for i, start in enumerate((row.crop.x0, row.crop.y0)))
    there = (x >= 0) & (x < row.crop.width) & (y >= 0) & (y < row.crop.height)
    out = np.zeros(len(points), bool)
    out[there] = row.hole[y[there], x[there]]
    return out
