"""Kill a streaming server again and again, and count what it forgot or did twice.

    python -m tests.crash [--kills 200] [--durability sync interval none] [--seed 1] [--models models] [--model metro]

streams numbered steps of 42 sessions over REST and WebSockets, one and many in a request, with holes, repeated and sent again
after every interruption, to a server that is SIGKILLed at random moments and started again on the same data. In the end every
session's step count, state, and every forecast that was given are compared, bit for bit, with an engine that was never
interrupted. With durability `interval` acknowledged steps may get lost, but only those of the last interval, and clients replay
them. Exit code 1 when anything else was lost, was applied twice or differs.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from pathlib import Path

from tests.crash.laboratory import Experiment, Result, run

COUNTED = (
    "sessions", "closed", "acknowledged", "retried", "replayed", "forecasts", "compared", "peeked", "lost", "doubled", "differing",
)  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200, help="how often the server is killed, for each durability")
    parser.add_argument("--durability", nargs="+", default=["sync"], help="sync, interval, none")
    parser.add_argument("--seed", type=int, default=1, help="of the moments of the kills")
    parser.add_argument("--models", default="models", help="directory of bundles")
    parser.add_argument("--model", default="metro", help="which model")
    options = parser.parse_args()
    logging.getLogger("asyncio").setLevel(
        logging.ERROR
    )  # it warns of writing to connections that died, which is the point
    results = {}
    for durability in options.durability:
        print(f"durability {durability}", flush=True)
        experiment = Experiment(
            Path(options.models).resolve(), options.model, durability=durability, kills=options.kills, seed=options.seed
        )
        with tempfile.TemporaryDirectory() as directory:
            results[durability] = run(experiment, Path(directory))
    report(results)
    return 1 if any(result.ledger.violations for result in results.values()) else 0


def report(results: dict[str, Result]) -> None:
    print(f"{'':16}" + "".join(f"{durability:>12}" for durability in results))
    rows = {"kills": [len(result.ledger.kills) for result in results.values()]}
    rows |= {what: [result.ledger.counts[what] for result in results.values()] for what in COUNTED}
    for what, numbers in rows.items():
        print(f"{what:16}" + "".join(f"{number:12,}" for number in numbers))
    for durability, result in results.items():
        share, oldest = result.up_seconds / result.seconds, result.ledger.oldest_loss_seconds
        print(
            f"{durability}: {result.steps_per_second:,.0f} acknowledged steps/s over {result.seconds:.0f} s, of which the server "
            f"was up for {share:.0%}; oldest lost step {oldest:.2f} s before its kill"
        )
        print(f"{durability}: {len(result.ledger.violations)} violations", *result.ledger.violations[:20], sep="\n  ")


if __name__ == "__main__":
    sys.exit(main())
