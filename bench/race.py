"""A race at equal processor minutes on the same rows: three ways in which a layer's hole may get its content.

    python bench/race.py rows --samples out/mild-bench --out runs/race/test          # once: what they are judged by
    python bench/race.py train --rows runs/cache --out runs/race --minutes 20 [--seed 0] [CONTESTANT ...]
    python bench/race.py judge --test runs/race/test --out runs/race [--seed 0]
    python bench/race.py scenarios --samples out/mild-bench --out runs/race          # grid8 beside the twin

Each contestant is trained from nothing by the package's own trainer: the same rows, losses, rate and batch; HMG and
adapters as in the embedded model. The number of steps is what the minutes allow, measured on the first steps. The
contestants:

    grid8   the embedded model's network: tokens of 8x8 pixels, convolutions first, no SMA
    grid4   tokens of 4x4 pixels, transformers at the first two levels with SMA in them, fewer channels at the top
    copying grid4 with a copying head: a softmax over the layer's own visible tokens gives the colours of a hole's
            token, a gate mixes them with the corrected fill; the softmax is also taught where, by the truth's nearest
            own tokens
    twin    grid8 as a single path, all masks as one, without layers, adapters and HMG (rows made with --whole); it is
            not judged row by row, but by whole pictures of the three scenarios (every fourth sample, canvas's pixels)

Judged, one step from pure noise, rows of 128 px: PSNR of backgrounds in the hole (and over the fill that they were
given), IoU of hidden people, colour of people. Differences are against the first contestant, row by row, with 95 %
bootstrap intervals over the background photos; also with SMA and with HMG switched off, and for the copying head
with the gate shut, and where it copies alone.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from torch import nn

from mild.diffusion.codec import Known, PixelCodec
from mild.diffusion.pipeline import MildPipeline
from mild.diffusion.schedule import noise_scheduler
from mild.lab.bench.sets.samples import cluster_of
from mild.lab.data.members import from_members
from mild.lab.data.store import open_members
from mild.lab.train import parts as parts_module
from mild.lab.train.ablation_scores import Cut, measured
from mild.lab.train.batches import Batch, judged_batches
from mild.lab.train.checkpoint import average_of, checkpoint_of
from mild.lab.train.config import RunConfig
from mild.lab.train.judging import score_rows
from mild.lab.train.loop import fit
from mild.lab.train.rowfiles import RowFiles
from mild.lab.train.samplerows import packed_rows
from mild.lab.train.sampling import sampled
from mild.lab.train.stages import RowTask, learner, make_task
from mild.lab.train.trainee import Losses, Trainee
from people import interval

#: Width of the copying head's queries and keys.
KEY = 32
#: Weight of the loss that teaches it where, and the distance (mean square, colours in [-1, 1]) that halves a place.
WHERE, NEAR = 0.02, 0.01


@dataclass(frozen=True)
class Contestant:
    """One network; see the module."""

    factor: int
    channels: tuple[int, int, int]
    attention: tuple[bool, bool, bool]
    sma: str
    copies: bool = False
    layers: bool = True


CONTESTANTS = {
    "grid8": Contestant(8, (96, 128, 160), (False, True, True), "off"),
    "grid4": Contestant(4, (64, 128, 160), (True, True, False), "on"),
    "copying": Contestant(4, (64, 128, 160), (True, True, False), "on", copies=True),
    "twin": Contestant(8, (96, 128, 160), (False, True, True), "off", layers=False),
}


class CopyingCodec(PixelCodec):
    """The pixel codec with a copying head on the UNet's output ``[B, latent + 2 KEY + 1, h, w]``.

    Attributes:
        logits: of the last batch ``[B, h w, h w]``, -inf where a token is not wholly the layer's own.
        gate: "learned", "shut" (the corrected fill alone) or "open" (the copies alone).
    """

    logits: torch.Tensor
    gate = "learned"

    def clean(self, output: torch.Tensor, noisy: torch.Tensor, signal: torch.Tensor, known: Known) -> torch.Tensor:
        latent = self.latent_channels
        correction, query, key, gate = output.split((latent, KEY, KEY, 1), 1)
        corrected = super().clean(correction, noisy, signal, known)
        own = self.own_tokens(known)
        logits = torch.einsum("bcq,bck->bqk", query.flatten(2).float(), key.flatten(2).float()) / KEY**0.5
        self.logits = logits.masked_fill(~own[:, None], -torch.inf)
        # A layer without a whole token of its own has nothing to copy.
        there = own.any(1).view(-1, 1, 1)
        chosen = torch.where(there, self.logits, torch.zeros_like(logits)).softmax(2)
        colours = 3 * self.factor**2
        copied = torch.einsum("bqk,bck->bcq", chosen, known.base[:, :colours].flatten(2)).view_as(
            known.base[:, :colours]
        )
        share = {"learned": torch.sigmoid(gate - 3), "shut": 0 * gate, "open": 0 * gate + 1}[self.gate]
        share = share * there.view(-1, 1, 1, 1) * (known.hole[:, :colours] > 0)
        mixed = corrected[:, :colours] + share * (copied - known.base[:, :colours])
        if self.gate == "open":
            mixed = torch.where(share > 0, copied, mixed)
        return torch.cat([mixed, corrected[:, colours:]], 1)

    def own_tokens(self, known: Known) -> torch.Tensor:
        """bool ``[B, h w]``: wholly the layer's own."""
        area = self.factor**2
        return (known.condition[:, 3 * area : 4 * area] > 0).all(1).flatten(1)


