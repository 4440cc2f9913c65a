"""uvicorn as this service needs it: bounded WebSockets, dead connections noticed, and a shutdown in which everybody is answered."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import logging
import math
import platform
import signal
import socket
import sys
from types import FrameType

import uvicorn
from fastapi import FastAPI

from app.http import Door
from app.main import create_app
from app.service import Service
from app.settings import Settings
from app.stores.base import StoreFailure
from app.websocket import Wire
from app.workers import layout

logger = logging.getLogger(__name__)

FAILED = 1  # the exit code
BACKLOG = 2048
PING_SECONDS = 20.0
UNACKNOWLEDGED_MS = 30_000
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # names of malloc.h
LARGEST_KEPT, MOST_KEPT = 16 * 2**20, 64 * 2**20
LAST_WORDS_SECONDS = 0.1  # for the answers of an engine that closes to be written
COLLECT_AFTER = (20_000, 20, 50)  # objects, and collections of the generation before


class Server(uvicorn.Server):
    """A server that stops in order: new work is refused, what is under way is answered, sockets are told, then all ends.

    A second signal or the grace time cuts off who is still there. `failed` says that the compute thread died.
    """

    def __init__(self, config: uvicorn.Config, app: FastAPI, grace_seconds: float) -> None:
        super().__init__(config)
        self._app = app
        self._grace_seconds = grace_seconds

    @property
    def failed(self) -> bool:
        return self._service is None or self._service.is_dead

    @property
    def _service(self) -> Service | None:
        service: Service | None = getattr(self._app.state, "service", None)
        return service

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the models and the store, then listen."""
        try:
            await super().startup(sockets)
        except SystemExit:  # uvicorn has said why and would end with a code of its own
            raise SystemExit(FAILED) from None
        collect_rarely()
        keep_memory()
        for listener in sockets or []:
            host, port = listener.getsockname()[:2]
            logger.info("listening on http://%s:%d", f"[{host}]" if ":" in host else host, port)

    async def on_tick(self, counter: int) -> bool:
        """Whether to stop."""
        return await super().on_tick(counter) or self.failed

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop in order."""
        logger.info("shutting down; answering those who wait")
        service = self._service
        if service is not None:
            await service.drain(self._grace_seconds, lambda: self.force_exit)
        patience = asyncio.get_running_loop().call_later(self._grace_seconds, self._hurry)
        await super().shutdown(sockets)
        patience.cancel()
        if self.force_exit:
            await self._cut_off()

    def _hurry(self) -> None:
        self.force_exit = True

    async def _cut_off(self) -> None:
        """What uvicorn leaves out in a hurry: close the engine, which answers those who wait for it, and the connections of all others."""
        await self.lifespan.shutdown()
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks, timeout=LAST_WORDS_SECONDS)
        left = list(self.server_state.connections)
        if left:
            sockets = sum(isinstance(one, Wire) for one in left)
            logger.warning("cut off, since not ended: requests %d, sockets %d", len(left) - sockets, sockets)
        for one in left:
            one.transport.abort()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signature of a handler
        """The first signal stops in order, a second one at once."""
        logger.info("received %s", signal.Signals(sig).name)
        self.force_exit = self.should_exit
        self.should_exit = True


def collect_rarely() -> None:
    """Leave what is there by now out of garbage collection, and look for garbage less often.

    Requests make no cycles, so reference counts free what they used; a collection only visits what lives, which with many sessions
    takes longer than a step.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


def keep_memory() -> None:
    """Have glibc keep what large arrays gave back: otherwise the system clears the same pages for every tick."""
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT)
    libc.mallopt(M_TRIM_THRESHOLD, MOST_KEPT)


def serve(settings: Settings) -> int:
    """Serve until a signal comes; the exit code."""
    app = create_app(settings)
    server = Server(configured(app, settings), app, settings.grace_seconds)
    try:
        if settings.store == "lmdb":
            layout.check(settings.data_dir, workers=1)
        listener = listen(settings.host, settings.port)
    except StoreFailure as failure:
        logger.error("%s", failure)  # noqa: TRY400 - the line says all
        return FAILED
    except OSError as error:
        cannot_listen(settings, error)
        return FAILED
    with listener:
        server.run([listener])
    return FAILED if server.failed else 0


def configured(app: FastAPI, settings: Settings) -> uvicorn.Config:
    """How uvicorn is to run the application."""
    return uvicorn.Config(
        app,
        loop="uvloop" if sys.platform != "win32" else "asyncio",
        http=Door,
        ws=Wire,
        ws_max_size=settings.ws_frame_bytes,
        ws_per_message_deflate=False,
        ws_ping_interval=PING_SECONDS,
        # While a client reads slowly nothing is read from it, its pongs neither.
        ws_ping_timeout=PING_SECONDS + settings.ws_send_seconds,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=math.ceil(settings.grace_seconds) + 1,  # ours comes before it
    )


def cannot_listen(settings: Settings, error: OSError) -> None:
    """Say why the port cannot be had."""
    logger.error("cannot listen on %s port %d: %s", settings.host, settings.port, error.strerror or error)


def listen(host: str, port: int, *, is_shared: bool = False) -> socket.socket:
    """A listening socket whose connections end when the other side acknowledges nothing for a while.

    Several that are shared may have one port.
    """
    family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    listener = socket.create_server(address[:2], family=family, backlog=BACKLOG, reuse_port=is_shared)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS)
    return listener
