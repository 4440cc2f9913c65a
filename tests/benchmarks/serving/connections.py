"""Requests under way on connections to a server."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

PATIENCE_SECONDS = 30.0


class Script(Protocol):
    """What one connection says, on lanes that are mostly sessions. A request holds `weight` observations."""

    lanes: int
    weight: int

    def request(self, lane: int) -> bytes: ...

    def lane_of(self, reply: bytes) -> int:
        """Whose reply this is; raises Refused where it is a refusal."""


class Refused(Exception):  # noqa: N818 - the server's answer, not our mistake
    """A request was refused; `lane` says whose it was, where that is known."""

    def __init__(self, reply: bytes, lane: int | None = None) -> None:
        super().__init__(f"the server refuses: {reply[:600].decode(errors='replace')}")
        self.lane = lane


class Connection:
    """One connection. In a closed loop `in_flight` requests are under way, by default one on each lane.

    `send` puts a request on the wire, `close` ends the connection. What was answered stands in `seconds`, `ended` and `lanes`; a
    refusal, where it is borne, counts as an answer that never comes.
    """

    def __init__(self, script: Script, in_flight: int | None = None) -> None:
        self.script = script
        self.in_flight = in_flight or script.lanes
        self.send: Callable[[bytes], None]
        self.close: Callable[[], None]
        self.is_closed_loop = False
        self.bears_refusals = False
        self.failure: Exception | None = None
        self.seconds: list[float] = []
        self.ended: list[float] = []
        self.lanes: list[int] = []
        self._due: list[deque[float]] = [deque() for _ in range(script.lanes)]

    @property
    def is_quiet(self) -> bool:
        return not any(self._due)

    def ask(self, lane: int, due: float) -> None:
        """Send a lane's next request, which should have been sent at `due`."""
        self._due[lane].append(due)
        self.send(self.script.request(lane))

    def on_reply(self, reply: bytes) -> None:
        """A whole reply has arrived. In a closed loop the next lane asks: the same one, where all are under way."""
        now = time.perf_counter()
        try:
            lane = self.script.lane_of(reply)
        except Refused as refusal:
            if refusal.lane is None or not self.bears_refusals:
                self.failure = self.failure or refusal
                return
            lane, answered = refusal.lane, math.inf
        else:
            answered = now
        self.seconds.append(answered - self._due[lane].popleft())
        self.ended.append(now)
        self.lanes.append(lane)
        if self.is_closed_loop:
            self.ask((lane + self.in_flight) % self.script.lanes, now)

    def on_lost(self) -> None:
        self.failure = self.failure or ConnectionError("the server closed a connection")


Open = Callable[[], Awaitable[Connection]]


@asynccontextmanager
async def opened(openings: Sequence[Open]) -> AsyncIterator[list[Connection]]:
    """Connections for one sample: a server closes those that are idle for some seconds."""
    connections = [await opening() for opening in openings]
    try:
        yield connections
    finally:
        for connection in connections:
            connection.close()


async def quiet(connections: Sequence[Connection]) -> None:
    """Until every request is answered; raises what went wrong."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not all(connection.is_quiet for connection in connections):
        for connection in connections:
            if connection.failure:
                raise connection.failure
        if time.monotonic() > deadline:
            raise TimeoutError(f"requests are not answered within {PATIENCE_SECONDS:g} s")
        await asyncio.sleep(0.002)
