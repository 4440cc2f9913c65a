"""Two ways to a server that may be gone at any moment."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import httpx
import msgspec
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

PAUSE_SECONDS = 0.1
ANSWER_SECONDS = 30.0


class InterruptedRequest(Exception):  # noqa: N818 - what happened, not what went wrong
    """It is not known what became of a request."""


class Rest:
    """Requests one by one over kept connections."""

    burst = 1

    def __init__(self, port: int) -> None:
        self._http = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=ANSWER_SECONDS)

    async def open(self, **fields: Any) -> dict:
        return await self._ask("POST", "/v1/sessions", fields)

    async def step(self, session: str, **fields: Any) -> dict:
        return await self._ask("POST", f"/v1/sessions/{session}/steps", fields)

    async def close(self, session: str) -> dict:
        return await self._ask("DELETE", f"/v1/sessions/{session}")

    async def end(self) -> None:
        await self._http.aclose()

    async def _ask(self, method: str, path: str, body: dict | None = None) -> dict:
        content = None if body is None else msgspec.json.encode(body)
        try:
            reply = await self._http.request(method, path, content=content)
        except httpx.TransportError as error:
            raise InterruptedRequest from error
        return msgspec.json.decode(reply.content) if reply.content else {}


class Socket:
    """Many requests at once over one socket, which is connected again when it is needed."""

    burst = 4

    def __init__(self, port: int) -> None:
        self._url = f"ws://127.0.0.1:{port}/v1/stream"
        self._refs = itertools.count()
        self._waiting: dict[int, asyncio.Future[dict | None]] = {}
        self._socket = None
        self._reader: asyncio.Task[None] | None = None
        self._connecting = asyncio.Lock()

    async def open(self, **fields: Any) -> dict:
        return await self._ask(op="open", **fields)

    async def step(self, session: str, **fields: Any) -> dict:
        return await self._ask(op="step", session=session, **fields)

    async def close(self, session: str) -> dict:
        return await self._ask(op="close", session=session)

    async def end(self) -> None:
        if self._socket is not None:
            await self._socket.close()
        if self._reader is not None:
            await self._reader

    async def _ask(self, **frame: Any) -> dict:
        ref = next(self._refs)
        try:
            socket = await self._connected()
            answer = self._waiting[ref] = asyncio.get_running_loop().create_future()
            await socket.send(msgspec.json.encode(frame | {"ref": ref}).decode())
        except (OSError, TimeoutError, WebSocketException) as error:
            self._waiting.pop(ref, None)
            raise InterruptedRequest from error
        reply = await asyncio.wait_for(answer, ANSWER_SECONDS)
        if reply is None:
            raise InterruptedRequest
        return reply

    async def _connected(self) -> Any:
        async with self._connecting:
            if self._socket is None:
                self._socket = await connect(
                    self._url, subprotocols=["tidegate.v1.json"], compression=None, max_size=None
                )
                self._reader = asyncio.create_task(self._read(self._socket))
            return self._socket

    async def _read(self, socket: Any) -> None:
        try:
            async for data in socket:
                reply = msgspec.json.decode(data)
                answer = self._waiting.pop(reply.get("ref"), None)
                if answer is not None and not answer.done():
                    answer.set_result(reply)
        except WebSocketException:
            pass
        finally:
            self._socket = None
            waiting, self._waiting = self._waiting, {}
            for answer in waiting.values():
                if not answer.done():
                    answer.set_result(None)
