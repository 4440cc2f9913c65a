"""The story of an observation: judge → gather → encode → decode → commit → scatter → answer."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from app.engine import group
from app.engine.group import Group
from app.engine.operations.base import Context
from app.engine.task import Task
from app.errors import Internal, Refusal, StoreUnavailable

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TickLimits:
    """How much one tick does: rows of one encode, steps of one row at once, observations of long sequences in all."""

    rows: int = 256
    chunk_steps: int = 128
    long_steps: int = 4096


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
        self._long: deque[tuple[Task, Group]] = deque()

    @property
    def is_busy(self) -> bool:
        """Whether long sequences wait for their next turn."""
        return bool(self._long)

    def tick(self, arrived: Sequence[Task]) -> list[Task]:
        """Begin tasks, move everybody on, and return the tasks that are answered: what changed is kept by then."""
        began, tick = time.perf_counter(), Tick()
        self._begin(arrived)
        moved = self._encode(arrived, tick)
        computed = [task for task in unique([*arrived, *moved]) if task.is_computed]
        self._decode(computed, tick)
        self._finish(computed)
        self._commit(computed, tick)
        tick.tasks, tick.seconds = len(computed), time.perf_counter() - began
        self._on_tick(tick)
        return computed

    def _begin(self, tasks: Iterable[Task]) -> None:
        for task in tasks:
            with answering([task]):
                task.work = task.operation.begin(self._context)

    def _encode(self, arrived: Iterable[Task], tick: Tick) -> list[Task]:
        """Everybody's next observations, equal lengths under one model together; the tasks that were moved."""
        turns: dict[tuple[int, int], list[tuple[Task, Group]]] = {}
        for task, one, steps in [*self._live(arrived), *self._long_turns()]:
            turns.setdefault((id(one.model), steps), []).append((task, one))
            tick.rows += one.rows
            tick.observations += one.rows * steps
        for (_, steps), members in turns.items():
            with answering([task for task, _ in members]):
                group.encode([one for _, one in members], steps, self._limits.rows)
            self._long.extend((task, one) for task, one in members if one.remaining and not task.error)
        return [task for members in turns.values() for task, _ in members]

    def _live(self, arrived: Iterable[Task]) -> Iterator[tuple[Task, Group, int]]:
        """Single steps, all of them at once; longer sequences queue up behind those that are under way."""
        for task in arrived:
            for one in task.groups:
                if one.remaining == 1:
                    yield task, one, 1
                elif one.remaining:
                    self._long.append((task, one))

    def _long_turns(self) -> Iterator[tuple[Task, Group, int]]:
        """The next chunks of long sequences in turn, so many that live steps never wait long for them."""
        budget = self._limits.long_steps
        while self._long and budget > 0:
            task, one = self._long.popleft()
            if task.error:
                continue
            steps = min(one.remaining, self._limits.chunk_steps, max(1, self._limits.long_steps // one.rows))
            budget -= steps * one.rows
            yield task, one, steps

    def _decode(self, tasks: Iterable[Task], tick: Tick) -> None:
        wanted: dict[int, list[tuple[Task, Group]]] = {}
        for task in tasks:
            for one in task.groups:
                if one.future is not None:
                    wanted.setdefault(id(one.model), []).append((task, one))
                    tick.forecasts += one.rows
        for members in wanted.values():
            with answering([task for task, _ in members]):
                group.decode([one for _, one in members], self._limits.rows)

    def _finish(self, tasks: Iterable[Task]) -> None:
        for task in tasks:
            if task.work and not task.error:
                with answering([task]):
                    task.outcome = task.work.finish()

    def _commit(self, tasks: Iterable[Task], tick: Tick) -> None:
        """One transaction for all that changed. State changes here and nowhere else."""
        changed = [task for task in tasks if task.outcome and (task.outcome.moved or task.outcome.ended)]
        if not changed:
            return
        began = time.perf_counter()
        outcomes = [task.outcome for task in changed if task.outcome]
        moved = [move for outcome in outcomes for move in outcome.moved]
        ended = [end for outcome in outcomes for end in outcome.ended]
        try:
            self._context.sessions.commit(moved, ended)
        except StoreUnavailable as refusal:
            for task in changed:
                task.error = StoreUnavailable(refusal.detail)
        tick.commit_seconds = time.perf_counter() - began


@contextmanager
def answering(tasks: Sequence[Task]) -> Iterator[None]:
    """What goes wrong inside concerns these tasks and nobody else."""
    try:
        yield
    except Refusal as refusal:
        for task in tasks:
            task.error = refusal
    except Exception:
        logger.exception("a batch of %d failed", len(tasks))
        for task in tasks:
            task.error = Internal("the computation failed; the session has not moved, and trying again is safe")


def unique(tasks: Iterable[Task]) -> list[Task]:
    return list(dict.fromkeys(tasks))
