"""Spatially-modulated attention: fused equals dense, switches do what they say, nothing stays behind."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers.models.attention_dispatch import attention_backend

from mild.diffusion.attention import (
    MAX_AMPLITUDE,
    FixedModulation,
    RegionTokens,
    SpatialModulation,
    modulated_attention,
    self_attentions,
    sma_installed,
)
from tiny_pipes import sd15, sdxl

TERMS = [("on", True, True), ("beta", True, False), ("gamma", False, True), ("off", False, False)]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", params=[sd15, sdxl])
def unet(request: pytest.FixtureRequest) -> Any:
    return request.param().unet


def tensors(dtype: torch.dtype = torch.float64, tokens: int = 37, dim: int = 20) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 3, tokens, dim, generator=g, dtype=torch.float64) for _ in range(3))
    beta, gamma = (5 * torch.rand(2, 3, generator=g, dtype=torch.float64) for _ in range(2))
    hole, foreign = (torch.rand(2, tokens, generator=g, dtype=torch.float64) for _ in range(2))
    named = {"q": q, "k": k, "v": v, "beta": beta, "gamma": gamma, "hole": hole, "foreign": foreign}
    return {name: value.to(dtype) for name, value in named.items()}


def dense(q: Any, k: Any, v: Any, beta: Any, gamma: Any, hole: Any, foreign: Any) -> torch.Tensor:
    """The formula as it is written, with a whole ``[B, H, Q, K]`` tensor."""
    scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    if beta is not None:
        scores = scores - beta[:, :, None, None] * foreign[:, None, None, :]
    if gamma is not None:
        scores = scores - gamma[:, :, None, None] * hole[:, None, :, None] * hole[:, None, None, :]
    return scores.softmax(-1) @ v


@pytest.mark.parametrize(("name", "with_beta", "with_gamma"), TERMS)
def test_fused_equals_dense_and_so_do_the_gradients(name: str, with_beta: bool, with_gamma: bool) -> None:
    t = {key: value.requires_grad_() for key, value in tensors().items()}
    args = [t["q"], t["k"], t["v"], t["beta"] if with_beta else None, t["gamma"] if with_gamma else None]
    fused = modulated_attention(*args, t["hole"], t["foreign"])
    expected = dense(*args, t["hole"], t["foreign"])
    torch.testing.assert_close(fused, expected, atol=1e-12, rtol=1e-12)
    used = [value for value in args if value is not None]
    used += [t["hole"]] * with_gamma + [t["foreign"]] * with_beta
    ours = torch.autograd.grad(fused.square().sum(), used)
    theirs = torch.autograd.grad(expected.square().sum(), used)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=1e-10, rtol=1e-10)


def test_extra_channels_equal_the_broadcast_mask() -> None:
    """What a GPU does for beta alone is what a CPU does: gamma of zero takes the extra channels."""
    t = tensors()
    rest = (t["hole"], t["foreign"])
    mask = modulated_attention(t["q"], t["k"], t["v"], t["beta"], None, *rest)
    channels = modulated_attention(t["q"], t["k"], t["v"], t["beta"], torch.zeros_like(t["beta"]), *rest)
    torch.testing.assert_close(channels, mask, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_errs_no_more_than_the_dense_form(dtype: torch.dtype) -> None:
    exact = tensors()
    low = tensors(dtype)
    order = ("q", "k", "v", "beta", "gamma", "hole", "foreign")
    truth = dense(*(exact[n] for n in order))
    ours = (modulated_attention(*(low[n] for n in order)).double() - truth).abs().max()
    theirs = (dense(*(low[n] for n in order)).double() - truth).abs().max()
    assert ours <= 2 * theirs + 1e-3


def test_a_backend_of_diffusers_gives_the_same() -> None:
    t = tensors(torch.float32)
    order = ("q", "k", "v", "beta", "gamma", "hole", "foreign")
    native = modulated_attention(*(t[n] for n in order))
    with attention_backend("_native_math"):
        other = modulated_attention(*(t[n] for n in order))
    torch.testing.assert_close(native, other, atol=1e-5, rtol=1e-5)


def regions(rows: int = 2, height: int = 8, width: int = 12) -> RegionTokens:
    g = torch.Generator().manual_seed(0)
    hole = (torch.rand(rows, 1, height, width, generator=g) > 0.5).float()
    return RegionTokens(hole, (1 - hole) * (torch.rand(rows, 1, height, width, generator=g) > 0.5))


def forward(unet: Any, times: int = 1) -> torch.Tensor:
    """Two rows, ``times`` times over."""
    g = torch.Generator().manual_seed(1)
    noisy, words = torch.randn(2, 9, 8, 12, generator=g), torch.randn(2, 7, 64, generator=g)
    words = words[..., : unet.config.cross_attention_dim]
    added = {"text_embeds": torch.zeros(2 * times, 32), "time_ids": torch.zeros(2 * times, 6)}
    with torch.no_grad():
        return unet(noisy.repeat(times, 1, 1, 1), 500, words.repeat(times, 1, 1), added_cond_kwargs=added).sample


@pytest.mark.parametrize(("name", "with_beta", "with_gamma"), TERMS)
def test_switches_on_a_unet(unet: Any, name: Any, with_beta: bool, with_gamma: bool) -> None:
    """Off, or amplitudes of zero, is the plain UNet; beta only and gamma only are what zeroing the other gives."""
    plain, tokens = forward(unet), regions()
    full = FixedModulation(unet)(torch.tensor([500, 500]))
    tokens.amplitudes = full
    with sma_installed(unet, tokens, name):
        answer = forward(unet)
    tokens.amplitudes = {p: (b * with_beta, c * with_gamma) for p, (b, c) in full.items()}
    with sma_installed(unet, tokens, "on"):
        torch.testing.assert_close(forward(unet), answer, atol=1e-5, rtol=1e-5)
    if name == "off":
        torch.testing.assert_close(answer, plain, atol=1e-5, rtol=1e-5)
    else:
        assert float((answer - plain).abs().max()) > 1e-4


def test_processors_come_back_whatever_happens(unet: Any) -> None:
    before = dict(unet.attn_processors)
    with pytest.raises(RuntimeError, match="in between"), sma_installed(unet, regions()):
        assert any(unet.attn_processors[name] is not one for name, one in before.items())
        raise RuntimeError("in between")
    assert all(unet.attn_processors[name] is one for name, one in before.items())


def test_doubled_rows_keep_their_masks(unet: Any) -> None:
    """Classifier-free guidance: twice the rows, the masks and amplitudes of one batch."""
    tokens = regions()
    tokens.amplitudes = FixedModulation(unet)(torch.tensor([500, 500]))
    with sma_installed(unet, tokens):
        once = forward(unet)
        twice = forward(unet, 2)
    torch.testing.assert_close(twice, torch.cat([once, once]), atol=1e-5, rtol=1e-5)


def test_a_strong_beta_shuts_foreign_tokens_out(unet: Any) -> None:
    """With one block's keys wholly foreign but for the own ones, the output does not depend on the foreign values."""
    t = tensors()
    foreign = torch.zeros(2, 37, dtype=torch.float64)
    foreign[:, 20:] = 1
    beta = torch.full((2, 3), MAX_AMPLITUDE, dtype=torch.float64)
    other = t["v"].clone()
    other[:, :, 20:] += 1.0
    a, b = (modulated_attention(t["q"], t["k"], v, beta, None, t["hole"], foreign) for v in (t["v"], other))
    torch.testing.assert_close(a, b, atol=1e-9, rtol=1e-9)


