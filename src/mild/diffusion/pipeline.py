"""MildPipeline: from a scene and a plan to a stack of layers, as a diffusers pipeline.

All layers go through one UNet: layers of one canvas size are rows of one batch, each with its own adapter, in one
forward per step. Rows of several photos share batches too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, AutoencoderTiny, DiffusionPipeline, SchedulerMixin, UNet2DConditionModel
from diffusers.utils import BaseOutput
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from mild.diffusion import inputs, prompts
from mild.diffusion.adapters import DomainAdapters
from mild.diffusion.alpha import AlphaDecoder
from mild.diffusion.attention import FixedModulation, SmaTerms, SpatialModulation
from mild.diffusion.bodies import BodyRow, Hmg, sources_of
from mild.diffusion.cag import CagProbe
from mild.diffusion.codec import Codec, PixelCodec
from mild.diffusion.denoiser import Denoiser
from mild.diffusion.loading import check_components, told_in_a_sentence
from mild.diffusion.morphology import MorphologyGuidance
from mild.diffusion.prompts import DomainText, Words
from mild.diffusion.sampling import OnStep, denoised_both_ways
from mild.diffusion.vae_codec import VaeCodec
from mild.errors import Cancelled, MildError, UsageError
from mild.fill.canvas import LayerCrop, batched, cut_layers
from mild.fill.fillers import Filler
from mild.layers import LayerStack
from mild.paint.assemble import assemble
from mild.people.scene import Scene
from mild.photo import Photo
from mild.plan.kept import Kept
from mild.plan.planning import LayerPlan, Plan, plan_layers
from mild.progress import Progress
from mild.request import Region

#: A mask handed to the pipeline is meant as it is, as everywhere in diffusers.
EXACT = Region(dilate=0, feather=0)


@dataclass
class MildPipelineOutput(BaseOutput):  # type: ignore[misc]
    """What a call returns.

    Attributes:
        images: the edited photos, as Pillow images (``output_type="pil"``) or uint8 arrays ``[H, W, 3]`` (``"np"``).
        stacks: the layers behind each of them.
    """

    images: list[Any]
    stacks: list[LayerStack]


class MildPipeline(DiffusionPipeline):  # type: ignore[misc]
    """Multi-layer erasing, on the embedded model or on an inpainting pipeline of Stable Diffusion 1.5 or XL.

    ``MildPipeline.from_pretrained`` loads our own folders and the inpainting folders of diffusers alike;
    ``MildPipeline.from_pipe`` wraps a pipeline that is in memory. Without trained adapters and modulation such a
    backbone runs training-free: layers, blanking, a fixed SMA schedule and one prompt per domain.

    Args:
        unet: predicts the clean layer (embedded model) or what the scheduler says (others).
        scheduler: any diffusers scheduler for noise of variance 1 or sigma².
        codec: RGBA layers <-> latents, for models without an autoencoder.
        adapters: one LoRA per domain; None: the same UNet for all.
        modulation: the trained SMA amplitudes; None: a fixed schedule (backbones with an autoencoder), or none.
        vae, text_encoder, tokenizer, text_encoder_2, tokenizer_2: of the backbone.
        alpha_decoder: opacity of people from latents; None: from the distance to the neutral canvas.
        morphology: human morphology guidance; None: the UNet is told nothing of bodies.
        force_zeros_for_empty_prompt: SDXL: an empty negative prompt is zeros instead of encoded nothing.
    """

    model_cpu_offload_seq = "text_encoder->text_encoder_2->unet->vae"
    _optional_components = [  # noqa: RUF012 - diffusers' own convention
        "codec", "adapters", "modulation", "vae", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2",
        "alpha_decoder", "morphology",
    ]  # fmt: skip
    # Their tensors are used from hooks and processors, not from a forward of their own that could fetch them.
    _exclude_from_cpu_offload = ["codec", "adapters", "modulation", "alpha_decoder", "morphology"]  # noqa: RUF012
    _callback_tensor_inputs = ("latents",)

    def __init__(
        self,
        unet: UNet2DConditionModel,
        scheduler: SchedulerMixin,
        codec: PixelCodec | None = None,
        adapters: DomainAdapters | None = None,
        modulation: SpatialModulation | None = None,
        vae: AutoencoderKL | AutoencoderTiny | None = None,
        text_encoder: nn.Module | None = None,
        tokenizer: Any = None,
        text_encoder_2: nn.Module | None = None,
        tokenizer_2: Any = None,
        alpha_decoder: AlphaDecoder | None = None,
        morphology: MorphologyGuidance | None = None,
        force_zeros_for_empty_prompt: bool = True,
    ) -> None:
        super().__init__()
        if codec is None and vae is None:
            raise MildError("A MildPipeline needs a codec or an autoencoder (vae).")
        self.register_modules(
            unet=unet, scheduler=scheduler, codec=codec, adapters=adapters, modulation=modulation, vae=vae,
            text_encoder=text_encoder, tokenizer=tokenizer, text_encoder_2=text_encoder_2, tokenizer_2=tokenizer_2,
            alpha_decoder=alpha_decoder, morphology=morphology,
        )  # fmt: skip
        self.register_to_config(force_zeros_for_empty_prompt=force_zeros_for_empty_prompt)
        check_components(unet, self.layer_codec, adapters, modulation, alpha_decoder, self._text_parts()[1])
        if morphology is not None:
            morphology.check(unet)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, **kwargs: Any) -> Any:
        """Load a folder or hub id: our own, or an inpainting pipeline of SD 1.5 or SDXL.

        Raises:
            MildError: it holds no such pipeline, or parts that do not belong together; one sentence.
        """
        # Pickles are programs, not data.
        kwargs.setdefault("use_safetensors", True)
        with told_in_a_sentence(str(pretrained_model_name_or_path)):
            return super().from_pretrained(pretrained_model_name_or_path, **kwargs)

    @property
    def layer_codec(self) -> Codec:
        """How layers become latents: the registered codec, or one around the autoencoder."""
        if self.codec is not None:
            return self.codec  # type: ignore[no-any-return]
        return VaeCodec(self.vae, self.scheduler.config.prediction_type, self.alpha_decoder)

    @torch.no_grad()
    def __call__(
        self,
        image: Any = None,
        mask_image: Any = None,
        *,
        scene: Scene | Sequence[Scene] | None = None,
        plan: Plan | Sequence[Plan] | None = None,
        crops: Sequence[list[LayerCrop]] | None = None,
        num_inference_steps: int = 1,
        generator: torch.Generator | list[torch.Generator] | None = None,
        prior: bool = True,
        denoise: bool = True,
        detail: bool = True,
        use_adapters: bool = True,
        sma: SmaTerms = "on",
        hmg: Hmg = "all",
        resolution: int = 256,
        rows_per_batch: int = 8,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: Callable[[Any, int, Any, dict[str, Any]], dict[str, Any]] | None = None,
        progress: Progress | None = None,
        probe: CagProbe | None = None,
        kept: Kept | None = None,
        prompt: Words = None,
        negative_prompt: Words = None,
        guidance_scale: float = 7.5,
        strength: float = 0.85,
        filler: Filler | None = None,
        correct: bool = True,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
    ) -> MildPipelineOutput | tuple[list[Any], list[LayerStack]]:
        """Erase.

        Either ``image`` and ``mask_image`` (white = erase; single or lists, anything :class:`mild.photo.Photo` takes),
        or ``scene`` and ``plan``, which say more: who is there, who is to be completed.

        Args:
            crops: of every photo, what :func:`mild.fill.canvas.cut_layers` made of its plan, with its fills; None:
                they are cut here. Whoever erases from one photo in many ways saves the search.
            num_inference_steps: denoising steps; 1 suits the embedded model, about 30 the others.
            generator: seeds the noise and the exemplar search; one, or one per photo.
            prior, denoise, detail, use_adapters, sma, hmg: switches of the method (see :class:`mild.request.Method`).
            resolution: long side of the canvas, when the plan is made here.
            rows_per_batch: at most so many layers in one forward.
            callback_on_step_end: as in diffusers; setting ``pipe._interrupt = True`` in it stops the job.
            progress: called with a stage's name and the fraction of it that is done.
            kept: fills and paintings of earlier questions about these photos; the result is the same without.
            probe: measures where the layers' attention goes; the result is the same without it.
            prompt, negative_prompt: words for the background, or ``{domain: words}``; defaults in ``prompts.py``.
                Backbones with text encoders only, as the next two.
            guidance_scale: of classifier-free guidance; 1 = off.
            strength: of the noise that backgrounds start from: 1 = pure noise, less keeps more of the exemplar prior.
            filler: of backgrounds' holes; None: the built-in search (see :mod:`mild.fill.fillers`).
            correct: does the denoiser go over backgrounds? Off: they are what the filler made.

        Raises:
            UsageError: inputs that do not fit.
            Cancelled: the job was interrupted.
        """
        scenes, plans = self.check_inputs(image, mask_image, scene, plan, num_inference_steps, resolution)
        if not (prior or denoise):
            raise UsageError("Both the exemplar fill and the denoiser are off: leave at least one on.")
        self.check_sampling(guidance_scale, strength, output_type, callback_on_step_end_tensor_inputs)
        sources_of(hmg)
        self._interrupt = False

        def share(stage: str, number: int, count: int) -> Callable[[float], None]:
            """Tells the progress of one of ``count`` equal parts of a stage."""

            def tell(fraction: float) -> None:
                if progress is not None:
                    progress(stage, (number + fraction) / count)

            return tell

        def after_step(tell: Callable[[float], None]) -> OnStep:
            """What is done between two steps: the caller's callback, the progress, the way out."""

            def after(number: int, count: int, timestep: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
                if callback_on_step_end is not None:
                    given = dict.fromkeys(callback_on_step_end_tensor_inputs, latents)
                    latents = (callback_on_step_end(self, number, timestep, given) or {}).get("latents", latents)
                tell((number + 1) / count)
                if self._interrupt:
                    raise Cancelled("The job was stopped; nothing was written.")
                return latents

            return after

        generators = inputs.generators(generator, len(scenes))
        if crops is None:
            crops = []
            for number, (one, its_plan, source) in enumerate(zip(scenes, plans, generators, strict=True)):
                seed = source.initial_seed() % 2**32 if prior else None
                crops.append(cut_layers(one, its_plan, seed, share("fill", number, len(scenes)), kept, filler))
        elif [[id(crop.plan) for crop in row] for row in crops] != [[id(x) for x in one.layers] for one in plans]:
            raise UsageError("The crops were not cut from these plans.")
        clean: list[list[NDArray[np.float32] | None]] = [[None] * len(row) for row in crops]
        codec = self.layer_codec
        if denoise:
            denoiser = Denoiser(
                self.unet, codec, self.adapters if use_adapters else None, self._modulation(), sma, probe,
                self.encode_prompt(plans, prompt, negative_prompt, guidance_scale), guidance_scale,
                self.morphology,
            )  # fmt: skip
            noises = [[self.prepare_latents(c.plan, g) for c in row] for row, g in zip(crops, generators, strict=True)]

            def kind(job: tuple[int, int]) -> tuple[tuple[int, int], float]:
                row = crops[job[0]][job[1]]
                primed = codec.starts_at_prior and row.fill is not None and row.plan.domain == "background"
                return row.plan.bucket, strength if primed else 1.0

            jobs = [(i, j) for i, row in enumerate(crops) for j in range(len(row))]
            wanted = {(i, j) for i, j in jobs if correct or crops[i][j].plan.domain != "background"}
            # A probe sees every layer.
            jobs = [job for job in jobs if probe is not None or job in wanted]
            batches = batched(jobs, kind, rows_per_batch)
            for number, batch in enumerate(batches):
                row_crops = [crops[i][j] for i, j in batch]
                bodies = None
                if self.morphology is not None:
                    bodies = [BodyRow.of(scenes[i], crops[i][j].plan) for i, j in batch]
                done = denoised_both_ways(
                    denoiser, self.scheduler, row_crops, bodies,
                    torch.cat([noises[i][j] for i, j in batch]), hmg=hmg, steps=num_inference_steps,
                    strength=kind(batch[0])[1], device=self._execution_device,
                    on_step=after_step(share("denoise", number, len(batches))),
                )  # fmt: skip
                for (i, j), layer in zip(batch, done, strict=True):
                    clean[i][j] = layer if (i, j) in wanted else None
        stacks = []
        for number, (one, its_plan, row, layers) in enumerate(zip(scenes, plans, crops, clean, strict=True)):
            tell = share("paint", number, len(scenes))
            texture = codec.borrows_texture
            stacks.append(assemble(one, its_plan, row, layers, detail=detail, texture=texture, tell=tell, kept=kept))
        images: list[Any] = [stack.compose() for stack in stacks]
        if output_type == "pil":
            images = [Image.fromarray(pixels) for pixels in images]
        self.maybe_free_model_hooks()
        return MildPipelineOutput(images=images, stacks=stacks) if return_dict else (images, stacks)

    def check_inputs(
        self, image: Any, mask_image: Any, scene: Any, plan: Any, steps: int, resolution: int
    ) -> tuple[list[Scene], list[Plan]]:
        """Bring either form of input to one scene and one plan per photo."""
        if steps < 1:
            raise UsageError("num_inference_steps must be at least 1.")
        if (scene is None) != (plan is None) or (scene is None) == (image is None):
            raise UsageError("Give either image and mask_image, or scene and plan.")
        if scene is not None:
            scenes, plans = inputs.listed(scene), inputs.listed(plan)
            if len(scenes) != len(plans):
                raise UsageError(f"There are {len(scenes)} scenes but {len(plans)} plans.")
            return scenes, plans
        images, masks = inputs.listed(image), inputs.listed(mask_image)
        if mask_image is None or len(images) != len(masks):
            raise UsageError("Give one mask_image (white = erase) for every image.")
        scenes = [inputs.marked(Photo.of(i), m) for i, m in zip(images, masks, strict=True)]
        return scenes, [plan_layers(s, (1,), EXACT, resolution=resolution) for s in scenes]

    def check_sampling(self, guidance: float, strength: float, output_type: str, tensors: Sequence[str]) -> None:
        """Are the numbers and names of a call such as can be meant?"""
        if not 0 < strength <= 1:
            raise UsageError("strength must be above 0 and at most 1.")
        if not 0 <= guidance <= 100:
            raise UsageError("guidance_scale must be between 0 and 100; 1 switches guidance off.")
        if output_type not in ("pil", "np"):
            raise UsageError(f"output_type is 'pil' or 'np', not '{output_type}'.")
        unknown = sorted(set(tensors) - set(self._callback_tensor_inputs))
        if unknown:
            raise UsageError(f"A callback can be given {', '.join(self._callback_tensor_inputs)}, not {unknown[0]}.")

    def encode_prompt(
        self, plans: Sequence[Plan], prompt: Words, negative_prompt: Words, guidance: float
    ) -> Mapping[str, DomainText] | None:
        """The words of every domain in the plans, each encoded once; None for a backbone without text encoders."""
        tokenizers, encoders = self._text_parts()
        if not encoders:
            return None
        device = self._execution_device
        encoded: dict[str, DomainText] = {}
        for domain in dict.fromkeys(row.domain for plan in plans for row in plan.layers):
            words = prompts.words_for(domain, prompt, prompts.PROMPTS)
            others = prompts.words_for(domain, negative_prompt, prompts.NEGATIVE_PROMPTS)
            tokens, pooled = prompts.encode_text(words, tokenizers, encoders, device)
            if guidance <= 1:
                no_tokens, no_pooled = tokens, pooled
            elif not others and pooled is not None and self.config.force_zeros_for_empty_prompt:
                no_tokens, no_pooled = torch.zeros_like(tokens), torch.zeros_like(pooled)
            else:
                no_tokens, no_pooled = prompts.encode_text(others, tokenizers, encoders, device)
            encoded[domain] = DomainText(tokens, no_tokens, pooled, no_pooled).to(device, self.unet.dtype)
        return encoded

    def prepare_latents(self, plan: LayerPlan, generator: torch.Generator) -> torch.Tensor:
        """Unit noise ``[1, C, h, w]`` of one row, from the generator's device (a CPU's gives the same everywhere)."""
        codec = self.layer_codec
        shape = (1, codec.latent_channels, plan.bucket[0] // codec.factor, plan.bucket[1] // codec.factor)
        return torch.randn(shape, generator=generator, device=generator.device).cpu()

    def _modulation(self) -> Any:
        if self.modulation is None and self.codec is None:
            return FixedModulation(self.unet)
        return self.modulation

    def _text_parts(self) -> tuple[list[Any], list[Any]]:
        """Tokenizers and text encoders, those that there are."""
        pairs = [(self.tokenizer, self.text_encoder), (self.tokenizer_2, self.text_encoder_2)]
        pairs = [(tokenizer, encoder) for tokenizer, encoder in pairs if encoder is not None]
        return [tokenizer for tokenizer, _ in pairs], [encoder for _, encoder in pairs]