class CopyingTrainee(Trainee):
    """Also taught where to copy from: cross-entropy to the own tokens that are nearest to the truth's.

    A token is told by its pixels and by the mean colours of its eight neighbours, in the complete layer.
    """

    def forward(self, batch: Batch) -> Losses:
        out = super().forward(batch)
        codec = self.parts.codec
        assert isinstance(codec, CopyingCodec)
        rows = batch.rows
        with torch.no_grad():
            truth = codec.encode(torch.where(rows.hole > 0, batch.target[:, :3], rows.fill))
            means = F.avg_pool2d(batch.target[:, :3], codec.factor)
            around = F.unfold(F.pad(means, (1, 1, 1, 1), mode="replicate"), 3)
            told = torch.cat([truth.flatten(2) / truth.shape[1] ** 0.5, around / around.shape[1] ** 0.5], 1)
            apart = torch.cdist(told.transpose(1, 2), told.transpose(1, 2)).square()
            own = codec.own_tokens(codec.known(rows))
            asked = (F.avg_pool2d(rows.hole * (batch.target[:, 3:] > 0), codec.factor) > 0.99).flatten(1)
            asked = asked & (own.sum(1, keepdim=True) >= 8)
            nearest = (-apart / NEAR).masked_fill(~own[:, None], -torch.inf)
        if not bool(asked.any()):
            return out
        wanted = nearest[asked].softmax(1)
        logs = codec.logits[asked].log_softmax(1)
        out["where"] = -(wanted * logs.masked_fill(wanted == 0, 0)).sum(1).mean()
        out["loss"] = out["loss"] + WHERE * out["where"]
        return out


def started(contestant: Contestant, config: RunConfig) -> Any:
    """A fresh pipeline of this network, which predicts nothing at first."""
    codec = (CopyingCodec if contestant.copies else PixelCodec)(contestant.factor)
    down = tuple("CrossAttnDownBlock2D" if there else "DownBlock2D" for there in contestant.attention)
    up = tuple("CrossAttnUpBlock2D" if there else "UpBlock2D" for there in reversed(contestant.attention))
    unet = UNet2DConditionModel(
        sample_size=32, in_channels=codec.input_channels, out_channels=codec.latent_channels,
        block_out_channels=contestant.channels, layers_per_block=1, down_block_types=down, up_block_types=up,
        cross_attention_dim=32, attention_head_dim=4, norm_num_groups=32,
    )  # fmt: skip
    pipeline = MildPipeline(unet, noise_scheduler(), codec)
    latent = codec.latent_channels
    if contestant.copies:
        # After the pipeline has seen that the UNet fits its latents: the head's channels are the codec's business.
        unet.conv_out = nn.Conv2d(contestant.channels[0], latent + 2 * KEY + 1, 3, padding=1)
    with torch.no_grad():
        unet.conv_out.weight[:latent] = 0
        unet.conv_out.weight[latent + 2 * KEY :] = 0
        unet.conv_out.bias.zero_()
    return pipeline


