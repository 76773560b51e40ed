"""One LoRA per row: equal to peft's adapters one by one, gone after the call, and diffusers' own files."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionInpaintPipeline, UNet2DConditionModel
from peft import LoraConfig
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file, save_file

from mild.diffusion.adapters import DomainAdapters
from mild.errors import MildError
from tiny_pipes import sd15

ROWS = ["person", None, "background", "person"]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def pipe() -> StableDiffusionInpaintPipeline:
    return sd15()


@pytest.fixture(scope="module")
def adapters(pipe: StableDiffusionInpaintPipeline) -> DomainAdapters:
    torch.manual_seed(1)
    made = DomainAdapters.for_unet(pipe.unet, rank=3, alpha=6.0)
    for parameter in made.up.values():
        torch.nn.init.normal_(parameter, std=0.05)
    return made


def inputs(rows: int = len(ROWS)) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(2)
    noisy = torch.randn(rows, 9, 8, 12, generator=g)
    return noisy, torch.full((rows,), 400), torch.randn(rows, 5, 32, generator=g)


def peft_unet(unet: UNet2DConditionModel, adapters: DomainAdapters, trainable: bool = False) -> UNet2DConditionModel:
    """The same weights as peft adapters ``background`` and ``person`` on a copy of ``unet``."""
    wrapped = copy.deepcopy(unet)
    for i, domain in enumerate(adapters.domains):
        config = LoraConfig(
            r=adapters.rank, lora_alpha=adapters.alpha, target_modules=list(adapters.layers), init_lora_weights=False
        )
        wrapped.add_adapter(config, adapter_name=domain)
        part = slice(i * adapters.rank, (i + 1) * adapters.rank)
        for path in adapters.layers:
            layer = wrapped.get_submodule(path)
            assert isinstance(layer, LoraLayer)
            key = path.replace(".", "/")
            layer.lora_A[domain].weight.data.copy_(adapters.down[key][part])
            layer.lora_B[domain].weight.data.copy_(adapters.up[key][:, part])
    return wrapped


def test_rows_equal_peft_one_by_one(pipe: Any, adapters: DomainAdapters) -> None:
    noisy, t, words = inputs()
    wrapped = peft_unet(pipe.unet, adapters)
    with torch.no_grad():
        with adapters.attached(pipe.unet, adapters.gate(ROWS)):
            together = pipe.unet(noisy, t, words).sample
        for i, domain in enumerate(ROWS):
            if domain is None:
                wrapped.disable_adapters()
            else:
                wrapped.enable_adapters()
                wrapped.set_adapter(domain)
            alone = wrapped(noisy[i : i + 1], t[i : i + 1], words[i : i + 1]).sample
            torch.testing.assert_close(together[i : i + 1], alone, atol=1e-5, rtol=1e-5)
    with torch.no_grad():
        plain = pipe.unet(noisy, t, words).sample
    torch.testing.assert_close(together[1], plain[1], atol=1e-5, rtol=1e-5)
    assert all(float((together[i] - plain[i]).abs().max()) > 1e-2 for i in (0, 2, 3))


def test_gradients_equal_peft(pipe: Any, adapters: DomainAdapters) -> None:
    noisy, t, words = inputs(1)
    mine, wrapped = copy.deepcopy(adapters), peft_unet(pipe.unet, adapters)
    wrapped.set_adapter("person")
    with mine.attached(pipe.unet, mine.gate(["person"])):
        pipe.unet(noisy, t, words).sample.square().sum().backward()
    wrapped(noisy, t, words).sample.square().sum().backward()
    for path in mine.layers:
        theirs = wrapped.get_submodule(path).lora_A["person"].weight.grad
        torch.testing.assert_close(mine.down[path.replace(".", "/")].grad[3:], theirs, atol=1e-4, rtol=1e-3)
        assert not mine.down[path.replace(".", "/")].grad[:3].any()  # the other domain learns nothing from this row
    pipe.unet.zero_grad()


def test_doubled_rows_keep_their_gate(pipe: Any, adapters: DomainAdapters) -> None:
    """Classifier-free guidance: the batch comes twice, the gate once."""
    noisy, t, words = inputs()
    with torch.no_grad(), adapters.attached(pipe.unet, adapters.gate(ROWS)):
        once = pipe.unet(noisy, t, words).sample
        twice = pipe.unet(torch.cat([noisy] * 2), torch.cat([t] * 2), torch.cat([words] * 2)).sample
    torch.testing.assert_close(twice, torch.cat([once] * 2), atol=1e-5, rtol=1e-5)


def test_a_soft_gate_blends(pipe: Any, adapters: DomainAdapters) -> None:
    x = torch.randn(1, 4, 32)
    layer = next(path for path in adapters.layers if path.endswith("to_q"))
    module = pipe.unet.get_submodule(layer)
    answers = []
    for gate in ([1.0, 0.0], [0.0, 1.0], [0.25, 0.75]):
        with torch.no_grad(), adapters.attached(pipe.unet, torch.tensor([gate])):
            answers.append(module(x))
    torch.testing.assert_close(answers[2], 0.25 * answers[0] + 0.75 * answers[1])


def test_fresh_adapters_change_nothing(pipe: Any) -> None:
    noisy, t, words = inputs()
    fresh = DomainAdapters.for_unet(pipe.unet, rank=2)
    with torch.no_grad(), fresh.attached(pipe.unet, fresh.gate(ROWS)):
        with_them = pipe.unet(noisy, t, words).sample
    with torch.no_grad():
        torch.testing.assert_close(with_them, pipe.unet(noisy, t, words).sample)


def test_hooks_go_whatever_happens(pipe: Any, adapters: DomainAdapters) -> None:
    before = {name: value.clone() for name, value in pipe.unet.state_dict().items()}
    with pytest.raises(RuntimeError, match="in between"), adapters.attached(pipe.unet, adapters.gate(ROWS)):
        raise RuntimeError("in between")
    assert not any(module._forward_hooks for module in pipe.unet.modules())
    assert all(torch.equal(before[name], value) for name, value in pipe.unet.state_dict().items())


def test_half_precision_backbone_with_full_precision_adapters(pipe: Any, adapters: DomainAdapters) -> None:
    noisy, t, words = inputs()
    unet = copy.deepcopy(pipe.unet).to(torch.bfloat16)
    with torch.no_grad(), adapters.attached(unet, adapters.gate(ROWS)):
        answer = unet(noisy.bfloat16(), t, words.bfloat16()).sample
    assert answer.dtype == torch.bfloat16 and torch.isfinite(answer).all()


@pytest.mark.parametrize("domain", ["background", "person"])
def test_a_domain_is_a_lora_file_of_diffusers(adapters: DomainAdapters, tmp_path: Path, domain: str) -> None:
    """``domain_state`` -> ``load_lora_weights`` on the backbone's own pipeline -> the same output."""
    pipe = sd15()
    save_file(adapters.domain_state(domain), tmp_path / "lora.safetensors")
    noisy, t, words = inputs()
    with torch.no_grad():
        with adapters.attached(pipe.unet, adapters.gate([domain] * len(noisy))):
            expected = pipe.unet(noisy, t, words).sample
        pipe.load_lora_weights(tmp_path, weight_name="lora.safetensors")
        torch.testing.assert_close(pipe.unet(noisy, t, words).sample, expected, atol=1e-5, rtol=1e-5)


