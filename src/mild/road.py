"""The road, from photo to photo: find people, plan layers, make them, compose.

    photo -> people -> Scene -> plan_layers -> Plan -> OneStep or MildPipeline -> LayerStack -> photo

Whoever reads :func:`run` has read the program.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mild.errors import UsageError
from mild.fill import fillers
from mild.fill.canvas import cut_layers
from mild.layers import LayerStack
from mild.layers.finish import finish, signer_of
from mild.models import assets
from mild.paint.assemble import assemble
from mild.people.find import find_people, missing, select
from mild.people.parsing import with_parts
from mild.people.scene import Scene
from mild.photo import Photo, PhotoLike
from mild.plan.joints import looked_again
from mild.plan.kept import Kept
from mild.plan.planning import Plan, plan_layers
from mild.progress import Clock, Progress
from mild.request import EraseRequest, Method
from mild.result import EraseResult
from mild.runtimes import Models, canvas_budget, chosen_runtime, torch_device
from mild.shots.evidence import gather

if TYPE_CHECKING:
    from mild.diffusion.cag import CagProbe


def run(
    request: EraseRequest,
    photo: PhotoLike | None = None,
    *,
    scene: Scene | None = None,
    progress: Progress | None = None,
    probe: CagProbe | None = None,
    models: Models | None = None,
    kept: Kept | None = None,
) -> EraseResult:
    """Erase the chosen people.

    Args:
        request: the whole job.
        photo: the photo, when ``request.photo`` is None: a path, bytes, a Pillow image, an array or a photo.
        scene: the people, when they are known already; then nobody is searched for.
        progress: called with a stage's name (of :data:`mild.progress.STAGES`, or ``layers``, which frames some of them)
            and the fraction of it that is done, a :class:`mild.progress.Share`, which also knows the seconds that
            remain; raising :class:`mild.errors.Cancelled` in it stops the job.
        probe: measures where the layers' attention goes; costs nothing when it is not there.
        models: those in memory; None: what this job needs is loaded for it alone.
        kept: what earlier questions about this photo made; the pixels are the same without.

    Raises:
        MildError: one sentence that says what is wrong.
    """
    if request.selection.empty:
        raise UsageError("Nobody is chosen: say who goes, by number, point, box or mask, or whom to keep.")
    if (signer := signer_of(request.output)) is not None:
        signer.check()
    clock = _clock(progress, request, scene)
    with clock.stage("find"):
        photo = _opened(request, photo)
        scene = _searched(photo, request) if scene is None else scene
        scene, erased = select(scene, request.selection)
    with clock.stage("plan"):
        plan = _planned(scene, erased, request)
    evidence = None
    if request.also:
        with clock.stage("also"):
            evidence = gather(request.also, scene, plan, request.finder)
    if evidence is None:
        stack, runtime = _made(scene, plan, request, clock, probe, models, kept)
    else:
        # What is kept is kept of the photo alone.
        stack, runtime = _made(evidence.scene, evidence.plan, request, clock, probe, models, None)
        stack = evidence.shown(stack)
    with clock.stage("compose"):
        result, told = finish(photo, stack, request)
    seen = None if evidence is None else evidence.share
    return EraseResult(result, scene, erased, stack, plan, request, clock.seconds, runtime, seen, told)


def decompose(
    request: EraseRequest,
    photo: PhotoLike | None = None,
    *,
    scene: Scene | None = None,
    progress: Progress | None = None,
    models: Models | None = None,
    kept: Kept | None = None,
) -> EraseResult:
    """Take the photo apart: the background without anybody, and every sure (or named) person complete.

    The photo comes back unchanged; nobody is hidden until somebody says so. Arguments as of :func:`run`.
    """
    clock = _clock(progress, request, scene)
    with clock.stage("find"):
        photo = _opened(request, photo)
        scene = _searched(photo, request) if scene is None else scene
        if request.selection.empty:
            everyone = tuple(person.id for person in scene.sure)
            if not everyone:
                raise UsageError("Nobody was surely found in this photo: mark people by a box, a point or a mask.")
        else:
            # A layer is a person; what they hold is the background's, or is cut out by the user (``also``).
            scene, everyone = select(scene, request.selection.model_copy(update={"things": False}))
    with clock.stage("plan"):
        plan = _planned(scene, everyone, request, complete=everyone)
    stack, runtime = _made(scene, plan, request, clock, None, models, kept)
    stack = LayerStack(stack.photo, stack.layers, frozenset())
    result, told = finish(photo, stack, request)
    return EraseResult(result, scene, (), stack, plan, request, clock.seconds, runtime, metadata=told)


def _clock(progress: Progress | None, request: EraseRequest, scene: Scene | None) -> Clock:
    found = scene is not None or request.finder.backend == "none"
    return Clock(progress, skipped=("find",) if found else ())


def _opened(request: EraseRequest, photo: PhotoLike | None) -> Photo:
    if photo is not None:
        return Photo.of(photo)
    if request.photo is None:
        raise UsageError("The request names no photo.")
    return Photo.open(request.photo)


def _searched(photo: Photo, request: EraseRequest) -> Scene:
    """Who is in the photo. For marks nobody need be found: where the finder's weights are missing, nobody is."""
    if request.selection.marked and request.finder.backend == "auto" and missing(request.finder) is not None:
        return Scene(photo)
    return find_people(photo, request.finder)


