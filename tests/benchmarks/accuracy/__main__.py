"""Measure how accurate the forecasts are, on public data and by the protocols that others published numbers for.

python -m tests.benchmarks.accuracy --data DIR [--out DIR] [--sets NAME …] [--seeds 3] [--quick]
python -m tests.benchmarks.accuracy --data DIR --rivals [--out DIR] [--sets NAME …]
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch

from tests.benchmarks.accuracy import rivals, runs
from tests.benchmarks.accuracy.published import check_evaluators
from tests.benchmarks.accuracy.report import Document, document, tabulate, write
from tests.benchmarks.accuracy.sets import SETS, Protocol

VARIABLE = "TIDEGATE_BENCH_DATA"
RESULTS, QUICK_RESULTS = Path(__file__).parents[1] / "results/accuracy", Path("build/accuracy")
QUICK_SETS = ("m4-hourly", "etth1", "nyc-flights")
QUICK_STEPS = 200


def main(arguments: list[str] | None = None) -> int:
    asked = _parser().parse_args(arguments)
    if asked.data is None:
        sys.exit(f"the data's directory is unknown; give --data or set {VARIABLE} (see docs/accuracy.md)")
    out = asked.out or (QUICK_RESULTS if asked.quick else RESULTS)
    torch.set_num_threads(1)  # CPU seconds are those of one core
    for line in check_evaluators(asked.data):
        print("evaluator reproduces", line, flush=True)
    for name in asked.sets or (QUICK_SETS if asked.quick else SETS):
        protocol = SETS[name](asked.data)
        if asked.rivals:
            rivals.keep(rivals.document(protocol, _saying(protocol, rivals.measure(protocol))), out)
            tabulate(out)
        else:
            write(measure(protocol, asked.seeds, quick=asked.quick), out)
    print(f"Wrote {out / 'README.md'} and {out / 'index.html'}.")
    return 0


def measure(protocol: Protocol, seeds: int, *, quick: bool) -> Document:
    """Everything that is reported of one set, said as it is found."""
    naive = runs.naive(protocol)
    _say(protocol, naive)
    members = []
    for seed in range(1 if quick else seeds):
        members.append(runs.train(protocol, seed, steps=QUICK_STEPS if quick else None))
        _say(protocol, members[-1].run)
    together = runs.ensemble(protocol, members) if len(members) > 1 else None
    if together:
        _say(protocol, together)
    sparse = [runs.naive(protocol.sparse()), runs.thinned(protocol, members[0])]
    return document(protocol, [naive], members, together, sparse, quick=quick)


def _saying(protocol: Protocol, found: Iterable[runs.Run]) -> Iterator[runs.Run]:
    for run in found:
        _say(protocol, run)
        yield run


def _say(protocol: Protocol, run: runs.Run) -> None:
    scores = "  ".join(f"{name} {value:.4f}" for name, value in run.scores.items())
    seconds = "" if run.cpu_seconds is None else f"  {run.cpu_seconds:.0f} CPU-s"
    print(f"{protocol.name}  {run.method}  {scores}{seconds}", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.accuracy", description=(__doc__ or "").split("\n")[0]
    )
    given = os.environ.get(VARIABLE)
    parser.add_argument(
        "--data", type=Path, default=Path(given) if given else None, help=f"the data sets; or {VARIABLE}"
    )
    parser.add_argument("--out", type=Path, help="where the results go")
    parser.add_argument("--sets", nargs="+", choices=SETS, help="only these")
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds, and members of the ensemble")
    parser.add_argument("--rivals", action="store_true", help="other packages instead of ours; needs the extra rivals")
    parser.add_argument("--quick", action="store_true", help="three sets, one seed, few steps: does it run at all")
    return parser


if __name__ == "__main__":
    sys.exit(main())
