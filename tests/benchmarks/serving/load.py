"""The load generator: a closed loop, or requests at times fixed beforehand.

In a closed loop a reply is followed by the next request. In an open loop requests are sent when they are due, whatever the server
does, and their latency counts from then: a server that stalls is charged for all the requests that it kept from being sent (no
coordinated omission).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tests.benchmarks.serving.connections import PATIENCE_SECONDS, Connection, quiet
from tests.benchmarks.serving.machine import busy_seconds, cpu_seconds

WARM_SECONDS = 0.1
FEWEST_REPLIES = 10


@dataclass(slots=True)
class Sample:
    """What one scenario did in one round, with the latencies of its requests in `seconds`.

    Seconds of CPU are those of the server, of this process, and of others on the server's core.
    """

    wall: float
    observations: int
    seconds: np.ndarray
    server_cpu: float = 0.0
    client_cpu: float = 0.0
    others_cpu: float = 0.0

    @property
    def rate(self) -> float:
        return self.observations / self.wall


class Meter:
    """Measures from its making on."""

    def __init__(self, connections: Sequence[Connection], pid: int, core: int) -> None:
        self._connections = connections
        self._read = lambda: np.array((time.perf_counter(), cpu_seconds(pid), time.process_time(), busy_seconds(core)))
        self._start = self._read()

    @property
    def began(self) -> float:
        return float(self._start[0])

    @property
    def is_enough(self) -> bool:
        """Whether some replies have come, or none will."""
        replies = sum(len(connection.ended) for connection in self._connections)
        return replies >= FEWEST_REPLIES or time.perf_counter() > self.began + PATIENCE_SECONDS

    def sample(self) -> Sample:
        """What arrived since; all that is under way must be answered before it is called for an open loop."""
        wall, server, client, busy = self._read() - self._start
        seconds, observations = [], 0
        for connection in self._connections:
            arrived = np.array(connection.ended) >= self.began
            seconds.append(np.array(connection.seconds)[arrived])
            observations += int(arrived.sum()) * connection.script.weight
        return Sample(float(wall), observations, np.concatenate(seconds), server, client, max(0.0, busy - server))


async def closed_loop(connections: Sequence[Connection], seconds: float, pid: int, core: int) -> Sample:
    """As many requests under way as there may be, all the time."""
    for connection in connections:
        connection.is_closed_loop = True
        for lane in range(connection.in_flight):
            connection.ask(lane, time.perf_counter())
    await asyncio.sleep(WARM_SECONDS)
    meter = Meter(connections, pid, core)
    await asyncio.sleep(seconds)
    while not meter.is_enough:  # noqa: ASYNC110 - replies are counted, not announced
        await asyncio.sleep(seconds)
    sample = meter.sample()
    for connection in connections:
        connection.is_closed_loop = False
    await quiet(connections)
    return sample


async def open_loop(connections: Sequence[Connection], rate: float, seconds: float, pid: int, core: int) -> Sample:
    """Requests at `rate` per second in all, at random times fixed beforehand."""
    lanes = [(connection, lane) for connection in connections for lane in range(connection.script.lanes)]
    gaps = np.random.default_rng(0).exponential(1 / rate, int(rate * seconds))
    meter = Meter(connections, pid, core)
    for turn, due in enumerate((meter.began + np.cumsum(gaps)).tolist()):
        await until(due)
        connection, lane = lanes[turn % len(lanes)]
        connection.ask(lane, due)
    await quiet(connections)
    return meter.sample()


async def until(due: float) -> None:
    """Until then, to the microsecond: a timer would wake up a millisecond late."""
    while time.perf_counter() < due:  # noqa: ASYNC110 - nobody announces that time has passed
        await asyncio.sleep(0)