def _planned(
    scene: Scene, erased: tuple[int, ...], request: EraseRequest, complete: tuple[int, ...] | None = None
) -> Plan:
    return plan_layers(
        scene,
        erased,
        request.region,
        resolution=request.method.sampling.resolution,
        people_layers=request.method.parts.layers,
        complete=complete,
        budget=canvas_budget(request.method.model.name),
    )


def _made(
    scene: Scene,
    plan: Plan,
    request: EraseRequest,
    clock: Clock,
    probe: CagProbe | None,
    models: Models | None,
    kept: Kept | None,
) -> tuple[LayerStack, str]:
    """Run the model on the plan: the layers, and what made them."""
    method, parts = request.method, request.method.parts
    with clock.stage("load"):
        filler = fillers.load(parts.fill)
    if filler is not None and not parts.prior:
        raise UsageError(f"The first fill is switched off, so {parts.fill} cannot make it; say one of the two.")
    correct = _corrected(method, filler)
    people = any(layer.domain == "person" for layer in plan.layers)
    if probe is None and not (parts.denoise and (correct or people)):
        return _filled(scene, plan, request, clock, filler, kept), "none"
    runtime = chosen_runtime(method, probed=probe is not None)
    models = Models() if models is None else models
    with clock.stage("load"):
        model: Any = models.one_step(method.model) if runtime == "onnx" else models.pipeline(method.model)
    guided = getattr(model, "morphology", None) is not None
    if guided and (parts.hmg == "all" or "pose" in parts.hmg):
        with clock.stage("parse"):
            scene = looked_again(scene, plan)
    if guided and (parts.hmg == "all" or "parsing" in parts.hmg):
        with clock.stage("parse"):
            scene = with_parts(scene, [layer.owner for layer in plan.layers if layer.owner is not None])
    switches: dict[str, Any] = {"prior": parts.prior, "detail": parts.detail, "hmg": parts.hmg, "kept": kept}
    switches |= {"filler": filler, "correct": correct}
    with clock.stage("layers"):
        if runtime == "onnx":
            made: LayerStack = model(scene, plan, seed=request.seed, progress=clock, **switches)
            return made, f"onnx {model.device}"
        import torch

        output = model(
            scene=scene,
            plan=plan,
            num_inference_steps=method.sampling.steps,
            generator=torch.Generator().manual_seed(request.seed),
            denoise=parts.denoise,
            use_adapters=parts.adapters,
            sma=parts.sma,
            prompt=method.text.prompt,
            negative_prompt=method.text.negative_prompt,
            guidance_scale=method.text.guidance,
            strength=method.sampling.strength,
            output_type="np",
            progress=clock,
            probe=probe,
            **switches,
        )
    stack: LayerStack = output.stacks[0]
    return stack, f"torch {torch_device(method.model)}"


def _corrected(method: Method, filler: fillers.Filler | None) -> bool:
    """Does the denoiser go over backgrounds? The embedded model's correction of a fill did not win by eye."""
    parts = method.parts
    if not parts.prior:
        return True
    if parts.correct is not None:
        return parts.correct
    return not assets.is_embedded(method.model.name) if filler is None else filler.correct


def _filled(
    scene: Scene, plan: Plan, request: EraseRequest, clock: Clock, filler: fillers.Filler | None, kept: Kept | None
) -> LayerStack:
    """The plan's layers from their fills alone; no model is loaded.

    Raises:
        UsageError: the fill is off as well.
    """
    parts = request.method.parts
    if not parts.prior:
        raise UsageError("Both the exemplar fill and the denoiser are off: leave at least one on.")
    with clock.stage("layers"):
        crops = cut_layers(scene, plan, request.seed % 2**32, lambda done: clock("fill", done), kept, filler)
        clean = [None] * len(crops)
        return assemble(
            scene, plan, crops, clean, detail=parts.detail, tell=lambda done: clock("paint", done), kept=kept
        )