def task_of(contestant: Contestant, config: RunConfig) -> RowTask:
    """The trainer's task with this contestant's network."""
    parts_module._started = lambda config: started(contestant, config)
    task = make_task(config)
    assert isinstance(task, RowTask)
    if contestant.factor == 4:
        # The body maps come at a quarter of the row's size, and stay so.
        task.parts.pipeline.morphology.dense.second.stride = (1, 1)
    if contestant.copies:
        task.players["model"] = learner(config, CopyingTrainee(config, task.parts))
    return task


def settings(contestant: Contestant, rows: str, out: Path, seed: int, steps: int) -> RunConfig:
    return RunConfig.model_validate({
        "stage": "base", "out": str(out), "seed": seed, "precision": "bf16",
        "model": {"channels": contestant.channels, "sma": contestant.sma, "layers": contestant.layers,
                  "hmg": "all" if contestant.layers else "none"},
        "data": {"rows": rows, "size": 128, "people": 0.5, "posed": 0.3, "shrink": 0.7, "large_every": 0,
                 "degrade": {"moved": 0.03, "other": 0.0}},
        "noise": {"first": 0.9},
        "loss": {"overlap": 0.1, "structure": 0.1, "recomposition": 0.02},
        "optimiser": {"steps": steps, "batch": 16, "learning_rate": 5e-4, "parts_rate": 2, "warmup": min(60, steps),
                      "fade": 0.6, "average": 0.99},
        "log": {"every": 20, "checkpoint": 200, "judge": 10**6, "keep": 1, "pictures": 0},
    })  # fmt: skip


def train(names: list[str], rows: str, out: Path, minutes: float, seed: int) -> None:
    """Each contestant as long as the others; the figures of the training into ``NAME-SEED/race.json``."""
    for name in names:
        contestant, folder = CONTESTANTS[name], out / f"{name}-{seed}"
        noted = folder / "race.json"
        facts = json.loads(noted.read_text()) if noted.exists() else {}
        if facts.get("done"):
            continue
        if not facts:
            trial = settings(contestant, rows, folder / "trial", seed, 10_000)
            task = task_of(contestant, trial)
            fit(task, trial, most_steps=3)
            begun = time.process_time()
            fit(task_of(contestant, trial), trial, most_steps=20)
            facts = {"step_s": (time.process_time() - begun) / 20, "cpu_s": 0.0}
            facts["steps"] = max(1, int(60 * minutes / facts["step_s"]))
            noted.write_text(json.dumps(facts))
        config = settings(contestant, rows, folder, seed, facts["steps"])
        begun = time.process_time()
        task = task_of(contestant, config)
        facts["done"] = fit(task, config)
        facts["cpu_s"] += time.process_time() - begun
        facts["parameters"] = sum(p.numel() for p in task.parts.pipeline.unet.parameters())
        noted.write_text(json.dumps(facts))
        print(name, facts, flush=True)


def test_rows(samples: str, out: Path, size: int = 256) -> None:
    """Rows of all samples in one file, and the photo that each row's background is from."""
    pixels, keypoints, others, photos = [], [], [], []
    for number, (key, _, members) in enumerate(open_members(samples)):
        sample = from_members(members, key)
        for row in packed_rows(sample, size, np.random.default_rng((0, number))):
            pixels.append(row.pixels)
            keypoints.append(row.keypoints)
            others.append(row.others)
            photos.append(cluster_of(sample))
    out.mkdir(parents=True, exist_ok=True)
    np.savez(out / "bodies-00000.npz", keypoints=np.stack(keypoints), people=np.stack(others))
    np.save(out / "rows-00000.npy", np.stack(pixels))
    (out / "photos.json").write_text(json.dumps(photos))


