"""uvicorn's HTTP protocol, in which a client may not ask much ahead of its answers."""

from __future__ import annotations

from asyncio import Transport
from collections.abc import Sized

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class Turnstile(FlowControl):
    """Reads nothing more from a connection while requests on it wait for those before them.

    uvicorn stops reading when a request has to wait, but goes on with every answer and whenever a body is asked for, even
    though others still wait: without this, each answer would let in another buffer full of requests.
    """

    def __init__(self, transport: Transport, waiting: Sized) -> None:
        super().__init__(transport)
        self._waiting = waiting

    def resume_reading(self) -> None:
        if not self._waiting:
            super().resume_reading()


class Door(HttpToolsProtocol):
    """One connection."""

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(transport)
        self.flow = Turnstile(transport, self.pipeline)
