"""Does a step cost the same late in a session's life? Young and old sessions are stepped in turn, so that both see the same machine."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import partial

import numpy as np

from tests.benchmarks.serving.connections import Open, opened
from tests.benchmarks.serving.load import Sample, closed_loop
from tests.benchmarks.serving.scenarios import Scenario
from tests.benchmarks.serving.scripts import Members, Steps
from tests.benchmarks.serving.sessions import fork_sessions, open_old_session, open_sessions
from tests.benchmarks.serving.wires import websocket
from tests.service.lab import Server

EARLY, LATE, EACH = 10, 100_000, 50
YOUNG_NAME, OLD_NAME = f"step {EARLY}", f"step {LATE:,}"


class Ages:
    """One measurement that is two scenarios."""

    def __init__(self, opening: Open, pid: int, core: int) -> None:
        self._opening = opening
        self._pid = pid
        self._core = core
        self._old: Sample

    async def young(self, seconds: float) -> Sample:
        async with opened([self._opening]) as (connection,):
            both = await closed_loop([connection], seconds, self._pid, self._core)
        taken, lanes = np.array(connection.seconds), np.array(connection.lanes)
        half = replace(both, observations=both.observations // 2, server_cpu=both.server_cpu / 2)
        self._old = replace(half, seconds=taken[lanes % 2 == 1])
        return replace(half, seconds=taken[lanes % 2 == 0])

    async def old(self, _: float) -> Sample:
        return self._old


def ages(server: Server, core: int) -> list[Scenario]:
    """Steps of young sessions and of old ones, one at a time."""
    open_old_session(server, "old", LATE)
    old = fork_sessions(server, "old", EACH, LATE)
    young = open_sessions(server, "young", EACH, EARLY)
    names = list(itertools.chain.from_iterable(zip(young.names, old.names, strict=True)))
    members = Members(names, [EARLY, LATE] * EACH)
    opening = partial(websocket, server.port, "/v1/stream", Steps(members), "tidegate.v1.json", in_flight=1)
    both = Ages(opening, server.process.pid, core)
    return [Scenario(YOUNG_NAME, both.young), Scenario(OLD_NAME, both.old, YOUNG_NAME)]
