"""The parts of a model: made or loaded, frozen or learning, and written out again as a pipeline."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mild.diffusion.adapters import DomainAdapters
from mild.diffusion.alpha import AlphaDecoder
from mild.diffusion.attention import AttentionProbe, SpatialModulation
from mild.diffusion.codec import Codec, PixelCodec
from mild.diffusion.denoiser import Denoiser, small_unet
from mild.diffusion.morphology import MorphologyGuidance
from mild.diffusion.pipeline import MildPipeline
from mild.diffusion.prompts import NEGATIVE_PROMPTS, PROMPTS, DomainText, encode_text
from mild.diffusion.schedule import noise_scheduler
from mild.errors import MildError, UsageError
from mild.files import replace_folder
from mild.lab.train.checkpoint import average_of, checkpoint_of
from mild.lab.train.config import PartName, RunConfig
from mild.models.assets import model_folder

#: What an export is called in the folder of a run.
PIPELINE, LORA = "pipeline", "lora"


@dataclass
class Parts:
    """A pipeline's components, and which of them learn.

    Attributes:
        pipeline: holds them all; its weights are the ones that are trained.
        trained: names of the parts that learn.
        text: encoded prompts per domain, None for a model without text.
    """

    pipeline: Any
    trained: tuple[PartName, ...]
    text: Mapping[str, DomainText] | None

    @property
    def codec(self) -> Codec:
        codec: Codec = self.pipeline.layer_codec
        return codec

    @property
    def in_pixels(self) -> bool:
        """Does the model work on pixels (the embedded one), not on an autoencoder's latents?"""
        return isinstance(self.codec, PixelCodec)

    def learning(self) -> nn.ModuleDict:
        """The parts that learn, as one module: what a checkpoint holds."""
        return nn.ModuleDict({name: getattr(self.pipeline, name) for name in self.trained})

    def modules(self) -> dict[str, nn.Module]:
        """Every part that has weights, by name."""
        return {name: part for name, part in self.pipeline.components.items() if isinstance(part, nn.Module)}

    def to(self, device: torch.device) -> None:
        """The parts, and the words; text encoders stay where they are: their work is done."""
        for name, part in self.modules().items():
            if not name.startswith("text_encoder"):
                part.to(device)
        if self.text is not None:
            self.text = {domain: words.to(device, self.pipeline.unet.dtype) for domain, words in self.text.items()}

    def denoiser(self, config: RunConfig, probe: AttentionProbe | None = None, wordless: bool = False) -> Denoiser:
        """The UNet with everything around it, as the config has it; ``wordless``: without the prompt."""
        pipe, text = self.pipeline, self.text
        if text is not None and wordless:
            text = {d: DomainText(w.no_tokens, w.no_tokens, w.no_pooled, w.no_pooled) for d, w in text.items()}
        layers = config.model.layers
        adapters = pipe.adapters if layers and config.model.adapters else None
        return Denoiser(
            pipe.unet, self.codec, adapters, pipe.modulation if layers else None, config.model.sma, probe, text,
            morphology=pipe.morphology if config.model.hmg != "none" else None,
        )  # fmt: skip


def make_parts(config: RunConfig) -> Parts:
    """Build or load what ``config`` describes; parts that are to learn and are not there are made anew.

    Raises:
        MildError: the start cannot be loaded.
        UsageError: parts that this backbone cannot have.
    """
    torch.manual_seed(config.seed)
    pipeline, trained = _started(config), config.trained
    unet = pipeline.unet
    latent = pipeline.codec is None
    if config.stage == "alpha" and not latent:
        raise UsageError("The stage alpha is for backbones with an RGB autoencoder; this model makes alpha itself.")
    made: dict[str, Any] = {}
    if "adapters" in trained and pipeline.adapters is None:
        made["adapters"] = DomainAdapters.for_unet(unet, rank=config.model.rank)
    elif "adapters" in trained and pipeline.adapters.rank < config.model.rank:
        made["adapters"] = pipeline.adapters.widened(config.model.rank)
    if "modulation" in trained and pipeline.modulation is None:
        made["modulation"] = SpatialModulation.for_unet(unet)
    if "morphology" in trained and pipeline.morphology is None:
        made["morphology"] = MorphologyGuidance.for_unet(unet)
    if "alpha_decoder" in trained and pipeline.alpha_decoder is None:
        doublings = len(pipeline.vae.config.block_out_channels) - 1
        made["alpha_decoder"] = AlphaDecoder(pipeline.vae.config.latent_channels, doublings=doublings)
    pipeline.register_modules(**made)
    parts = Parts(pipeline, trained, _words(pipeline))
    narrow = torch.bfloat16 if config.model.frozen == "bf16" else torch.float32
    for name, part in parts.modules().items():
        part.requires_grad_(name in trained)
        part.train(name in trained)
        if name not in trained:
            nn.Module.to(part, narrow)
    unet.to(memory_format=torch.channels_last)
    if config.model.checkpointing:
        unet.enable_gradient_checkpointing()
        unet.train()  # diffusers recomputes in training mode only; its UNets have no dropout
    return parts


