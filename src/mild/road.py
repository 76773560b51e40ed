"""The road, from photo to photo: find people, plan layers, make them, compose.

    photo -> perception -> Scene -> plan_layers -> Plan -> MildPipeline -> LayerStack -> photo

Whoever reads :func:`run` has read the program.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mild.diffusion import one_step
from mild.errors import UsageError
from mild.layers import LayerStack
from mild.models import assets
from mild.pace import Pace, planned, unplanned
from mild.people.find import find_people, select
from mild.people.parsing import with_parts
from mild.people.scene import Scene
from mild.photo import Photo
from mild.plan.planning import Plan, plan_layers
from mild.request import EraseRequest, Method

if TYPE_CHECKING:
    from mild.diffusion.cag import CagProbe
    from mild.diffusion.pipeline import MildPipeline

Progress = Callable[[str, float], None]
#: Canvas pixels of all layers of a job, as a multiple of one pass over the photo, where denoising is what a job costs.
SHARED_BUDGET = 1.1


@dataclass(frozen=True)
class EraseResult:
    """What one job gave.

    Attributes:
        photo: the edited photo, with the input's metadata.
        scene: who was found, and who was added by hand.
        erased: numbers of those who went; empty for a decomposition.
        stack: the layers.
        plan: which layers were made, from what.
        request: the complete request; running it again gives the same pixels.
        seconds: wall time per stage.
    """

    photo: Photo
    scene: Scene
    erased: tuple[int, ...]
    stack: LayerStack
    plan: Plan
    request: EraseRequest
    seconds: dict[str, float] = field(default_factory=dict)

    def save(self, path: str | Path, *, overwrite: bool = True) -> Path:
        """Write the edited photo; the format is the suffix's."""
        return self.photo.save(path, overwrite=overwrite)

    def report(self) -> dict[str, Any]:
        """A JSON-able account of the job."""
        changed = int((self.photo.pixels != self.stack.photo).any(2).sum())
        height, width = self.scene.size
        return {
            "size": {"width": width, "height": height},
            "people": self.scene.summary(),
            "erased": list(self.erased),
            "completed": [row.owner for row in self.plan.layers if row.domain == "person"],
            "layers": [
                {"domain": row.domain, "owner": row.owner, "crop": list(row.crop), "canvas": list(row.bucket)}
                for row in self.plan.layers
            ],
            "changed_pixels": changed,
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
            "request": self.request.model_dump(mode="json"),
        }


def run(
    request: EraseRequest,
    photo: Photo | None = None,
    *,
    scene: Scene | None = None,
    progress: Progress | None = None,
    probe: CagProbe | None = None,
) -> EraseResult:
    """Erase the chosen people.

    Args:
        request: the whole job.
        photo: the photo, when ``request.photo`` is None.
        scene: the people, when they are known already; then nobody is searched for.
        progress: called with a stage's name (of :data:`mild.pace.STAGES`, or ``layers``, which frames some of them)
            and the fraction of it that is done, a :class:`mild.pace.Share`, which also knows the seconds that remain;
            raising :class:`mild.errors.Cancelled` in it stops the job.
        probe: measures where the layers' attention goes; costs nothing when it is not there.

    Raises:
        MildError: one sentence that says what is wrong.
    """
    if request.selection.empty:
        raise UsageError("Nobody is chosen: say whom to erase, for example with --person 1; `mild people` lists them.")
    clock = _Clock(progress)
    with clock.stage("find"):
        photo = _opened(request, photo)
        _expect(clock.pace, request, photo, find=scene is None)
        scene = find_people(photo, request.finder) if scene is None else scene
        scene, erased = select(scene, request.selection)
    with clock.stage("plan"):
        plan = _planned(scene, erased, request)
    stack = _made(scene, plan, request, clock, probe)
    with clock.stage("compose"):
        result = photo.with_pixels(stack.compose())
    return EraseResult(result, scene, erased, stack, plan, request, clock.seconds)


