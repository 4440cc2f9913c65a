"""Programs that a benchmark runs beside itself, each pinned to the server's core until its `with` block ends."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.benchmarks.serving.machine import ROOT, on_core
from tests.service.lab import Server, serving

STARTUP_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Process:
    """A running program and the port it listens on."""

    pid: int
    port: int


@contextmanager
def program(module: str, core: int, *arguments: str) -> Iterator[Process]:
    """`python -m module PORT arguments`, as soon as it listens."""
    port = free_port()
    with on_core(core):
        running = subprocess.Popen([sys.executable, "-m", module, str(port), *arguments], cwd=ROOT)
    try:
        wait_for(port, running)
        yield Process(running.pid, port)
    finally:
        running.kill()
        running.wait(10)


@contextmanager
def tidegate(models: object, directory: str, core: int, **settings: object) -> Iterator[Server]:
    """Our server with these settings."""
    with on_core(core):
        starting = serving(models, directory, **settings)
        server = starting.__enter__()
    try:
        yield server
    finally:
        starting.__exit__(None, None, None)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def wait_for(port: int, running: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + STARTUP_SECONDS
    while running.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"{running.args} does not listen on port {port} within {STARTUP_SECONDS} s")
