"""Connections that send nothing, or take nothing of their answer, are closed: nobody must hold a place for ever."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol


def patient(seconds: float) -> type[H11Protocol]:
    """uvicorn's protocol, with a time for a request's head and for taking an answer; a body's is the guard's affair."""

    class Patient(H11Protocol):
        _timer: asyncio.TimerHandle | None = None
        _taking: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._timer = self.loop.call_later(seconds, self._give_up)

        def data_received(self, data: bytes) -> None:
            if self._timer is None and not self._at_work():
                self._timer = self.loop.call_later(seconds, self._give_up)
            super().data_received(data)
            if self._at_work():
                self._forget_timer()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._taking = self.loop.call_later(seconds, self.transport.abort)

        def resume_writing(self) -> None:
            super().resume_writing()
            self._forget_taking()

        def timeout_keep_alive_handler(self) -> None:
            super().timeout_keep_alive_handler()
            # Closing waits until all is taken.
            self._forget_taking()
            self._taking = self.loop.call_later(seconds, self.transport.abort)

        def connection_lost(self, exc: Exception | None) -> None:
            self._forget_timer()
            self._forget_taking()
            super().connection_lost(exc)

        def _forget_taking(self) -> None:
            if self._taking is not None:
                self._taking.cancel()
                self._taking = None

        def _at_work(self) -> bool:
            return self.cycle is not None and not self.cycle.response_complete

        def _forget_timer(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _give_up(self) -> None:
            self._timer = None
            if not self._at_work() and not self.transport.is_closing():
                self.transport.abort()

    return Patient
