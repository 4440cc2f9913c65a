"""A client that streams one session after the other, and does not give up: what was not answered is sent again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

from tests.crash.ledger import HORIZON, LEVEL, Account, Ledger
from tests.crash.plan import Piece, Plan
from tests.crash.transport import PAUSE_SECONDS, InterruptedRequest, Rest, Socket

BUSY = {"overloaded", "draining", "store-unavailable"}
FORECAST = {"horizon": HORIZON, "quantiles": [float(LEVEL)]}


class Client:
    """Streams sessions under a name of its own through a transport until `stop`, and then until it has every answer.

    After an interruption it asks the server where the session is if `may_lose`, and otherwise half of the time. Where steps may
    be lost no session has holes: a server that fills them would take what was lost for one.
    """

    def __init__(self, name: str, transport: Rest | Socket, ledger: Ledger, *, model: str, may_lose: bool) -> None:
        self._name, self._transport, self._ledger, self._model = name, transport, ledger, model
        self._may_lose = may_lose
        self._random = random.Random(name)

    async def run(self, stop: asyncio.Event) -> None:
        turn = 0
        while not stop.is_set():
            plan = Plan(f"{self._name}-{turn}", has_holes=not self._may_lose and self._random.random() < 0.4)
            account = self._ledger.open(plan)
            await self._open(account)
            lifetime = self._random.choice([200, 2000, 1_000_000])
            while account.step < account.sent or (not stop.is_set() and account.step < lifetime):
                await self._move(account)
            if not stop.is_set():
                await self._close(account)
            turn += 1

    async def _move(self, account: Account) -> None:
        """A few pieces at once, now and then among them the last one again; what has no answer is sent again."""
        pieces, after = [], account.step
        if account.step and self._random.random() < 0.1:
            after = max(0, account.step - self._random.randrange(1, 6))
        burst = (
            1 if account.plan.has_holes else self._transport.burst
        )  # a piece that is refused would be filled by the next
        for _ in range(self._random.randint(1, burst)):
            pieces.append(account.plan.piece(after, self._random.choice([1, 1, 2, 5, 12, 24])))
            after = pieces[-1].last
        results = await asyncio.gather(*(self._send(account, piece) for piece in pieces))
        if not all(results):
            self._ledger.counts["retried"] += results.count(False)
            await asyncio.sleep(PAUSE_SECONDS)
            if self._may_lose or self._random.random() < 0.5:
                await self._open(account)

    async def _send(self, account: Account, piece: Piece) -> bool:
        """Whether it was acknowledged."""
        account.sent = max(account.sent, piece.last)
        forecast = FORECAST if self._random.random() < 0.5 else False
        try:
            reply = await self._transport.step(
                account.plan.name, step=piece.first, values=piece.values, forecast=forecast
            )
        except InterruptedRequest:
            return False
        if "applied" not in reply:
            if reply["code"] not in BUSY and not self._follows_an_interruption(reply):
                self._ledger.violate(f"{account.plan.name}: step {piece.first} after {account.step}: {reply}")
            return False
        self._ledger.acknowledge(account, piece.last, reply)
        return True

    def _follows_an_interruption(self, reply: dict) -> bool:
        """Whether what is refused may be one of a burst of which the first were lost on the way, or never kept."""
        return reply["code"] == "step-gap" or (self._may_lose and reply["code"] == "session-not-found")

    async def _open(self, account: Account) -> None:
        """Begin the session, or learn where it is."""
        plan = account.plan
        reply = await self._until_answered(
            lambda: self._transport.open(
                id=plan.name,
                model=self._model,
                start=0,
                on_gap="missing" if plan.has_holes else "reject",
                if_exists="return",
            )
        )
        if "step" in reply:
            self._ledger.resume(account, reply["step"])
        else:
            self._ledger.violate(f"{plan.name}: not opened: {reply}")

    async def _close(self, account: Account) -> None:
        """End the session; a repeated call meets one that is gone, or that was lost with all its steps."""
        reply = await self._until_answered(lambda: self._transport.close(account.plan.name))
        if reply.get("code") not in (None, "session-gone", *(["session-not-found"] if self._may_lose else [])):
            self._ledger.violate(f"{account.plan.name}: not closed: {reply}")
        account.closed_at = asyncio.get_running_loop().time()
        self._ledger.counts["closed"] += 1

    async def _until_answered(self, call: Callable[[], Awaitable[dict]]) -> dict:
        while True:
            try:
                reply = await call()
            except InterruptedRequest:
                self._ledger.counts["retried"] += 1
            else:
                if reply.get("code") not in BUSY:
                    return reply
            await asyncio.sleep(PAUSE_SECONDS)
