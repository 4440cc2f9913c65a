"""One operation on its way through the ticks, until it is answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.engine.group import Group
from app.engine.operations.base import Operation, Outcome, Work


@dataclass(slots=True, eq=False)
class Task:
    """An operation, where its answer goes (`reply_to` means nothing here), and how far it is.

    It is answered when it has an `outcome` or an `error`. `ahead` counts the sessions where others come first.
    """

    operation: Operation[Any]
    reply_to: Any = None
    ahead: int = 0
    work: Work[Any] | None = None
    outcome: Outcome[Any] | None = None
    error: Exception | None = None

    @property
    def rows(self) -> int:
        """How many rows of a tick it takes up."""
        return max(1, len(self.operation.keys))

    @property
    def groups(self) -> tuple[Group, ...]:
        return tuple(self.work.groups) if self.work and not self.error else ()

    @property
    def is_computed(self) -> bool:
        return all(group.remaining == 0 for group in self.groups)

    @property
    def is_answered(self) -> bool:
        return self.outcome is not None or self.error is not None
