"""Who wants to know of every step of a session, whoever sends it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from app.engine.operations.rows import Stepped
from app.engine.operations.stepping import TakeColumns, TakeSteps
from app.engine.session import Key
from app.engine.task import Task
from app.errors import Refusal


class Subscriber(Protocol):
    """Somebody who wants to know."""

    def on_update(self, key: Key, stepped: Stepped) -> None: ...


class Subscriptions:
    """The subscribers of each session."""

    def __init__(self) -> None:
        self._subscribers: dict[Key, set[Subscriber]] = {}
        self.on_unfollowed: Callable[[Key], None] = lambda _: None

    def __contains__(self, key: Key) -> bool:
        return key in self._subscribers

    def add(self, key: Key, subscriber: Subscriber) -> None:
        self._subscribers.setdefault(key, set()).add(subscriber)

    def remove(self, key: Key, subscriber: Subscriber) -> None:
        subscribers = self._subscribers.get(key, set())
        subscribers.discard(subscriber)
        if not subscribers and self._subscribers.pop(key, None) is not None:
            self.on_unfollowed(key)

    def announce(self, tasks: Iterable[Task]) -> None:
        """Tell subscribers about the sessions that these tasks moved."""
        if not self._subscribers:
            return
        for task in tasks:
            if task.error is not None:
                continue
            operation, reply = task.operation, task.reply
            if isinstance(operation, TakeSteps):
                self._tell(operation.key, reply)
            elif isinstance(operation, TakeColumns):
                for key, answer in zip(operation.keys, reply, strict=True):
                    self._tell(key, answer)

    def tell(self, key: Key, stepped: Stepped) -> None:
        """Tell subscribers about a session that moved."""
        for subscriber in self._subscribers.get(key, ()):
            subscriber.on_update(key, stepped)

    def _tell(self, key: Key, answer: Stepped | Refusal) -> None:
        if not isinstance(answer, Refusal) and (answer.applied or answer.filled):
            self.tell(key, answer)
