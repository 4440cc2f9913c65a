"""Messages between two processes of ours, over a pair of sockets that only these two hold: lengths and pickles, as `multiprocessing` sends them."""

from __future__ import annotations

import asyncio
import copyreg
import io
import logging
import pickle
import struct
from types import MappingProxyType
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

logger = logging.getLogger(__name__)

HEAD = struct.Struct("<Q")  # the length of the pickle that follows


def _unchangeable(items: dict[str, Any]) -> MappingProxyType[str, Any]:
    return MappingProxyType(items)


def _reduced(array: NDArray[Any]) -> Any:
    """What pickle is to write of an array: its bytes, or its objects where it holds the names of kinds."""
    return array.__reduce__() if array.dtype.hasobject else (_array, (array.dtype, array.shape, array.tobytes()))


def _array(dtype: np.dtype[Any], shape: tuple[int, ...], data: bytes) -> NDArray[Any]:
    return np.frombuffer(data, dtype).reshape(shape)


class Pickler(pickle.Pickler):
    """Also pickles mappings that cannot be changed, which operations have as defaults, and small arrays in half the time."""

    dispatch_table = copyreg.dispatch_table | {
        MappingProxyType: lambda proxy: (_unchangeable, (dict(proxy),)),
        np.ndarray: _reduced,
    }


class Receiver(Protocol):
    """Whoever gets the messages. All is called on the event loop."""

    def on_message(self, message: Any) -> None: ...
    def on_writable(self) -> None: ...
    def on_lost(self) -> None: ...


class Channel(asyncio.Protocol):
    """One end of a pair. What one turn of the event loop brings travels together."""

    def __init__(self, receiver: Receiver, loop: asyncio.AbstractEventLoop) -> None:
        self._receiver = receiver
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._outgoing: list[Any] = []
        self.is_writable = True
        self.closed = asyncio.Event()

    def send(self, message: Any) -> None:
        """Send a message with the others of this turn; nothing is sent to an end that is gone."""
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append(message)

    def close(self) -> None:
        """Send what is to be sent, and hang up; `closed` is set when that is done."""
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Hand over every message that is whole."""
        received, begin = self._received, 0
        received += data
        while len(received) - begin >= HEAD.size:
            end = begin + HEAD.size + HEAD.unpack_from(received, begin)[0]
            if len(received) < end:
                break
            # Nobody but a process that our supervisor started can have written it.
            messages = pickle.loads(received[begin + HEAD.size : end])  # noqa: S301 - see above
            begin = end
            for message in messages:
                self._receiver.on_message(message)
        del received[:begin]

    def pause_writing(self) -> None:
        self.is_writable = False

    def resume_writing(self) -> None:
        self.is_writable = True
        self._receiver.on_writable()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - gone is gone
        self._transport = None
        self.closed.set()
        self._receiver.on_lost()

    def _flush(self) -> None:
        outgoing, self._outgoing = self._outgoing, []
        if not outgoing or self._transport is None:
            return
        data = io.BytesIO()
        try:
            Pickler(data, pickle.HIGHEST_PROTOCOL).dump(outgoing)
        except Exception:
            logger.exception("a message cannot be sent; this worker gives up")
            self._transport.abort()
        else:
            self._transport.writelines([HEAD.pack(data.tell()), data.getbuffer()])
