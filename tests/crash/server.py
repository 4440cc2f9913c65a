"""A server that is killed and started again on the same port and the same data."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.service.lab import ROOT

STARTUP_SECONDS = 120


class Restarted:
    """A server process, one after the other. It writes everything to one log."""

    def __init__(self, models: Path, directory: Path, **settings: object) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.data = directory / "data"
        self.log = directory / "server.log"
        options = {"models": models, "port": self.port, "data_dir": self.data, **settings}
        self._command = [sys.executable, "-m", "app", "serve"]
        self._command += [
            part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", str(value))
        ]
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("TIDEGATE_")}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command, cwd=ROOT, env=self._environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    def kill(self) -> None:
        """SIGKILL; nothing is flushed, answered or closed."""
        self.process.kill()
        self.process.wait()

    async def ready(self) -> None:
        """Until it takes connections; raises AssertionError with its log when it ends instead."""
        deadline = time.monotonic() + STARTUP_SECONDS
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                assert self.process.poll() is None, self.log.read_text()[-5000:]
                assert time.monotonic() < deadline, "the server does not start"
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return
