"""MildPipeline: from a scene and a plan to a stack of layers, as a diffusers pipeline.

All layers go through one UNet: layers of one canvas size are rows of one batch, each with its own adapter, in one
forward per step. Rows of several photos share batches too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline
from diffusers.utils import BaseOutput
from PIL import Image

from mild.diffusion.adapters import DomainAdapters
from mild.diffusion.assemble import CleanLayer, assemble
from mild.diffusion.attention import SmaTerms, SpatialModulation
from mild.diffusion.cag import CagProbe
from mild.diffusion.cag_paths import probed_rows
from mild.diffusion.canvas import LayerCrop, content_of, stack_rows
from mild.diffusion.codec import PixelCodec
from mild.diffusion.denoiser import Denoiser
from mild.diffusion.plan import LayerPlan, Plan, plan_layers
from mild.diffusion.prior import exemplar_fill
from mild.diffusion.schedule import signal_of
from mild.errors import Cancelled, MildError, UsageError
from mild.layers import LayerStack
from mild.photo import Photo
from mild.request import Region
from mild.scene import Person, Scene

Progress = Callable[[str, float], None]


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
    """Multi-layer erasing.

    Args:
        unet: predicts a correction of the prior, in the codec's latents.
        scheduler: any diffusers scheduler that takes clean-sample predictions.
        codec: RGBA layers <-> latents.
        adapters: one LoRA per domain.
        modulation: the SMA amplitudes.
    """

    model_cpu_offload_seq = "unet"
    _callback_tensor_inputs = ("latents",)

    def __init__(
        self, unet: Any, scheduler: Any, codec: PixelCodec, adapters: DomainAdapters, modulation: SpatialModulation
    ) -> None:
        super().__init__()
        self.register_modules(unet=unet, scheduler=scheduler, codec=codec, adapters=adapters, modulation=modulation)

    @torch.no_grad()
    def __call__(
        self,
        image: Any = None,
        mask_image: Any = None,
        *,
        scene: Scene | Sequence[Scene] | None = None,
        plan: Plan | Sequence[Plan] | None = None,
        num_inference_steps: int = 4,
        generator: torch.Generator | list[torch.Generator] | None = None,
        prior: bool = True,
        denoise: bool = True,
        detail: bool = True,
        use_adapters: bool = True,
        sma: SmaTerms = "on",
        resolution: int = 256,
        rows_per_batch: int = 8,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: Callable[[Any, int, Any, dict[str, Any]], dict[str, Any]] | None = None,
        progress: Progress | None = None,
        probe: CagProbe | None = None,
    ) -> MildPipelineOutput | tuple[list[Any], list[LayerStack]]:
        """Erase.

        Either ``image`` and ``mask_image`` (white = erase; single or lists, anything :class:`mild.photo.Photo` takes),
        or ``scene`` and ``plan``, which say more: who is there, who is to be completed.

        Args:
            num_inference_steps: denoising steps.
            generator: seeds the noise and the exemplar search; one, or one per photo.
            prior, denoise, detail, use_adapters, sma: switches of the method (see :class:`mild.request.Method`).
            resolution: long side of the canvas, when the plan is made here.
            rows_per_batch: at most so many layers in one forward.
            callback_on_step_end: as in diffusers; setting ``pipe._interrupt = True`` in it stops the job.
            progress: called with a stage's name and the fraction of it that is done.
            probe: measures where the layers' attention goes; the result is the same without it.

        Raises:
            UsageError: inputs that do not fit.
            Cancelled: the job was interrupted.
        """
        scenes, plans = self.check_inputs(image, mask_image, scene, plan, num_inference_steps, resolution)
        if not (prior or denoise):
            raise UsageError("Both the exemplar fill and the denoiser are off: leave at least one on.")
        self._interrupt = False
        tell = progress or (lambda stage, fraction: None)
        generators = self._generators(generator, len(scenes))
        crops: list[list[LayerCrop]] = []
        for number, (one, its_plan, source) in enumerate(zip(scenes, plans, generators, strict=True)):
            crops.append(
                self.prepare_crops(
                    one, its_plan, source, prior, lambda f, n=number: tell("fill", (n + f) / len(scenes))
                )
            )
        clean: list[list[CleanLayer | None]] = [[None] * len(row) for row in crops]
        if denoise:
            noises = [[self.prepare_latents(c.plan, g) for c in row] for row, g in zip(crops, generators, strict=True)]
            jobs = [(i, j) for i, row in enumerate(crops) for j in range(len(row))]
            batches = _batched(jobs, lambda ij: crops[ij[0]][ij[1]].plan.bucket, rows_per_batch)
            for number, batch in enumerate(batches):
                done = self._denoise(
                    [crops[i][j] for i, j in batch],
                    torch.cat([noises[i][j] for i, j in batch]),
                    num_inference_steps,
                    use_adapters,
                    sma,
                    callback_on_step_end,
                    lambda f, n=number: tell("denoise", (n + f) / len(batches)),
                    probe,
                )
                for (i, j), layer in zip(batch, done, strict=True):
                    clean[i][j] = layer
        stacks = []
        for one, its_plan, row, layers in zip(scenes, plans, crops, clean, strict=True):
            stacks.append(assemble(one, its_plan, row, layers, detail=detail and prior))
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
            scenes, plans = _listed(scene), _listed(plan)
            if len(scenes) != len(plans):
                raise UsageError(f"There are {len(scenes)} scenes but {len(plans)} plans.")
            return scenes, plans
        images, masks = _listed(image), _listed(mask_image)
        if mask_image is None or len(images) != len(masks):
            raise UsageError("Give one mask_image (white = erase) for every image.")
        scenes = [_marked(Photo.of(i), m) for i, m in zip(images, masks, strict=True)]
        return scenes, [plan_layers(s, (1,), Region(), resolution=resolution) for s in scenes]

    def prepare_crops(
        self, scene: Scene, plan: Plan, generator: torch.Generator, prior: bool, tell: Callable[[float], None]
    ) -> list[LayerCrop]:
        """Cut every layer's crop and fill its hole from its own pixels."""
        seed = int(torch.randint(2**31, (1,), generator=generator))
        crops = []
        for number, row in enumerate(plan.layers):
            tell(number / len(plan.layers))
            pixels = scene.photo.pixels[row.crop.slices]
            fill = exemplar_fill(pixels, row.own, row.hole, seed=seed) if prior else None
            crops.append(LayerCrop(row, pixels, fill))
        tell(1.0)
        return crops

    def prepare_latents(self, plan: LayerPlan, generator: torch.Generator) -> torch.Tensor:
        """Noise ``[1, C, h, w]`` of one row, drawn on the CPU so that every device gives the same."""
        factor = self.codec.factor
        shape = (1, self.codec.latent_channels, plan.bucket[0] // factor, plan.bucket[1] // factor)
        return torch.randn(shape, generator=generator) * self.scheduler.init_noise_sigma

    def _denoise(
        self,
        crops: list[LayerCrop],
        latents: torch.Tensor,
        steps: int,
        use_adapters: bool,
        sma: SmaTerms,
        callback: Any,
        tell: Callable[[float], None],
        probe: CagProbe | None = None,
    ) -> list[CleanLayer]:
        device, dtype = self._execution_device, self.unet.dtype
        rows = stack_rows(crops).to(device, dtype)
        latents = latents.to(device, dtype)
        # Schedulers keep state; a copy per batch keeps the registered one as it was.
        scheduler = type(self.scheduler).from_config(self.scheduler.config)
        scheduler.set_timesteps(steps, device=device)
        adapters = self.adapters if use_adapters else None
        denoiser = Denoiser(self.unet, self.codec, adapters, self.modulation, sma, probe)
        if probe is not None:
            probe.start(probed_rows([crop.plan for crop in crops]))
        with denoiser.installed(rows) as predict:
            for number, timestep in enumerate(scheduler.timesteps):
                steps_now = timestep.expand(len(rows))
                clean = predict(latents, steps_now, signal_of(scheduler, steps_now))
                latents = scheduler.step(clean, timestep, latents).prev_sample
                if callback is not None:
                    latents = callback(self, number, timestep, {"latents": latents}).get("latents", latents)
                tell((number + 1) / len(scheduler.timesteps))
                if self._interrupt:
                    raise Cancelled("The job was stopped; nothing was written.")
        answer = self.codec.decode(clean)
        if not torch.isfinite(answer).all():
            raise MildError("The denoiser returned values that are not numbers; try float32 or other weights.")
        return [
            CleanLayer(
                content_of(answer[i], crop.plan),
                content_of(rows.fill[i], crop.plan),
                content_of(rows.hole[i], crop.plan)[..., 0] > 0,
            )
            for i, crop in enumerate(crops)
        ]

    def _generators(self, generator: Any, count: int) -> list[torch.Generator]:
        if isinstance(generator, list):
            if len(generator) != count:
                raise UsageError(f"There are {count} photos but {len(generator)} generators.")
            return generator
        if generator is None:
            generator = torch.Generator().manual_seed(0)
        if count == 1:
            return [generator]
        seeds = torch.randint(2**31, (count,), generator=generator).tolist()
        return [torch.Generator().manual_seed(seed) for seed in seeds]


def _batched(items: list[Any], key: Callable[[Any], Any], most: int) -> list[list[Any]]:
    groups: dict[Any, list[Any]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return [group[i : i + most] for group in groups.values() for i in range(0, len(group), most)]


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _marked(photo: Photo, mask: Any) -> Scene:
    """A scene whose only "person" is the white of the mask."""
    array = np.asarray(mask.convert("L") if isinstance(mask, Image.Image) else mask)
    if array.ndim == 3:
        array = array.max(2)
    white = array if array.dtype == bool else array > (0.5 if array.dtype.kind == "f" else 127)
    if white.shape != photo.size:
        raise UsageError(f"The mask is {white.shape[::-1]} but the photo is {photo.size[::-1]} (width, height).")
    return Scene(photo, (Person.from_mask(1, white),))
