"""What else one could do: a naive server that keeps hidden states in a dict, and a service that is sent the window each time."""

from __future__ import annotations

from functools import partial

from tests.benchmarks.serving.floors import SESSIONS
from tests.benchmarks.serving.processes import Process
from tests.benchmarks.serving.scenarios import Scenario, closed
from tests.benchmarks.serving.scripts import NaiveSteps, Posts, naive_body, series
from tests.benchmarks.serving.wires import http, websocket
from tests.service.lab import Server

WINDOW = 168


def naive(process: Process, core: int) -> list[Scenario]:
    """FastAPI, torch and a dict, over both protocols."""
    socket = partial(websocket, process.port, "/stream", NaiveSteps(SESSIONS))
    posts = [partial(http, process.port, Posts(naive_body(lane))) for lane in range(SESSIONS)]
    return [
        closed("naive torch WebSocket 64", [socket], process.pid, core),
        closed("naive torch POST", posts, process.pid, core),
    ]


def stateless(server: Server, core: int) -> Scenario:
    """The last week of observations sent for every forecast."""
    request = series(1, WINDOW)
    connections = [partial(http, server.port, Posts(lambda: request)) for _ in range(SESSIONS)]
    return closed(f"stateless, {WINDOW} each time", connections, server.process.pid, core)
