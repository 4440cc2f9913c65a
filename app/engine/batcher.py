"""Many callers, one compute thread: a tick takes whatever waited while the last one ran, and everybody is answered."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Self

from app.engine.engine import Engine
from app.engine.lanes import Lanes
from app.engine.lines import Lines
from app.engine.parts import completed
from app.engine.task import Task
from app.errors import Draining, Internal, Overloaded, Refusal

logger = logging.getLogger(__name__)

Deliver = Callable[[Sequence[Task]], None]
TICK_SECONDS = 0.008
TICK_SECONDS_IN_COMPANY = 0.0005  # for its rows: others wait for them, and for what any tick takes


class Batcher:
    """A thread that turns submitted tasks into ticks.

    `deliver` is called on that thread, once per tick, with the tasks that were answered. Should the thread die, everybody who
    waits is answered, `on_death` is called, and nothing more is taken.
    """

    def __init__(
        self, engine: Engine, deliver: Deliver, on_death: Callable[[], None], *, tick_rows: int, queue_limit: int
    ) -> None:
        self._engine = engine
        self._deliver = deliver
        self._on_death = on_death
        self._tick_rows = tick_rows
        self._queue_limit = queue_limit
        self._lanes = Lanes()
        self._lines = Lines()
        self._thread = threading.Thread(target=self._run, name="tidegate-compute", daemon=True)
        self._change = threading.Condition()  # guards what follows
        self._inbox: deque[Task] = deque()
        self._inbox_rows: dict[str | None, int] = {}
        self._unanswered: set[Task] = set()
        self._closed_because: Callable[[], Refusal] | None = None

    @property
    def waiting(self) -> int:
        """How many tasks are not answered yet."""
        return len(self._unanswered)

    def submit(self, task: Task) -> None:
        """Queue a task; raises Overloaded when too many wait or for too long, and Draining or Internal when the thread has ended.

        Too long is judged by what is queued in its line and by how long ticks take. Who waits for earlier requests of its own
        session is not counted, because others do not wait for it.
        """
        with self._change:
            if self._closed_because:
                raise self._closed_because()
            if len(self._unanswered) >= self._queue_limit:
                raise Overloaded(f"{self._queue_limit} requests wait already; try again in a moment")
            line, arrived = task.line, self._inbox_rows.get(task.line, 0)
            self._engine.pace.admit(self._lines.ticks_before(line, arrived, self._tick_rows), time.perf_counter())
            self._unanswered.add(task)
            self._inbox.append(task)
            self._inbox_rows[line] = arrived + task.rows
            self._change.notify()

    def close(self) -> None:
        """End the thread after its present tick. Who still waits is told that the service is shutting down."""
        self._refuse_from_now_on(partial(Draining, "the service is shutting down; connect again and resume by step"))
        self._thread.join()
        self._answer_all(Draining)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        try:
            while self._wait():
                self._answer(self._engine.tick(self._take()))
        except BaseException:
            logger.critical("the compute thread died", exc_info=True)
            self._refuse_from_now_on(partial(Internal, "the compute thread died; the service restarts"))
            self._answer_all(Internal)
            self._on_death()

    def _wait(self) -> bool:
        """Until there is something to do; whether to go on."""
        with self._change:
            while not (self._inbox or self._lines or self._engine.is_busy or self._closed_because):
                self._change.wait()
            return self._closed_because is None

    def _take(self) -> list[Task]:
        """What waited, as far as nobody is ahead of it and it is its line's turn in this tick."""
        with self._change:
            arrived, self._inbox, self._inbox_rows = self._inbox, deque(), {}
        for task in arrived:
            if self._lanes.enter(task):
                self._lines.add(task)
        pace, most = self._engine.pace, self._tick_rows
        return self._lines.take(
            min(most, pace.rows_within(TICK_SECONDS)),
            min(most, pace.rows_within(TICK_SECONDS_IN_COMPANY)),
            time.perf_counter(),
        )

    def _answer(self, answered: Sequence[Task]) -> None:
        tasks = completed(answered)
        for task in tasks:
            for freed in self._lanes.leave(task):
                self._lines.add(freed)
        with self._change:
            self._unanswered.difference_update(tasks)
        if tasks:
            self._deliver(tasks)

    def _refuse_from_now_on(self, because: Callable[[], Refusal]) -> None:
        with self._change:
            self._closed_because = self._closed_because or because
            self._change.notify()

    def _answer_all(self, kind: type[Draining | Internal]) -> None:
        with self._change:
            left, self._unanswered = list(self._unanswered), set()
        for task in left:
            task.refuse(kind("the service stopped before this was applied; connect again and send it again"))
        if left:
            self._deliver(left)
