"""Where the time of single steps goes, stage by stage, in one thread and without a network.

    python -m tests.benchmarks.stages [--models models] [--sessions 64] [--rounds 300] [--durability sync]

reads frames as they come from a socket, computes them as one tick and writes their answers, in JSON and in MessagePack. What a
server needs beyond that goes to the WebSocket, to the system and to two threads that share one interpreter.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partialmethod
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from app import requests
from app.acquaintance import Acquaintance
from app.conversation import ask
from app.engine.backlog import TickLimits
from app.engine.engine import Engine
from app.engine.operations.base import Context
from app.engine.registry import Models, open_models
from app.engine.sessions import SessionLimits, Sessions
from app.engine.task import Task
from app.frames import JSON, MESSAGE_PACK, Codec
from app.schemas import HistoryRequest, OpenRequest
from app.stores.base import Store
from app.stores.opening import open_store

HISTORY, WARM_UP = 200, 0.2
WISH = {"quantiles": [0.1, 0.5, 0.9]}
STAGES = {
    "decode": "read the frame", "ask": "make an operation of it", "_begin": "judge and gather", "_encode": "encode",
    "_decode": "decode", "_finish": "answers", "_commit": "commit", "reply": "make a reply of the answer",
    "encode": "write the reply",
}  # fmt: skip


class Stopwatch(Counter[str]):
    """Seconds by stage."""

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self[name] += time.perf_counter() - began  # type: ignore[assignment]  # a Counter may hold fractions


class TimedEngine(Engine):
    """An engine that notes how long the parts of a tick take."""

    def __init__(self, context: Context, watch: Stopwatch) -> None:
        super().__init__(context, TickLimits())
        self._watch = watch

    def _timed(self, name: str, *given: Any) -> Any:
        with self._watch.stage(name):
            return getattr(Engine, name)(self, *given)


for _part in ("_begin", "_encode", "_decode", "_finish", "_commit"):
    setattr(TimedEngine, _part, partialmethod(TimedEngine._timed, _part))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, default=Path("models"), help="directory of bundles")
    parser.add_argument("--sessions", type=int, default=64, help="steps of a tick, each of a session of its own")
    parser.add_argument("--rounds", type=int, default=300, help="ticks")
    parser.add_argument("--durability", choices=("sync", "interval", "none"), default="sync")
    options = parser.parse_args()
    models = open_models(options.models.resolve(), "cpu", "auto")
    table = Table("stage", "JSON", "MessagePack", title=f"microseconds for each of {options.sessions} steps")
    found = []
    for codec in (JSON, MESSAGE_PACK):
        with (
            tempfile.TemporaryDirectory() as directory,
            open_store("lmdb", Path(directory), options.durability, 1.0, 2**30) as store,
        ):
            watch = measured(codec, models, store, options.sessions, options.rounds)
        counted = options.sessions * (options.rounds - int(WARM_UP * options.rounds))
        found.append({name: seconds / counted * 1e6 for name, seconds in watch.items()})
    for name, text in STAGES.items():
        table.add_row(text, *(f"{one[name]:.1f}" for one in found))
    table.add_row("all", *(f"{sum(one.values()):.1f}" for one in found))
    Console().print(table)


def measured(codec: Codec, models: Models, store: Store, sessions: int, rounds: int) -> Stopwatch:
    """The seconds of all rounds but the first ones."""
    watch = Stopwatch()
    engine = TimedEngine(
        Context(models, Sessions(store, models, SessionLimits(), time.time), time.time, gap_limit=168), watch
    )
    write = (msgspec.msgpack if codec.is_binary else msgspec.json).encode
    open_all(engine, sessions)
    for number in range(rounds):
        if number == int(WARM_UP * rounds):
            watch.clear()
        frames = [
            write({
                "op": "step", "ref": i, "session": f"s{i}", "values": [3000.123 + (7 * number + i) % 31],
                "step": HISTORY + number + 1, "forecast": WISH,
            })
            for i in range(sessions)
        ]  # fmt: skip
        tick(engine, codec, watch, frames)
    return watch


def tick(engine: Engine, codec: Codec, watch: Stopwatch, frames: list[bytes]) -> None:
    known = Acquaintance("", codec.session_ids)
    with watch.stage("decode"):
        read = [codec.decode(frame) for frame in frames]
    with watch.stage("ask"):
        asked = [ask(frame, known) for frame in read]
        tasks = [Task(one.operation) for one in asked]
    engine.tick(tasks)
    assert not any(task.error for task in tasks), tasks[0].error
    with watch.stage("reply"):
        replies = [one.reply(task.reply) for one, task in zip(asked, tasks, strict=True)]
    with watch.stage("encode"):
        for reply in replies:
            list(codec.slices(reply))


def open_all(engine: Engine, sessions: int) -> None:
    history = HistoryRequest(values=[3000.0 + hour % 24 for hour in range(HISTORY)])
    for i in range(sessions):
        task = Task(requests.to_open("", OpenRequest(id=f"s{i}", start=0, history=history)))
        engine.tick([task])
        while not task.is_answered:
            engine.tick([])
        assert task.error is None, task.error


if __name__ == "__main__":
    main()
