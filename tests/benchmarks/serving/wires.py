"""Connections on the network: WebSockets by picows, which is compiled, and HTTP/1.1 kept alive, read by hand."""

from __future__ import annotations

import asyncio
from functools import partial

from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from tests.benchmarks.serving.connections import Connection, Refused, Script

MOST_FRAME_BYTES = 2**26
LENGTH = b"content-length: "
MESSAGES = {WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION}
SUCCESS = (b"HTTP/1.1 200", b"HTTP/1.1 201")


class Listener(WSListener):
    """Hands over whole messages."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection
        self._begun = b""

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type not in MESSAGES:
            return
        payload = frame.get_payload_as_bytes()
        if not frame.fin:
            self._begun += payload
        elif self._begun:
            message, self._begun = self._begun + payload, b""
            self._connection.on_reply(message)
        else:
            self._connection.on_reply(payload)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._connection.on_lost()


async def websocket(
    port: int, path: str, script: Script, subprotocol: str | None = None, in_flight: int | None = None
) -> Connection:
    """A WebSocket; its messages are binary where the subprotocol is MessagePack or the path says so."""
    connection = Connection(script, in_flight)
    headers = {"Sec-WebSocket-Protocol": subprotocol} if subprotocol else {}
    transport, _ = await ws_connect(
        partial(Listener, connection),
        f"ws://127.0.0.1:{port}{path}",
        extra_headers=headers,
        max_frame_size=MOST_FRAME_BYTES,
    )
    is_binary = "msgpack" in (subprotocol or path)
    connection.send = partial(transport.send, WSMsgType.BINARY if is_binary else WSMsgType.TEXT)
    connection.close = transport.disconnect
    return connection


class Http(asyncio.Protocol):
    """Reads responses with a length."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._buffer = bytearray()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head = self._buffer.find(b"\r\n\r\n") + 4
        if head < 4:
            return
        start = self._buffer.find(LENGTH, 0, head) + len(LENGTH)
        end = head + int(self._buffer[start : self._buffer.find(b"\r", start)])
        if len(self._buffer) < end:
            return
        response = bytes(self._buffer[:end])
        del self._buffer[:end]
        self._connection.on_reply(response)

    def connection_lost(self, error: Exception | None) -> None:
        self._connection.on_lost()


async def http(port: int, script: Script) -> Connection:
    """A connection on which the script's requests, heads and all, are sent one at a time."""
    connection = Connection(script)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(partial(Http, connection), "127.0.0.1", port)
    connection.send, connection.close = transport.write, transport.close
    return connection


def post(path: str, body: bytes) -> bytes:
    """A POST of JSON."""
    head = f"POST {path} HTTP/1.1\r\nhost: tidegate\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def check_success(response: bytes) -> None:
    """Raises Refused for a response that is a refusal."""
    if not response.startswith(SUCCESS):
        raise Refused(response)
