"""One operation on its way through the ticks, until it is answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from app.engine.group import Group
from app.engine.operations.base import Operation, Work


@dataclass(slots=True, eq=False)
class Task:
    """An operation, where its answer goes (`reply_to` means nothing here), and how far it is.

    It is answered with a `reply` or an `error`. `line` names who sent it: nobody where the service itself asks. `ahead` counts the
    sessions where others come first, `rows` how many rows of a tick it takes up.
    """

    operation: Operation[Any]
    reply_to: Any = None
    line: str | None = None
    ahead: int = 0
    is_answered: bool = False
    reply: Any = None
    error: Exception | None = None
    rows: int = field(init=False)

    def __post_init__(self) -> None:
        self.rows = max(1, len(self.operation.keys))

    def answer(self, reply: Any) -> None:
        self.reply, self.is_answered = reply, True

    def refuse(self, error: Exception) -> None:
        self.error, self.is_answered = error, True


@dataclass(slots=True, eq=False)
class Job:
    """Tasks that are computed as one work. `is_shared` says that the work's reply holds one for each of them, refusals too."""

    tasks: Sequence[Task]
    work: Work[Any]
    is_shared: bool = False

    @property
    def groups(self) -> Sequence[Group]:
        return self.work.groups

    @property
    def is_computed(self) -> bool:
        return all(group.remaining == 0 for group in self.groups)

    @property
    def is_answered(self) -> bool:
        return all(task.is_answered for task in self.tasks)

    def answer(self, reply: Any) -> None:
        for task, own in zip(self.tasks, reply if self.is_shared else [reply], strict=True):
            if self.is_shared and isinstance(own, Exception):
                task.refuse(own)
            else:
                task.answer(own)

    def refuse(self, error: Exception) -> None:
        for task in self.tasks:
            task.refuse(error)