def decompose(request: EraseRequest, photo: Photo | None = None, *, progress: Progress | None = None) -> EraseResult:
    """Take the photo apart: the background without anybody, and every sure (or named) person complete.

    The photo comes back unchanged; nobody is hidden until somebody says so.
    """
    clock = _Clock(progress)
    with clock.stage("find"):
        photo = _opened(request, photo)
        _expect(clock.pace, request, photo, find=True)
        scene = find_people(photo, request.finder)
        if request.selection.empty:
            everyone = tuple(person.id for person in scene.sure)
            if not everyone:
                raise UsageError("Nobody was surely found in this photo: mark people with --box, --at or --mask.")
        else:
            scene, everyone = select(scene, request.selection)
    with clock.stage("plan"):
        plan = _planned(scene, everyone, request, complete=everyone)
    stack = _made(scene, plan, request, clock)
    stack = LayerStack(stack.photo, stack.layers, frozenset())
    return EraseResult(photo, scene, (), stack, plan, request, clock.seconds)


def _opened(request: EraseRequest, photo: Photo | None) -> Photo:
    if photo is not None:
        return photo
    if request.photo is None:
        raise UsageError("The request names no photo.")
    return Photo.open(request.photo)


def _planned(
    scene: Scene, erased: tuple[int, ...], request: EraseRequest, complete: tuple[int, ...] | None = None
) -> Plan:
    return plan_layers(
        scene,
        erased,
        request.region,
        resolution=request.method.resolution,
        people_layers=request.method.layers,
        complete=complete,
        budget=canvas_budget(request.method.model),
    )


def canvas_budget(model: str) -> float | None:
    """The canvas budget of a job's plan (see :func:`plan_layers`): none for a model without an autoencoder.

    Its denoising is a twentieth of a job, and people are completed better on finer canvases.
    """
    return None if (Path(assets.model_folder(model)) / "codec").is_dir() else SHARED_BUDGET


def _made(scene: Scene, plan: Plan, request: EraseRequest, clock: _Clock, probe: CagProbe | None = None) -> LayerStack:
    """Run the model on the plan."""
    method = request.method
    runtime = chosen_runtime(method, probed=probe is not None)
    clock.pace.expect(planned(plan, method, runtime))
    model: Any  # a MildPipeline or a OneStep
    with clock.stage("load"):
        model = load_one_step(method.model) if runtime == "onnx" else load_pipeline(method.model)
    if getattr(model, "morphology", None) is not None and (method.hmg == "all" or "parsing" in method.hmg):
        with clock.stage("parse"):
            scene = with_parts(scene, [row.owner for row in plan.layers if row.owner is not None])
    switches: dict[str, Any] = {"prior": method.prior, "detail": method.detail, "hmg": method.hmg}
    with clock.stage("layers"):
        if runtime == "onnx":
            made: LayerStack = model(scene, plan, seed=request.seed, progress=clock.pace, **switches)
            return made
        import torch

        output = model(
            scene=scene,
            plan=plan,
            num_inference_steps=method.steps,
            generator=torch.Generator().manual_seed(request.seed),
            denoise=method.denoise,
            use_adapters=method.adapters,
            sma=method.sma,
            prompt=method.prompt,
            negative_prompt=method.negative_prompt,
            guidance_scale=method.guidance,
            strength=method.strength,
            output_type="np",
            progress=clock.pace,
            probe=probe,
            **switches,
        )
    stack: LayerStack = output.stacks[0]
    return stack


def chosen_runtime(method: Method, *, probed: bool = False) -> Literal["torch", "onnx"]:
    """What runs a job: onnxruntime for the embedded model's default job (no torch to load), torch for everything else.

    Raises:
        UsageError: onnx was asked for, and cannot do this.
    """
    if method.runtime == "torch":
        return "torch"
    plain = method.steps == 1 and method.denoise and method.adapters and method.sma == "on" and not probed
    if plain and one_step.available(assets.model_folder(method.model)):
        return "onnx"
    if method.runtime == "onnx":
        raise UsageError(
            "The runtime onnx does one step of mild-small with every part on, and needs onnxruntime: "
            "choose runtime torch or auto."
        )
    return "torch"


