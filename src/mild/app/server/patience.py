"""Connections that send nothing are closed: whoever trickles a request in must not hold a place for ever."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol


def patient(seconds: float) -> type[H11Protocol]:
    """uvicorn's protocol, with a time for the head of a request; its body's time is the guard's affair."""

    class Patient(H11Protocol):
        _timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._timer = self.loop.call_later(seconds, self._give_up)

        def data_received(self, data: bytes) -> None:
            if self._timer is None and not self._at_work():
                self._timer = self.loop.call_later(seconds, self._give_up)
            super().data_received(data)
            if self._at_work():
                self._forget_timer()

        def connection_lost(self, exc: Exception | None) -> None:
            self._forget_timer()
            super().connection_lost(exc)

        def _at_work(self) -> bool:
            return self.cycle is not None and not self.cycle.response_complete

        def _forget_timer(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _give_up(self) -> None:
            self._timer = None
            if not self._at_work() and not self.transport.is_closing():
                self.transport.close()

    return Patient
