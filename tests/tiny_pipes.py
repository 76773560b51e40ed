"""Tiny random inpainting pipelines in diffusers' own shape: nothing is downloaded, a forward takes milliseconds."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    EulerDiscreteScheduler,
    StableDiffusionInpaintPipeline,
    StableDiffusionXLInpaintPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from mild.people.scene import Person, Scene
from mild.photo import Photo
from stacks import ellipse

SCHEDULE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def tokenizer() -> CLIPTokenizer:
    """Single letters, nothing more."""
    letters = [chr(c) for c in range(33, 127)]
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{c}</w>" for c in letters)]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
        (Path(folder) / "merges.txt").write_text("#version: 0.2\n")
        config = {"model_max_length": 77, "tokenizer_class": "CLIPTokenizer", "pad_token": "<|endoftext|>"}
        (Path(folder) / "tokenizer_config.json").write_text(json.dumps(config))
        return CLIPTokenizer.from_pretrained(folder)


def _text_config(**changes: Any) -> CLIPTextConfig:
    sizes: dict[str, Any] = {
        "vocab_size": 300, "hidden_size": 32, "intermediate_size": 37, "num_attention_heads": 4,
        "num_hidden_layers": 2, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1, "projection_dim": 32,
        "hidden_act": "gelu",
    }  # fmt: skip
    return CLIPTextConfig(**{**sizes, **changes})


def _vae(**changes: Any) -> AutoencoderKL:
    # Four levels, as the real ones: eight pixels per latent.
    return AutoencoderKL(
        block_out_channels=(8, 8, 16, 16), norm_num_groups=4, latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4, **changes,
    ).eval()  # fmt: skip


def _unet(**changes: Any) -> UNet2DConditionModel:
    sizes: dict[str, Any] = {
        "sample_size": 16, "in_channels": 9, "out_channels": 4, "block_out_channels": (16, 32), "layers_per_block": 1,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"), "cross_attention_dim": 32,
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"), "attention_head_dim": 8, "norm_num_groups": 8,
    }  # fmt: skip
    return UNet2DConditionModel(**{**sizes, **changes}).eval()


def sd15(seed: int = 0, **unet: Any) -> StableDiffusionInpaintPipeline:
    """As SD 1.5 inpainting: a CLIP text encoder, 9 channels, epsilon."""
    torch.manual_seed(seed)
    return StableDiffusionInpaintPipeline(
        vae=_vae(), text_encoder=CLIPTextModel(_text_config()).eval(), tokenizer=tokenizer(), unet=_unet(**unet),
        scheduler=DDIMScheduler(**SCHEDULE, clip_sample=False, set_alpha_to_one=False, steps_offset=1),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip


def sdxl(seed: int = 0) -> StableDiffusionXLInpaintPipeline:
    """As SDXL inpainting: two text encoders, pooled text and sizes as added conditions, Euler."""
    torch.manual_seed(seed)
    unet = _unet(
        cross_attention_dim=64, addition_embed_type="text_time", addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + 32, transformer_layers_per_block=(1, 2),
        use_linear_projection=True,
    )  # fmt: skip
    return StableDiffusionXLInpaintPipeline(
        vae=_vae(force_upcast=True, scaling_factor=0.13025), text_encoder=CLIPTextModel(_text_config()).eval(),
        text_encoder_2=CLIPTextModelWithProjection(_text_config()).eval(), tokenizer=tokenizer(),
        tokenizer_2=tokenizer(), unet=unet, scheduler=EulerDiscreteScheduler(**SCHEDULE, steps_offset=1),
    )  # fmt: skip


def crowd(people: int = 3, height: int = 96, width: int = 160, seed: int = 0) -> Scene:
    """``people`` bodies side by side, each a little in front of the one to the left, on noise."""
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3)).astype(np.uint8)
    step = width / (people + 1)
    free = np.ones((height, width), bool)
    masks = []
    for k in reversed(range(people)):
        mask = ellipse(height, width, step * (k + 1), height * 0.55, step * 0.62, height * 0.36) & free
        free &= ~mask
        masks.append(mask)
    found = tuple(Person.from_mask(k + 1, mask, score=0.9) for k, mask in enumerate(reversed(masks)))
    return Scene(Photo.of(pixels), found)
