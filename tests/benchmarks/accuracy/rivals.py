"""What other packages' forecasters score on the same sets, from every H-th origin.

Measured apart from our own fits and kept in SET.rivals.json, so that ours can be measured again beside the same rivals.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

from tests.benchmarks.accuracy.packages import HISTORY, packages
from tests.benchmarks.accuracy.protocols import judge
from tests.benchmarks.accuracy.report import Document, circumstances
from tests.benchmarks.accuracy.runs import LEVELS, Run
from tests.benchmarks.accuracy.sets import Protocol

VERSIONS = ("statsforecast", "neuralforecast", "torch", "numpy")


def measure(protocol: Protocol) -> Iterator[Run]:
    """Each rival's scores and costs as they are found; raises MissingRivalsError."""
    sparse = protocol.sparse()
    for name, walk in packages().items():
        found = walk(sparse)
        notes = {"origins": sum(len(one.truth) for one in found.forecasts)}
        yield Run(name, judge(sparse, found.forecasts, LEVELS), found.cpu_seconds, found.microseconds, notes)


def document(protocol: Protocol, runs: Iterable[Run]) -> Document:
    """All that was found of one set."""
    found = [asdict(run) for run in runs]
    return {"set": protocol.name, **circumstances(VERSIONS), "history": HISTORY, "runs": found}


def keep(found: Document, directory: Path) -> None:
    """Write a set's document where the report looks for it."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{found['set']}.rivals.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
