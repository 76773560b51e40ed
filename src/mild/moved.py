"""Module paths of version 0.1 that go on working: each is another name of the module that took its place.

Importing one warns (:class:`DeprecationWarning`); they go in version 0.3."""

from __future__ import annotations

import importlib
import sys
import types
import warnings
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from typing import Any

#: Former path -> today's. What lies below moved with it.
MOVED = {
    "mild.erase": "mild.library",
    "mild.cli": "mild.app.cli",
    "mild.server": "mild.app.server",
    "mild.studio": "mild.app.studio",
    "mild.perception": "mild.people",
    "mild.perception.coco": "mild.people.finders.coco",
    "mild.perception.hub": "mild.people.finders.hub",
    "mild.perception.blazepose": "mild.people.finders.blazepose",
}
#: What a package itself gave, where that is not today's package.
_ITSELF = {"mild.perception": "mild.people.find"}


class _Former(types.ModuleType):
    """Shows another module's names; ``mild.erase`` was a module and is a function, so it can be called, too."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.__dict__["_now"], name)

    def __call__(self, *args: Any, **options: Any) -> Any:
        return getattr(self.__dict__["_now"], self.__name__.rpartition(".")[2])(*args, **options)


class _Finder:
    """A finder of :data:`sys.meta_path`, asked after all others."""

    @classmethod
    def find_spec(cls, name: str, path: Sequence[str] | None = None, target: object = None) -> ModuleSpec | None:
        return None if cls.now(name) is None else ModuleSpec(name, cls(), is_package=True)  # type: ignore[arg-type]

    @staticmethod
    def now(name: str) -> str | None:
        if name in _ITSELF:
            return _ITSELF[name]
        for former in sorted(MOVED, key=len, reverse=True):
            if name == former or name.startswith(former + "."):
                return MOVED[former] + name.removeprefix(former)
        return None

    def create_module(self, spec: ModuleSpec) -> types.ModuleType:
        module = _Former(spec.name)
        now = self.now(spec.name)
        assert now is not None
        try:
            module.__dict__["_now"] = importlib.import_module(now)
        except ModuleNotFoundError as error:
            if error.name != now:
                raise
            raise ModuleNotFoundError(f"No module named {spec.name!r}", name=spec.name) from None
        warnings.warn(f"{spec.name} is {now} since 0.2; the old name goes in 0.3.", DeprecationWarning, stacklevel=2)
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        module.__path__ = []


def install() -> None:
    """Let former paths be imported."""
    if not any(finder is _Finder for finder in sys.meta_path):
        sys.meta_path.append(_Finder)  # type: ignore[arg-type]
