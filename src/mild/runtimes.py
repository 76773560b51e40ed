"""Which runtime and which device answer a job, and the models that are kept in memory between jobs.

The embedded model's default job runs through onnxruntime, without loading torch; everything else through torch. A
:class:`Models` holds what was loaded, for whoever asks more than once: a session, a server, a batch.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

from mild.diffusion import one_step
from mild.errors import UsageError
from mild.extras import needs
from mild.models import assets, onnx
from mild.request import Method, Model

if TYPE_CHECKING:
    from mild.diffusion.pipeline import MildPipeline

#: Models in memory at a time; the one that was not used for longest goes first.
MOST = 2
#: Canvas pixels of all layers of a job, as a multiple of one pass over the photo, where denoising is what a job costs.
SHARED_BUDGET = 1.1


def chosen_runtime(method: Method, *, probed: bool = False) -> Literal["torch", "onnx"]:
    """What runs a job: onnxruntime for the embedded model's default job (no torch to load), torch for everything else.

    Raises:
        UsageError: onnx was asked for, and cannot do this.
    """
    model, parts = method.model, method.parts
    if model.runtime == "torch":
        return "torch"
    # Where there are no amplitudes of attention, there is nothing to switch.
    modulated = parts.sma == "on" or not (assets.model_folder(model.name) / "modulation").is_dir()
    plain = method.sampling.steps == 1 and parts.denoise and parts.adapters and modulated and not probed
    # A device of torch's own, or another type of weights, is a wish for torch.
    plain = plain and model.device in ("auto", "cpu", "cuda") and model.dtype in ("auto", "float32")
    if plain and one_step.available(assets.model_folder(model.name)):
        if model.device != "cuda" or "CUDAExecutionProvider" in onnx.providers_here():
            return "onnx"
        if model.runtime == "onnx":
            raise UsageError(
                "This onnxruntime has no CUDA: install onnxruntime-gpu in its place, or choose the device cpu."
            )
    if model.runtime == "onnx":
        raise UsageError(
            "The runtime onnx does one step of mild-small with its adapters on, and needs onnxruntime: "
            "choose runtime torch or auto."
        )
    return "torch"


def canvas_budget(model: str) -> float | None:
    """The canvas budget of a job's plan (see :func:`plan_layers`): none for a model without an autoencoder.

    Its denoising is a twentieth of a job, and people are completed better on finer canvases.
    """
    return None if (assets.model_folder(model) / "codec").is_dir() else SHARED_BUDGET


class Models:
    """Models in memory: loaded when first asked for, kept until :meth:`unload`.

    May be used from several threads; what is loaded is shared, and one call of a model runs at a time by the caller's
    own care (diffusers pipelines are not reentrant).
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[str, ...], Any] = {}
        self._lock = threading.Lock()

    def one_step(self, model: Model) -> one_step.OneStep:
        """The single step of a model through onnxruntime.

        Raises:
            MildError: its graph and its weights do not belong together.
        """
        providers = ("CUDAExecutionProvider",) if model.device == "cuda" else ()
        return self._get(
            ("onnx", model.name, *providers),
            lambda: one_step.OneStep(assets.model_folder(model.name), providers),
        )

    def pipeline(self, model: Model) -> MildPipeline:
        """The pipeline of a model, on its device.

        Raises:
            UsageError: torch does not see this device here.
            MildError: there is no such model, or it cannot be loaded.
        """
        with needs("More than one step, a switch of the method or another model than mild-small", "torch"):
            import torch

            from mild.diffusion.pipeline import MildPipeline
        device = torch_device(model)
        kind = torch_dtype(model, device)
        # accelerate, which would load sparingly, belongs to another extra; without it diffusers would complain.
        sparing = find_spec("accelerate") is not None

        def load() -> MildPipeline:
            folder = str(assets.model_folder(model.name))
            pipeline: MildPipeline = MildPipeline.from_pretrained(
                folder, torch_dtype=getattr(torch, kind), low_cpu_mem_usage=sparing
            )
            pipeline.unet.to(memory_format=torch.channels_last)
            pipeline.set_progress_bar_config(disable=True)
            return pipeline.to(device)

        return self._get(("torch", model.name, device, kind), load)

    def loaded(self) -> tuple[str, ...]:
        """What is in memory, as ``runtime name …``."""
        with self._lock:
            return tuple(" ".join(key) for key in self._kept)

    def unload(self) -> None:
        """Let go of every model."""
        with self._lock:
            self._kept.clear()

    def _get(self, key: tuple[str, ...], load: Callable[[], Any]) -> Any:
        with self._lock:
            value = self._kept.pop(key, None)
            if value is None:
                value = load()
            self._kept[key] = value  # the last one used is the last in the order
            while len(self._kept) > MOST:
                self._kept.pop(next(iter(self._kept)))
            return value


def torch_device(model: Model) -> str:
    """The device of a torch job. ``auto``: the processor for the embedded model (it needs no more, and gives the same
    pixels on every machine); for others CUDA, then Apple's MPS, then the processor.

    Raises:
        UsageError: torch does not see the device that was asked for.
    """
    import torch

    seen = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if model.device == "auto":
        return "cpu" if assets.is_embedded(model.name) else next(name for name in seen if seen[name])
    kind, _, number = model.device.partition(":")
    if not seen[kind] or (number and int(number) >= torch.cuda.device_count()):
        raise UsageError(
            f"torch sees no device {model.device} here: choose the device cpu, or install a build of torch for it."
        )
    return model.device


def torch_dtype(model: Model, device: str) -> str:
    """The type of the weights: as asked, else 32 bits, but 16 for others' models on a GPU."""
    if model.dtype != "auto":
        return model.dtype
    return "float16" if device.startswith("cuda") and not assets.is_embedded(model.name) else "float32"