def test_a_lora_file_of_diffusers_becomes_a_domain(adapters: DomainAdapters, tmp_path: Path) -> None:
    save_file(adapters.domain_state("person"), tmp_path / "lora.safetensors")
    other = DomainAdapters(adapters.domains, adapters.rank, adapters.alpha, dict(adapters.layers))
    other.load_domain("person", load_file(tmp_path / "lora.safetensors"))
    for name, value in adapters.domain_state("person").items():
        torch.testing.assert_close(other.domain_state("person")[name], value)
    assert not any(value.any() for name, value in other.domain_state("background").items() if "lora_B" in name)


def test_on_top_of_a_users_own_lora(adapters: DomainAdapters) -> None:
    """peft wraps the layers; the domain's adapters go on top and the user's stay."""
    pipe = sd15()
    noisy, t, words = inputs()
    rows = adapters.gate(["person"] * len(noisy))
    with torch.no_grad(), adapters.attached(pipe.unet, rows):
        expected = pipe.unet(noisy, t, words).sample
    pipe.unet.add_adapter(LoraConfig(r=2, target_modules=["to_q", "conv1"]))  # an update of zero
    with torch.no_grad(), adapters.attached(pipe.unet, rows):
        torch.testing.assert_close(pipe.unet(noisy, t, words).sample, expected, atol=1e-5, rtol=1e-5)


def test_round_trip(adapters: DomainAdapters, tmp_path: Path) -> None:
    adapters.save_pretrained(tmp_path)
    back = DomainAdapters.from_pretrained(tmp_path)
    assert back.domains == adapters.domains and back.layers == adapters.layers
    assert all(torch.equal(back.state_dict()[name], value) for name, value in adapters.state_dict().items())


def test_wrong_rank_architecture_and_name_in_one_sentence(adapters: DomainAdapters) -> None:
    other = DomainAdapters.for_unet(sd15(block_out_channels=(16, 64)).unet, rank=3)
    unet = sd15().unet
    with pytest.raises(MildError, match=r"do not fit this UNet: '.*' should be") as caught:
        other.check(unet)
    assert "\n" not in str(caught.value)
    with pytest.raises(MildError), other.attached(unet, other.gate(["person"])):
        pass
    assert not any(module._forward_hooks for module in unet.modules())
    with pytest.raises(MildError, match="no adapter 'dog'"):
        adapters.gate(["dog"])
    with pytest.raises(MildError, match="no adapter 'dog'"):
        adapters.load_domain("dog", {})
    rank_two = DomainAdapters.for_unet(unet, rank=2)
    with pytest.raises(MildError, match=r"rank 2.*rank 3"):
        adapters.load_domain("person", rank_two.domain_state("person"))
    with pytest.raises(MildError, match="another architecture"):
        adapters.load_domain("person", other.domain_state("person"))
    with pytest.raises(MildError, match="no LoRA"):
        adapters.load_domain("person", {"unet.conv_in.weight": torch.zeros(1)})


def test_wider_adapters_do_the_same_and_have_room(
    pipe: StableDiffusionInpaintPipeline, adapters: DomainAdapters
) -> None:
    wider = adapters.widened(5)
    noisy, time, tokens = inputs()
    answers = []
    for some in (adapters, wider):
        with torch.no_grad(), some.attached(pipe.unet, some.gate(ROWS)):
            answers.append(pipe.unet(noisy, time, encoder_hidden_states=tokens).sample)
    assert wider.rank == 5 and torch.allclose(*answers, atol=1e-5)
    # What is new can learn: it adds nothing yet, but its first half is not zero.
    for down, up in zip(wider.down.values(), wider.up.values(), strict=True):
        assert down[3:5].abs().max() > 0 and up[:, 3:5].abs().max() == 0
    with pytest.raises(MildError, match="is not more"):
        adapters.widened(3)
