"""The service under every load that the issue of its speed names."""

from __future__ import annotations

from functools import partial

from tests.benchmarks.serving.connections import Open, opened
from tests.benchmarks.serving.floors import SESSIONS, echo_name
from tests.benchmarks.serving.load import Sample, open_loop
from tests.benchmarks.serving.results import Results
from tests.benchmarks.serving.scenarios import Scenario, closed
from tests.benchmarks.serving.scripts import Columns, Members, Posts, Steps, histories, series, steps_of
from tests.benchmarks.serving.sessions import open_sessions
from tests.benchmarks.serving.wires import http, websocket
from tests.service.lab import Server

STREAM = "/v1/stream"
GROUPS = 2
RAW = {False: "onnxruntime encode 256", True: "onnxruntime encode+decode 256"}
HISTORY = 4096
BUSIEST = "WebSocket json 64"


def stream(server: Server, members: Members, codec: str) -> Open:
    """Opens a WebSocket that carries single steps of these sessions."""
    return partial(websocket, server.port, STREAM, Steps(members, codec), f"tidegate.v1.{codec}")


def single_steps(server: Server, core: int) -> list[Scenario]:
    """64 sessions, each with one step under way: on one WebSocket, and each on its own."""
    made, pid = [], server.process.pid
    for codec in ("json", "msgpack"):
        together = open_sessions(server, f"together-{codec}", SESSIONS)
        apart = open_sessions(server, f"apart-{codec}", SESSIONS)
        one = [stream(server, together, codec)]
        many = [stream(server, Members([name], [24]), codec) for name in apart.names]
        made.append(closed(f"WebSocket {codec} {SESSIONS}", one, pid, core, echo_name(codec, SESSIONS, 1)))
        name = f"WebSocket {codec} 1 × {SESSIONS} sockets"
        made.append(closed(name, many, pid, core, echo_name(codec, 1, SESSIONS)))
    return made


def one_session(server: Server, durability: str, core: int) -> Scenario:
    """One session alone: what a step takes from end to end."""
    opening = stream(server, open_sessions(server, "alone", 1), "json")
    return closed(f"WebSocket json 1, {durability}", [opening], server.process.pid, core, echo_name("json", 1, 1))


def columns(server: Server, core: int) -> list[Scenario]:
    """Frames of one observation for each of many sessions, two frames under way."""
    made = []
    for size in (256, 1024):
        groups = [open_sessions(server, f"group-{size}-{i}", size) for i in range(GROUPS)]
        for codec in ("json", "msgpack"):
            for with_forecast in (False, True):
                script = Columns(groups, codec, with_forecast=with_forecast)
                opening = partial(websocket, server.port, STREAM, script, f"tidegate.v1.{codec}")
                name = f"columns {codec} {size}" + (", forecasts" if with_forecast else "")
                made.append(closed(name, [opening], server.process.pid, core, RAW[with_forecast]))
    return made


def rest(server: Server, core: int) -> list[Scenario]:
    """POSTs on 64 connections: single steps, bodies of 24 steps, and series of which nothing is kept; new sessions with a history."""
    made = []
    for count, floor in ((1, "echo POST bare"), (24, None)):
        members = open_sessions(server, f"rest-{count}", SESSIONS)
        connections = [partial(http, server.port, Posts(steps_of(name, 24, count), count)) for name in members.names]
        name = "REST" if count == 1 else f"REST bodies of {count}"
        made.append(closed(name, connections, server.process.pid, core, floor))
    request = series(100, 336)
    forecasts = [partial(http, server.port, Posts(lambda: request, 100)) for _ in range(2)]
    made.append(closed("forecast 100 × 336", forecasts, server.process.pid, core, "onnxruntime 100 × 336", "series"))
    told = [partial(http, server.port, Posts(histories(f"told-{i}", HISTORY), HISTORY)) for i in range(4)]
    made.append(closed(f"histories of {HISTORY}", told, server.process.pid, core, "onnxruntime 4 × 128"))
    return made


def at_half_load(server: Server, core: int, results: Results) -> Scenario:
    """Single steps at random times, half as many as the server can answer."""
    opening = stream(server, open_sessions(server, "half", SESSIONS), "json")

    async def take(seconds: float) -> Sample:
        async with opened([opening]) as connections:
            return await open_loop(
                connections, results.samples[BUSIEST][-1].rate / 2, seconds, server.process.pid, core
            )

    return Scenario(f"{BUSIEST}, half load", take, paced_by=BUSIEST)