def test_token_grids() -> None:
    tokens = regions(1, 9, 13)  # an odd grid: UNets halve with rounding up
    for count, side in ((9 * 13, (9, 13)), (5 * 7, (5, 7)), (3 * 4, (3, 4))):
        hole, foreign = tokens.at(count)
        assert hole.shape == foreign.shape == (1, side[0] * side[1])
        assert float(hole.min()) >= 0 and float(hole.max()) <= 1
    with pytest.raises(ValueError, match="no token grid of 11"):
        tokens.at(11)


def test_learned_amplitudes_start_near_plain_attention_and_stay_in_range(unet: Any) -> None:
    modulation = SpatialModulation.for_unet(unet)
    with torch.no_grad():
        amplitudes = modulation(torch.tensor([0, 500, 999]))
    assert amplitudes.keys() == self_attentions(unet).keys()
    for path, (beta, gamma) in amplitudes.items():
        assert beta.shape == gamma.shape == (3, self_attentions(unet)[path])
        assert float(beta.min()) > 0 and float(beta.max()) < 0.05 and float(gamma.max()) < 0.05
    torch.nn.init.constant_(modulation.out.bias, 1e4)
    beta, gamma = next(iter(modulation(torch.tensor([10])).values()))
    assert float(beta.max()) == float(gamma.max()) == MAX_AMPLITUDE


def test_the_fixed_schedule_fades(unet: Any) -> None:
    amplitudes = FixedModulation(unet, strength=8.0)(torch.tensor([999, 0]))
    beta, gamma = next(iter(amplitudes.values()))
    assert float(beta[0].min()) == pytest.approx(7.992) and not beta[1].any()
    torch.testing.assert_close(gamma, beta / 4)
