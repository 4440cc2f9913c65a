"""Well-behaved clients beside one that is not: is their p99 moved?"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial

from tests.benchmarks.serving.adversary import SINGLES, WIDE
from tests.benchmarks.serving.connections import Open, opened
from tests.benchmarks.serving.load import Sample, open_loop
from tests.benchmarks.serving.machine import ROOT
from tests.benchmarks.serving.results import Results
from tests.benchmarks.serving.scenarios import Scenario
from tests.benchmarks.serving.service import BUSIEST, SESSIONS, stream
from tests.benchmarks.serving.sessions import open_sessions
from tests.service.lab import Server

SHARE = 0.1
QUIET = "beside nobody"
KINDS = {"beside a slow reader": "slow", "beside a flood of steps": "steps", "beside a flood of columns": "columns"}


def pressure(server: Server, core: int, results: Results) -> list[Scenario]:
    """A tenth of the most that the server can do, alone and beside each kind of bad client."""
    opening = stream(server, open_sessions(server, "good", SESSIONS), "json")
    open_sessions(server, "bad", max(SINGLES, WIDE))
    take = partial(_take, opening, server, core, results)
    return [
        Scenario(QUIET, partial(take, None)),
        *(Scenario(name, partial(take, kind), QUIET) for name, kind in KINDS.items()),
    ]


async def _take(opening: Open, server: Server, core: int, results: Results, kind: str | None, seconds: float) -> Sample:
    rate = SHARE * results.samples[BUSIEST][-1].rate
    bad_client = nullcontext() if kind is None else adversary(server.port, kind)
    with bad_client:
        async with opened([opening]) as good:  # until the bad client has begun
            await open_loop(good, rate, min(1.0, seconds), server.process.pid, core)
        async with opened([opening]) as good:
            return await open_loop(good, rate, seconds, server.process.pid, core)


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
