"""Sessions that nobody uses end, and ends are forgotten, many at a time: however many there are, live steps go on."""

from __future__ import annotations

import asyncio

import pytest

from app.engine.operations.looking import Describe
from app.engine.operations.opening import Open
from app.errors import SessionNotFound
from app.stores.base import Table
from app.sweeping import sweeping
from tests.conftest import Lab, key

COUNT = 200


class Desk:
    """Asks a laboratory's engine everything that is asked in one turn of the event loop in one tick."""

    def __init__(self, lab) -> None:
        self.lab, self.waiting = lab, []

    async def ask(self, operation):
        answer = asyncio.get_running_loop().create_future()
        self.waiting.append((operation, answer))
        if len(self.waiting) == 1:
            asyncio.get_running_loop().call_soon(self.tick)
        return await answer

    def tick(self) -> None:
        waiting, self.waiting = self.waiting, []
        replies = self.lab.ask_all([operation for operation, _ in waiting])
        for (_, answer), reply in zip(waiting, replies, strict=True):
            answer.set_result(reply)


async def swept(lab, is_done) -> int:
    """How many ticks it took."""
    before = len(lab.ticks)
    with sweeping(asyncio.get_running_loop(), Desk(lab).ask):
        for _ in range(500):
            if is_done():
                break
            await asyncio.sleep(0.01)
    assert is_done()
    return len(lab.ticks) - before


def test_all_that_is_found_idle_ends_in_one_tick_and_is_forgotten_in_another(models):
    lab = Lab(models, idle_seconds=60, tombstone_seconds=60)
    for i in range(COUNT):
        lab.ask(Open(key(f"s{i}"), model="sum"))
    lab.clock += 61
    assert asyncio.run(swept(lab, lambda: lab.sessions.total == 0)) < 10
    assert lab.store.count(Table.GONE) == COUNT
    lab.clock += 61
    assert asyncio.run(swept(lab, lambda: lab.store.count(Table.GONE) == 0)) < 10
    with pytest.raises(SessionNotFound):
        lab.ask(Describe(key("s0")))
