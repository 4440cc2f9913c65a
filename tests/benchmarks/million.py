"""A million sessions: how long until ready, how much memory, how slow is a session that nobody used, how large is the file?

    python -m tests.benchmarks.million [--sessions 1000000] [--directory DIR] [--models models] [--model metro] [--steps 200000]

fills a store in a directory that is removed afterwards (3 GB; the usual place for temporary files without --directory), lets the
operating system forget the file, starts a server, and steps sessions over one WebSocket.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import time
from pathlib import Path

import msgspec
import numpy as np

from app.engine.records import Moved
from app.engine.registry import open_models
from app.engine.session import Key, Session, pack_tail
from app.engine.sessions import SessionLimits, Sessions
from app.stores.base import Record
from app.stores.lmdb import FILE
from app.stores.opening import open_store
from tests.service.lab import serving, talk

MIB = 2**20
STEP = 400  # where every session is
AT_ONCE = 2000
SERIES = 500
COLD = 2000
COLUMN = 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, default=1_000_000, help="how many sessions")
    parser.add_argument("--directory", help="where the store is made for a while")
    parser.add_argument("--models", default="models", help="directory of bundles")
    parser.add_argument("--model", default="metro", help="which model")
    parser.add_argument(
        "--steps", type=int, default=200_000, help="random steps after which the file is measured again"
    )
    options = parser.parse_args()
    models = Path(options.models).resolve()
    with tempfile.TemporaryDirectory(dir=options.directory) as directory:
        data = Path(directory) / "data"
        records = fill(data, models, options)
        report_size(data, records, "filled")
        forget(data / FILE)
        began = time.perf_counter()
        settings = {"data_dir": data, "max_sessions": options.sessions + 1}
        with serving(models, directory, **settings) as server, talk(server, "tidegate.v1.msgpack") as socket:
            while server.get("/health/ready").status_code != 200:
                time.sleep(0.01)
            print(f"process start to ready: {time.perf_counter() - began:.2f} s")
            info = server.get("/v1/info").json()
            print(f"{info['sessions']:,} sessions, {info['resident']} resident: {memory(server.process.pid)}")
            names = random.Random(1).sample(range(options.sessions), COLD)
            report_steps(socket, names, STEP + 1, "first steps of sessions that are only on disk")
            report_steps(socket, names, STEP + 2, "second steps of the same, which are in memory now")
            step_at_random(socket, options)
            report_size(data, records, f"after {options.steps:,} random steps")
            resident = server.get("/v1/info").json()["resident"]
            print(f"{resident:,} sessions resident: {memory(server.process.pid)}")


def fill(data: Path, models: Path, options) -> int:
    """Write the sessions through the engine's `Sessions`; the sum of their records in bytes."""
    served = open_models(models, "cpu", "auto")
    model, now, written = served.find(options.model), time.time(), 0
    states = real_states(model)
    began = time.perf_counter()
    with open_store("lmdb", data, "none", 1.0, 2**40) as store:
        sessions = Sessions(store, served, SessionLimits(options.sessions, AT_ONCE), time.time)
        session = Session(model.build, 0, 0, model.bundle.frequency, STEP, "reject", now, now)
        for start in range(0, options.sessions, AT_ONCE):
            keys = [Key("", f"s{number}") for number in range(start, min(start + AT_ONCE, options.sessions))]
            facts = np.repeat(session.facts, len(keys))
            facts["incarnation"] = np.arange(start, start + len(keys))
            chosen = states[(start + np.arange(len(keys))) % SERIES]
            tail = pack_tail(session.build, session.metadata)
            written += sum(len(Record(session.facts.tobytes() + tail, one.tobytes()).encode()) for one in chosen)
            sessions.commit([Moved(keys, model, facts, chosen, [tail] * len(keys), created=True)], [])
    print(f"filled in {time.perf_counter() - began:.0f} s; a record has {written / options.sessions:.0f} bytes")
    return written


def real_states(model) -> np.ndarray:
    """The states (SERIES, S) of series that go up and down."""
    random, bundle = np.random.default_rng(0), model.bundle
    hours = np.arange(STEP)
    daily = 1 + np.sin(hours / 24 * 2 * np.pi + random.uniform(0, 6, (SERIES, 1)))
    values = (1000 * daily + random.normal(0, 100, (SERIES, STEP)))[:, :, None].astype(np.float32)
    covariates = np.full((SERIES, STEP, len(bundle.covariates)), np.nan, np.float32)
    time = np.tile(hours * bundle.frequency, (SERIES, 1))
    return model.encode(values, time, covariates, model.fresh(SERIES))[0]


def report_steps(socket, names, step, what) -> None:
    """Step each session once, one after the other."""
    seconds = []
    for number in names:
        began = time.perf_counter()
        reply = socket.ask(op="step", session=f"s{number}", values=[1000.0], step=step)
        seconds.append(time.perf_counter() - began)
        assert reply["op"] == "stepped", reply
    hundredths = statistics.quantiles(seconds, n=100)
    print(f"{what}: median {hundredths[49] * 1e3:.2f} ms, p99 {hundredths[98] * 1e3:.2f} ms, with forecast, fsynced")


def step_at_random(socket, options) -> None:
    chance = random.Random(2)
    for _ in range(options.steps // COLUMN):
        numbers = chance.sample(range(options.sessions), COLUMN)
        frame = {
            "op": "steps",
            "sessions": [f"s{one}" for one in numbers],
            "values": [900.0] * COLUMN,
            "forecast": False,
        }
        socket.socket.send(msgspec.msgpack.encode(frame))
        assert "errors" not in socket.receive()


def report_size(data: Path, records: int, what: str) -> None:
    size = (data / FILE).stat().st_size
    print(
        f"{what}: the file has {size / MIB:,.0f} MiB, its records {records / MIB:,.0f} MiB: {size / records:.2f} times"
    )


def memory(pid: int) -> str:
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    anonymous, mapped = (int(lines[name].split()[0]) / 1024 for name in ("RssAnon", "RssFile"))
    return f"{anonymous:.0f} MiB of its own, {anonymous + mapped:.0f} MiB with pages of files"


def forget(file: Path) -> None:
    """Have the operating system drop its cached pages of a file."""
    handle = os.open(file, os.O_RDONLY)
    try:
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(handle)


if __name__ == "__main__":
    main()
