"""A server that computes nothing: our uvicorn set-up answering with as many bytes as it is asked for.

    python -m tests.benchmarks.serving.floor_server PORT [stock]

/text and /msgpack are WebSockets, /bare a POST answered without a framework, each with `?BYTES` of reply; /json is a WebSocket whose
frames are read and answered in JSON, /fastapi a POST read and answered as FastAPI's users do, both with a forecast of 24 hours in
three quantiles. With `stock`, WebSockets are those that uvicorn brings along, not ours.
"""

from __future__ import annotations

import sys
from typing import Any

import orjson
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from app.server import BACKLOG, PING_SECONDS, listen
from app.settings import Settings
from app.websocket import Wire

SETTINGS = Settings.model_fields
FORECAST = {level: [round(3000.123456 + 17.3 * hour, 4) for hour in range(24)] for level in ("0.1", "0.5", "0.9")}
api = FastAPI()


class Step(BaseModel):
    """The body of a single step."""

    values: list[float]
    step: int
    forecast: dict[str, list[float]]


@api.post("/fastapi")
async def echo_json(step: Step) -> dict[str, Any]:
    return {"step": step.step, "forecast": FORECAST}


async def echo_documents(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] != "websocket.disconnect":
        step = orjson.loads(message["text"])
        reply = {"op": "stepped", "ref": step["ref"], "session": step["session"], "quantiles": FORECAST}
        await send({"type": "websocket.send", "text": orjson.dumps(reply).decode()})


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Whoever asks for a size gets it."""
    if scope["path"] == "/json":
        await echo_documents(receive, send)
        return
    if not scope.get("query_string"):
        await api(scope, receive, send)
        return
    size = int(scope["query_string"])
    if scope["type"] == "http":
        await echo_body(b"x" * size, receive, send)
    elif scope["path"] == "/text":
        await echo_frames({"type": "websocket.send", "text": "x" * size}, receive, send)
    else:
        await echo_frames({"type": "websocket.send", "bytes": b"x" * size}, receive, send)


async def echo_body(reply: bytes, receive: Receive, send: Send) -> None:
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-length", str(len(reply)).encode()), (b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": reply})


async def echo_frames(reply: dict[str, Any], receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (await receive())["type"] != "websocket.disconnect":
        await send(reply)


def main(port: int, kind: str = "ours") -> None:
    """Serve as `app.server` does."""
    config = uvicorn.Config(
        app, loop="uvloop", http="httptools", ws=Wire if kind == "ours" else "auto", ws_max_size=SETTINGS["ws_frame_bytes"].default,
        ws_per_message_deflate=False, ws_ping_interval=PING_SECONDS, ws_ping_timeout=PING_SECONDS, lifespan="off",
        log_config=None, access_log=False, server_header=False, proxy_headers=False, backlog=BACKLOG,
    )  # fmt: skip
    with listen("127.0.0.1", port) as listener:
        uvicorn.Server(config).run([listener])


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
