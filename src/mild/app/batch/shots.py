"""The other shots that a photo of a batch is given: those that the user named, and those that may be of its scene.

Of the former one that does not fit is a mistake, which fails the photo; of the latter it is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mild.app.batch import store
from mild.errors import MildError, MisfitError

if TYPE_CHECKING:
    from mild.result import EraseResult


class Shots:
    """Other shots, at hand.

    Args:
        named, perhaps: pairs of a file of this machine, and what the user calls it.

    Attributes:
        told: what the ledger is told of them, after :meth:`tried`.
    """

    def __init__(self, named: Sequence[tuple[str, str]], perhaps: Sequence[tuple[str, str]]) -> None:
        self._perhaps = {path for path, _ in perhaps}
        self._called = dict([*named, *perhaps])
        self.told: dict[str, Any] = {}

    @classmethod
    def fetched(cls, named: Sequence[str], perhaps: Sequence[str], scratch: Path, held: ExitStack) -> Shots:
        """Shots by their places; those of an object store are copied to ``scratch``, and gone with ``held``.

        Raises:
            MildError: one that the user named cannot be fetched.
        """
        there: list[list[tuple[str, str]]] = [[], []]
        for some, places in zip(there, (named, perhaps), strict=True):
            for place in places:
                folder = scratch / f"shot-{len(there[0]) + len(there[1])}"
                try:
                    if store.is_uri(place):
                        folder.mkdir()
                        some.append((str(held.enter_context(store.at_hand(place, folder))), place))
                    else:
                        some.append((place, place))
                except MildError:
                    if some is there[0]:
                        raise
        return cls(*there)

    def tried(self, run: Callable[[tuple[str, ...]], EraseResult]) -> EraseResult:
        """The result of ``run`` with all shots that fit.

        Raises:
            MildError: whatever ``run`` raises, a :class:`MisfitError` only of a shot that the user named.
        """
        if not self._called:
            return run(())
        unread = {path: why for path in self._perhaps if (why := _unreadable(path))}
        refused, also = list(unread.values()), [path for path in self._called if path not in unread]
        while True:
            try:
                result = run(tuple(also))
            except MisfitError as error:
                said = str(error).replace(error.shot, self._called.get(error.shot, error.shot))
                if error.shot not in self._perhaps:
                    raise MisfitError(said, error.shot) from None
                refused.append(said)
                also.remove(error.shot)
                continue
            self.told = {"also": [self._called[path] for path in also]}
            if result.seen is not None:
                self.told["seen"] = round(result.seen, 3)
            if refused:
                self.told["refused"] = sorted(refused)
            return result


def _unreadable(path: str) -> str:
    from mild.photo import Photo

    try:
        Photo.open(path)
    except MildError as error:
        return str(error)
    return ""
