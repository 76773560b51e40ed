"""Where many jobs run: this machine's cores, or a Ray cluster. Knows functions and items, nothing of photos."""

from mild.engines.choice import chosen
from mild.engines.engine import Done, Engine, Limits, Work

__all__ = ["Done", "Engine", "Limits", "Work", "chosen"]
