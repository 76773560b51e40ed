"""Batches, composed on the device in plain torch: crops, scales, flips, colours, and the damage to the prior.

Nothing here loops over rows. Choices are drawn on the CPU (the same on every device), noise on the device.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from mild.diffusion.morphology_rows import MorphologyRows
from mild.diffusion.rows import LayerRows
from mild.lab.data.rows import FOREIGN, HOLE, OWN
from mild.lab.train.bodies import Placement, body_rows
from mild.lab.train.config import DataConfig, Degrade
from mild.lab.train.loop import Turn
from mild.lab.train.rowfiles import BACKGROUND, PERSON, WHOLE, Rows


@dataclass
class Batch:
    """Rows and their truth.

    Attributes:
        rows: what the denoiser may know.
        target: ``[B, 4, h, w]`` in [-1, 1], the complete layer. Where a person's alpha is 0 the colour is the
            fill's: there is no truth for it.
        parts: labels of visible body regions ``[B, 1, h, w]``, where the rows have them.
        bodies: what is known of people's bodies; None where nothing is asked.
        turn: when it was drawn.
        made: what one player leaves for the next.
    """

    rows: LayerRows
    target: torch.Tensor
    parts: torch.Tensor | None = None
    bodies: MorphologyRows | None = None
    turn: Turn = field(default_factory=lambda: Turn(0, 0))
    made: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.target.shape)


class RowSource:
    """Batches from the rows of a cache.

    Args:
        bodies: are :attr:`Batch.bodies` wanted?
        whole: rows of whole pictures (the single-path twin) instead of layers.
    """

    def __init__(self, files: Rows, config: DataConfig, batch: int, *, bodies: bool, whole: bool) -> None:
        self.files, self.config, self.count, self.bodies, self.whole = files, config, batch, bodies, whole
        kinds = files.kinds
        self.backgrounds = torch.from_numpy(np.flatnonzero(kinds == (WHOLE if whole else BACKGROUND)))
        self.people = torch.from_numpy(np.flatnonzero(kinds == PERSON))
        self.posed = torch.from_numpy(np.flatnonzero((kinds == PERSON) & (files.keypoints[..., 2] > 0).any(1)))

    def amount(self, step: int) -> tuple[int, int]:
        """``(rows, side)`` of a step's batch."""
        every, size = self.config.large_every, self.config.size
        if every and step % every == every - 1 and 2 * size <= self.files.size:
            return max(1, self.count // 4), 2 * size
        return self.count, min(size, self.files.size)

    def batch(self, turn: Turn, index: torch.Tensor | None = None) -> Batch:
        """Random rows for this turn, or those named."""
        count, size = self.amount(turn.step)
        draw = turn.generator()
        index = self._chosen(draw, count) if index is None else index
        count = len(index)
        other = torch.rand(count, generator=draw) < self.config.degrade.other
        stored = self.files.gather(index, other)
        pixels, place = augmented(stored, size, self.config.shrink, draw)
        made = collate(pixels, degrade=self.config.degrade, draw=draw)
        made.turn = turn
        if self.bodies:
            rng = np.random.default_rng(int(torch.randint(2**62, (1,), generator=draw)))
            made.bodies = body_rows(
                self.files, index.numpy(), made.rows, place, made.parts, rng, self.config.found
            ).dropped(rng)
        return made

    def _chosen(self, draw: torch.Generator, count: int) -> torch.Tensor:
        def some(pool: torch.Tensor, n: int) -> torch.Tensor:
            return pool[torch.randint(max(1, len(pool)), (n,), generator=draw)]

        if self.whole or not len(self.people):
            return some(self.backgrounds, count)
        people = int((torch.rand(count, generator=draw) < self.config.people).sum())
        people = count if not len(self.backgrounds) else people
        posed = int((torch.rand(people, generator=draw) < self.config.posed).sum()) if len(self.posed) else 0
        parts = [some(self.backgrounds, count - people) if count > people else self.people[:0]]
        return torch.cat(
            [*parts, some(self.posed, posed) if posed else self.people[:0], some(self.people, people - posed)]
        )


def judged_batches(
    files: Rows, count: int, size: int, *, bodies: bool, whole: bool, found: float = 0.0, at_once: int = 16
) -> list[Batch]:
    """The first ``count`` rows, whole and undamaged, always the same, shrunk to ``size`` pixels; ``found`` as in the
    settings."""
    kinds = files.kinds == WHOLE
    index = torch.from_numpy(np.flatnonzero(kinds if whole else ~kinds)[:count])
    out = []
    for part in index.split(at_once):
        factor = max(1, files.size // size)
        zeros = torch.zeros(len(part), dtype=torch.long)
        place = Placement(zeros > 0, zeros, zeros, zeros + factor)
        made = collate(shrunk(files.gather(part), factor))
        if bodies:
            made.bodies = body_rows(files, part.numpy(), made.rows, place, made.parts, np.random.default_rng(0), found)
        out.append(made)
    return out


def augmented(stored: torch.Tensor, size: int, shrink: float, draw: torch.Generator) -> tuple[torch.Tensor, Placement]:
    """Stored rows ``[B, S, S, C]`` uint8 to views ``[B, C + 1, size, size]`` (see :func:`shrunk`), and where they lie.

    What fits into the view is seen whole, at its own size, as it is when erasing. Of the others some are seen whole,
    shrunk, and the rest are crops that hold a part of the hole.
    """
    count, side, device = len(stored), stored.shape[1], stored.device
    flip = torch.rand(count, generator=draw) < 0.5
    known = stored[..., 4] != FOREIGN
    fits = ~(known[:, size:].flatten(1).any(1) | known[:, :, size:].flatten(1).any(1)).cpu()
    few = int((torch.rand(count, generator=draw) < shrink).sum()) if size < side else 0
    whole = torch.zeros(count, dtype=torch.bool)
    whole[torch.randperm(count, generator=draw)[:few]] = True
    whole &= ~fits
    few = int(whole.sum())
    spot, corner = torch.rand(count, generator=draw), torch.rand(count, 2, generator=draw)
    stored = torch.where(flip.to(device).view(-1, 1, 1, 1), stored.flip(2), stored)
    holes = (stored[..., 4] == HOLE).flatten(1)
    picked = _pick(holes, spot.to(device))
    limit = side - size
    y = (picked // side - (corner[:, 0].to(device) * size).long()).clamp(0, limit)
    x = (picked % side - (corner[:, 1].to(device) * size).long()).clamp(0, limit)
    y[fits], x[fits] = 0, torch.where(flip[fits], limit, 0).to(device)
    out = torch.empty((count, stored.shape[3] + 1, size, size), device=device)
    factor = side // size
    there, here = whole.to(device), ~whole.to(device)
    if few:
        out[there] = shrunk(stored[there], factor)
    if few < count:
        span = torch.arange(size, device=device)
        ys, xs = y[here][:, None] + span, x[here][:, None] + span
        which = torch.arange(int(here.sum()), device=device)
        out[here] = shrunk(stored[here][which[:, None, None], ys[:, :, None], xs[:, None, :]], 1)
    # One gain and offset per colour for the truth, the evidence and the fill alike: it stays the same problem.
    gain = (0.7 + 0.45 * torch.rand(count, 3, 1, 1, generator=draw)).to(device)
    offset = (0.24 * torch.rand(count, 3, 1, 1, generator=draw) - 0.12).to(device)
    for part in (slice(0, 3), slice(7, 10)):
        out[:, part] = (out[:, part] * gain + offset).clamp(-1, 1)
    factors = torch.where(whole, factor, 1)
    zero = torch.zeros(count, dtype=torch.long)
    return out, Placement(flip, torch.where(whole, zero, y.cpu()), torch.where(whole, zero, x.cpu()), factors)


def shrunk(stored: torch.Tensor, factor: int) -> torch.Tensor:
    """Stored rows as float ``[B, C + 1, s, s]``: RGB, alpha in [-1, 1]; own, hole, person in {0, 1}; fill RGB; and
    labels of body regions, where the rows have them.

    Shrunk as the pipeline shrinks a crop: a pixel is hole if any part of it is, own if all of it is.
    """
    planes = stored.permute(0, 3, 1, 2)
    region = planes[:, 4:5]
    hole, own = (region == HOLE).float(), (region == OWN).float()
    person = (planes[:, 5:6] == PERSON).float()
    colours = torch.cat([planes[:, :4], planes[:, 6:9]], 1).float() / 127.5 - 1
    if factor > 1:
        colours, person = F.avg_pool2d(colours, factor), person[..., ::factor, ::factor]
        hole, own = F.max_pool2d(hole, factor), -F.max_pool2d(-own, factor)
    own = own * (1 - hole)
    labels = planes[:, 9:, ::factor, ::factor].float()
    return torch.cat([colours[:, :4], own, hole, person, colours[:, 4:], labels], 1)


def collate(views: torch.Tensor, degrade: Degrade | None = None, draw: torch.Generator | None = None) -> Batch:
    """Views to a batch; with ``degrade`` the prior is damaged at random."""
    rgb, alpha, own, hole, person, fill = views[:, :10].split((3, 1, 1, 1, 1, 3), 1)
    if degrade is not None and draw is not None:
        fill = degraded(fill, degrade, draw)
    domains = ["person" if flag else "background" for flag in (person[:, 0, 0, 0] > 0.5).tolist()]
    rows = LayerRows.build(domains, rgb, own, hole, fill)
    opacity = (alpha + 1) / 2
    colour = rgb * opacity + rows.fill * (1 - opacity)
    return Batch(rows, torch.cat([colour, alpha], 1), views[:, 10:] if views.shape[1] > 10 else None)


def degraded(fill: torch.Tensor, shares: Degrade, draw: torch.Generator) -> torch.Tensor:
    """Fills ``[B, 3, h, w]``, some blanked, some from a wrong place, some noisy, some blurred; the rest as they are."""
    count, (h, w), device = len(fill), fill.shape[-2:], fill.device
    fate = torch.rand(count, generator=draw)
    there = torch.Generator(device).manual_seed(int(torch.randint(2**62, (1,), generator=draw)))
    noise = torch.randn(fill.shape, generator=there, device=device)
    shift = ((torch.rand(count, 2, generator=draw) - 0.5) * torch.tensor([h, w]) / 2).long().to(device)
    ys = (torch.arange(h, device=device) - shift[:, :1]) % h
    xs = (torch.arange(w, device=device) - shift[:, 1:]) % w
    which = torch.arange(count, device=device)
    moved = fill[which[:, None, None], :, ys[:, :, None], xs[:, None, :]].permute(0, 3, 1, 2)
    blurred = F.interpolate(F.avg_pool2d(fill, 4), size=(h, w), mode="bilinear")
    noisy = (fill + 0.15 * noise).clamp(-1, 1)
    out, edge = fill, 0.0
    for share, spoilt in (
        (shares.blank, torch.zeros_like(fill)), (shares.moved, moved), (shares.noisy, noisy), (shares.blurred, blurred),
    ):  # fmt: skip
        hit = (fate >= edge) & (fate < edge + share)
        out, edge = torch.where(hit.to(device).view(-1, 1, 1, 1), spoilt, out), edge + share
    return out


def _pick(where: torch.Tensor, chance: torch.Tensor) -> torch.Tensor:
    """For each row of ``where [B, n]`` the number of a true entry, evenly by ``chance [B]`` in [0, 1)."""
    sums = where.long().cumsum(1)
    wanted = (chance * sums[:, -1]).long() + 1
    return torch.searchsorted(sums, wanted[:, None]).flatten().clamp(max=where.shape[1] - 1)
