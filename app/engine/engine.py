"""The story of an observation: judge → gather → encode → decode → commit → scatter → answer."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from app.engine import group
from app.engine.backlog import Backlog, TickLimits
from app.engine.group import Group
from app.engine.operations.base import Context, Outcome
from app.engine.operations.stepping import TakeSteps, begin_together
from app.engine.pace import Pace
from app.engine.task import Job, Task
from app.errors import Internal, Refusal, StoreUnavailable

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Tick:
    """What one tick did."""

    tasks: int = 0
    rows: int = 0
    observations: int = 0
    forecasts: int = 0
    seconds: float = 0.0
    commit_seconds: float = 0.0


class Engine:
    """Moves many sessions at once. One thread uses it; `on_tick` is told what each tick did."""

    def __init__(self, context: Context, limits: TickLimits, on_tick: Callable[[Tick], None] = lambda _: None) -> None:
        self._context = context
        self._limits = limits
        self._on_tick = on_tick
        self._backlog = Backlog(limits)
        self.pace = Pace(limits.rows, limits.wait_seconds)

    @property
    def is_busy(self) -> bool:
        """Whether long sequences wait for their next turn."""
        return len(self._backlog) > 0

    def tick(self, arrived: Sequence[Task]) -> list[Task]:
        """Begin tasks, move everybody on, and return the tasks that are answered: what changed is kept by then."""
        began, tick = time.perf_counter(), Tick()
        self.pace.begin(began)
        jobs = self._begin(arrived)
        moved = self._encode(jobs, tick)
        computed = [job for job in unique([*jobs, *moved]) if job.is_computed and not job.is_answered]
        self._decode(computed, tick)
        self._commit(self._finish(computed), tick)
        concerned = dict.fromkeys([*arrived, *(task for job in moved for task in job.tasks)])
        answered = [task for task in concerned if task.is_answered]
        ended = time.perf_counter()
        tick.tasks, tick.seconds = len(answered), ended - began
        self.pace.end(ended, tick.rows, tick.commit_seconds)
        self._on_tick(tick)
        return answered

    def _begin(self, tasks: Iterable[Task]) -> list[Job]:
        """What is to be computed: single steps together, everything else by itself."""
        jobs: list[Job] = []
        singles: dict[Task, TakeSteps] = {}
        for task in tasks:
            if isinstance(task.operation, TakeSteps) and task.operation.is_single:
                singles[task] = task.operation
                continue
            with answering([task]):
                job = Job([task], task.operation.begin(self._context))
                self._admit(job)
                jobs.append(job)
        if singles:
            with answering(list(singles)):
                jobs += self._begin_together(list(singles), list(singles.values()))
        return jobs

    def _admit(self, job: Job) -> None:
        """Raise Overloaded for long sequences that would be under way for too long beside those that are."""
        ticks = self._backlog.ticks_before(job)
        if ticks:
            self.pace.admit(ticks, time.perf_counter())

    def _begin_together(self, tasks: Sequence[Task], operations: Sequence[TakeSteps]) -> list[Job]:
        together = begin_together(self._context, operations)
        for place, refusal in together.refused.items():
            tasks[place].refuse(refusal)
        return [Job([tasks[place] for place in places], work, is_shared=True) for places, work in together.works]

    def _encode(self, jobs: Iterable[Job], tick: Tick) -> list[Job]:
        """Everybody's next observations, equal lengths under one model together; the jobs that were moved."""
        turns: dict[tuple[int, int], list[tuple[Job, Group]]] = {}
        for job, one, steps in [*self._live(jobs), *self._backlog.turns()]:
            turns.setdefault((id(one.model), steps), []).append((job, one))
            tick.rows += one.rows
            tick.observations += one.rows * steps
        for (_, steps), members in turns.items():
            with answering([job for job, _ in members]):
                group.encode([one for _, one in members], steps, self._limits.rows)
            for job, one in members:
                if one.remaining and not job.is_answered:
                    self._backlog.add(job, one)
        return [job for members in turns.values() for job, _ in members]

    def _live(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, Group, int]]:
        """Single steps, all of them at once; longer sequences queue up behind those that are under way."""
        for job in jobs:
            for one in job.groups:
                if one.remaining == 1:
                    yield job, one, 1
                elif one.remaining:
                    self._backlog.add(job, one)

    def _decode(self, jobs: Iterable[Job], tick: Tick) -> None:
        wanted: dict[int, list[tuple[Job, Group]]] = {}
        for job in jobs:
            for one in job.groups:
                if one.future is not None:
                    wanted.setdefault(id(one.model), []).append((job, one))
                    tick.forecasts += one.rows
        for members in wanted.values():
            with answering([job for job, _ in members]):
                group.decode([one for _, one in members], self._limits.rows)

    def _finish(self, jobs: Iterable[Job]) -> list[tuple[Job, Outcome[Any]]]:
        """Answer every job; the answers that change something wait for their commit before they are given."""
        changes: list[tuple[Job, Outcome[Any]]] = []
        for job in jobs:
            if job.is_answered:
                continue
            with answering([job]):
                outcome = job.work.finish()
                job.answer(outcome.reply)
                changes += [(job, outcome)] if outcome.changes else []
        return changes

    def _commit(self, changes: Sequence[tuple[Job, Outcome[Any]]], tick: Tick) -> None:
        """One transaction for all that changed. State changes here and nowhere else."""
        if not changes:
            return
        began = time.perf_counter()
        outcomes = [outcome for _, outcome in changes]
        try:
            self._context.sessions.commit(
                [move for outcome in outcomes for move in outcome.moved],
                [end for outcome in outcomes for end in outcome.ended],
                [key for outcome in outcomes for key in outcome.forgotten],
            )
        except StoreUnavailable as refusal:
            for task in (task for job, _ in changes for task in job.tasks if task.error is None):
                task.refuse(StoreUnavailable(refusal.detail))
        tick.commit_seconds = time.perf_counter() - began


@contextmanager
def answering(concerned: Sequence[Task] | Sequence[Job]) -> Iterator[None]:
    """What goes wrong inside concerns these tasks and nobody else."""
    try:
        yield
    except Refusal as refusal:
        for one in concerned:
            one.refuse(refusal)
    except Exception:
        logger.exception("a batch of %d failed", len(concerned))
        for one in concerned:
            one.refuse(Internal("the computation failed; the session has not moved, and trying again is safe"))


def unique(jobs: Iterable[Job]) -> list[Job]:
    return list(dict.fromkeys(jobs))
