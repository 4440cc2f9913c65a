"""One client of the soak: its sessions come, step, end, are left behind, and its connection breaks in mid-air."""

from __future__ import annotations

import random
import time
from collections import Counter

import msgspec
from websockets.asyncio.client import connect

PROTOCOL = "tidegate.v1.msgpack"
COLUMN = 256


class Crowd:
    """At most `size` sessions of one client, each with the number of its last acknowledged step.

    `counts` says what happened; anything under `wrong` should not have.
    """

    def __init__(self, port: int, name: str, size: int, model: str, idle_seconds: float) -> None:
        self.url = f"ws://127.0.0.1:{port}/v1/stream"
        self.name, self.size, self.model = name, size, model
        self.idle_seconds = idle_seconds
        self.steps: dict[str, int] = {}
        self.used: dict[str, float] = {}
        self.counts: Counter[str] = Counter()
        self.wrong: list[object] = []
        self._random = random.Random(name)
        self._made = 0
        self._socket = None

    async def run(self, steps: int) -> None:
        """Go on until so many steps are acknowledged."""
        while self.counts["steps"] < steps:
            await self._connect()
            while self.counts["steps"] < steps:
                await self._come_and_go()
                column = self._random.sample(list(self.steps), min(COLUMN, len(self.steps)))
                if self._random.random() < 0.02:
                    await self._break_off(column)
                self._note(column, await self._ask(self._frame(column)))
        await self._socket.close()

    async def _come_and_go(self) -> None:
        """Some of the sessions are closed, left behind for good, or have a hole in their observations; new ones come."""
        leavers = self._random.sample(list(self.steps), min(4, len(self.steps)))
        for leaver, fate in zip(leavers, ("closed", "left", "holed", "holed"), strict=False):
            self.counts[fate] += 1
            if fate == "closed":
                await self._ask({"op": "close", "session": leaver})
            if fate == "holed":
                self.steps[leaver] += 3
            else:
                del self.steps[leaver]
                del self.used[leaver]
        new = [f"{self.name}-{self._made + i}" for i in range(min(32, self.size - len(self.steps)))]
        self._made += len(new)
        for name in new:
            await self._send({"op": "open", "id": name, "model": self.model, "start": 0, "on_gap": "missing"})
        for _ in new:
            self._check(await self._receive())
        self.steps |= dict.fromkeys(new, 0)
        self.used |= dict.fromkeys(new, time.monotonic())
        self.counts["opened"] += len(new)

    def _frame(self, column: list[str]) -> dict[str, object]:
        steps = [self.steps[name] + 1 for name in column]
        values = [float(hash((name, step)) % 1000) for name, step in zip(column, steps, strict=True)]
        return {"op": "steps", "sessions": column, "values": values, "steps": steps, "forecast": False}

    async def _break_off(self, column: list[str]) -> None:
        """Send a frame and vanish without waiting for the answer; the frame is sent again later."""
        await self._send(self._frame(column))
        self._socket.transport.abort()
        self.counts["crashes"] += 1
        await self._connect()

    def _note(self, column: list[str], reply: dict) -> None:
        for name, step in zip(column, reply["step"], strict=True):
            if step == self.steps[name] + 1:
                self.steps[name], self.used[name] = step, time.monotonic()
                self.counts["steps"] += 1
            elif step is not None:
                self.wrong.append((name, self.steps[name], step))
        self.counts["replayed"] += sum(map(bool, reply["replayed"]))
        for error in reply.get("errors") or ():
            self._note_error(column[error["index"]], error)

    def _note_error(self, name: str, error: dict) -> None:
        """Chance may leave a session unused for so long that it rightly expires; anything else is wrong."""
        del self.steps[name]
        unused = time.monotonic() - self.used.pop(name)
        if error.get("reason") == "expired" and unused >= self.idle_seconds:
            self.counts["expired"] += 1
        else:
            self.wrong.append(error)

    async def _connect(self) -> None:
        self._socket = await connect(self.url, subprotocols=[PROTOCOL], compression=None, max_size=None)

    async def _ask(self, frame: dict) -> dict:
        await self._send(frame)
        return self._check(await self._receive())

    async def _send(self, frame: dict) -> None:
        await self._socket.send(msgspec.msgpack.encode(frame))

    async def _receive(self) -> dict:
        return msgspec.msgpack.decode(await self._socket.recv())

    def _check(self, reply: dict) -> dict:
        if reply["op"] == "error":
            self.wrong.append(reply)
        return reply
