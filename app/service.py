"""What every route works with: the models, the sessions, and the way to the compute thread and back."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Protocol, TypeVar

from app.engine.backlog import TickLimits
from app.engine.batcher import Batcher
from app.engine.engine import Engine
from app.engine.operations.base import Context, Operation
from app.engine.registry import Models, open_models
from app.engine.sessions import SessionLimits, Sessions
from app.engine.task import Task
from app.errors import Draining
from app.metrics import Metrics
from app.report import Report
from app.settings import Settings
from app.stores.base import Store
from app.stores.opening import open_store
from app.subscriptions import Subscriptions
from app.sweeping import sweeping

logger = logging.getLogger(__name__)

R = TypeVar("R")
TENANT = ""  # all sessions belong to one tenant
POLL_SECONDS = 0.01
OnAnswer = Callable[[Task], None]


async def nobody() -> list[Report]:
    """The reports of the other processes, where there are none."""
    return []


class Desk(Protocol):
    """Where tasks are handed in to be done."""

    @property
    def waiting(self) -> int:
        """How many of them are not answered yet."""

    def submit(self, task: Task) -> None:
        """Take a task that will be answered; raises Overloaded, Draining or Internal."""


class Socket(Protocol):
    """An open WebSocket."""

    def drain(self) -> None:
        """Say that the service stops, and close."""


@dataclass(eq=False)
class Service:
    """One running service. All but `deliver` belongs to the event loop."""

    settings: Settings
    models: Models
    store: Store
    sessions: Sessions
    metrics: Metrics
    loop: asyncio.AbstractEventLoop
    batcher: Batcher = field(init=False)
    desk: Desk = field(init=False)  # the batcher, or what decides which worker's batcher it is
    worker: int = 0
    others: Callable[[], Awaitable[list[Report]]] = nobody
    started_at: float = field(default_factory=time.time)
    is_draining: bool = False
    dead_because: str | None = None
    subscriptions: Subscriptions = field(default_factory=Subscriptions)
    sockets: set[Socket] = field(default_factory=set)
    _socket_numbers: Iterator[int] = field(default_factory=count)

    async def ask(self, operation: Operation[R], line: str | None = None) -> R:
        """The reply to an operation; raises what it is refused with. `line` names who asks: nobody where the service itself does."""
        answer: asyncio.Future[Task] = self.loop.create_future()
        self.submit(operation, partial(_settle, answer), line)
        task = await answer
        if task.error is not None:
            raise task.error
        reply: R = task.reply
        return reply

    def submit(self, operation: Operation[Any], on_answer: OnAnswer, line: str | None = None) -> None:
        """Queue an operation; `on_answer` is called on the event loop. Raises Overloaded or Draining at once."""
        self._check_open()
        self.desk.submit(Task(operation, on_answer, line))

    def do(self, operation: Operation[Any], on_answer: OnAnswer, line: str | None) -> None:
        """Queue an operation to be done by this process, whoever should do it; otherwise as `submit`."""
        self._check_open()
        self.batcher.submit(Task(operation, on_answer, line))

    def deliver(self, tasks: Sequence[Task]) -> None:
        """Hand a tick's answers over to the event loop, all at once. Called on the compute thread."""
        self.loop.call_soon_threadsafe(self._answer, tasks)

    def _answer(self, tasks: Sequence[Task]) -> None:
        for task in tasks:
            try:
                task.reply_to(task)
            except Exception:
                logger.exception("an answer could not be given")
        self.subscriptions.announce(tasks)

    def line_of_socket(self) -> str:
        """The name of a new socket's line, of which there is no second one in any worker."""
        return f"socket {next(self._socket_numbers)} of worker {self.worker}"

    def report(self) -> Report:
        """How this process is."""
        sessions = self.sessions
        reasons, metrics = self._reasons_not_ready(), list(self.metrics.registry.collect())
        return Report(
            worker=self.worker,
            pid=os.getpid(),
            sessions=sessions.total,
            resident=len(sessions.residency),
            sockets=len(self.sockets),
            waiting=self.batcher.waiting,
            reasons=reasons,
            metrics=metrics,
        )

    async def reports(self) -> list[Report]:
        """How every process of the service is, this one among them."""
        return sorted([self.report(), *await self.others()], key=lambda report: report.worker)

    def _check_open(self) -> None:
        if self.is_draining:
            raise Draining("the service is shutting down; connect again and send it again")

    def _reasons_not_ready(self) -> list[str]:
        """Why this process should get no requests now."""
        reasons = []
        if self.is_draining:
            reasons.append("the service is shutting down")
        if self.dead_because:
            reasons.append(f"{self.dead_because}; the service restarts")
        if not self.models.served:
            refused = "; all that are there were refused" if self.models.refused else ""
            reasons.append(f"no model is served: put a bundle into {self.settings.models} and restart{refused}")
        return reasons

    async def drain(self, seconds: float, is_hurried: Callable[[], bool]) -> None:
        """Take nothing new, let those who wait be answered, and say goodbye to sockets; at most for so long."""
        self.is_draining = True
        deadline = self.loop.time() + seconds
        await self._until(lambda: not self.desk.waiting, deadline, is_hurried)
        await asyncio.sleep(POLL_SECONDS)  # the last answers are on their way from the compute thread
        for socket in list(self.sockets):
            socket.drain()
        await self._until(lambda: not self.sockets, deadline, is_hurried)

    async def _until(self, is_done: Callable[[], bool], deadline: float, is_hurried: Callable[[], bool]) -> None:
        while not is_done() and self.loop.time() < deadline and not is_hurried():  # noqa: ASYNC110 - other threads decide
            await asyncio.sleep(POLL_SECONDS)

    def die(self, because: str) -> None:
        """The process cannot go on and ends, visibly."""
        self.dead_because = self.dead_because or because

    @property
    def is_dead(self) -> bool:
        return self.dead_because is not None


