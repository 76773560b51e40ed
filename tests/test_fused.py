"""Adapters added into a small UNet's weights: the same answer as the hooks, and nothing of it stays."""

from __future__ import annotations

import pytest
import torch

from mild.diffusion import adapters as module
from mild.diffusion.adapters import DomainAdapters
from mild.diffusion.codec import PixelCodec
from mild.diffusion.denoiser import small_unet


@pytest.fixture(scope="module")
def parts() -> tuple[torch.nn.Module, DomainAdapters]:
    torch.manual_seed(0)
    unet = small_unet(PixelCodec(), (32, 32))
    torch.nn.init.normal_(unet.conv_out.weight, std=0.05)
    adapters = DomainAdapters.for_unet(unet, rank=3)
    for up in adapters.up.values():
        torch.nn.init.normal_(up, std=0.1)
    return unet, adapters


@torch.no_grad()
def answer(unet: torch.nn.Module, adapters: DomainAdapters, domains: list[str | None]) -> torch.Tensor:
    noisy = torch.randn(2, 768, 8, 8, generator=torch.Generator().manual_seed(1))
    with adapters.attached(unet, adapters.gate(domains)):
        out: torch.Tensor = unet(noisy, 500, torch.zeros(2, 1, 32)).sample
    return out


@pytest.mark.parametrize("domain", ["background", "person", None])
def test_fused_equals_hooks(
    parts: tuple[torch.nn.Module, DomainAdapters], domain: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    unet, adapters = parts
    before = dict(unet.named_parameters())
    assert adapters.fuses
    fused = answer(unet, adapters, [domain, domain])
    assert all(p is before[name] for name, p in unet.named_parameters())
    monkeypatch.setattr(module, "FUSE_BELOW", 0)
    assert torch.allclose(fused, answer(unet, adapters, [domain, domain]), atol=1e-4, rtol=1e-4)


def test_weights_come_back_whatever_happens(parts: tuple[torch.nn.Module, DomainAdapters]) -> None:
    unet, adapters = parts
    before = dict(unet.named_parameters())
    with torch.no_grad(), pytest.raises(KeyboardInterrupt), adapters.attached(unet, adapters.gate(["person"])):
        assert any(p is not before[name] for name, p in unet.named_parameters())
        raise KeyboardInterrupt
    assert all(p is before[name] for name, p in unet.named_parameters())


def test_training_and_mixed_batches_keep_the_weights(parts: tuple[torch.nn.Module, DomainAdapters]) -> None:
    unet, adapters = parts
    before = dict(unet.named_parameters())
    with adapters.attached(unet, adapters.gate(["person"])):
        assert all(p is before[name] for name, p in unet.named_parameters())
    with torch.no_grad(), adapters.attached(unet, adapters.gate(["person", "background"])):
        assert all(p is before[name] for name, p in unet.named_parameters())
