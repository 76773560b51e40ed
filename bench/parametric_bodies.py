"""Could a parametric body give hidden parts of people their shape? An upper bound and a realistic use.

    pip install anny                   # Apache-2.0, its data CC0; not a dependency of MILD
    python bench/parametric_bodies.py --samples sets/train-512 [--count 40]

For people of the samples whose joints are annotated and of whom something is hidden, a body (Anny, arXiv 2511.03589) is
fitted by gradient descent: turns of its bones, phenotype, scale and place. Once to what nobody knows when erasing, the
whole true outline and all true joints ("told all"); once to the visible outline and the joints that lie in it ("told
what is seen"), kept inside of where the person may be. Its silhouette, grown by the part of the height that is best
over all of them, is the hidden shape: alone, and as the mean with the network's opacity. IoU of the hidden part;
differences against the network with 95 % bootstrap intervals over the background photos.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from mild.lab.bench.sets.samples import SampleSet
from people import SEVERE, Variant, interval, planned

#: Bones that turn; the others follow.
BONES = (
    "root", "spine05", "spine03", "spine01", "neck01", "head",
    *(f"{bone}.{side}" for side in "LR" for bone in (
        "upperleg01", "lowerleg01", "foot", "clavicle", "upperarm01", "lowerarm01", "wrist")),
)  # fmt: skip
#: Steps and rate of the descent; weights of joints, of being outside, of not covering, of turning, of the phenotype.
STEPS, RATE = 150, 0.03
JOINTS, OUTSIDE, UNCOVERED, TURNS, SHAPE = 4.0, 4.0, 2.0, 0.02, 0.02
#: By how much a silhouette is grown, parts of the person's height: clothes and hair are no part of the body.
GROWN = (0.0, 0.01, 0.02, 0.03, 0.045)
#: Hidden pixels, at least; side of the grid a person is fitted on.
LEAST, SIDE = 100, 192


@dataclass(frozen=True)
class Hidden:
    """One person: masks bool ``[SIDE, SIDE]``, joints ``[17, 3]`` there, the network's opacity."""

    photo: str
    share: float
    truth: NDArray[np.bool_]
    visible: NDArray[np.bool_]
    hole: NDArray[np.bool_]
    joints: NDArray[np.float32]
    network: NDArray[np.float32]


def people_of(samples: str, count: int) -> list[Hidden]:
    """The first so many of them."""
    found: list[Hidden] = []
    sets, variant = SampleSet.open(samples), Variant("network")
    for id in sets.ids():
        item = sets.load(id)
        scene, plan, rows, hole = planned(item, item.scene)
        if item.truth is None:
            continue
        for row in rows:
            assert row.owner is not None
            whole, joints = item.truth.people.get(row.owner), scene.person(row.owner).keypoints
            if whole is None or joints is None or (joints[:, 2] > 0).sum() < 8:
                continue
            truth, visible = whole[..., 3] > 127, scene.mask_of((row.owner,))
            hidden = truth & hole & ~visible
            if hidden.sum() < LEAST:
                continue
            alpha = np.zeros(scene.size, np.float32)
            alpha[row.focus.slices] = variant.layer(scene, plan, row)[1]
            found.append(_cut(item.cluster, truth, visible, hole, joints, alpha, float(hidden.sum() / truth.sum())))
            if len(found) == count:
                return found
    return found


def _cut(
    photo: str, truth: NDArray[np.bool_], visible: NDArray[np.bool_], hole: NDArray[np.bool_],
    joints: NDArray[np.float32], alpha: NDArray[np.float32], share: float,
) -> Hidden:  # fmt: skip
    """A square around the person, resized to the grid."""
    ys, xs = np.nonzero(truth | visible)
    side = max(float(np.ptp(ys)), float(np.ptp(xs))) * 1.3
    scale = SIDE / side
    corner = np.asarray([(xs.min() + xs.max()) / 2, (ys.min() + ys.max()) / 2]) - side / 2
    place = np.asarray([[scale, 0, -corner[0] * scale], [0, scale, -corner[1] * scale]])

    def placed(image: NDArray[Any]) -> NDArray[np.float32]:
        return np.asarray(cv2.warpAffine(image.astype(np.float32), place, (SIDE, SIDE), flags=cv2.INTER_AREA))

    at = joints.astype(np.float32).copy()
    at[:, :2] = (at[:, :2] - corner) * scale
    masks = [placed(mask) > 0.5 for mask in (truth, visible, hole)]
    return Hidden(photo, share, masks[0], masks[1], masks[2], at, placed(alpha))


