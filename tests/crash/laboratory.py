"""Clients stream, a server dies and comes back, and everything is compared with a world in which that did not happen."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.crash.client import Client
from tests.crash.ledger import Ledger
from tests.crash.reference import compare
from tests.crash.server import Restarted
from tests.crash.transport import Rest, Socket

SOME_STEPS = 300  # before the first kill and after the last
SETTLE_SECONDS = 1.0  # more than any interval here, so that the end of the run is kept as well


@dataclass(frozen=True, slots=True)
class Experiment:
    """How often the server is killed, how it keeps its sessions, and who streams to it.

    What it is held to is the `promise` of a durability, its own by default.
    """

    models: Path
    model: str
    durability: str = "sync"
    promise: str | None = None
    kills: int = 200
    seed: int = 1
    interval_seconds: float = 0.25
    rest_clients: int = 6
    sockets: int = 3
    sessions_per_socket: int = 12
    longest_life_seconds: float = 2.5

    @property
    def may_lose(self) -> bool:
        return (self.promise or self.durability) == "interval"


@dataclass(frozen=True, slots=True)
class Result:
    """What was counted, and how long the clients streamed, of which the server was up for so long."""

    ledger: Ledger
    seconds: float
    up_seconds: float

    @property
    def steps_per_second(self) -> float:
        return self.ledger.counts["acknowledged"] / self.seconds


def run(experiment: Experiment, directory: Path) -> Result:
    """One experiment with its data in `directory`."""
    # A commit that waits for the interval waits for the commit before it too.
    ledger = Ledger(experiment.interval_seconds + 0.5 if experiment.may_lose else 0.0)
    settings = {"durability": experiment.durability, "sync_seconds": experiment.interval_seconds, "max_resident": 32}
    server = Restarted(experiment.models, directory, **settings)
    server.start()
    try:
        seconds, up = asyncio.run(_stream(experiment, server, ledger))
        peeked = asyncio.run(_peek_after_restart(server, ledger))
    finally:
        server.kill()
    compare(ledger, experiment.models, experiment.model, server.data, peeked)
    return Result(ledger, seconds, up)


async def _stream(experiment: Experiment, server: Restarted, ledger: Ledger) -> tuple[float, float]:
    """Stream through all kills and a little longer; for how long, and how much of it the server was up."""
    transports = [Rest(server.port) for _ in range(experiment.rest_clients)]
    transports += [Socket(server.port) for _ in range(experiment.sockets)]
    clients = [
        Client(f"t{i}c{j}", transport, ledger, model=experiment.model, may_lose=experiment.may_lose)
        for i, transport in enumerate(transports)
        for j in range(experiment.sessions_per_socket if isinstance(transport, Socket) else 1)
    ]
    stop = asyncio.Event()
    await server.ready()
    began = time.monotonic()
    streams = [asyncio.create_task(client.run(stop)) for client in clients]
    await _acknowledged(ledger, SOME_STEPS)
    up = await _kill_often(experiment, server, ledger, streams)
    await _acknowledged(ledger, SOME_STEPS)
    stop.set()
    await asyncio.gather(*streams)
    seconds = time.monotonic() - began
    await asyncio.sleep(SETTLE_SECONDS)
    _kill(server, ledger)
    for transport in transports:
        await transport.end()
    return seconds, up


async def _kill_often(
    experiment: Experiment, server: Restarted, ledger: Ledger, streams: list[asyncio.Task[None]]
) -> float:
    """Kill the server at random moments, one time in ten while it starts; for how many seconds it was up."""
    chance, up = random.Random(experiment.seed), 0.0
    for kill in range(experiment.kills):
        if kill and chance.random() < 0.1:
            await asyncio.sleep(chance.uniform(0.0, 1.0))
        else:
            await server.ready()
            since = time.monotonic()
            await asyncio.sleep(chance.uniform(0.02, experiment.longest_life_seconds))
            up += time.monotonic() - since
        for stream in streams:
            if stream.done():
                stream.result()
        _kill(server, ledger)
        server.start()
        if (kill + 1) % 10 == 0:
            print(f"{kill + 1} kills, {_counts(ledger)}", flush=True)
    await server.ready()
    return up


async def _acknowledged(ledger: Ledger, steps: int) -> None:
    """Until so many more steps are acknowledged, or something is wrong."""
    goal = ledger.counts["acknowledged"] + steps
    while ledger.counts["acknowledged"] < goal and not ledger.violations:  # noqa: ASYNC110 - many clients count
        await asyncio.sleep(0.02)


def _kill(server: Restarted, ledger: Ledger) -> None:
    if server.process.poll() is not None:
        ledger.violate(f"the server ended by itself: {server.log.read_text()[-2000:]}")
    server.kill()
    ledger.kills.append(time.monotonic())


async def _peek_after_restart(server: Restarted, ledger: Ledger) -> dict[str, dict]:
    """What a server that comes back forecasts for every session that lives."""
    server.start()
    await server.ready()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", timeout=60) as http:
        names = [account.plan.name for account in ledger.accounts if account.closed_at is None and account.step]
        return {name: (await http.get(f"/v1/sessions/{name}/forecast")).json() for name in names}


def _counts(ledger: Ledger) -> str:
    counts = ", ".join(f"{ledger.counts[what]:,} {what}" for what in ("acknowledged", "retried", "replayed", "lost"))
    return f"{counts}, {len(ledger.violations)} violations"
