"""The nodes. Images are float tensors ``[B, H, W, 3]`` in 0..1, masks ``[B, H, W]``; a batch's first image is taken."""

from __future__ import annotations

import importlib
from typing import Any

try:
    io: Any = importlib.import_module("comfy_api.v0_0_2").io
except ImportError:
    io = importlib.import_module("comfy_api.latest").io

PEOPLE, STACK = io.Custom("MILD_PEOPLE"), io.Custom("MILD_STACK")
WHO = ["everybody", "bystanders", "the numbers", "all but the numbers"]


def photo_of(image: Any) -> Any:
    """A MILD photo of ComfyUI's image."""
    import numpy as np

    from mild.photo import Photo

    return Photo.from_array(np.clip(np.rint(image[0].cpu().numpy() * 255), 0, 255).astype(np.uint8))


def image_of(pixels: Any) -> Any:
    """ComfyUI's image of uint8 ``[H, W, 3]``."""
    import numpy as np
    import torch

    return torch.from_numpy(np.ascontiguousarray(pixels)).float()[None] / 255


def mask_of(mask: Any) -> Any:
    """ComfyUI's mask of ``[H, W]``, bool or 0..255."""
    import numpy as np
    import torch

    values = np.asarray(mask)
    return torch.from_numpy(values.astype(np.float32) / (1 if values.dtype == bool else 255))[None]


def numbers_of(text: str) -> tuple[int, ...]:
    """``1, 3`` as numbers."""
    try:
        return tuple(int(part) for part in text.replace(",", " ").split())
    except ValueError:
        raise ValueError(f"People are whole numbers like 1, 3, not {text!r}.") from None


class FindPeople(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> Any:
        return io.Schema(
            node_id="MildFindPeople",
            display_name="Find people (MILD)",
            category="image/MILD",
            description="Everybody in the photo, numbered, with a picture of the numbers and a table.",
            inputs=[io.Image.Input("image")],
            outputs=[PEOPLE.Output(display_name="people"), io.Image.Output(display_name="numbered"),
                     io.String.Output(display_name="table")],
        )  # fmt: skip

    @classmethod
    def execute(cls, image: Any) -> Any:
        import json

        from mild.people.find import draw_overlay, find_people

        scene = find_people(photo_of(image))
        return io.NodeOutput(scene, image_of(draw_overlay(scene, ())), json.dumps(scene.summary()))


class ChoosePeople(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> Any:
        return io.Schema(
            node_id="MildChoosePeople",
            display_name="Choose people (MILD)",
            category="image/MILD",
            description="Whom a mask covers: everybody, the bystanders, or people by their numbers.",
            inputs=[PEOPLE.Input("people"), io.Combo.Input("who", options=WHO),
                    io.String.Input("numbers", default="1")],
            outputs=[io.Mask.Output(display_name="mask")],
        )  # fmt: skip

    @classmethod
    def execute(cls, people: Any, who: str, numbers: str) -> Any:
        from mild.people.selection import select
        from mild.request import Selection

        fields: dict[str, Any] = {
            "everybody": {"everyone": True},
            "bystanders": {"bystanders": True},
            "the numbers": {"people": numbers_of(numbers)},
            "all but the numbers": {"keep": numbers_of(numbers)},
        }[who]
        scene, chosen = select(people, Selection(**fields))
        return io.NodeOutput(mask_of(scene.mask_of(chosen)))


class Erase(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> Any:
        return io.Schema(
            node_id="MildErase",
            display_name="Erase people (MILD)",
            category="image/MILD",
            description="What is white in the mask leaves the photo; beyond a narrow soft edge nothing changes.",
            inputs=[io.Image.Input("image"), io.Mask.Input("mask"),
                    io.Int.Input("seed", default=0, min=0, max=2**31 - 1)],
            outputs=[io.Image.Output(display_name="image"), STACK.Output(display_name="stack")],
        )  # fmt: skip

    @classmethod
    def execute(cls, image: Any, mask: Any, seed: int) -> Any:
        from mild.people.finders.coco import encode_rle
        from mild.request import EraseRequest
        from mild.road import run

        white = mask[0].cpu().numpy() > 0.5
        request = EraseRequest.build(selection={"mask_rle": encode_rle(white)}, seed=seed)
        result = run(request, photo_of(image))
        return io.NodeOutput(image_of(result.photo.pixels), result.stack)


class TakeApart(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> Any:
        return io.Schema(
            node_id="MildTakeApart",
            display_name="Take people apart (MILD)",
            category="image/MILD",
            description="The background without anybody, and one complete layer per person.",
            inputs=[io.Image.Input("image"), io.Int.Input("seed", default=0, min=0, max=2**31 - 1)],
            outputs=[STACK.Output(display_name="stack"), io.Int.Output(display_name="people")],
        )  # fmt: skip

    @classmethod
    def execute(cls, image: Any, seed: int) -> Any:
        from mild.request import EraseRequest
        from mild.road import decompose

        stack = decompose(EraseRequest.build(seed=seed), photo_of(image)).stack
        return io.NodeOutput(stack, len(stack.people))


class LayerOf(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> Any:
        return io.Schema(
            node_id="MildLayer",
            display_name="Layer as image and mask (MILD)",
            category="image/MILD",
            description="In the photo's frame; 0 is the background without anybody, then the people, back to front.",
            inputs=[STACK.Input("stack"), io.Int.Input("layer", default=0, min=0, max=99)],
            outputs=[io.Image.Output(display_name="image"), io.Mask.Output(display_name="mask")],
        )  # fmt: skip

    @classmethod
    def execute(cls, stack: Any, layer: int) -> Any:
        import numpy as np

        if layer >= len(stack.layers):
            raise ValueError(f"The stack has layers 0 to {len(stack.layers) - 1}, no {layer}.")
        chosen = stack.layers[layer]
        if chosen.kind == "background":
            everybody = [person.owner for person in stack.people]
            return io.NodeOutput(image_of(stack.compose(everybody)), mask_of(np.ones(stack.size, bool)))
        rgba = np.zeros((*stack.size, 4), np.uint8)
        rgba[chosen.box.slices] = chosen.rgba
        return io.NodeOutput(image_of(rgba[..., :3]), mask_of(rgba[..., 3]))


NODES = (FindPeople, ChoosePeople, Erase, TakeApart, LayerOf)
