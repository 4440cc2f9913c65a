"""One client on a WebSocket. What it may have unanswered or unread is bounded: beyond that nothing more is read from it.

Nor does it hold the event loop for long: in one turn a few dozen answers are written, and the rest in the next.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from functools import partial
from types import TracebackType
from typing import Any, Self

from app.acquaintance import Acquaintance
from app.conversation import Asked, ask, error_frame, update_frame
from app.engine.operations.opening import Opened
from app.engine.operations.rows import Stepped
from app.engine.session import Key
from app.engine.task import Task
from app.errors import Internal, Refusal
from app.frames import Codec, DrainingFrame
from app.service import TENANT, Service
from app.websocket import Wire

logger = logging.getLogger(__name__)

BURST_BYTES = 64 * 1024
TURN_FRAMES = 64  # written in one turn of the event loop; one answer to columns counts as several
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
        self._line = service.line_of_socket()
        self._inbox: deque[bytes] = deque()
        self._answered: deque[tuple[Asked, Task]] = deque()
        self._outbox: deque[tuple[bytes, int]] = deque()  # frames with their weights
        self._weight = 0  # of all that is unanswered or unread
        self._updates: dict[Key, Stepped] = {}
        self._subscribed: set[Key] = set()
        self._known = Acquaintance(TENANT, codec.session_ids)
        self._is_turn_due = False
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
        self._take_turn_soon()

    def on_update(self, key: Key, stepped: Stepped) -> None:
        """A session that the client follows has moved; the newest update is the one that counts."""
        self._updates[key] = stepped
        self._take_turn_soon()

    def drain(self) -> None:
        """Say that the service stops, and close."""
        self._encode_answers(len(self._answered))
        self._send(DrainingFrame(), 0)
        self._write(len(self._updates))
        self._wire.end(RESTART, "the service restarts; connect again and resume by step")

    def _read(self) -> None:
        while self._inbox and self._weight < self._window:
            self._take(self._inbox.popleft())
        self._wire.hold(is_held=bool(self._inbox))

    def _take(self, data: bytes) -> None:
        try:
            frame = self._codec.decode(data)
        except Refusal as refusal:
            self._refuse_at_once("invalid", self._codec.ref(data), refusal)
            return
        asked = ask(frame, self._known)
        try:
            self._service.submit(asked.operation, partial(self._on_answer, asked), self._line)
        except Refusal as refusal:
            self._refuse_at_once(asked.op, asked.ref, refusal)
        else:
            self._weight += asked.weight
            if asked.op in ENDING:
                for key in asked.operation.keys:
                    self._known.incarnations.pop(key, None)

    def _on_answer(self, asked: Asked, task: Task) -> None:
        if not self._wire.is_open:
            return
        if task.error is None:
            self._follow(asked, task.reply)
        self._answered.append((asked, task))
        self._take_turn_soon()

    def _take_turn_soon(self) -> None:
        """Let what the present turn of the event loop brings be written at once, after it."""
        if not self._is_turn_due:
            self._is_turn_due = True
            self._service.loop.call_soon(self._take_turn)

    def _take_turn(self) -> None:
        """Encode some answers, write as much as the client reads, and read on where there is room again."""
        self._write(self._encode_answers(TURN_FRAMES))
        if self._inbox:
            self._read()
        self._is_turn_due = False
        if self._answered or (self._wire.is_writable and (self._outbox or self._updates)):
            self._take_turn_soon()

    def _encode_answers(self, most: int) -> int:
        """Encode answers of about so much weight; how much of it was not needed."""
        left = most
        while self._answered and left > 0:
            asked, task = self._answered.popleft()
            left -= asked.weight
            try:
                self._answer(asked, task)
            except Exception:
                logger.exception("an answer could not be given")
        return left

    def _answer(self, asked: Asked, task: Task) -> None:
        if not self._wire.is_open:
            return
        if task.error is None:
            self._service.metrics.answered("websocket", asked.op, "ok")
            self._send(asked.reply(task.reply), asked.weight)
        else:
            refusal = task.error if isinstance(task.error, Refusal) else Internal("this is our mistake")
            self._refuse(asked.op, asked.ref, refusal, asked.weight)

    def _follow(self, asked: Asked, reply: Any) -> None:
        """Remember what the client knows now: which sessions it has met, and which it wants to hear of."""
        if isinstance(reply, Opened):
            self._known.incarnations[asked.operation.keys[0]] = reply.session.incarnation
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

    def _refuse_at_once(self, op: str, ref: int | str | None, refusal: Refusal) -> None:
        self._weight += 1
        self._refuse(op, ref, refusal, 1)

    def _refuse(self, op: str, ref: int | str | None, refusal: Refusal, weight: int) -> None:
        self._service.metrics.answered("websocket", op, refusal.code)
        self._send(error_frame(ref, refusal), weight)

    def _send(self, frame: Any, weight: int) -> None:
        self._outbox.append((self._codec.encode(frame), weight))
        self._take_turn_soon()

    def _write(self, most_updates: int) -> None:
        """Write as much as the client reads, and when all is answered so many of the updates that others do not wait for them."""
        if self._answered:
            most_updates = 0
        while self._wire.is_writable and (self._outbox or (self._updates and most_updates > 0)):
            waiting = len(self._updates)
            self._wire.write(self._burst(most_updates), is_binary=self._codec.is_binary)
            most_updates -= waiting - len(self._updates)

    def _burst(self, most_updates: int) -> list[bytes]:
        """The next frames to be written: about as much as is buffered before the client counts as slow."""
        frames, size = [], 0
        while size < BURST_BYTES and self._outbox:
            data, weight = self._outbox.popleft()
            self._weight -= weight
            frames.append(data)
            size += len(data)
        while size < BURST_BYTES and self._updates and most_updates > 0:
            key = next(iter(self._updates))
            frames.append(self._codec.encode(update_frame(key, self._updates.pop(key))))
            size += len(frames[-1])
            most_updates -= 1
        return frames

    def _give_up(self) -> None:
        logger.warning("a client has not read for %g s; its socket is closed", self._service.settings.ws_send_seconds)
        self._wire.end(OVERLOAD, "the client does not read fast enough; connect again and resume by step")

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
