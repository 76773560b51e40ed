"""MILD: chosen people leave a photo, layer by layer; everybody else, and everything else, stays exactly as it was.

import mild

mild.erase("group.jpg", people=[2]).save("out.png")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from mild import machine, moved
from mild.extras import needs

if TYPE_CHECKING:
    from mild.diffusion.pipeline import MildPipeline
    from mild.errors import Cancelled, MildError, UsageError
    from mild.layers import Layer, LayerStack
    from mild.library import build_request, erase
    from mild.people.find import find_people, select
    from mild.people.scene import Box, Person, Scene
    from mild.photo import Photo
    from mild.request import EraseRequest
    from mild.result import EraseResult
    from mild.road import decompose, run
    from mild.runtimes import Models
    from mild.session import Session

# Before any library is loaded: they read the environment when they are imported.
machine.settle()
moved.install()

__version__ = "0.1.0"

#: Public name -> module. Loaded on first use: `import mild` costs nothing.
_PUBLIC = {
    "Box": "mild.people.scene",
    "Cancelled": "mild.errors",
    "EraseRequest": "mild.request",
    "EraseResult": "mild.result",
    "Layer": "mild.layers",
    "LayerStack": "mild.layers",
    "MildError": "mild.errors",
    "MildPipeline": "mild.diffusion.pipeline",
    "Models": "mild.runtimes",
    "Person": "mild.people.scene",
    "Photo": "mild.photo",
    "Scene": "mild.people.scene",
    "Session": "mild.session",
    "UsageError": "mild.errors",
    "build_request": "mild.library",
    "decompose": "mild.road",
    "erase": "mild.library",
    "find_people": "mild.people.find",
    "run": "mild.road",
    "select": "mild.people.find",
}

__all__ = [
    "Box", "Cancelled", "EraseRequest", "EraseResult", "Layer", "LayerStack", "MildError", "MildPipeline", "Models",
    "Person", "Photo", "Scene", "Session", "UsageError", "__version__", "build_request", "decompose", "erase",
    "find_people", "run", "select",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    module = _PUBLIC.get(name)
    if module is None:
        raise AttributeError(f"module 'mild' has no attribute {name!r}")
    with needs(f"mild.{name}", "torch"):
        value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
