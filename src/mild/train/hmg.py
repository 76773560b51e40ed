"""Train human morphology guidance for the embedded model: its own weights only, on a frozen backbone, people only.

    python -m mild.train.cache --data ../shared/data --out runs/cache --bodies
    python -m mild.train.hmg --run runs/small --cache runs/cache --out runs/hmg --steps 600
    python -m mild.train.hmg --out runs/hmg --model src/mild/weights/mild-small --to runs/mild-small-hmg

The joints of the cut-outs are annotated, hidden ones too. What a finder will say of them is less: noise, doubt about
hidden joints and missing ones are drawn at random for every step, and every source is dropped at random.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import nn

from mild.body import mirrored_keypoints
from mild.diffusion.morphology import MorphologyGuidance
from mild.diffusion.morphology_rows import SOURCES, BodyRow, Hmg, MorphologyRows, Other, coarse
from mild.errors import MildError
from mild.train import small
from mild.train.cached import Batch, CachedRows, collate, view


@dataclass(frozen=True)
class Config:
    """Everything that shapes a run; written beside it as ``config.json``."""

    batch: int = 16
    size: int = 128
    large_every: int = 4  # every so many steps a quarter of the rows at twice the size
    learning_rate: float = 1e-3
    warmup: int = 40
    steps: int = 600
    decay: float = 0.4  # fraction of the steps at the end over which the rate runs down
    ema: float = 0.99
    first: float = 0.5  # share of the rows that start from pure noise
    posed: float = 0.7  # fraction of rows drawn from those with joints
    seed: int = 0
    bf16: bool = True


class BodyRows:
    """The rows of people of a cache, with their side files."""

    def __init__(self, folder: str | Path) -> None:
        self.rows = CachedRows(folder)
        self.keypoints: dict[int, NDArray[np.float32]] = {}
        self.front: dict[int, NDArray[np.float32]] = {}
        shard = len(self.rows.shards[0])
        for path in sorted(Path(folder).glob("bodies-*.npz")):
            number = int(path.stem.split("-")[1])
            if (number + 1) * shard > len(self.rows):
                continue
            with np.load(path) as stored:
                for i in np.flatnonzero(stored["front"].any(1)):
                    self.front[number * shard + int(i)] = stored["front"][i]
                for i in np.flatnonzero((stored["keypoints"][..., 2] > 0).sum(1) > 3):
                    self.keypoints[number * shard + int(i)] = stored["keypoints"][i]
        if not self.keypoints:
            raise MildError(f"{folder} holds no side files; make them with `python -m mild.train.cache --bodies`.")
        self.people, self.posed = list(self.front), list(self.keypoints)

    def batch(self, rng: Generator, count: int, size: int, posed: float) -> tuple[Batch, MorphologyRows]:
        """``count`` random rows and what is known of their bodies, all of it degraded at random."""
        picks = []
        for _ in range(count):
            pool = self.posed if rng.random() < posed else self.people
            picks.append(self.one(pool[int(rng.integers(len(pool)))], size, rng))
        return collate([image for image, _ in picks], rng), MorphologyRows.build([body for _, body in picks])

    def one(self, index: int, size: int, rng: Generator) -> tuple[NDArray[np.float32], BodyRow]:
        """Row ``index`` as :func:`mild.train.cached.view` gives it, and its body as a finder might see it."""
        row, front = self.rows[index], self.front[index]
        points = self.keypoints.get(index)
        side = row.shape[0]
        if rng.random() < 0.5:
            row = np.ascontiguousarray(row[:, ::-1])
            front = np.asarray([side - front[2], front[1], side - front[0], front[3]], np.float32)
            points = None if points is None else mirrored_keypoints(points, side)
        factor = side // size
        image = view(row, factor)
        own, hole = image[..., 4] > 0, image[..., 5] > 0
        parts, worth = None, 0.0
        if points is not None:
            points = points.copy()
            points[:, :2] = (points[:, :2] + 0.5) / factor - 0.5
            points = doubted(rng, points, own)
            parts, worth = coarse(own, points)
        jitter = rng.normal(0, 0.02, 4) * size
        box = front / factor + jitter
        other = Other((float(box[0]), float(box[1]), float(box[2]), float(box[3])), float(rng.uniform(0.7, 1)), True)
        return image, BodyRow((size, size), own, hole, points, parts, worth, (other,))


def doubted(rng: Generator, points: NDArray[np.float32], own: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Annotated joints ``[17, 3]`` as an estimator might give them: hidden ones farther off, unsure, or not at all."""
    side = own.shape[0]
    column, row = (np.clip(np.rint(points[:, i]).astype(int), 0, side - 1) for i in (0, 1))
    hidden = ~own[row, column]
    extent = float(np.ptp(points[points[:, 2] > 0, :2], axis=0).max())
    out = points.copy()
    out[:, :2] += rng.normal(0, 1, (17, 2)) * extent * np.where(hidden, 0.03, 0.01)[:, None]
    doubt = np.where(hidden, rng.uniform(0.1, 0.9, 17), rng.uniform(0.7, 1, 17))
    lost = rng.random(17) < np.where(hidden, 0.3, 0.05)
    out[:, 2] *= np.where(lost, 0, doubt)
    return out.astype(np.float32)