class Bodies:
    """Bodies for a batch of people, all numbers free."""

    def __init__(self, model: Any, regressor: Any, count: int) -> None:
        self.model, self.regressor = model, regressor
        self.bones = [model.bone_labels.index(bone) for bone in BONES]
        self.turns = torch.zeros(count, len(BONES), 3, requires_grad=True)
        self.shape = torch.zeros(count, len(model.phenotype_labels), requires_grad=True)
        self.scale = torch.full((count,), SIDE / 2.2).log().requires_grad_()
        self.place = torch.full((count, 2), SIDE / 2).requires_grad_()

    def __call__(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Vertices and COCO's joints on the grid, ``[B, V, 2]`` and ``[B, 17, 2]``; seen along the depth axis."""
        import roma

        count = len(self.turns)
        pose = torch.eye(4).expand(count, self.model.bone_count, 4, 4).clone()
        pose[:, self.bones, :3, :3] = roma.rotvec_to_rotmat(self.turns)
        looks = {name: torch.sigmoid(self.shape[:, i]) for i, name in enumerate(self.model.phenotype_labels)}
        made = self.model(pose_parameters=pose, phenotype_kwargs=looks)
        points = torch.cat([made["vertices"], self.regressor(made)[:, :17]], 1)
        flat = torch.stack([points[..., 0], -points[..., 2]], -1)
        flat = flat * self.scale.exp()[:, None, None] + self.place[:, None]
        return flat[:, :-17], flat[:, -17:]


def fitted(model: Any, regressor: Any, people: list[Hidden], told_all: bool) -> list[NDArray[np.bool_]]:
    """The silhouettes of the bodies that were fitted to these people, bool ``[SIDE, SIDE]``."""
    bodies = Bodies(model, regressor, len(people))
    joints = torch.from_numpy(np.stack([p.joints for p in people]))
    known, allowed = [], []
    for p in people:
        known.append(p.truth if told_all else p.visible)
        allowed.append(p.truth if told_all else p.visible | p.hole)
    weight = (joints[..., 2] > 0).float()
    if not told_all:
        for i, p in enumerate(people):
            near = cv2.dilate(p.visible.astype(np.uint8), np.ones((9, 9), np.uint8))
            x, y = (np.clip(p.joints[:, k].round().astype(int), 0, SIDE - 1) for k in (0, 1))
            weight[i] *= torch.from_numpy(near[y, x]).float()
    with torch.no_grad():
        for i in range(len(people)):
            at = joints[i, weight[i] > 0, :2]
            if len(at):
                bodies.place[i] = at.mean(0)
            # Whose left shoulder lies left of the right one is seen from behind.
            if weight[i, 5] * weight[i, 6] > 0 and joints[i, 5, 0] < joints[i, 6, 0]:
                bodies.turns[i, 0, 2] = np.pi
    away = torch.stack([
        torch.from_numpy(cv2.distanceTransform((~a).astype(np.uint8), cv2.DIST_L2, 5)) for a in allowed
    ])[:, None]  # fmt: skip
    draw = np.random.default_rng(0)
    covered = torch.stack([_some(mask, draw) for mask in known])
    optimiser = torch.optim.Adam([bodies.turns, bodies.shape, bodies.scale, bodies.place], lr=RATE)
    optimiser.param_groups.append({**optimiser.param_groups[0], "params": [bodies.place], "lr": 1.5})
    optimiser.param_groups[0]["params"] = [bodies.turns, bodies.shape, bodies.scale]
    for _ in range(STEPS):
        vertices, at = bodies()
        some = vertices[:, ::9]
        outside = torch.nn.functional.grid_sample(away, (some / (SIDE - 1) * 2 - 1)[:, None], padding_mode="border")
        loss = JOINTS * (weight * (at - joints[..., :2]).norm(dim=-1)).sum(1) / weight.sum(1).clamp(min=1)
        loss = loss + OUTSIDE * outside[:, 0, 0].mean(1) + UNCOVERED * torch.cdist(covered, some).min(2)[0].mean(1)
        loss = loss.sum() / SIDE * 10
        loss = loss + TURNS * bodies.turns[:, 1:].square().sum() + SHAPE * bodies.shape.square().sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        vertices, _ = bodies()
    out = []
    for points in vertices.numpy():
        image = np.zeros((SIDE, SIDE), np.uint8)
        inside = ((points >= 0) & (points < SIDE - 0.5)).all(1)
        column, row = points[inside].round().astype(int).T
        image[row, column] = 1
        out.append(cv2.morphologyEx(image, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8)) > 0)
    return out


