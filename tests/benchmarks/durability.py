"""What does it cost to have every step on disk before it is answered?

    python -m tests.benchmarks.durability [--models models] [--model metro] [--rounds 40] [--seconds 0.5] [--directory DIR]

runs two servers side by side, one with durability `sync`, one with `none`, and gives each in turn the same work: 64 sessions that
each send the next step when the last one is answered, over 8 WebSockets, with forecasts; then one session alone. Between them
this disk's own fsync is timed: 4 KiB overwritten and brought to disk. Ratios are of neighbouring rounds, so that both see the
same machine.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

import msgspec
from websockets.asyncio.client import connect

from tests.service.lab import serving, talk

DURABILITIES = ("sync", "none")
SOCKETS, SESSIONS = 8, 8  # 8 sessions on each of 8 sockets
ALONE_STEPS = 50
PAGE = 4096


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default="models", help="directory of bundles")
    parser.add_argument("--model", default="metro", help="which model")
    parser.add_argument("--rounds", type=int, default=40, help="how often each server has its turn")
    parser.add_argument("--seconds", type=float, default=0.5, help="of every turn")
    parser.add_argument("--directory", help="on which disk; the usual place for temporary files by default")
    options = parser.parse_args()
    models = Path(options.models).resolve()
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(dir=options.directory))
        servers = {
            durability: stack.enter_context(serving(models, directory, durability=durability))
            for durability in DURABILITIES
        }
        rates = [
            {name: asyncio.run(together(server.port, f"r{turn}", options)) for name, server in in_turn(servers, turn)}
            for turn in range(options.rounds)
        ]
        report_together(rates)
        alone = {name: [] for name in (*servers, "fsync")}
        for turn in range(options.rounds):
            for name, server in in_turn(servers, turn):
                alone[name] += alone_on(server, f"a{turn}", options)
            alone["fsync"] += fsyncs(Path(directory) / "fsync")
        report_alone(alone)


def in_turn(servers, turn):
    """The servers, another one first every time."""
    return sorted(servers.items(), reverse=bool(turn % 2))


async def together(port: int, name: str, options) -> float:
    """Steps per second of all sessions, which are open by then."""
    url = f"ws://127.0.0.1:{port}/v1/stream"
    async with AsyncExitStack() as stack:
        sockets = [
            await stack.enter_async_context(
                connect(url, subprotocols=["tidegate.v1.msgpack"], compression=None, max_size=None)
            )
            for _ in range(SOCKETS)
        ]
        for i, socket in enumerate(sockets):
            for j in range(SESSIONS):
                await socket.send(encode(op="open", id=f"{name}-{i}-{j}", model=options.model, start=0))
                await socket.recv()
        began = time.perf_counter()
        counts = await asyncio.gather(
            *(stream(socket, f"{name}-{i}", began + options.seconds) for i, socket in enumerate(sockets))
        )
        return sum(counts) / (time.perf_counter() - began)


async def stream(socket, name: str, end: float) -> int:
    """The steps of one socket's sessions, each of which waits for its own answer only."""
    for j in range(SESSIONS):
        await socket.send(encode(op="step", session=f"{name}-{j}", values=[100.0], step=1))
    count, going = 0, SESSIONS
    while going:
        reply = msgspec.msgpack.decode(await socket.recv())
        assert reply["op"] == "stepped", reply
        count += 1
        if time.perf_counter() < end:
            await socket.send(encode(op="step", session=reply["session"], values=[100.0], step=reply["step"] + 1))
        else:
            going -= 1
    return count


def alone_on(server, name: str, options) -> list[float]:
    """Seconds of every step of one session."""
    seconds = []
    with talk(server, "tidegate.v1.msgpack") as socket:
        socket.ask(op="open", id=name, model=options.model, start=0)
        for step in range(1, ALONE_STEPS + 1):
            began = time.perf_counter()
            reply = socket.ask(op="step", session=name, values=[100.0], step=step)
            seconds.append(time.perf_counter() - began)
            assert reply["step"] == step
    return seconds


def fsyncs(path: Path) -> list[float]:
    """Seconds of overwriting a page and bringing it to disk."""
    seconds, page = [], os.urandom(PAGE)
    handle = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        os.pwrite(handle, page, 0)
        os.fsync(handle)
        for _ in range(ALONE_STEPS):
            began = time.perf_counter()
            os.pwrite(handle, page, 0)
            os.fsync(handle)
            seconds.append(time.perf_counter() - began)
    finally:
        os.close(handle)
    return seconds


def encode(**frame) -> bytes:
    return msgspec.msgpack.encode(frame)


def report_together(rates) -> None:
    medians = {name: statistics.median(one[name] for one in rates) for name in DURABILITIES}
    low, middle, high = statistics.quantiles((one["sync"] / one["none"] for one in rates), n=4)
    print(
        f"{SOCKETS * SESSIONS} sessions at once, median steps/s: "
        + ", ".join(f"{k} {v:,.0f}" for k, v in medians.items())
    )
    print(
        f"sync has {middle:.2f} of the throughput of none (quartiles {low:.2f} to {high:.2f}, {len(rates)} rounds)",
        flush=True,
    )


def report_alone(seconds) -> None:
    medians = {name: statistics.median(taken) for name, taken in seconds.items()}
    print(
        "one session alone, median ms: " + ", ".join(f"{name} {median * 1e3:.2f}" for name, median in medians.items())
    )
    print(f"sync costs {(medians['sync'] - medians['none']) / medians['fsync']:.2f} fsyncs of this disk")


if __name__ == "__main__":
    main()
