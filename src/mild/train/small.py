"""Train the embedded model `mild-small`: the base denoiser and both domains' adapters together, from cached rows.

    python -m mild.train.small --cache runs/cache --out runs/small --steps 6000
    python -m mild.train.small --export runs/small --to src/mild/weights/mild-small

A run that was stopped goes on from its last checkpoint. Ends with the learning rate run down to zero.
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
import torch.nn.functional as F
from torch import nn

from mild.diffusion.adapters import DomainAdapters
from mild.diffusion.attention import SpatialModulation
from mild.diffusion.codec import PixelCodec
from mild.diffusion.denoiser import Denoiser, small_unet
from mild.diffusion.schedule import noise_scheduler, signal_of
from mild.train.cached import Batch, CachedRows, collate, view


@dataclass(frozen=True)
class Config:
    """Everything that shapes a run; written beside it as ``config.json``."""

    channels: tuple[int, ...] = (96, 128, 160)
    rank: int = 8
    batch: int = 32
    size: int = 128
    large_every: int = 6  # every so many steps a smaller batch at twice the size
    learning_rate: float = 5e-4
    warmup: int = 200
    steps: int = 6000
    decay: float = 0.3  # fraction of the steps at the end over which the rate runs down
    ema: float = 0.998
    seed: int = 0
    first: float = 0.8  # share of the rows that start from pure noise, as sampling does
    bf16: bool = True


class Model(nn.Module):
    """What is trained, as one module."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        codec = PixelCodec()
        self.unet = small_unet(codec, config.channels).to(memory_format=torch.channels_last)
        self.adapters = DomainAdapters.for_unet(self.unet, rank=config.rank)
        self.modulation = SpatialModulation.for_unet(self.unet)
        self.codec = codec

    @property
    def denoiser(self) -> Denoiser:
        return Denoiser(self.unet, self.codec, self.adapters, self.modulation)


