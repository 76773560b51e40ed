"""Subjects and bystanders: fit the weights of `mild.people.roles`, and report how often they are right.

    python bench/roles.py SCENES [--people PICKLE]

SCENES is a folder with the photos and instance masks that `roles_labels.json` names (`NAME.webp`, `NAME.mask.png`).
Scenes at even places are fitted, those at odd places are reported. People that the finder found are matched with the
labelled ones (masks' overlap over their union at least 0.4); the others' masks are taken as they are drawn, without a
pose, so that everybody labelled counts, whatever the finder can see today.
"""

from __future__ import annotations

import argparse
import json
import pickle
from pathlib import Path

import numpy as np
from PIL import Image

from mild.people import roles
from mild.people.find import find_people
from mild.people.scene import Person, Scene
from mild.photo import Photo

LABELS = Path(__file__).with_name("roles_labels.json")
MATCHED = 0.4


def scene_of(
    folder: Path, name: str, labels: dict[str, list[int]], found: tuple[Person, ...]
) -> tuple[Scene, list[str]]:
    photo = Photo.open(folder / name)
    drawn = np.asarray(Image.open(folder / name.replace(".webp", ".mask.png")))
    people, said = [], []
    for role, numbers in labels.items():
        for number in numbers:
            mask = drawn == number
            person = Person.from_mask(number, mask)
            for other in found:
                full = other.full_mask(photo.size)
                if (full & mask).sum() >= MATCHED * (full | mask).sum():
                    person = Person.from_mask(number, full, keypoints=other.keypoints)
            people.append(person)
            said.append(role)
    return Scene(photo, tuple(people)), said


def fitted(rows: list[list[float]], truth: list[float], ridge: float = 1.0) -> np.ndarray:
    """Weights and bias of a logistic regression, by Newton's method."""
    x, y = np.column_stack([rows, np.ones(len(rows))]), np.asarray(truth)
    w = np.zeros(x.shape[1])
    penalty = ridge * np.diag([1.0] * (x.shape[1] - 1) + [0.0])
    for _ in range(30):
        p = 1 / (1 + np.exp(-x @ w))
        w += np.linalg.solve(x.T @ (x * (p * (1 - p))[:, None]) + penalty, x.T @ (y - p) - penalty @ w)
    return w


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenes", type=Path)
    parser.add_argument("--people", type=Path, help="People found before, kept here.")
    args = parser.parse_args()
    labels = json.loads(LABELS.read_text())["scenes"]
    kept = pickle.loads(args.people.read_bytes()) if args.people and args.people.exists() else {}
    for name in labels:
        if name not in kept:
            scene = find_people(Photo.open(args.scenes / name))
            kept[name] = (scene.people, scene.order)
    if args.people:
        args.people.write_bytes(pickle.dumps(kept))
    scenes = [scene_of(args.scenes, name, said, kept[name][0]) for name, said in labels.items()]
    rows, truth = [], []
    for scene, said in scenes[::2]:
        for row, role in zip(roles.features(scene), said, strict=True):
            if role != "unsure":
                rows.append(list(row.values()))
                truth.append(float(role == "subject"))
    weights = fitted(rows, truth)
    names = list(roles.features(scenes[0][0])[0])
    print(
        "weights:", {n: round(float(w), 2) for n, w in zip(names, weights, strict=False)}, "bias", round(weights[-1], 2)
    )
    for part, chosen in (("fitted", scenes[::2]), ("reported", scenes[1::2])):
        table = {(a, b): 0 for a in ("subject", "bystander", "unsure") for b in ("subject", "bystander", "unsure")}
        for scene, said in chosen:
            for person, role in zip(roles.with_roles(scene).people, said, strict=True):
                table[role, person.role] += 1
        decided = sum(table[a, b] for a in ("subject", "bystander") for b in ("subject", "bystander"))
        right = table["subject", "subject"] + table["bystander", "bystander"]
        sure = sum(table[a, b] for a in ("subject", "bystander") for b in ("subject", "bystander", "unsure"))
        part_right = f"{right} of them rightly ({100 * right / decided:.0f} %)"
        print(f"{part}: of {sure} labelled people {decided} decided, {part_right}")
        for a in ("subject", "bystander", "unsure"):
            print(f"   labelled {a:9}: " + ", ".join(f"{table[a, b]} {b}" for b in ("subject", "bystander", "unsure")))


if __name__ == "__main__":
    main()
