"""A task of many rows is done in parts, a tick for each, so that nobody waits for all of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from app.engine.operations.stepping import TakeColumns
from app.engine.operations.taken import Answer, joined
from app.engine.task import Task
from app.errors import Refusal


class Whole:
    """A task on its way through several ticks. `rows` are those of which no part was made yet."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.rows = task.rows
        assert isinstance(task.operation, TakeColumns)  # noqa: S101 - asked before
        self._operation = task.operation
        self._answers: list[Sequence[Answer]] = []
        self._refusals: list[Refusal] = []
        self._unanswered = task.rows

    def part(self, most: int) -> Part:
        """The next rows, as many of them as there may be."""
        begin = self.task.rows - self.rows
        end = min(begin + most, self.task.rows)
        self.rows = self.task.rows - end
        return Part(self._operation.part(begin, end), line=self.task.line, whole=self)

    def collect(self, part: Task) -> bool:
        """Take the answer of a part; whether that was the last one and the task is answered.

        Where a part was refused each of its rows is, and where all were the task is.
        """
        if isinstance(part.error, Refusal):
            self._refusals.append(part.error)
            self._answers.append([part.error] * part.rows)
        else:
            self._answers.append(part.reply)
        self._unanswered -= part.rows
        if self._unanswered:
            return False
        if len(self._refusals) == len(self._answers):
            self.task.refuse(self._refusals[0])
        else:
            self.task.answer(joined(self._answers))
        return True


@dataclass(slots=True, eq=False)
class Part(Task):
    """Some rows of a whole. Parts are answered in the order in which they were made."""

    whole: Whole = field(kw_only=True)


def is_divisible(task: Task) -> bool:
    """Whether its rows are taken or refused one by one."""
    return isinstance(task.operation, TakeColumns)


def completed(tasks: Iterable[Task]) -> list[Task]:
    """Answered tasks, where those that are parts give way to the wholes of which they were the last."""
    return [
        task.whole.task if isinstance(task, Part) else task
        for task in tasks
        if not isinstance(task, Part) or task.whole.collect(task)
    ]
