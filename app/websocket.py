"""uvicorn's WebSocket protocol, with a direct way in and out: messages are handed over as they arrive, many frames are written
at once, and whoever writes is told when the reader is slow.

An application gets it as the ASGI extension EXTENSION, accepts the connection as usual, and attaches itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from app.encoding import Slice

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent

EXTENSION = "tidegate.wire"
HANDSHAKE_SECONDS = 5.0
SLICE_BYTES = 4096  # parsed before it is asked whether there is room for more
TURN_BYTES = (
    2 * SLICE_BYTES
)  # parsed in one turn of the event loop: what has arrived at once may be thousands of frames


class Reader(Protocol):
    """Whoever reads from a wire. All is called on the event loop."""

    def on_message(self, data: bytes) -> None: ...
    def on_slow(self) -> None: ...
    def on_writable(self) -> None: ...


class Wire(WebSocketsSansIOProtocol):
    """One connection."""

    _reader: Reader | None = None
    _received: bytes | memoryview = b""  # and not parsed yet
    _is_held = False
    _is_parsing_due = False

    async def run_asgi(self) -> None:
        """Run the application with the extension."""
        self.scope["extensions"] = {**(self.scope["extensions"] or {}), EXTENSION: {"wire": self}}
        await super().run_asgi()

    async def send(self, message: ASGISendEvent) -> None:
        """Send what the application says. An answer that refuses the connection completes the handshake, which uvicorn overlooks."""
        await super().send(message)
        if self.close_sent:
            self.handshake_complete = True

    def attach(self, reader: Reader) -> None:
        """Hand over messages from now on; they are not queued."""
        self._reader = reader

    @property
    def is_open(self) -> bool:
        return not (self.close_sent or self.disconnected or self.transport.is_closing())

    @property
    def is_writable(self) -> bool:
        """Whether the connection is open and the reader keeps up."""
        return self.writable.is_set() and self.is_open

    def write(self, slices: Iterable[Slice], *, is_binary: bool) -> None:
        """Write messages, each in as many fragments as it comes in slices; nothing is written on a connection that ends."""
        if not self.is_open:
            return
        begin = self.conn.send_binary if is_binary else self.conn.send_text
        for data, is_last in slices:
            send = self.conn.send_continuation if self.conn.expect_continuation_frame else begin
            send(data, is_last)
        self.transport.write(b"".join(self.conn.data_to_send()))

    def hold(self, *, is_held: bool) -> None:
        """Hand over nothing more for now, or go on."""
        if is_held == self._is_held:
            return
        self._is_held = is_held
        if not is_held:
            self._parse_soon()
        self._pause_or_resume()

    def data_received(self, data: bytes) -> None:
        """Something has arrived. It is parsed at once, if it is not much and nothing is held."""
        if self._reader is None or not (self._received or self._is_held or len(data) > SLICE_BYTES):
            super().data_received(data)
            return
        self._received = memoryview(bytes(self._received) + data if self._received else data)
        if not self._is_parsing_due:
            self._parse()

    def _parse(self) -> None:
        """Parse what was received, as much as takes one turn, as long as nothing is held."""
        self._is_parsing_due = False
        for _ in range(0, TURN_BYTES, SLICE_BYTES):
            if self._is_held or not self._received or self.transport.is_closing():
                break
            data, self._received = self._received[:SLICE_BYTES], self._received[SLICE_BYTES:]
            super().data_received(bytes(data))
        if self.transport.is_closing():
            self._received = b""
        if not self._is_held:
            self._parse_soon()
        self._pause_or_resume()

    def _parse_soon(self) -> None:
        if self._received and not self._is_parsing_due:
            self._is_parsing_due = True
            self.loop.call_soon(self._parse)

    def _pause_or_resume(self) -> None:
        """Read on when everything that was received is parsed and handed over."""
        is_paused = self._is_held or bool(self._received)
        if is_paused == self.read_paused or self.transport.is_closing():
            return
        self.read_paused = is_paused
        if is_paused:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def end(self, code: int, reason: str) -> None:
        """Begin to close. A reader that does not take part in it is cut off after a while."""
        if not self.is_open:
            return
        self.conn.send_close(code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.hold(is_held=False)
        self.close_timer = self.loop.call_later(HANDSHAKE_SECONDS, self.transport.abort)
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})

    def send_receive_event_to_app(self) -> None:
        """A whole message has arrived."""
        if self._reader is None or self.close_sent:
            super().send_receive_event_to_app()
            return
        data = self.frames[0] if len(self.frames) == 1 else b"".join(self.frames)
        self.frames = []
        self._reader.on_message(data)

    def pause_writing(self) -> None:
        """More is written than the other side reads."""
        super().pause_writing()
        if self._reader is not None:
            self._reader.on_slow()

    def resume_writing(self) -> None:
        """The other side has caught up."""
        super().resume_writing()
        if self._reader is not None:
            self._reader.on_writable()
