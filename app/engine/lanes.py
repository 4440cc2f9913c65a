"""First in, first out within a session: a task waits until it is the first in the lane of every session it concerns."""

from __future__ import annotations

from collections import deque

from app.engine.session import Key
from app.engine.task import Task


class Lanes:
    """The task that each session is worked on for, or a queue of tasks where others wait behind it."""

    def __init__(self) -> None:
        self._lanes: dict[Key, Task | deque[Task]] = {}

    def __len__(self) -> int:
        return len(self._lanes)

    def enter(self, task: Task) -> bool:
        """Queue a task; whether nobody is ahead of it."""
        for key in task.operation.keys:
            lane = self._lanes.setdefault(key, task)
            if lane is task:
                continue
            if isinstance(lane, Task):
                lane = self._lanes[key] = deque([lane])
            lane.append(task)
            task.ahead += 1
        return task.ahead == 0

    def leave(self, task: Task) -> list[Task]:
        """Take out a task that was first in all its lanes; the tasks that nobody is ahead of any more."""
        freed = []
        for key in task.operation.keys:
            lane = self._lanes.pop(key)
            if isinstance(lane, Task):
                continue
            lane.popleft()
            self._lanes[key] = lane if len(lane) > 1 else lane[0]
            lane[0].ahead -= 1
            if lane[0].ahead == 0:
                freed.append(lane[0])
        return freed
