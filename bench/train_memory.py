"""What training the adapters of SD 1.5 and SDXL needs in memory, worked out without either.

    python bench/train_memory.py

The UNets are built from their published shapes on torch's meta device (shapes only, no numbers), and a forward with
adapters and SMA is run on them; what autograd would keep for the backward is added up. To it come the weights, the
adapters with their gradients, two moments and average (20 bytes a number), and the autoencoder and text encoders.
Attention is counted as the fused kernels keep it (queries, keys, values, result), all activations in bf16. Not
counted: the allocator's waste, passing buffers, the CUDA context and, with checkpointing, the one block that is being
computed again.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from diffusers import UNet2DConditionModel

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from mild.diffusion import attention
from mild.diffusion.adapters import DomainAdapters
from mild.diffusion.morphology import MorphologyGuidance

#: Shapes as published in the configs of the inpainting versions: nine input channels.
SD15: dict[str, Any] = {
    "in_channels": 9, "out_channels": 4, "block_out_channels": (320, 640, 1280, 1280), "layers_per_block": 2,
    "cross_attention_dim": 768, "attention_head_dim": 8, "sample_size": 64,
}  # fmt: skip
SDXL: dict[str, Any] = {
    "in_channels": 9, "out_channels": 4, "block_out_channels": (320, 640, 1280), "layers_per_block": 2,
    "cross_attention_dim": 2048, "attention_head_dim": (5, 10, 20), "sample_size": 128,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10), "use_linear_projection": True, "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256, "projection_class_embeddings_input_dim": 2816,
}  # fmt: skip
#: Autoencoder and text encoders, millions of weights.
BESIDE = {"SD 1.5": 84 + 123, "SDXL": 84 + 123 + 695}
GB = 1e9


class Fused(torch.autograd.Function):
    """Attention that keeps what a flash kernel keeps."""

    @staticmethod
    def forward(ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        out = torch.empty_like(query)
        ctx.save_for_backward(query, key, value, out)
        return out

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, ...]:
        query, key, value, _ = ctx.saved_tensors
        return torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)


def fused(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
    return Fused.apply(query, key, value)


def kept(shape: dict[str, Any], rank: int, batch: int, checkpointing: bool) -> dict[str, float]:
    """Bytes of weights, of what learns, and of activations."""
    with torch.device("meta"):
        unet = UNet2DConditionModel(**shape).to(torch.bfloat16).requires_grad_(False)
        adapters = DomainAdapters.for_unet(unet, rank=rank)
        modulation = attention.SpatialModulation.for_unet(unet)
        morphology = MorphologyGuidance.for_unet(unet)
        side, words = shape["sample_size"], shape["cross_attention_dim"]
        x = torch.empty(batch, 9, side, side, dtype=torch.bfloat16)
        text = torch.empty(batch, 77, words, dtype=torch.bfloat16)
        time, mask = torch.empty(batch), torch.empty(batch, 1, side, side)
        added = None
        if "addition_embed_type" in shape:
            added = {"text_embeds": torch.empty(batch, 1280, dtype=torch.bfloat16), "time_ids": torch.empty(batch, 6)}
    if checkpointing:
        unet.enable_gradient_checkpointing()
        unet.train()
    weights = {p.untyped_storage()._cdata for p in (*unet.parameters(), *adapters.parameters())}
    seen: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            # Kept alive, so that no other storage gets its number.
            seen[storage._cdata] = storage
        return tensor

    regions = attention.RegionTokens(mask, mask)
    regions.amplitudes = modulation(time)
    gate = torch.ones(batch, 2, device="meta")
    with (
        mock.patch.object(attention, "fused_attention", fused),
        adapters.attached(unet, gate),
        attention.sma_installed(unet, regions),
        torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
    ):
        answer = unet(x, time, text, added_cond_kwargs=added).sample
    assert answer.requires_grad
    learns = sum(p.numel() for part in (adapters, modulation, morphology) for p in part.parameters())
    return {
        "weights": 2.0 * sum(p.numel() for p in unet.parameters()),
        "learns": 20.0 * learns,
        "numbers": float(learns),
        "activations": float(sum(storage.nbytes() for storage in seen.values())),
    }


def main() -> None:
    print("| backbone | rank | learns, M | checkpointing | rows | weights | optimiser | activations | all, GB |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, shape, rank, batches in (("SD 1.5", SD15, 32, (1, 4, 8)), ("SDXL", SDXL, 16, (1, 4))):
        for checkpointing in (False, True):
            for batch in batches:
                found = kept(shape, rank, batch, checkpointing)
                weights = found["weights"] + 2e6 * BESIDE[name]
                total = weights + found["learns"] + found["activations"]
                cells = [weights, found["learns"], found["activations"], total]
                switch = "on" if checkpointing else "off"
                row = f"| {name} | {rank} | {found['numbers'] / 1e6:.1f} | {switch} | {batch} | "
                print(row + " | ".join(f"{cell / GB:.1f}" for cell in cells) + " |", flush=True)


if __name__ == "__main__":
    main()