def _started(config: RunConfig) -> Any:
    start = config.model.start
    if start is None:
        codec = PixelCodec()
        unet = small_unet(codec, config.model.channels)
        return MildPipeline(unet, noise_scheduler(), codec)
    if (Path(start) / PIPELINE).is_dir():
        start = str(Path(start) / PIPELINE)
    elif (Path(start) / "checkpoints").is_dir():
        raise MildError(
            f"The run {start} is not complete: train it to its end, or start from what `mild train export {start} --to "
            "FOLDER` writes."
        )
    pipeline = MildPipeline.from_pretrained(str(model_folder(start)), torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    if config.model.kept is not None:
        anew = {"adapters", "modulation", "morphology", "alpha_decoder"} - set(config.model.kept)
        pipeline.register_modules(**dict.fromkeys(sorted(anew)))
    return pipeline


@torch.no_grad()
def _words(pipeline: Any) -> Mapping[str, DomainText] | None:
    """The default prompts, and the negative ones, encoded once."""
    tokenizers, encoders = pipeline._text_parts()
    if not encoders:
        return None
    out = {}
    for domain in PROMPTS:
        tokens, pooled = encode_text(PROMPTS[domain], tokenizers, encoders, "cpu")
        no_tokens, no_pooled = encode_text(NEGATIVE_PROMPTS[domain], tokenizers, encoders, "cpu")
        out[domain] = DomainText(tokens, no_tokens, pooled, no_pooled)
    return out


def load_averages(parts: Parts, weights: Mapping[str, torch.Tensor], player: str = "model", share: float = 1.0) -> None:
    """Put a run's averaged weights (names ``player.parameter``) into the parts that learn, this share of them."""
    inner = {name.removeprefix(f"{player}.learning."): value for name, value in weights.items()}
    module = parts.learning()
    with torch.no_grad():
        for name, value in module.named_parameters():
            value.copy_(inner[name] if share == 1 else value.lerp(inner[name].to(value), share))


def export(run: str | Path, to: str | Path | None = None, step: int | None = None, share: float = 1.0) -> Path:
    """Write a run's averaged weights as a half-precision pipeline that ``MildPipeline.from_pretrained`` loads.

    Its adapters are also written one by one, as LoRA files for diffusers' ``load_lora_weights``.

    Args:
        to: folder of the pipeline; None: ``pipeline`` in the run's folder. What else is in it stays.
        step: of the checkpoint; None: the last one.
        share: of the run's weights; the rest is those of ``model.start``. What was learned last is kept in part, and
            so is what it had cost (Wortsman et al., "Robust fine-tuning of zero-shot models", arXiv 2109.01903).

    Raises:
        MildError: the run has no such checkpoint, or the folder cannot be written.
        UsageError: a share of a run that started from nothing.
    """
    from safetensors.torch import save_file

    run = Path(run)
    config = RunConfig.load(run / "config.yaml")
    # The frozen parts as they were given, not as training held them.
    config = config.model_copy(update={"model": config.model.model_copy(update={"frozen": "fp32"})})
    weights = average_of(checkpoint_of(run, step))
    if share < 1 and (config.model.start is None or config.model.kept is not None):
        raise UsageError("Only a run that went on with all of another model can be mixed with it.")
    parts = make_parts(config)
    load_averages(parts, weights, share=share)
    pipeline = parts.pipeline
    for part in parts.modules().values():
        nn.Module.to(part, torch.float16)  # diffusers' own `to` would advise to load them so

    def write(new: Path) -> None:
        pipeline.save_pretrained(new, safe_serialization=True)
        # diffusers notes where the parts were loaded from; a path of this machine is nobody else's business.
        for file in new.glob("**/*.json"):
            values = json.loads(file.read_text(encoding="utf-8"))
            if isinstance(values, dict) and values.pop("_name_or_path", None) is not None:
                file.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
        if to is not None:
            write_loras(new / LORA)

    def write_loras(new: Path) -> None:
        for domain in () if pipeline.adapters is None else pipeline.adapters.domains:
            (new / domain).mkdir(parents=True)
            state = {name: value.contiguous() for name, value in pipeline.adapters.domain_state(domain).items()}
            save_file(state, str(new / domain / "pytorch_lora_weights.safetensors"), metadata={"format": "pt"})

    folder = Path(to) if to is not None else run / PIPELINE
    replace_folder(folder, write)
    if to is None:
        replace_folder(run / LORA, write_loras)
    return folder
