"""What every process of ours settles before any library is loaded: nothing is sent home, and one knob for threads.

``import mild`` calls :func:`settle`. It sets variables of the environment, which libraries read when they are imported
and which processes that we start inherit; it imports nothing and costs nothing.
"""

from __future__ import annotations

import os

from mild.errors import UsageError

#: The knob: how many threads of the processor a job may use.
VARIABLE = "MILD_THREADS"

#: Switches off what libraries report to their makers by default. They are set whatever was there before: that nothing
#: leaves the machine is a promise of this program, not a preference of one of its libraries.
_SILENT = {
    "ORT_DISABLE_TELEMETRY": "1",  # onnxruntime
    "HF_HUB_DISABLE_TELEMETRY": "1",  # huggingface_hub, transformers, diffusers, datasets
    "DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "GRADIO_ANALYTICS_ENABLED": "False",
    "NO_ALBUMENTATIONS_UPDATE": "1",
    "ANONYMIZED_TELEMETRY": "False",
}
#: Where each library looks for its number of threads.
_THREADS = (
    "OMP_NUM_THREADS",  # torch, PatchMatch
    "OPENBLAS_NUM_THREADS",  # numpy
    "MKL_NUM_THREADS",
    "OPENCV_FOR_THREADS_NUM",
    "RAYON_NUM_THREADS",  # tokenizers
    "NUMEXPR_NUM_THREADS",
)


def settle() -> None:
    """Set the variables; what the user said of a single library's threads stays, unless it is no number."""
    os.environ.update(_SILENT)
    if not _numbers(os.environ.get("OMP_NUM_THREADS", "1")):
        del os.environ["OMP_NUM_THREADS"]  # OpenMP would complain at every start, and then do as without it
    if _numbers(asked := os.environ.get(VARIABLE, "")) and "," not in asked:
        for name in _THREADS:
            os.environ.setdefault(name, asked)


def threads(most: int | None = None) -> int:
    """How many threads a library may use: ``MILD_THREADS``, else ``OMP_NUM_THREADS``, else every core we may run on.

    Args:
        most: more than so many help this library no further.

    Raises:
        UsageError: ``MILD_THREADS`` is no positive number.
    """
    asked = os.environ.get(VARIABLE)
    if asked is not None and (not _numbers(asked) or "," in asked):
        raise UsageError(f"{VARIABLE} must be a whole number from 1 to 1024, not {asked[:40]!r}.")
    count = int((asked or os.environ.get("OMP_NUM_THREADS") or "0").split(",")[0])
    count = count or len(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1))
    return count if most is None else min(count, most)


def _numbers(text: str) -> bool:
    """Whole numbers from 1 to 1024 with commas between, as OpenMP takes them."""
    parts = text.split(",")
    return all(part.isascii() and part.isdigit() and len(part) < 5 and 1 <= int(part) <= 1024 for part in parts)
