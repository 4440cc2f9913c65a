"""The serving benchmark.

    python -m tests.benchmarks.serving [--quick] [--many] [--only TEXT] [--bundle models/metro/1] [--results DIRECTORY]

prints one table; `docs/benchmarks.md` explains it. A full run is added to the results beside this directory, a quick one and one
of some scenarios only where `--results` says so.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import uvloop
from rich.console import Console

from tests.benchmarks.serving import everything, keep, many, report
from tests.benchmarks.serving.machine import ROOT, Cores, facts
from tests.benchmarks.serving.rounds import Rounds

RESULTS = Path(__file__).parents[1] / "results"
WIDTH = 230
FULL, QUICK = Rounds(5, 1.0), Rounds(2, 0.25)


def main() -> None:
    options = read_options()
    cores = Cores.choose()
    os.sched_setaffinity(0, {cores.client})
    started, chosen = facts(cores), QUICK if options.quick else FULL
    rounds = Rounds(chosen.count, chosen.seconds, options.only)
    work = many.measure if options.many else everything.measure
    with tempfile.TemporaryDirectory(prefix="tidegate-bench-") as directory:
        results, bounds = uvloop.run(
            work(Path(options.bundle).resolve(), directory, cores, rounds, Console(stderr=True))
        )
    Console(width=None if Console().is_terminal else WIDTH).print(report.table(results, bounds, started))
    kept = options.results or (None if options.quick or options.only else RESULTS)
    if kept:
        keep.append(Path(kept), "many" if options.many else "serving", started, results, bounds)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a minute instead of several; says little about p99.9")
    parser.add_argument(
        "--many", action="store_true", help="instead: a million sessions in the store against a thousand"
    )
    parser.add_argument("--only", default="", metavar="TEXT", help="scenarios whose names hold this, and their floors")
    parser.add_argument("--bundle", default=ROOT / "models/metro/1", help="the model; default models/metro/1")
    parser.add_argument("--results", help="directory to add this run to; for a full run the repository's by default")
    return parser.parse_args()


if __name__ == "__main__":
    main()