def loss_of(model: Model, batch: Batch, timestep: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """Squared error of the clean layer in the hole, twice: per pixel, and of 8x8 means (what the eye sees first)."""
    rows, codec = batch.rows, model.codec
    scheduler = noise_scheduler()
    clean = codec.encode(torch.where(rows.hole > 0, batch.target, rows.base))
    noisy = scheduler.add_noise(clean, noise, timestep)
    with model.denoiser.installed(rows) as denoise:
        answer = codec.decode(denoise(noisy, timestep, signal_of(scheduler, timestep)).float())
    error = answer - batch.target
    person = torch.tensor([d == "person" for d in rows.domains]).view(-1, 1, 1, 1)
    opacity = (batch.target[:, 3:] + 1) / 2
    area = rows.hole.sum((1, 2, 3)) + 16
    colour = (rows.hole * opacity) * error[:, :3]
    fine = colour.square().sum((1, 2, 3)) / (3 * area)
    coarse = F.avg_pool2d(colour, 8).square().sum((1, 2, 3)) * 64 / (3 * area)
    alpha = (rows.hole * person * error[:, 3:].square()).sum((1, 2, 3)) / area
    # The logarithm makes a plain sky count as much as a crowd: else the few hopeless rows drown what could be learned
    # from the others, and corrections that help them spoil fills that were already right.
    return (0.05 * torch.log(fine + coarse + 2e-3) + 0.1 * alpha).mean()


def timesteps(rng: np.random.Generator, count: int, first: float) -> torch.Tensor:
    """A share at the very start, where sampling begins and most is decided; the rest spread evenly."""
    t = rng.integers(0, 1000, count)
    t[rng.random(count) < first] = 999
    return torch.from_numpy(t)


def rate(config: Config, step: int) -> float:
    start = int(config.steps * (1 - config.decay))
    fade = 1.0 if step < start else max(0.0, (config.steps - step) / max(1, config.steps - start))
    return config.learning_rate * min(1.0, (step + 1) / config.warmup) * fade


def train(config: Config, cache: str, out: str, test: str | None, save_every: int = 200) -> None:
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(asdict(config), indent=1))
    torch.manual_seed(config.seed)
    data, model = CachedRows(cache), Model(config)
    average = {k: v.detach().clone() for k, v in model.state_dict().items()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=0.01, betas=(0.9, 0.98))
    step, seconds, samples = 0, 0.0, 0
    latest = folder / "latest.pt"
    if latest.exists():
        state = torch.load(latest, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        average, step, seconds, samples = state["average"], state["step"], state["seconds"], state["samples"]
    held_back = _held_back(test) if test else []
    losses: list[float] = []
    while step < config.steps:
        begun = time.monotonic()
        rng = np.random.default_rng((config.seed, 1, step))  # a step depends on its number alone
        large = config.large_every > 0 and step % config.large_every == config.large_every - 1
        if step % 100 == 0:
            data.refresh()
        batch = data.batch(rng, config.batch // (4 if large else 1), config.size * (2 if large else 1))
        t = timesteps(rng, len(batch.rows), config.first)
        shape = (
            len(batch.rows),
            model.codec.latent_channels,
            *(s // model.codec.factor for s in batch.target.shape[2:]),
        )
        noise = torch.from_numpy(rng.standard_normal(shape, np.float32))
        for group in optimizer.param_groups:
            group["lr"] = rate(config, step)
        with torch.autocast("cpu", torch.bfloat16, enabled=config.bf16):
            loss = loss_of(model, batch, t, noise)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step, samples = step + 1, samples + len(batch.rows)
        decay = min(config.ema, (1 + step) / (10 + step))
        with torch.no_grad():
            for name, value in model.state_dict().items():
                average[name].lerp_(value, 1 - decay)
        losses.append(float(loss.detach()))
        seconds += time.monotonic() - begun
        if step % 20 == 0:
            entry = {"step": step, "loss": float(np.mean(losses)), "grad": float(norm), "samples": samples}
            entry |= {"seconds": round(seconds), "rows": len(data), "lr": rate(config, step)}
            losses.clear()
            _log(folder, entry)
        if step % save_every == 0 or step == config.steps:
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "average": average}
            state |= {"step": step, "seconds": seconds, "samples": samples}
            torch.save(state, latest.with_suffix(".part"))
            latest.with_suffix(".part").rename(latest)
            if held_back:
                _log(folder, {"step": step, **evaluate(config, average, held_back)})


@torch.no_grad()
def evaluate(config: Config, weights: dict[str, torch.Tensor], batches: list[Batch]) -> dict[str, float]:
    """PSNR in the hole of held-back backgrounds (fill, answer, fill + coarse correction), and people's alpha IoU."""
    model = Model(config)
    model.load_state_dict(weights)
    model.eval()
    scores: dict[str, list[float]] = {"fill": [], "answer": [], "blend": [], "alpha_iou": []}
    for batch in batches:
        rows, count = batch.rows, len(batch.rows)
        side = [s // model.codec.factor for s in batch.target.shape[2:]]
        noise = torch.from_numpy(np.random.default_rng(0).standard_normal((count, 256, *side), np.float32))
        with model.denoiser.installed(rows) as denoise:
            answer = model.codec.decode(denoise(noise, torch.full((count,), 999), torch.zeros(count)))
        blend = rows.fill + _smooth(answer[:, :3] - rows.fill)
        for i, domain in enumerate(rows.domains):
            hole = rows.hole[i] > 0
            if domain == "background":
                for name, image in (("fill", rows.fill), ("answer", answer[:, :3]), ("blend", blend)):
                    error = (image[i].clamp(-1, 1) - batch.target[i, :3])[hole.expand(3, -1, -1)]
                    scores[name].append(-10 * np.log10(float(error.square().mean()) / 4 + 1e-8))
            else:
                guess, truth = answer[i, 3:][hole] > 0, batch.target[i, 3:][hole] > 0
                scores["alpha_iou"].append(float((guess & truth).sum() / max(1, int((guess | truth).sum()))))
    return {name: round(float(np.mean(values)), 3) for name, values in scores.items()}


def export(run: str, folder: str) -> None:
    """Write the averaged weights of a run as a half-precision pipeline that ``MildPipeline.from_pretrained`` loads."""
    from mild.diffusion.pipeline import MildPipeline

    values = json.loads((Path(run) / "config.json").read_text())
    config = Config(**{**values, "channels": tuple(values["channels"])})
    model = Model(config)
    state = torch.load(Path(run) / "latest.pt", weights_only=True)
    model.load_state_dict(state["average"])
    pipeline = MildPipeline(model.unet, noise_scheduler(), model.codec, model.adapters, model.modulation)
    pipeline.to(torch.float16).save_pretrained(folder, safe_serialization=True)
    print(f"step {state['step']}, {state['samples']} samples, {state['seconds'] / 3600:.2f} hours -> {folder}")


def _smooth(image: torch.Tensor) -> torch.Tensor:
    return F.interpolate(F.avg_pool2d(image, 4), scale_factor=4.0, mode="bilinear")


def _held_back(folder: str) -> list[Batch]:
    data = CachedRows(folder)
    views = [view(data[i], data[i].shape[0] // 128) for i in range(min(128, len(data)))]
    return [collate(views[i : i + 32]) for i in range(0, len(views), 32)]


def _log(folder: Path, entry: dict[str, Any]) -> None:
    with (folder / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")
    print(entry, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cache", help="folder of cached rows (mild.train.cache)")
    parser.add_argument("--out", help="folder of the run; a checkpoint there is continued")
    parser.add_argument("--export", metavar="RUN", help="write this run's averaged weights as a pipeline and end")
    parser.add_argument("--to", help="folder for --export")
    parser.add_argument("--test", help="folder of cached rows of the test split, for the figures in the log")
    for f in fields(Config):
        if f.name not in ("channels", "bf16"):
            parser.add_argument(f"--{f.name.replace('_', '-')}", type=type(f.default), default=f.default)
    args = parser.parse_args()
    if args.export:
        return export(args.export, args.to or parser.error("--export needs --to"))
    if not (args.cache and args.out):
        parser.error("--cache and --out are needed to train")
    values = {f.name: getattr(args, f.name) for f in fields(Config) if hasattr(args, f.name)}
    train(Config(**values), args.cache, args.out, args.test)


if __name__ == "__main__":
    main()
