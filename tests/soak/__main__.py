"""A day of observations in less: does anything grow but the live data?

    python -m tests.soak [--steps 5000000] [--models models] [--model metro] [--sessions 4000] [--clients 4] [--durability sync]

starts a server whose sessions expire after a minute and are forgotten a minute later, and of which half have room in memory.
Clients step their sessions in columns, open, close and abandon them, leave holes, and break off in the middle of a frame, after
which they send it again. Five million steps are a day of 58 a second. Exit code 1 when an answer was wrong or when memory,
file descriptors, threads or the store's file grew after the warm-up.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.service.lab import serving
from tests.soak.crowd import COLUMN, Crowd
from tests.soak.watch import Sample, Watch, growth, header, piled_up, row

IDLE_SECONDS = 60
SETTLE_SECONDS = 2.5  # the store's file is a second behind what was acknowledged
SAMPLES = 60


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=5_000_000, help="observations in all")
    parser.add_argument("--models", default="models", help="directory of bundles")
    parser.add_argument("--model", default="metro", help="which model")
    parser.add_argument("--sessions", type=int, default=4000, help="sessions that are in use at any time")
    parser.add_argument("--clients", type=int, default=4, help="sockets")
    parser.add_argument("--durability", default="sync", help="sync, interval or none")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        crowds, samples = soak(Path(directory), options)
    return report(crowds, samples, options.sessions)


def soak(directory: Path, options) -> tuple[list[Crowd], list[Sample]]:
    data = directory / "data"
    settings = {
        "data_dir": data, "durability": options.durability, "max_resident": options.sessions // 2,
        "idle_seconds": IDLE_SECONDS, "tombstone_seconds": IDLE_SECONDS,
    }  # fmt: skip
    with serving(Path(options.models).resolve(), directory, **settings) as server:
        size = options.sessions // options.clients
        crowds = [Crowd(server.port, f"c{i}", size, options.model, IDLE_SECONDS) for i in range(options.clients)]
        watch = Watch(server.process.pid, data)
        print(header(), flush=True)
        samples = asyncio.run(run(crowds, watch, options.steps))
        watch.close()
        assert server.terminate() == 0, server.log.read_text()
    return crowds, samples


async def run(crowds: list[Crowd], watch: Watch, steps: int) -> list[Sample]:
    """Let all crowds run to the end, and look at the server every so many steps."""
    began, samples = time.monotonic(), []
    running = [asyncio.create_task(crowd.run(-(-steps // len(crowds)))) for crowd in crowds]
    while not all(task.done() for task in running):
        await asyncio.wait(running, timeout=0.2, return_when=asyncio.FIRST_EXCEPTION)
        for task in running:
            if task.done():
                task.result()
        done = sum(crowd.counts["steps"] for crowd in crowds)
        if done >= steps * len(samples) / SAMPLES:
            samples.append(watch.sample(time.monotonic() - began, done))
            print(row(samples[-1]), flush=True)
    await asyncio.sleep(SETTLE_SECONDS)
    return [*samples, watch.sample(time.monotonic() - began, sum(crowd.counts["steps"] for crowd in crowds))]


def report(crowds: list[Crowd], samples: list[Sample], in_use: int) -> int:
    counts = sum((crowd.counts for crowd in crowds), Counter())
    wrong = [one for crowd in crowds for one in crowd.wrong]
    print(", ".join(f"{count:,} {what}" for what, count in counts.most_common()))
    print(f"{counts['steps'] / samples[-1].seconds:,.0f} steps/s")
    complaints = [*map(str, wrong[:10]), *growth(samples)]
    complaints += filter(None, [piled_up(samples, in_use, IDLE_SECONDS, COLUMN)])
    print(f"{len(wrong)} wrong answers;", "; ".join(complaints) if complaints else "nothing grew")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
