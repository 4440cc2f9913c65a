"""The whole service as users run it: a process of its own, asked over real sockets."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace

import httpx
import msgspec
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from app.main import create_app
from app.server import Server as InProcess
from app.server import configured, listen

ROOT = Path(__file__).parents[2]
STARTUP_SECONDS = 60
PATIENCE_SECONDS = 20
CODECS = {"tidegate.v1.json": msgspec.json, "tidegate.v1.msgpack": msgspec.msgpack}


class Server:
    """A running server process."""

    def __init__(self, process, port, log) -> None:
        self.process = process
        self.port = port
        self.log = log
        self.url = f"http://127.0.0.1:{port}"
        self.http = httpx.Client(base_url=self.url, timeout=20)

    def post(self, path, body=None, **more):
        return self.http.post(path, json=body, **more) if "content" not in more else self.http.post(path, **more)

    def get(self, path, **query):
        return self.http.get(path, params=query or None)

    def terminate(self) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


class Talk:
    """One WebSocket whose frames are asked and answered."""

    def __init__(self, socket, codec) -> None:
        self.socket = socket
        self.codec = codec

    def send(self, **frame) -> None:
        data = self.codec.encode(frame)
        self.socket.send(data.decode() if self.codec is msgspec.json else data)

    def receive(self, timeout=20):
        return self.codec.decode(self.socket.recv(timeout))

    def __iter__(self):
        """All frames until the server closes."""
        try:
            for data in self.socket:
                yield self.codec.decode(data)
        except ConnectionClosed:
            return

    def ask(self, **frame):
        self.send(**frame)
        return self.receive()

    def ask_all(self, frames, ahead=32) -> list:
        """The answers to many frames, `ahead` of them under way at a time; none of them may be an error."""
        replies, sent = [], 0
        while len(replies) < len(frames):
            while sent < min(len(frames), len(replies) + ahead):
                self.send(**frames[sent])
                sent += 1
            replies.append(self.receive())
            assert replies[-1]["op"] != "error", replies[-1]
        return replies


@contextmanager
def talk(server, subprotocol="tidegate.v1.json"):
    """A socket until the block ends."""
    url = f"ws://127.0.0.1:{server.port}/v1/stream"
    with connect(url, subprotocols=[subprotocol], compression=None, max_size=None, ping_interval=None) as socket:
        yield Talk(socket, CODECS[subprotocol])


@contextmanager
def blocked(server):
    """A socket whose client reads nothing unless it is told to, and whose connection holds little in between."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.connect(("127.0.0.1", server.port))
    url = f"ws://127.0.0.1:{server.port}/v1/stream"
    with connect(url, sock=raw, compression=None, max_queue=1, ping_interval=None, close_timeout=1) as quiet:
        yield Talk(quiet, msgspec.json)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def serving(models, directory, launcher=("-m", "app"), **settings):
    """A server with these settings until the block ends."""
    port = settings.pop("port", None) or free_port()
    options = {"models": models, "port": port, "data_dir": Path(directory) / f"data-{port}", **settings}
    command = [sys.executable, *launcher, "serve"]
    command += [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TIDEGATE_")}
    log = Path(directory) / f"server-{port}.log"
    with ExitStack() as stack:
        output = stack.enter_context(log.open("ab"))
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=output, stdout=output)
        server = Server(process, port, log)
        stack.callback(_end, server)
        _wait(server)
        yield server


@contextmanager
def serving_here(settings):
    """A server in this process until the block ends: its `port` and its `service`, which tests may look into."""
    app = create_app(settings)
    with listen("127.0.0.1", 0) as listener:
        server = InProcess(configured(app, settings), app, grace_seconds=5.0)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        until(lambda: server.started)
        yield SimpleNamespace(port=listener.getsockname()[1], service=app.state.service)
        server.should_exit = True
        thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()


def until(happens) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def _wait(server) -> None:
    deadline = time.monotonic() + STARTUP_SECONDS
    while True:
        try:
            server.get("/health/live")
        except httpx.TransportError:
            if server.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(server.log.read_text()) from None
            time.sleep(0.05)
        else:
            return


def _end(server) -> None:
    server.http.close()
    if server.process.poll() is None:
        server.process.kill()
    server.process.wait(10)
