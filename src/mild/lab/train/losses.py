"""What a layer's answer costs. Errors count in the hole; everything else is known, or nobody's.

Arguments: ``answer``, ``target`` ``[B, 4, H, W]`` RGBA in [-1, 1]; ``rows`` what is known of the layers. Every function
returns a scalar. In formulas ``h`` is the hole, ``o`` the true opacity in [0, 1], ``e`` the colour error.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from mild.diffusion.attention import SeenAttention
from mild.diffusion.rows import LayerRows
from mild.lab.train.config import LossConfig


def opacity(alpha: torch.Tensor) -> torch.Tensor:
    """[-1, 1] to [0, 1]."""
    return ((alpha + 1) / 2).clamp(0, 1)


def people(rows: LayerRows) -> torch.Tensor:
    """``[B, 1, 1, 1]``: 1 for rows of people."""
    flags = [float(domain != "background") for domain in rows.domains]
    return torch.tensor(flags, device=rows.own.device).view(-1, 1, 1, 1)


def row_loss(error: torch.Tensor, config: LossConfig) -> torch.Tensor:
    """Squared errors of rows ``[B]`` to one number: the mean of their logarithms, or of themselves.

    The logarithm makes a plain sky count as much as a crowd: else the few hopeless rows drown what could be learned
    from the others, and corrections that help them spoil fills that were already right.
    """
    return torch.log(error + config.floor).mean() if config.rows == "log" else error.mean()


def colour_loss(answer: torch.Tensor, target: torch.Tensor, rows: LayerRows, config: LossConfig) -> torch.Tensor:
    """Per row ``sum h o e² / sum h``, and the same of 8x8 means, which is what the eye sees first."""
    area = 3 * (rows.hole.sum((1, 2, 3)) + 16)
    colour = (rows.hole * opacity(target[:, 3:])) * (answer - target)[:, :3]
    fine = colour.square().sum((1, 2, 3)) / area
    coarse = F.avg_pool2d(colour, 8).square().sum((1, 2, 3)) * 64 / area
    return row_loss(fine + config.coarse * coarse, config)


def alpha_loss(answer: torch.Tensor, target: torch.Tensor, rows: LayerRows) -> torch.Tensor:
    """Squared error of people's alpha in their holes."""
    area = rows.hole.sum((1, 2, 3)) + 16
    error = rows.hole * people(rows) * (answer - target)[:, 3:].square()
    return (error.sum((1, 2, 3)) / area).mean()


def overlap_loss(answer: torch.Tensor, target: torch.Tensor, rows: LayerRows) -> torch.Tensor:
    """``1 - sum min(o', o) / sum max(o', o)`` of people's opacities in their holes: the IoU of soft masks.

    The squared error leaves empty what is less than probable; this one makes it wherever more is gained than lost.
    """
    hole = rows.hole * people(rows)
    made, truth = opacity(answer[:, 3:]), opacity(target[:, 3:])
    both = (hole * torch.minimum(made, truth)).sum((1, 2, 3))
    either = (hole * torch.maximum(made, truth)).sum((1, 2, 3))
    return (1 - (both + 16) / (either + 16)).mean()


def recomposition_loss(answer: torch.Tensor, target: torch.Tensor, rows: LayerRows) -> torch.Tensor:
    """Layers must fit each other: each person of the batch over one of its backgrounds, as made and as in truth.

    ``|| (o' c'_person + (1 - o') c'_background) - (o c_person + (1 - o) c_background) ||²`` where either was made.
    An error of alpha costs what can be seen of it; an error of colour under it costs nothing.
    """
    persons = [i for i, domain in enumerate(rows.domains) if domain != "background"]
    grounds = [i for i, domain in enumerate(rows.domains) if domain == "background"]
    if not persons or not grounds:
        return answer.new_zeros(())
    behind = [grounds[k % len(grounds)] for k in range(len(persons))]

    def composed(layers: torch.Tensor) -> torch.Tensor:
        cover = opacity(layers[persons, 3:])
        return cover * layers[persons, :3] + (1 - cover) * layers[behind, :3]

    made = torch.where(rows.hole > 0, answer, target)
    hole = torch.maximum(rows.hole[persons], rows.hole[behind])
    error = (hole * (composed(made) - composed(target)).square()).sum((1, 2, 3))
    return (error / (3 * hole.sum((1, 2, 3)) + 48)).mean()


