"""What is told of a hidden person's body: their joints, looked for once more when it is known who goes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mild.models import assets
from mild.people.behind import joints
from mild.people.finders.blaze_nets import load_nets
from mild.people.scene import Person, Scene
from mild.plan.planning import Plan


def looked_again(scene: Scene, plan: Plan) -> Scene:
    """The scene with new keypoints of the people whom the plan completes, made of each one's own pixels alone.

    Keypoints that came with the people (annotations, another pose net) stay as they are. Without the landmark net on
    this machine the scene comes back as it was.
    """
    rows = [layer for layer in plan.layers if layer.owner is not None and _open(scene.person(layer.owner))]
    if not rows or assets.locate("blazepose") is None:
        return scene
    nets, found = load_nets(), {}
    for row in rows:
        points = joints(nets, scene.photo.pixels[row.crop.slices], row.own, row.hole)
        if points is not None:
            points[:, :2] += np.asarray([row.crop.x0, row.crop.y0], np.float32)
            found[row.owner] = points
    return replace(scene, people=tuple(replace(p, keypoints=found.get(p.id, p.keypoints)) for p in scene.people))


def _open(person: Person) -> bool:
    """Is nothing better known of the joints than what the landmark net says?"""
    return person.keypoints is None or person.landmarks is not None
