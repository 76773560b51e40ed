"""A folder of ingredients, drawn: people of circles and bars, scenes of sky and ground, their manifest and notes."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

PEOPLE, SCENES, TEXTURES = 5, 3, 1


def make_ingredients(root: Path, *, splits: tuple[str, ...] = ("train", "test"), notes: bool = True) -> Path:
    """Write ``manifest.jsonl``, plain files and ``placement.json``; returns the folder."""
    root.mkdir(parents=True, exist_ok=True)
    lines, scenes, people = [], {}, {}
    for s, split in enumerate(splits):
        for i in range(SCENES):
            name = f"{split}_scene{i}.png"
            _save(root / name, _scene(10 * s + i))
            lines.append(_line("background", name, split, (240, 200), scene_kind="scene"))
            scenes[name] = {"horizon": 0.35, "ground": 0.5}
        for i in range(TEXTURES):
            name = f"{split}_cloth{i}.png"
            _save(root / name, np.random.default_rng(s).integers(0, 255, (64, 64, 3), np.uint8))
            lines.append(_line("background", name, split, (64, 64), scene_kind="closeup"))
        for i in range(PEOPLE):
            name = f"{split}_person{i}.png"
            rgba = _person(10 * s + i)
            _save(root / name, rgba)
            points = _points() if i % 2 else None
            size = (rgba.shape[1], rgba.shape[0])
            whole = {"full_body": True, "truncated": False, "occluded": False, "keypoints": points}
            lines.append(_line("person", name, split, size, **whole))
            people[name] = {"stands": True}
    (root / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if notes:
        (root / "placement.json").write_text(json.dumps({"scenes": scenes, "people": people}))
    return root


def edit_manifest(root: Path, edit) -> None:
    """Apply ``edit(lines)`` to the list of manifest entries."""
    lines = [json.loads(line) for line in (root / "manifest.jsonl").read_text().splitlines()]
    edit(lines)
    (root / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def _line(kind: str, name: str, split: str, size: tuple[int, int], **more) -> dict:
    said = {"licence": "CC0-1.0", "credit": f"author of {name}", "origin": "drawn", "source": name}
    return {"kind": kind, "file": name, "split": split, "size": list(size), **said, **more}


def _save(path: Path, pixels: np.ndarray) -> None:
    order = [2, 1, 0] if pixels.shape[2] == 3 else [2, 1, 0, 3]
    cv2.imwrite(str(path), pixels[..., order])


def _scene(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    out = np.empty((200, 240, 3), np.float32)
    out[:70] = rng.uniform(120, 230, 3)
    out[70:] = rng.uniform(60, 170, 3)
    out += cv2.GaussianBlur(rng.normal(0, 30, out.shape).astype(np.float32), (0, 0), 2)
    return np.clip(out, 0, 255).astype(np.uint8)


def _person(seed: int) -> np.ndarray:
    rng = np.random.default_rng(100 + seed)
    out = np.zeros((200, 70, 4), np.uint8)
    skin, shirt, trousers = (rng.integers(40, 220, 3) for _ in range(3))
    for colour, shape in (
        (shirt, lambda c: cv2.rectangle(out, (14, 42), (56, 108), c, -1)),
        (skin, lambda c: cv2.circle(out, (35, 22), 17, c, -1)),
        (trousers, lambda c: cv2.rectangle(out, (16, 106), (32, 198), c, -1)),
        (trousers, lambda c: cv2.rectangle(out, (38, 106), (54, 198), c, -1)),
        (skin, lambda c: cv2.rectangle(out, (3, 46), (14, 112), c, -1)),
        (skin, lambda c: cv2.rectangle(out, (56, 46), (67, 112), c, -1)),
    ):
        shape((*(int(v) for v in colour), 255))
    return out


def _points() -> list[list[int]]:
    known = {
        0: (35, 22), 5: (50, 46), 6: (20, 46), 7: (61, 80), 8: (9, 80), 9: (61, 108), 10: (9, 108),
        11: (46, 106), 12: (24, 106), 13: (46, 150), 14: (24, 150), 15: (46, 194), 16: (24, 194),
    }  # fmt: skip
    return [[*known[i], 2] if i in known else [0, 0, 0] for i in range(17)]