def train(config: Config, run: str, cache: str, out: str, test: str | None, save_every: int = 100) -> None:
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(asdict(config) | {"run": str(run)}, indent=1))
    torch.manual_seed(config.seed)
    model, data = backbone(run), BodyRows(cache)
    guidance = MorphologyGuidance.for_unet(model.unet)
    average = {k: v.detach().clone() for k, v in guidance.state_dict().items()}
    optimizer = torch.optim.AdamW(guidance.parameters(), lr=config.learning_rate, weight_decay=0.01, betas=(0.9, 0.98))
    step, seconds = 0, 0.0
    latest = folder / "latest.pt"
    if latest.exists():
        state = torch.load(latest, weights_only=True)
        guidance.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        average, step, seconds = state["average"], state["step"], state["seconds"]
    held_back = _held_back(test) if test else None
    losses: list[float] = []
    while step < config.steps:
        begun = time.monotonic()
        rng = np.random.default_rng((config.seed, 2, step))  # a step depends on its number alone
        large = config.large_every > 0 and step % config.large_every == config.large_every - 1
        count, size = (config.batch // 4, 2 * config.size) if large else (config.batch, config.size)
        batch, bodies = data.batch(rng, count, size, config.posed)
        t = small.timesteps(rng, count, config.first)
        noise = _noise(rng, model, batch)
        for group in optimizer.param_groups:
            group["lr"] = rate(config, step)
        autocast = torch.autocast("cpu", torch.bfloat16, enabled=config.bf16)
        with autocast, guidance.attached(model.unet, bodies.dropped(rng)):
            loss = small.loss_of(model, batch, t, noise)
        optimizer.zero_grad(set_to_none=True)
        if loss.requires_grad:  # a batch whose every source was dropped has nothing to teach
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(guidance.parameters(), 1.0)
            optimizer.step()
        step += 1
        decay = min(config.ema, (1 + step) / (10 + step))
        with torch.no_grad():
            for name, value in guidance.state_dict().items():
                average[name].lerp_(value, 1 - decay)
        losses.append(float(loss.detach()))
        seconds += time.monotonic() - begun
        if step % 20 == 0:
            entry = {"step": step, "loss": round(float(np.mean(losses)), 5), "seconds": round(seconds)}
            _log(folder, entry | {"lr": rate(config, step)})
            losses.clear()
        if step % save_every == 0 or step == config.steps:
            state = {"model": guidance.state_dict(), "optimizer": optimizer.state_dict(), "average": average}
            torch.save(state | {"step": step, "seconds": seconds}, latest.with_suffix(".part"))
            latest.with_suffix(".part").rename(latest)
            if held_back:
                judged = MorphologyGuidance.for_unet(model.unet)
                judged.load_state_dict(average)
                _log(folder, {"step": step, **evaluate(model, judged.eval(), *held_back)})


@torch.no_grad()
def evaluate(model: small.Model, guidance: MorphologyGuidance, batch: Batch, bodies: MorphologyRows) -> dict[str, Any]:
    """In people's holes, for every choice of sources: squared colour error (where they are), and IoU of the alpha."""
    out: dict[str, Any] = {}
    choices: dict[str, Hmg] = {"none": "none", "all": "all", **{source: (source,) for source in SOURCES}}
    rows, noise = batch.rows, _noise(np.random.default_rng(0), model, batch)
    for name, hmg in choices.items():
        with guidance.attached(model.unet, bodies.only(hmg)), model.denoiser.installed(rows) as denoise:
            answer = model.codec.decode(denoise(noise, torch.full((len(rows),), 999), torch.zeros(len(rows))))
        inside = rows.hole > 0
        truth = (batch.target[:, 3:] > 0) & inside
        guess = (answer[:, 3:] > 0) & inside
        iou = (guess & truth).sum((1, 2, 3)) / (guess | truth).sum((1, 2, 3)).clamp(min=1)
        error = ((answer[:, :3] - batch.target[:, :3]).square() * truth).sum((1, 2, 3)) / (3 * truth.sum((1, 2, 3)) + 1)
        out[name] = {"alpha_iou": round(float(iou.mean()), 4), "colour_mse": round(float(error.mean()), 5)}
    return out


def backbone(run: str | Path) -> small.Model:
    """The averaged weights of a run of :mod:`mild.train.small`, frozen."""
    values = json.loads((Path(run) / "config.json").read_text())
    model = small.Model(small.Config(**{**values, "channels": tuple(values["channels"])}))
    model.load_state_dict(torch.load(Path(run) / "latest.pt", weights_only=True, mmap=True)["average"])
    return model.requires_grad_(False).eval()


def export(run: str, model: str, folder: str) -> None:
    """The pipeline of ``model`` with this run's averaged guidance, in half precision."""
    from mild.diffusion.pipeline import MildPipeline

    pipeline: Any = MildPipeline.from_pretrained(model, torch_dtype=torch.float16)
    guidance = MorphologyGuidance.for_unet(pipeline.unet)
    state = torch.load(Path(run) / "latest.pt", weights_only=True)
    guidance.load_state_dict(state["average"])
    pipeline.register_modules(morphology=guidance.to(torch.float16))
    pipeline.save_pretrained(folder, safe_serialization=True)
    # diffusers notes where the parts were loaded from; a path of this machine is nobody else's business.
    index = Path(folder) / "model_index.json"
    values = json.loads(index.read_text(encoding="utf-8"))
    values.pop("_name_or_path", None)
    index.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    print(f"step {state['step']}, {state['seconds'] / 3600:.2f} hours -> {folder}")


def rate(config: Config, step: int) -> float:
    start = int(config.steps * (1 - config.decay))
    fade = 1.0 if step < start else max(0.0, (config.steps - step) / max(1, config.steps - start))
    return config.learning_rate * min(1.0, (step + 1) / config.warmup) * fade


def _noise(rng: Generator, model: small.Model, batch: Batch) -> torch.Tensor:
    side = [s // model.codec.factor for s in batch.target.shape[2:]]
    return torch.from_numpy(rng.standard_normal((len(batch.rows), model.codec.latent_channels, *side), np.float32))


def _held_back(folder: str) -> tuple[Batch, MorphologyRows]:
    """The test rows with joints, each with four draws of what a finder may say of them; the same every time."""
    data, rng = BodyRows(folder), np.random.default_rng(0)
    picks = [data.one(index, 128, rng) for index in data.posed[:32] for _ in range(4)]
    return collate([image for image, _ in picks]), MorphologyRows.build([body for _, body in picks])


def _log(folder: Path, entry: dict[str, Any]) -> None:
    with (folder / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")
    print(entry, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", required=True, help="folder of the run; a checkpoint there is continued")
    parser.add_argument("--run", help="folder of the backbone's own run (mild.train.small)")
    parser.add_argument("--cache", help="folder of cached rows with side files (mild.train.cache)")
    parser.add_argument("--test", help="folder of cached rows of the test split, for the figures in the log")
    parser.add_argument("--model", help="add the run's guidance to this pipeline folder and end")
    parser.add_argument("--to", help="folder for --model")
    for f in fields(Config):
        if f.name != "bf16":
            parser.add_argument(f"--{f.name.replace('_', '-')}", type=type(f.default), default=f.default)
    args = parser.parse_args()
    if args.model:
        return export(args.out, args.model, args.to or parser.error("--model needs --to"))
    if not (args.run and args.cache):
        parser.error("--run and --cache are needed to train")
    values = {f.name: getattr(args, f.name) for f in fields(Config) if hasattr(args, f.name)}
    train(Config(**values), args.run, args.cache, args.out, args.test)


if __name__ == "__main__":
    main()
