"""Any inpainting pipeline of diffusers, as it is: one path over a window or the whole photo."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mild.errors import MildError, UsageError
from mild.fill.windows import through_window
from mild.lab.bench.items import Trial
from mild.lab.bench.methods.base import Answer, options_of
from mild.models.cache import offline

_OPTIONS: dict[str, type] = {
    "steps": int, "size": int, "context": float, "guidance": float, "strength": float, "prompt": str, "negative": str,
}  # fmt: skip
_LOADING: dict[str, type] = {"pipeline": str, "lora": str, "dtype": str, "device": str, "revision": str}


class DiffusersMethod:
    """``AutoPipelineForInpainting`` on a square window around the hole.

    Args:
        pipeline: ready to be called with image, mask_image, generator, height, width.
        name: path or hub id.
        size: side of the square that the pipeline works at.
        context: visible margin around the hole, fraction of its size; large values mean the whole photo.
    """

    seeded = True

    def __init__(
        self, pipeline: Any, name: str, *, steps: int = 30, size: int = 512, context: float = 0.6,
        guidance: float = 7.5, strength: float = 1.0, prompt: str = "", negative: str = "person",
    ) -> None:  # fmt: skip
        self.pipeline, self.name, self.size, self.context = pipeline, name, size, context
        call = {"num_inference_steps": steps, "guidance_scale": guidance, "strength": strength}
        words = {"prompt": prompt, "negative_prompt": negative}
        # Not every pipeline has a strength, or words for what is not to be seen.
        known = inspect.signature(type(pipeline).__call__).parameters
        self._call = {name: value for name, value in call.items() if name in known}
        self._words = {name: value for name, value in words.items() if name in known}

    @classmethod
    def parse(cls, rest: str) -> DiffusersMethod:
        import torch
        from diffusers.pipelines.auto_pipeline import AutoPipelineForInpainting

        name, _, options = rest.partition(",")
        chosen = options_of(options, _OPTIONS | _LOADING, "diffusers")
        how = {key: chosen.pop(key) for key in _LOADING if key in chosen}
        kind = AutoPipelineForInpainting if "pipeline" not in how else _pipeline(how["pipeline"])
        loading: dict[str, Any] = {"torch_dtype": getattr(torch, how.get("dtype", "float32"), None)}
        if not isinstance(loading["torch_dtype"], torch.dtype):
            raise UsageError(f"The method diffusers: there is no dtype {how['dtype']!r}; say float32 or bfloat16.")
        if "pipeline" not in how:
            loading["safety_checker"] = None
        if "revision" in how:
            loading["revision"] = how["revision"]
        try:
            # Pickles are programs, not data.
            here = offline()
            pipeline = kind.from_pretrained(name, use_safetensors=True, local_files_only=here, **loading)
            if "lora" in how:
                pipeline.load_lora_weights(how["lora"], local_files_only=here)
            pipeline.to(how.get("device", "cpu"))
        except (OSError, ValueError) as error:
            where = "in this folder" if Path(name).is_dir() else "on this machine, and it could not be fetched"
            raise MildError(f"There is no inpainting pipeline {name!r} {where} ({error}).") from None
        pipeline.set_progress_bar_config(disable=True)
        return cls(pipeline, name, **chosen)

    def __call__(self, trial: Trial) -> Answer:
        return Answer(self._made(trial, None))

    def measure(self, trial: Trial) -> Mapping[str, Any]:
        """CAG of the single path, measured on the whole photo with the same own, hole and foreign as MILD's layers."""
        if not hasattr(self.pipeline, "unet"):
            return {}
        from mild.diffusion.cag import CagProbe
        from mild.lab.bench.methods.road import mean_cag

        probe = CagProbe()
        self._made(trial, probe)
        return mean_cag(probe)

    def _made(self, trial: Trial, probe: Any) -> NDArray[np.float32]:
        import torch

        def net(rgb: NDArray[np.uint8], hole: NDArray[np.bool_]) -> NDArray[np.float32]:
            with self._watched(trial, probe):
                out = self.pipeline(
                    image=Image.fromarray(rgb),
                    mask_image=Image.fromarray(hole.astype(np.uint8) * 255),
                    generator=torch.Generator().manual_seed(trial.seed),
                    height=self.size,
                    width=self.size,
                    output_type="np",
                    **self._words,
                    **self._call,
                )
            return np.asarray(out.images[0], np.float32)

        # The probe's masks are of the whole photo, so that is what the model must see when it is measured.
        context = self.context if probe is None else 1e3
        return through_window(trial.item.photo, trial.mask, net, (self.size, self.size), 8, context)

    def _watched(self, trial: Trial, probe: Any) -> Any:
        if probe is None:
            return nullcontext()
        from mild.diffusion.cag_paths import probed_frame, recorded
        from mild.plan.planning import plan_layers

        plan = plan_layers(trial.item.scene, trial.item.erase, trial.region)
        return recorded(self.pipeline, probe, probed_frame(trial.item.scene, plan, (self.size, self.size)))

    def about(self) -> Mapping[str, Any]:
        from importlib.metadata import version

        return {
            "pipeline": type(self.pipeline).__name__,
            "name": self.name if not Path(self.name).is_dir() else Path(self.name).name,
            "size": self.size,
            "context": self.context,
            "diffusers": version("diffusers"),
            **self._call,
            **self._words,
        }


def _pipeline(name: str) -> Any:
    """The class of diffusers of this name; :class:`UsageError` when there is no such inpainting pipeline."""
    import diffusers

    found = getattr(diffusers, name, None) if name.endswith("InpaintPipeline") else None
    if found is None:
        raise UsageError(f"diffusers has no inpainting pipeline {name!r}; such as Flux2KleinInpaintPipeline.")
    return found
