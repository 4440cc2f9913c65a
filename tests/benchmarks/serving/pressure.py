"""Well-behaved clients beside one that is not: is their p99 moved?"""

from __future__ import annotations

import asyncio
import math
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial

from tests.benchmarks.serving.adversary import SINGLES, WIDE
from tests.benchmarks.serving.connections import PATIENCE_SECONDS, Open, opened
from tests.benchmarks.serving.load import Sample, open_loop
from tests.benchmarks.serving.machine import ROOT, cpu_seconds
from tests.benchmarks.serving.results import Results
from tests.benchmarks.serving.scenarios import Scenario
from tests.benchmarks.serving.scripts import Steps
from tests.benchmarks.serving.service import BUSIEST, SESSIONS, STREAM
from tests.benchmarks.serving.sessions import open_sessions
from tests.benchmarks.serving.wires import websocket
from tests.service.lab import Server

SHARE = 0.1
IDLE_SHARE, POLL_SECONDS = 0.02, 0.2
QUIET = "beside nobody"
KINDS = {"beside a slow reader": "slow", "beside a flood of steps": "steps", "beside a flood of columns": "columns"}


def pressure(server: Server, core: int, results: Results) -> list[Scenario]:
    """A tenth of the most that the server can do, alone and beside each kind of bad client."""
    steps = Steps(open_sessions(server, "good", SESSIONS), is_numbered=False)
    opening = partial(websocket, server.port, STREAM, steps, "tidegate.v1.json")
    open_sessions(server, "bad", max(SINGLES, WIDE))
    take = partial(_take, opening, server, core, results)
    return [
        Scenario(QUIET, partial(take, None), paced_by=BUSIEST),
        *(Scenario(name, partial(take, kind), QUIET, paced_by=BUSIEST) for name, kind in KINDS.items()),
    ]


async def _take(opening: Open, server: Server, core: int, results: Results, kind: str | None, seconds: float) -> Sample:
    rate = SHARE * results.samples[BUSIEST][-1].rate
    with nullcontext() if kind is None else adversary(server.port, kind):
        await _good(opening, server, core, rate, min(1.0, seconds))  # until the bad client has begun
        sample = await _good(opening, server, core, rate, seconds)
    await _idle(server.process.pid)
    return sample


async def _idle(pid: int) -> None:
    """Until the server has worked off what the bad client left behind, so that nobody else is measured with it."""
    deadline, before = time.monotonic() + PATIENCE_SECONDS, -math.inf
    while (now := cpu_seconds(pid)) > before + IDLE_SHARE * POLL_SECONDS and time.monotonic() < deadline:
        before = now
        await asyncio.sleep(POLL_SECONDS)


async def _good(opening: Open, server: Server, core: int, rate: float, seconds: float) -> Sample:
    async with opened([opening]) as connections:
        for connection in connections:
            connection.bears_refusals = True
        return await open_loop(connections, rate, seconds, server.process.pid, core)


@contextmanager
def adversary(port: int, kind: str) -> Iterator[None]:
    """A bad client until the block ends; raises RuntimeError where it ended by itself."""
    command = [sys.executable, "-m", "tests.benchmarks.serving.adversary", str(port), kind, "bad"]
    running = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        yield
        if running.poll() is not None:
            raise RuntimeError(f"the bad client ({kind}) ended by itself")
    finally:
        running.kill()
        running.wait(10)