def gradient_loss(answer: torch.Tensor, target: torch.Tensor, hole: torch.Tensor) -> torch.Tensor:
    """Mean absolute error of the differences between neighbours, both ways; any channels, ``hole [B, 1, h, w]``."""
    error = hole * (answer - target)
    inside = hole.sum().clamp(min=1) * answer.shape[1]
    return (error.diff(dim=2).abs().sum() + error.diff(dim=3).abs().sum()) / inside


def structure_loss(answer: torch.Tensor, target: torch.Tensor, rows: LayerRows, window: int = 7) -> torch.Tensor:
    """``1 - SSIM`` (Wang et al. 2004) of the layer over grey, ``window x window`` box means, where the truth is opaque
    and in the hole; 0 to 2.

    The truth's opacity covers both: colours are judged, not the outline. Squared errors ask for the mean of all that
    may be there; this one asks for its contrast, too, where that is known.
    """
    cover = opacity(target[:, 3:])
    a, b = (torch.where(rows.hole > 0, x[:, :3], target[:, :3]) * cover for x in (answer, target))

    def mean(image: torch.Tensor) -> torch.Tensor:
        return F.avg_pool2d(image, window, 1, window // 2, count_include_pad=False)

    # The usual constants (0.01 L)² and (0.03 L)², L = 2 for colours in [-1, 1].
    c1, c2 = 0.02**2, 0.06**2
    ma, mb = mean(a), mean(b)
    va, vb, both = mean(a * a) - ma * ma, mean(b * b) - mb * mb, mean(a * b) - ma * mb
    # Of values in [0, 2], as SSIM is defined for: black is 0.
    la, lb = ma + 1, mb + 1
    alike = (2 * la * lb + c1) * (2 * both + c2) / ((la * la + lb * lb + c1) * (va + vb + c2))
    weight = rows.hole * cover
    error = (weight * (1 - alike.mean(1, keepdim=True))).sum((1, 2, 3))
    return (error / (weight.sum((1, 2, 3)) + 16)).mean()


def texture_loss(answer: torch.Tensor, target: torch.Tensor, hole: torch.Tensor, window: int = 8) -> torch.Tensor:
    """``| log s' - log s |`` of the local strength ``s`` of the texture: the mean absolute difference of neighbours in
    each window. It asks for as much grain as the truth has, not for the same grain: blur is not the best bet."""
    window = min(window, answer.shape[-1], answer.shape[-2])

    def strength(image: torch.Tensor) -> torch.Tensor:
        across = F.pad(image.diff(dim=3).abs(), (0, 1))
        down = F.pad(image.diff(dim=2).abs(), (0, 0, 0, 1))
        return F.avg_pool2d((across + down).mean(1, keepdim=True), window)

    weight = F.avg_pool2d(hole, window)
    error = ((strength(answer) + 0.02).log() - (strength(target) + 0.02).log()).abs()
    return (weight * error).sum() / weight.sum().clamp(min=1e-3)


def latent_loss(
    answer: torch.Tensor, clean: torch.Tensor, hole: torch.Tensor, weight: torch.Tensor, config: LossConfig
) -> torch.Tensor:
    """For autoencoder latents: squared error of the clean latents, rows weighted by ``weight [B]``.

    Rows count as they are, not by logarithm: the weight spans four orders of magnitude.
    """
    where = config.outside + (1 - config.outside) * (hole > 0).to(answer.dtype)
    error = (where * (answer - clean).square()).mean(1).sum((1, 2)) / where.sum((1, 2, 3)).clamp(min=1)
    return (weight * error).mean()


def noise_weight(signal: torch.Tensor) -> torch.Tensor:
    """min(SNR, 5) ``[B]``: it makes an error of clean latents the usual error of the noise, less eager where there is
    little noise. Hang et al., "Efficient Diffusion Training via Min-SNR Weighting Strategy", arXiv 2303.09556."""
    a = signal.square()
    return (a / (1 - a).clamp(min=1e-6)).clamp(max=5.0)


class LeakPenalty:
    """Differentiable CAG (see ``mild.diffusion.cag``): the share of the holes' attention that goes to foreign keys.

    An :class:`~mild.diffusion.attention.AttentionProbe`. A few hole queries per row and block suffice for a gradient;
    the map of all queries never exists.
    """

    def __init__(self, queries: int = 32) -> None:
        self.queries = queries
        self.sums: list[torch.Tensor] = []

    def at(self, timestep: torch.Tensor) -> None:
        """The time does not matter here."""

    def __call__(self, seen: SeenAttention) -> None:
        """One self-attention of the forward."""
        query, key, beta, gamma, hole, foreign = seen.query, seen.key, seen.beta, seen.gamma, seen.hole, seen.foreign
        count = min(self.queries, hole.shape[1])
        # Evenly over the most hole-like tokens: always the same ones, so that a resumed run is the same run.
        picked = hole.topk(count, dim=1).indices
        weight = hole.gather(1, picked)
        rows = picked[:, None, :, None].expand(-1, query.shape[1], -1, query.shape[3])
        logits = query.gather(2, rows).float() @ key.float().transpose(2, 3) * query.shape[3] ** -0.5
        if beta is not None:
            logits = logits - (beta[:, :, None] * foreign[:, None])[:, :, None].float()
        if gamma is not None:
            pair = weight[:, None, :, None] * hole[:, None, None, :]
            logits = logits - gamma[:, :, None, None].float() * pair.float()
        leaked = (logits.softmax(-1) * foreign[:, None, None].float()).sum(-1).mean(1)
        counted = weight * (foreign.sum(1, keepdim=True) > 0)
        self.sums.append((leaked * counted).sum() / counted.sum().clamp(min=1e-3))

    def take(self) -> torch.Tensor:
        """The mean over all attentions since the last call, a scalar."""
        sums, self.sums = self.sums, []
        return torch.stack(sums).mean() if sums else torch.zeros(())


class Critic(nn.Module):
    """A patch discriminator (PatchGAN, Isola et al., arXiv 1611.07004; spectral norm, Miyato et al., 1802.05957).

    Args:
        channels: of the layer it judges (RGBA, or latents); two more for the regions.
        width: of its first features.
        depth: halvings.
    """

    def __init__(self, channels: int, width: int = 48, depth: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        last = channels + 2
        for i in range(depth):
            wide = width * 2 ** min(i, 2)
            layers += [nn.utils.parametrizations.spectral_norm(nn.Conv2d(last, wide, 4, 2, 1)), nn.LeakyReLU(0.2)]
            last = wide
        layers.append(nn.utils.parametrizations.spectral_norm(nn.Conv2d(last, 1, 3, 1, 1)))
        self.body = nn.Sequential(*layers)

    def forward(self, layer: torch.Tensor, own: torch.Tensor, hole: torch.Tensor) -> torch.Tensor:
        """Logits of patches ``[B, 1, h', w']``, higher for real; masks ``[B, 1, h, w]`` at the layer's resolution."""
        logits: torch.Tensor = self.body(torch.cat([layer, own, hole], 1))
        return logits


def patch_weight(hole: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """How much of each patch was made, to average logits by; sums to 1."""
    weight = F.adaptive_avg_pool2d(hole, (logits.shape[-2], logits.shape[-1]))
    return weight / weight.sum().clamp(min=1e-3)
