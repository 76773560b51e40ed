"""From a stack to the photo that is written: pixels, alpha and metadata of the same choice of people."""

from __future__ import annotations

from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray

from mild.layers.stack import LayerStack
from mild.photo import Photo
from mild.photo.credentials import Signer
from mild.photo.edit import Told
from mild.photo.mark import Mark
from mild.request import EraseRequest, Method, Output


def finish(photo: Photo, stack: LayerStack, request: EraseRequest) -> tuple[Photo, Told]:
    """The photo as the stack shows it, and what happened to its metadata.

    Args:
        photo: the input, with all it said of itself.
        stack: of this photo; whom it hides is erased.
        request: its ``output`` says how much metadata stays; its method, whether a model made pixels.
    """
    return finished(photo, stack, request.output, model_of(request.method))


def finished(photo: Photo, stack: LayerStack, output: Output, model: str | None) -> tuple[Photo, Told]:
    """:func:`finish` for a stack of which no request is known; ``model`` is who made pixels, or None."""
    changed = bool(stack.hidden or stack.raised)
    erased = stack.change_matte(stack.hidden) > 0 if stack.hidden else None
    return photo.edited(
        stack.compose(),
        erased,
        shown=None if photo.alpha is None else people_seen(stack),
        metadata=output.metadata,
        mark=Mark.now(model) if output.mark and changed else None,
        signer=signer_of(output) if changed else None,
    )


def signer_of(output: Output) -> Signer | None:
    """Who signs the written photo, when somebody shall."""
    if output.sign_cert is None or output.private_key is None:
        return None
    return Signer(output.sign_cert, output.private_key)


def mark_of(request: EraseRequest) -> Mark | None:
    """What a file of this job's layers says of them, as the request wants it."""
    return Mark.now(model_of(request.method)) if request.output.mark else None


def model_of(method: Method) -> str | None:
    """What the mark calls the model: its name, never a path of this machine; None when none made pixels."""
    return PurePath(method.model.name).name if method.parts.denoise else None


def people_seen(stack: LayerStack) -> NDArray[np.bool_]:
    """Where ``[H, W]`` somebody with a layer is to be seen, hidden parts included."""
    out = np.zeros(stack.size, bool)
    for layer in stack.people:
        if layer.owner not in stack.hidden:
            out[layer.box.slices] |= layer.rgba[..., 3] > 127
    return out
