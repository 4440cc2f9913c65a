"""Live sessions over the public WebSocket: each sends an hour, gets a day's forecast, and is scored as the truth arrives."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from app.demo.observations import Series
from app.demo.score import Score

WEEK = 7 * 24
AHEAD = ("is_holiday",)
CLOSED = "the server closed the connection"


class Refused(Exception):  # noqa: N818 - the server's answer, not a fault of ours
    """The server answered with an error frame, or not at all."""


class Client:
    """Many requests at once on one socket: each waits for the reply that carries its number."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}

    async def ask(self, frame: dict[str, Any]) -> dict[str, Any]:
        """Send a frame and return its reply; raises Refused with the server's reason."""
        number = next(self._numbers)
        reply = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            await self._socket.send(msgspec.json.encode(frame | {"ref": number}).decode())
        except ConnectionClosed:
            raise Refused(CLOSED) from None
        answer: dict[str, Any] = await reply
        if answer["op"] == "error":
            raise Refused(f"{answer['code']}: {answer['detail']}")
        return answer

    async def listen(self) -> None:
        """Hand every reply to the request that waits for it, until the socket closes."""
        with suppress(ConnectionClosed):
            async for message in self._socket:
                frame = msgspec.json.decode(message)
                waiting = self._waiting.pop(frame.get("ref"), None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(frame)
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(Refused(CLOSED))


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Client]:
    """A client on an open socket."""
    async with connect(url, subprotocols=[Subprotocol("tidegate.v1.json")], compression=None) as socket:
        client = Client(socket)
        listening = asyncio.create_task(client.listen())
        try:
            yield client
        finally:
            listening.cancel()


@dataclass(frozen=True, slots=True)
class LiveSession:
    """One session of the demo: some weeks of history, then every hour to the end of its stretch."""

    id: str
    series: Series
    first: int
    end: int
    score: Score

    async def run(self, client: Client, horizon: int) -> None:
        await self._open(client)
        for t in range(self.first, self.end):
            now = self.series.part(t, t + 1)
            future = self.series.part(t + 1, t + 1 + horizon)
            ahead = {name: _padded(future.covariates[name], horizon) for name in AHEAD}
            reply = await client.ask({
                "op": "step",
                "session": self.id,
                "values": now.values,
                "covariates": now.covariates,
                "forecast": {"future_covariates": ahead},
            })  # fmt: skip
            self.score.observe(t + 1, self.series.values[t])
            self.score.expect(t + 1, reply["forecast"]["quantiles"], self.series.values[: t + 1])

    async def _open(self, client: Client) -> None:
        history = self.series.part(max(0, self.first - 8 * WEEK), self.first)
        await client.ask({
            "op": "open",
            "id": self.id,
            "model": "metro",
            "start": history.start,
            "history": {"values": history.values, "covariates": history.covariates},
        })  # fmt: skip


def _padded(values: Any, length: int) -> list[float | None]:
    return [*values, *[None] * (length - len(values))]
