"""MILD: chosen people leave a photo, layer by layer; everybody else, and everything else, stays exactly as it was.

import mild

mild.erase("group.jpg", people=[2]).save("out.png")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mild.diffusion.pipeline import MildPipeline
    from mild.erase import EraseResult, build_request, decompose, erase, run
    from mild.errors import Cancelled, MildError, UsageError
    from mild.layers import Layer, LayerStack
    from mild.perception import find_people, select
    from mild.photo import Photo
    from mild.request import EraseRequest
    from mild.scene import Box, Person, Scene

__version__ = "0.1.0"

#: Public name -> module. Loaded on first use: `import mild` costs nothing.
_PUBLIC = {
    "Box": "mild.scene",
    "Cancelled": "mild.errors",
    "EraseRequest": "mild.request",
    "EraseResult": "mild.erase",
    "Layer": "mild.layers",
    "LayerStack": "mild.layers",
    "MildError": "mild.errors",
    "MildPipeline": "mild.diffusion.pipeline",
    "Person": "mild.scene",
    "Photo": "mild.photo",
    "Scene": "mild.scene",
    "UsageError": "mild.errors",
    "build_request": "mild.erase",
    "decompose": "mild.erase",
    "erase": "mild.erase",
    "find_people": "mild.perception",
    "run": "mild.erase",
    "select": "mild.perception",
}

__all__ = [
    "Box", "Cancelled", "EraseRequest", "EraseResult", "Layer", "LayerStack", "MildError", "MildPipeline", "Person",
    "Photo", "Scene", "UsageError", "__version__", "build_request", "decompose", "erase", "find_people", "run",
    "select",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    module = _PUBLIC.get(name)
    if module is None:
        raise AttributeError(f"module 'mild' has no attribute {name!r}")
    value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
