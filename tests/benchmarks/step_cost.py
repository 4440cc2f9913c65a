"""Does an observation cost the same at the 10th and at the 100,000th?

    python -m tests.benchmarks.step_cost [--models models] [--model metro] [--late 100000] [--steps 2000]

starts a server, gives one session a long history and another none, then steps both in turn over one WebSocket, and prints the
median and the 99th percentile of the time from a step to its forecast.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from tests.service.lab import serving, talk

EARLY = 10
CHUNK = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default="models", help="directory of bundles")
    parser.add_argument("--model", help="which model; the first by default")
    parser.add_argument("--late", type=int, default=100_000, help="observations of the old session")
    parser.add_argument("--steps", type=int, default=2000, help="steps to measure")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        models = Path(options.models).resolve()
        with serving(models, directory) as server, talk(server) as socket:
            seconds = measure(socket, options)
    report(seconds, options.late)


def measure(socket, options) -> dict[str, list[float]]:
    """Seconds of every step of a young and an old session, taken in turn so that both see the same machine."""
    for name, count in (("young", EARLY), ("old", options.late)):
        socket.ask(op="open", id=name, model=options.model)
        for start in range(0, count, CHUNK):
            size = min(CHUNK, count - start)
            reply = socket.ask(op="step", session=name, values=[float(i % 24) for i in range(size)], forecast=False)
            assert reply["op"] == "stepped", reply
    seconds = {"young": [], "old": []}
    for i in range(options.steps):
        for name, taken in seconds.items():
            began = time.perf_counter()
            reply = socket.ask(op="step", session=name, values=[float(i % 24)])
            taken.append(time.perf_counter() - began)
            assert reply["op"] == "stepped", reply
    return seconds


def report(seconds, late) -> None:
    medians = {}
    for (name, taken), age in zip(seconds.items(), (EARLY, late), strict=True):
        medians[name] = statistics.median(taken)
        p99 = statistics.quantiles(taken, n=100)[98]
        print(f"after {age:>7,} observations: median {medians[name] * 1e6:7.0f} µs, p99 {p99 * 1e6:7.0f} µs")
    print(f"the late step costs {medians['old'] / medians['young']:.3f} of the early one")


if __name__ == "__main__":
    main()
