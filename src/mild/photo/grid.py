"""The one rule by which a window is looked at smaller: longest side at most so much, never enlarged, rounded."""

from __future__ import annotations


def fitted(width: int, height: int, longest: int, least: int = 1) -> tuple[tuple[int, int], float]:
    """The size ``(width, height)`` at which a window is looked at, and how many of its pixels one of the window's is.

    Args:
        width: of the window, pixels.
        height: likewise.
        longest: longest side of the answer, pixels.
        least: shortest side of the answer, pixels.
    """
    scale = min(1.0, longest / max(width, height))
    return (max(least, round(width * scale)), max(least, round(height * scale))), scale
