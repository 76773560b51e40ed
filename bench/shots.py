"""Several shots of one scene: what `--also` gives over one shot alone, where the truth is known.

    python bench/shots.py INGREDIENTS [--scenes 8] [--shots 3] [--out FOLDER]
    python bench/shots.py --video vtest.avi [--scenes 8] [--shots 3] [--out FOLDER]

INGREDIENTS holds `backgrounds` and `people` as the data factory takes them (`manifest.jsonl` and its photos). Of every
background of at least 500 pixels a burst is made: the same view, each shot cropped, turned up to 3 degrees, scaled up
to 6 %, brighter or darker up to 20 %, a little warmer or colder, with noise, and with other people composed in at
other places. The people of the first shot are erased, by their masks, with and without the other shots; in those,
everybody is found by the finder or missed, as it happens. The hole's PSNR is against the first shot without people, of
the whole hole and of the part of it that was seen: in the rest the model's guess is all there is, and that alone bounds
what the whole can gain.

Of a video of a static camera (OpenCV's vtest.avi, Debian package opencv-doc) frames are photos: everybody surely found
in one goes, other frames of the video are the other shots, and the truth is the temporal median of 150 frames, which
needs no finder. The frames' own noise bounds what can be reached.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from mild.errors import MildError
from mild.people.find import find_people
from mild.people.finders.coco import encode_rle
from mild.photo import Photo
from mild.request import EraseRequest
from mild.road import run
from mild.shots.plate import read_frames

SIDE = 480


def view(place: np.ndarray, rng: random.Random, first: bool) -> np.ndarray:
    """A shot of a place, uint8 ``[SIDE * 3 / 4, SIDE, 3]``, without people."""
    height, width = place.shape[:2]
    size = (SIDE, SIDE * 3 // 4)
    scale = max(size[0] / width, size[1] / height) * 1.22 * (1 if first else rng.uniform(0.97, 1.06))
    turn = 0 if first else rng.uniform(-3, 3)
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), turn, scale)
    matrix[:, 2] += (size[0] / 2 - width / 2, size[1] / 2 - height / 2)
    if not first:
        matrix[:, 2] += (rng.uniform(-12, 12), rng.uniform(-10, 10))
    return cv2.warpAffine(place, matrix, size, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT)


def exposed(shot: np.ndarray, rng: random.Random, first: bool) -> np.ndarray:
    """Another exposure and white balance, and a sensor's noise."""
    gains = np.ones(3) if first else np.asarray([rng.uniform(0.8, 1.2) * rng.uniform(0.97, 1.03) for _ in range(1)] * 3)
    if not first:
        gains = gains * (1, rng.uniform(0.97, 1.03), rng.uniform(0.94, 1.06))
    noise = np.random.default_rng(rng.randrange(2**31)).normal(0, 2.0, shot.shape)
    return np.clip(np.rint(shot * gains + noise), 0, 255).astype(np.uint8)


def composed(
    shot: np.ndarray, people: list[np.ndarray], rng: random.Random, slot: int
) -> tuple[np.ndarray, np.ndarray]:
    """Two people in it; each shot has them in other places. Returns the shot and the mask."""
    out, mask = shot.copy(), np.zeros(shot.shape[:2], bool)
    height, width = mask.shape
    for number in range(2):
        rgba = rng.choice(people)
        tall = round(height * rng.uniform(0.42, 0.6))
        wide = max(8, round(rgba.shape[1] * tall / rgba.shape[0]))
        small = cv2.resize(rgba, (wide, tall), interpolation=cv2.INTER_AREA)
        centre = width * (0.14 + 0.145 * ((2 * slot + 3 * number) % 6)) + rng.uniform(-8, 8)
        x = int(np.clip(centre - wide / 2, 0, max(0, width - wide)))
        y = height - tall - rng.randrange(4, 20)
        wide = min(wide, width - x)
        alpha = small[:, :wide, 3:] / 255
        window = out[y : y + tall, x : x + wide]
        window[...] = np.rint(window * (1 - alpha) + small[:, :wide, :3] * alpha)
        mask[y : y + tall, x : x + wide] |= alpha[..., 0] > 0.02
    return out, mask


def psnr(a: np.ndarray, b: np.ndarray, where: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((a[where].astype(float) - b[where]) ** 2)))


