"""What the CAG probe looks at: the rows of MILD, or a whole frame that a single-path pipeline of diffusers inpaints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mild.diffusion.attention import SeenAttention, self_attentions
from mild.diffusion.cag import CagProbe, ProbedLayer
from mild.fill.canvas import shrink
from mild.people.scene import Box, Scene
from mild.plan.planning import LayerPlan, Plan

Masks = tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]


def probed_rows(plans: Sequence[LayerPlan]) -> list[ProbedLayer]:
    """The rows of one MILD batch, each on its own canvas. A canvas's padding is of no region."""
    layers = []
    for row, plan in enumerate(plans):
        h, w = plan.sizes.content
        regions = np.zeros((3, *plan.bucket), np.float32)
        for channel, mask in enumerate((plan.own, plan.hole, plan.foreign)):
            regions[channel, :h, :w] = shrink(mask.astype(np.float32), plan.sizes.content)
        layers.append(ProbedLayer(layer_name(plan), torch.from_numpy(regions), row, plan.crop, plan.sizes.content))
    return layers


def layer_name(plan: LayerPlan) -> str:
    """``background`` or ``person N``, as the report calls a layer."""
    return plan.domain if plan.owner is None else f"{plan.domain} {plan.owner}"


def probed_frame(scene: Scene, plan: Plan, canvas: tuple[int, int]) -> list[ProbedLayer]:
    """The same layers for a model that sees the whole photo as its one row: same holes, same owners, no crops.

    Args:
        canvas: ``(height, width)`` at which the model runs; the photo is taken as stretched to it.
    """
    layers = []
    for row in plan.layers:
        own, hole, foreign = frame_regions(scene, plan, row)
        maps = [_resized(mask.astype(np.float32), canvas) for mask in (own, hole, foreign)]
        box = Box(0, 0, scene.size[1], scene.size[0])
        layers.append(ProbedLayer(layer_name(row), torch.from_numpy(np.stack(maps)), 0, box, canvas))
    return layers


def frame_regions(scene: Scene, plan: Plan, row: LayerPlan) -> Masks:
    """Own, hole and foreign of one layer over the whole photo, bool ``[H, W]`` each.

    Inside the layer's crop they are the plan's. Outside, evidence is own (of a person: there is none), people are
    foreign, and other layers' holes are of no region.
    """
    own, hole, foreign = (np.zeros(scene.size, bool) for _ in range(3))
    people = scene.mask_of(p.id for p in scene.people)
    if row.domain == "background":
        own, foreign = ~people, scene.mask_of(p.id for p in scene.people if p.id not in plan.erased)
        for other in plan.layers:
            if other.domain == "background":
                own[other.crop.slices] &= ~other.hole
    else:
        foreign[:] = True
    own[row.crop.slices], hole[row.crop.slices], foreign[row.crop.slices] = row.own, row.hole, row.foreign
    return own, hole, foreign


def marked_frame(hole: Any, foreign: Any, canvas: tuple[int, int], name: str = "background") -> ProbedLayer:
    """One layer from bare masks ``[H, W]`` (bool or 0..1); what is neither hole nor foreign is own."""
    marks = [_resized(np.asarray(mask, np.float32), canvas) for mask in (hole, foreign)]
    own = np.clip(1 - marks[0] - marks[1], 0, 1)
    return ProbedLayer(name, torch.from_numpy(np.stack([own, *marks])), 0)


@contextmanager
def recorded(pipeline: Any, probe: CagProbe, layers: Sequence[ProbedLayer]) -> Iterator[CagProbe]:
    """While open, every forward of a single-path pipeline is recorded; what it computes does not change by a bit.

    Args:
        pipeline: any pipeline of diffusers with a ``unet`` (inpainting or not), or a UNet.
        layers: what to measure, at the canvas that the pipeline runs at (:func:`probed_frame`, :func:`marked_frame`).

    The UNet's own attention processors do the work and come back afterwards, whatever happens.
    """
    unet = getattr(pipeline, "unet", pipeline)
    before = dict(unet.attn_processors)
    paths = self_attentions(unet)
    watched = {
        name: Recorder(name.removesuffix(".processor"), processor, probe)
        if name.removesuffix(".processor") in paths
        else processor
        for name, processor in before.items()
    }
    probe.start(layers)
    # The UNet knows the timestep; schedulers may call it more than once a step.
    handle = unet.register_forward_pre_hook(
        lambda module, args, kwargs: probe.at(_timestep(args, kwargs)), with_kwargs=True
    )
    try:
        unet.set_attn_processor(dict(watched))
        yield probe
    finally:
        unet.set_attn_processor(dict(before))
        handle.remove()


class Recorder:
    """An attention processor that shows queries and keys to a probe and lets another one do the work."""

    def __init__(self, path: str, inner: Any, probe: CagProbe) -> None:
        self.path, self.inner, self.probe = path, inner, probe

    def __call__(
        self,
        attn: Any,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        temb: torch.Tensor | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        if encoder_hidden_states is None:
            x = hidden_states.flatten(2).transpose(1, 2) if hidden_states.ndim == 4 else hidden_states
            if attn.group_norm is not None:
                x = attn.group_norm(x.transpose(1, 2)).transpose(1, 2)
            query, key = (f(x).unflatten(-1, (attn.heads, -1)).transpose(1, 2) for f in (attn.to_q, attn.to_k))
            query = query if attn.norm_q is None else attn.norm_q(query)
            key = key if attn.norm_k is None else attn.norm_k(key)
            unused = query.new_zeros(query.shape[0], query.shape[2])
            self.probe(SeenAttention(self.path, query, key, None, None, unused, unused))
        return self.inner(attn, hidden_states, encoder_hidden_states, attention_mask, temb, *args, **kwargs)


def _timestep(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return kwargs["timestep"] if "timestep" in kwargs else args[1]


def _resized(mask: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Area means of a mask at another size, which may be larger."""
    x = torch.from_numpy(np.ascontiguousarray(mask))[None, None]
    if size[0] <= mask.shape[0] and size[1] <= mask.shape[1]:
        return shrink(mask, size)
    return np.asarray(torch.nn.functional.interpolate(x, size=size, mode="nearest")[0, 0].numpy())
