"""A million sessions in the store, a hundred thousand of them resident, against a thousand: does a step know the difference?"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console

from app.stores.base import Place, Record, Table
from app.stores.opening import open_store
from tests.benchmarks.serving.bounds import Bound, measured, rate
from tests.benchmarks.serving.connections import Connection, Open, Script, opened, quiet
from tests.benchmarks.serving.machine import Cores
from tests.benchmarks.serving.processes import tidegate
from tests.benchmarks.serving.results import Results
from tests.benchmarks.serving.rounds import Rounds
from tests.benchmarks.serving.scenarios import Scenario, closed
from tests.benchmarks.serving.scripts import Columns, Members, Steps
from tests.benchmarks.serving.sessions import open_sessions
from tests.benchmarks.serving.wires import websocket

GROUP, IN_FLIGHT, AT_ONCE = 256, 64, 5000
HISTORY = 24
LEAST = 0.85


@dataclass(frozen=True, slots=True)
class Crowd:
    """How many sessions there are in the store, and how many are used."""

    label: str
    stored: int
    resident: int


CROWDS = (Crowd("1,000", 1_000, 1_000), Crowd("1,000,000", 1_000_000, 100_000))


async def measure(
    bundle: Path, directory: str, cores: Cores, rounds: Rounds, console: Console
) -> tuple[Results, list[Bound]]:
    """Single steps and columns of sessions in random order, on a server with few sessions and on one with many."""
    results, scenarios = Results(), []
    with ExitStack() as stack:
        for crowd in CROWDS:
            data = Path(directory) / f"crowd-{crowd.stored}"
            console.print(f"filling a store with {crowd.label} sessions")
            fill(bundle.parents[1], directory, data, cores.server, crowd.stored)
            settings = {"data_dir": data, "max_sessions": 2 * crowd.stored, "max_resident": 100_000}
            server = stack.enter_context(tidegate(bundle.parents[1], directory, cores.server, **settings))
            scenarios += await steps_of_many(server.port, server.process.pid, cores.server, crowd)
        await rounds.take(sorted(scenarios, key=lambda scenario: scenario.name), results, console)
    few, many = CROWDS
    pairs = ((name(kind, many), name(kind, few)) for kind in ("steps", "columns"))
    return results, measured([rate(*pair, LEAST) for pair in pairs], results)


def name(kind: str, crowd: Crowd) -> str:
    return f"{kind}, {crowd.label} sessions"


def fill(models: Path, directory: str, data: Path, core: int, count: int) -> None:
    """A store with `count` copies of a session, written without the server."""
    with tidegate(models, directory, core, data_dir=data, durability="none") as server:
        open_sessions(server, "seed", 1, HISTORY)
        server.terminate()
    with open_store("lmdb", data, "none", 1.0, 2**40) as store:
        seed = store.get(Place(Table.LIVE, b"\0seed-0"))
        for begin in range(0, count, AT_ONCE):
            store.commit(dict(copies(seed, begin, min(begin + AT_ONCE, count))), ())


def copies(seed: Record, begin: int, end: int) -> Iterator[tuple[Place, Record]]:
    return ((Place(Table.LIVE, f"\0{session(i)}".encode()), seed) for i in range(begin, end))


def session(i: int) -> str:
    return f"crowd-{i:07}"


async def steps_of_many(port: int, pid: int, core: int, crowd: Crowd) -> list[Scenario]:
    """Half of the sessions that are used step one by one, the others in groups. All have stepped once before, and are resident."""
    used = random.Random(0).sample(range(crowd.stored), crowd.resident)
    groups = [
        Members([session(i) for i in used[begin : begin + GROUP]], [HISTORY] * GROUP)
        for begin in range(0, crowd.resident - GROUP + 1, GROUP)
    ]
    half = len(groups) // 2
    async with opened([wire(port, Columns(groups, "msgpack", with_forecast=False), 2)]) as (everybody,):
        await once_around(everybody)
    singles = Members([name for group in groups[:half] for name in group.names], [HISTORY + 1] * GROUP * half)
    steps = wire(port, Steps(singles, "msgpack"), IN_FLIGHT)
    columns = wire(port, Columns(groups[half:], "msgpack", with_forecast=False), 2)
    return [closed(name("steps", crowd), [steps], pid, core), closed(name("columns", crowd), [columns], pid, core)]


def wire(port: int, script: Script, in_flight: int) -> Open:
    return partial(websocket, port, "/v1/stream", script, "tidegate.v1.msgpack", in_flight)


async def once_around(connection: Connection) -> None:
    """One request of every lane."""
    for lane in range(connection.script.lanes):
        connection.ask(lane, 0.0)
        if lane % connection.in_flight == 0:
            await quiet([connection])
    await quiet([connection])
