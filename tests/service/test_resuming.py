"""The client of the documentation goes on after its connection broke and after the server was restarted."""

from __future__ import annotations

import os
import re
import select
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest

from tests.bundles import expected
from tests.service.lab import free_port, serving
from tests.service.test_documents import API

COUNT = 300
OBSERVATIONS = [i % 7 for i in range(COUNT)]
SOON = {"WEBSOCKETS_BACKOFF_INITIAL_DELAY": "0.1", "WEBSOCKETS_BACKOFF_MIN_DELAY": "0.1"}


@contextmanager
def client(port, session, tmp_path):
    """The documented client in a process of its own; its lines are read as they come."""
    (code,) = re.findall(r"```python\n(.*?)```", API, re.DOTALL)
    url = f"ws://127.0.0.1:{port}/v1/stream"
    (tmp_path / "client.py").write_text(f"{code}\nasyncio.run(follow({url!r}, {session!r}, {OBSERVATIONS!r}))\n")
    command = [sys.executable, "-u", tmp_path / "client.py"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | SOON) as process:
        try:
            yield process
        finally:
            process.kill()


def check(process, server, session, lines) -> None:
    """Every line is the forecast after its step, none comes twice, and all observations were applied once."""
    lines += process.stdout.readlines()
    assert process.wait(30) == 0
    steps = [int(line.split()[0]) for line in lines]
    assert steps == sorted(set(steps))
    for line in lines:
        step, forecast = line.split()
        assert float(forecast) == expected(OBSERVATIONS[: int(step)])[0]
    ended = server.get(f"/v1/sessions/{session}/forecast").json()
    assert (ended["step"], ended["quantiles"]["0.5"]) == (COUNT, expected(OBSERVATIONS))


def open_session(server, name) -> None:
    assert server.post("/v1/sessions", {"id": name, "model": "sum", "version": "1"}).status_code == 201


class Cutter(threading.Thread):
    """A proxy that cuts every connection after `most_bytes` have come from the server, wherever in a frame that is."""

    def __init__(self, port, most_bytes) -> None:
        super().__init__(daemon=True)
        self._upstream, self._most_bytes = port, most_bytes
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.cuts = 0

    def run(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            with near, socket.create_connection(("127.0.0.1", self._upstream)) as far:
                self._carry(near, far)

    def _carry(self, near, far) -> None:
        left = self._most_bytes
        while left > 0:
            for source in select.select([near, far], [], [])[0]:
                data = source.recv(min(left, 65536))
                if not data:
                    return
                (far if source is near else near).sendall(data)
                left -= len(data) if source is far else 0
        self.cuts += 1

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def test_the_client_goes_on_after_its_connection_broke(server, name, tmp_path):
    open_session(server, name)
    cutter = Cutter(server.port, most_bytes=10_007)
    cutter.start()
    try:
        with client(cutter.port, name, tmp_path) as process:
            check(process, server, name, [])
    finally:
        cutter.close()
    assert cutter.cuts >= 3


@pytest.mark.parametrize("ending", ["terminate", "kill"])
def test_the_client_goes_on_after_the_server_was_restarted(models_dir, tmp_path, ending):
    settings = {"port": free_port(), "data_dir": tmp_path / "data"}
    with serving(models_dir, tmp_path, **settings) as first:
        open_session(first, "a")
        with client(first.port, "a", tmp_path) as process:
            lines = [process.stdout.readline() for _ in range(20)]
            getattr(first.process, ending)()
            first.process.wait(30)
            time.sleep(0.5)
            with serving(models_dir, tmp_path, **settings) as second:
                assert second.get("/v1/sessions/a").json()["step"] >= 20
                check(process, second, "a", lines)
