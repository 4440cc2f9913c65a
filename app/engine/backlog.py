"""Long sequences on their way: they take turns, a chunk each, so that neither live steps nor each other wait for all of one."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from app.engine.group import Group
from app.engine.task import Job


@dataclass(frozen=True, slots=True)
class TickLimits:
    """How much one tick does: rows of one encode, steps of one row at once, observations of long sequences in all.

    Who would wait longer than `wait_seconds` for its turn is refused.
    """

    rows: int = 256
    chunk_steps: int = 128
    long_steps: int = 4096
    wait_seconds: float = 2.0


class Backlog:
    """The groups that need more than one tick, in the order of their turns."""

    def __init__(self, limits: TickLimits) -> None:
        self._limits = limits
        self._queue: deque[tuple[Job, Group]] = deque()
        self._observations = 0

    def __len__(self) -> int:
        return len(self._queue)

    def add(self, job: Job, group: Group) -> None:
        """Queue a group for its next turn."""
        self._queue.append((job, group))
        self._observations += group.rows * group.remaining

    def turns(self) -> Iterator[tuple[Job, Group, int]]:
        """The next chunks in turn, so many that live steps never wait long for them. Who is not done is to be added again."""
        budget = self._limits.long_steps
        while self._queue and budget > 0:
            job, group = self._queue.popleft()
            self._observations -= group.rows * group.remaining
            if job.is_answered:
                continue
            steps = min(group.remaining, self._limits.chunk_steps, max(1, self._limits.long_steps // group.rows))
            budget -= steps * group.rows
            yield job, group, steps

    def ticks_before(self, job: Job) -> float:
        """How many ticks are spent on others before a job is done, at most; none for a job without long sequences.

        Every other group has at most as much computed meanwhile as the job's largest one.
        """
        largest = max((group.rows * group.remaining for group in job.groups if group.remaining > 1), default=0)
        return min(self._observations, len(self._queue) * largest) / self._limits.long_steps
