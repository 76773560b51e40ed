"""The HTTP API: the same requests and the same pixels as the library and the command line, through a bounded queue."""

from mild.app.server.settings import Settings

__all__ = ["Settings"]
