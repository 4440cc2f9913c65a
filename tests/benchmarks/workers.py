"""What several workers cost and bring, with clients that connect anywhere.

    python -m tests.benchmarks.workers [--workers 2] [--durability sync] [--seconds 2] [--rounds 5] [--bundle models/metro/1]

One process and several, in turn: steps per second, and CPU time per step over all their processes. The load generator runs on the
same cores, so that on two of them two workers cannot bring twice as much.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median

import uvloop

from tests.benchmarks.serving.connections import Open, opened
from tests.benchmarks.serving.load import closed_loop
from tests.benchmarks.serving.machine import ROOT, cpu_seconds
from tests.benchmarks.serving.scripts import Columns, Members, Posts, Steps, steps_of
from tests.benchmarks.serving.sessions import open_sessions
from tests.benchmarks.serving.wires import http, websocket
from tests.service.lab import Server, serving

SESSIONS, SOCKETS, ROWS = 64, 16, 256


def main() -> None:
    options = read_options()
    with tempfile.TemporaryDirectory(prefix="tidegate-bench-") as directory, ExitStack() as stack:
        models = Path(directory) / "models"
        models.mkdir()
        (models / options.bundle.parent.name).symlink_to(options.bundle.parent)
        results: dict[tuple[str, int], list[tuple[float, float]]] = {}
        servers = {
            count: stack.enter_context(serving(models, directory, workers=count, durability=options.durability))
            for count in (1, options.workers)
        }
        scenarios = {count: scenarios_of(wait_until_ready(server)) for count, server in servers.items()}
        for _ in range(options.rounds):
            for name in scenarios[1]:
                for count, server in servers.items():
                    taken = uvloop.run(measure(server, scenarios[count][name], options.seconds))
                    results.setdefault((name, count), []).append(taken)
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, medians of {options.rounds} rounds")
    for (name, count), samples in results.items():
        rate, cost = (median(column) for column in zip(*samples, strict=True))
        print(f"{name:32} {count} worker(s)  {rate:8.0f} steps/s  {cost:6.1f} CPU µs per step")


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--durability", default="sync", choices=("sync", "interval", "none"))
    parser.add_argument("--seconds", type=float, default=2.0, help="of every sample")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bundle", type=lambda text: Path(text).resolve(), default=ROOT / "models/metro/1")
    return parser.parse_args()


def wait_until_ready(server: Server) -> Server:
    while server.get("/health/ready").status_code != 200:
        time.sleep(0.1)
    return server


def scenarios_of(server: Server) -> dict[str, list[Open]]:
    """Connections by scenario; the kernel gives each of them to some worker."""
    shared = open_sessions(server, "steps", SESSIONS)
    by_socket = [Members(shared.names[i::SOCKETS], [24] * (SESSIONS // SOCKETS)) for i in range(SOCKETS)]
    stream = partial(websocket, server.port, "/v1/stream")
    groups = [[open_sessions(server, f"group-{i}-{j}", ROWS) for j in range(2)] for i in range(4)]
    posts = open_sessions(server, "posts", SESSIONS)
    return {
        f"json, {SOCKETS} sockets": [partial(stream, Steps(one, "json"), "tidegate.v1.json") for one in by_socket],
        f"columns of {ROWS}, MessagePack": [
            partial(stream, Columns(two, "msgpack", with_forecast=True), "tidegate.v1.msgpack") for two in groups
        ],
        f"REST, {SESSIONS} connections": [
            partial(http, server.port, Posts(steps_of(one, 24, 1), 1)) for one in posts.names
        ],
    }


async def measure(server: Server, openings: list[Open], seconds: float) -> tuple[float, float]:
    """Steps per second, and microseconds of CPU per step."""
    pids = [one["pid"] for one in server.get("/v1/info").json()["workers"]]
    async with opened(openings) as connections:
        before = sum(map(cpu_seconds, pids))
        sample = await closed_loop(connections, seconds, pids[0], 0)
        await asyncio.sleep(0.05)
        steps = sum(len(connection.ended) * connection.script.weight for connection in connections)
        return sample.rate, (sum(map(cpu_seconds, pids)) - before) / steps * 1e6


if __name__ == "__main__":
    main()