def judged(name: str, test: Path, out: Path, seed: int) -> dict[str, list[dict[str, Any]]]:
    """Per switch of the network the figures of every test row."""
    contestant, folder = CONTESTANTS[name], out / f"{name}-{seed}"
    config = RunConfig.load(folder / "config.yaml")
    task = task_of(contestant, config)
    parts_module.load_averages(task.parts, average_of(checkpoint_of(folder)))
    for part in task.parts.modules().values():
        nn.Module.eval(part)
    photos = json.loads((test / "photos.json").read_text())
    switches: dict[str, dict[str, Any]] = {"": {}, "hmg off": {"hmg": "none"}}
    if contestant.sma == "on":
        switches |= {"sma off": {"sma": "off"}, "sma beta": {"sma": "beta"}}
    if contestant.copies:
        switches |= {"gate shut": {"gate": "shut"}, "copies alone": {"gate": "open"}}
    found: dict[str, list[dict[str, Any]]] = {f"{name} {s}".strip(): [] for s in switches}
    batches = judged_batches(RowFiles(test), len(photos), 128, bodies=True, whole=False)
    for switch, change in switches.items():
        model = config.model.model_copy(update={"sma": change["sma"]} if "sma" in change else {})
        asked = config.model_copy(update={"model": model})
        if contestant.copies:
            task.parts.codec.gate = change.get("gate", "learned")  # type: ignore[attr-defined]
        begun, number = time.process_time(), 0
        for batch in batches:
            answer = sampled(task.parts, asked, batch, 1, hmg=change.get("hmg", "all"))
            for i in range(len(batch)):
                found[f"{name} {switch}".strip()].append({"photo": photos[number], **row_figures(batch, answer, i)})
                number += 1
        print(name, switch, round((time.process_time() - begun) / number, 4), "s a row", flush=True)
    return found


def row_figures(batch: Batch, answer: torch.Tensor, i: int) -> dict[str, Any]:
    """The figures of one row, by the trainer's judge; the hidden part's only where something is hidden."""
    one = Batch(batch.rows.__class__(
        (batch.rows.domains[i],), *(getattr(batch.rows, n)[i : i + 1] for n in ("visible", "own", "hole", "fill"))
    ), batch.target[i : i + 1])  # fmt: skip
    figures: dict[str, Any] = {k: v[0] for k, v in score_rows(one, answer[i : i + 1]).items()}
    hole = one.rows.hole > 0
    hidden = int(((one.target[:, 3:] > 0) & hole).sum())
    if one.rows.domains[0] == "background" or hidden < 16:
        figures.pop("alpha_iou", None)
        figures.pop("person_mse", None)
    else:
        made = ((answer[i : i + 1, 3:] > 0) & hole & (one.target[:, 3:] <= 0)).sum()
        figures["invented"] = float(made / hidden)
        figures["person_psnr"] = -10 * float(np.log10(figures.pop("person_mse") / 4 + 1e-8))
    return figures