def _some(mask: NDArray[np.bool_], draw: np.random.Generator, count: int = 300) -> torch.Tensor:
    ys, xs = np.nonzero(mask)
    picked = draw.integers(len(xs), size=count)
    return torch.from_numpy(np.stack([xs[picked], ys[picked]], 1).astype(np.float32))


def iou(made: NDArray[np.bool_], person: Hidden) -> float:
    where = person.hole & ~person.visible
    either = ((made | person.truth) & where).sum()
    return float((made & person.truth & where).sum() / either) if either else 1.0


def grown(mask: NDArray[np.bool_], part: float, person: Hidden) -> NDArray[np.bool_]:
    ys = np.nonzero(person.truth | person.visible)[0]
    return cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5) <= part * float(np.ptp(ys))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", required=True, help="shards of samples (`mild data synth`)")
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--pictures", type=Path, help="a picture of the first dozen")
    asked = parser.parse_args()
    try:
        import anny
        from anny.keypoints import KeypointsRegressor
    except ImportError:
        sys.exit("The bodies are Anny's, which is not installed: pip install anny.")
    model = anny.Anny().to(dtype=torch.float32)
    regressor = KeypointsRegressor.coco(model)
    people = people_of(asked.samples, asked.count)
    results = {"the network": [iou(p.network > 0.5, p) for p in people]}
    sheets = [[p.truth * 1.0, p.visible * 1.0 + 0.5 * p.hole * ~p.visible, p.network] for p in people[:12]]
    for told_all in (True, False):
        begun, made = time.process_time(), []
        for i in range(0, len(people), 10):
            made += fitted(model, regressor, people[i : i + 10], told_all)
        spent = (time.process_time() - begun) / len(people)
        name = "told all" if told_all else "told what is seen"
        part = max(GROWN, key=lambda g: np.mean([iou(grown(m, g, p), p) for m, p in zip(made, people, strict=True)]))
        shapes = [grown(m, part, p) for m, p in zip(made, people, strict=True)]
        for sheet, shape in zip(sheets, shapes, strict=False):
            sheet.append(shape * 1.0)
        results[f"{name}, grown by {part:g}"] = [iou(s, p) for s, p in zip(shapes, people, strict=True)]
        results[f"{name}, mean with the network"] = [
            iou(cv2.GaussianBlur(s.astype(np.float32), (0, 0), 2) + p.network > 1, p)
            for s, p in zip(shapes, people, strict=True)
        ]  # fmt: skip
        print(f"{name}: {spent:.1f} s a person")
    if asked.pictures:
        rows = [np.hstack(sheet) for sheet in sheets]
        cv2.imwrite(str(asked.pictures), np.rint(np.vstack(rows) * 255).astype(np.uint8))
    severe = [p.share >= SEVERE for p in people]
    print(
        f"{len(people)} hidden people, {len({p.photo for p in people})} photos; "
        f"{sum(severe)} of them with 40 % hidden and more\n"
    )
    print("| | IoU | against the network | 40 % hidden and more |\n| --- | --- | --- | --- |")
    first = results["the network"]
    for name, values in results.items():
        apart = interval([(p.photo, v - f) for p, v, f in zip(people, values, first, strict=True)])
        much = np.mean([v for v, s in zip(values, severe, strict=True) if s]) if any(severe) else np.nan
        print(f"| {name} | {np.mean(values):.3f} | {apart[0]:+.3f} [{apart[1]:+.3f}, {apart[2]:+.3f}] | {much:.3f} |")


if __name__ == "__main__":
    main()
