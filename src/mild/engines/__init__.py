"""Where many jobs run: this machine's cores, or a Ray cluster. Knows functions and items, nothing of photos."""

from mild.engines.choice import chosen
from mild.engines.engine import Done, Engine, Limits, Work
from mild.engines.notes import note
from mild.engines.workers import Workers, calling

__all__ = ["Done", "Engine", "Limits", "Work", "Workers", "calling", "chosen", "note"]