def compared(
    name: str, request: EraseRequest, here: Photo, clean: np.ndarray, hole: np.ndarray, also: list[str], out: Path
) -> tuple[float, float] | None:
    """One photo with and without its other shots: the gains, dB, of the whole hole and of what was seen of it; a sheet
    (truth, photo, alone, with others) is saved."""
    alone = run(request, here)
    try:
        more = run(request.model_copy(update={"also": tuple(also)}), here)
    except MildError as error:
        print(f"{name}: {error}")
        return None
    one, several = psnr(alone.photo.pixels, clean, hole), psnr(more.photo.pixels, clean, hole)
    seen = hole.copy()
    for layer in more.layers.layers:
        if layer.kind == "background":
            seen[layer.box.slices] &= ~layer.generated
    before, after = psnr(alone.photo.pixels, clean, seen), psnr(more.photo.pixels, clean, seen)
    told = f"{name}: alone {one:.1f} dB, with {len(also)} more {several:.1f} dB"
    print(f"{told}; seen {100 * seen.sum() / hole.sum():.0f} %, there {before:.1f} -> {after:.1f} dB", flush=True)
    Image.fromarray(np.hstack([clean, here.pixels, alone.photo.pixels, more.photo.pixels])).save(out)
    return several - one, after - before


def of_video(args: argparse.Namespace) -> list[tuple[float, float]]:
    frames = read_frames(args.video, 150)
    clean = np.median(np.stack(frames), 0).astype(np.uint8)
    gains = []
    for number in range(args.scenes):
        place = 4 + number * (len(frames) - 8) // args.scenes
        here = Photo.from_array(frames[place])
        people = find_people(here).sure
        hole = np.any([person.full_mask(here.size) for person in people], 0) if people else np.zeros(here.size, bool)
        if not people:
            continue
        also = []
        for k in range(1, args.shots + 1):
            path = args.out / f"video{number}-{k}.png"
            Image.fromarray(frames[(place + k * len(frames) // (args.shots + 1)) % len(frames)]).save(path)
            also.append(str(path))
        request = EraseRequest.build(selection={"everyone": True})
        name = f"frame {place} of {len(frames)}, {len(people)} people"
        gains.append(compared(name, request, here, clean, hole, also, args.out / f"video{number}-sheet.png"))
    return [gain for gain in gains if gain is not None]


def of_bursts(args: argparse.Namespace) -> list[tuple[float, float]]:
    rows = [json.loads(line) for line in (args.ingredients / "manifest.jsonl").read_text().splitlines()]
    rng = random.Random(0)
    places = [r for r in rows if r["kind"] == "background" and min(r["size"]) >= 400 and max(r["size"]) >= 500]
    people = [r for r in rows if r["kind"] == "person" and (args.ingredients / r["file"]).is_file()]
    places = [r for r in places if (args.ingredients / r["file"]).is_file()]
    rng.shuffle(places)
    cut = [np.asarray(Image.open(args.ingredients / r["file"]).convert("RGBA")) for r in rng.sample(people, 40)]
    cut = [c for c in cut if c.shape[0] > 1.4 * c.shape[1] and (c[..., 3] > 128).mean() > 0.2]
    gains = []
    for number, row in enumerate(places[: args.scenes]):
        place = np.asarray(Image.open(args.ingredients / row["file"]).convert("RGB"))
        clean = exposed(view(place, rng, True), rng, True)
        photo, mask = composed(clean, cut, rng, 0)
        also = []
        for k in range(1, args.shots + 1):
            shot, _ = composed(exposed(view(place, rng, False), rng, False), cut, rng, k)
            path = args.out / f"{number}-{k}.png"
            Image.fromarray(shot).save(path)
            also.append(str(path))
        request = EraseRequest.build(selection={"mask_rle": encode_rle(mask)}, finder={"backend": "none"})
        here = Photo.from_array(photo)
        gains.append(compared(row["file"], request, here, clean, mask, also, args.out / f"{number}-sheet.png"))
    return [gain for gain in gains if gain is not None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ingredients", type=Path, nargs="?")
    parser.add_argument("--video", type=Path)
    parser.add_argument("--scenes", type=int, default=8)
    parser.add_argument("--shots", type=int, default=3, help="Other shots.")
    parser.add_argument("--out", type=Path, default=Path("shots"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    gains = of_video(args) if args.video else of_bursts(args)
    for what, values in zip(("the hole", "what was seen of it"), zip(*gains, strict=True), strict=True):
        print(f"gain of {what}: mean {np.mean(values):.1f} dB, least {min(values):.1f} dB, of {len(values)}")


if __name__ == "__main__":
    main()
