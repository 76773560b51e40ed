"""Regions, SMA and the per-row LoRA carry over to a DiT: a tiny random FLUX transformer."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FluxTransformer2DModel
from diffusers.models.embeddings import apply_rotary_emb

from mild.diffusion.adapters import DomainAdapters
from mild.diffusion.attention import MAX_AMPLITUDE
from mild.diffusion.dit import (
    DIT_TARGETS,
    FixedJointModulation,
    JointRegions,
    JointSmaProcessor,
    clean_from_flow,
    joint_attentions,
    joint_sma_installed,
)

HEIGHT, WIDTH, TEXT = 6, 10, 5  # latents; tokens of text
TOKENS = HEIGHT * WIDTH // 4
CHANNELS = 4


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def dit() -> FluxTransformer2DModel:
    """FLUX-fill's shape: more channels in (conditions) than out (the layer's latents)."""
    torch.manual_seed(0)
    return FluxTransformer2DModel(
        in_channels=4 * CHANNELS + 4 * CHANNELS + 4, out_channels=4 * CHANNELS, num_layers=1, num_single_layers=2,
        attention_head_dim=16, num_attention_heads=2, joint_attention_dim=24, pooled_projection_dim=24,
        axes_dims_rope=(4, 6, 6), guidance_embeds=True,
    ).eval()  # fmt: skip


def regions(rows: int = 2) -> JointRegions:
    """Left third own, middle hole, right third foreign."""
    hole, foreign = torch.zeros(2, rows, 1, HEIGHT, WIDTH)
    hole[..., 4:6], foreign[..., 6:] = 1, 1
    return JointRegions(hole, foreign)


def noisy(rows: int = 2) -> torch.Tensor:
    g = torch.Generator().manual_seed(1)
    return torch.randn(2, TOKENS, 8 * CHANNELS + 4, generator=g)[:rows]


def forward(dit: FluxTransformer2DModel, tokens: torch.Tensor, sigma: float = 0.5) -> torch.Tensor:
    rows, g = len(tokens), torch.Generator().manual_seed(2)
    words, pooled = torch.randn(1, TEXT, 24, generator=g), torch.randn(1, 24, generator=g)
    ids = torch.zeros(HEIGHT // 2, WIDTH // 2, 3)
    ids[..., 1] += torch.arange(HEIGHT // 2)[:, None]
    ids[..., 2] += torch.arange(WIDTH // 2)[None]
    with torch.no_grad():
        return dit(
            hidden_states=tokens, encoder_hidden_states=words.expand(rows, -1, -1),
            pooled_projections=pooled.expand(rows, -1), timestep=torch.full((rows,), sigma),
            guidance=torch.full((rows,), 3.5), img_ids=ids.view(-1, 3), txt_ids=torch.zeros(TEXT, 3),
        ).sample  # fmt: skip


def test_the_processor_is_the_backbones_own_when_sma_is_off(dit: FluxTransformer2DModel) -> None:
    plain = forward(dit, noisy())
    with joint_sma_installed(dit, regions(), "off"):
        torch.testing.assert_close(forward(dit, noisy()), plain, atol=1e-5, rtol=1e-5)
    amplitudes = FixedJointModulation(dit)(torch.tensor([0.0, 0.0]))  # a schedule at its end: zero
    at_rest = regions()
    at_rest.amplitudes = amplitudes
    with joint_sma_installed(dit, at_rest):
        torch.testing.assert_close(forward(dit, noisy()), plain, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("terms", ["on", "beta", "gamma"])
def test_joint_sma_equals_the_dense_form(dit: FluxTransformer2DModel, terms: Any) -> None:
    """A processor with the whole [Q, K] bias written out, text rows and columns zero."""
    marked = regions()
    marked.amplitudes = FixedJointModulation(dit)(torch.tensor([500.0, 700.0]))
    with joint_sma_installed(dit, marked, terms):
        ours = forward(dit, noisy())

    class Dense(JointSmaProcessor):
        def __call__(
            self, attn: Any, hidden_states: Any, encoder_hidden_states: Any = None, mask: Any = None, rotary: Any = None
        ) -> Any:
            split = lambda x: x.unflatten(-1, (attn.heads, -1))  # noqa: E731
            q, k = attn.norm_q(split(attn.to_q(hidden_states))), attn.norm_k(split(attn.to_k(hidden_states)))
            v = split(attn.to_v(hidden_states))
            if encoder_hidden_states is not None:
                q = torch.cat([attn.norm_added_q(split(attn.add_q_proj(encoder_hidden_states))), q], 1)
                k = torch.cat([attn.norm_added_k(split(attn.add_k_proj(encoder_hidden_states))), k], 1)
                v = torch.cat([split(attn.add_v_proj(encoder_hidden_states)), v], 1)
            q, k = (apply_rotary_emb(x, rotary, sequence_dim=1) for x in (q, k))
            hole, foreign = torch.zeros(2, TEXT + TOKENS), torch.zeros(2, TEXT + TOKENS)
            pooled = torch.nn.functional.avg_pool2d(self.regions.maps, 2).flatten(2)
            hole[:, TEXT:], foreign[:, TEXT:] = pooled[:, 0], pooled[:, 1]
            beta, gamma = self.regions.amplitudes[self.path]
            bias = torch.zeros(2, attn.heads, TEXT + TOKENS, TEXT + TOKENS)
            if self.terms != "gamma":
                bias = bias - beta[:, :, None, None] * foreign[:, None, None]
            if self.terms != "beta":
                bias = bias - gamma[:, :, None, None] * hole[:, None, :, None] * hole[:, None, None]
            scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / attn.head_dim**0.5 + bias
            out = torch.einsum("bhqk,bkhd->bqhd", scores.softmax(-1), v).flatten(2)
            if encoder_hidden_states is None:
                return out
            return attn.to_out[0](out[:, TEXT:]), attn.to_add_out(out[:, :TEXT])

    before = dict(dit.attn_processors)
    dit.set_attn_processor({name: Dense(name.removesuffix(".processor"), marked, terms) for name in before})
    try:
        torch.testing.assert_close(forward(dit, noisy()), ours, atol=1e-5, rtol=1e-5)
    finally:
        dit.set_attn_processor(before)
    assert float((ours - forward(dit, noisy())).abs().max()) > 1e-4


def test_foreign_tokens_reach_nobody_through_text_either(dit: FluxTransformer2DModel) -> None:
    """With a full beta the rest of the picture does not depend on what the foreign tokens hold."""
    marked = regions()
    full = torch.full((2, 2), MAX_AMPLITUDE)
    marked.amplitudes = {path: (full, torch.zeros(2, 2)) for path in joint_attentions(dit)}
    _, foreign = marked.at(TOKENS)
    rest = foreign[0] == 0
    changed = noisy()
    changed[:, ~rest] += 1.0
    with joint_sma_installed(dit, marked):
        a, b = forward(dit, noisy()), forward(dit, changed)
    torch.testing.assert_close(a[:, rest], b[:, rest], atol=1e-5, rtol=1e-5)
    assert float((forward(dit, noisy()) - forward(dit, changed))[:, rest].abs().max()) > 1e-3


def test_text_tokens_are_neutral() -> None:
    hole, foreign = regions().joint(TEXT + TOKENS)
    assert hole.shape == foreign.shape == (2, TEXT + TOKENS)
    assert not hole[:, :TEXT].any() and not foreign[:, :TEXT].any()
    assert hole[0, TEXT:].view(HEIGHT // 2, WIDTH // 2)[0].tolist() == [0, 0, 1, 0, 0]
    assert foreign[0, TEXT:].view(HEIGHT // 2, WIDTH // 2)[0].tolist() == [0, 0, 0, 1, 1]


def test_one_adapter_per_row(dit: FluxTransformer2DModel) -> None:
    torch.manual_seed(3)
    adapters = DomainAdapters.for_unet(dit, rank=2, targets=DIT_TARGETS)
    assert {"proj_mlp", "add_k_proj", "to_q"} <= {path.rsplit(".", 1)[-1] for path in adapters.layers}
    for parameter in adapters.up.values():
        torch.nn.init.normal_(parameter, std=0.2)
    tokens = noisy()
    with adapters.attached(dit, adapters.gate(["background", "person"])):
        together = forward(dit, tokens)
    for i, domain in enumerate(["background", "person"]):
        with adapters.attached(dit, adapters.gate([domain])):
            torch.testing.assert_close(forward(dit, tokens[i : i + 1])[0], together[i], atol=1e-5, rtol=1e-5)
    plain = forward(dit, tokens)
    with adapters.attached(dit, adapters.gate([None, None])):
        torch.testing.assert_close(forward(dit, tokens), plain, atol=1e-6, rtol=1e-6)
    assert all(float((together[i] - plain[i]).abs().max()) > 1e-3 for i in (0, 1))


def test_flow_reaches_the_clean_tokens() -> None:
    torch.manual_seed(0)
    clean, noise, sigma = torch.randn(2, 7, 16), torch.randn(2, 7, 16), torch.tensor([0.3, 0.9])
    s = sigma.view(-1, 1, 1)
    torch.testing.assert_close(clean_from_flow(noise - clean, (1 - s) * clean + s * noise, sigma), clean)


def test_layers_as_rows_of_one_flow(dit: FluxTransformer2DModel) -> None:
    """All of it together over several steps: two layers in one batch are the two layers one by one."""
    torch.manual_seed(4)
    adapters, modulation = DomainAdapters.for_unet(dit, rank=2, targets=DIT_TARGETS), FixedJointModulation(dit)
    for parameter in adapters.up.values():
        torch.nn.init.normal_(parameter, std=0.2)
    start, condition = noisy().split([4 * CHANNELS, 4 * CHANNELS + 4], 2)

    def made(rows: slice, domains: list[str]) -> torch.Tensor:
        scheduler = FlowMatchEulerDiscreteScheduler()
        scheduler.set_timesteps(3)
        latents, marked = start[rows], regions(len(domains))
        with adapters.attached(dit, adapters.gate(domains)), joint_sma_installed(dit, marked):
            for t in scheduler.timesteps:
                marked.amplitudes = modulation(t.expand(len(domains)))
                velocity = forward(dit, torch.cat([latents, condition[rows]], 2), float(t) / 1000)
                latents = scheduler.step(velocity, t, latents).prev_sample
        return latents

    together = made(slice(0, 2), ["background", "person"])
    torch.testing.assert_close(together[:1], made(slice(0, 1), ["background"]), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(together[1:], made(slice(1, 2), ["person"]), atol=1e-5, rtol=1e-5)


def test_processors_and_hooks_go_whatever_happens(dit: FluxTransformer2DModel) -> None:
    before = dict(dit.attn_processors)
    with pytest.raises(RuntimeError, match="in between"), joint_sma_installed(dit, regions()):
        raise RuntimeError("in between")
    assert all(dit.attn_processors[name] is one for name, one in before.items())
    assert not any(module._forward_hooks for module in dit.modules())
