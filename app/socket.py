"""One client on a WebSocket. What it may have unanswered or unread is bounded: beyond that nothing more is read from it."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from functools import partial
from types import TracebackType
from typing import Any, Self

from app.conversation import Asked, ask, error_frame, update_frame
from app.engine.operations.opening import Opened
from app.engine.operations.rows import Stepped
from app.engine.session import Key
from app.engine.task import Task
from app.errors import Internal, Refusal
from app.frames import Codec, DrainingFrame
from app.service import Service
from app.websocket import Wire

logger = logging.getLogger(__name__)

BURST_BYTES = 64 * 1024
SUBSCRIBE, UNSUBSCRIBE = "subscribe", "unsubscribe"
ENDING = ("open", "close")  # after these, what a client knew of an id is over
RESTART, OVERLOAD = 1012, 1013


class Socket:
    """Reads frames from a wire and writes their answers to it, for as long as the `with` block lasts."""

    def __init__(self, service: Service, wire: Wire, codec: Codec) -> None:
        self._service = service
        self._wire = wire
        self._codec = codec
        self._window = service.settings.ws_window
        self._inbox: deque[bytes] = deque()
        self._unanswered = 0
        self._outbox: deque[bytes] = deque()
        self._updates: dict[Key, Stepped] = {}
        self._subscribed: set[Key] = set()
        self._incarnations: dict[Key, int] = {}
        self._is_flush_due = False
        self._patience: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        self._service.sockets.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._service.sockets.discard(self)
        for key in list(self._subscribed):
            self._unsubscribe(key)
        self._inbox.clear()
        self._stop_waiting()

    def on_message(self, data: bytes) -> None:
        """A frame has arrived."""
        self._inbox.append(data)
        self._read()

    def on_slow(self) -> None:
        """The client does not read what was written; it has some time to catch up."""
        if self._patience is None:
            seconds = self._service.settings.ws_send_seconds
            self._patience = self._service.loop.call_later(seconds, self._give_up)

    def on_writable(self) -> None:
        """The client has caught up."""
        self._stop_waiting()
        self._flush()

    def on_update(self, key: Key, stepped: Stepped) -> None:
        """A session that the client follows has moved; the newest update is the one that counts."""
        self._updates[key] = stepped
        self._flush_soon()

    def drain(self) -> None:
        """Say that the service stops, and close."""
        self._send(DrainingFrame())
        self._flush()
        self._wire.end(RESTART, "the service restarts; connect again and resume by step")

    def _read(self) -> None:
        while self._inbox and self._unanswered + len(self._outbox) < self._window:
            self._take(self._inbox.popleft())
        self._wire.hold(is_held=bool(self._inbox))

    def _take(self, data: bytes) -> None:
        try:
            frame = self._codec.decode(data)
        except Refusal as refusal:
            self._refuse("invalid", self._codec.ref(data), refusal)
            return
        asked = ask(frame, self._incarnations)
        try:
            self._service.submit(asked.operation, partial(self._answer, asked))
        except Refusal as refusal:
            self._refuse(asked.op, asked.ref, refusal)
        else:
            self._unanswered += asked.weight
            if asked.op in ENDING:
                for key in asked.operation.keys:
                    self._incarnations.pop(key, None)

    def _answer(self, asked: Asked, task: Task) -> None:
        self._unanswered -= asked.weight
        if not self._wire.is_open:
            return
        if task.error is None:
            self._service.metrics.answered("websocket", asked.op, "ok")
            self._send(asked.reply(task.reply))
            self._follow(asked, task.reply)
        else:
            refusal = task.error if isinstance(task.error, Refusal) else Internal("this is our mistake")
            self._refuse(asked.op, asked.ref, refusal)

    def _follow(self, asked: Asked, reply: Any) -> None:
        """Remember what the client knows now: which sessions it has met, and which it wants to hear of."""
        if isinstance(reply, Opened):
            self._incarnations[asked.operation.keys[0]] = reply.session.incarnation
        elif asked.op == SUBSCRIBE:
            (key,) = asked.operation.keys
            self._subscribed.add(key)
            self._service.subscriptions.add(key, self)
        elif asked.op == UNSUBSCRIBE:
            self._unsubscribe(*asked.operation.keys)

    def _unsubscribe(self, key: Key) -> None:
        self._subscribed.discard(key)
        self._updates.pop(key, None)
        self._service.subscriptions.remove(key, self)

    def _refuse(self, op: str, ref: int | str | None, refusal: Refusal) -> None:
        self._service.metrics.answered("websocket", op, refusal.code)
        self._send(error_frame(ref, refusal))

    def _send(self, frame: Any) -> None:
        self._outbox.append(self._codec.encode(frame))
        self._flush_soon()

    def _flush_soon(self) -> None:
        """Write what the present turn of the event loop brings at once, after it."""
        if not self._is_flush_due:
            self._is_flush_due = True
            self._service.loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Write as much as the client reads, and read on where there is room again."""
        self._is_flush_due = False
        while self._wire.is_writable and (self._outbox or self._updates):
            self._wire.write(self._burst(), is_binary=self._codec.is_binary)
        if self._inbox:
            self._read()

    def _burst(self) -> list[bytes]:
        """The next frames to be written: about as much as is buffered before the client counts as slow."""
        frames, size = [], 0
        while size < BURST_BYTES and self._outbox:
            frames.append(self._outbox.popleft())
            size += len(frames[-1])
        while size < BURST_BYTES and self._updates:
            key = next(iter(self._updates))
            frames.append(self._codec.encode(update_frame(key, self._updates.pop(key))))
            size += len(frames[-1])
        return frames

    def _give_up(self) -> None:
        logger.warning("a client has not read for %g s; its socket is closed", self._service.settings.ws_send_seconds)
        self._wire.end(OVERLOAD, "the client does not read fast enough; connect again and resume by step")

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
