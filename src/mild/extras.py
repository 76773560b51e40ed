"""What the plain installation leaves out, and the one sentence that names what brings it.

The packages of an extra are imported where they are used, never at the top of a module that the default job reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mild.errors import MildError

#: What the package is called on the Python index; ``mild`` there is somebody else's program.
DISTRIBUTION = "mild-erase"

_TORCH = ("torch", "diffusers", "transformers", "huggingface_hub", "safetensors")
#: Extra -> modules that it brings, as they are imported. A module of several extras is the first one's, where nobody
#: says for what it is wanted.
EXTRAS: dict[str, tuple[str, ...]] = {
    "torch": _TORCH,
    "heic": ("pillow_heif",),
    "server": ("fastapi", "starlette", "uvicorn", "prometheus_client", "python_multipart", "pillow_heif"),
    "c2pa": ("c2pa", "cryptography"),
    "stores": ("fsspec",),
    "data": ("datasets", "imagehash", "matplotlib", "skimage", "webdataset"),
    "train": (*_TORCH, "accelerate", "matplotlib", "onnx", "peft", "webdataset", "yaml"),
    "bench": ("flip_evaluator", "jinja2", "matplotlib", "statsmodels", "yaml"),
}


def sentence(what: str, *extras: str, module: str = "") -> str:
    """``What needs more packages (module is missing): pip install 'mild-erase[extra]'.``, quoted for every shell."""
    missing = f" ({module} is missing)" if module else ""
    return f"{what} needs more packages{missing}: pip install '{DISTRIBUTION}[{','.join(extras)}]'."


def extra_of(error: ModuleNotFoundError, preferred: str = "") -> str | None:
    """The extra that brings the missing module; None if it belongs to none, which is a fault of the installation."""
    module = (error.name or "").partition(".")[0]
    order = sorted(EXTRAS, key=lambda extra: extra != preferred)
    return next((extra for extra in order if module in EXTRAS[extra]), None)


@contextmanager
def needs(what: str, *extras: str) -> Iterator[None]:
    """Turn a missing package inside the block into a :class:`MildError`.

    Args:
        what: begins the sentence: "The server", "More than one step".
        extras: which bring all that the block imports.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if extra_of(error) is None:
            raise
        raise MildError(sentence(what, *extras, module=error.name or "")) from error
