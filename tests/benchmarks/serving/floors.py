"""The floors: the same web server answering requests of the same sizes with as many bytes, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import msgspec

from tests.benchmarks.serving.processes import Process
from tests.benchmarks.serving.scenarios import Scenario, closed
from tests.benchmarks.serving.scripts import Echo, Frames, Members, Posts, Steps, steps_of
from tests.benchmarks.serving.wires import http, post, websocket
from tests.service.lab import Server, talk

SESSIONS = 64
PATHS = {"json": "/text", "msgpack": "/msgpack"}


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request as it is sent and the size of its reply."""

    request: bytes
    reply_bytes: int


def exchange(server: Server, members: Members, codec: str) -> Exchange:
    """A single step with its forecast, as the service itself takes and gives it."""
    script = Steps(members, codec)
    request = script.request(0)
    with talk(server, f"tidegate.v1.{codec}") as socket:
        socket.socket.send(request.decode() if codec == "json" else request)
        reply = socket.socket.recv(20)
    data = reply.encode() if isinstance(reply, str) else reply
    Frames(codec).lane_of(data)
    return Exchange(request, len(data))


def floors(process: Process, core: int, exchanges: dict[str, Exchange]) -> list[Scenario]:
    """Echoes of single steps: on one WebSocket, on as many as there are sessions, and as POSTs."""
    made = []
    for codec, asked in exchanges.items():
        path = f"{PATHS[codec]}?{asked.reply_bytes}"
        for lanes, sockets in ((1, 1), (SESSIONS, 1), (1, SESSIONS)):
            connections = [partial(websocket, process.port, path, Echo(asked.request, lanes)) for _ in range(sockets)]
            made.append(closed(echo_name(codec, lanes, sockets), connections, process.pid, core))
    reply_bytes = exchanges["json"].reply_bytes
    body = steps_of("session-12", 24, 1)().partition(b"\r\n\r\n")[2]
    bare = post(f"/bare?{reply_bytes}", body)
    fastapi = post(
        "/fastapi", msgspec.json.encode({"values": [3000.5], "step": 25, "forecast": {"quantiles": [0.1, 0.5, 0.9]}})
    )
    for name, request in (("echo POST bare", bare), ("echo POST FastAPI", fastapi)):
        connections = [partial(http, process.port, Posts(lambda request=request: request)) for _ in range(SESSIONS)]
        made.append(closed(name, connections, process.pid, core))
    return made


def stock_floors(process: Process, core: int, asked: Exchange) -> list[Scenario]:
    """What uvicorn's own WebSockets do with JSON steps of 64 sessions: sent back as so many bytes, or read and written as JSON."""
    made = []
    for name, path in (("text", f"/text?{asked.reply_bytes}"), ("JSON", "/json")):
        for lanes, sockets in ((SESSIONS, 1), (1, SESSIONS)):
            connections = [partial(websocket, process.port, path, Echo(asked.request, lanes)) for _ in range(sockets)]
            which = str(lanes) if sockets == 1 else f"{lanes} × {sockets} sockets"
            made.append(closed(f"echo WebSocket {name} {which}, stock", connections, process.pid, core))
    return made


def echo_name(codec: str, lanes: int, sockets: int) -> str:
    kind = {"json": "text", "msgpack": "binary"}[codec]
    return f"echo WebSocket {kind} {lanes}" + (f" × {sockets} sockets" if sockets > 1 else "")
