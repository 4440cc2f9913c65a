"""Starts the workers, passes signals on, and waits. One that ends by itself ends them all: no part of the sessions is left unserved unnoticed."""

from __future__ import annotations

import logging
import multiprocessing
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from types import FrameType

from app.server import cannot_listen, listen
from app.settings import Settings
from app.stores.base import StoreFailure
from app.stores.directory import DataDirectory
from app.workers import layout
from app.workers.worker import HURRY, STOP, Seat, work

logger = logging.getLogger(__name__)

LAST_SECONDS = 10.0  # beyond the grace time, which sockets and requests may take one after the other


class Supervisor:
    """Worker processes, by the sockets over which they are told what to do."""

    def __init__(self, workers: dict[SpawnProcess, socket.socket], grace_seconds: float) -> None:
        self._workers = workers
        self._seconds_to_end = 2 * grace_seconds + LAST_SECONDS
        self._deadline: float | None = None
        self._has_failed = False

    def on_signal(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signature of a handler
        """The first signal stops in order, a second one at once."""
        logger.info("received %s", signal.Signals(number).name)
        self._stop(STOP if self._deadline is None else HURRY)

    def wait(self) -> int:
        """Until all workers have ended; the exit code."""
        running = {worker.sentinel: worker for worker in self._workers}
        while running:
            # A handler of signals sets the deadline, so that must be looked at every now and then.
            for sentinel in wait(list(running), timeout=1.0):
                assert isinstance(sentinel, int)  # noqa: S101 - that is what was given
                self._on_end(running.pop(sentinel))
            if self._deadline is not None and time.monotonic() > self._deadline:
                self._kill(list(running.values()))
        return 1 if self._has_failed else 0

    def _on_end(self, worker: SpawnProcess) -> None:
        worker.join()
        if worker.exitcode == 0 and self._deadline is not None:
            return
        self._has_failed = True
        logger.error("%s (process %d) ended with %s; the service stops", worker.name, worker.pid, worker.exitcode)
        if self._deadline is None:
            self._stop(STOP)

    def _stop(self, word: bytes) -> None:
        if self._deadline is None:
            self._deadline = time.monotonic() + self._seconds_to_end
        for lifeline in self._workers.values():
            with suppress(OSError):  # that one has ended
                lifeline.send(word)

    def _kill(self, workers: list[SpawnProcess]) -> None:
        for worker in workers:
            logger.error("%s (process %d) does not end; it is killed", worker.name, worker.pid)
            worker.kill()


def serve(settings: Settings) -> int:
    """Serve with several workers until a signal comes or one of them fails; the exit code."""
    with ExitStack() as stack:
        try:
            listeners = [stack.enter_context(one) for one in listen_together(settings)]
            if settings.store == "lmdb":
                layout.check(settings.data_dir, settings.workers)
                stack.enter_context(DataDirectory(settings.data_dir))
        except StoreFailure as failure:
            logger.error("%s", failure)  # noqa: TRY400 - the line says all
            return 1
        except OSError as error:
            cannot_listen(settings, error)
            return 1
        with started(settings, listeners) as workers:
            supervisor = Supervisor(workers, settings.grace_seconds)
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, supervisor.on_signal)
            return supervisor.wait()


def listen_together(settings: Settings) -> list[socket.socket]:
    """A listening socket for each worker on one port, among which the kernel shares out connections; raises OSError."""
    # Sockets that share a port would share it with another server's, too. One that does not share finds that out.
    with listen(settings.host, settings.port) as alone:
        port = alone.getsockname()[1]
    return [listen(settings.host, port, is_shared=True) for _ in range(settings.workers)]


@contextmanager
def started(settings: Settings, listeners: list[socket.socket]) -> Iterator[dict[SpawnProcess, socket.socket]]:
    """The workers with their lifelines. At the end of the block the lifelines are cut, so none of them goes on."""
    context = multiprocessing.get_context("spawn")
    pairs: list[dict[int, socket.socket]] = [{} for _ in listeners]
    workers: dict[SpawnProcess, socket.socket] = {}
    for left in range(settings.workers):
        for right in range(left):
            pairs[left][right], pairs[right][left] = socket.socketpair()
    with ExitStack() as lifelines:
        for number, listener in enumerate(listeners):
            ours, theirs = socket.socketpair()
            seat = Seat(number, settings, listener, pairs[number], theirs)
            worker = context.Process(target=work, args=(seat,), name=f"worker {number}")
            worker.start()
            workers[worker] = lifelines.enter_context(ours)
            # With an end that stays open here nobody would notice that the worker is gone.
            for one in (listener, theirs, *pairs[number].values()):
                one.close()
        yield workers
