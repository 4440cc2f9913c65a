"""The way from one worker to another: operations go there, and their answers and updates come back.

What arrives is done by the worker it arrives at. It is never passed on, so nothing can go round in circles.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any, NamedTuple

from app.engine.operations.base import Operation
from app.engine.operations.looking import Follow
from app.engine.operations.rows import Stepped
from app.engine.session import Key
from app.engine.task import Task
from app.errors import Draining, Internal, Overloaded, Refusal
from app.report import Report
from app.service import Service
from app.workers.channel import Channel

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 2.0


class Asked(NamedTuple):
    """An operation to be done, in a line. None asks for a report."""

    ref: int
    operation: Operation[Any] | None
    line: str | None


class Answered(NamedTuple):
    """What became of it."""

    ref: int
    reply: Any
    refusal: Refusal | None = None


class Updated(NamedTuple):
    """A session that somebody there follows has moved."""

    key: Key
    stepped: Stepped


class Unfollowed(NamedTuple):
    """Nobody there follows the session any more."""

    key: Key


class Link:
    """One end of the way between this worker and another. At most `limit` operations are under way there at a time."""

    def __init__(self, service: Service, worker: int, limit: int) -> None:
        self._service = service
        self.worker = worker
        self._limit = limit
        self.channel = Channel(self, service.loop)
        self._asked: dict[int, Task | asyncio.Future[Report]] = {}
        self._refs = count()
        self._updates: dict[Key, Stepped] = {}
        self._followed: set[Key] = set()
        self._is_lost = False

    @property
    def waiting(self) -> int:
        """How many operations are not answered yet."""
        return len(self._asked)

    def submit(self, task: Task) -> None:
        """Let the other worker do it; raises Overloaded when too many wait there, Draining when it is gone."""
        if self._is_lost:
            raise self._gone()
        if len(self._asked) >= self._limit:
            raise Overloaded(f"{self._limit} requests wait for worker {self.worker} already; try again in a moment")
        self._ask(task.operation, task.line, task)

    async def report(self) -> Report:
        """How the other worker is."""
        answer: asyncio.Future[Report] = self._service.loop.create_future()
        if not self._is_lost:
            ref = self._ask(None, None, answer)
            try:
                return await asyncio.wait_for(answer, PATIENCE_SECONDS)
            except TimeoutError:
                self._asked.pop(ref, None)
        reason = "it has ended" if self._is_lost else f"it has not answered for {PATIENCE_SECONDS:g} s"
        return Report(self.worker, 0, 0, 0, 0, 0, [reason], [])

    def unfollow(self, key: Key) -> None:
        """Say that nobody here follows a session of the other worker any more."""
        self.channel.send(Unfollowed(key))

    def on_message(self, message: Asked | Answered | Updated | Unfollowed) -> None:
        """The other worker asks or answers."""
        if isinstance(message, Asked):
            self._do(message)
        elif isinstance(message, Answered):
            self._answered(message)
        elif isinstance(message, Updated):
            self._service.subscriptions.tell(message.key, message.stepped)
        else:
            self._followed.discard(message.key)
            self._service.subscriptions.remove(message.key, self)

    def on_update(self, key: Key, stepped: Stepped) -> None:
        """A session that is followed there has moved; where the way is full, the newest update is the one that counts."""
        self._updates[key] = stepped
        if self.channel.is_writable:
            self.on_writable()

    def on_writable(self) -> None:
        """There is room again."""
        for key in list(self._updates):
            self.channel.send(Updated(key, self._updates.pop(key)))

    def on_lost(self) -> None:
        """The other worker is gone: who waits for it is told, and without it this one cannot go on."""
        self._is_lost = True
        if not self._service.is_draining:
            self._service.die(f"worker {self.worker} is gone")
        for key in self._followed:
            self._service.subscriptions.remove(key, self)
        asked, self._asked = self._asked, {}
        for one in asked.values():
            if isinstance(one, Task):
                one.refuse(self._gone())
                _reply(one)

    def _ask(self, operation: Operation[Any] | None, line: str | None, one: Task | asyncio.Future[Report]) -> int:
        ref = next(self._refs)
        self._asked[ref] = one
        self.channel.send(Asked(ref, operation, line))
        return ref

    def _do(self, asked: Asked) -> None:
        if asked.operation is None:
            self.channel.send(Answered(asked.ref, self._service.report()))
            return
        try:
            self._service.do(asked.operation, partial(self._done, asked.ref), asked.line)
        except Refusal as refusal:
            self.channel.send(Answered(asked.ref, None, refusal))

    def _done(self, ref: int, task: Task) -> None:
        error = task.error
        refusal = error if error is None or isinstance(error, Refusal) else Internal("this is our mistake")
        self.channel.send(Answered(ref, task.reply, refusal))
        if error is None and isinstance(task.operation, Follow):
            self._followed.add(task.operation.key)
            self._service.subscriptions.add(task.operation.key, self)

    def _answered(self, message: Answered) -> None:
        one = self._asked.pop(message.ref, None)
        if isinstance(one, asyncio.Future):
            one.set_result(message.reply)
        elif one is not None:
            _settle(one, message)
            _reply(one)

    def _gone(self) -> Draining:
        return Draining(f"worker {self.worker} is gone; the service restarts: connect again and send it again")


def _settle(task: Task, message: Answered) -> None:
    if message.refusal is None:
        task.answer(message.reply)
    else:
        task.refuse(message.refusal)


def _reply(task: Task) -> None:
    """Nobody's answer is lost because another one could not be given."""
    reply_to: Callable[[Task], None] = task.reply_to
    try:
        reply_to(task)
    except Exception:
        logger.exception("an answer could not be given")