@lru_cache(maxsize=2)
def load_one_step(model: str = "mild-small") -> one_step.OneStep:
    """The single step of a model through onnxruntime, kept in memory."""
    return one_step.OneStep(assets.model_folder(model))


def unload() -> None:
    """Let go of every model that is kept in memory."""
    load_pipeline.cache_clear()
    load_one_step.cache_clear()


@lru_cache(maxsize=2)
def load_pipeline(model: str = "mild-small") -> MildPipeline:
    """The pipeline of a model, kept in memory.

    Args:
        model: ``mild-small`` (embedded), or a folder or hub id that :class:`MildPipeline` can load.
    """
    import torch

    from mild.diffusion.pipeline import MildPipeline

    folder = assets.model_folder(model)
    pipeline: MildPipeline = MildPipeline.from_pretrained(str(folder), torch_dtype=torch.float32)
    pipeline.unet.to(memory_format=torch.channels_last)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _expect(pace: Pace, request: EraseRequest, photo: Photo, *, find: bool) -> None:
    """Tell the pace what a job on such a photo takes; the plan, once made, tells it better."""
    try:
        runtime = chosen_runtime(request.method)
    except UsageError:
        return  # It is said again, aloud, where the runtime is needed.
    # Most of loading is its runtime's, once per process.
    load = {"onnx": "onnxruntime", "torch": "diffusers"}[runtime] not in sys.modules
    pixels = photo.size[0] * photo.size[1]
    searching = find and request.finder.backend != "none"
    pace.expect(unplanned(pixels, request.method, runtime, find=searching, load=load))


class _Clock:
    """Wall time per stage, and where progress is told."""

    def __init__(self, progress: Progress | None) -> None:
        self.seconds: dict[str, float] = {}
        self.pace = Pace(progress)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self.pace(name, 0.0)
        begun = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - begun
        self.pace(name, 1.0)


def erase(
    photo: Any, people: int | tuple[int, ...] | list[int] = (), *, progress: Progress | None = None, **options: Any
) -> EraseResult:
    """The library's short form: ``mild.erase("group.jpg", people=[2]).save("out.png")``.

    Args:
        photo: a path, a Pillow image, a uint8 array ``[H, W, 3]`` or a :class:`Photo`.
        people: numbers of those who go.
        options: fields of the request's parts by their own names: ``keep``, ``everyone``, ``points``, ``boxes``,
            ``mask`` (a path or a bool array), ``steps``, ``resolution``, ``seed``, ``dilate``, ``backend``, …
    """
    opened = Photo.of(photo)
    numbers = (people,) if isinstance(people, int) else tuple(people)
    request = build_request(people=numbers, **options)
    if opened.path is not None:
        request = request.model_copy(update={"photo": str(opened.path)})
    return run(request, opened, progress=progress)


def build_request(**options: Any) -> EraseRequest:
    """An :class:`EraseRequest` from flat keyword arguments, each sorted into the part that has a field of that name."""
    parts: dict[str, Any] = {"selection": {}, "finder": {}, "region": {}, "method": {}}
    for name, value in options.items():
        if isinstance(value, np.ndarray) and name == "mask":
            from mild.people.finders.coco import encode_rle

            name, value = "mask_rle", encode_rle(value.astype(bool))
        # "model" is a field of the finder too; the flat form means the denoiser's.
        for part in ("selection", "method", "region", "finder"):
            if name in EraseRequest.model_fields[part].annotation.model_fields:  # type: ignore[union-attr]
                parts[part][name] = value
                break
        else:
            parts[name] = value
    return EraseRequest.build(**parts)
