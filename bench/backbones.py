"""Stable Diffusion 1.5 and XL inpainting at their real sizes, random weights, on a processor: in how much memory?

    python bench/backbones.py sd15 [--dtype float32] [--resolution 512] [--json FILE]
    python bench/backbones.py sdxl --dtype bfloat16 --resolution 512

Every part has the real one's sizes (the tokenizer knows letters only; the text encoder's table is as large as the real
one). One step of two layers, a background and the person behind whoever goes, through ``MildPipeline``; then the LoRA
of both domains is written to files, loaded by diffusers (`load_lora_weights`), and read back. What the pictures look
like says nothing.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, EulerDiscreteScheduler, UNet2DConditionModel
from diffusers import StableDiffusionInpaintPipeline as Sd15
from diffusers import StableDiffusionXLInpaintPipeline as Sdxl
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from mild.diffusion.adapters import DomainAdapters
from mild.diffusion.pipeline import MildPipeline
from mild.plan.planning import plan_layers
from mild.request import Region

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from tiny_pipes import SCHEDULE, crowd, tokenizer

DOMAINS = ("background", "person")


def peak() -> float:
    """The most memory that this process ever held, GB."""
    return int(re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[0]) / 1e6


def filled(make: Callable[[], torch.nn.Module], dtype: torch.dtype) -> Any:
    """A module with small random weights, made without a second copy of them."""
    with torch.device("meta"):
        module = make()
    module = module.to(dtype).to_empty(device="cpu").eval()
    for name, value in [*module.named_parameters(), *module.named_buffers()]:
        with torch.no_grad():
            if name.endswith("position_ids"):
                value.copy_(torch.arange(value.shape[-1]).expand(value.shape))
            elif value.ndim == 1:
                value.fill_(1.0 if "norm" in name and name.endswith("weight") else 0.0)
            else:
                value.normal_(0, 0.02)
    return module


def unet(xl: bool) -> UNet2DConditionModel:
    common: dict[str, Any] = {"in_channels": 9, "out_channels": 4, "layers_per_block": 2, "norm_num_groups": 32}
    if not xl:
        return UNet2DConditionModel(
            **common, sample_size=64, block_out_channels=(320, 640, 1280, 1280), cross_attention_dim=768,
            attention_head_dim=8,
        )  # fmt: skip
    return UNet2DConditionModel(
        **common, sample_size=128, block_out_channels=(320, 640, 1280), cross_attention_dim=2048,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"), attention_head_dim=(5, 10, 20),
        transformer_layers_per_block=(1, 2, 10), use_linear_projection=True, addition_embed_type="text_time",
        addition_time_embed_dim=256, projection_class_embeddings_input_dim=2816,
    )  # fmt: skip


def vae(xl: bool) -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(128, 256, 512, 512), layers_per_block=2, latent_channels=4, norm_num_groups=32,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        scaling_factor=0.13025 if xl else 0.18215, force_upcast=xl,
    )  # fmt: skip


def text(hidden: int, layers: int, heads: int, act: str) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=49408, hidden_size=hidden, intermediate_size=4 * hidden, num_hidden_layers=layers,
        num_attention_heads=heads, projection_dim=hidden, hidden_act=act, bos_token_id=0, eos_token_id=1,
        pad_token_id=1,
    )  # fmt: skip


def backbone(xl: bool, dtype: torch.dtype) -> Any:
    parts = {
        "unet": filled(lambda: unet(xl), dtype), "vae": filled(lambda: vae(xl), dtype),
        "text_encoder": filled(lambda: CLIPTextModel(text(768, 12, 12, "quick_gelu")), dtype),
        "tokenizer": tokenizer(),
    }  # fmt: skip
    if xl:
        second = filled(lambda: CLIPTextModelWithProjection(text(1280, 32, 20, "gelu")), dtype)
        scheduler = EulerDiscreteScheduler(**SCHEDULE, steps_offset=1)
        return Sdxl(**parts, text_encoder_2=second, tokenizer_2=tokenizer(), scheduler=scheduler)
    scheduler = DDIMScheduler(**SCHEDULE, clip_sample=False, set_alpha_to_one=False, steps_offset=1)
    return Sd15(
        **parts, scheduler=scheduler, safety_checker=None, feature_extractor=None, requires_safety_checker=False
    )


def lora(pipe: Any) -> dict[str, Any]:
    """Both domains' LoRA to files, into diffusers and back; the megabytes of one, and whether all came back."""
    ours = DomainAdapters.for_unet(pipe.unet, DOMAINS, rank=8)
    for value in ours.up.values():
        torch.nn.init.normal_(value, std=0.01)
    again = DomainAdapters.for_unet(pipe.unet, DOMAINS, rank=8)
    right = True
    with tempfile.TemporaryDirectory() as folder:
        for domain in DOMAINS:
            path = Path(folder) / f"{domain}.safetensors"
            save_file({name: value.contiguous() for name, value in ours.domain_state(domain).items()}, path)
            size = path.stat().st_size / 1e6
            pipe.load_lora_weights(folder, weight_name=path.name, adapter_name=domain)
            again.load_domain(domain, load_file(path))
        loaded = {name: value for name, value in pipe.unet.named_parameters() if ".lora_A." in name}
        for domain in DOMAINS:
            for name, value in ours.domain_state(domain).items():
                if name.endswith("lora_A.weight"):
                    there = loaded[name.removeprefix("unet.").replace(".lora_A.", f".lora_A.{domain}.")]
                    right &= bool(torch.allclose(there.float(), value.float(), atol=1e-2))
            back = again.domain_state(domain)
            right &= all(torch.allclose(back[n], v, atol=1e-6) for n, v in ours.domain_state(domain).items())
    listed = sorted(pipe.get_list_adapters().get("unet", []))
    pipe.unload_lora_weights()
    return {"lora_mb": round(size, 1), "lora_in_diffusers": listed, "lora_came_back": right}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model", choices=["sd15", "sdxl"])
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16"])
    parser.add_argument("--resolution", type=int, default=512)
    parser.add_argument("--guidance", type=float, default=1.0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.manual_seed(0)
    begun = time.process_time()
    pipe = backbone(options.model == "sdxl", getattr(torch, options.dtype))
    facts: dict[str, Any] = {
        "model": options.model, "dtype": options.dtype, "resolution": options.resolution,
        "guidance": options.guidance, "unet_parameters": sum(p.numel() for p in pipe.unet.parameters()),
        "built_gb": round(peak(), 2), "built_cpu_s": round(time.process_time() - begun, 1),
    }  # fmt: skip
    scene = crowd(2, options.resolution, options.resolution)
    plan = plan_layers(scene, (2,), Region(), resolution=options.resolution)
    facts["layers"] = [[row.domain, *row.bucket] for row in plan.layers]
    ours = MildPipeline.from_pipe(pipe)
    ours.set_progress_bar_config(disable=True)
    begun = time.process_time()
    result = ours(scene=scene, plan=plan, num_inference_steps=1, guidance_scale=options.guidance, output_type="np",
                  generator=torch.Generator().manual_seed(0))  # fmt: skip
    hole = plan.mattes[2]
    outside = np.ones(scene.size, bool)
    outside[hole[0].slices] = hole[1] == 0
    kept = bool((result.images[0][outside] == scene.photo.pixels[outside]).all())
    facts |= {"ran_cpu_s": round(time.process_time() - begun, 1), "peak_gb": round(peak(), 2), "outside_kept": kept}
    facts |= lora(pipe)
    facts["peak_gb_with_lora"] = round(peak(), 2)
    print(json.dumps(facts))
    if options.json:
        options.json.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