@contextmanager
def running(settings: Settings) -> Iterator[Service]:
    """A service with its compute thread, for the event loop that runs now."""
    models = open_models(settings.models, settings.provider, settings.step_graph)
    log_models(models, settings.models)
    metrics = Metrics()
    with store_of(settings) as store:
        limits_of_sessions = SessionLimits(
            settings.share(settings.max_sessions),
            settings.share(settings.max_resident),
            settings.idle_seconds,
            settings.tombstone_seconds,
        )
        sessions = Sessions(store, models, limits_of_sessions, time.time)
        service = Service(settings, models, store, sessions, metrics, asyncio.get_running_loop())
        context = Context(models, sessions, time.time, settings.gap_limit)
        limits = TickLimits(settings.tick_rows, settings.chunk_steps, settings.tick_steps, settings.max_wait_seconds)
        service.batcher = Batcher(
            Engine(context, limits, metrics.on_tick),
            service.deliver,
            partial(service.die, "the compute thread died"),
            tick_rows=settings.tick_rows,
            queue_limit=settings.queue_limit,
        )
        service.desk = service.batcher
        metrics.sessions.set_function(lambda: sessions.total)
        for model, coverage in sessions.residency.coverage():
            metrics.follow(f"{model.bundle.name}/{model.bundle.version}", coverage)
        metrics.resident.set_function(lambda: len(sessions.residency))
        metrics.sockets.set_function(lambda: len(service.sockets))
        metrics.waiting.set_function(lambda: service.batcher.waiting)
        with service.batcher, sweeping(service.loop, service.ask):
            yield service


def store_of(settings: Settings) -> AbstractContextManager[Store]:
    return open_store(
        settings.store, settings.data_dir, settings.durability, settings.sync_seconds, settings.store_bytes
    )


def log_models(models: Models, directory: Path) -> None:
    for served in models:
        bundle, exact = served.model.bundle, "bit for bit" if served.bit_exact else "within the tolerance"
        logger.info(
            "serving model %s version %s on %s; its self-test held %s",
            bundle.name, bundle.version, served.model.provider, exact,
        )  # fmt: skip
    for refused in models.refused:
        logger.error("refused bundle %s: %s", refused.bundle, refused.reason)
    if not models.served:
        logger.error("no model is served: put a bundle into %s, as <name>/<version>/, and restart", directory)


def _settle(answer: asyncio.Future[Task], task: Task) -> None:
    if not answer.done():  # the caller may have left
        answer.set_result(task)
