"""Connections whose requests do not begin in time: uvicorn waits for ever for the end of a request's headers."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol


def heads_in_time(seconds: float) -> type[asyncio.Protocol]:
    """Uvicorn's protocol, but that a connection is closed on which a request's head takes longer than so many seconds.

    The time counts from the connection's beginning, or from the first bytes after an answer.
    """

    class HeadsInTime(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
        """One connection. `cycle` is uvicorn's: the request whose head came last; None before the first."""

        _late: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._expect()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self._late is None and self._is_between():
                self._expect()

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            if self._late is not None:
                self._late.cancel()

        def _expect(self) -> None:
            self._late = asyncio.get_running_loop().call_later(seconds, self._check, self.cycle)

        def _check(self, before: Any) -> None:
            self._late = None
            if self.cycle is before and self._is_between():
                self.transport.close()

        def _is_between(self) -> bool:
            """Whether no request is being read or answered."""
            return self.cycle is None or self.cycle.response_complete

    return HeadsInTime
