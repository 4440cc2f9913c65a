"""`/v1/stream`: many sessions on one WebSocket."""

from __future__ import annotations

from starlette.types import Receive, Scope, Send

from app import encoding, problems
from app.errors import Draining, InvalidRequest, Refusal
from app.frames import CODECS, JSON, Codec
from app.service import Service
from app.socket import Socket
from app.websocket import EXTENSION, Wire


class Endpoint:
    """Accepts connections; all else happens as messages arrive."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        service: Service = scope["app"].state.service
        await receive()
        try:
            if service.is_draining:
                raise Draining("the service is shutting down; connect again")
            codec = choose_codec(scope["subprotocols"])
        except Refusal as refusal:
            await _deny(send, refusal)
            return
        await send({"type": "websocket.accept", "subprotocol": codec.subprotocol if scope["subprotocols"] else None})
        wire: Wire = scope["extensions"][EXTENSION]["wire"]
        with Socket(service, wire, codec) as socket:
            wire.attach(socket)
            while (message := await receive())["type"] != "websocket.disconnect":
                text = message.get("text")
                socket.on_message(message["bytes"] if text is None else text.encode())


def choose_codec(offered: list[str]) -> Codec:
    """The first subprotocol that is known, JSON where none is offered; raises InvalidRequest."""
    if not offered:
        return JSON
    codec = next((CODECS[name] for name in offered if name in CODECS), None)
    if codec is None:
        raise InvalidRequest(f"no subprotocol offered is known; there is {' and '.join(CODECS)}")
    return codec


async def _deny(send: Send, refusal: Refusal) -> None:
    body = encoding.JSON.encode(problems.problem(refusal, problems.request_id(None)))
    headers = [(b"content-type", problems.TYPE.encode())]
    await send({"type": "websocket.http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})


endpoint = Endpoint()
