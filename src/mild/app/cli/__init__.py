"""The ``mild`` command: a thin way in, which builds an :class:`~mild.request.EraseRequest` and hands it to the road."""

from mild.app.cli.app import main

__all__ = ["main"]