def scenarios(samples: str, out: Path, seed: int, every: int = 4) -> str:
    """PSNR in the hole of whole pictures by scenario: layers and the single path, with denoised and filled places."""
    pipelines = {}
    for name in ("grid8", "twin"):
        parts_module._started = lambda config, name=name: started(CONTESTANTS[name], config)
        folder = parts_module.export(out / f"{name}-{seed}")
        pipelines[name] = MildPipeline.from_pretrained(folder, torch_dtype=torch.float32)
        pipelines[name].set_progress_bar_config(disable=True)
    ways: dict[str, tuple[str, dict[str, Any]]] = {
        "single path, fill alone": ("twin", {"denoise": False}),
        "single path, denoised": ("twin", {"hmg": "none"}),
        "layers, places filled": ("grid8", {"correct": False}),
        "layers, all denoised": ("grid8", {}),
    }
    found: dict[str, dict[str, list[tuple[str, float]]]] = {way: {} for way in ways}
    for number, (key, _, members) in enumerate(open_members(samples)):
        sample = from_members(members, key)
        if number % every or not sample.erased:
            continue
        cuts = {single: Cut.of(sample, 256, single, 0) for single in (False, True)}
        for way, (name, switches) in ways.items():
            cut = cuts[name == "twin"]
            made = pipelines[name](
                scene=cut.scene, plan=cut.plan, crops=[cut.crops], output_type="np", num_inference_steps=1,
                detail=False, sma="off", generator=torch.Generator().manual_seed(0), **switches,
            )  # fmt: skip
            value = measured(made.images[0], sample.erased_truth(), cut.hole)["psnr"]
            found[way].setdefault(sample.tags.scenario, []).append((cluster_of(sample), value))
    (out / f"scenarios-{seed}.json").write_text(json.dumps(found))
    kinds, first = sorted(next(iter(found.values()))), next(iter(found))
    lines = ["| | " + " | ".join(kinds) + " |", "| --- |" + " --- |" * len(kinds)]
    for way, values in found.items():
        cells = []
        for kind in kinds:
            mean = float(np.mean([value for _, value in values[kind]]))
            pairs = zip(values[kind], found[first][kind], strict=True)
            apart, low, high = interval([(photo, value - other) for (photo, value), (_, other) in pairs])
            cells.append(f"{mean:.2f}" + ("" if way == first else f" ({apart:+.2f} [{low:+.2f}, {high:+.2f}])"))
        lines.append(f"| {way} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


SHOWN = ("psnr_fill", "psnr_answer", "psnr_blend", "sharpness", "alpha_iou", "invented", "person_psnr")


def table(found: dict[str, list[dict[str, Any]]]) -> str:
    """Means, and differences against the first with their intervals."""
    names = list(found)
    lines = ["| | " + " | ".join(SHOWN) + " |", "| --- |" + " --- |" * len(SHOWN)]
    for name in names:
        cells = []
        for figure in SHOWN:
            pairs = [(a["photo"], a[figure], b[figure]) for a, b in zip(found[name], found[names[0]], strict=True)
                     if figure in a]  # fmt: skip
            mean = float(np.mean([value for _, value, _ in pairs]))
            apart, low, high = interval([(photo, value - first) for photo, value, first in pairs])
            cells.append(f"{mean:.3f}" + ("" if name == names[0] else f" ({apart:+.3f} [{low:+.3f}, {high:+.3f}])"))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def finished(out: Path, seed: int) -> Iterator[str]:
    for name in (n for n, contestant in CONTESTANTS.items() if contestant.layers):
        noted = out / f"{name}-{seed}" / "race.json"
        if noted.exists() and json.loads(noted.read_text()).get("done"):
            yield name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("rows", "train", "judge", "scenarios"))
    parser.add_argument("contestants", nargs="*", metavar="CONTESTANT", help=", ".join(CONTESTANTS))
    parser.add_argument("--samples", help="shards of samples (`mild data synth --preset test`)")
    parser.add_argument("--rows", help="folder of rows (`mild train cache`)")
    parser.add_argument("--test", type=Path, help="folder of the test rows")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_intermixed_args()
    if asked.what == "rows":
        test_rows(asked.samples, asked.out)
    elif asked.what == "train":
        train(asked.contestants or list(CONTESTANTS), asked.rows, asked.out, asked.minutes, asked.seed)
    elif asked.what == "scenarios":
        print(scenarios(asked.samples, asked.out, asked.seed))
    else:
        found: dict[str, list[dict[str, Any]]] = {}
        for name in asked.contestants or finished(asked.out, asked.seed):
            found |= judged(name, asked.test, asked.out, asked.seed)
        (asked.out / f"judged-{asked.seed}.json").write_text(json.dumps(found))
        print(table(found))


if __name__ == "__main__":
    main()
