"""One call of the API, as an ASGI application: bytes in, bytes out, with nothing built in between that is not needed."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar
from urllib.parse import parse_qsl

import msgspec
from starlette.types import Receive, Scope, Send

from app import encoding, problems
from app.engine.operations.base import Operation
from app.errors import Internal, InvalidRequest, Overloaded, Refusal, TooLarge
from app.schemas import NoQuery
from app.service import Service

logger = logging.getLogger(__name__)

S = TypeVar("S")
R = TypeVar("R")
JSON = "application/json"
BLOB = "application/octet-stream"
SHOWN = 200


class ClientLeft(Exception):  # noqa: N818 - nothing went wrong here
    """Nobody waits for the answer any more."""


class Reply(NamedTuple):
    """What is answered: a document, which becomes JSON, or bytes."""

    content: Any = b""
    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()
    media_type: str = JSON


@dataclass(slots=True)
class Call:
    """One request."""

    service: Service
    scope: Scope
    receive: Receive
    path: Mapping[str, str]

    async def ask(self, operation: Operation[R]) -> R:
        """The reply to an operation, which waits in the line of the caller's address; raises what it is refused with."""
        client = self.scope["client"]
        return await self.service.ask(operation, client[0] if client else "")

    async def body(self, kind: type[S]) -> S:
        """The body as a struct; raises InvalidRequest, or TooLarge before it has all been read."""
        try:
            return msgspec.json.decode(await self.content(), type=kind)
        except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
            raise invalid("the body", error) from error

    def query(self, kind: type[S]) -> S:
        """What stands behind the question mark, as a struct; raises InvalidRequest."""
        text = self.scope["query_string"]
        pairs = dict(parse_qsl(text.decode("latin-1"), keep_blank_values=True)) if text else {}
        try:
            return msgspec.convert(pairs, kind, strict=False)
        except (msgspec.ValidationError, ValueError) as error:
            raise invalid("the query", error) from error

    def header(self, name: bytes) -> bytes | None:
        """The first header of that name, in lower case."""
        for found, value in self.scope["headers"]:  # no generator: this is done for every request
            if found == name:
                return bytes(value)
        return None

    async def content(self) -> bytes:
        """The body as it came; raises TooLarge before it has all been read."""
        limit = self.service.settings.max_body_bytes
        announced = self.header(b"content-length")
        if announced is not None and announced.isdigit() and int(announced) > limit:
            raise TooLarge(f"the body has {int(announced)} bytes; at most {limit} are read")
        parts: list[bytes] = []
        size, has_more = 0, True
        while has_more and size <= limit:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientLeft
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            has_more = message.get("more_body", False)
        if size > limit:
            raise TooLarge(f"the body is larger than {limit} bytes, which is the most that is read")
        return parts[0] if len(parts) == 1 else b"".join(parts)


Handler = Callable[[Call], Awaitable[Reply]]


@dataclass(frozen=True)
class Endpoint:
    """A call of the API: what it is called, what it takes and gives, and who answers it.

    `replies` says which document each status comes with, `refusals` which errors can be expected.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    tag: str
    body: Any = None
    query: type = NoQuery
    replies: Mapping[int, Any] = field(default_factory=dict)
    refusals: tuple[type[Refusal], ...] = ()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        service: Service = scope["app"].state.service
        call = Call(service, scope, receive, scope["path_params"])
        try:
            reply = await self.handler(call)
        except ClientLeft:
            return
        except Refusal as refusal:
            reply = refused(call, refusal)
        except Exception:
            logger.exception("%s %s failed", self.method, self.path)
            reply = refused(call, Internal("this is our mistake; trying again is safe where steps are numbered"))
        service.metrics.answered("rest", f"{self.method} {self.path}", str(reply.status))
        await respond(send, reply, with_body=scope["method"] != "HEAD")


def refused(call: Call, refusal: Refusal) -> Reply:
    """A refusal as an answer."""
    request_id = problems.request_id(call.header(b"x-request-id"))
    if refusal.status == Internal.status:
        logger.error("request %s was answered with an internal error: %s", request_id, refusal.detail)
    headers = [(b"x-request-id", request_id.encode())]
    if isinstance(refusal, Overloaded):
        seconds = refusal.extra.get("retry_after", problems.RETRY_AFTER_SECONDS)
        headers.append((b"retry-after", str(seconds).encode()))
    if isinstance(refusal, TooLarge):
        headers.append((b"connection", b"close"))  # what was not read would be taken for the next request
    return Reply(problems.problem(refusal, request_id), refusal.status, tuple(headers), problems.TYPE)


async def respond(send: Send, reply: Reply, *, with_body: bool = True) -> None:
    """Send an answer."""
    content = reply.content if isinstance(reply.content, bytes) else encoding.JSON.encode(reply.content)
    headers = [(b"content-length", str(len(content)).encode()), *reply.headers]
    if content:
        headers.append((b"content-type", reply.media_type.encode()))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": content if with_body else b""})


def invalid(what: str, error: Exception) -> InvalidRequest:
    """What a decoder complains about, with the place as a JSON pointer. Nothing of the input is repeated."""
    text, _, place = str(error).partition(" - at `$")
    detail = f"{what} is not valid: {text[:1].lower()}{text[1:SHOWN]}"
    pointer = place.rstrip("`").replace("[...]", "/…").replace("[", "/").replace("]", "").replace(".", "/")
    if not isinstance(error, msgspec.ValidationError):
        return InvalidRequest(detail)
    return InvalidRequest(detail, errors=[{"pointer": pointer, "detail": text[:SHOWN]}])
