"""One client on a WebSocket. What it may have unanswered or unread is bounded: beyond that nothing more is read from it.

Nor does it hold the event loop for long: in one turn a few dozen answers are written, or a slice of a large one, and the rest in
the turns that follow. What the client does not read is not written, and takes no more memory than its arrays.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterator
from functools import partial
from types import TracebackType
from typing import Any, Self

from app.acquaintance import Acquaintance
from app.conversation import Asked, ask, error_frame, refused, update_frame
from app.encoding import Slice
from app.engine.operations.opening import Opened
from app.engine.operations.rows import Stepped
from app.engine.session import Key
from app.engine.task import Task
from app.errors import Internal, Refusal
from app.frames import Codec, DrainingFrame
from app.service import TENANT, Service
from app.websocket import Wire

logger = logging.getLogger(__name__)

BURST_BYTES, BURST_SLICES = 64 * 1024, 64  # about so much is written in one turn of the event loop
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
        self._answered: deque[tuple[Asked, Any]] = deque()  # with the reply or the error
        self._begun: Iterator[Slice] | None = None  # the rest of a frame
        self._weight = 0  # of all that is unanswered or unread
        self._updates: dict[Key, Stepped] = {}
        self._subscribed: set[Key] = set()
        self._known = Acquaintance(TENANT, codec.session_ids)
        self._is_turn_due = False
        self._is_ending = False
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
        """Read nothing more; when all that is due is written, say that the service stops, and close."""
        self._is_ending = True
        self._inbox.clear()
        self._wire.hold(is_held=True)
        self._take_turn()

    def _read(self) -> None:
        while self._inbox and self._weight < self._window:
            self._take(self._inbox.popleft())
        self._wire.hold(is_held=bool(self._inbox))

    def _take(self, data: bytes) -> None:
        try:
            frame = self._codec.decode(data)
        except Refusal as refusal:
            self._weight += 1
            self._owe(refused("invalid", self._codec.ref(data), (), refusal), refusal)
            return
        asked = ask(frame, self._known)
        self._weight += asked.weight
        try:
            self._service.submit(asked.operation, partial(self._on_answer, asked), self._line)
        except Refusal as refusal:
            self._owe(asked, refusal)
        else:
            if asked.op in ENDING:
                for key in asked.operation.keys:
                    self._known.incarnations.pop(key, None)

    def _on_answer(self, asked: Asked, task: Task) -> None:
        if not self._wire.is_open:
            return
        if task.error is None:
            self._follow(asked, task.reply)
        self._owe(asked, task.reply if task.error is None else task.error)

    def _owe(self, asked: Asked, outcome: Any) -> None:
        self._answered.append((asked, outcome))
        self._take_turn_soon()

    def _take_turn_soon(self) -> None:
        """Let what the present turn of the event loop brings be written at once, after it."""
        if not self._is_turn_due:
            self._is_turn_due = True
            self._service.loop.call_soon(self._take_turn)

    def _take_turn(self) -> None:
        """Write a burst of what is due, if the client reads, and read on where there is room again."""
        self._is_turn_due = False
        if self._is_due and self._wire.is_writable:
            self._wire.write(self._burst(), is_binary=self._codec.is_binary)
        if self._inbox:
            self._read()
        if self._is_due and self._wire.is_writable:
            self._take_turn_soon()
        elif self._is_ending and not self._is_due:
            self._wire.write(self._codec.slices(DrainingFrame()), is_binary=self._codec.is_binary)
            self._wire.end(RESTART, "the service restarts; connect again and resume by step")

    @property
    def _is_due(self) -> bool:
        """Whether there is something to be written."""
        return bool(self._begun or self._answered or self._updates)

    def _burst(self) -> list[Slice]:
        """What is written next: about as much as is buffered before the client counts as slow."""
        burst: list[Slice] = []
        size = 0
        while self._is_due and size < BURST_BYTES and len(burst) < BURST_SLICES:
            burst.append(self._next())
            size += len(burst[-1][0])
        return burst

    def _next(self) -> Slice:
        """A slice of what is due; updates come when all is answered."""
        begun = self._begun or (self._answer(*self._answered.popleft()) if self._answered else self._update())
        data, is_last = next(begun)
        self._begun = None if is_last else begun
        return data, is_last

    def _answer(self, asked: Asked, outcome: Any) -> Iterator[Slice]:
        """Begin the frame that gives a reply or an error."""
        self._weight -= asked.weight
        if not isinstance(outcome, Exception):
            try:
                slices = self._codec.slices(asked.reply(outcome))
            except Exception as error:
                logger.exception("an answer could not be given")
                outcome = error
            else:
                self._service.metrics.answered("websocket", asked.op, "ok")
                return slices
        refusal = outcome if isinstance(outcome, Refusal) else Internal("this is our mistake")
        self._service.metrics.answered("websocket", asked.op, refusal.code)
        return self._codec.slices(error_frame(asked.ref, refusal))

    def _update(self) -> Iterator[Slice]:
        """Begin the frame that tells what became of a session that the client follows."""
        key = next(iter(self._updates))
        return self._codec.slices(update_frame(key, self._updates.pop(key)))

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

    def _give_up(self) -> None:
        logger.warning("a client has not read for %g s; its socket is closed", self._service.settings.ws_send_seconds)
        self._wire.end(OVERLOAD, "the client does not read fast enough; connect again and resume by step")

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
