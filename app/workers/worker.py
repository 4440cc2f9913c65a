"""One worker process: the server of one process, with its own part of the sessions and a share in the port."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import uvicorn
from fastapi import FastAPI

from app import log
from app.main import create_app
from app.server import Server, configured
from app.settings import Settings
from app.workers import layout
from app.workers.team import joined

STOP, HURRY = b"s", b"h"


@dataclass(frozen=True)
class Seat:
    """What a worker gets from the supervisor: a listening socket, one to each other worker, and one to the supervisor."""

    worker: int
    settings: Settings
    listener: socket.socket
    pairs: Mapping[int, socket.socket]
    lifeline: socket.socket


class Worker(Server):
    """A server that also stops when the supervisor says so or is gone."""

    def __init__(self, config: uvicorn.Config, app: FastAPI, grace_seconds: float, lifeline: socket.socket) -> None:
        super().__init__(config, app, grace_seconds)
        lifeline.setblocking(False)  # noqa: FBT003 - the name says it
        self._lifeline = lifeline

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen to the supervisor, open the models, then listen to clients."""
        asyncio.get_running_loop().add_reader(self._lifeline, self._on_word)
        await super().startup(sockets)

    def _on_word(self) -> None:
        words = self._lifeline.recv(64)
        if not words:
            asyncio.get_running_loop().remove_reader(self._lifeline)
        self.should_exit = True
        self.force_exit = self.force_exit or HURRY in words
        if self._service is not None:
            self._service.is_draining = True  # at once: that another worker ends before this one is no failure then


def work(seat: Seat) -> None:
    """Serve until told to stop; ends the process with the exit code."""
    settings = seat.settings
    log.set_up(settings.log_format, seat.worker)
    own = layout.part(settings.data_dir, seat.worker, settings.workers)
    settings = settings.model_copy(update={"data_dir": own})
    app = create_app(settings, partial(joined, seat.worker, seat.pairs))
    server = Worker(configured(app, settings), app, settings.grace_seconds, seat.lifeline)
    server.run([seat.listener])
    sys.exit(1 if server.failed else 0)
