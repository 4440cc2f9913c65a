"""First in, first out within a session: a task waits until it is the first in the lane of every session it concerns."""

from __future__ import annotations

from collections import deque

from app.engine.session import Key
from app.engine.task import Task


class Lanes:
    """A queue for each session that somebody waits for or works on."""

    def __init__(self) -> None:
        self._lanes: dict[Key, deque[Task]] = {}

    def __len__(self) -> int:
        return len(self._lanes)

    def enter(self, task: Task) -> bool:
        """Queue a task; whether nobody is ahead of it."""
        for key in task.operation.keys:
            lane = self._lanes.setdefault(key, deque())
            task.ahead += len(lane) > 0
            lane.append(task)
        return task.ahead == 0

    def leave(self, task: Task) -> list[Task]:
        """Take out a task that was first in all its lanes; the tasks that nobody is ahead of any more."""
        freed = []
        for key in task.operation.keys:
            lane = self._lanes[key]
            lane.popleft()
            if not lane:
                del self._lanes[key]
                continue
            lane[0].ahead -= 1
            if lane[0].ahead == 0:
                freed.append(lane[0])
        return freed
